/* Unquoted words, casts and sorting of the override grammar. */
#include "proto/json_number.h"
#include "proto/override_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WRITTEN_AS_FLOAT = 1 << 10 }; /* above every bit that cJSON uses */

/* --- words --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* DIGIT ('_'? DIGIT)*, appended to `to` without the underscores; 0 when there is none at p. */
static size_t take_digits(const char *p, const char *end, char *to, size_t *n)
{
    const char *start = p;
    while (p < end && (is_digit(*p) || (*p == '_' && p > start && end - p > 1 && is_digit(p[1])))) {
        if (*p != '_')
            to[(*n)++] = *p;
        p++;
    }
    return (size_t)(p - start);
}

/* Splits Hydra's INT and FLOAT: [+-]? (INT_UNSIGNED | POINT_FLOAT | EXPONENT_FLOAT). digits holds whole and fraction,
 * as long as word. False when the whole word is no such number. */
static bool scan_number(struct cfg_number *out, char *digits, struct cfg_slice word)
{
    const char *p = word.ptr, *end = word.ptr + word.len;
    size_t n = 0, used;
    *out = (struct cfg_number){.is_integer = true};
    if (p < end && (*p == '+' || *p == '-'))
        out->negative = *p++ == '-';
    const char *whole = p;
    used = take_digits(p, end, digits, &n);
    if (used > 1 && *whole == '0')
        return false;
    out->whole = (struct cfg_slice){digits, n};
    p += used;
    if (p < end && *p == '.') {
        out->is_integer = false;
        size_t before = n;
        p += 1 + take_digits(p + 1, end, digits, &n);
        out->fraction = (struct cfg_slice){digits + before, n - before};
    }
    if (n == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        out->is_integer = false;
        p++;
        bool negative = p < end && *p == '-';
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (p == end || !is_digit(*p))
            return false;
        for (; p < end && (is_digit(*p) || (*p == '_' && end - p > 1 && is_digit(p[1]) && is_digit(p[-1]))); p++)
            if (*p != '_' && out->exponent < 1000000)
                out->exponent = out->exponent * 10 + (*p - '0');
        out->exponent = negative ? -out->exponent : out->exponent;
    }
    return p == end;
}

static bool is_word(struct cfg_slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

static bool is_not_finite(struct cfg_slice s)
{
    if (s.len > 0 && (s.ptr[0] == '+' || s.ptr[0] == '-'))
        s = (struct cfg_slice){s.ptr + 1, s.len - 1};
    return is_word(s, "inf") || is_word(s, "nan");
}

static int refuse_number(struct cfg_error *err, struct cfg_slice word, const char *why)
{
    cfg_fail(err, CFG_E_VALUE, "%.*s %s", (int)(word.len < 80 ? word.len : 80), word.ptr, why);
    cfg_error_set_hint(err, "quote it if text is meant: '%.*s'", (int)(word.len < 80 ? word.len : 80), word.ptr);
    return CFG_E_VALUE;
}

static int make_number(cJSON **out, double value, bool as_float, struct cfg_error *err)
{
    cJSON *node = cJSON_CreateNumber(value);
    if (node == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (as_float)
        node->type |= WRITTEN_AS_FLOAT;
    *out = node;
    return 0;
}

static int number_word(cJSON **out, struct cfg_slice word, struct cfg_error *err)
{
    char small[128], *digits = word.len <= sizeof small ? small : cJSON_malloc(word.len);
    if (digits == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    struct cfg_number number;
    double value = 0;
    int code = 0;
    bool found = scan_number(&number, digits, word);
    if (found && cfg_number_value(&value, &number))
        code = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (digits != small)
        cJSON_free(digits);
    if (code || !found)
        return code;
    if (isinf(value))
        return refuse_number(err, word, "is beyond a double");
    if (number.is_integer && fabs(value) > CFG_JSON_MAX_INTEGER)
        return refuse_number(err, word, "is beyond ±(2^53−1), the integers that every reader of JSON keeps exactly");
    return make_number(out, value, !number.is_integer, err);
}

int cfg_value_word(cJSON **out, struct cfg_slice word, struct cfg_error *err)
{
    if (is_not_finite(word))
        return refuse_number(err, word, "has no place in JSON");
    if (word.len > 0 && (is_digit(word.ptr[0]) || strchr("+-.", word.ptr[0])))
        return number_word(out, word, err);
    cJSON *value = NULL;
    if (is_word(word, "null"))
        value = cJSON_CreateNull();
    else if (is_word(word, "true") || is_word(word, "false"))
        value = cJSON_CreateBool(word.len == 4);
    else
        return 0;
    if (value == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    *out = value;
    return 0;
}

void cfg_value_forget_spelling(cJSON *v)
{
    v->type &= ~WRITTEN_AS_FLOAT;
    for (cJSON *child = v->child; child; child = child->next)
        cfg_value_forget_spelling(child);
}

/* --- casts --- */

typedef int (*cast_fn)(cJSON **out, const cJSON *v, struct cfg_error *err);

static int refuse_cast(struct cfg_error *err, const cJSON *v, const char *to)
{
    if (cJSON_IsString(v))
        return cfg_fail(err, CFG_E_VALUE, "cannot cast '%.80s' to %s", v->valuestring, to);
    return cfg_fail(err, CFG_E_VALUE, "cannot cast a value of type %s to %s", cfg_json_type(v), to);
}

/* The number that v is, or that its text spells; false when there is none. */
static bool as_number(double *out, bool *is_float, const cJSON *v)
{
    cJSON *read = NULL;
    if (cJSON_IsBool(v)) {
        *out = cJSON_IsTrue(v);
        *is_float = false;
        return true;
    }
    if (cJSON_IsString(v) && (cfg_value_word(&read, cfg_slice_str(v->valuestring), NULL) || read == NULL))
        return false;
    const cJSON *number = read ? read : v;
    bool found = cJSON_IsNumber(number);
    if (found) {
        *out = number->valuedouble;
        *is_float = number->type & WRITTEN_AS_FLOAT;
    }
    cJSON_Delete(read);
    return found;
}

static int cast_int(cJSON **out, const cJSON *v, struct cfg_error *err)
{
    double d = 0;
    bool is_float = false;
    if (!as_number(&d, &is_float, v) || (cJSON_IsString(v) && is_float) || fabs(trunc(d)) > CFG_JSON_MAX_INTEGER)
        return refuse_cast(err, v, "int");
    return make_number(out, trunc(d), false, err);
}

static int cast_float(cJSON **out, const cJSON *v, struct cfg_error *err)
{
    double d = 0;
    bool is_float = false;
    if (!as_number(&d, &is_float, v))
        return refuse_cast(err, v, "float");
    return make_number(out, d, true, err);
}

static int cast_bool(cJSON **out, const cJSON *v, struct cfg_error *err)
{
    bool value = cJSON_IsTrue(v);
    if (cJSON_IsNumber(v))
        value = v->valuedouble != 0;
    else if (cJSON_IsString(v) && is_word(cfg_slice_str(v->valuestring), "true"))
        value = true;
    else if (cJSON_IsNull(v) || (cJSON_IsString(v) && !is_word(cfg_slice_str(v->valuestring), "false")))
        return refuse_cast(err, v, "bool");
    *out = cJSON_CreateBool(value);
    return *out ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int cast_str(cJSON **out, const cJSON *v, struct cfg_error *err)
{
    char text[CFG_NUMBER_TEXT + 2];
    const char *as_text = cJSON_IsString(v) ? v->valuestring : cJSON_IsTrue(v) ? "true" : "false";
    if (cJSON_IsNull(v))
        return refuse_cast(err, v, "str");
    if (cJSON_IsNumber(v)) {
        size_t n = cfg_number_format(text, v->valuedouble, true);
        bool bare = strpbrk(text, ".e") == NULL;
        (void)snprintf(text + n, sizeof text - n, "%s", bare && (v->type & WRITTEN_AS_FLOAT) ? ".0" : "");
        as_text = text;
    }
    *out = cJSON_CreateString(as_text);
    return *out ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static const struct cast {
    const char *name;
    cast_fn fn;
} casts[] = {{"int", cast_int}, {"float", cast_float}, {"str", cast_str}, {"bool", cast_bool}};

bool cfg_value_is_cast(struct cfg_slice name)
{
    for (size_t i = 0; i < sizeof casts / sizeof casts[0]; i++)
        if (cfg_slice_eq_str(name, casts[i].name))
            return true;
    return false;
}

/* Casts every scalar below the container v, in place. */
static int cast_inside(cJSON *v, cast_fn fn, struct cfg_error *err)
{
    for (cJSON *child = v->child, *next; child; child = next) {
        next = child->next;
        int code = 0;
        cJSON *made = NULL;
        if (cJSON_IsArray(child) || cJSON_IsObject(child)) {
            code = cast_inside(child, fn, err);
        } else if ((code = fn(&made, child, err)) == 0) {
            made->string = child->string;
            child->string = NULL;
            (void)cJSON_ReplaceItemViaPointer(v, child, made); /* fails on NULL arguments only */
        }
        if (code)
            return code;
    }
    return 0;
}

int cfg_value_cast(cJSON **value, struct cfg_slice name, struct cfg_error *err)
{
    cast_fn fn = NULL;
    for (size_t i = 0; i < sizeof casts / sizeof casts[0]; i++)
        if (cfg_slice_eq_str(name, casts[i].name))
            fn = casts[i].fn;
    cJSON *v = *value, *made = NULL;
    *value = NULL;
    bool is_container = cJSON_IsArray(v) || cJSON_IsObject(v);
    int code = is_container ? cast_inside(v, fn, err) : fn(&made, v, err);
    if (code == 0)
        *value = is_container ? v : made;
    if (code || !is_container)
        cJSON_Delete(v);
    return code;
}

/* --- sorting --- */

static double ordinal(const cJSON *v)
{
    return cJSON_IsNumber(v) ? v->valuedouble : cJSON_IsTrue(v);
}

static int compare_items(const void *left, const void *right)
{
    const cJSON *a = *(cJSON *const *)left, *b = *(cJSON *const *)right;
    if (cJSON_IsString(a))
        return strcmp(a->valuestring, b->valuestring); /* UTF-8 sorts as code points do */
    return (ordinal(a) > ordinal(b)) - (ordinal(a) < ordinal(b));
}

static bool is_sortable(const cJSON *list)
{
    for (const cJSON *item = list->child; item; item = item->next) {
        if (!cJSON_IsString(item) && !cJSON_IsNumber(item) && !cJSON_IsBool(item))
            return false;
        if (cJSON_IsString(item) != cJSON_IsString(list->child))
            return false;
    }
    return true;
}

int cfg_value_sort(cJSON *list, bool reverse, struct cfg_error *err)
{
    size_t n = (size_t)cJSON_GetArraySize(list), i = 0;
    if (!is_sortable(list))
        return cfg_fail(err, CFG_E_VALUE, "only numbers, or only strings, can be sorted");
    cJSON **items = malloc((n + 1) * sizeof *items);
    if (items == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    while (list->child)
        items[i++] = cJSON_DetachItemViaPointer(list, list->child);
    qsort(items, n, sizeof(cJSON *), compare_items);
    for (i = 0; i < n; i++)
        (void)cJSON_AddItemToArray(list, items[reverse ? n - 1 - i : i]); /* fails on NULL arguments only */
    free(items);
    return 0;
}
