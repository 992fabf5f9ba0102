/* A context from JSON lies in one block: members and items first, bytes behind them, so that finishing is one free.
 * Members are kept in the order of deterministic CBOR (length, then bytes), which is what hashing an object needs. */
#include "flags/logic.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_flag_member member(const char *name, struct cfg_flag_value value)
{
    size_t n = strlen(name);
    return (struct cfg_flag_member){cfg_flag_name_hash(name, n), (uint32_t)n, name, value};
}

struct cfg_flag_member cfg_flag_member_str(const char *name, const char *value)
{
    return member(name, value_string(value, strlen(value)));
}

struct cfg_flag_member cfg_flag_member_number(const char *name, double value)
{
    return member(name, value_number(value));
}

struct cfg_flag_member cfg_flag_member_bool(const char *name, bool value)
{
    return member(name, value_bool(value));
}

/* --- reading JSON --- */

static size_t count_children(const cJSON *v)
{
    size_t n = 0;
    for (const cJSON *c = v->child; c != NULL; c = c->next)
        n++;
    return n;
}

/* What a tree takes: bytes of its structs and of its texts. */
static void measure(size_t *structs, size_t *texts, const cJSON *v)
{
    if (v->string)
        *texts += strlen(v->string);
    if (cJSON_IsString(v))
        *texts += strlen(v->valuestring);
    size_t n = count_children(v);
    *structs += n * (cJSON_IsObject(v) ? sizeof(struct cfg_flag_member) : sizeof(struct cfg_flag_value));
    for (const cJSON *c = v->child; c != NULL; c = c->next)
        measure(structs, texts, c);
}

struct writer {
    char *structs, *texts;
};

/* In a tree U+0000 is the two bytes C0 80, in a value one byte 00. */
static const char *put_text(uint32_t *len, struct writer *w, const char *text)
{
    char *start = w->texts;
    for (const char *p = text; *p != '\0'; p++) {
        bool nul = p[0] == '\xC0' && p[1] == '\x80';
        *w->texts++ = nul ? '\0' : *p;
        p += nul;
    }
    *len = (uint32_t)(w->texts - start);
    return start;
}

int cfg_flag_member_order(const void *a, const void *b)
{
    const struct cfg_flag_member *x = a, *y = b;
    if (x->name_len != y->name_len)
        return x->name_len < y->name_len ? -1 : 1;
    return memcmp(x->name, y->name, x->name_len);
}

static struct cfg_flag_value convert(struct writer *w, const cJSON *v);

static struct cfg_flag_value convert_object(struct writer *w, const cJSON *v)
{
    size_t n = count_children(v), i = 0;
    struct cfg_flag_member *members = (struct cfg_flag_member *)(void *)w->structs;
    w->structs += n * sizeof *members;
    for (const cJSON *c = v->child; c != NULL; c = c->next, i++) {
        members[i].name = put_text(&members[i].name_len, w, c->string);
        members[i].hash = cfg_flag_name_hash(members[i].name, members[i].name_len);
        members[i].value = convert(w, c);
    }
    if (n > 1)
        qsort(members, n, sizeof *members, cfg_flag_member_order);
    return (struct cfg_flag_value){CFG_VALUE_OBJECT, (uint32_t)n, {.members = members}};
}

static struct cfg_flag_value convert_array(struct writer *w, const cJSON *v)
{
    size_t n = count_children(v), i = 0;
    struct cfg_flag_value *items = (struct cfg_flag_value *)(void *)w->structs;
    w->structs += n * sizeof *items;
    for (const cJSON *c = v->child; c != NULL; c = c->next)
        items[i++] = convert(w, c);
    return value_array(items, n);
}

static struct cfg_flag_value convert(struct writer *w, const cJSON *v)
{
    if (cJSON_IsObject(v))
        return convert_object(w, v);
    if (cJSON_IsArray(v))
        return convert_array(w, v);
    if (cJSON_IsString(v)) {
        uint32_t len;
        const char *text = put_text(&len, w, v->valuestring);
        return value_string(text, len);
    }
    if (cJSON_IsNumber(v))
        return value_number(v->valuedouble);
    return cJSON_IsBool(v) ? value_bool(cJSON_IsTrue(v) != 0) : value_null();
}

int cfg_flag_value_from_json(struct cfg_flag_value *out, void **memory, const cJSON *v, struct cfg_error *err)
{
    size_t structs = 0, texts = 0;
    measure(&structs, &texts, v);
    if (structs > INT32_MAX || texts > INT32_MAX)
        return cfg_fail(err, CFG_E_LIMIT, "a context of more than 2^31 bytes");
    char *block = cJSON_malloc(structs + texts + 1);
    if (block == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a context");
    struct writer w = {block, block + structs};
    *out = convert(&w, v);
    *memory = block;
    return 0;
}

int cfg_flag_context_init_json(struct cfg_flag_context *out, const cJSON *object, struct cfg_error *err)
{
    if (!cJSON_IsObject(object))
        return cfg_fail(err, CFG_E_VALUE, "a context must be an object, not %s",
                        object ? cfg_json_type(object) : "nothing");
    struct cfg_flag_value v;
    void *memory;
    int rc = cfg_flag_value_from_json(&v, &memory, object, err);
    if (rc != 0)
        return rc;
    *out = (struct cfg_flag_context){.attributes = v.as.members, .n_attributes = v.len, .memory = memory};
    return 0;
}

void cfg_flag_context_finish(struct cfg_flag_context *context)
{
    cJSON_free(context->memory);
    context->memory = NULL;
    context->attributes = NULL;
    context->n_attributes = 0;
}
