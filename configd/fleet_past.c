#include "configd/fleet_past.h"

#include "configd/fleet_body.h"
#include "proto/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS_MAX = 500000 };

void fleet_run_print(struct cfg_buf *out, const struct fleet_run *r)
{
    char rev[CFG_REV_TEXT];
    cfg_buf_puts(out, "{\"group\":");
    cfg_json_put_string(out, cfg_slice_str(r->group));
    cfg_buf_puts(out, ",\"incarnation\":");
    cfg_json_put_string(out, cfg_slice_str(r->incarnation));
    if (strcmp(r->worker, r->group) != 0) {
        cfg_buf_puts(out, ",\"worker\":");
        cfg_json_put_string(out, cfg_slice_str(r->worker));
    }
    if (!cfg_rev_is_none(r->revision))
        cfg_buf_printf(out, ",\"revision\":\"%s\"", cfg_rev_format(r->revision, rev));
    cfg_buf_printf(out, ",\"step\":%llu,\"at\":", (unsigned long long)r->from);
    cfg_json_put_string(out, cfg_slice_str(r->at));
    cfg_buf_putc(out, '}');
}

static void free_run(struct fleet_run *r)
{
    free(r->group);
    free(r->incarnation);
    free(r->worker);
}

static bool grow(struct fleet_past *p)
{
    if (p->n < p->cap)
        return true;
    size_t cap = p->cap ? 2 * p->cap : 64;
    struct fleet_run *grown = realloc(p->runs, cap * sizeof *grown);
    if (grown == NULL)
        return false;
    p->runs = grown;
    p->cap = cap;
    return true;
}

static int take_one(struct fleet_past *p, const cJSON *o, const char *group, const char *worker)
{
    const char *g = cfg_json_get_str(o, "group", ""), *w = cfg_json_get_str(o, "worker", g);
    const cJSON *revision = cfg_json_get(o, "revision");
    struct fleet_run r = {.order = p->n};
    if ((group && strcmp(g, group) != 0) || (worker && strcmp(w, worker) != 0) ||
        cfg_json_need_u64(o, "step", &r.from, NULL) != 0 || g[0] == '\0' ||
        (revision &&
         (!cJSON_IsString(revision) || cfg_rev_parse(&r.revision, cfg_slice_str(revision->valuestring), NULL) != 0)))
        return 0;
    if (p->n == RECORDS_MAX) {
        p->partial = true;
        return 0;
    }
    (void)snprintf(r.at, sizeof r.at, "%s", cfg_json_get_str(o, "at", ""));
    r.group = strdup(g);
    r.worker = strdup(w);
    r.incarnation = strdup(cfg_json_get_str(o, "incarnation", ""));
    if (r.group == NULL || r.worker == NULL || r.incarnation == NULL || !grow(p)) {
        free_run(&r);
        return CFG_E_NOMEM;
    }
    p->runs[p->n++] = r;
    return 0;
}

int fleet_past_take(struct fleet_past *p, struct cfg_slice batch, const char *group, const char *worker)
{
    cJSON *tree = NULL;
    const cJSON *o;
    int rc = cfg_json_parse(&tree, batch, CFG_LIMIT_DEPTH, NULL);
    if (rc != 0)
        return rc == CFG_E_NOMEM ? rc : 0;
    cJSON_ArrayForEach(o, cfg_json_get(tree, "runs"))
    {
        rc = rc ? rc : take_one(p, o, group, worker);
    }
    cJSON_Delete(tree);
    return rc;
}

/* --- looking up --- */

static int by_run(const void *a, const void *b)
{
    const struct fleet_run *x = a, *y = b;
    int c = strcmp(x->group, y->group);
    c = c ? c : strcmp(x->incarnation, y->incarnation);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

static bool same_run(const struct fleet_run *a, const struct fleet_run *b)
{
    return strcmp(a->group, b->group) == 0 && strcmp(a->incarnation, b->incarnation) == 0;
}

static bool same_record(const struct fleet_run *a, const struct fleet_run *b)
{
    return a->from == b->from && cfg_rev_cmp(a->revision, b->revision) == 0 && strcmp(a->at, b->at) == 0;
}

/* The steps of one record, as far as the next of its run tells. */
struct span {
    const struct fleet_run *run;
    uint64_t to;
    bool open; /* `to` is not known */
};

/* next: NULL for the last. An end counts its step in; whoever goes back leaves open how far it had come. */
static struct span span_of(const struct fleet_run *r, const struct fleet_run *next)
{
    struct span s = {.run = r, .open = true};
    bool ends = next && cfg_rev_is_none(next->revision);
    if (next && (next->from > r->from || (ends && next->from == r->from))) {
        s.open = false;
        s.to = ends ? next->from : next->from - 1;
    }
    return s;
}

static int newest_first(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    int c = strcmp(y->run->at, x->run->at);
    return c ? c : (y->run->order > x->run->order) - (y->run->order < x->run->order);
}

static cJSON *list_spans(const struct span *all, size_t n, int most, bool *partial)
{
    struct fleet_reply reply = {false};
    char rev[CFG_REV_TEXT];
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < n && i < (size_t)most; i++) {
        const struct span *s = &all[i];
        cJSON *o = fleet_add_entry(&reply, list);
        fleet_put_text(&reply, o, "group", s->run->group);
        fleet_put_text(&reply, o, "incarnation", s->run->incarnation);
        fleet_put_text(&reply, o, "revision", cfg_rev_format(s->run->revision, rev));
        fleet_put_number(&reply, o, "from_step", (double)s->run->from);
        fleet_put(&reply, o, "to_step", s->open ? cJSON_CreateNull() : cJSON_CreateNumber((double)s->to));
        fleet_put_text(&reply, o, "at", s->run->at);
    }
    *partial = *partial || n > (size_t)most;
    return fleet_finish(&reply, list);
}

cJSON *fleet_past_at(struct fleet_past *p, uint64_t step, int most, bool *partial)
{
    struct span *all = calloc(p->n + 1, sizeof *all);
    size_t n = 0;
    if (all == NULL)
        return NULL;
    if (p->n > 1)
        qsort(p->runs, p->n, sizeof *p->runs, by_run);
    for (size_t i = 0; i < p->n; i++) {
        const struct fleet_run *r = &p->runs[i], *next = i + 1 < p->n ? r + 1 : NULL;
        while (next && same_run(r, next) && same_record(r, next)) /* told twice */
            next = ++i + 1 < p->n ? &p->runs[i + 1] : NULL;
        struct span s = span_of(r, next && same_run(r, next) ? next : NULL);
        if (!cfg_rev_is_none(r->revision) && step >= r->from && (s.open || step <= s.to))
            all[n++] = s;
    }
    if (n > 1)
        qsort(all, n, sizeof *all, newest_first);
    *partial = *partial || p->partial;
    cJSON *list = list_spans(all, n, most, partial);
    free(all);
    return list;
}

void fleet_past_finish(struct fleet_past *p)
{
    for (size_t i = 0; i < p->n; i++)
        free_run(&p->runs[i]);
    free(p->runs);
    *p = (struct fleet_past){0};
}
