/* Typed extraction: one function per kind of value, each refusing with the path and what it found instead. */
#include "worker/extract.h"
#include "proto/limits.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int refuse(struct cfg_error *err, const struct cfg_decl *d, const char *want, const cJSON *v)
{
    struct cfg_buf b;
    cfg_buf_init(&b, CFG_LIMIT_DOCUMENT);
    cfg_json_print(&b, v);
    const char *text = cfg_buf_status(&b) == 0 && b.data != NULL ? b.data : "";
    bool brief = strlen(text) <= 40;
    (void)cfg_fail(err, CFG_E_VALUE, "%s: expected %s, found %s%s%s", d->path, want, cfg_json_type(v), brief ? " " : "",
                   brief ? text : "");
    cfg_error_set_path(err, "%s", d->path);
    cfg_buf_finish(&b);
    return CFG_E_VALUE;
}

static int extract_i64(union cfg_value *out, const struct cfg_decl *d, const cJSON *v, struct cfg_error *err)
{
    /* The reader refuses integers beyond ±(2^53−1), but 1e300 is a number too. */
    if (!cJSON_IsNumber(v) || fabs(v->valuedouble) > 9007199254740991.0 || floor(v->valuedouble) < v->valuedouble) {
        return refuse(err, d, "an integer", v);
    }
    int64_t i = (int64_t)v->valuedouble;
    if (i < d->min.i64 || i > d->max.i64) {
        (void)cfg_fail(err, CFG_E_VALUE, "%s: %lld lies outside of %lld to %lld", d->path, (long long)i,
                       (long long)d->min.i64, (long long)d->max.i64);
        cfg_error_set_path(err, "%s", d->path);
        return CFG_E_VALUE;
    }
    out->i64 = i;
    return 0;
}

static int extract_f64(union cfg_value *out, const struct cfg_decl *d, const cJSON *v, struct cfg_error *err)
{
    if (!cJSON_IsNumber(v)) {
        return refuse(err, d, "a number", v);
    }
    double x = v->valuedouble;
    if (!(x >= d->min.f64 && x <= d->max.f64)) {
        (void)cfg_fail(err, CFG_E_VALUE, "%s: %g lies outside of %g to %g", d->path, x, d->min.f64, d->max.f64);
        cfg_error_set_path(err, "%s", d->path);
        return CFG_E_VALUE;
    }
    out->f64 = x;
    return 0;
}

static int extract_text(union cfg_value *out, const struct cfg_decl *d, const cJSON *v, struct cfg_error *err)
{
    char *text = NULL;
    if (d->type == CFG_STRING) {
        text = strdup(v->valuestring);
    } else {
        struct cfg_buf b;
        cfg_buf_init(&b, CFG_LIMIT_EVENT);
        cfg_json_canonical(&b, v);
        text = cfg_buf_steal(&b);
        cfg_buf_finish(&b);
    }
    if (text == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "%s: out of memory", d->path);
    }
    out->string = text;
    return 0;
}

int cfg_extract(union cfg_value *out, const struct cfg_decl *d, const cJSON *v, struct cfg_error *err)
{
    if (cJSON_IsString(v) && strcmp(v->valuestring, "?\?\?") == 0) {
        (void)cfg_fail(err, CFG_E_VALUE, "%s: required, but nobody has set it (\"?\?\?\")", d->path);
        cfg_error_set_path(err, "%s", d->path);
        return CFG_E_VALUE;
    }
    switch (d->type) {
    case CFG_BOOL:
        if (!cJSON_IsBool(v)) {
            return refuse(err, d, "true or false", v);
        }
        out->b = cJSON_IsTrue(v) != 0;
        return 0;
    case CFG_I64:
        return extract_i64(out, d, v, err);
    case CFG_F64:
        return extract_f64(out, d, v, err);
    case CFG_STRING:
        return cJSON_IsString(v) ? extract_text(out, d, v, err) : refuse(err, d, "a string", v);
    case CFG_JSON:
        return extract_text(out, d, v, err);
    case CFG_FLAG:
        break;
    }
    return cfg_fail(err, CFG_E_INTERNAL, "%s: a flag is no parameter", d->path);
}
