#include "configd/fleet_merge_internal.h"
#include "flags/hll.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- parts --- */

cJSON *fleet_part(const struct fleet_parts *p, size_t i)
{
    return i == 0 ? p->own : p->answers[i - 1].body;
}

const char *fleet_part_replica(const struct fleet_parts *p, size_t i)
{
    return i == 0 ? cfg_json_get_str(p->own, "replica", "") : p->answers[i - 1].replica;
}

uint64_t fleet_parts_live_ms(const struct fleet_parts *p)
{
    double most = 0;
    for (size_t i = 0; i <= p->n; i++) {
        double ms = cfg_json_get_num(fleet_part(p, i), "live_ms", 0);
        most = ms > most ? ms : most;
    }
    return most < 1e15 ? (uint64_t)most : 0;
}

void fleet_replace(struct fleet_reply *r, cJSON *o, const char *key, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    fleet_put(r, o, key, value);
}

static void put_replica(struct fleet_parts *p, cJSON *array, size_t i, const char *count)
{
    const cJSON *part = fleet_part(p, i);
    const struct fleet_answer *a = i > 0 ? &p->answers[i - 1] : NULL;
    cJSON *o = fleet_add_entry(&p->reply, array);
    fleet_put_text(&p->reply, o, "replica", fleet_part_replica(p, i));
    fleet_put_text(&p->reply, o, "url", a ? a->url : cfg_json_get_str(part, "url", ""));
    fleet_put_number(&p->reply, o, "workers", part ? cfg_json_get_num(part, count, 0) : (double)a->workers);
    fleet_put_bool(&p->reply, o, "answered", part != NULL);
    if (part == NULL)
        fleet_put_text(&p->reply, o, "why", a->why ? a->why : "it did not answer");
}

double fleet_put_replicas(struct fleet_parts *p, cJSON *whole, const char *count)
{
    double unknown = 0;
    bool partial = false;
    for (size_t i = 0; i < p->n; i++) {
        const struct fleet_answer *a = &p->answers[i];
        double lost = a->body ? cfg_json_get_num(a->body, "absent", 0) : (double)(a->workers - a->elsewhere);
        unknown += lost;
        partial = partial || lost > 0;
    }
    fleet_put_bool(&p->reply, whole, "partial", partial);
    fleet_put_number(&p->reply, whole, "unknown", unknown);
    cJSON *replicas = fleet_put_array(&p->reply, whole, "replicas");
    for (size_t i = 0; i <= p->n; i++)
        put_replica(p, replicas, i, count);
    return unknown;
}

void fleet_rival_why(char out[FLEET_WHY], const struct fleet_living *x)
{
    if (x->state == FLEET_FLAPPING)
        (void)snprintf(out, FLEET_WHY,
                       "two processes use this worker id, at configd %.30s and at %.30s; give each its own "
                       "(CONFIGD_WORKER)",
                       x->replica, x->rival);
    else
        (void)snprintf(out, FLEET_WHY, "a newer process has taken its id over at configd %.60s", x->rival);
}

/* --- workers --- */

static void add_living(struct fleet_living *x, cJSON *entry, const char *replica)
{
    enum fleet_state state = fleet_state_parse(cfg_json_get_str(entry, "condition", ""));
    double age = cfg_json_get_num(entry, "heard_ms", 0);
    *x = (struct fleet_living){.worker = cfg_json_get_str(entry, "worker", ""),
                               .replica = replica,
                               .incarnation = cfg_json_get_str(entry, "incarnation", ""),
                               .report_age_ms = age > 0 && age < 1e15 ? (uint64_t)age : 0,
                               .state = state < FLEET_STATES ? state : FLEET_UNKNOWN,
                               .entry = entry};
    if (!cfg_json_get_bool(entry, "connected", false) && x->state != FLEET_FOREIGN && x->state != FLEET_REJECTING)
        x->state = FLEET_GONE;
}

static void tell_rival(struct fleet_reply *r, const struct fleet_living *x)
{
    char why[FLEET_WHY];
    fleet_rival_why(why, x);
    fleet_replace(r, x->entry, "condition", cJSON_CreateString(fleet_state_name(x->state)));
    cJSON_DeleteItemFromObjectCaseSensitive(x->entry, "why");
    fleet_replace(r, x->entry, x->state == FLEET_FLAPPING ? "error" : "why", cJSON_CreateString(why));
}

/* Moves every part's workers into one array, in the order of their names. Consumes all. */
static cJSON *collect(struct fleet_parts *p, struct fleet_living *all, size_t n)
{
    cJSON *list = cJSON_CreateArray();
    fleet_living_resolve(all, n, fleet_parts_live_ms(p));
    for (size_t i = 0; i < n; i++) {
        if (all[i].rival && !all[i].dropped)
            tell_rival(&p->reply, &all[i]);
        if (all[i].dropped || list == NULL)
            cJSON_Delete(all[i].entry);
        else
            (void)cJSON_AddItemToArray(list, all[i].entry); /* only links it */
    }
    return list;
}

static cJSON *merge_lists(struct fleet_parts *p)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i <= p->n; i++)
        n += (size_t)cJSON_GetArraySize(cfg_json_get(fleet_part(p, i), "workers"));
    struct fleet_living *all = calloc(n + 1, sizeof *all);
    if (all == NULL)
        return NULL;
    for (size_t i = 0; i <= p->n; i++) {
        cJSON *from = cfg_json_get(fleet_part(p, i), "workers");
        while (from && from->child)
            add_living(&all[at++], cJSON_DetachItemViaPointer(from, from->child), fleet_part_replica(p, i));
    }
    cJSON *list = collect(p, all, n);
    free(all);
    return list;
}

static bool lists(const cJSON *texts, const char *text)
{
    const cJSON *t;
    cJSON_ArrayForEach(t, texts)
    {
        if (cJSON_IsString(t) && strcmp(t->valuestring, text) == 0)
            return true;
    }
    return false;
}

/* The names that any part lists. A replica of an earlier release lists none: then nobody knows all. */
static void merge_metrics(struct fleet_parts *p, cJSON *own)
{
    cJSON *all = cfg_json_get(own, "metrics");
    for (size_t i = 1; i <= p->n; i++) {
        const cJSON *part = fleet_part(p, i), *from = cfg_json_get(part, "metrics"), *name;
        if (part && from == NULL) {
            cJSON_DeleteItemFromObjectCaseSensitive(own, "metrics");
            return;
        }
        cJSON_ArrayForEach(name, from)
        {
            if (cJSON_IsString(name) && !lists(all, name->valuestring))
                fleet_add_text(&p->reply, all, name->valuestring);
        }
    }
}

cJSON *fleet_merge_workers(cJSON *own, struct fleet_answer *answers, size_t n)
{
    struct fleet_parts p = {.own = own, .answers = answers, .n = n};
    double converged = 0, total = 0;
    const cJSON *w;
    if (own == NULL)
        return NULL;
    (void)fleet_put_replicas(&p, own, "total"); /* it looks at the parts' own numbers */
    cJSON *list = merge_lists(&p);
    cJSON_ArrayForEach(w, list)
    {
        converged += cfg_json_get_bool(w, "converged", false);
        total += cfg_json_get_bool(w, "connected", false);
    }
    fleet_replace(&p.reply, own, "workers", list);
    merge_metrics(&p, own);
    fleet_replace(&p.reply, own, "converged", cJSON_CreateNumber(converged));
    fleet_replace(&p.reply, own, "total", cJSON_CreateNumber(total));
    return fleet_finish(&p.reply, own);
}

/* --- exposures --- */

static int exposure_order(const cJSON *a, const cJSON *b)
{
    static const char *const keys[] = {"flag", "variant", "arm"};
    int c = 0;
    for (size_t i = 0; i < 3 && c == 0; i++)
        c = strcmp(cfg_json_get_str(a, keys[i], ""), cfg_json_get_str(b, keys[i], ""));
    return c;
}

/* Both count the same flag, variant and arm. */
static void join_exposures(struct fleet_reply *r, cJSON *into, const cJSON *from)
{
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    char text[CFG_HLL_REGISTERS + 1];
    double count = cfg_json_get_num(into, "count", 0) + cfg_json_get_num(from, "count", 0);
    (void)cfg_hll_unite(registers, cfg_json_get_str(into, "sketch", "")); /* what is none adds nothing */
    (void)cfg_hll_unite(registers, cfg_json_get_str(from, "sketch", ""));
    cfg_hll_print(text, registers);
    fleet_replace(r, into, "count", cJSON_CreateNumber(count));
    fleet_replace(r, into, "units", cJSON_CreateNumber(round(cfg_hll_estimate(registers))));
    fleet_replace(r, into, "sketch", cJSON_CreateString(text));
}

/* Both are in order. Consumes them; returned-owned, NULL without memory. */
static cJSON *zip_exposures(struct fleet_reply *r, cJSON *a, cJSON *b)
{
    cJSON *out = cJSON_CreateArray();
    while (out && ((a && a->child) || (b && b->child))) {
        bool left = a && a->child, right = b && b->child;
        int c = !left ? 1 : !right ? -1 : exposure_order(a->child, b->child);
        cJSON *item = cJSON_DetachItemViaPointer(c <= 0 ? a : b, c <= 0 ? a->child : b->child);
        if (c == 0) {
            join_exposures(r, item, b->child);
            cJSON_Delete(cJSON_DetachItemViaPointer(b, b->child));
        }
        (void)cJSON_AddItemToArray(out, item); /* only links it */
    }
    cJSON_Delete(a);
    cJSON_Delete(b);
    return out;
}

cJSON *fleet_merge_exposures(cJSON *own, struct fleet_answer *answers, size_t n, bool as_part)
{
    struct fleet_parts p = {.own = own, .answers = answers, .n = n};
    if (own == NULL)
        return NULL;
    (void)fleet_put_replicas(&p, own, "total");
    for (size_t i = 0; i < n; i++)
        if (answers[i].body == NULL) /* what it counted is lost, wherever its workers are */
            fleet_replace(&p.reply, own, "partial", cJSON_CreateTrue());
    cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(own, "exposures"), *e;
    for (size_t i = 0; i < n; i++)
        list = zip_exposures(&p.reply, list, cJSON_DetachItemFromObjectCaseSensitive(answers[i].body, "exposures"));
    cJSON_ArrayForEach(e, list)
    {
        if (!as_part)
            cJSON_DeleteItemFromObjectCaseSensitive(e, "sketch");
    }
    fleet_put(&p.reply, own, "exposures", list);
    return fleet_finish(&p.reply, own);
}
