#include "worker/cfg-fleet/declared.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const class_names[] = {"live", "drain", "barrier", "restart", "pinned"};

static struct cfg_declared_item *find(const struct cfg_declared *d, struct cfg_slice path)
{
    for (size_t i = 0; i < d->n; i++) {
        if (cfg_slice_eq_str(path, d->items[i].path)) {
            return (struct cfg_declared_item *)(uintptr_t)&d->items[i];
        }
    }
    return NULL;
}

static int add(struct cfg_declared *d, struct cfg_slice path, enum cfg_type type, const char *text,
               struct cfg_error *err)
{
    if (find(d, path) != NULL) {
        return cfg_fail(err, CFG_E_INVALID, "%.*s is declared twice", (int)path.len, path.ptr);
    }
    if (d->n == CFG_DECLARED_MAX) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d parameters and flags", CFG_DECLARED_MAX);
    }
    struct cfg_declared_item item = {
        .path = cfg_slice_dup(path), .text = strdup(text), .type = type, .apply = CFG_LIVE};
    if (item.path == NULL || item.text == NULL) {
        free(item.path);
        free(item.text);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    item.def.string = item.text;
    d->items[d->n++] = item;
    return 0;
}

/* The default tells the type. */
static void infer_type(struct cfg_declared_item *item)
{
    const char *text = item->text;
    char *end = NULL;
    errno = 0;
    long long i = strtoll(text, &end, 10);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        item->type = CFG_BOOL;
        item->def.b = text[0] == 't';
        return;
    }
    if (end != text && *end == '\0' && errno == 0) {
        item->type = CFG_I64;
        item->def.i64 = i;
        return;
    }
    double f = strtod(text, &end);
    if (end != text && *end == '\0') {
        item->type = CFG_F64;
        item->def.f64 = f;
    }
}

static bool cut_class(char *value, enum cfg_class *out)
{
    char *colon = strrchr(value, ':');
    for (size_t i = 0; colon != NULL && i < sizeof class_names / sizeof class_names[0]; i++) {
        if (strcmp(colon + 1, class_names[i]) == 0) {
            *colon = '\0';
            *out = (enum cfg_class)i;
            return true;
        }
    }
    return false;
}

int cfg_declared_param(struct cfg_declared *d, const char *text, struct cfg_error *err)
{
    const char *eq = strchr(text, '=');
    if (eq == NULL || eq == text) {
        return cfg_fail(err, CFG_E_INVALID, "\"%s\" is no parameter, like sampling.temperature=0.7:live", text);
    }
    int rc = add(d, (struct cfg_slice){text, (size_t)(eq - text)}, CFG_STRING, eq + 1, err);
    if (rc == 0) {
        struct cfg_declared_item *item = &d->items[d->n - 1];
        (void)cut_class(item->text, &item->apply);
        infer_type(item);
    }
    return rc;
}

int cfg_declared_flag(struct cfg_declared *d, const char *text, struct cfg_error *err)
{
    const char *eq = strchr(text, '=');
    size_t n = eq != NULL ? (size_t)(eq - text) : strlen(text);
    bool on = eq != NULL && strcmp(eq + 1, "on") == 0;
    if (memchr(text, '/', n) == NULL || (eq != NULL && !on && strcmp(eq + 1, "off") != 0)) {
        return cfg_fail(err, CFG_E_INVALID, "\"%s\" is no flag, like experiment/ab.flag or experiment/ab.flag=on",
                        text);
    }
    int rc = add(d, (struct cfg_slice){text, n}, CFG_FLAG, "", err);
    if (rc == 0) {
        d->items[d->n - 1].def.b = on;
    }
    return rc;
}

bool cfg_declared_is_own(struct cfg_slice name)
{
    static const char *const own[] = {"step", "seconds", "worker", "rank", "revision", "deployment", "chance", "inf"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (cfg_slice_eq_str(name, own[i])) {
            return true;
        }
    }
    return name.len > 6 && memcmp(name.ptr, "label.", 6) == 0;
}

struct adding {
    struct cfg_declared *d;
    struct cfg_error *err;
    int rc;
};

static bool add_name(struct cfg_slice name, void *arg)
{
    struct adding *a = arg;
    if (name.len > 3 && memcmp(name.ptr, "${", 2) == 0) {
        name = (struct cfg_slice){name.ptr + 2, name.len - 3};
    }
    if (!cfg_declared_is_own(name) && find(a->d, name) == NULL) {
        bool flag = memchr(name.ptr, '/', name.len) != NULL;
        a->rc = add(a->d, name, flag ? CFG_FLAG : CFG_JSON, flag ? "" : "null", a->err);
        if (a->rc == 0 && flag) {
            a->d->items[a->d->n - 1].def.b = false;
        }
    }
    return a->rc == 0;
}

int cfg_declared_names(struct cfg_declared *d, const struct cfg_expr *e, struct cfg_error *err)
{
    struct adding a = {d, err, 0};
    cfg_expr_each_name(e, add_name, &a);
    return a.rc;
}

void cfg_declared_finish(struct cfg_declared *d)
{
    for (size_t i = 0; i < d->n; i++) {
        free(d->items[i].path);
        free(d->items[i].text);
    }
    d->n = 0;
}

static cfg_param declare(const struct cfg_declared_item *item, struct cfg_worker *w)
{
    switch (item->type) {
    case CFG_BOOL:
        return cfg_param_bool(w, item->path, item->apply, item->def.b);
    case CFG_I64:
        return cfg_param_i64(w, item->path, item->apply, INT64_MIN, INT64_MAX, item->def.i64);
    case CFG_F64:
        return cfg_param_f64(w, item->path, item->apply, -1e308, 1e308, item->def.f64);
    case CFG_STRING:
        return cfg_param_string(w, item->path, item->apply, item->text);
    case CFG_JSON:
        return cfg_param_json(w, item->path, item->apply, item->text);
    case CFG_FLAG:
        break;
    }
    return cfg_param_flag(w, item->path, item->def.b);
}

void cfg_declared_declare(struct cfg_declared *d, struct cfg_worker *w)
{
    for (size_t i = 0; i < d->n; i++) {
        d->items[i].param = declare(&d->items[i], w);
    }
}

/* --- reading --- */

void cfg_reading_finish(struct cfg_reading *r, size_t n)
{
    for (size_t i = 0; r->trees != NULL && i < n; i++) {
        cJSON_Delete(r->trees[i]);
    }
    free(r->trees);
    free(r->values);
    cfg_arena_finish(&r->arena);
    *r = (struct cfg_reading){0};
}

void cfg_reading_put(struct cfg_reading *r, const struct cfg_declared *d, size_t at, const union cfg_value *value)
{
    struct cfg_expr_value *out = &r->values[at];
    *out = (struct cfg_expr_value){.type = CFG_EXPR_NULL};
    switch (d->items[at].type) {
    case CFG_BOOL:
    case CFG_FLAG:
        *out = (struct cfg_expr_value){.type = CFG_EXPR_BOOL, .boolean = value->b};
        break;
    case CFG_I64:
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .number = (double)value->i64};
        break;
    case CFG_F64:
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = true, .number = value->f64};
        break;
    case CFG_STRING:
        *out = (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = cfg_slice_str(value->string)};
        break;
    case CFG_JSON: /* an object reads as null: no expression can use it */
        cJSON_Delete(r->trees[at]);
        r->trees[at] = NULL;
        if (cfg_json_parse(&r->trees[at], cfg_slice_str(value->string), 0, NULL) != 0 ||
            cfg_expr_from_json(out, r->trees[at], &r->arena, NULL) != 0) {
            *out = (struct cfg_expr_value){.type = CFG_EXPR_NULL};
        }
        break;
    }
}

static int make_room(struct cfg_reading *r, size_t n)
{
    enum { ARENA_MAX = 1024 * 1024 };
    *r = (struct cfg_reading){.values = calloc(n + 1, sizeof *r->values), .trees = calloc(n + 1, sizeof(cJSON *))};
    cfg_arena_init(&r->arena, ARENA_MAX);
    if (r->values == NULL || r->trees == NULL) {
        cfg_reading_finish(r, n);
        return CFG_E_NOMEM;
    }
    return 0;
}

int cfg_reading_take(struct cfg_reading *r, const struct cfg_declared *d, const struct cfg_view *v,
                     struct cfg_error *err)
{
    cfg_reading_finish(r, d->n);
    if (make_room(r, d->n) != 0) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < d->n; i++) {
        cfg_reading_put(r, d, i, cfg_value_at(v, d->items[i].param));
    }
    return 0;
}

int cfg_reading_copy(struct cfg_reading *out, const struct cfg_reading *r, size_t n)
{
    int rc = r->values != NULL ? make_room(out, n) : CFG_E_NOMEM;
    if (rc == 0) {
        memcpy(out->values, r->values, n * sizeof *r->values);
    }
    return rc;
}

const struct cfg_expr_value *cfg_reading_find(const struct cfg_reading *r, const struct cfg_declared *d,
                                              struct cfg_slice name)
{
    const struct cfg_declared_item *item = find(d, name);
    return item != NULL && r->values != NULL ? &r->values[item - d->items] : NULL;
}
