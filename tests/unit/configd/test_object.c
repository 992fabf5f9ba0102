/* Keys, ids and envelopes. */
#include "configd/object.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void round_trip(const char *key, const char *text, enum cfg_kind kind)
{
    struct cfg_object_id id, again;
    struct cfg_buf out;
    cr_assert_eq(cfg_object_id_from_key(&id, cfg_slice_str(key), NULL), 0, "%s", key);
    cr_assert_eq(id.kind, kind);
    cfg_buf_init(&out, 1000);
    cfg_object_key(&out, &id);
    cr_assert_str_eq(out.data, key);
    cfg_buf_clear(&out);
    cfg_object_id_print(&out, &id);
    cr_assert_str_eq(out.data, text);
    char mine[CFG_OBJECT_ID_TEXT];
    cr_assert(cfg_slice_eq_str(cfg_object_id_text(&id, mine), text));
    cr_assert_eq(cfg_object_id_parse(&again, cfg_slice_str(text), NULL) == 0, cfg_kind_is_public(kind), "%s", text);
    cr_assert(!cfg_kind_is_public(kind) || cfg_object_id_eq(&id, &again));
    if (cfg_kind_is_versioned(kind)) {
        uint64_t version = 0;
        cfg_buf_clear(&out);
        cfg_object_history_key(&out, &id, 41);
        cr_assert_eq(cfg_object_id_from_history_key(&again, &version, cfg_buf_slice(&out), NULL), 0, "%s", out.data);
        cr_assert(version == 41 && cfg_object_id_eq(&id, &again));
    }
    cfg_buf_finish(&out);
}

Test(object, keys_and_ids)
{
    round_trip("live/config/chat", "config/chat", CFG_KIND_CONFIG);
    round_trip("live/flag/experiment/ab.flag", "flag/experiment/ab.flag", CFG_KIND_FLAG);
    round_trip("live/deployment/chat-blue", "deployment/chat-blue", CFG_KIND_DEPLOYMENT);
    round_trip("live/presence/chat-blue/r1", "presence/chat-blue/r1", CFG_KIND_PRESENCE);
    round_trip("live/evaluators/experiment", "evaluators/experiment", CFG_KIND_EVALUATORS);
    round_trip("live/flip/experiment", "flip/experiment", CFG_KIND_FLIP);
    round_trip("live/lock/flips", "lock/flips", CFG_KIND_LOCK);
    struct cfg_object_id id;
    cr_assert_eq(cfg_object_id_from_key(&id, cfg_slice_str("live/policy/chat/sizes"), NULL), 0);
    cr_assert_eq(id.kind, CFG_KIND_OTHER);
}

Test(object, history_keys_sort_by_version)
{
    struct cfg_object_id id = {.kind = CFG_KIND_CONFIG, .ns = "chat"};
    struct cfg_buf a, b;
    cfg_buf_init(&a, 100);
    cfg_buf_init(&b, 100);
    cfg_object_history_key(&a, &id, 9);
    cfg_object_history_key(&b, &id, 10);
    cr_assert_str_eq(a.data, "history/config/chat/0000000009");
    cr_assert(strcmp(a.data, b.data) < 0);
    cfg_buf_finish(&a);
    cfg_buf_finish(&b);
}

Test(object, bad_keys_and_ids)
{
    static const char *const keys[] = {
        "live/config/Chat", "live/config/chat/x", "live/flag/chat", "live/flag/chat/", "history/config/chat/0000000001",
        "live/config/",     "config/chat"};
    static const char *const texts[] = {"config/", "chat", "presence/a/b", "other/x", "", "config/a/b", "flag/a"};
    static const char *const records[] = {"history/config/chat",
                                          "history/config/chat/41",
                                          "history/config/chat/0000000000",
                                          "history/presence/a/b/0000000001",
                                          "history/config/chat/00000000x1",
                                          "history/flag/chat/0000000001",
                                          "live/config/chat/0000000001"};
    struct cfg_object_id id;
    struct cfg_error err = CFG_ERROR_INIT;
    uint64_t version;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        cr_assert_eq(cfg_object_id_from_key(&id, cfg_slice_str(keys[i]), &err), CFG_E_ADDRESS, "%s", keys[i]);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_eq(cfg_object_id_parse(&id, cfg_slice_str(texts[i]), &err), CFG_E_ADDRESS, "%s", texts[i]);
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        cr_assert_eq(cfg_object_id_from_history_key(&id, &version, cfg_slice_str(records[i]), &err), CFG_E_ADDRESS,
                     "%s", records[i]);
}

static struct cfg_object *envelope(enum cfg_kind kind, const char *body, bool deleted, char digest[CFG_DIGEST_TEXT])
{
    struct cfg_object_id id = {.kind = kind, .ns = "chat"};
    struct cfg_envelope e = {.version = 43,
                             .parent = 42,
                             .author = "ann \"x\"",
                             .message = "why\n",
                             .time = "t",
                             .request_id = "r",
                             .deleted = deleted};
    struct cfg_buf out;
    struct cfg_object *o = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *tree = NULL;
    if (kind == CFG_KIND_FLAG)
        id.name[0] = 'f';
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(body), 0, NULL), 0);
    cfg_buf_init(&out, CFG_LIMIT_CHANGE_BYTES);
    cr_assert_eq(cfg_envelope_print(&out, digest, kind, tree, &e, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_object_new(&o, &id, cfg_buf_slice(&out), 7, &err), 0, "%s: %s", out.data, err.text);
    cfg_buf_finish(&out);
    return o;
}

Test(object, envelope_holds_the_body_and_the_common_members)
{
    char digest[CFG_DIGEST_TEXT], other[CFG_DIGEST_TEXT];
    struct cfg_object *o = envelope(CFG_KIND_CONFIG, "{\"document\":{\"b\":1,\"a\":2},\"extends\":[]}", false, digest);
    cr_assert(o->version == 43 && o->parent == 42 && o->mod_revision == 7 && !o->deleted);
    cr_assert_str_eq(o->digest, digest);
    cJSON *tree = cfg_object_tree(o), *body = cfg_object_body(o);
    cr_assert_str_eq(cfg_json_get_str(tree, "author", ""), "ann \"x\"");
    cr_assert_str_eq(cfg_json_get_str(tree, "message", ""), "why\n");
    cr_assert_eq(cJSON_GetArraySize(body), 2);
    /* The digest covers the body alone, whatever the order of its keys. */
    struct cfg_object *same =
        envelope(CFG_KIND_CONFIG, "{\"extends\":[],\"document\":{\"a\":2,\"b\":1}}", false, other);
    cr_assert_str_eq(other, digest);
    cJSON_Delete(tree);
    cJSON_Delete(body);
    (void)cfg_object_unref(o);
    (void)cfg_object_unref(same);
}

Test(object, tombstone_has_no_body)
{
    char digest[CFG_DIGEST_TEXT];
    struct cfg_object *o = envelope(CFG_KIND_FLAG, "{}", true, digest);
    cr_assert(o->deleted && o->version == 43);
    cJSON *body = cfg_object_body(o);
    cr_assert_null(body->child);
    cJSON_Delete(body);
    (void)cfg_object_unref(o);
}

static int document_of_size(size_t bytes, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    struct cfg_envelope e = {.version = 1, .author = "", .message = "", .time = "", .request_id = ""};
    char *text = malloc(bytes + 1);
    memset(text, 'x', bytes);
    text[bytes - sizeof "{\"a\":\"\"}" + 1] = '\0'; /* so that the document has `bytes` bytes */
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(cJSON_AddObjectToObject(body, "document"), "a", text);
    struct cfg_buf out;
    cfg_buf_init(&out, CFG_LIMIT_CHANGE_BYTES);
    int rc = cfg_envelope_print(&out, digest, CFG_KIND_CONFIG, body, &e, err);
    cfg_buf_finish(&out);
    free(text);
    return rc;
}

Test(object, document_limit_is_exact)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(document_of_size(CFG_LIMIT_DOCUMENT, &err), 0, "%s", err.text);
    cr_assert_eq(document_of_size(CFG_LIMIT_DOCUMENT + 1, &err), CFG_E_LIMIT);
    cr_assert(strstr(err.text, "512 KiB"), "%s", err.text);
}

Test(object, foreign_records_are_refused)
{
    static const char *const records[] = {"",
                                          "[]",
                                          "{}",
                                          "{\"version\":0,\"document\":{}}",
                                          "{\"version\":1}",
                                          "{\"version\":1,\"document\":[]}",
                                          "{\"version\":\"1\",\"document\":{}}",
                                          "{\"version\":1,\"document\":{},\"parent\":-1}",
                                          "{\"version\":1,\"document\":{}} x"};
    struct cfg_object_id id = {.kind = CFG_KIND_CONFIG, .ns = "chat"};
    struct cfg_object *o = NULL;
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_neq(cfg_object_new(&o, &id, cfg_slice_str(records[i]), 1, &err), 0, "%s", records[i]);
        cr_assert_null(o);
        cr_assert(strstr(err.text, "config/chat"), "%s", err.text);
    }
}
