#include "configd/flip_decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cfg_flip_plan_finish(struct cfg_flip_plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        cfg_flag_set_free(p->spaces[i].set);
    free(p->spaces);
    *p = (struct cfg_flip_plan){0};
}

static struct cfg_flip_space *find(const struct cfg_flip_plan *p, const char *ns)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->spaces[i].ns, ns) == 0)
            return &p->spaces[i];
    return NULL;
}

static struct cfg_flip_space *add(struct cfg_flip_plan *p, const char *ns)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 8;
        struct cfg_flip_space *spaces = realloc(p->spaces, cap * sizeof *spaces);
        if (spaces == NULL)
            return NULL;
        p->spaces = spaces;
        p->cap = cap;
    }
    struct cfg_flip_space *s = &p->spaces[p->n++];
    *s = (struct cfg_flip_space){.heard = INT64_MIN};
    (void)snprintf(s->ns, sizeof s->ns, "%s", ns);
    return s;
}

int cfg_flip_plan_put(struct cfg_flip_plan *p, const char *ns, struct cfg_flag_set *set, int64_t heard,
                      struct cfg_error *err)
{
    struct cfg_flip_space *s = find(p, ns);
    if (set == NULL) {
        if (s) {
            cfg_flag_set_free(s->set);
            *s = p->spaces[--p->n];
        }
        return 0;
    }
    if (s == NULL && (s = add(p, ns)) == NULL) {
        cfg_flag_set_free(set);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    cfg_flag_set_free(s->set);
    s->set = set;
    s->heard = heard > s->heard ? heard : s->heard;
    s->next = cfg_flag_set_next_flip(set, s->heard);
    return 0;
}

void cfg_flip_plan_heard(struct cfg_flip_plan *p, const char *ns, int64_t heard)
{
    struct cfg_flip_space *s = find(p, ns);
    if (s == NULL || heard <= s->heard)
        return;
    s->heard = heard;
    s->next = cfg_flag_set_next_flip(s->set, heard);
}

int64_t cfg_flip_plan_next(const struct cfg_flip_plan *p)
{
    int64_t next = CFG_FLAG_NEVER;
    for (size_t i = 0; i < p->n; i++)
        next = p->spaces[i].next < next ? p->spaces[i].next : next;
    return next;
}

static void take_latest(void *user, const struct cfg_flag_program *flag, int64_t at)
{
    (void)flag;
    *(int64_t *)user = at;
}

const struct cfg_flip_space *cfg_flip_plan_due(const struct cfg_flip_plan *p, int64_t now, int64_t *at)
{
    const struct cfg_flip_space *due = NULL;
    for (size_t i = 0; i < p->n; i++)
        if (p->spaces[i].next <= now && (due == NULL || p->spaces[i].next < due->next))
            due = &p->spaces[i];
    if (due)
        cfg_flag_set_flips(due->set, due->heard, now, take_latest, at);
    return due;
}

enum { FLAGS_MAX = 1000 };

struct naming {
    cJSON *flags;
    bool failed;
};

static void add_flag(void *user, const struct cfg_flag_program *flag, int64_t at)
{
    (void)at;
    struct naming *n = user;
    const cJSON *known;
    if (cJSON_GetArraySize(n->flags) >= FLAGS_MAX)
        return;
    cJSON_ArrayForEach(known, n->flags)
    {
        if (strcmp(known->valuestring, cfg_flag_name_of(flag)) == 0)
            return;
    }
    cJSON *name = cJSON_CreateString(cfg_flag_name_of(flag));
    if (name == NULL || !cJSON_AddItemToArray(n->flags, name)) {
        cJSON_Delete(name);
        n->failed = true;
    }
}

cJSON *cfg_flip_body(const struct cfg_flip_space *s, int64_t at)
{
    cJSON *body = cJSON_CreateObject();
    bool ok = cJSON_AddNumberToObject(body, "at", (double)at) != NULL;
    struct naming n = {.flags = ok ? cJSON_AddArrayToObject(body, "flags") : NULL};
    if (n.flags)
        cfg_flag_set_flips(s->set, s->heard, at, add_flag, &n);
    if (n.flags && !n.failed)
        return body;
    cJSON_Delete(body);
    return NULL;
}

enum cfg_flip_action cfg_flip_decide(const struct cfg_flip_state *s, const struct cfg_flip_plan *p, int64_t now)
{
    int64_t next = cfg_flip_plan_next(p);
    if (!s->may_write || s->busy)
        return CFG_FLIP_WAIT;
    if (next == CFG_FLAG_NEVER || s->taken)
        return CFG_FLIP_RELEASE;
    if (!s->held)
        return CFG_FLIP_LOCK;
    return next <= now ? CFG_FLIP_WRITE : CFG_FLIP_WAIT;
}
