#include "configd/backup_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cfg_backup_kinds[] = {"config",  "flag",       "schema",     "policy", "deployment",
                                        "rollout", "experiment", "evaluators", "flip",   NULL};

static bool is_below(struct cfg_slice key, const char *root, const char *kind)
{
    size_t r = strlen(root), k = strlen(kind);
    return key.len > r + k + 1 && memcmp(key.ptr, root, r) == 0 && memcmp(key.ptr + r, kind, k) == 0 &&
           key.ptr[r + k] == '/';
}

/* What experiments have counted, which no head tells. */
static bool is_tally(struct cfg_slice key)
{
    return is_below(key, "", "tally");
}

bool cfg_backup_wants(struct cfg_slice key)
{
    if (is_tally(key))
        return true;
    for (const char *const *kind = cfg_backup_kinds; *kind; kind++)
        if (is_below(key, "live/", *kind) || is_below(key, "history/", *kind))
            return true;
    return false;
}

/* --- writing --- */

void cfg_backup_print_head(struct cfg_buf *out, const struct cfg_store_identity *id, uint64_t revision,
                           const char *time, uint64_t keys)
{
    cfg_buf_printf(out,
                   "{\"configd_backup\":1,\"store\":\"%s\",\"epoch\":%" PRIu64 ",\"revision\":%" PRIu64
                   ",\"time\":\"%s\",\"keys\":%" PRIu64 "}\n",
                   id->store_id, id->epoch, revision, time, keys);
}

static void put_prefix(struct cfg_buf *out, struct cfg_slice key)
{
    cfg_buf_puts(out, "{\"key\":");
    cfg_json_put_string(out, key);
    cfg_buf_puts(out, ",\"value\":");
}

bool cfg_backup_print_record(struct cfg_buf *out, struct cfg_slice key, struct cfg_slice value)
{
    cJSON *tree = NULL;
    if (cfg_json_parse(&tree, value, CFG_ENVELOPE_DEPTH, NULL) != 0)
        return false;
    put_prefix(out, key);
    cfg_json_print(out, tree);
    cfg_buf_puts(out, "}\n");
    cJSON_Delete(tree);
    return true;
}

void cfg_backup_print_end(struct cfg_buf *out, const char *sha256)
{
    cfg_buf_printf(out, "{\"end\":true,\"sha256\":\"%s\"}\n", sha256);
}

/* --- reading --- */

struct reader {
    struct cfg_slice text;
    size_t at, line; /* line: of the one read last, from 1 */
    uint64_t keys;
    size_t cap;
};

static bool next_line(struct reader *r, struct cfg_slice *line)
{
    if (r->at >= r->text.len)
        return false;
    const char *start = r->text.ptr + r->at, *end = memchr(start, '\n', r->text.len - r->at);
    if (end == NULL)
        return false;
    *line = (struct cfg_slice){start, (size_t)(end - start)};
    r->at += line->len + 1;
    r->line++;
    return true;
}

static int broken(const struct reader *r, struct cfg_error *err, const char *what)
{
    return cfg_fail(err, CFG_E_VALUE, "the backup's line %zu %s", r->line, what);
}

static int read_head(struct cfg_backup *b, struct reader *r, struct cfg_error *err)
{
    struct cfg_slice line;
    cJSON *tree = NULL;
    if (!next_line(r, &line) || cfg_json_parse(&tree, line, 0, NULL) != 0 ||
        cfg_json_get_num(tree, "configd_backup", 0) != 1) {
        cJSON_Delete(tree);
        return cfg_fail(err, CFG_E_VALUE, "the file is no backup of configd, or one of a newer format");
    }
    const char *store = cfg_json_get_str(tree, "store", "");
    int rc = cfg_json_need_u64(tree, "epoch", &b->identity.epoch, err);
    if (rc == 0)
        rc = cfg_json_need_u64(tree, "revision", &b->revision, err);
    if (rc == 0)
        rc = cfg_json_need_u64(tree, "keys", &r->keys, err);
    size_t n = strlen(store);
    if (rc == 0 && (n == 0 || n >= sizeof b->identity.store_id || strspn(store, "0123456789abcdef") != n))
        rc = broken(r, err, "names no store");
    if (rc == 0)
        memcpy(b->identity.store_id, store, n + 1);
    (void)snprintf(b->time, sizeof b->time, "%s", cfg_json_get_str(tree, "time", "?"));
    cJSON_Delete(tree);
    return rc;
}

/* The last line; what comes before it is what its checksum is over. */
static int check_end(const struct reader *r, size_t start, const cJSON *tree, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    if (cfg_digest_bytes(digest, (struct cfg_slice){r->text.ptr, start}) != 0)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (strcmp(cfg_json_get_str(tree, "sha256", ""), digest) != 0)
        return broken(r, err, "says another checksum than the file has");
    return r->at == r->text.len ? 0 : broken(r, err, "is not the last one");
}

static bool is_known(struct cfg_slice history_key)
{
    for (int k = CFG_KIND_CONFIG; cfg_kind_is_versioned((enum cfg_kind)k); k++)
        if (is_below(history_key, "history/", cfg_kind_name((enum cfg_kind)k)))
            return true;
    return false;
}

/* The keys of kinds that this configd knows must make sense, and so must their records. */
static int check_record(const struct reader *r, struct cfg_slice key, struct cfg_slice value, const cJSON *tree,
                        struct cfg_error *err)
{
    struct cfg_object_id id = {.kind = CFG_KIND_OTHER};
    struct cfg_object *o = NULL;
    uint64_t version = 0;
    bool is_history = cfg_slice_starts(key, "history/");
    if (!cfg_backup_wants(key))
        return broken(r, err, "has a key that belongs into no backup");
    if (!cJSON_IsObject(tree))
        return broken(r, err, "holds no record");
    if (is_tally(key))
        return 0;
    int rc = 0;
    if (!is_history)
        rc = cfg_object_id_from_key(&id, key, err);
    else if (is_known(key))
        rc = cfg_object_id_from_history_key(&id, &version, key, err);
    if (rc != 0 || id.kind == CFG_KIND_OTHER)
        return rc;
    rc = cfg_object_new(&o, &id, value, 1, err);
    if (rc == 0 && is_history && o->version != version)
        rc = broken(r, err, "holds another version than its key says");
    (void)cfg_object_unref(o);
    return rc;
}

/* Takes key over. */
static int push(struct cfg_backup *b, struct reader *r, char *key, struct cfg_slice value)
{
    if (b->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 256;
        struct cfg_backup_item *items = realloc(b->items, cap * sizeof *items);
        if (items == NULL) {
            free(key);
            return CFG_E_NOMEM;
        }
        b->items = items;
        r->cap = cap;
    }
    b->items[b->n++] = (struct cfg_backup_item){.key = key, .value = value};
    return 0;
}

/* Lines are spelt as they were printed, so that a value's bytes are found without printing it anew. */
static int read_record(struct cfg_backup *b, struct reader *r, struct cfg_slice line, const cJSON *tree,
                       struct cfg_error *err)
{
    const char *key = cfg_json_get_str(tree, "key", NULL);
    const cJSON *value_tree = cfg_json_get(tree, "value");
    struct cfg_buf prefix;
    if (key == NULL || value_tree == NULL)
        return broken(r, err, "is no record");
    cfg_buf_init(&prefix, 8192);
    put_prefix(&prefix, cfg_slice_str(key));
    bool spelt = cfg_buf_status(&prefix) == 0 && cfg_slice_starts(line, prefix.data);
    struct cfg_slice value = {line.ptr + prefix.len, spelt ? line.len - prefix.len - 1 : 0};
    cfg_buf_finish(&prefix);
    if (!spelt)
        return broken(r, err, "is not spelt as a backup spells it");
    int rc = check_record(r, cfg_slice_str(key), value, value_tree, err);
    if (rc != 0)
        return rc;
    char *copy = cfg_slice_dup(cfg_slice_str(key));
    return copy && push(b, r, copy, value) == 0 ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int read_lines(struct cfg_backup *b, struct reader *r, struct cfg_error *err)
{
    struct cfg_slice line;
    for (;;) {
        size_t start = r->at;
        cJSON *tree = NULL;
        struct cfg_error why = CFG_ERROR_INIT;
        if (!next_line(r, &line))
            return cfg_fail(err, CFG_E_VALUE, "the backup is cut off behind line %zu: it has no end line", r->line);
        if (cfg_json_parse(&tree, line, CFG_ENVELOPE_DEPTH + 1, &why) != 0)
            return cfg_fail(err, CFG_E_JSON, "the backup's line %zu: %s", r->line, why.text);
        bool is_end = cfg_json_get_bool(tree, "end", false);
        int rc = is_end ? check_end(r, start, tree, err) : read_record(b, r, line, tree, err);
        cJSON_Delete(tree);
        if (rc != 0)
            return r->line > 0 && !is_end ? cfg_error_wrap(err, "line %zu", r->line) : rc;
        if (is_end)
            return b->n == r->keys ? 0 : broken(r, err, "comes after another number of keys than the first line says");
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct cfg_backup_item *)a)->key, ((const struct cfg_backup_item *)b)->key);
}

static struct cfg_backup_item *find(const struct cfg_backup *b, const char *key)
{
    struct cfg_backup_item wanted;
    memset(&wanted, 0, sizeof wanted);
    wanted.key = strdup(key);
    struct cfg_backup_item *found = wanted.key ? bsearch(&wanted, b->items, b->n, sizeof *b->items, by_key) : NULL;
    free(wanted.key);
    return found;
}

/* A head and its record in history go into one transaction, as they did when they were written: views of an arm that
 * holds this version get the same revision from either. */
static int pair_heads(struct cfg_backup *b, struct cfg_error *err)
{
    for (size_t i = 0; i < b->n; i++) {
        struct cfg_object_id id;
        struct cfg_backup_item *head = &b->items[i];
        struct cfg_object *o = NULL;
        struct cfg_buf key;
        if (i > 0 && strcmp(head->key, b->items[i - 1].key) == 0)
            return cfg_fail(err, CFG_E_VALUE, "the backup has key %s twice", head->key);
        if (cfg_object_id_from_key(&id, cfg_slice_str(head->key), NULL) != 0 || !cfg_kind_is_versioned(id.kind))
            continue;
        int rc = cfg_object_new(&o, &id, head->value, 1, err);
        if (rc != 0)
            return rc;
        cfg_buf_init(&key, 4096);
        cfg_object_history_key(&key, &id, o->version);
        (void)cfg_object_unref(o);
        head->pair = cfg_buf_status(&key) == 0 ? find(b, key.data) : NULL;
        cfg_buf_finish(&key);
        if (head->pair == NULL || !cfg_slice_eq(head->pair->value, head->value))
            return cfg_fail(err, CFG_E_VALUE, "the backup has %s, but not the same record in history", head->key);
        head->pair->pair = head;
    }
    return 0;
}

int cfg_backup_read(struct cfg_backup *out, struct cfg_slice text, struct cfg_error *err)
{
    struct cfg_backup b = {0};
    struct reader r = {.text = text};
    int rc = read_head(&b, &r, err);
    if (rc == 0)
        rc = read_lines(&b, &r, err);
    if (rc == 0 && b.n > 1)
        qsort(b.items, b.n, sizeof *b.items, by_key);
    if (rc == 0)
        rc = pair_heads(&b, err);
    if (rc != 0) {
        cfg_backup_finish(&b);
        return rc;
    }
    *out = b;
    return 0;
}

static void free_item(struct cfg_backup_item *item)
{
    free(item->key);
    free(item->own);
}

void cfg_backup_finish(struct cfg_backup *b)
{
    for (size_t i = 0; i < b->n; i++)
        free_item(&b->items[i]);
    free(b->items);
    *b = (struct cfg_backup){0};
}
