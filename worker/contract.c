/* Declarations: checked one by one, kept in the order of declaration (that order is the handle). */
#include "worker/contract.h"
#include "proto/limits.h"
#include "proto/path.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define JSON_INTEGER_MAX ((int64_t)9007199254740991)

void cfg_contract_finish(struct cfg_contract *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        struct cfg_decl *d = &c->items[i];
        if (d->type == CFG_STRING || d->type == CFG_JSON) {
            free((void *)(uintptr_t)d->def.string);
        }
        free(d->path);
    }
    for (uint32_t i = 0; i < c->n_flags; i++) {
        free(c->flags[i]);
    }
    free((void *)c->flags);
    free(c->items);
    memset(c, 0, sizeof *c);
}

uint32_t cfg_contract_find(const struct cfg_contract *c, const char *path)
{
    for (uint32_t i = 0; i < c->n; i++) {
        if (strcmp(c->items[i].path, path) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

const char *cfg_contract_near(const struct cfg_contract *c, const char *path)
{
    const char **names = calloc(c->n + 1U, sizeof *names);
    if (names == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        names[i] = c->items[i].path;
    }
    const char *near = cfg_near_miss(path, names, c->n);
    free(names);
    return near;
}

static int check_flag(const char *address, struct cfg_error *err)
{
    struct cfg_address a;
    int rc = cfg_address_parse(&a, cfg_slice_str(address), false, err);
    return rc != 0 ? rc : cfg_check_flag_name(cfg_slice_str(a.name), err);
}

static int check_path(const struct cfg_decl *d, struct cfg_error *err)
{
    if (d->path == NULL || d->path[0] == '\0') {
        return cfg_fail(err, CFG_E_ADDRESS, "a declared parameter has no path");
    }
    return d->type == CFG_FLAG ? check_flag(d->path, err) : cfg_path_check(cfg_slice_str(d->path), err);
}

static int check_range(const struct cfg_decl *d, struct cfg_error *err)
{
    if (d->type == CFG_I64) {
        if (d->min.i64 > d->max.i64) {
            return cfg_fail(err, CFG_E_VALUE, "%s: the range %lld to %lld is empty", d->path, (long long)d->min.i64,
                            (long long)d->max.i64);
        }
        if (d->def.i64 > JSON_INTEGER_MAX || d->def.i64 < -JSON_INTEGER_MAX) {
            return cfg_fail(err, CFG_E_VALUE, "%s: the default %lld lies beyond 2^53, which JSON does not carry",
                            d->path, (long long)d->def.i64);
        }
        if (d->def.i64 < d->min.i64 || d->def.i64 > d->max.i64) {
            return cfg_fail(err, CFG_E_VALUE, "%s: the default %lld lies outside of %lld to %lld", d->path,
                            (long long)d->def.i64, (long long)d->min.i64, (long long)d->max.i64);
        }
    }
    if (d->type == CFG_F64) {
        if (!(d->min.f64 <= d->max.f64)) {
            return cfg_fail(err, CFG_E_VALUE, "%s: the range %g to %g is empty", d->path, d->min.f64, d->max.f64);
        }
        if (!isfinite(d->def.f64) || d->def.f64 < d->min.f64 || d->def.f64 > d->max.f64) {
            return cfg_fail(err, CFG_E_VALUE, "%s: the default %g lies outside of %g to %g", d->path, d->def.f64,
                            d->min.f64, d->max.f64);
        }
    }
    return 0;
}

/* The default of a STRING as given, of a JSON parameter in canonical form, so that values compare as text. */
static int copy_default(struct cfg_decl *d, struct cfg_error *err)
{
    const char *text = d->def.string;
    if (text == NULL) {
        text = d->type == CFG_JSON ? "null" : "";
    }
    d->def.string = NULL;
    if (d->type == CFG_STRING) {
        d->def.string = strdup(text);
        return d->def.string != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "%s: out of memory", d->path);
    }
    cJSON *v = NULL;
    int rc = cfg_json_parse(&v, cfg_slice_str(text), 0, err);
    if (rc != 0) {
        return cfg_error_wrap(err, "%s: the default is no JSON", d->path);
    }
    struct cfg_buf b;
    cfg_buf_init(&b, CFG_LIMIT_DOCUMENT);
    cfg_json_canonical(&b, v);
    cJSON_Delete(v);
    d->def.string = cfg_buf_steal(&b);
    cfg_buf_finish(&b);
    return d->def.string != NULL ? 0 : cfg_fail(err, CFG_E_LIMIT, "%s: the default is too large", d->path);
}

static int check(const struct cfg_contract *c, const struct cfg_decl *d, struct cfg_error *err)
{
    if (c->frozen) {
        return cfg_fail(err, CFG_E_INVALID, "%s: declared after start", d->path != NULL ? d->path : "?");
    }
    if (c->n >= CFG_LIMIT_CONTRACT) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d parameters declared", CFG_LIMIT_CONTRACT);
    }
    int rc = check_path(d, err);
    if (rc != 0) {
        return cfg_error_wrap(err, "declared parameter \"%s\"", d->path != NULL ? d->path : "");
    }
    if (cfg_contract_find(c, d->path) != UINT32_MAX) {
        return cfg_fail(err, CFG_E_EXISTS, "%s: declared twice", d->path);
    }
    if (d->apply > CFG_PINNED) {
        return cfg_fail(err, CFG_E_INVALID, "%s: unknown class %d", d->path, (int)d->apply);
    }
    return check_range(d, err);
}

static int append(struct cfg_contract *c, const struct cfg_decl *d, struct cfg_error *err)
{
    if (c->n == c->cap) {
        uint32_t cap = c->cap != 0 ? c->cap * 2 : 16;
        struct cfg_decl *grown = realloc(c->items, cap * sizeof *grown);
        if (grown == NULL) {
            return cfg_fail(err, CFG_E_NOMEM, "out of memory for the contract");
        }
        c->items = grown;
        c->cap = cap;
    }
    struct cfg_decl copy = *d;
    copy.path = strdup(d->path);
    if (copy.path == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the contract");
    }
    if (d->type == CFG_STRING || d->type == CFG_JSON) {
        int rc = copy_default(&copy, err);
        if (rc != 0) {
            free(copy.path);
            return rc;
        }
    }
    c->items[c->n++] = copy;
    return 0;
}

uint32_t cfg_contract_add(struct cfg_contract *c, const struct cfg_decl *d)
{
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = check(c, d, &err);
    if (rc == 0) {
        rc = append(c, d, &err);
    }
    if (rc != 0) {
        if (c->error.code == 0) {
            c->error = err;
        }
        return UINT32_MAX;
    }
    return c->n - 1;
}

static int append_flag(struct cfg_contract *c, const char *address, struct cfg_error *err)
{
    if (c->frozen) {
        return cfg_fail(err, CFG_E_INVALID, "%s: declared after start", address != NULL ? address : "?");
    }
    if (c->n_flags == CFG_LIMIT_CONTRACT) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d flags declared", CFG_LIMIT_CONTRACT);
    }
    int rc = check_flag(address != NULL ? address : "", err);
    if (rc != 0) {
        return cfg_error_wrap(err, "declared flag \"%s\"", address != NULL ? address : "");
    }
    char **grown = realloc((void *)c->flags, (c->n_flags + 1U) * sizeof(char *));
    if (grown != NULL) {
        c->flags = grown;
        grown[c->n_flags] = strdup(address);
    }
    if (grown == NULL || grown[c->n_flags] == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the contract");
    }
    c->n_flags++;
    return 0;
}

uint32_t cfg_contract_add_flag(struct cfg_contract *c, const char *address)
{
    struct cfg_error err = CFG_ERROR_INIT;
    for (uint32_t i = 0; address != NULL && i < c->n_flags; i++) {
        if (strcmp(c->flags[i], address) == 0) {
            return i;
        }
    }
    if (append_flag(c, address, &err) != 0) {
        if (c->error.code == 0) {
            c->error = err;
        }
        return UINT32_MAX;
    }
    return c->n_flags - 1;
}

const char *cfg_class_name(enum cfg_class c)
{
    static const char *const names[] = {"live", "drain", "barrier", "restart", "pinned"};
    return c <= CFG_PINNED ? names[c] : "unknown";
}

const char *cfg_type_name(enum cfg_type t)
{
    static const char *const names[] = {"bool", "i64", "f64", "string", "json", "flag"};
    return t <= CFG_FLAG ? names[t] : "unknown";
}

void cfg_value_print(struct cfg_buf *out, enum cfg_type type, const union cfg_value *v)
{
    switch (type) {
    case CFG_BOOL:
    case CFG_FLAG:
        cfg_buf_puts(out, v->b ? "true" : "false");
        break;
    case CFG_I64:
        cfg_buf_printf(out, "%lld", (long long)v->i64);
        break;
    case CFG_F64:
        cfg_json_put_number(out, v->f64);
        break;
    case CFG_STRING:
        cfg_json_put_string(out, cfg_slice_str(v->string));
        break;
    case CFG_JSON:
        cfg_buf_puts(out, v->string);
        break;
    }
}

bool cfg_value_same(enum cfg_type type, const union cfg_value *a, const union cfg_value *b)
{
    switch (type) {
    case CFG_FLAG: /* the stepper may be telling the view another time */
        return __atomic_load_n(&a->b, __ATOMIC_RELAXED) == __atomic_load_n(&b->b, __ATOMIC_RELAXED);
    case CFG_BOOL:
        return a->b == b->b;
    case CFG_I64:
        return a->i64 == b->i64;
    case CFG_F64:
        return !(a->f64 < b->f64) && !(a->f64 > b->f64);
    default:
        return strcmp(a->string, b->string) == 0;
    }
}

static void print_limit(struct cfg_buf *out, const char *name, const struct cfg_decl *d, const union cfg_value *v)
{
    bool carried = d->type == CFG_I64   ? v->i64 >= -JSON_INTEGER_MAX && v->i64 <= JSON_INTEGER_MAX
                   : d->type == CFG_F64 ? isfinite(v->f64) != 0
                                        : false;
    if (carried) {
        cfg_buf_printf(out, ",\"%s\":", name);
        cfg_value_print(out, d->type, v);
    }
}

void cfg_contract_print(struct cfg_buf *out, const struct cfg_contract *c)
{
    bool first = true;
    cfg_buf_putc(out, '{');
    for (uint32_t i = 0; i < c->n; i++) {
        const struct cfg_decl *d = &c->items[i];
        if (d->type == CFG_FLAG) {
            continue;
        }
        cfg_buf_puts(out, first ? "" : ",");
        first = false;
        cfg_json_put_string(out, cfg_slice_str(d->path));
        cfg_buf_printf(out, ":{\"type\":\"%s\",\"class\":\"%s\"", cfg_type_name(d->type), cfg_class_name(d->apply));
        print_limit(out, "min", d, &d->min);
        print_limit(out, "max", d, &d->max);
        cfg_buf_puts(out, ",\"default\":");
        cfg_value_print(out, d->type, &d->def);
        cfg_buf_putc(out, '}');
    }
    cfg_buf_putc(out, '}');
}
