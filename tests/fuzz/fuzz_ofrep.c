/* OFREP requests. The first line is held for a header (If-None-Match, a token, a time), the rest is the body, asked of
 * a fixed set of flags that look at everything a context can hold. Whatever is accepted gives JSON, the same every
 * time, with one tag; whatever is refused says why. */
#include "configd/ofrep.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *const flags[][2] = {
    {"cat", "{\"cat\":[{\"var\":\"targetingKey\"},{\"var\":\"a\"},{\"var\":\"a.b.0\"}]}"},
    {"map", "{\"if\":[{\"some\":[{\"var\":\"list\"},{\"==\":[{\"var\":\"\"},1]}]},\"on\"]}"},
    {"number", "{\"if\":[{\">\":[{\"var\":\"n\"},1]},\"on\",{\"<\":[{\"var\":\"$flagd.timestamp\"},5]},\"off\"]}"},
    {"semver", "{\"if\":[{\"sem_ver\":[{\"var\":\"v\"},\"^\",\"1.2\"]},\"on\"]}"},
    {"split", "{\"fractional\":[[\"on\",50],[\"off\",50]]}"},
    {"value", "{\"fractional\":[{\"var\":\"a\"},[\"on\",1],[\"off\",1]]}"},
    {"broken", "{\"no-such-operator\":[1]}"},
};

static struct cfg_store *store;
static struct cfg_flag_spaces *spaces;

static void fill(const struct cfg_replica_sink *sink)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct cfg_buf key, value;
        cfg_buf_init(&key, 1024);
        cfg_buf_init(&value, 4096);
        cfg_buf_printf(&key, "live/flag/f/%s", flags[i][0]);
        cfg_buf_printf(
            &value,
            "{\"version\":1,\"parent\":0,\"digest\":\"sha256:%064d\",\"author\":\"a\",\"message\":\"\",\"time\":"
            "\"2026-01-01T00:00:00Z\",\"request_id\":\"r\",\"hash_version\":%d,\"definition\":{\"state\":"
            "\"ENABLED\",\"variants\":{\"on\":1.5,\"off\":2},\"defaultVariant\":\"off\",\"targeting\":%s}}",
            0, i % 2 ? 3 : 2, flags[i][1]);
        struct cfg_etcd_kv kv = {.key = cfg_buf_slice(&key), .value = cfg_buf_slice(&value), .mod_revision = 5};
        sink->snapshot_put(sink->arg, &kv);
        cfg_buf_finish(&key);
        cfg_buf_finish(&value);
    }
}

static void set_up(void)
{
    struct cfg_store_identity id = {.store_id = "s", .epoch = 1};
    if (cfg_store_new(&store, NULL) != 0 || cfg_flag_spaces_new(&spaces, store, NULL) != 0)
        abort();
    const struct cfg_replica_sink *sink = cfg_store_sink(store);
    sink->identity(sink->arg, &id);
    sink->snapshot_begin(sink->arg);
    fill(sink);
    sink->snapshot_end(sink->arg, 5);
    if (cfg_flag_spaces_get(spaces, "f")->n != sizeof flags / sizeof flags[0])
        abort();
}

static void check_json(const struct cfg_buf *out)
{
    cJSON *tree = NULL;
    if (cfg_buf_status(out) != 0 || cfg_json_parse(&tree, cfg_buf_slice(out), 0, NULL) != 0)
        abort();
    cJSON_Delete(tree);
}

static void ask(struct cfg_buf *out, char etag[CFG_OFREP_ETAG], struct cfg_ofrep_request *r)
{
    const struct cfg_flag_space *space = cfg_flag_spaces_get(spaces, "f");
    if (cfg_ofrep_put_bulk(out, etag, space, r, NULL) != 0)
        abort();
    cfg_ofrep_put_bulk_end(out, "http://h/ofrep/v1", space->revision);
    check_json(out);
}

static void check_body(struct cfg_slice body, const char *header)
{
    struct cfg_ofrep_request r = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf first, second;
    char etag[2][CFG_OFREP_ETAG];
    const char *code = cfg_ofrep_request_read(&r, body, 3, &err);
    cfg_buf_init(&first, 64 << 20);
    cfg_buf_init(&second, 64 << 20);
    if (code) {
        cfg_ofrep_put_failure(&first, header, code, err.text);
        check_json(&first);
    } else {
        ask(&first, etag[0], &r);
        ask(&second, etag[1], &r);
        if (strcmp(etag[0], etag[1]) != 0 || first.len != second.len ||
            memcmp(first.data, second.data, first.len) != 0 || !cfg_ofrep_etag_matches(etag[0], etag[1]))
            abort();
        cfg_buf_clear(&second);
        (void)cfg_ofrep_put_flag(&second, cfg_flag_spaces_get(spaces, "f"), header, &r);
        check_json(&second);
    }
    cfg_ofrep_request_finish(&r);
    cfg_buf_finish(&first);
    cfg_buf_finish(&second);
}

static bool is_text(const char *s)
{
    for (; *s; s++) /* what a header can hold and JSON too */
        if (*s < 0x20 || *s > 0x7e)
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (store == NULL)
        set_up();
    const uint8_t *end = n ? memchr(bytes, '\n', n) : NULL;
    size_t head = end ? (size_t)(end - bytes) : 0;
    char *header = cfg_slice_dup((struct cfg_slice){(const char *)bytes, head});
    struct cfg_ofrep_token t;
    char text[CFG_OFREP_TOKEN];
    int64_t when;
    if (header == NULL)
        abort();
    (void)cfg_ofrep_etag_matches(header, "\"1-5-0\"");
    if (cfg_ofrep_token_parse(&t, header) && strstr(header, cfg_ofrep_token_format(&t, text)) == NULL)
        abort();
    if (cfg_ofrep_time_parse(&when, header, NULL) == 0 && when >= 1000000000000000) /* 15 digits are taken */
        abort();
    if (is_text(header))
        check_body((struct cfg_slice){(const char *)bytes + head + (end != NULL), n - head - (end != NULL)}, header);
    free(header);
    return 0;
}
