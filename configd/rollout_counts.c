#include "configd/rollout_counts.h"

#include <stdlib.h>
#include <string.h>

struct counted {
    char deployment[CFG_LIMIT_NAME + 1];
    struct cfg_rollout_count count;
    struct counted *next;
};

struct cfg_rollout_counts {
    struct cfg_store *store;
    struct cfg_store_listener listener;
    struct counted *all; /* those that have moved; owned */
};

static struct counted *find(const struct cfg_rollout_counts *c, const char *deployment)
{
    struct counted *at = c->all;
    while (at && strcmp(at->deployment, deployment) != 0)
        at = at->next;
    return at;
}

/* NULL without memory: it is not counted, then. */
static struct cfg_rollout_count *counts_of(struct cfg_rollout_counts *c, const char *deployment)
{
    struct counted *at = find(c, deployment);
    if (at == NULL && (at = calloc(1, sizeof *at)) != NULL) {
        memcpy(at->deployment, deployment, strlen(deployment) + 1); /* a name, as in an id */
        at->next = c->all;
        c->all = at;
    }
    return at ? &at->count : NULL;
}

/* A record that nobody can read has not moved. */
static void count(struct cfg_rollout_counts *c, const struct cfg_object *o)
{
    cJSON *tree = o->deleted ? NULL : cfg_object_tree(o);
    const char *name = cfg_json_get_str(cfg_json_get(tree, "decision"), "input", "");
    struct cfg_rollout_state state = {.phase = CFG_ROLLOUT_SCHEDULED};
    enum cfg_rollout_input input;
    bool start = strcmp(name, "start") == 0;
    if (tree && (start || cfg_rollout_input_parse(&input, name, NULL) == 0) &&
        cfg_rollout_phase_parse(&state.phase, cfg_json_get_str(cfg_json_get(tree, "state"), "phase", ""), NULL) == 0) {
        struct cfg_rollout_count *n = counts_of(c, o->id.ns);
        if (n && start)
            n->started++;
        else if (n)
            n->inputs[input]++;
        if (n && cfg_rollout_is_final(&state))
            n->ended[state.phase]++;
    }
    cJSON_Delete(tree);
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    (void)rev;
    for (size_t i = 0; !full && i < n; i++)
        if (changes[i].after && changes[i].after->id.kind == CFG_KIND_ROLLOUT)
            count(arg, changes[i].after);
}

struct cfg_rollout_counts *cfg_rollout_counts_new(struct cfg_store *store)
{
    struct cfg_rollout_counts *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->store = store;
    c->listener = (struct cfg_store_listener){.changed = on_changed, .arg = c};
    cfg_store_listen(store, &c->listener);
    return c;
}

void cfg_rollout_counts_free(struct cfg_rollout_counts *c)
{
    if (c == NULL)
        return;
    cfg_store_unlisten(c->store, &c->listener);
    for (struct counted *at = c->all, *next; at; at = next) {
        next = at->next;
        free(at);
    }
    free(c);
}

struct cfg_rollout_count cfg_rollout_counts_get(const struct cfg_rollout_counts *c, const char *deployment)
{
    const struct counted *at = find(c, deployment);
    return at ? at->count : (struct cfg_rollout_count){0};
}
