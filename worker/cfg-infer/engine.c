/* See engine.h. */
#include "worker/cfg-infer/engine.h"
#include "worker/cfg-infer/sched.h"
#include <string.h>

extern const unsigned char cfg_infer_weights[], cfg_infer_weights_end[]; /* embedded.c */

int cfg_engine_weights(struct cfg_weights *out, const char *file, struct cfg_error *err)
{
    if (file != NULL) {
        return cfg_weights_load(out, file, err);
    }
    const struct cfg_slice inside = {(const char *)cfg_infer_weights,
                                     (size_t)(cfg_infer_weights_end - cfg_infer_weights)};
    return cfg_weights_read(out, inside, "the model inside cfg-infer", err);
}

/* What the view says holds; a command line that asks for something else is a mistake to be told, not to be decided. */
static int agree(enum cfg_live_param p, const char *option, const char *asked, const char *pinned,
                 struct cfg_error *err)
{
    if (asked == NULL || strcmp(asked, pinned) == 0) {
        return 0;
    }
    (void)cfg_fail(err, CFG_E_PIN_MISMATCH, "%s is %s, but the deployment has %s = %s", option, asked, cfg_live_path(p),
                   pinned);
    cfg_error_set_path(err, "%s", cfg_live_path(p));
    cfg_error_set_hint(err, "leave %s out", option);
    return CFG_E_PIN_MISMATCH;
}

static uint32_t pinned(const struct cfg_live *l, const struct cfg_view *v, enum cfg_live_param p)
{
    return (uint32_t)cfg_get_i64(v, l->params[p]);
}

static int fit(const struct cfg_weights *weights, const struct cfg_live *l, const struct cfg_view *v,
               struct cfg_error *err)
{
    const struct cfg_model_shape wanted = {pinned(l, v, CFG_P_CONTEXT), pinned(l, v, CFG_P_EMBED),
                                           pinned(l, v, CFG_P_HIDDEN), pinned(l, v, CFG_P_LAYERS)};
    uint32_t has, wants;
    const char *name = cfg_model_shape_differs(&weights->shape, &wanted, &has, &wants);
    if (name == NULL) {
        return 0;
    }
    (void)cfg_fail(err, CFG_E_PIN_MISMATCH, "the weights have %s = %u, but the deployment has %u", name, has, wants);
    cfg_error_set_path(err, "%s", name);
    cfg_error_set_hint(err, "give --model the deployment's weights, or make a new deployment");
    return CFG_E_PIN_MISMATCH;
}

static int prepare(struct cfg_model *m, const struct cfg_weights *weights, unsigned most, struct cfg_error *err)
{
    uint32_t buckets[CFG_MODEL_BUCKETS_MAX];
    size_t n = cfg_sched_buckets(buckets, CFG_MODEL_BUCKETS_MAX, most);
    int rc = cfg_model_load(m, weights->values, err);
    return rc != 0 ? rc : cfg_model_capture(m, buckets, n, err);
}

int cfg_engine_new(struct cfg_model **out, const struct cfg_weights *weights, const struct cfg_live *live,
                   const struct cfg_view *v, const struct cfg_infer_options *o, struct cfg_error *err)
{
    const char *backend = cfg_get_string(v, live->params[CFG_P_BACKEND]);
    const char *precision = cfg_get_string(v, live->params[CFG_P_PRECISION]);
    struct cfg_model_options mo = {.shape = weights->shape, .backend = backend, .threads = o->threads};
    struct cfg_model *m = NULL;
    int rc = fit(weights, live, v, err);
    rc = rc != 0 ? rc : agree(CFG_P_BACKEND, "--backend", o->backend, backend, err);
    rc = rc != 0 ? rc : agree(CFG_P_PRECISION, "--precision", o->precision, precision, err);
    rc = rc != 0 ? rc : cfg_model_precision_read(&mo.precision, precision, err);
    rc = rc != 0 ? rc : cfg_model_new(&m, &mo, err);
    rc = rc != 0 ? rc : prepare(m, weights, (unsigned)o->max_batch, err);
    if (rc != 0) {
        cfg_model_free(m);
        return rc;
    }
    *out = m;
    return 0;
}
