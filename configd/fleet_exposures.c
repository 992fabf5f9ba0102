#include "configd/fleet_exposures.h"

#include "flags/hll.h"
#include "proto/limits.h"
#include "proto/path.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIRS_MAX = 8192,  /* of one deployment */
    REPORT_MAX = 4096, /* in one report */
    VARIANT_MAX = 255, /* bytes of a variant's name */
};

struct fleet_exposure {
    char *flag, *variant;
    char arm[CFG_LIMIT_NAME + 1];
    uint64_t count;
    uint8_t registers[CFG_HLL_REGISTERS];
};

struct fleet_told_item {
    const struct fleet_exposure *of;
    uint64_t count;
};

/* --- checking --- */

static int invalid(struct cfg_error *err, int index, const char *member, const char *must)
{
    (void)cfg_fail(err, CFG_E_INVALID, "exposures[%d].%s must be %s", index, member, must);
    cfg_error_set_path(err, "exposures[%d].%s", index, member);
    return CFG_E_INVALID;
}

static int check_one(const cJSON *e, int i, struct cfg_error *err)
{
    struct cfg_address address;
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    uint64_t count;
    const char *variant = cfg_json_get_str(e, "variant", "");
    const cJSON *units = cfg_json_get(e, "units");
    if (cfg_address_parse(&address, cfg_slice_str(cfg_json_get_str(e, "flag", "")), false, NULL) != 0)
        return invalid(err, i, "flag", "a flag's address, NAMESPACE/NAME");
    if (variant[0] == '\0' || strlen(variant) > VARIANT_MAX)
        return invalid(err, i, "variant", "a variant's name of at most 255 bytes");
    if (cfg_json_need_u64(e, "count", &count, NULL) != 0)
        return invalid(err, i, "count", "an integer of 0 or more");
    if (cfg_json_get(e, "since") && cfg_json_need_u64(e, "since", &count, NULL) != 0)
        return invalid(err, i, "since", "an integer of 0 or more");
    if (units && (!cJSON_IsString(units) || !cfg_hll_unite(registers, units->valuestring)))
        return invalid(err, i, "units", "base64 of 1024 registers of six bits");
    return 0;
}

int fleet_exposures_check(const cJSON *exposures, struct cfg_error *err)
{
    int i = 0, rc = 0;
    if (exposures && !cJSON_IsArray(exposures)) {
        rc = cfg_fail(err, CFG_E_INVALID, "exposures must be an array");
        cfg_error_set_path(err, "exposures");
        return rc;
    }
    for (const cJSON *e = exposures ? exposures->child : NULL; rc == 0 && e; e = e->next, i++)
        rc = i < REPORT_MAX ? check_one(e, i, err)
                            : cfg_fail(err, CFG_E_LIMIT, "a report carries at most %d exposures", REPORT_MAX);
    return rc;
}

/* --- the pairs --- */

static int order(const struct fleet_exposure *e, const char *flag, const char *variant, const char *arm)
{
    int c = strcmp(flag, e->flag);
    c = c ? c : strcmp(variant, e->variant);
    return c ? c : strcmp(arm, e->arm);
}

/* Makes room for one more; false without memory. */
static bool grow(void **items, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return true;
    size_t more = *cap ? *cap * 2 : 8;
    void *grown = realloc(*items, more * size);
    if (grown == NULL)
        return false;
    *items = grown;
    *cap = more;
    return true;
}

static void free_pair(struct fleet_exposure *e)
{
    if (e == NULL)
        return;
    free(e->flag);
    free(e->variant);
    free(e);
}

static struct fleet_exposure *new_pair(const char *flag, const char *variant, const char *arm)
{
    struct fleet_exposure *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->flag = strdup(flag);
    e->variant = strdup(variant);
    (void)snprintf(e->arm, sizeof e->arm, "%s", arm);
    if (e->flag && e->variant)
        return e;
    free_pair(e);
    return NULL;
}

/* Finds or adds; NULL without room or memory. */
static struct fleet_exposure *pair_at(struct fleet_exposures *x, const char *flag, const char *variant, const char *arm)
{
    size_t low = 0, high = x->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = order(x->items[middle], flag, variant, arm);
        if (c == 0)
            return x->items[middle];
        if (c > 0)
            low = middle + 1;
        else
            high = middle;
    }
    void *items = (void *)x->items;
    if (x->n == PAIRS_MAX || !grow(&items, &x->cap, x->n, sizeof(struct fleet_exposure *)))
        return NULL;
    x->items = items;
    struct fleet_exposure *e = new_pair(flag, variant, arm);
    if (e == NULL)
        return NULL;
    memmove((void *)(x->items + low + 1), (void *)(x->items + low), (x->n - low) * sizeof(struct fleet_exposure *));
    x->items[low] = e;
    x->n++;
    return e;
}

/* What this incarnation has told of a pair; NULL without memory. */
static uint64_t *told_at(struct fleet_told *t, const struct fleet_exposure *of)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->items[middle].of == of)
            return &t->items[middle].count;
        if ((uintptr_t)t->items[middle].of < (uintptr_t)of)
            low = middle + 1;
        else
            high = middle;
    }
    void *items = t->items;
    if (!grow(&items, &t->cap, t->n, sizeof *t->items))
        return NULL;
    t->items = items;
    memmove(t->items + low + 1, t->items + low, (t->n - low) * sizeof *t->items);
    t->items[low] = (struct fleet_told_item){of, 0};
    t->n++;
    return &t->items[low].count;
}

void fleet_exposures_take(struct fleet_exposures *x, struct fleet_told *told, const char *arm, const cJSON *exposures)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, exposures)
    {
        uint64_t count = 0, since = 0;
        struct fleet_exposure *pair =
            pair_at(x, cfg_json_get_str(e, "flag", ""), cfg_json_get_str(e, "variant", ""), arm);
        uint64_t *before = pair ? told_at(told, pair) : NULL;
        if (before == NULL || cfg_json_need_u64(e, "count", &count, NULL) != 0)
            continue;
        if (cfg_json_get(e, "since") && cfg_json_need_u64(e, "since", &since, NULL) == 0 && since > *before)
            *before = since; /* counted here before this worker was forgotten, by another replica, or for another arm */
        if (count > *before) { /* less comes only from a report that was overtaken */
            pair->count += count - *before;
            *before = count;
        }
        const char *units = cfg_json_get_str(e, "units", NULL);
        if (units)
            (void)cfg_hll_unite(pair->registers, units); /* checked before */
    }
}

/* --- asking --- */

static bool add_sketch(cJSON *o, const struct fleet_exposure *e)
{
    char text[CFG_HLL_REGISTERS + 1];
    cfg_hll_print(text, e->registers);
    return cJSON_AddStringToObject(o, "sketch", text) != NULL;
}

static bool add_pair(cJSON *list, const struct fleet_exposure *e, bool sketches)
{
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !cJSON_AddItemToArray(list, o)) {
        cJSON_Delete(o);
        return false;
    }
    return cJSON_AddStringToObject(o, "flag", e->flag) && cJSON_AddStringToObject(o, "variant", e->variant) &&
           cJSON_AddStringToObject(o, "arm", e->arm) && cJSON_AddNumberToObject(o, "count", (double)e->count) &&
           cJSON_AddNumberToObject(o, "units", round(cfg_hll_estimate(e->registers))) &&
           (!sketches || add_sketch(o, e));
}

cJSON *fleet_exposures_list(const struct fleet_exposures *x, bool sketches)
{
    cJSON *list = cJSON_CreateArray();
    bool good = list != NULL;
    for (size_t i = 0; good && i < x->n; i++)
        good = add_pair(list, x->items[i], sketches);
    if (good)
        return list;
    cJSON_Delete(list);
    return NULL;
}

void fleet_exposures_finish(struct fleet_exposures *x)
{
    for (size_t i = 0; i < x->n; i++)
        free_pair(x->items[i]);
    free((void *)x->items);
    memset(x, 0, sizeof *x);
}

void fleet_told_finish(struct fleet_told *t)
{
    free(t->items);
    memset(t, 0, sizeof *t);
}
