/* Shares of exclusion groups, found so that they do not overlap, and holdouts. */
#include "client/cfgctl/flag_edit.h"

#include "client/cfgctl/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 10000, NAME_ROOM = 128 }; /* buckets of a group or holdout; docs/flags.md */

/* "checkout=25%" */
static int read_share(char name[NAME_ROOM], unsigned *buckets, const char *text, struct cfg_error *err)
{
    const char *equals = strrchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : 0;
    char *end = NULL;
    double percent = equals && equals[1] >= '0' && equals[1] <= '9' ? strtod(equals + 1, &end) : -1;
    double share = percent * BUCKETS / 100;
    if (len == 0 || len >= NAME_ROOM || end == NULL || (*end && strcmp(end, "%") != 0) || percent > 100 ||
        fabs(share - round(share)) > 1e-6) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.80s' is no share", text);
        cfg_error_set_hint(err, "NAME=PERCENT, such as checkout=25%% (0.01 %% is the finest)");
        return CFG_E_INVALID;
    }
    (void)snprintf(name, NAME_ROOM, "%.*s", (int)len, text);
    *buckets = (unsigned)round(share);
    return 0;
}

/* {"name","from"?,"to","by"?}; NULL without memory. */
static cJSON *make_share(const char *name, const unsigned *from, unsigned to, const char *by)
{
    cJSON *out = cJSON_CreateObject();
    bool good = cJSON_AddStringToObject(out, "name", name) &&
                (from == NULL || cJSON_AddNumberToObject(out, "from", *from)) &&
                cJSON_AddNumberToObject(out, "to", to) &&
                (by == NULL || strcmp(by, "targetingKey") == 0 || cJSON_AddStringToObject(out, "by", by));
    if (good)
        return out;
    cJSON_Delete(out);
    return NULL;
}

/* --- groups --- */

/* Marks the buckets of a group that other flags have. by: what the group is dealt by, found on the way. */
static void mark_taken(bool taken[BUCKETS], const char **by, const char *group, const char *self, const cJSON *flags)
{
    const cJSON *flag;
    cJSON_ArrayForEach(flag, flags)
    {
        const cJSON *g = cfg_json_get(flag, "group");
        if (!cJSON_IsObject(g) || strcmp(cfg_json_get_str(g, "name", ""), group) != 0 ||
            strcmp(flag->string, self) == 0)
            continue;
        *by = cfg_json_get_str(g, "by", "targetingKey");
        double from = cfg_json_get_num(g, "from", 0), to = cfg_json_get_num(g, "to", 0);
        for (unsigned i = 0; i < BUCKETS; i++)
            taken[i] = taken[i] || (i >= from && i < to);
    }
}

/* Whether [from, from + n) is free. */
static bool fits(const bool taken[BUCKETS], unsigned from, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (from + i >= BUCKETS || taken[from + i])
            return false;
    return true;
}

static unsigned free_buckets(const bool taken[BUCKETS])
{
    unsigned n = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        n += !taken[i];
    return n;
}

static int no_room(const char *group, unsigned wanted, unsigned left, const cJSON *flags, const char *self,
                   struct cfg_error *err)
{
    char who[200] = "";
    const cJSON *flag;
    cJSON_ArrayForEach(flag, flags)
    {
        const cJSON *g = cfg_json_get(flag, "group");
        size_t n = strlen(who);
        if (cJSON_IsObject(g) && strcmp(cfg_json_get_str(g, "name", ""), group) == 0 && strcmp(flag->string, self) != 0)
            (void)snprintf(who + n, sizeof who - n, "%s%.60s %g %%", n > 0 ? ", " : "", flag->string,
                           (cfg_json_get_num(g, "to", 0) - cfg_json_get_num(g, "from", 0)) / 100);
    }
    (void)cfg_fail(err, CFG_E_VALUE, "group %s has no %g %% in one piece: %g %% is free", group, wanted / 100.0,
                   left / 100.0);
    cfg_error_set_hint(err, "its flags: %s", who);
    return CFG_E_VALUE;
}

int flag_join_group(cJSON *envelope, const char *self, const char *text, const char *by, const cJSON *flags,
                    struct cfg_error *err)
{
    bool taken[BUCKETS] = {false};
    char name[NAME_ROOM];
    unsigned wanted, from = 0;
    const char *dealt_by = NULL;
    int rc = read_share(name, &wanted, text, err);
    if (rc != 0)
        return rc;
    const cJSON *present = cfg_json_get(envelope, "group");
    if (wanted == 0) {
        rc = cfg_fail(err, CFG_E_INVALID, "a share of 0 %% of group %s is nobody", name);
        cfg_error_set_hint(err, "--clear takes the flag out of its group; `cfgctl flag off` switches it off");
        return rc;
    }
    bool member = cJSON_IsObject(present) && strcmp(cfg_json_get_str(present, "name", ""), name) == 0;
    mark_taken(taken, &dealt_by, name, self, flags);
    if (by && dealt_by && strcmp(by, dealt_by) != 0)
        return cfg_fail(err, CFG_E_VALUE, "group %s is dealt by %s, so no flag of it can be by %s", name, dealt_by, by);
    if (by == NULL)
        by = dealt_by ? dealt_by : member ? cfg_json_get_str(present, "by", NULL) : NULL;
    if (member)
        from = (unsigned)cfg_json_get_num(present, "from", 0);
    if (!(member && fits(taken, from, wanted)))
        for (from = 0; from <= BUCKETS - wanted && !fits(taken, from, wanted);)
            from++;
    if (from > BUCKETS - wanted)
        return no_room(name, wanted, free_buckets(taken), flags, self, err);
    cJSON *share = make_share(name, &from, from + wanted, by);
    return cfg_json_set(envelope, "group", share) == 0 ? 0 : cli_no_memory(err);
}

/* --- holdouts --- */

static int index_of(const cJSON *list, const char *name)
{
    int i = 0;
    const cJSON *h;
    cJSON_ArrayForEach(h, list)
    {
        if (strcmp(cfg_json_get_str(h, "name", ""), name) == 0)
            return i;
        i++;
    }
    return -1;
}

int flag_hold_out(cJSON *envelope, const char *text, const char *by, struct cfg_error *err)
{
    char name[NAME_ROOM];
    unsigned wanted;
    int rc = read_share(name, &wanted, text, err);
    if (rc != 0)
        return rc;
    cJSON *list = cfg_json_get(envelope, "holdouts");
    if (!cJSON_IsArray(list)) {
        if (cfg_json_set(envelope, "holdouts", cJSON_CreateArray()) != 0)
            return cli_no_memory(err);
        list = cfg_json_get(envelope, "holdouts");
    }
    int at = index_of(list, name);
    if (by == NULL && at >= 0)
        by = cfg_json_get_str(cJSON_GetArrayItem(list, at), "by", NULL);
    cJSON *share = make_share(name, NULL, wanted, by);
    bool good = share && (at >= 0 ? cJSON_ReplaceItemInArray(list, at, share) : cJSON_AddItemToArray(list, share));
    if (!good)
        cJSON_Delete(share);
    return good ? 0 : cli_no_memory(err);
}

static void compare_holdout(struct cfg_buf *out, const cJSON *own, const char *flag, const cJSON *other)
{
    const char *by = cfg_json_get_str(own, "by", "targetingKey"),
               *theirs = cfg_json_get_str(other, "by", "targetingKey");
    double to = cfg_json_get_num(own, "to", 0), their = cfg_json_get_num(other, "to", 0);
    if (to == their && strcmp(by, theirs) == 0)
        return;
    cfg_buf_printf(out, "note: %s holds out %g %% by ", flag, their / 100);
    cli_put_text(out, theirs);
    cfg_buf_puts(out, " for ");
    cli_put_text(out, cfg_json_get_str(own, "name", "?"));
    cfg_buf_puts(out, ", so not the same units\n");
}

void flag_compare_holdouts(struct cfg_buf *out, const cJSON *envelope, const char *self, const cJSON *flags)
{
    const cJSON *flag, *own;
    cJSON_ArrayForEach(own, cfg_json_get(envelope, "holdouts"))
    {
        cJSON_ArrayForEach(flag, flags)
        {
            const cJSON *others = cfg_json_get(flag, "holdouts");
            int at = index_of(others, cfg_json_get_str(own, "name", ""));
            if (at >= 0 && strcmp(flag->string, self) != 0)
                compare_holdout(out, own, flag->string, cJSON_GetArrayItem(others, at));
        }
    }
}

int flag_unhold(cJSON *envelope, const char *name, struct cfg_error *err)
{
    cJSON *list = cfg_json_get(envelope, "holdouts");
    int at = index_of(list, name);
    if (at < 0)
        return cfg_fail(err, CFG_E_VALUE, "there is no holdout \"%.100s\" to remove", name);
    cJSON_DeleteItemFromArray(list, at);
    if (list->child == NULL)
        cJSON_DeleteItemFromObjectCaseSensitive(envelope, "holdouts");
    return 0;
}
