#include "configd/change_rollout_start.h"
#include "configd/change_checks.h"
#include "configd/change_release.h"
#include "configd/release.h"
#include "configd/rollout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

int cfg_rollout_flag_id(struct cfg_object_id *out, const char *text, struct cfg_error *err)
{
    char address[CFG_OBJECT_ID_TEXT + 8];
    if (strlen(text) > CFG_LIMIT_NAME + CFG_LIMIT_FLAG_NAME + 1 || strchr(text, '/') == NULL)
        return cfg_fail(err, CFG_E_ADDRESS, "\"%.80s\" is no flag: NAMESPACE/NAME", text);
    (void)snprintf(address, sizeof address, "flag/%s", text);
    return cfg_object_id_parse(out, cfg_slice_str(address), err);
}

static const cJSON *base_arm(const cJSON *record)
{
    return cfg_json_get(cfg_json_get(record, "arms"), CFG_ARM_BASE);
}

/* --- versions from history --- */

static bool nth_space(struct cfg_object_id *id, uint64_t *version, const cJSON *release, size_t *i)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, release)
    {
        if (m->string == NULL || cfg_check_name("namespace", cfg_slice_str(m->string), NULL) != 0 ||
            cfg_json_need_u64(release, m->string, version, NULL) != 0)
            continue;
        if ((*i)-- > 0)
            continue;
        *id = cfg_object_id_of(CFG_KIND_CONFIG, m->string, NULL);
        return true;
    }
    return false;
}

static bool nth_flag(struct cfg_object_id *id, uint64_t *version, const cJSON *flags, size_t *i)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, flags)
    {
        if (m->string == NULL || cfg_rollout_flag_id(id, m->string, NULL) != 0 ||
            cfg_json_need_u64(flags, m->string, version, NULL) != 0)
            continue;
        if ((*i)-- == 0)
            return true;
    }
    return false;
}

bool cfg_rollout_needs(struct cfg_object_id *id, uint64_t *version, const struct cfg_change_entry *e, size_t i,
                       const struct cfg_heads *heads)
{
    const struct cfg_object_id deployment = cfg_object_id_of(CFG_KIND_DEPLOYMENT, e->id.ns, NULL);
    const cJSON *flags = cfg_json_get(e->body, "flags");
    if (nth_space(id, version, cfg_json_get(e->body, "release"), &i) ||
        (cJSON_IsObject(flags) && nth_flag(id, version, flags, &i)))
        return true;
    const struct cfg_object *head = heads->get(heads->arg, &deployment);
    cJSON *record = head && !head->deleted ? cfg_object_tree(head) : NULL;
    bool found = nth_space(id, version, cfg_json_get(base_arm(record), "release"), &i);
    cJSON_Delete(record);
    return found;
}

/* --- releases --- */

struct starting {
    struct cfg_bench *bench;
    const struct cfg_draft *deployment;
    const struct cfg_change_entry *entry;
    const char *ns;
    struct cfg_release held, named; /* held: n 0 when the base follows the heads */
    struct cfg_release_walk from_walk, to_walk;
    struct cfg_closure from, to;
    cJSON *record;
};

static bool writes_configs(const struct cfg_bench *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i]->touched && b->items[i]->id.kind == CFG_KIND_CONFIG)
            return true;
    return false;
}

static int walk_both(struct starting *s, struct cfg_error *err)
{
    const cJSON *arm = base_arm(s->deployment->before);
    const cJSON *held =
        strcmp(cfg_json_get_str(arm, "follows", ""), "fixed") == 0 ? cfg_json_get(arm, "release") : NULL;
    const cJSON *named = cfg_json_get(s->entry->body, "release"), *flags = cfg_json_get(s->entry->body, "flags");
    static const struct cfg_release none = {NULL, 0};
    int rc = held ? cfg_release_read(&s->held, held, err) : 0;
    rc = rc || named == NULL ? rc : cfg_release_read(&s->named, named, err);
    s->from_walk = (struct cfg_release_walk){
        .bench = s->bench, .entry = s->entry, .named = &none, .held = &s->held, .after = false};
    s->to_walk = s->from_walk;
    s->to_walk.named = &s->named;
    s->to_walk.after = named == NULL && (flags == NULL || writes_configs(s->bench));
    if (s->to_walk.after)
        s->to_walk.held = &none;
    rc = rc ? rc : cfg_release_walk(&s->from, &s->from_walk, s->ns, err);
    rc = rc ? rc : cfg_release_walk(&s->to, &s->to_walk, s->ns, err);
    return rc ? rc : cfg_release_check_named(&s->to, &s->named, s->ns, err);
}

/* Both sides' documents as they would be without the pin: what changes of pinned keys would not be heard of. */
static int check_pin(const struct starting *s, struct cfg_error *err)
{
    const struct cfg_release_options o = {.incomplete = true};
    struct cfg_deployment d = {0};
    cJSON *before = NULL, *after = NULL, *kept = NULL;
    int rc = cfg_deployment_read_body(&d, s->deployment->id.ns, s->deployment->before, err);
    rc = rc ? rc : cfg_release_resolve(&before, NULL, &s->from, &o, err);
    rc = rc ? rc : cfg_release_resolve(&after, NULL, &s->to, &o, err);
    if (rc == 0 && (kept = cfg_pin_kept(&d, before, after)) == NULL)
        rc = no_memory(err);
    if (rc == 0 && kept->child) {
        const char *path = cfg_json_get_str(kept->child, "path", "");
        rc = cfg_fail(err, CFG_E_PINNED, "the release changes %s, which deployment %s has pinned", path, d.name);
        cfg_error_set_path(err, "%s", path);
        cfg_error_set_hint(err,
                           "a pin never moves: roll out a version without that change, or create a new deployment");
    }
    cJSON_Delete(before);
    cJSON_Delete(after);
    cJSON_Delete(kept);
    cfg_deployment_finish(&d);
    return rc;
}

/* Schemas, and whether connected workers take it. */
static int check_target(const struct starting *s, struct cfg_error *err)
{
    cJSON *document = NULL;
    struct cfg_concern c = {.touched = true};
    int rc = check_pin(s, err);
    rc = rc ? rc : cfg_release_check_view(&document, s->bench, &s->to, s->deployment, err);
    rc = rc ? rc : cfg_deployment_read_body(&c.deployment, s->deployment->id.ns, s->deployment->before, err);
    rc = rc ? rc : cfg_contracts_view(s->bench, &c, document, err);
    cfg_deployment_finish(&c.deployment);
    cJSON_Delete(document);
    return rc;
}

/* --- flags --- */

/* The flag's version after this change, where it must exist and be seen. */
static int flag_version(uint64_t *out, const struct cfg_draft **draft, struct starting *s, const char *text,
                        struct cfg_error *err)
{
    struct cfg_draft *d;
    struct cfg_object_id id;
    int rc = cfg_rollout_flag_id(&id, text, err);
    rc = rc ? rc : cfg_bench_open(&d, s->bench, &id, err);
    rc = rc ? rc : cfg_bench_guard_head(s->bench, d, err);
    if (rc != 0)
        return rc;
    bool seen = false;
    const cJSON *ns;
    cJSON_ArrayForEach(ns, cfg_json_get(s->deployment->before, "flags"))
    {
        seen = seen || (cJSON_IsString(ns) && strcmp(ns->valuestring, id.ns) == 0);
    }
    if (!seen)
        return cfg_fail(err, CFG_E_VALUE, "deployment %s does not see the flags of %s", s->deployment->id.ns, id.ns);
    if (d->head == NULL && d->after) {
        (void)cfg_fail(err, CFG_E_VALUE, "flag %s is created by this change: there is nothing to step from", text);
        cfg_error_set_hint(err, "create it first, switched off; then roll out the change that switches it on");
        return CFG_E_VALUE;
    }
    if (d->head == NULL)
        return cfg_bench_missing(s->bench, d, err);
    *out = cfg_draft_next_version(d);
    *draft = d;
    return 0;
}

/* The flag's versions on both sides, into their "flags". wanted 0: what it is after this change. */
static int add_flag(struct starting *s, cJSON *from, cJSON *to, const char *text, uint64_t wanted,
                    struct cfg_error *err)
{
    const struct cfg_draft *d = NULL;
    uint64_t after = 0;
    int rc = flag_version(&after, &d, s, text, err);
    if (rc != 0)
        return rc;
    if (wanted > 0 && wanted != after) {
        const struct cfg_object *o = d->head->version == wanted ? d->head : cfg_change_source(s->entry, &d->id, wanted);
        const struct cfg_guard g = {.kind = CFG_GUARD_HISTORY, .id = d->id, .version = wanted};
        if (o == NULL)
            return cfg_fail(err, CFG_E_NOT_FOUND, "flag %s has no version %" PRIu64, text, wanted);
        rc = cfg_bench_guard(s->bench, &g, err);
        after = wanted;
    }
    if (rc == 0 && cfg_json_get(from, text) == NULL)
        rc = cfg_json_set(from, text, cJSON_CreateNumber((double)d->head->version));
    rc = rc ? rc : cfg_json_set(to, text, cJSON_CreateNumber((double)after));
    return rc == CFG_E_NOMEM ? no_memory(err) : rc;
}

/* Flags that an earlier rollout left fixed stay so on both sides, unless they are what is rolled out. */
static int fill_flags(struct starting *s, cJSON *from, cJSON *to, struct cfg_error *err)
{
    const cJSON *flags = cfg_json_get(s->entry->body, "flags"),
                *kept = cfg_json_get(base_arm(s->deployment->before), "flags");
    const cJSON *item;
    int rc = 0;
    cJSON_ArrayForEach(item, kept)
    {
        if (rc == 0 && (cfg_json_set(from, item->string, cJSON_Duplicate(item, true)) != 0 ||
                        cfg_json_set(to, item->string, cJSON_Duplicate(item, true)) != 0))
            rc = no_memory(err);
    }
    if (flags && !cJSON_IsObject(flags) && !cJSON_IsArray(flags))
        return cfg_fail(err, CFG_E_VALUE, "flags are {\"NAMESPACE/NAME\": VERSION}, or a list of names");
    cJSON_ArrayForEach(item, flags)
    {
        uint64_t version = 0;
        const char *name = cJSON_IsObject(flags) ? item->string : cJSON_IsString(item) ? item->valuestring : "";
        if (rc == 0 && cJSON_IsObject(flags))
            rc = cfg_json_need_u64(flags, item->string, &version, err);
        rc = rc ? rc : add_flag(s, from, to, name, version, err);
    }
    return rc;
}

/* --- the record --- */

/* {"release","flags"} into the record under that name; *flags is borrowed. */
static int add_side(cJSON **flags, cJSON *record, const char *name, const struct cfg_closure *c, struct cfg_error *err)
{
    struct cfg_release release = {NULL, 0};
    cJSON *side = cJSON_AddObjectToObject(record, name);
    int rc = side ? cfg_closure_release(&release, c, err) : no_memory(err);
    if (rc == 0 && cfg_json_set(side, "release", cfg_release_json(&release)) != 0)
        rc = no_memory(err);
    cfg_release_finish(&release);
    if (rc == 0 && (*flags = cJSON_AddObjectToObject(side, "flags")) == NULL)
        rc = no_memory(err);
    return rc;
}

static int check_differs(const struct starting *s, struct cfg_error *err)
{
    const cJSON *from = cfg_json_get(s->record, "from"), *to = cfg_json_get(s->record, "to");
    if (!cfg_json_equal(cfg_json_get(from, "release"), cfg_json_get(to, "release")) ||
        !cfg_json_equal(cfg_json_get(from, "flags"), cfg_json_get(to, "flags")))
        return 0;
    double version = cfg_json_get_num(cfg_json_get(to, "release"), s->ns, 0);
    (void)cfg_fail(err, CFG_E_CONFLICT, "deployment %s runs %s v%.0f already: there is nothing to roll out",
                   s->deployment->id.ns, s->ns, version);
    cfg_error_set_hint(err, "cfgctl set %s/… --rollout 1%%,10%%,100%% writes and rolls out in one", s->ns);
    return CFG_E_CONFLICT;
}

static int fill_record(struct starting *s, uint64_t run, struct cfg_error *err)
{
    cJSON *from = NULL, *to = NULL;
    const char *seed = cfg_json_get_str(s->entry->body, "seed", cfg_json_get_str(s->entry->seen, "seed", ""));
    bool ok = cJSON_AddStringToObject(s->record, "deployment", s->deployment->id.ns) &&
              cJSON_AddStringToObject(s->record, "config", s->ns) &&
              cJSON_AddNumberToObject(s->record, "run", (double)run) &&
              cJSON_AddStringToObject(s->record, "seed", seed);
    int rc = ok ? add_side(&from, s->record, "from", &s->from, err) : no_memory(err);
    rc = rc ? rc : add_side(&to, s->record, "to", &s->to, err);
    rc = rc ? rc : fill_flags(s, from, to, err);
    const char *track = cfg_json_get_str(s->deployment->before, "track", "head");
    if (rc == 0 && !cJSON_AddStringToObject(cfg_json_get(s->record, "from"), "track", track))
        rc = no_memory(err);
    return rc ? rc : check_differs(s, err);
}

static int check_request(const struct starting *s, struct cfg_error *err)
{
    static const char *const members[] = {"release",  "flags",  "seed",  "steps",       "plan", "bake_ms",
                                          "gate",     "guards", "where", "min_samples", "by",   "why",
                                          "start_at", "freeze", "name",  "deployment",  NULL};
    const char *name = cfg_json_get_str(s->entry->body, "deployment", s->deployment->id.ns);
    int rc = cJSON_IsObject(s->entry->body) ? cfg_check_members(s->entry->body, members, "a rollout", err)
                                            : cfg_fail(err, CFG_E_INVALID, "a rollout is an object");
    if (rc == 0 && strcmp(name, s->deployment->id.ns) != 0)
        rc = cfg_fail(err, CFG_E_INVALID, "the body names another deployment than %s", s->deployment->id.ns);
    if (rc == 0 && cfg_json_get(base_arm(s->deployment->before), "locked")) {
        rc =
            cfg_fail(err, CFG_E_CONFLICT, "deployment %s is locked: nothing is rolled out to it", s->deployment->id.ns);
        cfg_error_set_hint(err, "cfgctl deployment update %s --track hold --to VERSION unlocks it",
                           s->deployment->id.ns);
    }
    return rc;
}

int cfg_rollout_start(cJSON **out, struct cfg_bench *b, const struct cfg_draft *deployment,
                      const struct cfg_change_entry *e, uint64_t run, struct cfg_error *err)
{
    struct starting s = {.bench = b, .deployment = deployment, .entry = e};
    s.ns = cfg_json_get_str(deployment->before, "config", "");
    int rc = check_request(&s, err);
    rc = rc ? rc : cfg_rollout_plan(&s.record, e->body, err);
    rc = rc ? rc : walk_both(&s, err);
    rc = rc ? rc : fill_record(&s, run, err);
    rc = rc ? rc : check_target(&s, err);
    cfg_closure_finish(&s.from);
    cfg_closure_finish(&s.to);
    cfg_release_walk_finish(&s.from_walk);
    cfg_release_walk_finish(&s.to_walk);
    cfg_release_finish(&s.held);
    cfg_release_finish(&s.named);
    if (rc == 0)
        *out = s.record;
    else
        cJSON_Delete(s.record);
    return rc;
}
