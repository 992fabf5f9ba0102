/* Training steps. See trainer.h. */
#include "worker/cfg-train/trainer.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOSS, STOPS }; /* what travels behind the gradient */

/* --- the pin --- */

cJSON *cfg_train_pin_json(const struct cfg_train_pin *p)
{
    cJSON *o = cJSON_CreateObject();
    int rc = o == NULL ? CFG_E_NOMEM : cfg_json_set(o, "model.context", cJSON_CreateNumber(p->shape.context));
    rc = rc == 0 ? cfg_json_set(o, "model.embed", cJSON_CreateNumber(p->shape.embed)) : rc;
    rc = rc == 0 ? cfg_json_set(o, "model.hidden", cJSON_CreateNumber(p->shape.hidden)) : rc;
    rc = rc == 0 ? cfg_json_set(o, "model.layers", cJSON_CreateNumber(p->shape.layers)) : rc;
    rc = rc == 0 ? cfg_json_set(o, "distributed.world_size", cJSON_CreateNumber(p->world)) : rc;
    rc = rc == 0 ? cfg_json_set(o, "train.precision", cJSON_CreateString(cfg_model_precision_name(p->precision))) : rc;
    rc = rc == 0 ? cfg_json_set(o, "train.backend", cJSON_CreateString(p->backend)) : rc;
    if (rc != 0) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

int cfg_train_pin_digest(char out[CFG_DIGEST_TEXT], const struct cfg_train_pin *p)
{
    cJSON *o = cfg_train_pin_json(p);
    int rc = o != NULL ? cfg_digest_json(out, o) : CFG_E_NOMEM;
    cJSON_Delete(o);
    return rc;
}

int cfg_train_micro(uint32_t *out, const struct cfg_train_settings *s, uint32_t world, uint32_t most,
                    struct cfg_error *err)
{
    uint64_t share = (uint64_t)world * s->accumulation;
    if (share == 0 || s->global_batch == 0 || s->global_batch % share != 0) {
        (void)cfg_fail(err, CFG_E_VALUE, "train.global_batch=%u cannot be divided by %u ranks × train.accumulation=%u",
                       s->global_batch, world, s->accumulation);
        cfg_error_set_path(err, "train.global_batch");
        return CFG_E_VALUE;
    }
    uint64_t micro = s->global_batch / share;
    if (micro > most) {
        (void)cfg_fail(err, CFG_E_VALUE,
                       "a micro batch of %llu rows (train.global_batch=%u over %u ranks × train.accumulation=%u); this "
                       "process has room for %u",
                       (unsigned long long)micro, s->global_batch, world, s->accumulation, most);
        cfg_error_set_path(err, "train.global_batch");
        cfg_error_set_hint(err, "raise train.accumulation, or start with a larger --max-micro");
        return CFG_E_VALUE;
    }
    *out = (uint32_t)micro;
    return 0;
}

/* --- life --- */

static int begin(struct cfg_trainer *t, const struct cfg_trainer_options *o, struct cfg_error *err)
{
    const struct cfg_model_options mo = {.shape = o->pin.shape,
                                         .backend = o->pin.backend,
                                         .precision = o->pin.precision,
                                         .train_rows = o->micro_most,
                                         .threads = o->threads,
                                         .device = o->device};
    int rc = cfg_model_new(&t->model, &mo, err);
    if (rc != 0) {
        return rc;
    }
    size_t n = cfg_model_n_parameters(&o->pin.shape);
    float *weights = calloc(n, sizeof *weights);
    t->contexts = malloc((size_t)o->micro_most * o->pin.shape.context);
    t->targets = malloc(o->micro_most);
    if (weights == NULL || t->contexts == NULL || t->targets == NULL) {
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory for %zu parameters", n);
    } else {
        cfg_model_initialise(weights, &o->pin.shape, o->seed);
        rc = cfg_model_load(t->model, weights, err);
    }
    free(weights);
    return rc;
}

int cfg_trainer_new(struct cfg_trainer **out, const struct cfg_trainer_options *o, struct cfg_error *err)
{
    struct cfg_trainer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    t->pin = o->pin;
    t->text = o->text;
    t->seed = o->seed;
    int rc = begin(t, o, err);
    if (rc != 0) {
        cfg_trainer_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void cfg_trainer_free(struct cfg_trainer *t)
{
    if (t == NULL) {
        return;
    }
    cfg_model_free(t->model);
    free(t->contexts);
    free(t->targets);
    free(t->host);
    free(t);
}

/* --- the other ranks --- */

/* What ranks compare before they begin. */
static int fingerprint(struct cfg_trainer *t, struct cfg_buf *out, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    size_t n = cfg_model_n_parameters(&t->pin.shape);
    float *weights = calloc(n, sizeof *weights);
    int rc = weights == NULL ? cfg_fail(err, CFG_E_NOMEM, "out of memory") : cfg_model_store(t->model, weights, err);
    if (rc == 0) {
        rc = cfg_digest_bytes(digest, (struct cfg_slice){(const char *)weights, n * sizeof *weights});
        cfg_buf_printf(out, "step %llu, seed %llu, text %.15s, weights %.15s", (unsigned long long)t->step,
                       (unsigned long long)t->seed, t->text->digest, digest);
        rc = rc == 0 ? cfg_buf_status(out) : rc;
        rc = rc == 0 ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    free(weights);
    return rc;
}

/* Ranks read their own files; what they begin with must be the same for all. */
static int compare(struct cfg_trainer *t, struct cfg_error *err)
{
    struct cfg_buf mine, first;
    cfg_buf_init(&mine, 256);
    cfg_buf_init(&first, 256);
    int rc = fingerprint(t, &mine, err);
    cfg_buf_put(&first, mine.data, mine.len);
    rc = rc == 0 ? t->reduce->ops->broadcast(t->reduce, 0, &first, err) : rc;
    if (rc == 0 && !cfg_slice_eq(cfg_buf_slice(&mine), cfg_buf_slice(&first))) {
        (void)cfg_fail(err, CFG_E_AGREEMENT, "rank %u begins at %s; rank 0 at %.*s", t->reduce->rank, mine.data,
                       (int)first.len, first.data);
        cfg_error_set_hint(err, "give every rank the same --text, --seed and --checkpoint");
        t->reduce->ops->leave(t->reduce, err->text);
        rc = CFG_E_AGREEMENT;
    }
    cfg_buf_finish(&mine);
    cfg_buf_finish(&first);
    return rc;
}

int cfg_trainer_join(struct cfg_trainer *t, struct cfg_allreduce *reduce, struct cfg_error *err)
{
    size_t n = cfg_model_n_parameters(&t->pin.shape) + CFG_GRADIENT_EXTRA;
    t->reduce = reduce;
    if (t->model->on_device && !reduce->ops->device && reduce->world > 1) {
        t->host = calloc(n, sizeof *t->host);
        if (t->host == NULL) {
            return cfg_fail(err, CFG_E_NOMEM, "out of memory for a gradient of %zu values", n);
        }
    }
    return compare(t, err);
}

/* --- a step --- */

/* This rank's part of the global batch: a run of `accumulation` micro batches. */
static int add_gradients(struct cfg_trainer *t, const struct cfg_train_settings *s, uint32_t micro, double *loss,
                         struct cfg_error *err)
{
    const struct cfg_model_shape *shape = &t->pin.shape;
    uint64_t first = t->samples + (uint64_t)t->reduce->rank * s->accumulation * micro;
    for (uint32_t a = 0; a < s->accumulation; a++) {
        for (uint32_t i = 0; i < micro; i++) {
            cfg_text_sample(t->text, shape, t->seed, first + (uint64_t)a * micro + i,
                            t->contexts + (size_t)i * shape->context, t->targets + i);
        }
        int rc = cfg_model_gradients(t->model, t->contexts, t->targets, micro, loss, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int reduce(struct cfg_trainer *t, struct cfg_error *err)
{
    size_t n = cfg_model_n_parameters(&t->pin.shape) + CFG_GRADIENT_EXTRA;
    if (t->host == NULL) {
        return t->reduce->ops->sum(t->reduce, cfg_model_gradient(t->model), n, err);
    }
    int rc = cfg_model_gradient_read(t->model, t->host, err);
    rc = rc == 0 ? t->reduce->ops->sum(t->reduce, t->host, n, err) : rc;
    return rc == 0 ? cfg_model_gradient_write(t->model, t->host, err) : rc;
}

static int not_finite(const struct cfg_trainer *t, const struct cfg_trained *r, struct cfg_error *err)
{
    (void)cfg_fail(err, CFG_E_VALUE, "step %llu: the loss is %g and %llu values of the gradient are not finite",
                   (unsigned long long)t->step, r->loss, (unsigned long long)r->nonfinite);
    cfg_error_set_hint(err, "resume from the last checkpoint with a lower optimizer.lr or optimizer.clip");
    return CFG_E_VALUE;
}

int cfg_trainer_step(struct cfg_trainer *t, const struct cfg_train_settings *s, bool want_stop, struct cfg_trained *out,
                     struct cfg_error *err)
{
    uint32_t micro = 0;
    double loss = 0;
    float extra[CFG_GRADIENT_EXTRA] = {0};
    struct cfg_trained r = {0};
    struct cfg_model_updated done;
    int rc = cfg_train_micro(&micro, s, t->reduce->world, t->model->train_rows, err);
    rc = rc == 0 ? add_gradients(t, s, micro, &loss, err) : rc;
    extra[LOSS] = (float)(loss / s->global_batch);
    extra[STOPS] = want_stop ? 1 : 0;
    rc = rc == 0 ? cfg_model_extra_write(t->model, extra, err) : rc;
    rc = rc == 0 ? reduce(t, err) : rc;
    rc = rc == 0 ? cfg_model_extra_read(t->model, extra, err) : rc;
    const struct cfg_model_update u = {s->lr, s->clip, 1.0 / s->global_batch, t->step + 1};
    rc = rc == 0 ? cfg_model_apply(t->model, &u, &done, err) : rc;
    if (rc != 0) {
        return rc;
    }
    r.loss = (double)extra[LOSS];
    r.stops = (uint32_t)extra[STOPS];
    r.grad_norm = done.grad_norm;
    r.nonfinite = done.nonfinite;
    *out = r;
    if (done.nonfinite > 0 || !isfinite(r.loss)) {
        return not_finite(t, &r, err);
    }
    t->samples += s->global_batch;
    t->step++;
    return 0;
}

int cfg_trainer_evaluate(struct cfg_trainer *t, size_t rows, double *loss, struct cfg_error *err)
{
    size_t aside = t->text->n - t->text->n_train;
    size_t n = rows < aside ? rows : aside;
    double sum = 0;
    for (size_t i = 0; i < n;) {
        uint32_t some = 0;
        for (; some < t->model->train_rows && i < n; some++, i++) {
            cfg_text_held_out(t->text, &t->pin.shape, i, n, t->contexts + (size_t)some * t->pin.shape.context,
                              t->targets + some);
        }
        int rc = cfg_model_loss(t->model, t->contexts, t->targets, some, &sum, err);
        if (rc != 0) {
            return rc;
        }
    }
    *loss = sum / (double)n;
    return 0;
}
