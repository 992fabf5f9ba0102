/* Answers one request per line, for layers_diff.py: {"layers":[…]} merges and resolves,
 * {"layers":[…],"text":…,"element":…} evaluates a text, {"override":…} reads one of Hydra's lines. Replies {"ok":value}
 * or {"error":code,"text":…}. */
#include "proto/layers.h"
#include "proto/override.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 16 };

/* NaN and infinities, which JSON does not have, as {"$f":"nan"}. */
static cJSON *spelled(const cJSON *v)
{
    if (cJSON_IsNumber(v) && !isfinite(v->valuedouble)) {
        cJSON *f = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(f, "$f", isnan(v->valuedouble) ? "nan" : v->valuedouble > 0 ? "inf" : "-inf");
        return f;
    }
    if (!cJSON_IsObject(v) && !cJSON_IsArray(v))
        return cJSON_Duplicate(v, true);
    cJSON *copy = cJSON_IsObject(v) ? cJSON_CreateObject() : cJSON_CreateArray();
    for (const cJSON *c = v->child; c; c = c->next) {
        if (cJSON_IsObject(v))
            (void)cJSON_AddItemToObject(copy, c->string, spelled(c));
        else
            (void)cJSON_AddItemToArray(copy, spelled(c));
    }
    return copy;
}

static int run_layers(cJSON **out, const cJSON *request, struct cfg_error *err)
{
    struct cfg_layer layers[MOST];
    size_t n = 0;
    struct cfg_layers *l = NULL;
    const char *text = cfg_json_get_str(request, "text", NULL);
    const cJSON *in;
    cJSON_ArrayForEach(in, cfg_json_get(request, "layers"))
    {
        if (n < MOST)
            layers[n++] = (struct cfg_layer){"layer", in};
    }
    int code = cfg_layers_merge(&l, layers, n, NULL, err);
    if (code == 0 && text)
        code = cfg_layers_evaluate(out, l, text, cfg_json_get_bool(request, "element", false), err);
    else if (code == 0)
        code = cfg_layers_resolve(out, l, err);
    cfg_layers_free(l);
    return code;
}

static int run_override(cJSON **out, const char *text, struct cfg_error *err)
{
    static const char *const modes[] = {"set", "add", "force", "delete"};
    struct cfg_override o = {.on_off = -1};
    int code = cfg_override_parse_word(&o, "", cfg_slice_str(text), err);
    if (code)
        return code;
    *out = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(*out, "key", o.address.name);
    (void)cJSON_AddStringToObject(*out, "mode", modes[o.mode]);
    (void)cJSON_AddNumberToObject(*out, "on_off", o.on_off);
    if (o.value)
        (void)cJSON_AddItemToObject(*out, "value", cJSON_Duplicate(o.value, true));
    cfg_override_finish(&o);
    return 0;
}

static void answer(const cJSON *request)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *value = NULL, *reply = cJSON_CreateObject();
    const char *line = cfg_json_get_str(request, "override", NULL);
    int code = line ? run_override(&value, line, &err) : run_layers(&value, request, &err);
    if (code) {
        (void)cJSON_AddStringToObject(reply, "error", cfg_code_name(code));
        (void)cJSON_AddStringToObject(reply, "text", err.text);
    } else {
        (void)cJSON_AddItemToObject(reply, "ok", spelled(value));
    }
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 28);
    cfg_json_print(&out, reply);
    puts(out.data);
    cfg_buf_finish(&out);
    cJSON_Delete(value);
    cJSON_Delete(reply);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        cJSON *request = NULL;
        struct cfg_error err = CFG_ERROR_INIT;
        if (cfg_json_parse(&request, (struct cfg_slice){line, (size_t)n - (line[n - 1] == '\n')}, 0, &err)) {
            fprintf(stderr, "layers_probe: %s\n", err.text);
            return 1;
        }
        answer(request);
        cJSON_Delete(request);
    }
    free(line);
    return 0;
}
