/* Every allocation of the JSON core fails in turn: each call must say CFG_E_NOMEM, leave its output alone and leak
 * nothing (LeakSanitizer judges that). malloc, calloc and realloc of our objects come here through the linker's --wrap;
 * cJSON's through its hooks. */
#include "proto/digest.h"
#include "proto/dotenv.h"
#include "proto/expr.h"
#include "proto/layers.h"
#include "proto/override.h"
#include "proto/patch.h"
#include "proto/schema.h"
#include "proto/yaml.h"

#include <criterion/criterion.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static long countdown = -1; /* allocations until one fails; negative: none does */
static bool has_failed;

static bool fails_now(void)
{
    if (countdown < 0 || countdown-- > 0)
        return false;
    has_failed = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : __real_realloc(p, n);
}

static const char text_a[] =
    "{\"a\":{\"b\":[1,2,{\"c\":\"x\\ny\"}],\"d\":null},\"e\":0.1,\"f\":[1,2,3],\"k01\":1,\"k02\":1,\"k03\":1,"
    "\"k04\":1,\"k05\":1,\"k06\":1,\"k07\":1,\"k08\":1,\"k09\":1,\"k10\":1,\"k11\":1,\"k12\":1}";
static const char text_b[] =
    "{\"e\":0.2,\"a\":{\"b\":[1,{\"c\":\"z\"}],\"d\":{\"q\":1}},\"f\":[1,9,9,3],\"g\":true,\"k01\":null,"
    "\"k02\":{\"n\":{}},\"k03\":2,\"k04\":2,\"k05\":2,\"k06\":2,\"k07\":2,\"k08\":2,\"k09\":2,\"k10\":2,"
    "\"k11\":2,\"k12\":2,\"k13\":2}";
static const char text_patch[] =
    "[{\"op\":\"add\",\"path\":\"/n\",\"value\":{\"x\":[1]}},{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/n/a\"},"
    "{\"op\":\"move\",\"from\":\"/e\",\"path\":\"/f/1\"},{\"op\":\"replace\",\"path\":\"/f/0\",\"value\":\"s\"},"
    "{\"op\":\"remove\",\"path\":\"/k01\"},{\"op\":\"test\",\"path\":\"/f/0\",\"value\":\"s\"}]";
static cJSON *a, *b, *patch;

static int run_parse(void)
{
    cJSON *v = NULL;
    int code = cfg_json_parse(&v, CFG_SLICE_LIT(text_b), 0, NULL);
    cr_assert(code == 0 || v == NULL);
    cJSON_Delete(v);
    return code;
}

static int run_canonical(void)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    cfg_json_canonical(&out, a);
    int code = cfg_buf_status(&out);
    cfg_buf_finish(&out);
    return code;
}

static int run_digest(void)
{
    char digest[CFG_DIGEST_TEXT] = "";
    return cfg_digest_json(digest, a);
}

static int run_apply(void)
{
    cJSON *v = NULL;
    int code = cfg_patch_apply(&v, a, patch, NULL);
    cr_assert(code == 0 || v == NULL);
    cJSON_Delete(v);
    return code;
}

static int run_merge(void)
{
    cJSON *v = NULL;
    int code = cfg_patch_merge(&v, a, b, NULL);
    cr_assert(code == 0 || v == NULL);
    cJSON_Delete(v);
    return code;
}

static int run_diff(void)
{
    cJSON *v = cfg_patch_diff(a, b);
    cJSON_Delete(v);
    return v ? 0 : CFG_E_NOMEM;
}

static int run_describe(void)
{
    cJSON *v = cfg_patch_describe(a, b);
    cJSON_Delete(v);
    return v ? 0 : CFG_E_NOMEM;
}

static int run_set(void)
{
    cJSON *value = cJSON_CreateString("v");
    if (value == NULL)
        return CFG_E_NOMEM;
    int code = cfg_path_set(a, "new.deep.path", value, NULL);
    cr_assert((cfg_path_get(a, "new") == NULL) == (code != 0));
    if (code == 0)
        code = cfg_path_remove(a, "new", NULL);
    return code;
}

static int run_check_document(void)
{
    return cfg_path_check_document(a, NULL);
}

static int run_override(void)
{
    struct cfg_override o;
    int code = cfg_override_parse(
        &o, CFG_SLICE_LIT("ns/a={x: [1, 'two', sort([b,a]), str(1.5)], y: a\\,b ${c}, z: null}"), NULL);
    if (code == 0)
        cfg_override_finish(&o);
    return code;
}

static const char text_base[] =
    "{\"n\":{\"x\":1,\"y\":\"${.x}\"},\"i\":\"${n}\",\"s\":\"a${n.x}b\",\"l\":[1,\"${n}\"],\"k1\":1,\"k2\":2,\"k3\":3,"
    "\"k4\":4,\"k5\":5,\"d\":\"${oc.decode:'[1, {a: \\\"${s}\\\"}]'}\",\"e\":\"${eval: n.x * 2 if s in ['q', 'r'] else "
    "len(s)}\",\"o\":\"${oc.select:zz,{q: 1.5}}\",\"v\":\"${oc.dict.values:n}\",\"m\":\"???\",\"t\":\"${d}!\"}";
static const char text_top[] = "{\"i\":{\"z\":3},\"n\":{\"x\":2}}";
static cJSON *base, *top;

static int run_layers(void)
{
    struct cfg_layer layers[] = {{"base", base}, {"top", top}};
    struct cfg_layers *l = NULL;
    cJSON *v = NULL, *why = NULL, *missing = NULL;
    int code = cfg_layers_merge(&l, layers, 2, NULL, NULL);
    cr_assert(code == 0 || l == NULL);
    if (code == 0)
        code = cfg_layers_resolve(&v, l, NULL);
    if (code == 0)
        code = cfg_layers_explain(&why, l, "i", NULL);
    if (code == 0 && (missing = cJSON_CreateArray()) == NULL)
        code = CFG_E_NOMEM;
    if (code == 0)
        code = cfg_layers_missing(missing, l, NULL);
    cJSON_Delete(v);
    cJSON_Delete(why);
    cJSON_Delete(missing);
    cfg_layers_free(l);
    return code;
}

static int run_expr(void)
{
    struct cfg_expr *e = NULL;
    struct cfg_expr_names names = cfg_expr_names_of(a);
    struct cfg_expr_value value;
    struct cfg_arena arena;
    cJSON *v = NULL;
    cfg_arena_init(&arena, 1 << 20);
    int code = cfg_expr_compile(&e, CFG_SLICE_LIT("[round(e, 1), max(f), 'x' + \"y\", f[0] + 1, 'q' in ['q']]"), NULL);
    cr_assert(code == 0 || e == NULL);
    if (code == 0)
        code = cfg_expr_eval(&value, e, &names, &arena, NULL);
    if (code == 0)
        code = cfg_expr_to_json(&v, &value, NULL);
    cJSON_Delete(v);
    cfg_arena_finish(&arena);
    cfg_expr_free(e);
    return code;
}

static const char text_schema[] =
    "{\"$id\":\"http://x/root\",\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
    "\"$defs\":{\"n\":{\"$anchor\":\"n\",\"type\":\"integer\",\"enum\":[1,2,{\"x\":[1]}]},\"t\":{\"$dynamicAnchor\":"
    "\"t\","
    "\"unevaluatedProperties\":false,\"allOf\":[{\"properties\":{\"c\":true}}]}},\"properties\":{\"a\":{\"$ref\":\"#"
    "n\"},"
    "\"b\":{\"pattern\":\"^[a-z]+$\",\"format\":\"uri\",\"x-secret\":true},\"l\":{\"uniqueItems\":true,\"contains\":{"
    "\"const\":"
    "{\"y\":2}},\"unevaluatedItems\":false,\"prefixItems\":[{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}]},"
    "\"t\":{\"$dynamicRef\":\"#t\"}},\"patternProperties\":{\"^p\":{\"multipleOf\":0.1}},\"additionalProperties\":"
    "false,"
    "\"dependentRequired\":{\"a\":[\"z\"]},\"x-invariants\":[{\"expr\":\"a < len(l) + q\",\"message\":\"m\"}]}";
static const char text_wrong[] =
    "{\"a\":3,\"b\":\"A\",\"l\":[2,[1],{\"k\":1},{\"k\":1},5,6,7,8,9,10],\"t\":{\"d\":1},\"p1\":0.15,\"bb\":1,\"q\":1}";
static cJSON *schema, *wrong;

static int run_schema(void)
{
    struct cfg_schema *s = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *violations = NULL;
    const struct cfg_schema_options options = {.assert_formats = true};
    int code = cfg_schema_compile(&s, schema, &options, &err);
    cr_assert(code == 0 || s == NULL);
    if (code == 0 && (violations = cJSON_CreateArray()) == NULL)
        code = CFG_E_NOMEM;
    if (code == 0 && (code = cfg_schema_check(s, wrong, violations, &err)) == CFG_E_NOMEM)
        cr_assert_null(violations->child, "what was appended is taken back");
    if (code == CFG_E_SCHEMA && (code = cfg_schema_judge(s, wrong)) == CFG_E_SCHEMA)
        code = 0;
    cJSON_Delete(violations);
    cfg_schema_free(s);
    return code;
}

static int run_yaml(void)
{
    static const char text[] =
        "a: &x {k: [1, no, 0o7], \"q\\n\": 1e3}\nb: *x\nc:\n  <<: *x\n  k: !!str 5\nd: |\n  t\n"
        "l:\n- - 1\n  - 12:30\n- {}\nk1: 1\nk2: 1\nk3: 1\nk4: 1\nk5: 1\nk6: 1\nk7: 1\nk8: 1\nk9: 1\n";
    cJSON *v = NULL, *warnings = cJSON_CreateArray();
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    int code = warnings ? cfg_yaml_parse(&v, CFG_SLICE_LIT(text), NULL, warnings, NULL) : CFG_E_NOMEM;
    cr_assert(code == 0 || v == NULL);
    if (code == 0)
        code = cfg_yaml_print(&out, v);
    cfg_buf_finish(&out);
    cJSON_Delete(v);
    cJSON_Delete(warnings);
    return code;
}

static int run_dotenv(void)
{
    cJSON *list = NULL, *variables = NULL, *text = cJSON_CreateString("a \\${b} ${c}");
    struct cfg_buf out;
    bool known = false;
    cfg_buf_init(&out, 1 << 16);
    int code =
        text ? cfg_dotenv_parse(&list, CFG_SLICE_LIT("A=1\nexport B='x $y' # c\nC=\"l\\n\"\n"), NULL) : CFG_E_NOMEM;
    cr_assert(code == 0 || list == NULL);
    if (code == 0)
        code = cfg_layers_escape(text, NULL);
    if (code == 0)
        code = cfg_env_make(&variables, "ns", a, NULL);
    if (code == 0)
        cfg_env_print(&out, variables, CFG_ENV_DOTENV);
    if (code == 0 && (code = cfg_buf_status(&out)) == 0)
        code = cfg_env_path(&out, &known, "ns", "NS_A_D", a, NULL);
    if (code == 0)
        code = cfg_buf_status(&out);
    cfg_buf_finish(&out);
    cJSON_Delete(list);
    cJSON_Delete(variables);
    cJSON_Delete(text);
    return code;
}

/* Returns how many allocations the call makes, each of which has failed once. May_say_less: a report leaves out what it
 * cannot look up, rather than failing. */
static long sweep(const char *name, int (*fn)(void), bool may_say_less)
{
    for (long n = 0;; n++) {
        countdown = n;
        has_failed = false;
        int code = fn();
        countdown = -1;
        if (!has_failed) {
            cr_assert_eq(code, 0, "%s ended with %d", name, code);
            return n;
        }
        cr_assert(code == CFG_E_NOMEM || (may_say_less && code == 0), "%s, allocation %ld: %d", name, n, code);
    }
}

Test(nomem, every_allocation_fails_once)
{
    static const struct {
        const char *name;
        int (*fn)(void);
        bool may_say_less;
    } calls[] = {{"parse", run_parse, false},
                 {"canonical", run_canonical, false},
                 {"digest", run_digest, false},
                 {"apply", run_apply, false},
                 {"merge", run_merge, false},
                 {"diff", run_diff, false},
                 {"describe", run_describe, false},
                 {"set", run_set, false},
                 {"check_document", run_check_document, false},
                 {"override", run_override, false},
                 {"layers", run_layers, false},
                 {"expr", run_expr, false},
                 {"schema", run_schema, true},
                 {"yaml", run_yaml, false},
                 {"dotenv", run_dotenv, false}};
    cJSON_Hooks hooks = {__wrap_malloc, free};
    cJSON_InitHooks(&hooks);
    cr_assert_eq(cfg_json_parse(&a, CFG_SLICE_LIT(text_a), 0, NULL), 0);
    cr_assert_eq(cfg_json_parse(&b, CFG_SLICE_LIT(text_b), 0, NULL), 0);
    cr_assert_eq(cfg_json_parse(&patch, CFG_SLICE_LIT(text_patch), 0, NULL), 0);
    cr_assert_eq(cfg_json_parse(&base, CFG_SLICE_LIT(text_base), 0, NULL), 0);
    cr_assert_eq(cfg_json_parse(&top, CFG_SLICE_LIT(text_top), 0, NULL), 0);
    cr_assert_eq(cfg_json_parse(&schema, CFG_SLICE_LIT(text_schema), 0, NULL), 0);
    cr_assert_eq(cfg_json_parse(&wrong, CFG_SLICE_LIT(text_wrong), 0, NULL), 0);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        cr_assert_gt(sweep(calls[i].name, calls[i].fn, calls[i].may_say_less), 0,
                     "%s allocates nothing: the wrapping does not work", calls[i].name);
    cJSON_Delete(a);
    cJSON_Delete(b);
    cJSON_Delete(patch);
    cJSON_Delete(base);
    cJSON_Delete(top);
    cJSON_Delete(schema);
    cJSON_Delete(wrong);
}

Test(nomem, equality_needs_no_memory)
{
    cJSON *x = NULL, *y = NULL;
    cr_assert_eq(cfg_json_parse(&x, CFG_SLICE_LIT("{\"a\":1,\"b\":[{\"c\":1,\"d\":2}]}"), 0, NULL), 0);
    cr_assert_eq(cfg_json_parse(&y, CFG_SLICE_LIT("{\"b\":[{\"d\":2,\"c\":1}],\"a\":1}"), 0, NULL), 0);
    for (long n = 0; n < 6; n++) {
        countdown = n;
        cr_assert(cfg_json_equal(x, y));
        countdown = -1;
        countdown = n;
        cr_assert_not(cfg_json_equal(x, y->child));
        countdown = -1;
    }
    cJSON_Delete(x);
    cJSON_Delete(y);
}
