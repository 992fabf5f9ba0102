/* What lies in the replica about one namespace's flags. */
#include "configd/store.h"

struct walk {
    cfg_store_fn fn;
    void *arg;
    bool stopped;
};

static bool step(struct cfg_object *o, void *arg)
{
    struct walk *w = arg;
    w->stopped = !w->fn(o, w->arg);
    return !w->stopped;
}

void cfg_store_each_of_flags(const struct cfg_store *s, const char *ns, cfg_store_fn fn, void *arg)
{
    struct walk w = {fn, arg, false};
    for (int kind = CFG_KIND_CONFIG; kind < CFG_KIND_OTHER && !w.stopped; kind++)
        if (cfg_kind_is_of_flags((enum cfg_kind)kind))
            cfg_store_each(s, (enum cfg_kind)kind, ns, step, &w);
}

static bool take_newest(struct cfg_object *o, void *arg)
{
    uint64_t *newest = arg;
    if (o->mod_revision > *newest)
        *newest = o->mod_revision;
    return true;
}

uint64_t cfg_store_flag_revision(const struct cfg_store *s, const char *ns)
{
    uint64_t newest = 0;
    cfg_store_each_of_flags(s, ns, take_newest, &newest);
    return newest;
}
