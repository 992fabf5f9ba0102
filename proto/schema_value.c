/* Keywords about single values: type, const, enum, numbers, lengths and counts, formats. */
#include "proto/path.h"
#include "proto/schema_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- type --- */

static const struct {
    const char *name;
    unsigned bits;
} types[] = {
    {"null", SCHEMA_NULL},     {"boolean", SCHEMA_BOOLEAN}, {"object", SCHEMA_OBJECT},   {"array", SCHEMA_ARRAY},
    {"number", SCHEMA_NUMBER}, {"string", SCHEMA_STRING},   {"integer", SCHEMA_INTEGER},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

static const char *type_name(const struct schema_at *at)
{
    return at->type & SCHEMA_INTEGER ? "integer" : cfg_json_type(at->v);
}

static bool check_type(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    if (k->u.mask & at->type)
        return true;
    if (r->quiet)
        return false;
    char expected[80] = "";
    for (size_t i = 0, n = 0; i < N_TYPES; i++)
        if (k->u.mask & types[i].bits)
            n += (size_t)snprintf(expected + n, sizeof expected - n, "%s%s", n ? " or " : "", types[i].name);
    struct schema_report what = {.keyword = k->name, .expected = expected};
    return cfg_schema_report(r, at, &what, "must be of type %s, not %s", expected, type_name(at));
}

static int add_type(struct schema_compiler *c, const struct schema_node *n, struct schema_keyword *k, const cJSON *name)
{
    const char *names[N_TYPES];
    for (size_t i = 0; i < N_TYPES; i++) {
        names[i] = types[i].name;
        if (cJSON_IsString(name) && strcmp(name->valuestring, types[i].name) == 0) {
            if (k->u.mask & types[i].bits)
                return cfg_schema_fail(c, n, "type", CFG_E_VALUE, "type names %s twice", types[i].name);
            k->u.mask |= types[i].bits;
            return 0;
        }
    }
    const char *near = cJSON_IsString(name) ? cfg_near_miss(name->valuestring, names, N_TYPES) : NULL;
    cfg_schema_fail(c, n, "type", CFG_E_VALUE,
                    "type must be one of null, boolean, object, array, number, string, "
                    "integer, or an array of them");
    if (near)
        cfg_error_set_hint(c->err, "did you mean \"%s\"?", near);
    return CFG_E_VALUE;
}

int cfg_schema_c_type(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    if (!cJSON_IsArray(k->value) || k->value->child == NULL) {
        int code = add_type(c, n, k, k->value);
        if (code)
            return code;
    } else {
        for (const cJSON *t = k->value->child; t; t = t->next) {
            int code = add_type(c, n, k, t);
            if (code)
                return code;
        }
    }
    k->check = check_type;
    return 0;
}

/* --- const, enum --- */

static void put_choices(struct cfg_buf *out, const struct schema_enum *e)
{
    for (size_t i = 0; i < e->n && i < 12; i++) {
        cfg_buf_puts(out, i ? ", " : "");
        if (cJSON_IsObject(e->values[i]) || cJSON_IsArray(e->values[i]))
            cfg_json_print(out, e->values[i]);
        else
            cfg_schema_show(out, e->values[i]);
    }
    if (e->n > 12)
        cfg_buf_printf(out, ", … (%zu in all)", e->n);
}

static const char *near_choice(const struct schema_enum *e, const char *text)
{
    const char *best = NULL;
    for (size_t i = 0; i < e->n; i++) {
        const char *pair[2] = {cJSON_IsString(e->values[i]) ? e->values[i]->valuestring : NULL, best};
        if (pair[0])
            best = cfg_near_miss(text, pair, best ? 2 : 1);
    }
    return best;
}

static bool is_among(const struct schema_enum *e, const struct schema_at *at)
{
    if (e->short_texts && at->type != SCHEMA_STRING)
        return false;
    for (size_t i = 0; e->short_texts && i < e->n; i++)
        if (e->values[i]->valuestring[0] == at->v->valuestring[0] &&
            strcmp(e->values[i]->valuestring, at->v->valuestring) == 0)
            return true;
    if (e->short_texts)
        return false;
    uint64_t hash = cfg_schema_hash_value(at->v);
    for (size_t i = 0; i < e->n; i++)
        if (e->hashes[i] == hash && cfg_json_equal(e->values[i], at->v))
            return true;
    return false;
}

static bool check_enum(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    const struct schema_enum *e = k->u.values;
    if (is_among(e, at))
        return true;
    if (!cfg_schema_spend(r, e->n / 16) || r->quiet)
        return false;
    struct cfg_buf choices;
    cfg_buf_init(&choices, 400);
    put_choices(&choices, e);
    cfg_schema_need(r, &choices);
    const char *near =
                   cJSON_IsString(at->v) && cfg_schema_may_hint(r, e->n) ? near_choice(e, at->v->valuestring) : NULL,
               *shown = choices.data;
    char hint[200];
    if (near)
        (void)snprintf(hint, sizeof hint, "did you mean \"%.150s\"?", near);
    struct schema_report what = {.keyword = k->name, .expected = shown, .hint = near ? hint : NULL};
    bool one = strcmp(k->name, "const") == 0;
    (void)cfg_schema_report(r, at, &what, one ? "must be %s" : "must be one of %s", shown ? shown : "nothing");
    cfg_buf_finish(&choices);
    return false;
}

static int make_enum(struct schema_compiler *c, struct schema_keyword *k, const cJSON *first, size_t n)
{
    struct schema_enum *e = cfg_schema_take(c, sizeof *e);
    const cJSON **values = cfg_schema_take(c, (n + 1) * sizeof *values);
    uint64_t *hashes = cfg_schema_take(c, (n + 1) * sizeof *hashes);
    if (e == NULL || values == NULL || hashes == NULL)
        return cfg_schema_nomem(c);
    bool short_texts = n <= 16;
    for (size_t i = 0; i < n; i++, first = first->next) {
        values[i] = first;
        hashes[i] = cfg_schema_hash_value(first);
        short_texts = short_texts && cJSON_IsString(first);
    }
    *e = (struct schema_enum){values, hashes, n, short_texts};
    k->u.values = e;
    k->check = check_enum;
    return 0;
}

int cfg_schema_c_enum(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    if (!cJSON_IsArray(k->value))
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "enum must be an array of values");
    return make_enum(c, k, k->value->child, (size_t)cJSON_GetArraySize(k->value));
}

int cfg_schema_c_const(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    (void)n;
    return make_enum(c, k, k->value, 1);
}

/* --- numbers --- */

/* "must be at least 0.5 s". */
static bool report_number(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at,
                          const char *says, const char *sign)
{
    if (r->quiet)
        return false;
    char path[CFG_SCHEMA_SHOWN_PATH];
    struct cfg_schema_info info;
    cfg_schema_path_text(path, r, at);
    (void)cfg_schema_info(&info, r->s, path);
    struct cfg_buf number;
    cfg_buf_init(&number, 100);
    cfg_json_put_number(&number, k->u.number);
    cfg_schema_need(r, &number);
    char expected[140];
    (void)snprintf(expected, sizeof expected, "%s%s%s%.60s", sign, number.data ? number.data : "", info.unit ? " " : "",
                   info.unit ? info.unit : "");
    struct schema_report what = {.keyword = k->name, .expected = expected};
    (void)cfg_schema_report(r, at, &what, "must be %s %s", says, expected + strlen(sign));
    cfg_buf_finish(&number);
    return false;
}

static bool check_minimum(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    return at->v->valuedouble >= k->u.number || report_number(r, k, at, "at least", ">= ");
}

static bool check_maximum(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    return at->v->valuedouble <= k->u.number || report_number(r, k, at, "at most", "<= ");
}

static bool check_above(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    return at->v->valuedouble > k->u.number || report_number(r, k, at, "greater than", "> ");
}

static bool check_below(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    return at->v->valuedouble < k->u.number || report_number(r, k, at, "less than", "< ");
}

static bool check_multiple(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    return cfg_schema_is_multiple(at->v->valuedouble, k->u.number) ||
           report_number(r, k, at, "a multiple of", "multiple of ");
}

int cfg_schema_c_number(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    static const struct {
        const char *name;
        schema_check_fn check;
    } checks[] = {{"minimum", check_minimum},
                  {"maximum", check_maximum},
                  {"exclusiveMinimum", check_above},
                  {"exclusiveMaximum", check_below},
                  {"multipleOf", check_multiple}};
    if (!cJSON_IsNumber(k->value)) {
        cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "%s must be a number", k->name);
        if (cJSON_IsBool(k->value))
            cfg_error_set_hint(c->err, "since draft 6 %s is the bound itself", k->name);
        return CFG_E_VALUE;
    }
    k->u.number = k->value->valuedouble;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (strcmp(checks[i].name, k->name) == 0)
            k->check = checks[i].check;
    if (k->check == check_multiple && !(k->u.number > 0))
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "multipleOf must be greater than 0");
    return 0;
}

/* --- lengths and counts --- */

static size_t code_points(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static size_t children(const cJSON *v)
{
    size_t n = 0;
    for (const cJSON *m = v->child; m; m = m->next)
        n++;
    return n;
}

static bool check_count(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    bool text = at->type == SCHEMA_STRING, least = k->name[1] == 'i';
    size_t n = text ? strlen(at->v->valuestring) : children(at->v);
    if (text && (least ? n / 4 >= k->u.count : n <= k->u.count))
        return true; /* whatever the characters are: they have one to four bytes */
    n = text ? code_points(at->v->valuestring) : n;
    if (least ? n >= k->u.count : n <= k->u.count)
        return true;
    if (r->quiet)
        return false;
    const char *what = text ? "character" : at->type == SCHEMA_ARRAY ? "item" : "member";
    char expected[80];
    (void)snprintf(expected, sizeof expected, "%s %zu %s%s", least ? "at least" : "at most", k->u.count, what,
                   k->u.count == 1 ? "" : "s");
    struct schema_report report = {.keyword = k->name, .expected = expected};
    return cfg_schema_report(r, at, &report, "must have %s, has %zu", expected, n);
}

int cfg_schema_c_count(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    if (!cJSON_IsNumber(k->value) || k->value->valuedouble < 0 || k->value->valuedouble != floor(k->value->valuedouble))
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "%s must be a whole number, 0 or greater", k->name);
    k->u.count = k->value->valuedouble > 9e15 ? SIZE_MAX : (size_t)k->value->valuedouble;
    if (strstr(k->name, "Contains") == NULL) /* contains does it itself */
        k->check = check_count;
    return 0;
}

/* --- pattern, format --- */

static bool check_pattern(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    if (cfg_schema_pattern_matches(r, k->u.pattern, at->v->valuestring))
        return true;
    struct schema_report what = {.keyword = k->name, .expected = k->value->valuestring};
    return cfg_schema_report(r, at, &what, "must match the pattern %.300s", k->value->valuestring);
}

int cfg_schema_c_pattern(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    if (!cJSON_IsString(k->value))
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "pattern must be a string");
    k->check = check_pattern;
    return cfg_schema_pattern(c, &k->u.pattern, k->value->valuestring, n, k->name);
}

static bool check_format(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    if (k->u.format(cfg_slice_str(at->v->valuestring)))
        return true;
    struct schema_report what = {.keyword = k->name, .expected = k->value->valuestring};
    return cfg_schema_report(r, at, &what, "must be of the format %.80s", k->value->valuestring);
}

int cfg_schema_c_format(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    if (!cJSON_IsString(k->value))
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "format must be a string");
    const char *name = k->value->valuestring;
    const struct schema_format *format = cfg_schema_format(name);
    if (format == NULL && !c->o->lenient && !n->resource->foreign) {
        cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "there is no format \"%.80s\"", name);
        const char *near = cfg_schema_format_near(name);
        if (near)
            cfg_error_set_hint(c->err, "did you mean %s?", near);
        return CFG_E_VALUE;
    }
    if (format && (c->o->assert_formats || n->resource->assert_formats)) {
        k->u.format = format->valid;
        k->check = check_format;
    }
    return 0;
}
