/* Checkpoints: a safetensors file that cfg-infer can serve and cfg-train can continue from. See trainer.h. */
#include "worker/cfg-train/trainer.h"
#include "worker/model/safetensors.h"
#include "worker/model/vec.h"
#include "worker/model/weights.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_MAX = 2 * CFG_MODEL_LAYERS_MAX + 3 + 2 };

struct state {
    float *weights, *first, *second; /* n each */
    size_t n;
};

static int state_new(struct state *s, const struct cfg_model_shape *shape, struct cfg_error *err)
{
    s->n = cfg_model_n_parameters(shape);
    s->weights = calloc(s->n, sizeof *s->weights);
    s->first = calloc(s->n, sizeof *s->first);
    s->second = calloc(s->n, sizeof *s->second);
    return s->weights != NULL && s->first != NULL && s->second != NULL
               ? 0
               : cfg_fail(err, CFG_E_NOMEM, "out of memory for a checkpoint of %zu parameters", s->n);
}

static void state_finish(struct state *s)
{
    free(s->weights);
    free(s->first);
    free(s->second);
}

/* --- writing --- */

static int set_text(cJSON *o, const char *key, const char *text)
{
    return cfg_json_set(o, key, cJSON_CreateString(text));
}

static int set_json(cJSON *o, const char *key, const cJSON *v)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 20);
    if (v != NULL) {
        cfg_json_print(&b, v);
    }
    int rc = v != NULL ? cfg_buf_status(&b) : CFG_E_NOMEM;
    rc = rc == 0 ? set_text(o, key, b.data) : rc;
    cfg_buf_finish(&b);
    return rc;
}

static int set_number(cJSON *o, const char *key, uint64_t v)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, v);
    return set_text(o, key, text);
}

static cJSON *describe(const struct cfg_trainer *t, const struct cfg_train_snapshot *s)
{
    char shape[160], pin_digest[CFG_DIGEST_TEXT];
    const struct cfg_model_shape *m = &t->pin.shape;
    cJSON *o = cJSON_CreateObject(), *pin = cfg_train_pin_json(&t->pin);
    (void)snprintf(shape, sizeof shape, "{\"context\":%u,\"embed\":%u,\"hidden\":%u,\"layers\":%u}", m->context,
                   m->embed, m->hidden, m->layers);
    int rc = o == NULL ? CFG_E_NOMEM : set_text(o, "format", CFG_WEIGHTS_FORMAT);
    rc = rc == 0 ? set_text(o, "shape", shape) : rc;
    rc = rc == 0 ? set_number(o, "step", t->step) : rc;
    rc = rc == 0 ? set_text(o, "revision", s->revision) : rc;
    rc = rc == 0 ? set_text(o, "text_digest", t->text->digest) : rc;
    rc = rc == 0 ? set_number(o, "seed", t->seed) : rc;
    rc = rc == 0 ? set_number(o, "samples", t->samples) : rc;
    rc = rc == 0 ? set_json(o, "pin", pin) : rc;
    rc = rc == 0 ? cfg_train_pin_digest(pin_digest, &t->pin) : rc;
    rc = rc == 0 ? set_text(o, "pin_digest", pin_digest) : rc;
    rc = rc == 0 ? set_json(o, "parameters", s->parameters) : rc;
    cJSON_Delete(pin);
    if (rc != 0) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

int cfg_trainer_save(struct cfg_trainer *t, const char *path, const struct cfg_train_snapshot *s, bool weights_only,
                     struct cfg_error *err)
{
    struct cfg_st_part parts[PARTS_MAX];
    struct cfg_model_tensor tensors[PARTS_MAX];
    struct state state = {0};
    size_t n = cfg_model_n_tensors(&t->pin.shape);
    int rc = state_new(&state, &t->pin.shape, err);
    rc = rc == 0 ? cfg_model_store(t->model, state.weights, err) : rc;
    rc = rc == 0 ? cfg_model_moments_read(t->model, state.first, state.second, err) : rc;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        tensors[i] = cfg_model_tensor(&t->pin.shape, i);
        parts[i] =
            (struct cfg_st_part){tensors[i].name, tensors[i].rows, tensors[i].cols, state.weights + tensors[i].offset};
    }
    if (!weights_only) {
        parts[n++] = (struct cfg_st_part){"optimizer.first", 0, (uint32_t)state.n, state.first};
        parts[n++] = (struct cfg_st_part){"optimizer.second", 0, (uint32_t)state.n, state.second};
    }
    cJSON *metadata = rc == 0 ? describe(t, s) : NULL;
    if (rc == 0 && metadata == NULL) {
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory for a checkpoint");
    }
    rc = rc == 0 ? cfg_safetensors_write(path, parts, n, metadata, err) : rc;
    cJSON_Delete(metadata);
    state_finish(&state);
    return rc;
}

/* --- reading --- */

static int differs(const char *key, const char *in_file, const char *here, struct cfg_error *err)
{
    (void)cfg_fail(err, CFG_E_PIN_MISMATCH, "the checkpoint was made with %s=%s; this run is pinned to %s", key,
                   in_file, here);
    cfg_error_set_path(err, "%s", key);
    cfg_error_set_hint(err, "resume under the pin that it was made with, or begin anew with another --checkpoint");
    return CFG_E_PIN_MISMATCH;
}

static void print_value(char out[64], const cJSON *v)
{
    if (cJSON_IsString(v)) {
        (void)snprintf(out, 64, "%s", v->valuestring);
    } else {
        (void)snprintf(out, 64, "%.0f", cJSON_IsNumber(v) ? v->valuedouble : 0);
    }
}

static int check_pin(const struct cfg_trainer *t, const struct cfg_safetensors *file, struct cfg_error *err)
{
    const char *text = cfg_safetensors_metadata(file, "pin");
    cJSON *there = NULL, *here = cfg_train_pin_json(&t->pin);
    int rc = here == NULL ? cfg_fail(err, CFG_E_NOMEM, "out of memory") : 0;
    if (rc == 0 && text == NULL) {
        rc = cfg_fail(err, CFG_E_VALUE, "it says nothing of the pin it was trained under: it is no checkpoint");
    }
    rc = rc == 0 ? cfg_json_parse(&there, cfg_slice_str(text), 2, err) : rc;
    for (const cJSON *v = rc == 0 ? here->child : NULL; v != NULL && rc == 0; v = v->next) {
        const cJSON *old = cfg_json_get(there, v->string);
        char was[64] = "nothing", is[64];
        if (old == NULL || !cfg_json_equal(old, v)) {
            print_value(is, v);
            if (old != NULL) {
                print_value(was, old);
            }
            rc = differs(v->string, was, is, err);
        }
    }
    cJSON_Delete(there);
    cJSON_Delete(here);
    return rc;
}

static int need_number(uint64_t *out, const struct cfg_safetensors *file, const char *key, struct cfg_error *err)
{
    const char *text = cfg_safetensors_metadata(file, key);
    char *end = NULL;
    *out = text != NULL ? strtoull(text, &end, 10) : 0;
    return text != NULL && end != text && *end == '\0'
               ? 0
               : cfg_fail(err, CFG_E_VALUE, "its metadata lacks %s: it is no checkpoint", key);
}

static int check_text(const struct cfg_trainer *t, const struct cfg_safetensors *file, struct cfg_error *err)
{
    const char *was = cfg_safetensors_metadata(file, "text_digest");
    if (was != NULL && strcmp(was, t->text->digest) == 0) {
        return 0;
    }
    (void)cfg_fail(err, CFG_E_VALUE, "it was trained on another text (%.24s…; here %.24s…)", was != NULL ? was : "none",
                   t->text->digest);
    cfg_error_set_hint(err, "give the same files with --text, in the same order");
    return CFG_E_VALUE;
}

static int need_floats(float *out, size_t n, const struct cfg_safetensors *file, const char *name,
                       struct cfg_error *err)
{
    const struct cfg_st_tensor *v = cfg_safetensors_find(file, name);
    if (v == NULL) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s is missing: weights alone cannot be resumed from", name);
    }
    int rc = cfg_safetensors_floats(out, n, v, err);
    uint64_t bad = rc == 0 ? cfg_vec_nonfinite(out, n) : 0;
    return bad == 0 ? rc
                    : cfg_fail(err, CFG_E_VALUE, "tensor %s holds %llu values that are not finite", name,
                               (unsigned long long)bad);
}

static int take(struct cfg_trainer *t, const struct cfg_safetensors *file, struct cfg_error *err)
{
    struct cfg_weights w = {0};
    struct state state = {0};
    uint64_t step = 0, seed = 0, samples = 0;
    int rc = check_pin(t, file, err);
    rc = rc == 0 ? check_text(t, file, err) : rc;
    rc = rc == 0 ? need_number(&step, file, "step", err) : rc;
    rc = rc == 0 ? need_number(&seed, file, "seed", err) : rc;
    rc = rc == 0 ? need_number(&samples, file, "samples", err) : rc;
    rc = rc == 0 ? cfg_weights_take(&w, file, err) : rc;
    if (rc == 0 && !cfg_model_shape_equal(&w.shape, &t->pin.shape)) {
        rc = cfg_fail(err, CFG_E_VALUE, "its shape is not the one that its pin says");
    }
    rc = rc == 0 ? state_new(&state, &w.shape, err) : rc;
    rc = rc == 0 ? need_floats(state.first, state.n, file, "optimizer.first", err) : rc;
    rc = rc == 0 ? need_floats(state.second, state.n, file, "optimizer.second", err) : rc;
    rc = rc == 0 ? cfg_model_load(t->model, w.values, err) : rc;
    rc = rc == 0 ? cfg_model_moments_write(t->model, state.first, state.second, err) : rc;
    if (rc == 0) {
        t->step = step;
        t->seed = seed;
        t->samples = samples;
    }
    state_finish(&state);
    cfg_weights_finish(&w);
    return rc;
}

int cfg_trainer_resume(struct cfg_trainer *t, const char *path, struct cfg_error *err)
{
    struct cfg_slice bytes = {NULL, 0};
    struct cfg_safetensors file = {0};
    int rc = cfg_file_read(&bytes, path, err);
    if (rc != 0) {
        return rc;
    }
    rc = cfg_safetensors_parse(&file, bytes, err);
    rc = rc == 0 ? take(t, &file, err) : rc;
    cfg_safetensors_finish(&file);
    cfg_file_free(&bytes);
    return rc == 0 ? 0 : cfg_error_wrap(err, "%s", path);
}

int cfg_checkpoint_step(uint64_t *out, const char *path, struct cfg_error *err)
{
    struct cfg_slice bytes = {NULL, 0};
    struct cfg_safetensors file = {0};
    int rc = cfg_file_read(&bytes, path, err);
    if (rc != 0) {
        return rc;
    }
    rc = cfg_safetensors_parse(&file, bytes, err);
    rc = rc == 0 ? need_number(out, &file, "step", err) : rc;
    cfg_safetensors_finish(&file);
    cfg_file_free(&bytes);
    return rc == 0 ? 0 : cfg_error_wrap(err, "%s", path);
}
