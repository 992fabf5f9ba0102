/* The backup file: what is printed is read, and what is broken anywhere is refused. */
#include "configd/backup_rollouts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void line(struct cfg_buf *out, const char *key, const char *value)
{
    cr_assert(cfg_backup_print_record(out, cfg_slice_str(key), cfg_slice_str(value)));
}

static void seal(struct cfg_buf *out)
{
    char digest[CFG_DIGEST_TEXT];
    cr_assert_eq(cfg_digest_bytes(digest, cfg_buf_slice(out)), 0);
    cfg_backup_print_end(out, digest);
}

#define CHAT1 "{\"version\":1,\"document\":{\"a\":1}}"
#define CHAT2 "{\"version\":2,\"document\":{\"a\":2},\"parent\":1}"
#define ODD   "{\"version\":1,\"definition\":{}}"

static void head(struct cfg_buf *out, uint64_t keys)
{
    const struct cfg_store_identity id = {.store_id = "abc123", .epoch = 3};
    cfg_buf_init(out, 1 << 20);
    cfg_backup_print_head(out, &id, 77, "2026-01-01T00:00:00.000000Z", keys);
}

static void whole(struct cfg_buf *out)
{
    head(out, 6);
    line(out, "live/config/chat", CHAT2);
    line(out, "live/flag/chat/quo\"te", ODD);
    line(out, "live/policy/chat", "{\"any\":1}");
    line(out, "history/config/chat/0000000001", CHAT1);
    line(out, "history/config/chat/0000000002", CHAT2);
    line(out, "history/flag/chat/quo\"te/0000000001", ODD);
    seal(out);
}

static int read_text(const struct cfg_buf *text, struct cfg_error *err)
{
    struct cfg_backup b = {0};
    int rc = cfg_backup_read(&b, cfg_buf_slice(text), err);
    if (rc != 0)
        cr_assert_null(b.items, "out is untouched on failure");
    cfg_backup_finish(&b);
    return rc;
}

Test(backup, what_is_printed_is_read)
{
    struct cfg_buf text;
    struct cfg_backup b;
    struct cfg_error err = CFG_ERROR_INIT;
    whole(&text);
    cr_assert_eq(cfg_backup_read(&b, cfg_buf_slice(&text), &err), 0, "%s", err.text);
    cr_assert(b.n == 6 && b.revision == 77 && b.identity.epoch == 3);
    cr_assert_str_eq(b.identity.store_id, "abc123");
    size_t pairs = 0;
    for (size_t i = 0; i < b.n; i++) {
        cr_assert(b.items[i].pair == NULL || b.items[i].pair->pair == &b.items[i]);
        pairs += b.items[i].pair != NULL;
        if (strcmp(b.items[i].key, "live/config/chat") == 0)
            cr_assert(cfg_slice_eq_str(b.items[i].value, CHAT2));
    }
    cr_assert_eq(pairs, 4);
    cfg_backup_finish(&b);
    cfg_buf_finish(&text);
}

Test(backup, an_empty_store_has_a_backup)
{
    struct cfg_buf text;
    struct cfg_error err = CFG_ERROR_INIT;
    head(&text, 0);
    seal(&text);
    cr_assert_eq(read_text(&text, &err), 0, "%s", err.text);
    cfg_buf_finish(&text);
}

Test(backup, cut_anywhere_it_is_refused)
{
    struct cfg_buf text;
    whole(&text);
    size_t n = text.len;
    for (text.len = 0; text.len < n; text.len++)
        cr_assert_neq(read_text(&text, NULL), 0, "cut at %zu", text.len);
    cr_assert_eq(read_text(&text, NULL), 0);
    cfg_buf_finish(&text);
}

Test(backup, changed_anywhere_it_is_refused)
{
    struct cfg_buf text;
    whole(&text);
    for (size_t i = 0; i < text.len; i++) {
        text.data[i] ^= 1;
        cr_assert_neq(read_text(&text, NULL), 0, "byte %zu", i);
        text.data[i] ^= 1;
    }
    cfg_buf_finish(&text);
}

Test(backup, wrong_content_with_a_right_checksum_is_refused)
{
    static const struct {
        const char *key, *value, *text;
    } rows[] = {
        {"live/presence/a/b", "{}", "belongs into no backup"},
        {"meta/store", "{}", "belongs into no backup"},
        {"live/config/Chat", CHAT1, "line 2"},
        {"live/config/chat", "{}", "config/chat"},
        {"live/config/chat", "[]", "no record"},
        {"live/config/chat", CHAT1, "same record in history"},
        {"history/config/chat/0000000002", CHAT1, "another version"},
        {"history/config/chat/2", CHAT1, "history"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cfg_buf text;
        struct cfg_error err = CFG_ERROR_INIT;
        head(&text, 1);
        line(&text, rows[i].key, rows[i].value);
        seal(&text);
        cr_assert_neq(read_text(&text, &err), 0, "%s", rows[i].key);
        cr_assert(strstr(err.text, rows[i].text), "%s: %s", rows[i].key, err.text);
        cfg_buf_finish(&text);
    }
}

Test(backup, counts_order_and_doubles)
{
    struct cfg_buf text;
    struct cfg_error err = CFG_ERROR_INIT;
    head(&text, 2);
    line(&text, "live/policy/a", "{}");
    seal(&text);
    cr_assert_neq(read_text(&text, &err), 0);
    cr_assert(strstr(err.text, "number of keys"), "%s", err.text);
    cfg_buf_finish(&text);
    head(&text, 2);
    line(&text, "live/policy/a", "{}");
    line(&text, "live/policy/a", "{}");
    seal(&text);
    cr_assert_neq(read_text(&text, &err), 0);
    cr_assert(strstr(err.text, "twice"), "%s", err.text);
    cfg_buf_finish(&text);
    whole(&text);
    cfg_buf_puts(&text, "{}\n");
    cr_assert_neq(read_text(&text, &err), 0);
    cr_assert(strstr(err.text, "not the last one"), "%s", err.text);
    cfg_buf_finish(&text);
    cfg_buf_init(&text, 100);
    cfg_buf_puts(&text, "{\"configd_backup\":2}\n");
    cr_assert_neq(read_text(&text, &err), 0);
    cr_assert(strstr(err.text, "no backup"), "%s", err.text);
    cfg_buf_finish(&text);
}

Test(backup, what_belongs_into_one)
{
    static const char *const in[] = {"live/config/a",     "live/flag/a/b",
                                     "live/deployment/a", "history/config/a/0000000001",
                                     "live/evaluators/a", "tally/a/1/r.1"};
    static const char *const out[] = {"live/presence/a/b", "live/lock/x",  "live/token/x",   "meta/store", "idem/x",
                                      "live/config",       "live/config/", "live/configs/a", "tally/",     "tallya/1",
                                      "live/progress/a"};
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        cr_assert(cfg_backup_wants(cfg_slice_str(in[i])), "%s", in[i]);
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
        cr_assert_not(cfg_backup_wants(cfg_slice_str(out[i])), "%s", out[i]);
}

/* --- rollouts --- */

#define ROLLOUT(version, phase, more)                                                                                 \
    "{\"deployment\":\"blue\",\"config\":\"chat\",\"run\":1,\"from\":{\"release\":{\"chat\":1}},\"to\":{\"release\":" \
    "{\"chat\":2}},\"steps\":[{\"share\":0.1,\"bake_ms\":5},{\"share\":1,\"bake_ms\":5}],\"guards\":[],\"min_"        \
    "samples\":30,"                                                                                                   \
    "\"seed\":\"ab\",\"state\":{\"phase\":\"" phase "\",\"step\":0" more                                              \
    "},\"decision\":{\"input\":\"converged\",\"actor\":\"r1\"},\"version\":" version                                  \
    ",\"parent\":2,\"author\":\"r1\",\"message\":\"m\",\"time\":\"t\",\"request_id\":\"x\"}"

/* What the rollout's head says after the restore's look at it: its phase, or "" when nothing was done. */
static const char *restored_phase(const char *record, struct cfg_backup *b, struct cfg_buf *text, cJSON **tree)
{
    struct cfg_error err = CFG_ERROR_INIT;
    head(text, 4);
    line(text, "live/config/chat", CHAT2);
    line(text, "live/rollout/blue", record);
    line(text, "history/config/chat/0000000002", CHAT2);
    line(text, "history/rollout/blue/0000000003", record);
    seal(text);
    cr_assert_eq(cfg_backup_read(b, cfg_buf_slice(text), &err), 0, "%s", err.text);
    cr_assert_eq(cfg_backup_pause_rollouts(b, "2026-02-02T00:00:00Z", "ann", "id", &err), 0, "%s", err.text);
    size_t at = 0;
    while (strcmp(b->items[at].key, "live/rollout/blue") != 0)
        at++;
    const struct cfg_backup_item *item = &b->items[at];
    cr_assert(item->pair && item->pair->pair == item && cfg_slice_eq(item->value, item->pair->value));
    cr_assert_eq(cfg_json_parse(tree, item->value, 0, NULL), 0);
    return b->n == 4 ? "" : cfg_json_get_str(cfg_json_get(*tree, "state"), "phase", "?");
}

Test(backup, a_rollout_under_way_comes_back_paused)
{
    static const struct {
        const char *record, *phase, *resume;
    } rows[] = {{ROLLOUT("3", "scheduled", ""), "paused", "scheduled"},
                {ROLLOUT("3", "rolling", ""), "paused", "rolling"},
                {ROLLOUT("3", "baking", ""), "paused", "baking"},
                {ROLLOUT("3", "gate", ""), "paused", "gate"},
                {ROLLOUT("3", "frozen", ",\"resume\":\"baking\""), "paused", "baking"},
                {ROLLOUT("3", "paused", ",\"resume\":\"gate\""), "", "gate"},
                {ROLLOUT("3", "rolling-back", ",\"then\":\"rolled-back\""), "", ""},
                {ROLLOUT("3", "rolled-back", ""), "", ""},
                {ROLLOUT("3", "aborted", ""), "", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cfg_backup b;
        struct cfg_buf text;
        cJSON *tree;
        cr_assert_str_eq(restored_phase(rows[i].record, &b, &text, &tree), rows[i].phase, "%s", rows[i].record);
        cr_assert_str_eq(cfg_json_get_str(cfg_json_get(tree, "state"), "resume", ""), rows[i].resume);
        cr_assert_eq(cfg_json_get_num(tree, "version", 0), b.n == 4 ? 3 : 4);
        cJSON_Delete(tree);
        cfg_backup_finish(&b);
        cfg_buf_finish(&text);
    }
}

Test(backup, what_a_restored_rollout_says)
{
    struct cfg_backup b;
    struct cfg_buf text;
    struct cfg_object_id id;
    struct cfg_object *o;
    cJSON *tree;
    uint64_t version;
    cr_assert_str_eq(restored_phase(ROLLOUT("3", "baking", ""), &b, &text, &tree), "paused");
    const cJSON *decision = cfg_json_get(tree, "decision");
    cr_assert_str_eq(cfg_json_get_str(decision, "why", ""),
                     "a backup of 2026-01-01T00:00:00.000000Z was restored: look at it, then resume or abort");
    cr_assert_str_eq(cfg_json_get_str(decision, "actor", ""), "ann");
    cr_assert_str_eq(cfg_json_get_str(decision, "input", ""), "pause");
    cr_assert_str_eq(cfg_json_get_str(tree, "author", ""), "ann");
    cr_assert_str_eq(cfg_json_get_str(tree, "time", ""), "2026-02-02T00:00:00Z");
    cr_assert_eq(cfg_json_get_num(cJSON_GetArrayItem(cfg_json_get(tree, "steps"), 0), "share", 0), 0.1);
    const struct cfg_backup_item *record = &b.items[4]; /* the new version; the one before stays in history alone */
    cr_assert_eq(cfg_object_id_from_history_key(&id, &version, cfg_slice_str(record->key), NULL), 0);
    cr_assert(version == 4 && cfg_object_new(&o, &id, record->value, 1, NULL) == 0);
    (void)cfg_object_unref(o);
    for (size_t i = 0; i < 4; i++)
        cr_assert(strcmp(b.items[i].key, "history/rollout/blue/0000000003") != 0 || b.items[i].pair == NULL);
    cJSON_Delete(tree);
    cfg_backup_finish(&b);
    cfg_buf_finish(&text);
}
