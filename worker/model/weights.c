/* The model's weights. See weights.h. */
#include "worker/model/weights.h"
#include "worker/model/safetensors.h"
#include "worker/model/vec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char hint[] = "cfg-train makes such files";

static int read_shape(struct cfg_model_shape *out, const struct cfg_safetensors *s, struct cfg_error *err)
{
    const char *text = cfg_safetensors_metadata(s, "shape");
    const char *format = cfg_safetensors_metadata(s, "format");
    uint64_t v[4] = {0};
    static const char *const members[4] = {"context", "embed", "hidden", "layers"};
    if (format == NULL || strcmp(format, CFG_WEIGHTS_FORMAT) != 0 || text == NULL) {
        (void)cfg_fail(err, CFG_E_VALUE, "it holds no byte-level model: its metadata does not say format %s",
                       CFG_WEIGHTS_FORMAT);
        cfg_error_set_hint(err, "%s", hint);
        return CFG_E_VALUE;
    }
    cJSON *shape = NULL;
    int rc = cfg_json_parse(&shape, cfg_slice_str(text), 2, err);
    for (size_t i = 0; rc == 0 && i < 4; i++) {
        rc = cfg_json_need_u64(shape, members[i], &v[i], err);
        v[i] = v[i] > UINT32_MAX ? UINT32_MAX : v[i];
    }
    cJSON_Delete(shape);
    if (rc != 0) {
        (void)cfg_error_wrap(err, "its shape");
        return rc;
    }
    *out = (struct cfg_model_shape){(uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2], (uint32_t)v[3]};
    return cfg_model_shape_check(out, err);
}

static bool has_shape(const struct cfg_st_tensor *t, const struct cfg_model_tensor *want)
{
    return want->rows == 0 ? t->n_dims == 1 && t->dims[0] == want->cols
                           : t->n_dims == 2 && t->dims[0] == want->rows && t->dims[1] == want->cols;
}

static int check_tensor(const struct cfg_safetensors *s, const struct cfg_model_tensor *want, struct cfg_error *err)
{
    const struct cfg_st_tensor *t = cfg_safetensors_find(s, want->name);
    if (t == NULL) {
        return cfg_fail(err, CFG_E_VALUE, "tensor %s is missing", want->name);
    }
    if (has_shape(t, want)) {
        return 0;
    }
    return want->rows > 0 ? cfg_fail(err, CFG_E_VALUE, "tensor %s is not %u × %u, as the model's shape wants it",
                                     want->name, want->rows, want->cols)
                          : cfg_fail(err, CFG_E_VALUE, "tensor %s is no vector of %u, as the model's shape wants it",
                                     want->name, want->cols);
}

static int read_tensor(float *values, const struct cfg_safetensors *s, const struct cfg_model_tensor *want,
                       struct cfg_error *err)
{
    int rc = cfg_safetensors_floats(values + want->offset, want->count, cfg_safetensors_find(s, want->name), err);
    uint64_t bad = rc == 0 ? cfg_vec_nonfinite(values + want->offset, want->count) : 0;
    return bad == 0 ? rc
                    : cfg_fail(err, CFG_E_VALUE, "tensor %s holds %llu values that are not finite", want->name,
                               (unsigned long long)bad);
}

static int refuse_others(const struct cfg_safetensors *s, const struct cfg_model_shape *shape, struct cfg_error *err)
{
    for (size_t i = 0; i < s->n; i++) {
        bool known = strncmp(s->tensors[i].name, "optimizer.", 10) == 0;
        for (size_t k = 0; !known && k < cfg_model_n_tensors(shape); k++) {
            known = strcmp(cfg_model_tensor(shape, k).name, s->tensors[i].name) == 0;
        }
        if (!known) {
            return cfg_fail(err, CFG_E_VALUE, "tensor %.80s belongs to no model of this shape", s->tensors[i].name);
        }
    }
    return 0;
}

static void copy_metadata(struct cfg_weights *w, const struct cfg_safetensors *s)
{
    const char *step = cfg_safetensors_metadata(s, "step");
    const char *revision = cfg_safetensors_metadata(s, "revision");
    const char *text = cfg_safetensors_metadata(s, "text_digest");
    w->step = step != NULL ? strtoull(step, NULL, 10) : 0;
    (void)snprintf(w->revision, sizeof w->revision, "%s", revision != NULL ? revision : "");
    (void)snprintf(w->text_digest, sizeof w->text_digest, "%s", text != NULL ? text : "");
}

int cfg_weights_take(struct cfg_weights *out, const struct cfg_safetensors *s, struct cfg_error *err)
{
    struct cfg_weights w = {0};
    int rc = read_shape(&w.shape, s, err);
    rc = rc == 0 ? refuse_others(s, &w.shape, err) : rc;
    /* Tensors of these shapes lie in the file, so what is allocated is bounded by its size. */
    for (size_t i = 0; rc == 0 && i < cfg_model_n_tensors(&w.shape); i++) {
        struct cfg_model_tensor want = cfg_model_tensor(&w.shape, i);
        rc = check_tensor(s, &want, err);
    }
    if (rc != 0) {
        return rc;
    }
    w.values = calloc(cfg_model_n_parameters(&w.shape), sizeof *w.values);
    rc = w.values == NULL ? cfg_fail(err, CFG_E_NOMEM, "out of memory for its weights") : 0;
    for (size_t i = 0; rc == 0 && i < cfg_model_n_tensors(&w.shape); i++) {
        struct cfg_model_tensor want = cfg_model_tensor(&w.shape, i);
        rc = read_tensor(w.values, s, &want, err);
    }
    if (rc != 0) {
        cfg_weights_finish(&w);
        return rc;
    }
    copy_metadata(&w, s);
    *out = w;
    return 0;
}

int cfg_weights_read(struct cfg_weights *out, struct cfg_slice file, const char *name, struct cfg_error *err)
{
    struct cfg_safetensors s = {0};
    struct cfg_weights w = {0};
    int rc = cfg_safetensors_parse(&s, file, err);
    rc = rc == 0 ? cfg_weights_take(&w, &s, err) : rc;
    rc = rc == 0 && cfg_digest_bytes(w.digest, file) != 0 ? cfg_fail(err, CFG_E_NOMEM, "out of memory") : rc;
    cfg_safetensors_finish(&s);
    if (rc != 0) {
        cfg_weights_finish(&w);
        (void)cfg_error_wrap(err, "%s", name);
        return rc;
    }
    *out = w;
    return 0;
}

int cfg_weights_load(struct cfg_weights *out, const char *path, struct cfg_error *err)
{
    struct cfg_slice file = {NULL, 0};
    int rc = cfg_file_read(&file, path, err);
    rc = rc == 0 ? cfg_weights_read(out, file, path, err) : rc;
    cfg_file_free(&file);
    return rc;
}

void cfg_weights_finish(struct cfg_weights *w)
{
    free(w->values);
    memset(w, 0, sizeof *w);
}
