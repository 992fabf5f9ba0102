/* There may be a hundred thousand records: what each follows from is found by sorting, not by looking at all. */
#include "configd/past_runs.h"

#include "proto/rfc3339.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One record. Records lie in the order in which they were made, so a later one has the greater address. */
struct note {
    const struct fleet_run *run;
    unsigned adopters; /* of its revision, at the first of them; 0 at the others */
    bool again;        /* its group's record before is another process's */
};

static int by_order(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    return (x->run > y->run) - (x->run < y->run);
}

static int by_revision(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    int c = cfg_rev_cmp(x->run->revision, y->run->revision);
    return c ? c : by_order(a, b);
}

static int by_group(const void *a, const void *b)
{
    const struct note *x = a, *y = b;
    int c = strcmp(x->run->group, y->run->group);
    return c ? c : by_order(a, b);
}

static void count_adopters(struct note *all, size_t n)
{
    qsort(all, n, sizeof *all, by_revision);
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && cfg_rev_cmp(all[k].run->revision, all[i].run->revision) == 0;)
            k++;
        all[i].adopters = cfg_rev_is_none(all[i].run->revision) ? 0 : (unsigned)(k - i);
    }
}

static void find_restarts(struct note *all, size_t n)
{
    qsort(all, n, sizeof *all, by_group);
    for (size_t i = 1; i < n; i++)
        all[i].again = strcmp(all[i].run->group, all[i - 1].run->group) == 0 &&
                       strcmp(all[i].run->incarnation, all[i - 1].run->incarnation) != 0;
}

/* False without memory. */
static bool add_event(cJSON *events, const struct fleet_run *r, const char *what)
{
    char object[160], rev[CFG_REV_TEXT];
    cJSON *item = cJSON_CreateObject();
    (void)snprintf(object, sizeof object, "group/%.140s", r->group);
    if (cJSON_AddStringToObject(item, "kind", "run") && cJSON_AddStringToObject(item, "why", "run") &&
        cJSON_AddStringToObject(item, "namespace", "") && cJSON_AddStringToObject(item, "object", object) &&
        cJSON_AddNumberToObject(item, "version", 0) && cJSON_AddStringToObject(item, "author", "") &&
        cJSON_AddStringToObject(item, "message", "") && cJSON_AddStringToObject(item, "time", r->at) &&
        cJSON_AddStringToObject(item, "revision", cfg_rev_format(r->revision, rev)) &&
        cJSON_AddFalseToObject(item, "deleted") && cJSON_AddFalseToObject(item, "forced") &&
        cJSON_AddArrayToObject(item, "changes") && cJSON_AddNumberToObject(item, "more_changes", 0) &&
        cJSON_AddStringToObject(item, "what", what) && cJSON_AddItemToArray(events, item))
        return true;
    cJSON_Delete(item);
    return false;
}

/* "config/chat v5 (1-43)": what people know a revision by. */
static void name_revision(char *out, size_t size, const struct cfg_timeline *versions, struct cfg_rev rev)
{
    char number[CFG_REV_TEXT], id[CFG_OBJECT_ID_TEXT];
    const struct cfg_object *o = versions ? cfg_timeline_written(versions, rev.revision, CFG_KIND_CONFIG) : NULL;
    (void)cfg_rev_format(rev, number);
    if (o)
        (void)snprintf(out, size, "%.300s v%llu (%s)", cfg_object_id_text(&o->id, id).ptr,
                       (unsigned long long)o->version, number);
    else
        (void)snprintf(out, size, "%s", number);
}

/* Returns how many events it has told; *ok is false without memory. */
static unsigned tell(cJSON *events, const struct note *note, const struct cfg_timeline *versions, bool *ok)
{
    const struct fleet_run *r = note->run;
    unsigned long long step = (unsigned long long)r->from;
    unsigned told = 0;
    char what[520], name[400];
    if (cfg_rev_is_none(r->revision)) {
        (void)snprintf(what, sizeof what, "ended at step %llu", step);
        *ok = add_event(events, r, what);
        return 1;
    }
    if (note->again) {
        (void)snprintf(what, sizeof what, "started again, at step %llu", step);
        *ok = add_event(events, r, what);
        told++;
    }
    if (note->adopters > 0) {
        name_revision(name, sizeof name, versions, r->revision);
        (void)snprintf(what, sizeof what, "first to adopt %s, at step %llu; %u in all", name, step, note->adopters);
        *ok = *ok && add_event(events, r, what);
        told++;
    }
    return told;
}

static bool is_in_time(const struct fleet_run *r, int64_t since_us, int64_t until_us)
{
    int64_t us = 0;
    return cfg_rfc3339_parse(&us, cfg_slice_str(r->at), NULL) == 0 && us >= since_us && us <= until_us;
}

cJSON *cfg_past_runs(const struct fleet_past *p, const struct cfg_timeline *versions, int64_t since_us,
                     int64_t until_us, unsigned most)
{
    struct note *all = calloc(p->n + 1, sizeof *all);
    cJSON *events = cJSON_CreateArray();
    bool ok = all && events;
    unsigned told = 0;
    for (size_t i = 0; ok && i < p->n; i++)
        all[i].run = &p->runs[i];
    if (ok) {
        count_adopters(all, p->n);
        find_restarts(all, p->n);
        qsort(all, p->n, sizeof *all, by_order);
    }
    for (size_t i = p->n; ok && i-- > 0 && told < most;)
        if (is_in_time(all[i].run, since_us, until_us))
            told += tell(events, &all[i], versions, &ok);
    free(all);
    if (ok)
        return events;
    cJSON_Delete(events);
    return NULL;
}
