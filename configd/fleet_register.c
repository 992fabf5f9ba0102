/* Registrations, checked before anything is kept. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"
#include "configd/fleet_runs.h"
#include "configd/hub_compose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INCARNATION_MIN = 16,
    WORKERS_MAX = 100000, /* of this replica */
    RECENT_MS = 10000,    /* an incarnation heard of this lately was alive when it was replaced */
};

static int check_incarnation(const cJSON *body, const char **out, struct cfg_error *err)
{
    const char *s = cfg_json_get_str(body, "incarnation", "");
    size_t n = strspn(s, "0123456789abcdefABCDEF");
    if (s[n] != '\0' || n < INCARNATION_MIN || n > FLEET_INCARNATION)
        return fleet_invalid(err, "incarnation", "16 to 64 hexadecimal digits, new for every process");
    *out = s;
    return 0;
}

/* --- registration --- */

struct registration {
    const char *worker, *incarnation;
    const cJSON *ceilings;
    const cJSON *capabilities;
    const char *arm; /* in the deployment's record */
    bool apart;
    struct cfg_contract *contract; /* owned */
    char *about, *group, *address; /* owned; address NULL: none */
    uint32_t rank, world;
};

static const char *const about_keys[] = {"host", "pid", "group", "rank", "world", "address", "labels"};

static int check_capabilities(const cJSON *list, struct cfg_error *err)
{
    int n = 0, rc = 0;
    const cJSON *c;
    if (list && !cJSON_IsArray(list))
        return fleet_invalid(err, "capabilities", "an array of names");
    cJSON_ArrayForEach(c, list)
    {
        if (rc == 0 && (!cJSON_IsString(c) || ++n > FLEET_CAPABILITIES))
            rc = fleet_invalid(err, "capabilities", "an array of at most 64 names");
        if (rc == 0 && (rc = cfg_check_word("capability", cfg_slice_str(c->valuestring), err)) != 0)
            cfg_error_set_path(err, "capabilities");
    }
    return rc;
}

static int read_about(char **out, const cJSON *body, struct cfg_error *err)
{
    int rc = fleet_check_text(body, "host", err);
    rc = rc ? rc : fleet_check_text(body, "group", err);
    rc = rc ? rc : fleet_check_text(body, "address", err);
    rc = rc ? rc : fleet_check_count(body, "pid", err);
    rc = rc ? rc : fleet_check_count(body, "rank", err);
    rc = rc ? rc : fleet_check_count(body, "world", err);
    rc = rc ? rc : fleet_check_kind(body, "labels", true, err);
    if (rc != 0)
        return rc;
    cJSON *about = cJSON_CreateObject();
    bool ok = about != NULL;
    for (size_t i = 0; ok && i < sizeof about_keys / sizeof about_keys[0]; i++) {
        const cJSON *v = cfg_json_get(body, about_keys[i]);
        ok = v == NULL || cJSON_AddItemToObject(about, about_keys[i], cJSON_Duplicate(v, true));
    }
    char *text = ok ? fleet_print(about) : NULL;
    cJSON_Delete(about);
    if (text == NULL)
        return cfg_fail(err, CFG_E_LIMIT, "the worker's labels are larger than %d KiB", FLEET_KEPT_MAX / 1024);
    *out = text;
    return 0;
}

/* A worker that names no group is one of its own. */
static int read_place(struct registration *r, const cJSON *body, struct cfg_error *err)
{
    double rank = cfg_json_get_num(body, "rank", 0), world = cfg_json_get_num(body, "world", 1);
    const char *group = cfg_json_get_str(body, "group", ""), *address = cfg_json_get_str(body, "address", "");
    if (world < 1 || world > UINT32_MAX || rank >= world)
        return fleet_invalid(err, "rank", "below the world size");
    r->rank = (uint32_t)rank;
    r->world = (uint32_t)world;
    r->group = strdup(group[0] ? group : r->worker);
    r->address = address[0] ? strdup(address) : NULL;
    return r->group && (!address[0] || r->address) ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory for a worker");
}

static int read_registration(struct registration *r, const cJSON *body, struct cfg_error *err)
{
    if (!cJSON_IsObject(body))
        return cfg_fail(err, CFG_E_INVALID, "a registration is a JSON object");
    r->worker = cfg_json_get_str(body, "worker", "");
    int rc = cfg_check_id("worker", cfg_slice_str(r->worker), err);
    rc = rc ? rc : check_incarnation(body, &r->incarnation, err);
    rc = rc ? rc : fleet_check_kind(body, "pin", true, err);
    rc = rc ? rc : fleet_check_text(body, "store", err);
    r->ceilings = cfg_json_get(body, "ceilings");
    rc = rc ? rc : fleet_ceilings_check(r->ceilings, err);
    r->capabilities = cfg_json_get(body, "capabilities");
    rc = rc ? rc : check_capabilities(r->capabilities, err);
    rc = rc ? rc : read_about(&r->about, body, err);
    rc = rc ? rc : read_place(r, body, err);
    return rc ? rc : cfg_contract_read(&r->contract, cfg_json_get(body, "contract"), err);
}

/* What the store says about this registration: the pin fits, the worker belongs to this store. */
static int check_deployment(const struct cfg_fleet *f, const struct cfg_deployment *d, const cJSON *body,
                            cJSON **problem, struct cfg_error *err)
{
    const char *store = cfg_store_identity(f->store)->store_id;
    int rc = cfg_fleet_check_store(d, store, cfg_json_get_str(body, "store", NULL), problem, err);
    if (rc != 0)
        return rc;
    const cJSON *pin = cfg_json_get(body, "pin");
    if (pin == NULL)
        return 0;
    cJSON *differences = cfg_pin_differences(d->pin, pin);
    if (differences == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a pin's differences");
    const cJSON *first = differences->child;
    if (first == NULL) {
        cJSON_Delete(differences);
        return 0;
    }
    rc = cfg_fail(err, CFG_E_PIN_MISMATCH, "the worker was started with another %s than deployment %s is pinned to",
                  cfg_json_get_str(first, "path", "value"), d->name);
    cfg_error_set_path(err, "%s", cfg_json_get_str(first, "path", ""));
    cfg_error_set_hint(
        err, "start it with the deployment's values (cfgctl deployment get %s), or make a new deployment", d->name);
    cJSON *extra = cJSON_CreateObject();
    if (extra == NULL || !cJSON_AddItemToObject(extra, "differences", differences))
        cJSON_Delete(differences);
    *problem = extra;
    return rc;
}

int cfg_fleet_check_store(const struct cfg_deployment *d, const char *store_id, const char *claimed, cJSON **problem,
                          struct cfg_error *err)
{
    if (claimed == NULL || claimed[0] == '\0' || strcmp(claimed, store_id) == 0)
        return 0;
    const cJSON *id;
    cJSON_ArrayForEach(id, d->adopted_stores)
    {
        if (cJSON_IsString(id) && strcmp(id->valuestring, claimed) == 0)
            return 0;
    }
    (void)cfg_fail(err, CFG_E_FOREIGN_STORE, "the worker's view comes from store %s; this is store %s", claimed,
                   store_id);
    cfg_error_set_hint(err, "if this store is to take its place: cfgctl deployment set %s --adopt-store %s", d->name,
                       claimed);
    cJSON *extra = cJSON_CreateObject();
    if (extra) {
        (void)cJSON_AddStringToObject(extra, "store", store_id); /* details of an error: left out without memory */
        (void)cJSON_AddItemToObject(extra, "adopted", cJSON_Duplicate(d->adopted_stores, true));
    }
    *problem = extra;
    return CFG_E_FOREIGN_STORE;
}

static int remember_old(struct fleet_worker *w)
{
    if (w->old == NULL && (w->old = calloc(FLEET_OLD, sizeof *w->old)) == NULL)
        return CFG_E_NOMEM;
    if (w->n_old == FLEET_OLD) {
        memmove(w->old, w->old + 1, (FLEET_OLD - 1) * sizeof *w->old);
        w->n_old--;
    }
    memcpy(w->old[w->n_old++], w->incarnation, sizeof w->incarnation);
    return 0;
}

/* The newer incarnation takes the id over; the older one's stream is told. */
static int supersede(struct cfg_fleet *f, struct fleet_worker *w, struct cfg_error *err)
{
    uint64_t now = fleet_now_ms(f);
    if (remember_old(w) != 0)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a worker");
    bool alive = w->superseded || (w->reported && now - w->report_ms < RECENT_MS);
    if (alive) {
        memmove(w->replaced_ms, w->replaced_ms + 1, (FLEET_FLAPS - 1) * sizeof w->replaced_ms[0]);
        w->replaced_ms[FLEET_FLAPS - 1] = now;
    }
    cfg_fleet_superseded_fn superseded = w->superseded;
    void *stream = w->stream;
    fleet_disconnect(f, w);
    fleet_runs_end(f, w);
    w->reported = false;
    w->gone_ms = 0;
    free(w->kept);
    w->kept = NULL;
    w->window_seq = w->window_ms = w->outcomes_seq = 0;
    w->applied = w->held = (struct cfg_rev){0, 0};
    w->step = 0;
    w->run_revision = (struct cfg_rev){0, 0};
    fleet_told_finish(&w->told);
    if (superseded)
        superseded(stream, true);
    return 0;
}

/* A worker that names the store of its view has one: it goes on with that, whatever there is now, and says so. */
static bool starts(const cJSON *body)
{
    return cfg_json_get_str(body, "store", "")[0] == '\0';
}

/* A process that has run nothing yet. Its saved view may be older than the flags that are on now, and unlike values,
 * which it holds against its contract itself, it cannot tell what they require. */
static bool is_fresh(const cJSON *body)
{
    return starts(body) || cfg_json_get_bool(body, "fresh", false);
}

static int enter(struct cfg_fleet *f, const char *deployment, struct registration *r, struct cfg_error *err)
{
    struct fleet_deployment *d = fleet_add_deployment(f, deployment);
    struct fleet_worker *w = d ? fleet_find_worker(d, r->worker) : NULL;
    for (size_t i = 0; w && i < w->n_old; i++)
        if (strcmp(w->old[i], r->incarnation) == 0)
            return cfg_fail(err, CFG_E_SUPERSEDED, "worker %s of %s has been replaced by a newer incarnation",
                            r->worker, deployment);
    if (w && strcmp(w->incarnation, r->incarnation) != 0) {
        int rc = supersede(f, w, err);
        if (rc != 0)
            return rc;
    }
    if (w == NULL && f->n_workers >= WORKERS_MAX)
        return cfg_fail(err, CFG_E_LIMIT, "more than %d workers are registered on this configd", WORKERS_MAX);
    if (w == NULL && d)
        w = fleet_add_worker(f, d, r->worker);
    struct cfg_contract *contract = r->contract;
    r->contract = NULL;
    if (w == NULL || fleet_set_contract(w, contract) != 0) {
        if (w == NULL)
            cfg_contract_free(contract);
        else if (w->contract == NULL)
            fleet_remove_worker(f, w);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a worker");
    }
    (void)snprintf(w->incarnation, sizeof w->incarnation, "%s", r->incarnation);
    cJSON_Delete(w->ceilings);
    w->ceilings = NULL;
    int taken = fleet_ceilings_take(f, w, r->ceilings, err);
    if (taken != 0)
        return taken;
    if (fleet_set_skills(w, r->capabilities) != 0)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a worker's capabilities");
    free(w->about);
    free(w->group);
    free(w->address);
    w->about = r->about;
    w->group = r->group;
    w->address = r->address;
    w->rank = r->rank;
    w->world = r->world;
    r->about = r->group = r->address = NULL;
    w->registered_wall_ns = f->clock->wall_ns(f->clock->arg);
    w->registered_ms = fleet_now_ms(f);
    w->arm = fleet_arm_at(d, r->arm);
    w->apart = r->apart;
    fleet_groups_moved(f);
    if (w->superseded)
        fleet_presence_touch(f, d); /* it may hold another contract now */
    return 0;
}

static cJSON *registration_reply(const struct cfg_fleet *f, const struct cfg_deployment *d, const char *worker,
                                 const char *arm)
{
    char rev[CFG_REV_TEXT], pin_digest[CFG_DIGEST_TEXT];
    cJSON *reply = cJSON_CreateObject();
    if (reply == NULL || cfg_digest_json(pin_digest, d->pin) != 0 ||
        !cJSON_AddStringToObject(reply, "deployment", d->name) || !cJSON_AddStringToObject(reply, "worker", worker) ||
        !cJSON_AddStringToObject(reply, "arm", arm) ||
        !cJSON_AddStringToObject(reply, "store", cfg_store_identity(f->store)->store_id) ||
        !cJSON_AddStringToObject(reply, "revision", cfg_rev_format(cfg_store_rev(f->store), rev)) ||
        !cJSON_AddNumberToObject(reply, "generation", (double)d->generation) ||
        !cJSON_AddItemToObject(reply, "pin", cJSON_Duplicate(d->pin, true)) ||
        !cJSON_AddStringToObject(reply, "pin_digest", pin_digest) ||
        !cJSON_AddNumberToObject(reply, "report_interval_ms", fleet_report_interval_ms(f))) {
        cJSON_Delete(reply);
        return NULL;
    }
    return reply;
}

int cfg_fleet_register(struct cfg_fleet *f, const char *deployment, const cJSON *body, cJSON **reply, cJSON **problem,
                       struct cfg_error *err)
{
    struct registration r = {0};
    struct cfg_deployment d = {0};
    struct cfg_object *o;
    *problem = NULL;
    int rc = read_registration(&r, body, err);
    rc = rc ? rc : cfg_hub_deployment(&o, f->store, deployment, err);
    rc = rc ? rc : cfg_deployment_read(&d, o, err);
    rc = rc ? rc : check_deployment(f, &d, body, problem, err);
    if (rc == 0 && starts(body))
        rc = fleet_check_contract(f, deployment, r.contract, r.ceilings, problem, err);
    if (rc == 0 && is_fresh(body))
        rc = fleet_check_skills(f, &d, r.capabilities, problem, err);
    r.arm = rc == 0 ? fleet_assign(&r.apart, &d, r.worker, body) : CFG_ARM_BASE;
    rc = rc ? rc : enter(f, deployment, &r, err);
    if (rc == 0) {
        fleet_find_deployment(f, deployment)->has_apart = d.split.where || d.split.by[0];
        cJSON *answer = registration_reply(f, &d, r.worker, r.arm);
        if (answer)
            *reply = answer;
        else
            rc = cfg_fail(err, CFG_E_NOMEM, "out of memory for a registration's reply");
    }
    fleet_refused_note(f, deployment, body, rc, rc && err ? err->text : "");
    cfg_deployment_finish(&d);
    cfg_contract_free(r.contract);
    free(r.about);
    free(r.group);
    free(r.address);
    return rc;
}
