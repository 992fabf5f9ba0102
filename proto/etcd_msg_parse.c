/* Replies of etcd's gateway. The tree of the strict reader is walked once; what a reply keeps lies in one block: the
 * array of its keys (or events), then all their decoded bytes. */
#include "proto/etcd_msg.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int malformed(struct cfg_error *err, const char *member, const char *what)
{
    return cfg_fail(err, CFG_E_PROTOCOL, "etcd's reply makes no sense: \"%s\" is not %s", member, what);
}

/* The reply as a tree whose root is an object. */
static int read_body(cJSON **out, struct cfg_slice body, struct cfg_error *err)
{
    cJSON *tree = NULL;
    int rc = cfg_json_parse(&tree, body, 0, err);
    if (rc == CFG_E_NOMEM)
        return rc;
    if (rc != 0) { /* the position stays in err->path; the code says whose fault it is */
        (void)cfg_error_wrap(err, "etcd's reply is not JSON");
        if (err)
            err->code = CFG_E_PROTOCOL;
        return CFG_E_PROTOCOL;
    }
    if (!cJSON_IsObject(tree)) {
        cJSON_Delete(tree);
        return cfg_fail(err, CFG_E_PROTOCOL, "etcd's reply is no JSON object");
    }
    *out = tree;
    return 0;
}

/* Decimal digits of a JSON string, or a JSON number (proto3's JSON mapping allows both). */
static bool read_digits(uint64_t *out, bool *negative, const cJSON *v)
{
    if (cJSON_IsNumber(v)) {
        double d = v->valuedouble;
        if (d < 0 || d > 9007199254740991.0 || d != (double)(uint64_t)d)
            return false;
        *out = (uint64_t)d;
        *negative = false;
        return true;
    }
    const char *p = cJSON_IsString(v) ? v->valuestring : "";
    *negative = *p == '-';
    p += *negative;
    uint64_t n = 0;
    if (*p == '\0')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return *p == '\0';
}

/* An absent member is zero on this wire: *out then stays as it was. */
static int read_u64(uint64_t *out, const cJSON *o, const char *name, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(o, name);
    bool negative;
    uint64_t n;
    if (v == NULL)
        return 0;
    if (!read_digits(&n, &negative, v) || negative)
        return malformed(err, name, "an unsigned 64-bit number");
    *out = n;
    return 0;
}

static int read_i64(int64_t *out, const cJSON *o, const char *name, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(o, name);
    bool negative;
    uint64_t n;
    if (v == NULL)
        return 0;
    if (!read_digits(&n, &negative, v) || n > (uint64_t)INT64_MAX)
        return malformed(err, name, "a 64-bit number");
    *out = negative ? -(int64_t)n : (int64_t)n;
    return 0;
}

static int read_bool(bool *out, const cJSON *o, const char *name, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(o, name);
    if (v == NULL)
        return 0;
    if (!cJSON_IsBool(v))
        return malformed(err, name, "true or false");
    *out = cJSON_IsTrue(v);
    return 0;
}

/* A member that must be an object or an array when it is there; NULL when absent. */
static int read_node(const cJSON **out, const cJSON *o, const char *name, bool array, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(o, name);
    if (v && !(array ? cJSON_IsArray(v) : cJSON_IsObject(v)))
        return malformed(err, name, array ? "an array" : "an object");
    *out = v;
    return 0;
}

static int read_header(struct cfg_etcd_header *out, const cJSON *o, struct cfg_error *err)
{
    const cJSON *h = NULL;
    int rc = read_node(&h, o, "header", false, err);
    if (rc == 0)
        rc = read_u64(&out->cluster_id, h, "cluster_id", err);
    if (rc == 0)
        rc = read_u64(&out->member_id, h, "member_id", err);
    if (rc == 0)
        rc = read_i64(&out->revision, h, "revision", err);
    return rc;
}

/* --- keys and values --- */

static size_t decoded_room(const cJSON *kv, const char *name)
{
    return strlen(cfg_json_get_str(kv, name, "")) / 4 * 3;
}

static size_t kv_room(const cJSON *kv)
{
    return decoded_room(kv, "key") + decoded_room(kv, "value");
}

/* Decodes into *room and moves it. */
static int read_bytes(struct cfg_slice *out, char **room, const cJSON *kv, const char *name, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(kv, name);
    size_t len = 0;
    if (v && (!cJSON_IsString(v) || !cfg_base64_decode_to(*room, &len, cfg_slice_str(v->valuestring))))
        return malformed(err, name, "base64");
    *out = len > 0 ? (struct cfg_slice){*room, len} : (struct cfg_slice){"", 0};
    *room += len;
    return 0;
}

static int read_kv(struct cfg_etcd_kv *out, char **room, const cJSON *kv, struct cfg_error *err)
{
    if (!cJSON_IsObject(kv))
        return malformed(err, "kv", "an object");
    int rc = read_bytes(&out->key, room, kv, "key", err);
    if (rc == 0)
        rc = read_bytes(&out->value, room, kv, "value", err);
    if (rc == 0)
        rc = read_i64(&out->create_revision, kv, "create_revision", err);
    if (rc == 0)
        rc = read_i64(&out->mod_revision, kv, "mod_revision", err);
    if (rc == 0)
        rc = read_i64(&out->version, kv, "version", err);
    if (rc == 0)
        rc = read_i64(&out->lease, kv, "lease", err);
    return rc;
}

/* --- range --- */

static int read_kvs(struct cfg_etcd_range_reply *out, const cJSON *kvs, struct cfg_error *err)
{
    size_t n = 0, room = 0;
    const cJSON *kv;
    cJSON_ArrayForEach(kv, kvs)
    {
        n++;
        room += kv_room(kv);
    }
    if (n == 0)
        return 0;
    out->kvs = calloc(1, n * sizeof *out->kvs + room);
    if (out->kvs == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for %zu keys of etcd's reply", n);
    char *next = (char *)(out->kvs + n);
    cJSON_ArrayForEach(kv, kvs)
    {
        int rc = read_kv(&out->kvs[out->n], &next, kv, err);
        if (rc != 0)
            return rc;
        out->n++;
    }
    return 0;
}

static int read_range(struct cfg_etcd_range_reply *out, const cJSON *o, struct cfg_error *err)
{
    const cJSON *kvs = NULL;
    int rc = read_header(&out->header, o, err);
    if (rc == 0)
        rc = read_bool(&out->more, o, "more", err);
    if (rc == 0)
        rc = read_i64(&out->count, o, "count", err);
    if (rc == 0)
        rc = read_node(&kvs, o, "kvs", true, err);
    if (rc == 0)
        rc = read_kvs(out, kvs, err);
    return rc;
}

int cfg_etcd_range_parse(struct cfg_etcd_range_reply *out, struct cfg_slice body, struct cfg_error *err)
{
    cJSON *tree = NULL;
    int rc = read_body(&tree, body, err);
    if (rc != 0)
        return rc;
    struct cfg_etcd_range_reply reply = {0};
    rc = read_range(&reply, tree, err);
    cJSON_Delete(tree);
    if (rc == 0)
        *out = reply;
    else
        cfg_etcd_range_finish(&reply);
    return rc;
}

void cfg_etcd_range_finish(struct cfg_etcd_range_reply *r)
{
    if (r == NULL)
        return;
    free(r->kvs);
    *r = (struct cfg_etcd_range_reply){0};
}

/* --- txn --- */

static int read_responses(struct cfg_etcd_txn_reply *out, const cJSON *responses, struct cfg_error *err)
{
    size_t n = (size_t)cJSON_GetArraySize(responses);
    if (n == 0)
        return 0;
    out->ranges = calloc(n, sizeof *out->ranges);
    if (out->ranges == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for etcd's reply");
    const cJSON *one;
    cJSON_ArrayForEach(one, responses)
    {
        const cJSON *range = NULL;
        int rc = cJSON_IsObject(one) ? 0 : malformed(err, "responses", "an array of objects");
        if (rc == 0)
            rc = read_node(&range, one, "response_range", false, err);
        if (rc == 0 && range)
            rc = read_range(&out->ranges[out->n], range, err);
        out->n++; /* counted first, so that a half-read one is freed too */
        if (rc != 0)
            return rc;
    }
    return 0;
}

int cfg_etcd_txn_parse(struct cfg_etcd_txn_reply *out, struct cfg_slice body, struct cfg_error *err)
{
    cJSON *tree = NULL;
    int rc = read_body(&tree, body, err);
    if (rc != 0)
        return rc;
    struct cfg_etcd_txn_reply reply = {0};
    const cJSON *responses = NULL;
    rc = read_header(&reply.header, tree, err);
    if (rc == 0)
        rc = read_bool(&reply.succeeded, tree, "succeeded", err);
    if (rc == 0)
        rc = read_node(&responses, tree, "responses", true, err);
    if (rc == 0)
        rc = read_responses(&reply, responses, err);
    cJSON_Delete(tree);
    if (rc == 0)
        *out = reply;
    else
        cfg_etcd_txn_finish(&reply);
    return rc;
}

void cfg_etcd_txn_finish(struct cfg_etcd_txn_reply *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n; i++)
        cfg_etcd_range_finish(&r->ranges[i]);
    free(r->ranges);
    *r = (struct cfg_etcd_txn_reply){0};
}

/* --- watch --- */

static int read_event(struct cfg_etcd_event *out, char **room, const cJSON *o, struct cfg_error *err)
{
    const char *type = cfg_json_get_str(o, "type", "PUT");
    out->is_delete = strcmp(type, "DELETE") == 0;
    if (!out->is_delete && strcmp(type, "PUT") != 0)
        return malformed(err, "type", "PUT or DELETE");
    return read_kv(&out->kv, room, cfg_json_get(o, "kv"), err);
}

static int read_events(struct cfg_etcd_watch_reply *out, const cJSON *events, struct cfg_error *err)
{
    size_t n = 0, room = 0;
    const cJSON *event;
    cJSON_ArrayForEach(event, events)
    {
        n++;
        room += kv_room(cfg_json_get(event, "kv"));
    }
    if (n == 0)
        return 0;
    out->events = calloc(1, n * sizeof *out->events + room);
    if (out->events == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for %zu events of etcd's watch", n);
    char *next = (char *)(out->events + n);
    cJSON_ArrayForEach(event, events)
    {
        int rc = read_event(&out->events[out->n], &next, event, err);
        if (rc != 0)
            return rc;
        out->n++;
    }
    return 0;
}

static int read_watch(struct cfg_etcd_watch_reply *out, const cJSON *o, struct cfg_error *err)
{
    const cJSON *events = NULL;
    int rc = read_header(&out->header, o, err);
    if (rc == 0)
        rc = read_bool(&out->created, o, "created", err);
    if (rc == 0)
        rc = read_bool(&out->canceled, o, "canceled", err);
    if (rc == 0)
        rc = read_bool(&out->fragment, o, "fragment", err);
    if (rc == 0)
        rc = read_i64(&out->compact_revision, o, "compact_revision", err);
    if (rc == 0)
        rc = read_node(&events, o, "events", true, err);
    if (rc == 0)
        rc = read_events(out, events, err);
    const char *reason = cfg_json_get_str(o, "cancel_reason", "");
    (void)snprintf(out->cancel_reason, sizeof out->cancel_reason, "%s", reason); /* for people: may be cut */
    return rc;
}

/* The member "result" of one message of a stream. A message with "error" fails as cfg_etcd_error_read says. */
static int stream_result(const cJSON **out, const cJSON *tree, struct cfg_slice line, struct cfg_error *err)
{
    if (cfg_json_get(tree, "error"))
        return cfg_etcd_error_read(err, 0, line);
    const cJSON *result = NULL;
    int rc = read_node(&result, tree, "result", false, err);
    if (rc == 0 && result == NULL)
        rc = malformed(err, "result", "there");
    if (rc == 0)
        *out = result;
    return rc;
}

int cfg_etcd_watch_parse(struct cfg_etcd_watch_reply *out, struct cfg_slice line, struct cfg_error *err)
{
    cJSON *tree = NULL;
    int rc = read_body(&tree, line, err);
    if (rc != 0)
        return rc;
    struct cfg_etcd_watch_reply reply = {0};
    const cJSON *result = NULL;
    rc = stream_result(&result, tree, line, err);
    if (rc == 0)
        rc = read_watch(&reply, result, err);
    cJSON_Delete(tree);
    if (rc == 0)
        *out = reply;
    else
        cfg_etcd_watch_finish(&reply);
    return rc;
}

void cfg_etcd_watch_finish(struct cfg_etcd_watch_reply *r)
{
    if (r == NULL)
        return;
    free(r->events);
    *r = (struct cfg_etcd_watch_reply){0};
}

/* --- the small ones --- */

int cfg_etcd_lease_parse(int64_t *id, int64_t *ttl_s, struct cfg_slice body, struct cfg_error *err)
{
    cJSON *tree = NULL;
    int rc = read_body(&tree, body, err);
    if (rc != 0)
        return rc;
    const cJSON *o = tree;
    if (cfg_json_get(tree, "result") || cfg_json_get(tree, "error")) /* keepalive is a stream, grant is not */
        rc = stream_result(&o, tree, body, err);
    int64_t got_id = 0, got_ttl = 0;
    if (rc == 0)
        rc = read_i64(&got_id, o, "ID", err);
    if (rc == 0)
        rc = read_i64(&got_ttl, o, "TTL", err);
    cJSON_Delete(tree);
    if (rc == 0 && got_id == 0)
        rc = malformed(err, "ID", "there");
    if (rc == 0) {
        *id = got_id;
        *ttl_s = got_ttl;
    }
    return rc;
}

int cfg_etcd_auth_parse(char **token, struct cfg_slice body, struct cfg_error *err)
{
    cJSON *tree = NULL;
    int rc = read_body(&tree, body, err);
    if (rc != 0)
        return rc;
    const char *text = cfg_json_get_str(tree, "token", "");
    char *copy = NULL;
    if (text[0] == '\0')
        rc = malformed(err, "token", "there");
    else if ((copy = cfg_slice_dup(cfg_slice_str(text))) == NULL)
        rc = cfg_fail(err, CFG_E_NOMEM, "no memory for etcd's token");
    cJSON_Delete(tree);
    if (rc == 0)
        *token = copy;
    return rc;
}

int cfg_etcd_status_parse(struct cfg_etcd_status *out, struct cfg_slice body, struct cfg_error *err)
{
    cJSON *tree = NULL;
    int rc = read_body(&tree, body, err);
    if (rc != 0)
        return rc;
    struct cfg_etcd_status status = {0};
    rc = read_header(&status.header, tree, err);
    if (rc == 0)
        rc = read_i64(&status.db_size, tree, "dbSize", err);
    if (rc == 0)
        rc = read_i64(&status.db_size_in_use, tree, "dbSizeInUse", err);
    if (rc == 0)
        rc = read_u64(&status.leader, tree, "leader", err);
    (void)snprintf(status.version, sizeof status.version, "%s", cfg_json_get_str(tree, "version", ""));
    cJSON_Delete(tree);
    if (rc == 0)
        *out = status;
    return rc;
}
