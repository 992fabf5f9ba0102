/* Deployments: creation freezes the pin, patches move everything but the pin; and what a namespace's write means for
 * the deployments that run it. */
#include "configd/change_lock.h"
#include "configd/change_release.h"
#include "configd/change_rollout.h"
#include "configd/change_spaces.h"
#include "configd/release.h"
#include "configd/view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { REQUIRES_MAX = 16 }; /* capabilities, as of a flag */

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int set_text(cJSON *object, const char *key, const char *text)
{
    return cfg_json_set(object, key, cJSON_CreateString(text));
}

static int open_config(struct cfg_draft **out, struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
    int rc = cfg_check_name("namespace", cfg_slice_str(ns), err);
    return rc == 0 ? cfg_bench_open(out, b, &id, err) : rc;
}

/* --- the parts of a record --- */

/* An array of namespace names, each once. Returned-owned in *out. */
static int read_flags(cJSON **out, const cJSON *list, struct cfg_error *err)
{
    if (list && !cJSON_IsArray(list))
        return cfg_fail(err, CFG_E_VALUE, "flags must be an array of namespaces");
    cJSON *flags = cJSON_CreateArray();
    int rc = flags ? 0 : no_memory(err);
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const char *ns = cJSON_IsString(item) ? item->valuestring : "";
        if (rc == 0)
            rc = cfg_check_name("flag namespace", cfg_slice_str(ns), err);
        bool known = rc != 0;
        for (const cJSON *f = rc == 0 ? flags->child : NULL; f && !known; f = f->next)
            known = strcmp(f->valuestring, ns) == 0;
        if (!known && !cJSON_AddItemToArray(flags, cJSON_CreateString(ns)))
            rc = no_memory(err);
    }
    if (rc != 0) {
        cJSON_Delete(flags);
        return rc;
    }
    *out = flags;
    return 0;
}

/* Capabilities of every worker, each once; "requires" leaves the record where the list is empty or null. */
static int put_requires(cJSON *record, const cJSON *list, struct cfg_error *err)
{
    cJSON_DeleteItemFromObjectCaseSensitive(record, "requires");
    if (list && !cJSON_IsNull(list) && (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > REQUIRES_MAX))
        return cfg_fail(err, CFG_E_VALUE, "requires must be an array of at most %d capabilities", REQUIRES_MAX);
    const cJSON *item;
    int rc = 0;
    cJSON_ArrayForEach(item, list)
    {
        rc = rc ? rc : cfg_check_word("capability", cfg_slice_str(cJSON_IsString(item) ? item->valuestring : ""), err);
    }
    if (rc != 0 || list == NULL || list->child == NULL)
        return rc;
    return cfg_json_set(record, "requires", cJSON_Duplicate(list, true)) == 0 ? 0 : no_memory(err);
}

/* {"base":{"follows":"head"}} or {"base":{"follows":"fixed","release":{"chat":43,"base":7}}}; NULL without memory. */
static cJSON *make_arms(const struct cfg_release *fixed)
{
    cJSON *arms = cJSON_CreateObject();
    cJSON *base = cJSON_AddObjectToObject(arms, "base");
    bool ok = base && cJSON_AddStringToObject(base, "follows", fixed->n > 0 ? "fixed" : "head");
    if (ok && fixed->n > 0)
        ok = cfg_json_set(base, "release", cfg_release_json(fixed)) == 0;
    if (!ok) {
        cJSON_Delete(arms);
        return NULL;
    }
    return arms;
}

/* What the heads of ns and of its bases are now. */
static int release_of_heads(struct cfg_release *out, struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    struct cfg_closure closure;
    int rc = cfg_spaces_closure(&closure, b, ns, true, err);
    if (rc == 0) {
        rc = cfg_closure_release(out, &closure, err);
        cfg_closure_finish(&closure);
    }
    return rc;
}

/* True when another path of the list holds it, or it is there twice (the first one counts). */
static bool is_covered(const cJSON *list, const cJSON *item)
{
    bool behind = false;
    for (const cJSON *o = list->child; o; o = o->next) {
        size_t n = strlen(o->valuestring);
        if (o == item)
            behind = true;
        else if (strncmp(item->valuestring, o->valuestring, n) == 0 &&
                 (item->valuestring[n] == '.' || (item->valuestring[n] == '\0' && !behind)))
            return true;
    }
    return false;
}

static bool remember_leaf(const char *path, const cJSON *value, void *arg)
{
    (void)value;
    struct cfg_buf *names = arg;
    cfg_buf_put(names, path, strlen(path) + 1);
    return cfg_buf_status(names) == 0;
}

/* Top-level keys and leaves of the document are what a pin is likely to have meant. */
static void hint_pin(const cJSON *document, const char *path, struct cfg_error *err)
{
    const char *names[512];
    size_t n = 0;
    struct cfg_buf text;
    cfg_buf_init(&text, CFG_LIMIT_DOCUMENT);
    (void)cfg_path_each_leaf(document, remember_leaf, &text); /* fewer candidates when it stops early */
    for (const cJSON *m = document->child; m && n < 256; m = m->next)
        names[n++] = m->string;
    for (size_t at = 0; at < text.len && n < 512; at += strlen(text.data + at) + 1)
        names[n++] = text.data + at;
    const char *near = cfg_near_miss(path, names, n);
    if (near)
        cfg_error_set_hint(err, "did you mean %s?", near);
    else
        cfg_error_set_hint(err, "set it in the namespace first: a pin holds values that are known when it is made");
    cfg_buf_finish(&text);
}

static int pin_one(cJSON *keys, cJSON *pin, const cJSON *document, const char *ns, const char *path,
                   struct cfg_error *err)
{
    const cJSON *value = cfg_path_get(document, path);
    if (value == NULL) {
        (void)cfg_fail(err, CFG_E_VALUE, "%s cannot be pinned: %s/%s does not exist", path, ns, path);
        cfg_error_set_path(err, "%s", path);
        hint_pin(document, path, err);
        return CFG_E_VALUE;
    }
    int rc = cfg_path_set(pin, path, cJSON_Duplicate(value, true), err);
    if (rc == 0 && !cJSON_AddItemToArray(keys, cJSON_CreateString(path)))
        rc = no_memory(err);
    return rc;
}

/* Adds pin_keys, pin and pin_digest to the record, from the document as it is now. */
static int freeze_pin(cJSON *record, const cJSON *list, const cJSON *document, const char *ns, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    cJSON *keys = cJSON_CreateArray(), *pin = cJSON_CreateObject();
    int rc = keys && pin ? 0 : no_memory(err);
    const cJSON *item;
    if (rc == 0 && list && !cJSON_IsArray(list))
        rc = cfg_fail(err, CFG_E_VALUE, "pin must be an array of parameter paths");
    cJSON_ArrayForEach(item, list)
    {
        if (rc == 0 && (!cJSON_IsString(item) || strchr(item->valuestring, '[')))
            rc = cfg_fail(err, CFG_E_VALUE, "pin takes paths of object keys; pin a list as a whole");
        if (rc == 0)
            rc = cfg_path_check(cfg_slice_str(item->valuestring), err);
    }
    cJSON_ArrayForEach(item, list)
    {
        if (rc == 0 && !is_covered(list, item))
            rc = pin_one(keys, pin, document, ns, item->valuestring, err);
    }
    if (rc == 0 && cfg_digest_json(digest, pin) != 0)
        rc = no_memory(err);
    if (rc != 0) {
        cJSON_Delete(keys);
        cJSON_Delete(pin);
        return rc;
    }
    rc = cfg_json_set(record, "pin_keys", keys);
    if (cfg_json_set(record, "pin", pin) != 0 || rc != 0 || set_text(record, "pin_digest", digest) != 0)
        return no_memory(err);
    return 0;
}

static int read_track(bool *hold, const cJSON *track, struct cfg_error *err)
{
    const char *text = cJSON_IsString(track) ? track->valuestring : "";
    if (strcmp(text, "head") != 0 && strcmp(text, "hold") != 0)
        return cfg_fail(err, CFG_E_VALUE, "track is \"head\" or \"hold\"");
    *hold = strcmp(text, "hold") == 0;
    return 0;
}

/* --- creation --- */

/* The document as it resolves now: a pin holds results. *out is returned-owned. */
static int resolve_now(cJSON **out, struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    struct cfg_closure closure;
    const struct cfg_release_options o = {.incomplete = false};
    int rc = cfg_spaces_closure(&closure, b, ns, true, err);
    if (rc == 0) {
        rc = cfg_release_resolve(out, NULL, &closure, &o, err);
        cfg_closure_finish(&closure);
    }
    return rc;
}

static int fill_pin(cJSON *record, struct cfg_bench *b, const char *ns, const cJSON *body, struct cfg_error *err)
{
    cJSON *document = NULL;
    int rc = resolve_now(&document, b, ns, err);
    if (rc == 0)
        rc = freeze_pin(record, cfg_json_get(body, "pin"), document, ns, err);
    cJSON_Delete(document);
    return rc;
}

static int fill_record(cJSON *record, struct cfg_bench *b, const struct cfg_draft *config, const cJSON *body,
                       struct cfg_error *err)
{
    const char *ns = config->id.ns;
    const cJSON *track = cfg_json_get(body, "track");
    bool hold = false;
    cJSON *flags = NULL;
    struct cfg_release fixed = {0};
    int rc = track ? read_track(&hold, track, err) : 0;
    if (rc == 0 && hold)
        rc = release_of_heads(&fixed, b, ns, err);
    if (rc == 0)
        rc = read_flags(&flags, cfg_json_get(body, "flags"), err);
    if (rc != 0) {
        cfg_release_finish(&fixed);
        return rc;
    }
    rc = cfg_json_set(record, "flags", flags);
    if (rc != 0 || set_text(record, "config", ns) != 0 || set_text(record, "track", hold ? "hold" : "head") != 0 ||
        cfg_json_set(record, "generation", cJSON_CreateNumber(1)) != 0 ||
        cfg_json_set(record, "arms", make_arms(&fixed)) != 0 ||
        cfg_json_set(record, "adopted_stores", cJSON_CreateArray()) != 0)
        rc = no_memory(err);
    cfg_release_finish(&fixed);
    rc = rc ? rc : put_requires(record, cfg_json_get(body, "requires"), err);
    return rc ? rc : fill_pin(record, b, ns, body, err);
}

static int create(struct cfg_bench *b, struct cfg_draft *d, const struct cfg_change_entry *e, struct cfg_error *err)
{
    const cJSON *body = e->body;
    static const char *const members[] = {"name", "config", "pin", "flags", "track", "requires", NULL};
    struct cfg_draft *config;
    if (d->before) {
        (void)cfg_fail(err, CFG_E_EXISTS, "deployment %s exists already, at version %" PRIu64, d->id.ns,
                       d->head->version);
        cfg_error_set_hint(err, "its pin never moves: create another deployment, or delete this one first");
        return CFG_E_EXISTS;
    }
    int rc = cfg_json_get(body, "lock") ? 0 : cfg_check_members(body, members, "a deployment", err);
    if (rc == 0 && strcmp(cfg_json_get_str(body, "name", d->id.ns), d->id.ns) != 0)
        rc = cfg_fail(err, CFG_E_INVALID, "the body names another deployment than %s", d->id.ns);
    if (rc == 0 && cfg_json_get(body, "lock"))
        return cfg_lock_apply(b, d, e, err);
    if (rc == 0)
        rc = open_config(&config, b, cfg_json_get_str(body, "config", ""), err);
    if (rc != 0)
        return rc;
    if (config->after == NULL)
        return cfg_bench_missing(b, config, err);
    rc = cfg_bench_guard_head(b, config, err);
    if (rc != 0)
        return rc;
    d->after = cJSON_CreateObject();
    return d->after ? fill_record(d->after, b, config, body, err) : no_memory(err);
}

/* --- patches --- */

static int pinned(const struct cfg_draft *d, const char *member, struct cfg_error *err)
{
    (void)cfg_fail(err, CFG_E_PINNED, "deployment %s: %s never changes while the deployment lives", d->id.ns, member);
    cfg_error_set_path(err, "%s", member);
    cfg_error_set_hint(err, "create another deployment with the new set-up");
    return CFG_E_PINNED;
}

/* What the base arm holds after the patch; none: it follows the heads. */
static int decide_arm(struct cfg_release *fixed, struct cfg_bench *b, const struct cfg_draft *d,
                      const struct cfg_change_entry *e, bool hold, struct cfg_error *err)
{
    const char *ns = cfg_json_get_str(d->before, "config", "");
    const cJSON *is = cfg_json_get(cfg_json_get(cfg_json_get(d->before, "arms"), "base"), "release");
    if (cfg_json_get(e->body, "release") && !hold) {
        (void)cfg_fail(err, CFG_E_CONFLICT, "deployment %s follows the head of %s; only a held one is moved", d->id.ns,
                       ns);
        cfg_error_set_hint(err, "hold it first: cfgctl deployment update %s --track hold", d->id.ns);
        return CFG_E_CONFLICT;
    }
    if (cfg_json_get(e->body, "release"))
        return cfg_release_decide(fixed, b, d, e, err);
    if (!hold)
        return 0;
    if (is)
        return cfg_release_read(fixed, is, err);
    struct cfg_draft *config;
    int rc = open_config(&config, b, ns, err);
    if (rc == 0 && config->after == NULL)
        return cfg_bench_missing(b, config, err);
    return rc ? rc : release_of_heads(fixed, b, ns, err);
}

static int adopt_store(cJSON *record, const cJSON *value, struct cfg_error *err)
{
    cJSON *list = cfg_json_get(record, "adopted_stores");
    int rc = cJSON_IsString(value) ? cfg_check_id("store", cfg_slice_str(value->valuestring), err)
                                   : cfg_fail(err, CFG_E_VALUE, "adopt_store must be a store's id");
    if (rc != 0)
        return rc;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, value->valuestring) == 0)
            return 0;
    }
    return cJSON_AddItemToArray(list, cJSON_CreateString(value->valuestring)) ? 0 : no_memory(err);
}

static int check_patch(const struct cfg_draft *d, const cJSON *body, struct cfg_error *err)
{
    static const char *const members[] = {"track", "flags", "release", "adopt_store", "requires", NULL};
    static const char *const frozen[] = {"pin", "pin_keys", "pin_digest", "config", "generation", "name", NULL};
    for (const char *const *f = frozen; *f; f++)
        if (cfg_json_get(body, *f))
            return pinned(d, *f, err);
    return cfg_check_members(body, members, "a deployment's patch", err);
}

static bool is_locked(const cJSON *record)
{
    return cfg_json_get(cfg_json_get(cfg_json_get(record, "arms"), "base"), "locked") != NULL;
}

/* The arm as it is to be: the release, and the flags that are fixed already where it stays fixed. */
static int set_arms(struct cfg_draft *d, const struct cfg_release *fixed, struct cfg_error *err)
{
    const cJSON *flags = cfg_json_get(cfg_json_get(cfg_json_get(d->before, "arms"), "base"), "flags");
    cJSON *arms = make_arms(fixed);
    if (arms && flags && fixed->n > 0 &&
        cfg_json_set(cfg_json_get(arms, "base"), "flags", cJSON_Duplicate(flags, true)) != 0) {
        cJSON_Delete(arms);
        arms = NULL;
    }
    return cfg_json_set(d->after, "arms", arms) == 0 ? 0 : no_memory(err);
}

static int patch(struct cfg_bench *b, struct cfg_draft *d, const struct cfg_change_entry *e, struct cfg_error *err)
{
    bool hold = strcmp(cfg_json_get_str(d->before, "track", "head"), "hold") == 0;
    const cJSON *track = cfg_json_get(e->body, "track"), *flag_list = cfg_json_get(e->body, "flags");
    const cJSON *store = cfg_json_get(e->body, "adopt_store");
    cJSON *flags = NULL;
    struct cfg_release fixed = {0};
    int rc = check_patch(d, e->body, err);
    if (rc == 0 && track)
        rc = read_track(&hold, track, err);
    if (rc == 0 && (track || cfg_json_get(e->body, "release")))
        rc = cfg_rollout_refuse_split(d, "moved", err);
    bool locked = hold && is_locked(d->before) && cfg_json_get(e->body, "release") == NULL;
    if (rc == 0 && locked && flag_list) {
        rc = cfg_fail(err, CFG_E_CONFLICT, "deployment %s is locked: its flags are part of that", d->id.ns);
        cfg_error_set_hint(err, "cfgctl deployment update %s --track head, or --to a version, unlocks it", d->id.ns);
    }
    bool split = cfg_json_get(d->before, "split") != NULL;
    if (rc == 0 && !locked && !split)
        rc = decide_arm(&fixed, b, d, e, hold, err);
    if (rc == 0 && flag_list)
        rc = read_flags(&flags, flag_list, err);
    if (rc == 0 && flags && cfg_json_set(d->after, "flags", flags) != 0)
        rc = no_memory(err);
    if (rc == 0 && store)
        rc = adopt_store(d->after, store, err);
    if (rc == 0 && cfg_json_get(e->body, "requires"))
        rc = put_requires(d->after, cfg_json_get(e->body, "requires"), err);
    if (rc == 0 && set_text(d->after, "track", hold ? "hold" : "head") != 0)
        rc = no_memory(err);
    if (rc == 0 && !locked && !split)
        rc = set_arms(d, &fixed, err);
    cfg_release_finish(&fixed);
    return rc;
}

/* A rollback may bring anything back but another pin. */
static int check_rollback(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    static const char *const frozen[] = {"pin", "pin_keys", "config", "generation"};
    struct cfg_draft *config;
    for (size_t i = 0; d->before && i < sizeof frozen / sizeof frozen[0]; i++)
        if (!cfg_json_equal(cfg_json_get(d->before, frozen[i]), cfg_json_get(d->after, frozen[i])))
            return pinned(d, frozen[i], err);
    int split = d->before ? cfg_rollout_refuse_split(d, "rolled back", err) : 0;
    if (split != 0)
        return split;
    if (cfg_json_get(d->after, "split")) {
        (void)cfg_fail(err, CFG_E_CONFLICT, "that version of deployment %s is from the middle of a rollout", d->id.ns);
        cfg_error_set_hint(err, "go back to one before or after it; or cfgctl rollout start %s", d->id.ns);
        return CFG_E_CONFLICT;
    }
    if (is_locked(d->after))
        return cfg_lock_check_kept(b, d, err);
    int rc = open_config(&config, b, cfg_json_get_str(d->after, "config", ""), err);
    if (rc == 0 && config->after == NULL)
        return cfg_bench_missing(b, config, err);
    return rc == 0 ? cfg_bench_guard_head(b, config, err) : rc;
}

int cfg_apply_deployment(struct cfg_bench *b, size_t entry, struct cfg_error *err)
{
    const struct cfg_change_entry *e = &b->change->entries[entry];
    struct cfg_draft *d = cfg_bench_find(b, &e->id);
    if (e->op == CFG_CHANGE_ROLLBACK)
        return check_rollback(b, d, err);
    if (e->op == CFG_CHANGE_CREATE || e->op == CFG_CHANGE_PUT)
        return create(b, d, e, err);
    if (e->op != CFG_CHANGE_MERGE_PATCH)
        return cfg_fail(err, CFG_E_UNSUPPORTED, "a deployment is changed by a merge patch");
    return d->before ? patch(b, d, e, err) : cfg_bench_missing(b, d, err);
}

/* --- what a namespace's end means for deployments --- */

struct survey {
    struct cfg_bench *bench;
    const struct cfg_draft *config;
    struct cfg_error *err;
    int rc;
};

static bool refuse_one(struct cfg_object *o, void *arg)
{
    struct survey *s = arg;
    struct cfg_deployment d;
    const struct cfg_draft *draft = cfg_bench_find(s->bench, &o->id);
    if (o->deleted || (draft && draft->after == NULL) || cfg_deployment_read(&d, o, NULL) != 0)
        return true;
    if (strcmp(d.config, s->config->id.ns) == 0) {
        s->rc = cfg_fail(s->err, CFG_E_IN_USE, "it is what deployment %s runs", d.name);
        cfg_error_set_hint(s->err, "delete the deployment first");
    }
    cfg_deployment_finish(&d);
    return s->rc == 0;
}

int cfg_deployments_refuse(struct cfg_bench *b, const struct cfg_draft *config, struct cfg_error *err)
{
    struct survey s = {.bench = b, .config = config, .err = err};
    if (config->before == NULL || config->after != NULL || b->change->force)
        return 0;
    int rc = cfg_bench_guard_space(b, CFG_KIND_DEPLOYMENT, "", err);
    if (rc == 0)
        b->heads->each(b->heads->arg, CFG_KIND_DEPLOYMENT, NULL, refuse_one, &s);
    return rc == 0 ? s.rc : rc;
}
