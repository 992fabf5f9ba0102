/* Layers: documents with a line feed between them are merged and resolved, or refused with a reason; what comes out is
 * strict JSON. Text that is no JSON is read as an interpolation. */
#include "proto/layers.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MOST = 4 };

static void check(int code, const struct cfg_error *err, cJSON *v, bool strict)
{
    if (code) {
        if (err->code != code || err->text[0] == '\0' || v)
            abort();
        return;
    }
    struct cfg_buf text;
    cJSON *read = NULL;
    cfg_buf_init(&text, (size_t)1 << 28);
    cfg_json_print(&text, v);
    if (cfg_buf_status(&text) || (strict && cfg_json_parse(&read, cfg_buf_slice(&text), 0, NULL) != 0) ||
        (strict && !cfg_json_equal(read, v)))
        abort();
    cfg_buf_finish(&text);
    cJSON_Delete(read);
    cJSON_Delete(v);
}

static void merge(const struct cfg_layer *layers, size_t n)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_layers_options options = {.env_mode = CFG_LAYERS_ENV_KEEP, .max_bytes = 1 << 20};
    struct cfg_layers *l = NULL;
    cJSON *v = NULL;
    int code = cfg_layers_merge(&l, layers, n, &options, &err);
    if (code) {
        check(code, &err, NULL, false);
        return;
    }
    code = cfg_layers_document(&v, l, &err);
    check(code, &err, v, true);
    v = NULL;
    err = (struct cfg_error)CFG_ERROR_INIT;
    code = cfg_layers_resolve(&v, l, &err);
    check(code, &err, v, true);
    cfg_layers_free(l);
}

static void evaluate(const char *text, bool element)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *document = NULL, *v = NULL;
    struct cfg_layers *l = NULL;
    struct cfg_layer layer = {"base", NULL};
    struct cfg_layers_options options = {.max_bytes = 1 << 20};
    if (cfg_json_parse(&document, CFG_SLICE_LIT("{\"a\":1,\"b\":{\"c\":\"${a}\",\"d\":[1,\"x\"]}}"), 0, NULL))
        return;
    layer.document = document;
    int parsed = cfg_interpolation_check(text, element, &err);
    err = (struct cfg_error)CFG_ERROR_INIT;
    if (cfg_layers_merge(&l, &layer, 1, &options, &err) == 0) {
        int code = cfg_layers_evaluate(&v, l, text, element, &err);
        if (parsed && code == 0)
            abort();
        check(code, &err, v, false);
    }
    cfg_layers_free(l);
    cJSON_Delete(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cfg_layer layers[MOST];
    cJSON *documents[MOST];
    size_t count = 0;
    const char *p = (const char *)bytes, *end = p + n;
    while (p < end && count < MOST) {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        struct cfg_slice text = {p, (size_t)((line ? line : end) - p)};
        documents[count] = NULL;
        if (cfg_json_parse(&documents[count], text, 0, NULL) == 0) {
            layers[count] = (struct cfg_layer){"layer", documents[count]};
            count++;
        }
        p = line ? line + 1 : end;
    }
    if (count > 0)
        merge(layers, count);
    for (size_t i = 0; i < count; i++)
        cJSON_Delete(documents[i]);
    struct cfg_slice whole = {(const char *)bytes, n};
    char *text = cfg_slice_dup(whole);
    if (text && count == 0) {
        evaluate(text, false);
        evaluate(text, true);
    }
    free(text);
    return 0;
}
