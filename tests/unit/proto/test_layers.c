/* Layers: merging, resolving, errors that name path and layer, bounds, provenance. OmegaConf's own cases are in the
 * conformance suite, generated ones in tests/interop. */
#include "proto/layers.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4 };

struct stack {
    cJSON *documents[MOST];
    struct cfg_layer layers[MOST];
    size_t n;
};

static const char *const names[MOST] = {"base", "middle", "top", "peak"};

/* Documents with | between them. */
static void read_stack(struct stack *s, const char *texts)
{
    *s = (struct stack){.n = 0};
    while (texts && s->n < MOST) {
        const char *bar = strchr(texts, '|');
        struct cfg_slice text = {texts, bar ? (size_t)(bar - texts) : strlen(texts)};
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(cfg_json_parse(&s->documents[s->n], text, 0, &err), 0, "%s", err.text);
        s->layers[s->n] = (struct cfg_layer){names[s->n], s->documents[s->n]};
        s->n++;
        texts = bar ? bar + 1 : NULL;
    }
}

static void free_stack(struct stack *s)
{
    for (size_t i = 0; i < s->n; i++)
        cJSON_Delete(s->documents[i]);
}

static char *print(const cJSON *v)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 24);
    cfg_json_print(&out, v);
    return cfg_buf_steal(&out);
}

/* The resolved document as text, or "CODE path: text". */
static char *resolve(const char *texts, const struct cfg_layers_options *options)
{
    struct stack s;
    struct cfg_layers *l = NULL;
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 16);
    read_stack(&s, texts);
    int code = cfg_layers_merge(&l, s.layers, s.n, options, &err);
    if (code == 0)
        code = cfg_layers_resolve(&v, l, &err);
    char *text = NULL;
    if (code == 0) {
        text = print(v);
    } else {
        cr_expect_eq(code, err.code);
        cfg_buf_printf(&out, "%s %s: %s", cfg_code_name(code), err.path, err.text);
        text = cfg_buf_steal(&out);
    }
    cJSON_Delete(v);
    cfg_layers_free(l);
    free_stack(&s);
    return text;
}

static void expect(const char *texts, const char *wanted)
{
    char *got = resolve(texts, NULL);
    cr_expect_str_eq(got, wanted, "%s", texts);
    free(got);
}

Test(layers, merging)
{
    expect("{\"a\":{\"b\":1,\"c\":2}}|{\"a\":{\"c\":3,\"d\":4}}", "{\"a\":{\"b\":1,\"c\":3,\"d\":4}}");
    expect("{\"a\":[1,2]}|{\"a\":[3]}", "{\"a\":[3]}");
    expect("{\"a\":{\"b\":1}}|{\"a\":null}", "{\"a\":null}");
    expect("{\"a\":null}|{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}");
    expect("{\"a\":1}|{\"a\":\"???\"}", "{\"a\":1}");
    expect("{\"a\":{\"b\":1}}|{\"a\":\"???\"}", "{\"a\":{\"b\":1}}");
    expect("{}|{\"a\":\"???\"}", "{\"a\":\"???\"}");
    expect("{\"n\":{\"x\":1},\"a\":\"${n}\"}|{\"a\":{\"y\":2}}", "{\"n\":{\"x\":1},\"a\":{\"x\":1,\"y\":2}}");
    expect("{\"n\":{\"x\":1},\"a\":\"${n}\"}|{\"a\":5}", "{\"n\":{\"x\":1},\"a\":5}");
    expect("{\"a\":{\"b\":1}}|{\"a\":[1]}",
           "bad_value a: a is an object in base and a list in middle: they cannot be merged");
    expect("{\"x\":{\"a\":[1]}}|{\"x\":{\"a\":{\"b\":1}}}",
           "bad_value x.a: x.a is a list in base and an object in middle: they cannot be merged");
    expect("{}|[]", "bad_value : the document is an object in base and a list in middle: they cannot be merged");
    expect("[1,2]|[3]", "[3]");
}

Test(layers, resolving)
{
    expect("{\"a\":1,\"b\":\"${a}\",\"c\":\"x${a}\"}", "{\"a\":1,\"b\":1,\"c\":\"x1\"}");
    expect("{\"a\":{\"b\":1,\"c\":\"${.b}\",\"d\":\"${..e}\"},\"e\":2}", "{\"a\":{\"b\":1,\"c\":1,\"d\":2},\"e\":2}");
    expect("{\"l\":[1,\"${.0}\",\"${l[-3]}\"]}", "{\"l\":[1,1,1]}");
    expect("{\"k\":\"b\",\"a\":{\"b\":7},\"v\":\"${a[${k}]}\"}", "{\"k\":\"b\",\"a\":{\"b\":7},\"v\":7}");
    expect("{\"v\":\"a${b}\",\"b\":1e-5}", "{\"v\":\"a1e-05\",\"b\":0.00001}");
    expect("{\"v\":\"${t} ${f} ${n}\",\"t\":true,\"f\":0.5,\"n\":null}",
           "{\"v\":\"True 0.5 None\",\"t\":true,\"f\":0.5,\"n\":null}");
    expect("{\"v\":\"\\\\${a}\"}", "{\"v\":\"${a}\"}");
    expect("{\"v\":\"${oc.select:nope,5}\",\"w\":\"${oc.decode:'[1, a]'}\"}", "{\"v\":5,\"w\":[1,\"a\"]}");
    expect("{\"a\":{\"x\":1,\"y\":2},\"k\":\"${oc.dict.keys:a}\",\"v\":\"${oc.dict.values:a}\"}",
           "{\"a\":{\"x\":1,\"y\":2},\"k\":[\"x\",\"y\"],\"v\":[1,2]}");
    expect("{\"a\":2}|{\"b\":\"${eval: (a + 1) * 4 // 5}\"}", "{\"a\":2,\"b\":2}");
    expect("{\"a\":2,\"b\":\"${eval:'${a} * 2.5'}\",\"c\":\"${eval: min(a, 1)}/x\"}",
           "{\"a\":2,\"b\":5,\"c\":\"1/x\"}");
    expect("{\"a\":\"x\",\"b\":\"${eval: \\\"${a}\\\" + \\\"y\\\"}\"}", "{\"a\":\"x\",\"b\":\"xy\"}");
    expect("{\"a\":{\"b\":2},\"c\":\"${eval: ${a.b} ** 3 if a.b in [1, 2] else 0}\"}", "{\"a\":{\"b\":2},\"c\":8}");
}

Test(layers, errors_name_path_and_layer)
{
    expect("{\"a\":1}|{\"b\":{\"c\":\"${x.y}\"}}", "bad_value b.c: b.c (middle): the key 'x.y' does not exist");
    expect("{\"a\":\"${b}\",\"b\":\"${c}\"}|{\"c\":\"${nope}\"}",
           "bad_value c: c (middle): the key 'nope' does not exist");
    expect("{\"a\":\"${b}\",\"c\":1}|{\"b\":\"${a}\"}", "bad_value a: interpolation cycle: a (base) → b (middle) → a");
    expect("{\"a\":\"${a}\"}", "bad_value a: interpolation cycle: a (base) → a");
    expect("{\"a\":{\"x\":\"${a}\"}}", "bad_value a.x: a.x (base): 'a' leads to an object that it is a part of");
    expect("{\"a\":{\"b\":\"${c}\"},\"c\":{\"d\":\"${a}\"}}",
           "bad_value a: interpolation cycle: 'a' (base) contains itself");
    expect("{\"a\":\"${b\"}", "bad_value a: a (base): column 1: the interpolation has no closing }");
    expect("{\"a\":\"${m}\",\"m\":\"???\"}", "bad_value a: a (base): 'm' is missing: ?"
                                             "??");
    expect("{\"a\":\"${s.t}\",\"s\":1}", "bad_value a: a (base): 's.t' leads through 's', which holds no other values");
    expect("{\"a\":\"${..b}\"}", "bad_value a: a (base): '..b' goes up beyond the document");
    expect("{\"a\":\"${eval: 1 / z}\",\"z\":0}", "bad_value a: a (base): eval: column 3: 1 / 0: division by zero");
    expect("{\"a\":\"${nan:}\"}", "unsupported a: a (base): there is no resolver 'nan'");
    expect("{\"a\":\"${oc.decode:'nan'}\"}", "bad_value a: a (base): nan has no place in a document");
}

Test(layers, near_misses)
{
    struct stack s;
    struct cfg_layers *l = NULL;
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    read_stack(&s, "{\"train\":{\"batch\":1},\"a\":\"${train.bacth}\"}");
    cr_assert_eq(cfg_layers_merge(&l, s.layers, s.n, NULL, &err), 0);
    cr_expect_eq(cfg_layers_resolve(&v, l, &err), CFG_E_VALUE);
    cr_expect_str_eq(err.hint, "did you mean train.batch?");
    cr_expect_null(v);
    cfg_layers_free(l);
    free_stack(&s);
}

static const char *read_env(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "HOME") == 0 ? "/home/x" : NULL;
}

Test(layers, the_environment_is_read_refused_or_kept)
{
    static const char texts[] =
        "{\"a\":\"${oc.env:HOME}/d\",\"b\":\"${oc.env:NOPE,7}\",\"c\":{\"d\":\"${a}\"},\"e\":1}";
    struct cfg_layers_options options = {.env_mode = CFG_LAYERS_ENV_READ, .env = read_env};
    char *got = resolve(texts, &options);
    cr_expect_str_eq(got, "{\"a\":\"/home/x/d\",\"b\":\"7\",\"c\":{\"d\":\"/home/x/d\"},\"e\":1}");
    free(got);
    expect(texts, "unsupported a: a (base): ${oc.env:HOME} is not read here: the environment belongs to the reader");
    options = (struct cfg_layers_options){.env_mode = CFG_LAYERS_ENV_KEEP};
    struct stack s;
    struct cfg_layers *l = NULL;
    cJSON *v = NULL, *kept = cJSON_CreateArray();
    struct cfg_error err = CFG_ERROR_INIT;
    read_stack(&s, texts);
    cr_assert_eq(cfg_layers_merge(&l, s.layers, s.n, &options, &err), 0);
    cr_assert_eq(cfg_layers_resolve(&v, l, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_layers_kept(kept, l, &err), 0);
    got = print(v);
    cr_expect_str_eq(got, "{\"a\":\"${oc.env:HOME}/d\",\"b\":\"${oc.env:NOPE,7}\",\"c\":{\"d\":\"${a}\"},\"e\":1}");
    free(got);
    got = print(kept);
    cr_expect_str_eq(got, "[\"a\",\"b\",\"c.d\"]");
    free(got);
    cJSON_Delete(v);
    cJSON_Delete(kept);
    cfg_layers_free(l);
    free_stack(&s);
}

Test(layers, all_failures_at_once)
{
    cJSON *failures = cJSON_CreateArray();
    struct cfg_layers_options options = {.failures = failures};
    char *got = resolve("{\"a\":\"${x}\",\"b\":2}|{\"c\":\"${eval: b / 0}\",\"d\":\"${b}\"}", &options);
    cr_expect_str_eq(got, "{\"a\":\"${x}\",\"b\":2,\"c\":\"${eval: b / 0}\",\"d\":2}");
    free(got);
    cr_expect_eq(cJSON_GetArraySize(failures), 2);
    cr_expect_str_eq(cfg_json_get_str(failures->child, "path", ""), "a");
    cr_expect_str_eq(cfg_json_get_str(failures->child, "code", ""), "bad_value");
    cr_expect_str_eq(cfg_json_get_str(failures->child->next, "layer", ""), "middle");
    cJSON_Delete(failures);
}

/* Every value is twice the one before: 2^40 of them. */
Test(layers, bombs_end)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 16);
    cfg_buf_puts(&text, "{\"a0\":\"xxxxxxxx\"");
    for (int i = 1; i <= 40; i++)
        cfg_buf_printf(&text, ",\"a%d\":\"${a%d}${a%d}\"", i, i - 1, i - 1);
    cfg_buf_putc(&text, '}');
    char *got = resolve(text.data, NULL);
    cr_expect(strncmp(got, "too_large", 9) == 0, "%.200s", got);
    free(got);
    cfg_buf_clear(&text);
    cfg_buf_puts(&text, "{\"a0\":{\"v\":1}");
    for (int i = 1; i <= 40; i++)
        cfg_buf_printf(&text, ",\"a%d\":{\"l\":\"${a%d}\",\"r\":\"${a%d}\"}", i, i - 1, i - 1);
    cfg_buf_putc(&text, '}');
    got = resolve(text.data, NULL);
    cr_expect(strncmp(got, "too_large", 9) == 0, "%.200s", got);
    free(got);
    cfg_buf_clear(&text);
    cfg_buf_puts(&text, "{\"a0\":1");
    for (int i = 1; i <= 500; i++)
        cfg_buf_printf(&text, ",\"a%d\":\"${a%d}\"", i, i + 1);
    cfg_buf_puts(&text, ",\"a501\":2}");
    got = resolve(text.data, NULL);
    cr_expect(strncmp(got, "too_large", 9) == 0, "%.200s", got);
    free(got);
    cfg_buf_finish(&text);
}

Test(layers, explains)
{
    struct stack s;
    struct cfg_layers *l = NULL;
    cJSON *why = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    read_stack(&s, "{\"a\":{\"b\":1,\"e\":9},\"l\":[1,{\"k\":2}]}|{\"a\":{\"b\":\"${a.e}\"}}|{\"a\":{\"c\":3}}");
    cr_assert_eq(cfg_layers_merge(&l, s.layers, s.n, NULL, &err), 0);
    cr_assert_eq(cfg_layers_explain(&why, l, "a.b", &err), 0, "%s", err.text);
    char *got = print(why);
    cr_expect_str_eq(got, "{\"path\":\"a.b\",\"layer\":1,\"value\":\"${a.e}\",\"set\":[{\"layer\":0,\"name\":\"base\","
                          "\"value\":1},{\"layer\":1,\"name\":\"middle\",\"value\":\"${a.e}\"}],\"resolved\":9}");
    free(got);
    cJSON_Delete(why);
    cr_assert_eq(cfg_layers_explain(&why, l, "a", &err), 0, "%s", err.text);
    cr_expect_eq(cfg_json_get_num(why, "layer", 0), -1);
    cJSON_Delete(why);
    cr_assert_eq(cfg_layers_explain(&why, l, "l[1].k", &err), 0, "%s", err.text);
    cr_expect_eq(cfg_json_get_num(why, "value", 0), 2);
    cJSON_Delete(why);
    cr_expect_eq(cfg_layers_explain(&why, l, "a.x", &err), CFG_E_UNKNOWN_KEY);
    cr_assert_eq(cfg_layers_get(&why, l, "a", &err), 0);
    got = print(why);
    cr_expect_str_eq(got, "{\"b\":9,\"e\":9,\"c\":3}");
    free(got);
    cJSON_Delete(why);
    cfg_layers_free(l);
    free_stack(&s);
}

static bool note_leaf(const char *path, size_t layer, void *arg)
{
    struct cfg_buf *out = arg;
    cfg_buf_printf(out, "%s=%zu ", path, layer);
    return true;
}

Test(layers, leaves_and_missing_values)
{
    struct stack s;
    struct cfg_layers *l = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf out;
    cJSON *missing = cJSON_CreateArray();
    cfg_buf_init(&out, 4096);
    read_stack(&s, "{\"a\":{\"b\":1,\"c\":\"???\"},\"l\":[\"???\"]}|{\"a\":{\"b\":2},\"o\":{}}");
    cr_assert_eq(cfg_layers_merge(&l, s.layers, s.n, NULL, &err), 0);
    cr_assert_eq(cfg_layers_each_leaf(l, note_leaf, &out, &err), 0);
    cr_expect_str_eq(out.data, "a.b=1 a.c=0 l=0 o=1 ");
    cr_assert_eq(cfg_layers_missing(missing, l, &err), 0);
    char *got = print(missing);
    cr_expect_str_eq(got, "[\"a.c\",\"l[0]\"]");
    free(got);
    cJSON_Delete(missing);
    cfg_buf_finish(&out);
    cfg_layers_free(l);
    free_stack(&s);
}

/* A text of dollars, braces and backslashes resolves to itself once it is escaped. */
Test(layers, escaped_texts_resolve_to_themselves)
{
    static const char letters[] = "\\${}a'";
    unsigned state = 1;
    struct cfg_error err = CFG_ERROR_INIT;
    for (unsigned i = 0; i < 3000; i++) {
        char text[13] = "";
        for (size_t k = 0; k < sizeof text - 1; k++) {
            state = state * 1664525 + 1013904223;
            text[k] = letters[(state >> 16) % (sizeof letters - 1)];
        }
        (void)memcpy(text + 3, i % 2 ? "\\${" : "${a", 3);
        cJSON *document = cJSON_CreateObject(), *v = NULL, *list = cJSON_AddArrayToObject(document, "list");
        cr_assert(cJSON_AddItemToArray(list, cJSON_CreateString(text)));
        cr_assert_eq(cfg_layers_escape(document, &err), 0);
        struct cfg_layer layer = {"base", document};
        struct cfg_layers *l = NULL;
        cr_assert_eq(cfg_layers_merge(&l, &layer, 1, NULL, &err), 0, "%s", err.text);
        cr_assert_eq(cfg_layers_get(&v, l, "list[0]", &err), 0, "%s: %s", text, err.text);
        cr_assert_str_eq(v->valuestring, text);
        cJSON_Delete(v);
        cfg_layers_free(l);
        cJSON_Delete(document);
    }
}

/* A whole layer may be missing, as OmegaConf's ListConfig("???"): it changes nothing. */
Test(layers, missing_layers)
{
    char *got = resolve("[1,2]|\"???\"", NULL);
    cr_expect_str_eq(got, "[1,2]");
    free(got);
    got = resolve("\"???\"|{\"a\":1}|\"???\"", NULL);
    cr_expect_str_eq(got, "{\"a\":1}");
    free(got);
    got = resolve("\"???\"|\"???\"", NULL);
    cr_expect(strstr(got, "nothing to merge"), "%s", got);
    free(got);
    got = resolve("\"???\"", NULL);
    cr_expect(strstr(got, "neither an object nor a list"), "%s", got);
    free(got);
}
