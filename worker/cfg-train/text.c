/* The text. See text.h. */
#include "worker/cfg-train/text.h"
#include "worker/model/safetensors.h"
#include "worker/model/sample.h"
#include <stdlib.h>
#include <string.h>

static const size_t most = (size_t)1 << 30;

static int append(struct cfg_text *t, const char *path, struct cfg_error *err)
{
    struct cfg_slice file = {NULL, 0};
    int rc = cfg_file_read(&file, path, err);
    if (rc != 0) {
        return rc;
    }
    unsigned char *more = file.len <= most - t->n ? realloc(t->bytes, t->n + file.len + 1) : NULL;
    if (more != NULL) {
        memcpy(more + t->n, file.ptr, file.len);
        t->bytes = more;
        t->n += file.len;
    } else {
        rc = file.len > most - t->n ? cfg_fail(err, CFG_E_LIMIT, "%s: more than 1 GiB of text", path)
                                    : cfg_fail(err, CFG_E_NOMEM, "out of memory for %s", path);
    }
    cfg_file_free(&file);
    return rc;
}

int cfg_text_load(struct cfg_text *out, const char *const *paths, size_t n, struct cfg_error *err)
{
    struct cfg_text t = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = append(&t, paths[i], err);
    }
    if (rc == 0 && t.n < CFG_TEXT_MIN) {
        rc = cfg_fail(err, CFG_E_VALUE, "%zu bytes of text are too little to learn from; at least %d", t.n,
                      CFG_TEXT_MIN);
        cfg_error_set_hint(err, "--text FILE, as often as there are files");
    }
    if (rc == 0 && cfg_digest_bytes(t.digest, (struct cfg_slice){(const char *)t.bytes, t.n}) != 0) {
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    if (rc != 0) {
        cfg_text_finish(&t);
        return rc;
    }
    t.n_train = t.n - t.n / CFG_TEXT_HELD_OUT;
    *out = t;
    return 0;
}

void cfg_text_finish(struct cfg_text *t)
{
    free(t->bytes);
    memset(t, 0, sizeof *t);
}

static void at(const struct cfg_text *t, const struct cfg_model_shape *s, size_t place, unsigned char *context,
               unsigned char *target)
{
    cfg_model_context(context, s, t->bytes, place);
    *target = t->bytes[place];
}

void cfg_text_sample(const struct cfg_text *t, const struct cfg_model_shape *s, uint64_t seed, uint64_t i,
                     unsigned char *context, unsigned char *target)
{
    at(t, s, (size_t)(cfg_sample_uniform_at(seed, i) * (double)t->n_train), context, target);
}

void cfg_text_held_out(const struct cfg_text *t, const struct cfg_model_shape *s, size_t i, size_t n,
                       unsigned char *context, unsigned char *target)
{
    size_t aside = t->n - t->n_train;
    at(t, s, t->n_train + (size_t)((double)aside * ((double)i / (double)n)), context, target);
}
