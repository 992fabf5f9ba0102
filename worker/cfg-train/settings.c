/* Parameters. See settings.h. */
#include "worker/cfg-train/settings.h"
#include <stdio.h>
#include <string.h>

enum kind { NUMBER, WHOLE, TEXT };

static const struct {
    const char *path;
    enum kind kind;
    enum cfg_class class;
    double min, max, def;
} table[CFG_TRAIN_N_KEYS] = {
    [CFG_TRAIN_LR] = {"optimizer.lr", NUMBER, CFG_BARRIER, 0, 10, 0.002},
    [CFG_TRAIN_CLIP] = {"optimizer.clip", NUMBER, CFG_BARRIER, 0, 1e6, 1},
    [CFG_TRAIN_ACCUMULATION] = {"train.accumulation", WHOLE, CFG_BARRIER, 1, 65536, 1},
    [CFG_TRAIN_GLOBAL_BATCH] = {"train.global_batch", WHOLE, CFG_BARRIER, 1, 1 << 24, 256},
    [CFG_TRAIN_LOG_EVERY] = {"train.log_every", WHOLE, CFG_LIVE, 1, 1e9, 10},
    [CFG_TRAIN_EVAL_EVERY] = {"train.eval_every", WHOLE, CFG_LIVE, 0, 1e9, 100},
    [CFG_TRAIN_CHECKPOINT_EVERY] = {"train.checkpoint_every", WHOLE, CFG_LIVE, 0, 1e9, 500},
    [CFG_TRAIN_STOP_AT] = {"train.stop_at", WHOLE, CFG_LIVE, 0, 1e12, 0},
    [CFG_TRAIN_WORLD_SIZE] = {"distributed.world_size", WHOLE, CFG_PINNED, 1, 65536, 1},
    [CFG_TRAIN_CONTEXT] = {"model.context", WHOLE, CFG_PINNED, 1, CFG_MODEL_CONTEXT_MAX, 16},
    [CFG_TRAIN_EMBED] = {"model.embed", WHOLE, CFG_PINNED, 1, CFG_MODEL_EMBED_MAX, 16},
    [CFG_TRAIN_HIDDEN] = {"model.hidden", WHOLE, CFG_PINNED, 1, CFG_MODEL_HIDDEN_MAX, 256},
    [CFG_TRAIN_LAYERS] = {"model.layers", WHOLE, CFG_PINNED, 1, CFG_MODEL_LAYERS_MAX, 3},
    [CFG_TRAIN_PRECISION] = {"train.precision", TEXT, CFG_PINNED, 0, 0, 0},
    [CFG_TRAIN_BACKEND] = {"train.backend", TEXT, CFG_PINNED, 0, 0, 0},
};

const char *cfg_train_path(enum cfg_train_key k)
{
    return table[k].path;
}

void cfg_train_declare(struct cfg_train_keys *out, struct cfg_worker *w, uint32_t world, uint32_t micro_most,
                       const char *backend, const char *precision)
{
    out->world = world;
    out->micro_most = micro_most;
    for (int i = 0; i < CFG_TRAIN_N_KEYS; i++) {
        int64_t min = (int64_t)table[i].min, max = (int64_t)table[i].max, def = (int64_t)table[i].def;
        if (i == CFG_TRAIN_WORLD_SIZE) {
            def = world;                          /* where the deployment says nothing */
        } else if (i == CFG_TRAIN_GLOBAL_BATCH) { /* a default that the ranks can divide */
            def = def / world * world;
            def = def > 0 ? def : world;
        }
        if (table[i].kind == NUMBER) {
            out->params[i] = cfg_param_f64(w, table[i].path, table[i].class, table[i].min, table[i].max, table[i].def);
        } else if (table[i].kind == WHOLE) {
            out->params[i] = cfg_param_i64(w, table[i].path, table[i].class, min, max, def);
        } else {
            const char *text = i == CFG_TRAIN_BACKEND ? backend : precision;
            const char *fallback = i == CFG_TRAIN_BACKEND ? "cpu" : "float32";
            out->params[i] = cfg_param_string(w, table[i].path, table[i].class, text != NULL ? text : fallback);
        }
    }
}

uint64_t cfg_train_number(const struct cfg_train_keys *k, const struct cfg_view *v, enum cfg_train_key key)
{
    return (uint64_t)cfg_get_i64(v, k->params[key]);
}

struct cfg_train_settings cfg_train_settings_of(const struct cfg_train_keys *k, const struct cfg_view *v)
{
    return (struct cfg_train_settings){
        .lr = cfg_get_f64(v, k->params[CFG_TRAIN_LR]),
        .clip = cfg_get_f64(v, k->params[CFG_TRAIN_CLIP]),
        .global_batch = (uint32_t)cfg_train_number(k, v, CFG_TRAIN_GLOBAL_BATCH),
        .accumulation = (uint32_t)cfg_train_number(k, v, CFG_TRAIN_ACCUMULATION),
    };
}

int cfg_train_pin_of(struct cfg_train_pin *out, const struct cfg_train_keys *k, const struct cfg_view *v,
                     struct cfg_error *err)
{
    const char *backend = cfg_get_string(v, k->params[CFG_TRAIN_BACKEND]);
    struct cfg_train_pin p = {
        .shape = {(uint32_t)cfg_train_number(k, v, CFG_TRAIN_CONTEXT),
                  (uint32_t)cfg_train_number(k, v, CFG_TRAIN_EMBED), (uint32_t)cfg_train_number(k, v, CFG_TRAIN_HIDDEN),
                  (uint32_t)cfg_train_number(k, v, CFG_TRAIN_LAYERS)},
        .world = k->world,
    };
    uint64_t world = cfg_train_number(k, v, CFG_TRAIN_WORLD_SIZE);
    if (world != k->world) {
        (void)cfg_fail(err, CFG_E_PIN_MISMATCH, "distributed.world_size is %llu, this process is one of %u ranks",
                       (unsigned long long)world, k->world);
        cfg_error_set_path(err, "distributed.world_size");
        cfg_error_set_hint(err, "start as many ranks as the deployment is for (CONFIGD_WORLD on each)");
        return CFG_E_PIN_MISMATCH;
    }
    int rc = cfg_model_precision_read(&p.precision, cfg_get_string(v, k->params[CFG_TRAIN_PRECISION]), err);
    if (rc != 0) {
        cfg_error_set_path(err, "train.precision");
        return CFG_E_VALUE;
    }
    if (strcmp(backend, "cpu") != 0 && strcmp(backend, "cuda") != 0) {
        (void)cfg_fail(err, CFG_E_VALUE, "train.backend: no back end is called '%.32s'; there are cpu and cuda",
                       backend);
        cfg_error_set_path(err, "train.backend");
        return CFG_E_VALUE;
    }
    (void)snprintf(p.backend, sizeof p.backend, "%s", backend);
    rc = cfg_model_shape_check(&p.shape, err);
    if (rc == 0) {
        *out = p;
    }
    return rc;
}

int cfg_train_acceptable(const struct cfg_train_keys *k, const struct cfg_view *v, struct cfg_error *err)
{
    uint32_t micro;
    struct cfg_train_pin pin;
    const struct cfg_train_settings s = cfg_train_settings_of(k, v);
    int rc = cfg_train_micro(&micro, &s, k->world, k->micro_most, err);
    return rc == 0 ? cfg_train_pin_of(&pin, k, v, err) : rc;
}

cJSON *cfg_train_value(const struct cfg_train_keys *k, const struct cfg_view *v, enum cfg_train_key key)
{
    if (table[key].kind == TEXT) {
        return cJSON_CreateString(cfg_get_string(v, k->params[key]));
    }
    return cJSON_CreateNumber(table[key].kind == NUMBER ? cfg_get_f64(v, k->params[key])
                                                        : (double)cfg_get_i64(v, k->params[key]));
}

cJSON *cfg_train_values(const struct cfg_train_keys *k, const struct cfg_view *v)
{
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; o != NULL && i < CFG_TRAIN_N_KEYS; i++) {
        if (cfg_json_set(o, table[i].path, cfg_train_value(k, v, (enum cfg_train_key)i)) != 0) {
            cJSON_Delete(o);
            return NULL;
        }
    }
    return o;
}
