/* Arms of a deployment, as topics: who follows which is decided by the deployment's record, so whoever is moved is
 * moved by that record's revision. Every arm's view counts it: what a moved subscriber is sent is never older than what
 * it has.
 */
#include "configd/hub_internal.h"

#include <string.h>

struct assigning {
    struct cfg_hub *hub;
    const struct cfg_deployment *deployment;
};

static void assign_one(struct cfg_topic *t, struct cfg_subscriber *s, void *arg)
{
    const struct assigning *a = arg;
    const char *arm = s->arm ? s->arm(s, a->deployment) : t->arm;
    struct cfg_topic *to = NULL;
    if (strcmp(arm, t->arm) == 0)
        return;
    /* A topic that cannot be composed leaves s with the view it has; the record's next change tries again. */
    int rc = cfg_hub_topic(&to, a->hub, t->deployment, arm, NULL);
    if ((rc == 0 || rc == CFG_E_NOT_READY) && to && s->topic == t)
        cfg_topic_move(to, s);
}

void cfg_hub_assign(struct cfg_hub *h, struct cfg_topic *t)
{
    struct cfg_object *o;
    struct cfg_deployment d;
    if (cfg_hub_deployment(&o, h->store, t->deployment, NULL) != 0 || o->mod_revision == t->assigned)
        return;
    if (cfg_deployment_read(&d, o, NULL) != 0)
        return; /* nobody is moved by a record that nobody can read */
    t->assigned = o->mod_revision;
    struct assigning a = {h, &d};
    if (d.split.arm[0] != '\0' || strcmp(t->arm, CFG_ARM_BASE) != 0)
        cfg_topic_each(t, assign_one, &a);
    if (cfg_deployment_arm(&d, t->arm) == NULL)
        cfg_topic_end(t);
    cfg_deployment_finish(&d);
}
