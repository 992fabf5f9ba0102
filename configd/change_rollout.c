#include "configd/change_rollout.h"
#include "configd/change_checks.h"
#include "configd/change_rollout_start.h"
#include "configd/rollout.h"

#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

int cfg_rollout_refuse_split(const struct cfg_draft *deployment, const char *what, struct cfg_error *err)
{
    if (cfg_json_get(deployment->before, "split") == NULL)
        return 0;
    (void)cfg_fail(err, CFG_E_CONFLICT, "a rollout is under way on deployment %s: it cannot be %s", deployment->id.ns,
                   what);
    cfg_error_set_hint(err, "wait for its end, or cfgctl rollout abort %s", deployment->id.ns);
    return CFG_E_CONFLICT;
}

/* The deployment's draft, to be written by this entry beside the rollout. */
static int open_deployment(struct cfg_draft **out, struct cfg_bench *b, size_t entry, struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_DEPLOYMENT, b->change->entries[entry].id.ns, NULL);
    struct cfg_draft *d;
    int rc = cfg_bench_open(&d, b, &id, err);
    if (rc == 0 && d->before == NULL)
        rc = cfg_bench_missing(b, d, err);
    if (rc == 0 && d->touched && d->entry != entry)
        rc = cfg_fail(err, CFG_E_INVALID, "deployment %s is changed by two entries", id.ns);
    rc = rc ? rc : cfg_bench_guard_head(b, d, err);
    if (rc == 0)
        *out = d;
    return rc;
}

static void touch(struct cfg_draft *d, size_t entry)
{
    d->touched = true;
    d->entry = entry;
}

/* --- what a version was decided on --- */

/* NULL: nobody says. */
static const char *why_of(const struct cfg_bench *b, const cJSON *body)
{
    return cfg_json_get_str(body, "why", b->change->message);
}

static const char *const decision_members[] = {"baked_ms", "guards", "arms", "trace", NULL};

/* seen: what it was decided on; NULL: nothing. */
static int set_decision(cJSON *record, const struct cfg_bench *b, const char *input, const char *why, const cJSON *seen,
                        struct cfg_error *err)
{
    const char *author = b->change->author;
    cJSON *decision = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(decision, "input", input) &&
              (why == NULL || why[0] == '\0' || cJSON_AddStringToObject(decision, "why", why));
    ok = ok && cJSON_AddStringToObject(decision, "actor", author ? author : "");
    for (const char *const *m = decision_members; ok && *m; m++) {
        const cJSON *value = cfg_json_get(seen, *m);
        ok = value == NULL || cfg_json_set(decision, *m, cJSON_Duplicate(value, true)) == 0;
    }
    if (!ok) {
        cJSON_Delete(decision);
        return no_memory(err);
    }
    return cfg_json_set(record, "decision", decision) == 0 ? 0 : no_memory(err);
}

static int set_state(cJSON *record, const struct cfg_rollout_state *s, struct cfg_error *err)
{
    cJSON *state = cJSON_CreateObject();
    bool suspended = s->phase == CFG_ROLLOUT_PAUSED || s->phase == CFG_ROLLOUT_FROZEN;
    bool ok = cJSON_AddStringToObject(state, "phase", cfg_rollout_phase_name(s->phase)) &&
              cJSON_AddNumberToObject(state, "step", s->step);
    if (ok && suspended)
        ok = cJSON_AddStringToObject(state, "resume", cfg_rollout_phase_name(s->resume)) != NULL;
    if (ok && s->phase == CFG_ROLLOUT_ROLLING_BACK)
        ok = cJSON_AddStringToObject(state, "then", cfg_rollout_phase_name(s->then)) != NULL;
    if (!ok) {
        cJSON_Delete(state);
        return no_memory(err);
    }
    return cfg_json_set(record, "state", state) == 0 ? 0 : no_memory(err);
}

/* --- inputs --- */

/* What the driver saw counts from whoever holds the lock alone. */
static int check_lock(struct cfg_bench *b, struct cfg_error *err)
{
    struct cfg_draft *lock;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_LOCK, CFG_ROLLOUT_LOCK_NAME, NULL);
    int rc = cfg_bench_open(&lock, b, &id, err);
    rc = rc ? rc : cfg_bench_guard_head(b, lock, err);
    if (rc != 0)
        return rc;
    const char *holder = cfg_json_get_str(lock->after, "holder", ""), *author = b->change->author;
    if (author && holder[0] && strcmp(holder, author) == 0)
        return 0;
    (void)cfg_fail(err, CFG_E_CONFLICT, "the lock \"%s\" is not held by %s", CFG_ROLLOUT_LOCK_NAME,
                   author ? author : "anybody");
    cfg_error_set_hint(err, "people send pause, resume, approve, advance or abort");
    return CFG_E_CONFLICT;
}

/* Is the side what the heads are now? *fixed (returned-owned) is the side without flags whose heads say the same. */
static int compare_heads(cJSON **fixed, bool *release, struct cfg_bench *b, const cJSON *side, struct cfg_error *err)
{
    cJSON *copy = cJSON_Duplicate(side, true);
    const cJSON *item, *versions = cfg_json_get(copy, "release");
    int rc = copy ? 0 : no_memory(err);
    *release = true;
    cJSON_ArrayForEach(item, versions)
    {
        struct cfg_draft *d = NULL;
        const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, item->string, NULL);
        rc = rc ? rc : cfg_bench_open(&d, b, &id, err);
        rc = rc ? rc : cfg_bench_guard_head(b, d, err);
        *release = *release && rc == 0 && d->after && (double)cfg_draft_next_version(d) == item->valuedouble;
    }
    cJSON *flags = cfg_json_get(copy, "flags");
    for (cJSON *flag = flags ? flags->child : NULL, *next; flag && rc == 0; flag = next) {
        struct cfg_draft *d;
        struct cfg_object_id id;
        next = flag->next;
        rc = cfg_rollout_flag_id(&id, flag->string, err);
        rc = rc ? rc : cfg_bench_open(&d, b, &id, err);
        rc = rc ? rc : cfg_bench_guard_head(b, d, err);
        if (rc == 0 && d->head && (double)cfg_draft_next_version(d) == flag->valuedouble)
            cJSON_Delete(cJSON_DetachItemViaPointer(flags, flag));
    }
    if (rc == 0)
        *fixed = copy;
    else
        cJSON_Delete(copy);
    return rc;
}

/* One release for everybody. A deployment that followed the heads does so again when that is what they are; otherwise
 * the record keeps which version of it holds for that reason alone. */
static int settle(struct cfg_draft *deployment, struct cfg_bench *b, cJSON *record, const char *side_name,
                  struct cfg_error *err)
{
    const cJSON *side = cfg_json_get(record, side_name);
    bool followed = strcmp(cfg_json_get_str(cfg_json_get(record, "from"), "track", "hold"), "head") == 0, at_heads;
    cJSON *fixed = NULL;
    int rc = compare_heads(&fixed, &at_heads, b, side, err);
    rc = rc ? rc : cfg_rollout_settle(deployment->after, fixed, followed && at_heads, err);
    cJSON_Delete(fixed);
    if (rc == 0 && followed && !at_heads &&
        cfg_json_set(record, "holds", cJSON_CreateNumber((double)cfg_draft_next_version(deployment))) != 0)
        rc = no_memory(err);
    return rc;
}

static int apply_effect(struct cfg_bench *b, size_t entry, cJSON *record, enum cfg_rollout_effect effect,
                        struct cfg_error *err)
{
    struct cfg_draft *deployment;
    if (effect == CFG_ROLLOUT_KEEP)
        return 0;
    int rc = open_deployment(&deployment, b, entry, err);
    if (rc != 0)
        return rc;
    touch(deployment, entry);
    if (effect == CFG_ROLLOUT_SHARE)
        return cfg_rollout_split(deployment->after, record, err);
    return settle(deployment, b, record, effect == CFG_ROLLOUT_FINISH ? "to" : "from", err);
}

/* It is kept with every version. Who goes on past the guards must say why. */
static int check_why(const struct cfg_bench *b, const cJSON *body, bool needed, struct cfg_error *err)
{
    const cJSON *given = cfg_json_get(body, "why");
    const char *why = why_of(b, body);
    int rc = 0;
    if (given && !cJSON_IsString(given))
        rc = cfg_fail(err, CFG_E_VALUE, "why must be a text");
    else if (why && strlen(why) > CFG_LIMIT_MESSAGE)
        rc = cfg_fail(err, CFG_E_LIMIT, "why is longer than %d KiB", CFG_LIMIT_MESSAGE / 1024);
    else if (needed && (why == NULL || why[0] == '\0'))
        rc = cfg_fail(err, CFG_E_INVALID, "going on whatever the guards know needs a reason");
    if (rc != 0)
        cfg_error_set_path(err, "why");
    return rc;
}

/* Why it goes back stays to be seen when it has gone back. */
static int set_reason(cJSON *record, const struct cfg_bench *b, const cJSON *body, struct cfg_error *err)
{
    const char *why = why_of(b, body);
    return cfg_json_set(record, "reason", cJSON_CreateString(why ? why : "")) == 0 ? 0 : no_memory(err);
}

static int take_input(struct cfg_bench *b, struct cfg_draft *d, size_t entry, struct cfg_error *err)
{
    static const char *const saw[] = {"input", "why", "baked_ms", "guards", "arms", "trace", NULL};
    static const char *const said[] = {"input", "why", NULL};
    const cJSON *body = b->change->entries[entry].body;
    enum cfg_rollout_input input;
    enum cfg_rollout_effect effect;
    struct cfg_rollout_state next;
    struct cfg_rollout r = {.run = 0};
    int rc = cfg_rollout_input_parse(&input, cfg_json_get_str(body, "input", ""), err);
    bool persons = rc == 0 && cfg_rollout_input_is_persons(input);
    rc = rc ? rc : cfg_check_members(body, persons ? said : saw, "an input to a rollout", err);
    if (rc == 0 && !persons)
        rc = check_lock(b, err);
    rc = rc ? rc : check_why(b, body, input == CFG_ROLLOUT_ADVANCE, err);
    rc = rc ? rc : cfg_rollout_read(&r, d->before, err);
    if (rc != 0)
        return rc;
    rc = cfg_rollout_next(&next, &effect, &r.state, input, r.n_steps, r.steps[r.state.step].gate, err);
    cfg_rollout_finish(&r);
    rc = rc ? rc : set_state(d->after, &next, err);
    const cJSON *seen = b->change->entries[entry].seen;
    rc = rc ? rc : set_decision(d->after, b, cfg_rollout_input_name(input), why_of(b, body), seen ? seen : body, err);
    if (rc == 0 && effect == CFG_ROLLOUT_REVERT)
        rc = set_reason(d->after, b, body, err);
    return rc ? rc : apply_effect(b, entry, d->after, effect, err);
}

/* --- the start --- */

static int check_free(const struct cfg_draft *d, struct cfg_error *err)
{
    struct cfg_rollout r = {.run = 0};
    if (d->before == NULL || cfg_rollout_read(&r, d->before, NULL) != 0)
        return 0; /* a record that nobody can read drives nothing */
    bool over = cfg_rollout_is_final(&r.state);
    cfg_rollout_finish(&r);
    if (over)
        return 0;
    (void)cfg_fail(err, CFG_E_CONFLICT, "deployment %s has a rollout already, which is %s", d->id.ns,
                   cfg_rollout_phase_name(r.state.phase));
    cfg_error_set_hint(err, "wait for its end, or cfgctl rollout abort %s", d->id.ns);
    return CFG_E_CONFLICT;
}

/* A deployment that nobody has changed since the last rollout froze it counts as one that follows the heads: it holds
 * for that rollout's sake, not because somebody wanted it to. */
static int keep_following(cJSON *record, const cJSON *last, const struct cfg_draft *deployment, struct cfg_error *err)
{
    if (deployment->head == NULL || cfg_json_get_num(last, "holds", 0) != (double)deployment->head->version)
        return 0;
    return cfg_json_set(cfg_json_get(record, "from"), "track", cJSON_CreateString("head")) == 0 ? 0 : no_memory(err);
}

static int start(struct cfg_bench *b, struct cfg_draft *d, size_t entry, struct cfg_error *err)
{
    const struct cfg_change_entry *e = &b->change->entries[entry];
    struct cfg_draft *deployment;
    cJSON *record = NULL;
    int rc = check_free(d, err);
    rc = rc ? rc : check_why(b, e->body, false, err);
    rc = rc ? rc : open_deployment(&deployment, b, entry, err);
    rc = rc ? rc : cfg_rollout_refuse_split(deployment, "rolled out to", err);
    rc = rc ? rc : cfg_rollout_start(&record, b, deployment, e, (d->head ? d->head->version : 0) + 1, err);
    rc = rc ? rc : keep_following(record, d->before, deployment, err);
    if (rc != 0) {
        cJSON_Delete(record);
        return rc;
    }
    cJSON_Delete(d->after);
    d->after = record;
    const struct cfg_rollout_state scheduled = {.phase = CFG_ROLLOUT_SCHEDULED};
    rc = set_state(record, &scheduled, err);
    rc = rc ? rc : set_decision(record, b, "start", why_of(b, e->body), NULL, err);
    if (rc != 0)
        return rc;
    const char *unasked = cfg_json_get_str(e->seen, "unasked", "");
    if (unasked[0])
        (void)snprintf(d->hint, sizeof d->hint,
                       "replica %.80s did not answer: whether the first step holds a group is not known", unasked);
    touch(deployment, entry);
    return cfg_rollout_split(deployment->after, record, err);
}

int cfg_apply_rollout(struct cfg_bench *b, size_t entry, struct cfg_error *err)
{
    const struct cfg_change_entry *e = &b->change->entries[entry];
    struct cfg_draft *d;
    int rc = cfg_bench_open(&d, b, &e->id, err);
    rc = rc ? rc : cfg_bench_touch(b, d, entry, err);
    if (rc != 0)
        return rc;
    if (e->op == CFG_CHANGE_CREATE)
        return start(b, d, entry, err);
    if (e->op != CFG_CHANGE_MERGE_PATCH) {
        (void)cfg_fail(err, CFG_E_UNSUPPORTED, "a rollout is started, told something, or read: nothing else");
        cfg_error_set_hint(err, "cfgctl rollout abort %s ends it", e->id.ns);
        return CFG_E_UNSUPPORTED;
    }
    if (d->before)
        return take_input(b, d, entry, err);
    (void)cfg_fail(err, CFG_E_NOT_FOUND, "deployment %s has had no rollout", e->id.ns);
    cfg_error_set_hint(err, "cfgctl rollout list shows those there are");
    return CFG_E_NOT_FOUND;
}
