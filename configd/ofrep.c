#include "configd/ofrep.h"

#include "proto/rfc3339.h"
#include "proto/sse.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BODY_DEPTH = CFG_LIMIT_DEPTH + 1, HASH_SHOWN = 32, EVENT_MAX = 1024 };

/* --- requests --- */

static const char *refuse(struct cfg_ofrep_request *r, const char *code)
{
    cfg_ofrep_request_finish(r);
    return code;
}

static const char *read_context(struct cfg_ofrep_request *r, struct cfg_error *err)
{
    r->context_json = cfg_json_get(r->tree, "context");
    if (r->context_json == NULL) {
        (void)cfg_fail(err, CFG_E_VALUE, "the request has no \"context\"");
        return "INVALID_CONTEXT";
    }
    const cJSON *key = cfg_json_get(r->context_json, "targetingKey");
    if (key && !cJSON_IsString(key)) {
        (void)cfg_fail(err, CFG_E_VALUE, "targetingKey must be a string, not %s", cfg_json_type(key));
        return "INVALID_CONTEXT";
    }
    r->has_key = key != NULL;
    return cfg_flag_context_init_json(&r->context, r->context_json, err) == 0 ? NULL : "INVALID_CONTEXT";
}

const char *cfg_ofrep_request_read(struct cfg_ofrep_request *out, struct cfg_slice body, int64_t timestamp,
                                   struct cfg_error *err)
{
    struct cfg_ofrep_request r = {0};
    if (body.len == 0) {
        (void)cfg_fail(err, CFG_E_JSON, "the request has no body: send {\"context\": {…}}");
        return "PARSE_ERROR";
    }
    int rc = cfg_json_parse(&r.tree, body, BODY_DEPTH, err);
    if (rc != 0)
        return rc == CFG_E_LIMIT ? "INVALID_CONTEXT" : "PARSE_ERROR";
    if (!cJSON_IsObject(r.tree)) {
        (void)cfg_fail(err, CFG_E_JSON, "the request must be an object, not %s", cfg_json_type(r.tree));
        return refuse(&r, "PARSE_ERROR");
    }
    const char *code = read_context(&r, err);
    if (code)
        return refuse(&r, code);
    r.context.timestamp = timestamp;
    *out = r;
    return NULL;
}

void cfg_ofrep_request_finish(struct cfg_ofrep_request *r)
{
    cfg_flag_context_finish(&r->context);
    cJSON_Delete(r->tree);
    *r = (struct cfg_ofrep_request){0};
}

/* --- one flag --- */

static void note_missing_key(void *arg, const struct cfg_flag_note *n)
{
    if (n->kind == CFG_NOTE_UNNAMED && cfg_slice_eq_str(n->name, "targetingKey"))
        *(bool *)arg = true;
}

/* *lacks: the answer would be another with a targeting key. Nobody has to be asked who has given one. */
static struct cfg_flag_result evaluate(const struct cfg_flag_program *p, struct cfg_ofrep_request *r, bool *lacks)
{
    const struct cfg_flag_explain explain = {note_missing_key, lacks};
    *lacks = false;
    r->context.explain = r->has_key ? NULL : &explain;
    struct cfg_flag_result result = cfg_flag_eval_with(p, CFG_FLAG_ANY, &r->context);
    r->context.explain = NULL;
    return result;
}

static void put_text(struct cfg_buf *out, const char *before, const char *text)
{
    cfg_buf_puts(out, before);
    cfg_json_put_string(out, cfg_slice_str(text));
}

static void put_members(struct cfg_buf *out, const cJSON *object, const cJSON *except, const char **separator)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, object)
    {
        if (cfg_json_get(except, m->string))
            continue;
        put_text(out, *separator, m->string);
        cfg_buf_putc(out, ':');
        cfg_json_print(out, m);
        *separator = ",";
    }
}

/* The flag's metadata over that of the whole set. */
static void put_metadata(struct cfg_buf *out, const cJSON *set, const cJSON *flag)
{
    const char *separator = "";
    if ((set == NULL || set->child == NULL) && (flag == NULL || flag->child == NULL))
        return;
    cfg_buf_puts(out, ",\"metadata\":{");
    put_members(out, set, flag, &separator);
    put_members(out, flag, NULL, &separator);
    cfg_buf_putc(out, '}');
}

static void put_value(struct cfg_buf *out, const struct cfg_flag_entry *e, const cJSON *value)
{
    if (cJSON_IsBool(value)) {
        cfg_buf_puts(out, cJSON_IsTrue(value) ? "true" : "false");
        return;
    }
    size_t before = out->len;
    cfg_json_print(out, value);
    bool whole = e->decimals && cfg_buf_status(out) == 0 && strpbrk(out->data + before, ".eE") == NULL;
    if (whole)
        cfg_buf_puts(out, ".0");
}

static const char *reason_of(enum cfg_flag_reason reason)
{
    return reason == CFG_REASON_DEFAULT ? "UNKNOWN" : cfg_flag_reason_name(reason);
}

static void put_success(struct cfg_buf *out, const struct cfg_flag_space *space, const struct cfg_flag_entry *e,
                        const struct cfg_flag_result *r)
{
    put_text(out, "{\"key\":", e->object->id.name);
    if (r->value) {
        cfg_buf_puts(out, ",\"value\":");
        put_value(out, e, r->value);
    }
    cfg_buf_puts(out, ",\"reason\":\"");
    cfg_buf_puts(out, reason_of(r->reason));
    put_text(out, "\",\"variant\":", r->variant ? r->variant : "");
    put_metadata(out, space->metadata, r->metadata);
    cfg_buf_putc(out, '}');
}

/* {"key","errorCode","errorDetails"}, its end left open. */
static void put_failure(struct cfg_buf *out, const char *key, const char *code, const char *details)
{
    if (key) {
        put_text(out, "{\"key\":", key);
        put_text(out, ",\"errorCode\":", code);
    } else {
        put_text(out, "{\"errorCode\":", code);
    }
    put_text(out, ",\"errorDetails\":", details);
}

void cfg_ofrep_put_failure(struct cfg_buf *out, const char *key, const char *code, const char *details)
{
    put_failure(out, key, code, details);
    cfg_buf_putc(out, '}');
}

static void put_error(struct cfg_buf *out, const struct cfg_flag_space *space, const struct cfg_flag_entry *e,
                      const char *code, const cJSON *metadata)
{
    char details[512];
    const char *name = e->object->id.name;
    if (strcmp(code, "TARGETING_KEY_MISSING") == 0)
        (void)snprintf(details, sizeof details, "flag \"%.100s\" needs a targetingKey, and the context has none", name);
    else if (strcmp(code, "PARSE_ERROR") == 0)
        (void)snprintf(details, sizeof details, "flag \"%.100s\" does not compile: %.300s", name,
                       e->why ? e->why : "see its prerequisites");
    else
        (void)snprintf(details, sizeof details,
                       "flag \"%.100s\" cannot be evaluated for this context: its targeting names no variant, or needs "
                       "more work or memory than one evaluation may use",
                       name);
    put_failure(out, name, code, details);
    put_metadata(out, space->metadata, metadata);
    cfg_buf_putc(out, '}');
}

static bool put_entry(struct cfg_buf *out, const struct cfg_flag_space *space, const struct cfg_flag_entry *e,
                      struct cfg_ofrep_request *r)
{
    bool lacks = false;
    struct cfg_flag_result result = {.error = "PARSE_ERROR"};
    if (e->program)
        result = evaluate(e->program, r, &lacks);
    if (lacks)
        result.error = "TARGETING_KEY_MISSING";
    if (result.error == NULL)
        put_success(out, space, e, &result);
    else
        put_error(out, space, e, result.error, result.metadata);
    return result.error == NULL;
}

int cfg_ofrep_put_flag(struct cfg_buf *out, const struct cfg_flag_space *space, const char *key,
                       struct cfg_ofrep_request *r)
{
    const struct cfg_flag_entry *e = cfg_flag_space_find(space, key, strlen(key));
    if (e)
        return put_entry(out, space, e, r) ? 200 : 400;
    char details[CFG_LIMIT_FLAG_NAME + 32];
    (void)snprintf(details, sizeof details, "flag '%.*s' was not found", CFG_LIMIT_FLAG_NAME, key);
    cfg_ofrep_put_failure(out, key, "FLAG_NOT_FOUND", details);
    return 404;
}

/* --- all flags --- */

static int make_etag(char etag[CFG_OFREP_ETAG], const struct cfg_flag_space *space, const cJSON *context,
                     struct cfg_slice answers, struct cfg_error *err)
{
    char rev[CFG_REV_TEXT], digest[CFG_DIGEST_TEXT];
    struct cfg_buf all;
    cfg_buf_init(&all, (size_t)CFG_LIMIT_BODY * 8 + answers.len);
    cfg_json_canonical(&all, context);
    cfg_buf_putc(&all, '\n'); /* no canonical text holds one */
    cfg_buf_put(&all, answers.ptr, answers.len);
    int rc = cfg_buf_status(&all);
    rc = rc ? rc : cfg_digest_bytes(digest, cfg_buf_slice(&all));
    cfg_buf_finish(&all);
    if (rc != 0)
        return cfg_fail(err, rc, "no memory for an entity tag");
    (void)snprintf(etag, CFG_OFREP_ETAG, "\"%s-%.*s\"", cfg_rev_format(space->revision, rev), HASH_SHOWN,
                   digest + strlen("sha256:"));
    return 0;
}

int cfg_ofrep_put_bulk(struct cfg_buf *out, char etag[CFG_OFREP_ETAG], const struct cfg_flag_space *space,
                       struct cfg_ofrep_request *r, struct cfg_error *err)
{
    char rev[CFG_REV_TEXT];
    size_t start = out->len;
    const char *separator = ",";
    cfg_buf_puts(out, "{\"flags\":[");
    for (size_t i = 0; i < space->n; i++) {
        if (i > 0)
            cfg_buf_putc(out, ',');
        (void)put_entry(out, space, &space->entries[i], r); /* an error is one of the answers */
    }
    cfg_buf_puts(out, "],\"metadata\":{");
    if (!cfg_json_get(space->metadata, "version"))
        cfg_buf_printf(out, "\"version\":\"%s\"", cfg_rev_format(space->revision, rev));
    else
        separator = "";
    put_members(out, space->metadata, NULL, &separator);
    cfg_buf_putc(out, '}');
    if (cfg_buf_status(out) != 0)
        return cfg_fail(err, cfg_buf_status(out), "no memory for the reply");
    return make_etag(etag, space, r->context_json, (struct cfg_slice){out->data + start, out->len - start}, err);
}

void cfg_ofrep_put_bulk_end(struct cfg_buf *out, const char *base, struct cfg_rev since)
{
    enum { INACTIVITY_S = 120 };
    char rev[CFG_REV_TEXT];
    struct cfg_buf url;
    cfg_buf_init(&url, 4096);
    cfg_buf_printf(&url, "%s/events?since=%s", base, cfg_rev_format(since, rev));
    if (cfg_buf_status(&url) == 0) {
        put_text(out, ",\"eventStreams\":[{\"type\":\"sse\",\"url\":", url.data);
        cfg_buf_printf(out, ",\"inactivityDelaySec\":%d}]", INACTIVITY_S);
    }
    cfg_buf_finish(&url);
    cfg_buf_putc(out, '}');
}

/* --- entity tags --- */

static const char *skip(const char *p, const char *what)
{
    return p + strspn(p, what);
}

bool cfg_ofrep_etag_matches(const char *if_none_match, const char *etag)
{
    const char *p = if_none_match ? skip(if_none_match, " \t") : "";
    if (*p == '*')
        return *skip(p + 1, " \t") == '\0';
    size_t n = strlen(etag);
    while (*(p = skip(p, " \t,")) != '\0') {
        if (strncmp(p, "W/", 2) == 0)
            p += 2;
        const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
        if (end == NULL)
            return strcmp(p, etag) == 0; /* no entity tag: a client's own opinion */
        if ((size_t)(end + 1 - p) == n && strncmp(p, etag, n) == 0)
            return true;
        p = end + 1;
    }
    return false;
}

const char *cfg_ofrep_token_format(const struct cfg_ofrep_token *t, char out[CFG_OFREP_TOKEN])
{
    char since[CFG_REV_TEXT];
    size_t n = strlen(cfg_rev_format(t->revision, out));
    if (!cfg_rev_is_none(t->since))
        (void)snprintf(out + n, CFG_OFREP_TOKEN - n, ".%s", cfg_rev_format(t->since, since));
    return out;
}

bool cfg_ofrep_token_parse(struct cfg_ofrep_token *out, const char *text)
{
    struct cfg_ofrep_token t = {{0, 0}, {0, 0}};
    struct cfg_slice s = cfg_slice_str(text);
    if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
        s = (struct cfg_slice){s.ptr + 1, s.len - 2};
    const char *dot = s.len ? memchr(s.ptr, '.', s.len) : NULL;
    struct cfg_slice first = {s.ptr, dot ? (size_t)(dot - s.ptr) : s.len};
    if (cfg_rev_parse(&t.revision, first, NULL) != 0)
        return false;
    if (dot && cfg_rev_parse(&t.since, (struct cfg_slice){dot + 1, s.len - first.len - 1}, NULL) != 0)
        return false;
    *out = t;
    return true;
}

/* --- times and events --- */

int cfg_ofrep_time_parse(int64_t *out, const char *text, struct cfg_error *err)
{
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && digits <= 15 && text[digits] == '\0') {
        int64_t n = 0;
        for (size_t i = 0; i < digits; i++)
            n = n * 10 + (text[i] - '0');
        *out = n;
        return 0;
    }
    int64_t us = 0;
    if (cfg_rfc3339_parse(&us, cfg_slice_str(text), NULL) != 0)
        return cfg_fail(err, CFG_E_INVALID, "\"%.60s\" is neither seconds since 1970 nor a date-time", text);
    *out = us / 1000000;
    return 0;
}

struct cfg_bytes *cfg_ofrep_event(const struct cfg_ofrep_token *t, int64_t modified_s)
{
    char token[CFG_OFREP_TOKEN], id[CFG_REV_TEXT], data[256];
    struct cfg_buf out;
    (void)snprintf(data, sizeof data, "{\"type\":\"refetchEvaluation\",\"etag\":\"%s\",\"lastModified\":%lld}",
                   cfg_ofrep_token_format(t, token), (long long)modified_s);
    cfg_buf_init(&out, EVENT_MAX);
    cfg_sse_put(&out, "message", cfg_rev_format(t->revision, id), cfg_slice_str(data));
    struct cfg_bytes *b = cfg_buf_status(&out) == 0 ? cfg_bytes_new(cfg_buf_slice(&out)) : NULL;
    cfg_buf_finish(&out);
    return b;
}
