#include "client/cfgctl/flag_ask.h"

#include <math.h>
#include <string.h>
#include <strings.h>

/* --- sources --- */

static bool is_definition(const cJSON *v)
{
    return cJSON_IsObject(cfg_json_get(v, "variants")) || cJSON_IsString(cfg_json_get(v, "state"));
}

static bool is_envelope(const cJSON *v)
{
    return cJSON_IsObject(cfg_json_get(v, "definition")) && !is_definition(v);
}

/* A document has its flags under "flags"; a set that has a flag of that name is no document. */
bool flag_is_document(const cJSON *v)
{
    const cJSON *flags = cfg_json_get(v, "flags");
    return flags && !is_definition(flags) && !is_envelope(flags);
}

int flag_source_compile(struct cfg_flag_set **out, const struct flag_source *source, struct cfg_error *err)
{
    struct cfg_flag_source s = {source->flags, source->evaluators, source->metadata, .plain = true,
                                .keep_broken = true};
    if (flag_is_document(source->flags)) {
        const cJSON *own = cfg_json_get(source->flags, "$evaluators");
        own = own ? own : cfg_json_get(source->flags, "evaluators"); /* of GET /v1/flags/{ns}?format=envelopes */
        s.evaluators = own ? own : source->evaluators;
        own = cfg_json_get(source->flags, "metadata");
        s.metadata = own ? own : source->metadata;
        s.flags = cfg_json_get(source->flags, "flags");
    }
    if (cJSON_IsObject(s.flags) && s.flags->child)
        s.plain = !is_envelope(s.flags->child);
    return cfg_flag_set_compile(out, &s, err);
}

int flag_source_compile_one(struct cfg_flag_set **out, const char *name, const struct flag_source *source,
                            struct cfg_error *err)
{
    cJSON *flags = cJSON_CreateObject();
    int rc = cJSON_AddItemReferenceToObject(flags, name, (cJSON *)(uintptr_t)source->flags)
                 ? 0
                 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    struct cfg_flag_source s = {.flags = flags,
                                .evaluators = source->evaluators,
                                .metadata = source->metadata,
                                .plain = !is_envelope(source->flags),
                                .keep_broken = true};
    if (rc == 0)
        rc = cfg_flag_set_compile(out, &s, err);
    cJSON_Delete(flags);
    return rc;
}

/* --- asking --- */

struct flag_answer flag_ask_failed(const char *error, const cJSON *fallback)
{
    return (struct flag_answer){fallback, NULL, "ERROR", error, NULL};
}

/* A context may carry its own time, so that a test of a time rule says the same tomorrow. */
static int64_t time_of(const struct flag_question *q)
{
    const cJSON *at = cfg_json_get(cfg_json_get(q->context, "$flagd"), "timestamp");
    at = at ? at : cfg_json_get(q->context, "$flagd.timestamp");
    bool good = cJSON_IsNumber(at) && fabs(at->valuedouble) < 9e15;
    return good ? (int64_t)at->valuedouble : q->now;
}

static struct flag_answer ask(const struct cfg_flag_set *set, const struct flag_question *q,
                              struct cfg_flag_context *context)
{
    context->timestamp = time_of(q);
    context->explain = q->explain;
    struct cfg_flag_result r = cfg_flag_set_eval(set, q->flag, strlen(q->flag), q->type, context);
    return (struct flag_answer){r.value ? r.value : q->fallback, r.variant, cfg_flag_reason_name(r.reason), r.error,
                                r.metadata};
}

struct flag_answer flag_ask(const struct cfg_flag_set *set, const struct flag_question *q)
{
    struct cfg_flag_context context = {.n_attributes = 0};
    if (q->context && !cJSON_IsNull(q->context)) {
        int rc = cfg_flag_context_init_json(&context, q->context, NULL);
        if (rc != 0)
            return flag_ask_failed(rc == CFG_E_VALUE ? "INVALID_CONTEXT" : "GENERAL", q->fallback);
    }
    struct flag_answer a = ask(set, q, &context);
    cfg_flag_context_finish(&context);
    return a;
}

/* --- results --- */

static void put_text(struct cfg_buf *out, const char *key, const char *text)
{
    cfg_buf_puts(out, key);
    if (text)
        cfg_json_put_string(out, cfg_slice_str(text));
    else
        cfg_buf_puts(out, "null");
}

void flag_answer_print(struct cfg_buf *out, const struct flag_answer *a)
{
    cfg_buf_puts(out, "{\"value\":");
    if (a->value)
        cfg_json_print(out, a->value);
    else
        cfg_buf_puts(out, "null");
    put_text(out, ",\"variant\":", a->variant);
    put_text(out, ",\"reason\":", a->reason);
    put_text(out, ",\"errorCode\":", a->error);
    cfg_buf_putc(out, '}');
}

static bool add(cJSON *o, const char *key, cJSON *value)
{
    if (o && value && cJSON_AddItemToObject(o, key, value))
        return true;
    cJSON_Delete(value);
    return false;
}

static cJSON *text_or_null(const char *text)
{
    return text ? cJSON_CreateString(text) : cJSON_CreateNull();
}

cJSON *flag_answer_tree(const struct flag_answer *a)
{
    cJSON *out = cJSON_CreateObject(), *value = a->value ? cJSON_Duplicate(a->value, true) : cJSON_CreateNull();
    if (value)
        cfg_json_forget_key(value);
    if (add(out, "value", value) && add(out, "variant", text_or_null(a->variant)) &&
        add(out, "reason", text_or_null(a->reason)) && add(out, "errorCode", text_or_null(a->error)))
        return out;
    cJSON_Delete(out);
    return NULL;
}

/* --- types --- */

bool flag_type_parse(enum cfg_flag_type *out, const char *text)
{
    static const struct {
        const char *name;
        enum cfg_flag_type type;
    } names[] = {{"bool", CFG_FLAG_BOOL},       {"boolean", CFG_FLAG_BOOL}, {"string", CFG_FLAG_STRING},
                 {"number", CFG_FLAG_NUMBER},   {"float", CFG_FLAG_NUMBER}, {"double", CFG_FLAG_NUMBER},
                 {"object", CFG_FLAG_OBJECT},   {"json", CFG_FLAG_OBJECT},  {"structure", CFG_FLAG_OBJECT},
                 {"integer", CFG_FLAG_INTEGER}, {"int", CFG_FLAG_INTEGER},  {"any", CFG_FLAG_ANY}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(names[i].name, text) == 0) {
            *out = names[i].type;
            return true;
        }
    return false;
}

bool flag_type_takes(enum cfg_flag_type type, const cJSON *value)
{
    switch (type) {
    case CFG_FLAG_BOOL:
        return cJSON_IsBool(value);
    case CFG_FLAG_STRING:
        return cJSON_IsString(value);
    case CFG_FLAG_NUMBER:
        return cJSON_IsNumber(value);
    case CFG_FLAG_INTEGER:
        return cJSON_IsNumber(value) && value->valuedouble == floor(value->valuedouble);
    case CFG_FLAG_OBJECT:
        return cJSON_IsObject(value);
    case CFG_FLAG_ANY:
        break;
    }
    return true;
}
