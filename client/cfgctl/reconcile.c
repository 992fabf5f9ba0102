#include "client/cfgctl/reconcile.h"

static bool same(const cJSON *a, const cJSON *b)
{
    return a == NULL || b == NULL ? a == b : cfg_json_equal(a, b);
}

static enum reconcile_action decide_gone(const struct reconcile_state *s)
{
    if (s->head == NULL || !s->owned)
        return RECONCILE_NONE;
    if (!s->prune)
        return RECONCILE_LEFT;
    return s->take || same(s->last, s->head) ? RECONCILE_DELETE : RECONCILE_DRIFT;
}

static enum reconcile_action decide_absent(const struct reconcile_state *s)
{
    bool removed = s->known && s->last;
    return removed && !s->take ? RECONCILE_REMOVED : RECONCILE_CREATE;
}

enum reconcile_action reconcile_decide(const struct reconcile_state *s)
{
    if (s->file == NULL)
        return decide_gone(s);
    if (s->head == NULL)
        return decide_absent(s);
    if (same(s->file, s->head))
        return RECONCILE_SAME;
    if (s->take || (s->known && same(s->last, s->head)))
        return RECONCILE_UPDATE;
    if (!s->known || s->last == NULL) /* they deleted it, and somebody else made it again */
        return RECONCILE_FOREIGN;
    return same(s->file, s->last) ? RECONCILE_DRIFT : RECONCILE_CLASH;
}

bool reconcile_conflicts(enum reconcile_action a)
{
    return a >= RECONCILE_DRIFT;
}

bool reconcile_writes(enum reconcile_action a)
{
    return a == RECONCILE_CREATE || a == RECONCILE_UPDATE || a == RECONCILE_DELETE;
}

const char *reconcile_name(enum reconcile_action a)
{
    static const char *const names[] = {"none", "same",  "create", "update",  "delete",
                                        "left", "drift", "clash",  "removed", "foreign"};
    return names[a];
}
