/* What a program declares before start: parameters, flags, metrics, hooks. A wrong declaration is kept, and start fails
 * with it. */
#include "worker/internal.h"
#include <cfg/flags.h>
#include <string.h>

static cfg_param declare(struct cfg_worker *w, const char *path, enum cfg_type type, enum cfg_class c,
                         union cfg_value min, union cfg_value max, union cfg_value def)
{
    struct cfg_decl d = {(char *)(uintptr_t)path, type, c, min, max, def};
    return (cfg_param){cfg_contract_add(&w->contract, &d)};
}

cfg_param cfg_param_bool(struct cfg_worker *w, const char *path, enum cfg_class c, bool def)
{
    union cfg_value none = {.i64 = 0};
    return declare(w, path, CFG_BOOL, c, none, none, (union cfg_value){.b = def});
}

cfg_param cfg_param_i64(struct cfg_worker *w, const char *path, enum cfg_class c, int64_t min, int64_t max, int64_t def)
{
    return declare(w, path, CFG_I64, c, (union cfg_value){.i64 = min}, (union cfg_value){.i64 = max},
                   (union cfg_value){.i64 = def});
}

cfg_param cfg_param_f64(struct cfg_worker *w, const char *path, enum cfg_class c, double min, double max, double def)
{
    return declare(w, path, CFG_F64, c, (union cfg_value){.f64 = min}, (union cfg_value){.f64 = max},
                   (union cfg_value){.f64 = def});
}

cfg_param cfg_param_string(struct cfg_worker *w, const char *path, enum cfg_class c, const char *def)
{
    union cfg_value none = {.i64 = 0};
    return declare(w, path, CFG_STRING, c, none, none, (union cfg_value){.string = def});
}

cfg_param cfg_param_json(struct cfg_worker *w, const char *path, enum cfg_class c, const char *def)
{
    union cfg_value none = {.i64 = 0};
    return declare(w, path, CFG_JSON, c, none, none, (union cfg_value){.string = def});
}

cfg_param cfg_param_flag(struct cfg_worker *w, const char *address, bool def)
{
    union cfg_value none = {.i64 = 0};
    return declare(w, address, CFG_FLAG, CFG_LIVE, none, none, (union cfg_value){.b = def});
}

cfg_flag cfg_flag_declare(struct cfg_worker *w, const char *address)
{
    return (cfg_flag){cfg_contract_add_flag(&w->contract, address)};
}

int cfg_worker_on_change(struct cfg_worker *w, const char *prefix, const struct cfg_change_hooks *hooks,
                         struct cfg_error *err)
{
    if (w->contract.frozen) {
        return cfg_fail(err, CFG_E_INVALID, "on_change: the worker has been started");
    }
    if (w->n_hooks == CFG_HOOKS_MAX) {
        return cfg_fail(err, CFG_E_LIMIT, "on_change: more than %d hooks", CFG_HOOKS_MAX);
    }
    char *copy = strdup(prefix != NULL ? prefix : "");
    if (copy == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    w->hooks[w->n_hooks++] = (struct cfg_hook){copy, *hooks};
    return 0;
}

cfg_metric cfg_metric_declare(struct cfg_worker *w, const char *name)
{
    unsigned complaints = 0;
    struct cfg_error why = CFG_ERROR_INIT;
    uint32_t index = UINT32_MAX;
    if (w->gather == NULL) {
        w->gather = cfg_gather_new();
    }
    if (w->gather == NULL) {
        (void)cfg_fail(&why, CFG_E_NOMEM, "out of memory");
    } else if (w->contract.frozen) {
        (void)cfg_fail(&why, CFG_E_INVALID, "metric %.80s is declared after start", name);
    } else {
        index = cfg_metric_index(&w->gather->names, cfg_slice_str(name), UINT32_MAX, &complaints);
    }
    if (complaints != 0) {
        (void)cfg_fail(&why, (complaints & CFG_METRICS_TOO_MANY) != 0 ? CFG_E_LIMIT : CFG_E_INVALID,
                       (complaints & CFG_METRICS_TOO_MANY) != 0
                           ? "\"%.80s\": more than %d metrics"
                           : "\"%.80s\" names no metric: letters, digits and _ . : / -, at most %d",
                       name != NULL ? name : "", CFG_METRICS_MAX);
    }
    if (why.code != 0 && w->contract.error.code == 0 && !w->contract.frozen) {
        w->contract.error = why;
    }
    return (cfg_metric){index};
}
