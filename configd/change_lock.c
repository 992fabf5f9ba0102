#include "configd/change_lock.h"
#include "configd/lock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- which of its versions are this store's --- */

enum found { FOUND, PRUNED, FOREIGN };

static enum found look_up(const struct cfg_bench *b, const struct cfg_change_entry *e, const cJSON *lock,
                          const struct cfg_release_item *item)
{
    char text[CFG_OBJECT_ID_TEXT];
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, item->ns, NULL);
    const struct cfg_object *head = b->heads->get(b->heads->arg, &id), *o = head;
    const char *digest = cfg_lock_input(lock, cfg_object_id_text(&id, text).ptr, item->version);
    if (head == NULL || head->version < item->version)
        return FOREIGN; /* it was never written here */
    if (head->version != item->version)
        o = cfg_change_source(e, &id, item->version);
    if (o == NULL)
        return PRUNED;
    return digest && strcmp(o->digest, digest) == 0 ? FOUND : FOREIGN;
}

static int keep_versions(struct cfg_release *out, struct cfg_bench *b, struct cfg_draft *d,
                         const struct cfg_change_entry *e, const cJSON *lock, struct cfg_error *err)
{
    struct cfg_release r = {0};
    size_t kept = 0;
    const cJSON *versions = cfg_json_get(lock, "release");
    int rc = versions->child ? cfg_release_read(&r, versions, err) : 0;
    for (size_t i = 0; i < r.n && rc == 0; i++) {
        const struct cfg_release_item item = r.items[i];
        struct cfg_guard g = {
            .kind = CFG_GUARD_HISTORY, .id = cfg_object_id_of(CFG_KIND_CONFIG, item.ns, NULL), .version = item.version};
        enum found found = look_up(b, e, lock, &item);
        if (found == FOUND)
            rc = cfg_bench_guard(b, &g, err);
        else if (d->hint[0] == '\0')
            (void)snprintf(d->hint, sizeof d->hint, "%s v%" PRIu64 " is %s; the deployment runs on the lock alone",
                           item.ns, item.version, found == PRUNED ? "no longer in history" : "not of this store");
        if (found != FOREIGN)
            r.items[kept++] = item;
    }
    r.n = kept;
    if (rc == 0)
        *out = r;
    else
        cfg_release_finish(&r);
    return rc;
}

/* --- the record --- */

static cJSON *make_arms(const struct cfg_release *release, const char *digest)
{
    cJSON *arms = cJSON_CreateObject();
    cJSON *base = cJSON_AddObjectToObject(arms, "base");
    bool ok = base && cJSON_AddStringToObject(base, "follows", "fixed");
    if (ok && release->n > 0)
        ok = cfg_json_set(base, "release", cfg_release_json(release)) == 0;
    if (!ok || cJSON_AddStringToObject(base, "locked", digest) == NULL) {
        cJSON_Delete(arms);
        return NULL;
    }
    return arms;
}

static int fill_record(cJSON *record, const cJSON *lock, const struct cfg_release *release)
{
    static const char *const copied[] = {"flags", "config", "pin_keys", "pin_digest"};
    const cJSON *pin = cfg_json_get(cfg_json_get(lock, "view"), "pinned");
    int rc = 0;
    for (size_t i = 0; i < sizeof copied / sizeof copied[0] && rc == 0; i++)
        rc = cfg_json_set(record, copied[i], cJSON_Duplicate(cfg_json_get(lock, copied[i]), true));
    rc = rc ? rc : cfg_json_set(record, "pin", cJSON_Duplicate(pin, true));
    rc = rc ? rc : cfg_json_set(record, "track", cJSON_CreateString("hold"));
    rc = rc ? rc : cfg_json_set(record, "generation", cJSON_CreateNumber(1));
    rc = rc ? rc : cfg_json_set(record, "adopted_stores", cJSON_CreateArray());
    return rc ? rc : cfg_json_set(record, "arms", make_arms(release, cfg_json_get_str(lock, "digest", "")));
}

int cfg_lock_apply(struct cfg_bench *b, struct cfg_draft *d, const struct cfg_change_entry *e, struct cfg_error *err)
{
    static const char *const members[] = {"name", "lock", NULL};
    const cJSON *lock = cfg_json_get(e->body, "lock");
    struct cfg_release release = {0};
    int rc = cfg_check_members(e->body, members, "a deployment that is made from a lock", err);
    rc = rc ? rc : cfg_lock_check(lock, err);
    rc = rc ? rc : keep_versions(&release, b, d, e, lock, err);
    if (rc != 0)
        return rc;
    d->after = cJSON_CreateObject();
    rc = d->after && fill_record(d->after, lock, &release) == 0 ? 0 : no_memory(err);
    cfg_release_finish(&release);
    return rc;
}

int cfg_lock_check_kept(const struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    const char *locked = cfg_json_get_str(cfg_json_get(cfg_json_get(d->after, "arms"), "base"), "locked", "");
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_LOCKED, d->id.ns, NULL);
    const struct cfg_object *o = b->heads->get(b->heads->arg, &id);
    if (locked[0] == '\0')
        return 0;
    cJSON *content = o ? cfg_object_tree(o) : NULL;
    bool same = strcmp(cfg_json_get_str(content, "digest", ""), locked) == 0;
    cJSON_Delete(content);
    if (same)
        return 0;
    (void)cfg_fail(err, CFG_E_CONFLICT, "deployment %s was locked to a view that is no longer here", d->id.ns);
    cfg_error_set_hint(err, "cfgctl deployment create %s --from-lock FILE", d->id.ns);
    return CFG_E_CONFLICT;
}

/* --- what it is locked to --- */

static int put_content(struct cfg_decision *out, const struct cfg_draft *d, const cJSON *lock, struct cfg_error *err)
{
    struct cfg_write w = {.id = cfg_object_id_of(CFG_KIND_LOCKED, d->id.ns, NULL)};
    struct cfg_buf text;
    cJSON *content = cfg_lock_content(lock);
    cfg_buf_init(&text, CFG_LIMIT_CHANGE_BYTES);
    if (content)
        cfg_json_print(&text, content);
    cJSON_Delete(content);
    w.json_len = text.len;
    int rc = content ? cfg_buf_status(&text) : CFG_E_NOMEM;
    if (rc == 0 && (w.json = cfg_buf_steal(&text)) == NULL)
        rc = CFG_E_NOMEM;
    cfg_buf_finish(&text);
    if (rc == CFG_E_NOMEM)
        return no_memory(err);
    out->bytes += w.json_len + CFG_OBJECT_ID_TEXT;
    if (rc == 0)
        out->writes[out->n_writes++] = w;
    if (rc != 0 || out->bytes > CFG_LIMIT_CHANGE_BYTES)
        return cfg_fail(err, CFG_E_LIMIT, "the lock is larger than %d KiB", CFG_LIMIT_CHANGE_BYTES / 1024);
    return 0;
}

int cfg_lock_write(struct cfg_decision *out, const struct cfg_bench *b, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++) {
        const struct cfg_draft *d = b->items[i];
        const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_LOCKED, d->id.ns, NULL);
        const cJSON *lock;
        if (!d->touched || d->id.kind != CFG_KIND_DEPLOYMENT)
            continue;
        lock = cfg_json_get(b->change->entries[d->entry].body, "lock");
        if (d->after && lock)
            rc = put_content(out, d, lock, err);
        else if (d->after == NULL && b->heads->get(b->heads->arg, &id))
            out->writes[out->n_writes++] = (struct cfg_write){.id = id};
    }
    return rc;
}
