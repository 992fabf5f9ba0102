/* Reports, checked before anything is kept. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"
#include "configd/fleet_runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- reports --- */

struct report {
    struct cfg_rev applied;
    char digest[CFG_DIGEST_TEXT], state[16];
    double step;
    uint64_t age_ms;
    struct cfg_rev rejected; /* the newest refused one */
    unsigned pending, draining, overrides;
    bool forming;
    char *kept; /* owned */
};

static int read_applied(struct report *r, const cJSON *body, struct cfg_error *err)
{
    const cJSON *applied = cfg_json_get(body, "applied");
    if (applied == NULL || cJSON_IsNull(applied))
        return 0;
    const char *digest = cfg_json_get_str(applied, "digest", "");
    if (cfg_rev_parse(&r->applied, cfg_slice_str(cfg_json_get_str(applied, "revision", "")), NULL) != 0)
        return fleet_invalid(err, "applied.revision", "an epoch and a revision, like 1-42");
    if (strncmp(digest, "sha256:", 7) != 0 || strlen(digest) != CFG_DIGEST_TEXT - 1)
        return fleet_invalid(err, "applied.digest", "sha256: and 64 hexadecimal digits");
    memcpy(r->digest, digest, sizeof r->digest);
    return 0;
}

/* Lists that say nothing are not kept: most reports of most workers. */
static int keep_lists(struct report *r, const cJSON *body, struct cfg_error *err)
{
    static const char *const keys[] = {"applied", "pending", "rejects", "overrides", "metrics", "draining", "group"};
    cJSON *kept = NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof keys / sizeof keys[0]; i++) {
        const cJSON *v = cfg_json_get(body, keys[i]);
        if (v == NULL || v->child == NULL)
            continue;
        if (kept == NULL)
            kept = cJSON_CreateObject();
        ok = kept && cJSON_AddItemToObject(kept, keys[i], cJSON_Duplicate(v, true));
    }
    r->kept = ok && kept ? fleet_print(kept) : NULL;
    ok = ok && (kept == NULL || r->kept);
    cJSON_Delete(kept);
    return ok ? 0
              : cfg_fail(err, CFG_E_LIMIT, "the report holds more than %d KiB of lists and metrics",
                         FLEET_KEPT_MAX / 1024);
}

static unsigned count_of(const cJSON *body, const char *key)
{
    int n = cJSON_GetArraySize(cfg_json_get(body, key));
    return n > UINT16_MAX ? UINT16_MAX : (unsigned)n;
}

static struct cfg_rev newest_reject(const cJSON *body)
{
    struct cfg_rev newest = {0, 0}, rev;
    const cJSON *reject;
    cJSON_ArrayForEach(reject, cfg_json_get(body, "rejects"))
    {
        if (cfg_rev_parse(&rev, cfg_slice_str(cfg_json_get_str(reject, "revision", "")), NULL) == 0 &&
            cfg_rev_cmp(rev, newest) > 0)
            newest = rev;
    }
    return newest;
}

static int check_draining(const cJSON *list, struct cfg_error *err)
{
    const cJSON *d;
    cJSON_ArrayForEach(d, list)
    {
        if (!cJSON_IsObject(d) || cfg_json_get_str(d, "path", "")[0] == '\0' ||
            !cJSON_IsNumber(cfg_json_get(d, "now")) || !cJSON_IsNumber(cfg_json_get(d, "target")))
            return fleet_invalid(err, "draining", "an array of {path, now, target}");
    }
    return 0;
}

static int check_group(const cJSON *group, struct cfg_error *err)
{
    const cJSON *formed = cfg_json_get(group, "formed");
    if (formed && !cJSON_IsBool(formed))
        return fleet_invalid(err, "group.formed", "true or false");
    return fleet_check_text(group, "why", err);
}

static void count_lists(struct report *r, const cJSON *body)
{
    r->pending = count_of(body, "pending");
    r->draining = count_of(body, "draining");
    r->overrides = count_of(body, "overrides");
    r->rejected = newest_reject(body);
    r->forming = !cfg_json_get_bool(cfg_json_get(body, "group"), "formed", true);
}

static int read_report(struct report *r, const cJSON *body, struct cfg_error *err)
{
    if (!cJSON_IsObject(body))
        return cfg_fail(err, CFG_E_INVALID, "a report is a JSON object");
    const char *state = cfg_json_get_str(body, "state", "running");
    if (strcmp(state, "running") != 0 && strcmp(state, "idle") != 0)
        return fleet_invalid(err, "state", "running or idle");
    (void)snprintf(r->state, sizeof r->state, "%s", state);
    int rc = fleet_check_count(body, "step", err);
    rc = rc ? rc : fleet_check_count(body, "age_ms", err);
    rc = rc ? rc : fleet_check_kind(body, "pending", false, err);
    rc = rc ? rc : fleet_check_kind(body, "rejects", false, err);
    rc = rc ? rc : fleet_check_kind(body, "overrides", false, err);
    rc = rc ? rc : fleet_check_kind(body, "metrics", true, err);
    rc = rc ? rc : fleet_check_kind(body, "draining", false, err);
    rc = rc ? rc : check_draining(cfg_json_get(body, "draining"), err);
    rc = rc ? rc : fleet_check_kind(body, "group", true, err);
    rc = rc ? rc : check_group(cfg_json_get(body, "group"), err);
    rc = rc ? rc : fleet_windows_check(cfg_json_get(body, "windows"), err);
    rc = rc ? rc : fleet_outcomes_check(cfg_json_get(body, "outcomes"), err);
    rc = rc ? rc : fleet_runs_check(cfg_json_get(body, "runs"), err);
    rc = rc ? rc : fleet_exposures_check(cfg_json_get(body, "exposures"), err);
    rc = rc ? rc : fleet_ceilings_check(cfg_json_get(body, "ceilings"), err);
    rc = rc ? rc : read_applied(r, body, err);
    if (rc != 0)
        return rc;
    r->step = cfg_json_get_num(body, "step", 0);
    r->age_ms = (uint64_t)cfg_json_get_num(body, "age_ms", 0);
    count_lists(r, body);
    return keep_lists(r, body, err);
}

/* Consumes r->kept. */
static void keep(const struct cfg_fleet *f, struct fleet_worker *w, struct report *r)
{
    w->reported = true;
    w->report_ms = fleet_now_ms(f);
    w->age_ms = r->age_ms;
    w->step = r->step;
    w->applied = r->applied;
    w->rejected = r->rejected;
    w->pending = (uint16_t)r->pending;
    w->draining = (uint16_t)r->draining;
    w->overrides = (uint16_t)r->overrides;
    w->forming = r->forming;
    memcpy(w->state, r->state, sizeof w->state);
    memcpy(w->digest, r->digest, sizeof w->digest);
    free(w->kept);
    w->kept = r->kept;
    r->kept = NULL;
}

int cfg_fleet_report(struct cfg_fleet *f, const char *deployment, const char *worker, const cJSON *body,
                     struct cfg_error *err)
{
    struct fleet_worker *w = fleet_find_worker(fleet_find_deployment(f, deployment), worker);
    const char *incarnation = cfg_json_get_str(body, "incarnation", "");
    for (size_t i = 0; w && i < w->n_old; i++)
        if (strcmp(w->old[i], incarnation) == 0)
            return cfg_fail(err, CFG_E_SUPERSEDED, "worker %s of %s has been replaced by a newer incarnation", worker,
                            deployment);
    if (w == NULL || strcmp(w->incarnation, incarnation) != 0) {
        (void)cfg_fail(err, CFG_E_UNKNOWN_WORKER, "worker %s of %s is not registered here", worker, deployment);
        cfg_error_set_hint(err, "register with POST /v1/deployments/%s/workers", deployment);
        return CFG_E_UNKNOWN_WORKER;
    }
    struct report r = {0};
    int rc = read_report(&r, body, err);
    rc = rc ? rc : fleet_ceilings_take(f, w, cfg_json_get(body, "ceilings"), err);
    rc = rc ? rc : fleet_runs_take(f, w, cfg_json_get(body, "runs"), err);
    if (rc != 0) {
        free(r.kept);
        return rc;
    }
    keep(f, w, &r);
    fleet_windows_take(f, w, cfg_json_get(body, "windows"));
    fleet_outcomes_take(f, w, cfg_json_get(body, "outcomes"));
    fleet_exposures_take(&w->deployment->exposures, &w->told, w->arm ? w->arm->name : "base",
                         cfg_json_get(body, "exposures"));
    return 0;
}
