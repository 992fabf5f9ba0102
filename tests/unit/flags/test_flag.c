#include "flags/flag.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *parse(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s: %s", text, err.text);
    return v;
}

/* The program lives on after its envelope. */
static struct cfg_flag_program *compile(const char *text)
{
    struct cfg_flag_program *p = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *envelope = parse(text);
    cr_assert_eq(cfg_flag_compile(&p, envelope, &err), 0, "%s: %s", text, err.text);
    cJSON_Delete(envelope);
    return p;
}

static char *print(const cJSON *v)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 100000);
    cfg_json_print(&b, v);
    return cfg_buf_steal(&b);
}

/* variant and value are NULL where the caller's default holds; value is JSON. */
static void answers(const char *envelope, enum cfg_flag_type type, const char *reason, const char *variant,
                    const char *value)
{
    struct cfg_flag_program *p = compile(envelope);
    cr_assert_eq(cfg_flag_type_of(p), type, "%s", envelope);
    struct cfg_flag_result r = cfg_flag_eval(p, type);
    cr_assert_str_eq(cfg_flag_reason_name(r.reason), reason, "%s", envelope);
    cr_assert_null(r.error);
    cr_assert_eq(r.variant == NULL, variant == NULL, "%s", envelope);
    cr_assert_eq(r.value == NULL, value == NULL, "%s", envelope);
    if (variant)
        cr_assert_str_eq(r.variant, variant);
    if (value) {
        char *text = print(r.value);
        cr_assert_str_eq(text, value);
        free(text);
    }
    cfg_flag_free(p);
}

#define BOOLEAN "\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"on\""

Test(flag, serves_the_default_variant_of_every_type)
{
    answers("{\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}", CFG_FLAG_BOOL, "STATIC", "on", "true");
    answers("{\"enabled\":true,\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":\"x\",\"b\":\"\"},"
            "\"defaultVariant\":\"b\"}}",
            CFG_FLAG_STRING, "STATIC", "b", "\"\"");
    answers("{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":0,\"b\":0.5},\"defaultVariant\":\"a\"}}",
            CFG_FLAG_NUMBER, "STATIC", "a", "0");
    answers("{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":{},\"b\":{\"k\":[1,\"\\u0000\"]}},"
            "\"defaultVariant\":\"b\",\"targeting\":{},\"metadata\":{\"s\":\"x\",\"n\":1.5,\"b\":true}}}",
            CFG_FLAG_OBJECT, "STATIC", "b", "{\"k\":[1,\"\\u0000\"]}");
    answers("{\"off_variant\":\"off\",\"definition\":{\"state\":\"ENABLED\",\"targeting\":null," BOOLEAN "}}",
            CFG_FLAG_BOOL, "STATIC", "on", "true");
}

Test(flag, the_kill_switch_serves_the_off_variant)
{
    answers("{\"enabled\":false,\"off_variant\":\"off\",\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}",
            CFG_FLAG_BOOL, "DISABLED", "off", "false");
    answers("{\"enabled\":false,\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}", CFG_FLAG_BOOL, "DISABLED", NULL,
            NULL);
    answers("{\"enabled\":false,\"off_variant\":null,\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}",
            CFG_FLAG_BOOL, "DISABLED", NULL, NULL);
    answers("{\"enabled\":false,\"off_variant\":\"off\",\"definition\":{\"state\":\"DISABLED\"," BOOLEAN "}}",
            CFG_FLAG_BOOL, "DISABLED", "off", "false");
}

Test(flag, flagds_own_ways_to_the_callers_default)
{
    answers("{\"off_variant\":\"off\",\"definition\":{\"state\":\"DISABLED\"," BOOLEAN "}}", CFG_FLAG_BOOL, "DISABLED",
            NULL, NULL);
    answers("{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1}}}", CFG_FLAG_NUMBER, "DEFAULT", NULL, NULL);
    answers("{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\"defaultVariant\":null}}", CFG_FLAG_NUMBER,
            "DEFAULT", NULL, NULL);
}

Test(flag, another_type_is_a_mismatch)
{
    struct cfg_flag_program *p = compile("{\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}");
    for (int want = CFG_FLAG_STRING; want <= CFG_FLAG_OBJECT; want++) {
        struct cfg_flag_result r = cfg_flag_eval(p, (enum cfg_flag_type)want);
        cr_assert(r.reason == CFG_REASON_ERROR && r.value == NULL && r.variant == NULL);
        cr_assert_str_eq(r.error, "TYPE_MISMATCH");
        cr_assert_str_eq(cfg_flag_reason_name(r.reason), "ERROR");
    }
    cfg_flag_free(p);
    cfg_flag_free(NULL);
    cr_assert_str_eq(cfg_flag_reason_name(CFG_REASON_TARGETING_MATCH), "TARGETING_MATCH");
}

static void refused(const char *envelope, int code, const char *path)
{
    int marker;
    struct cfg_flag_program *untouched = (struct cfg_flag_program *)(void *)&marker, *p = untouched;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = parse(envelope);
    cr_assert_eq(cfg_flag_compile(&p, v, &err), code, "%s", envelope);
    cr_assert_eq(p, untouched);
    cr_assert(err.code == code && err.text[0]);
    cr_assert_str_eq(err.path, path, "%s: %s, not %s", envelope, err.path, path);
    cr_assert_eq(cfg_flag_compile(&p, v, NULL), code);
    cJSON_Delete(v);
}

#define DEFINITION(rest) "{\"definition\":{\"state\":\"ENABLED\"," rest "}}"

Test(flag, refuses_what_is_malformed)
{
    refused("[]", CFG_E_VALUE, "flag");
    refused("{}", CFG_E_VALUE, "definition");
    refused("{\"definition\":[]}", CFG_E_VALUE, "definition");
    refused("{\"enabled\":1,\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}", CFG_E_VALUE, "enabled");
    refused("{\"enabled\":null,\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}", CFG_E_VALUE, "enabled");
    refused("{\"definition\":{" BOOLEAN "}}", CFG_E_VALUE, "definition.state");
    refused("{\"definition\":{\"state\":\"enabled\"," BOOLEAN "}}", CFG_E_VALUE, "definition.state");
    refused("{\"definition\":{\"state\":true," BOOLEAN "}}", CFG_E_VALUE, "definition.state");
    refused("{\"definition\":{\"state\":\"ENABLED\"}}", CFG_E_VALUE, "definition.variants");
    refused(DEFINITION("\"variants\":[true]"), CFG_E_VALUE, "definition.variants");
    refused(DEFINITION("\"variants\":{}"), CFG_E_VALUE, "definition.variants");
    refused(DEFINITION("\"variants\":{\"\":1}"), CFG_E_VALUE, "definition.variants");
    refused(DEFINITION("\"variants\":{\"a\":null}"), CFG_E_VALUE, "definition.variants.a");
    refused(DEFINITION("\"variants\":{\"a\":[]}"), CFG_E_VALUE, "definition.variants.a");
    refused(DEFINITION("\"variants\":{\"a\":true,\"b\":false,\"c\":1}"), CFG_E_VALUE, "definition.variants.c");
    refused(DEFINITION("\"variants\":{\"a\":1},\"defaultVariant\":\"A\""), CFG_E_VALUE, "definition.defaultVariant");
    refused(DEFINITION("\"variants\":{\"a\":1},\"defaultVariant\":\"\""), CFG_E_VALUE, "definition.defaultVariant");
    refused(DEFINITION("\"variants\":{\"a\":1},\"defaultVariant\":1"), CFG_E_VALUE, "definition.defaultVariant");
    refused(DEFINITION(BOOLEAN ",\"metadata\":[]"), CFG_E_VALUE, "definition.metadata");
    refused(DEFINITION(BOOLEAN ",\"metadata\":{\"k\":{}}"), CFG_E_VALUE, "definition.metadata.k");
    refused("{\"off_variant\":\"gone\",\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}", CFG_E_VALUE,
            "off_variant");
    refused("{\"off_variant\":false,\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}", CFG_E_VALUE, "off_variant");
}

Test(flag, refuses_rules_that_cannot_work)
{
    static const struct {
        const char *targeting, *path;
        int code;
    } rows[] = {
        {"[]", "", CFG_E_VALUE},
        {"\"on\"", "", CFG_E_VALUE},
        {"{\"iff\":[true,\"on\"]}", ".iff", CFG_E_UNSUPPORTED},
        {"{\"if\":[{\"val\":\"x\"},\"on\"]}", ".if[0].val", CFG_E_UNSUPPORTED},
        {"{\"if\":[{\"$ref\":\"gone\"},\"on\"]}", ".if[0].$ref", CFG_E_VALUE},
        {"{\"if\":[{\"$ref\":1},\"on\"]}", ".if[0].$ref", CFG_E_VALUE},
        {"{\"==\":[1,2],\"!=\":[1,2]}", "", CFG_E_VALUE},
        {"{\"if\":[{\"==\":[1]},\"on\"]}", ".if[0].==", CFG_E_VALUE},
        {"{\"if\":[{\"==\":[1,2,3]},\"on\"]}", ".if[0].==", CFG_E_VALUE},
        {"{\"starts_with\":[\"a\"]}", ".starts_with", CFG_E_VALUE},
        {"{\"sem_ver\":[{\"var\":\"v\"},\"=\"]}", ".sem_ver", CFG_E_VALUE},
        {"{\"sem_ver\":[{\"var\":\"v\"},\"===\",\"1.0.0\"]}", ".sem_ver", CFG_E_VALUE},
        {"{\"fractional\":[]}", ".fractional", CFG_E_VALUE},
        {"{\"fractional\":[{\"var\":\"x\"}]}", ".fractional", CFG_E_VALUE},
        {"{\"fractional\":[[\"on\",1],\"off\"]}", ".fractional[1]", CFG_E_VALUE},
        {"{\"fractional\":[[\"on\",0.5],[\"off\",1]]}", ".fractional[0]", CFG_E_VALUE},
        {"{\"fractional\":[[\"on\",\"1\"],[\"off\",1]]}", ".fractional[0]", CFG_E_VALUE},
        {"{\"fractional\":[[\"on\",2147483648],[\"off\",1]]}", ".fractional[0]", CFG_E_VALUE},
        {"{\"fractional\":[[\"on\",2147483647],[\"off\",1]]}", ".fractional", CFG_E_VALUE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512], path[160];
        (void)snprintf(text, sizeof text, DEFINITION(BOOLEAN ",\"targeting\":%s"), rows[i].targeting);
        (void)snprintf(path, sizeof path, "definition.targeting%s", rows[i].path);
        refused(text, rows[i].code, path);
    }
    refused(DEFINITION("\"variants\":{\"a\":1},\"defaultVarient\":\"a\""), CFG_E_UNSUPPORTED, "definition");
    refused(DEFINITION(BOOLEAN ",\"hash_version\":4"), CFG_E_VALUE, "definition.hash_version");
}

Test(flag, a_depth_bomb_is_refused)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 100000);
    cfg_buf_puts(&text, "{\"definition\":{\"state\":\"ENABLED\"," BOOLEAN ",\"targeting\":");
    for (int i = 0; i < 200; i++)
        cfg_buf_puts(&text, "{\"!\":");
    cfg_buf_puts(&text, "true");
    for (int i = 0; i < 202; i++)
        cfg_buf_putc(&text, '}');
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_buf_slice(&text), 0, NULL), CFG_E_LIMIT);
    cr_assert_eq(cfg_json_parse(&v, cfg_buf_slice(&text), 1000, NULL), 0);
    struct cfg_flag_program *p;
    struct cfg_error err;
    cr_assert_eq(cfg_flag_compile(&p, v, &err), CFG_E_LIMIT);
    cJSON_Delete(v);
    cfg_buf_finish(&text);
}

Test(flag, a_long_name_does_not_overflow_the_error)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 2000);
    cfg_buf_puts(&text, "{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"");
    for (int i = 0; i < 500; i++)
        cfg_buf_putc(&text, 'x');
    cfg_buf_puts(&text, "\":null}}}");
    struct cfg_error err;
    struct cfg_flag_program *p;
    cJSON *v = parse(text.data);
    cr_assert_eq(cfg_flag_compile(&p, v, &err), CFG_E_VALUE);
    cJSON_Delete(v);
    cfg_buf_finish(&text);
}

/* Fails the n-th allocation of the tree functions from now on; 0: none. */
static int fail_at;

static void *failing_malloc(size_t n)
{
    return fail_at > 0 && --fail_at == 0 ? NULL : malloc(n);
}

/* Without memory each function says so, leaks nothing and leaves its out parameter alone. */
Test(flag, survives_a_failed_allocation_anywhere)
{
    cJSON_Hooks hooks = {failing_malloc, free};
    cJSON_InitHooks(&hooks);
    cJSON *killed = parse("{\"enabled\":false,\"off_variant\":\"b\",\"definition\":{\"state\":\"ENABLED\",\"variants\":"
                          "{\"a\":{},\"b\":{\"k\":[1,\"x\"]}},\"defaultVariant\":\"a\",\"targeting\":{}}}");
    bool compiled = false, exported = false, made = false;
    for (int n = 1; !(compiled && exported && made); n++) {
        struct cfg_flag_program *p = NULL;
        fail_at = n;
        int rc = cfg_flag_compile(&p, killed, NULL);
        cr_assert(rc == 0 || (rc == CFG_E_NOMEM && p == NULL));
        compiled = rc == 0;
        fail_at = n;
        cJSON *out = cfg_flag_export(killed);
        exported = out != NULL;
        fail_at = n;
        cJSON *flag = cfg_flag_new_boolean(true);
        made = flag != NULL;
        fail_at = 0;
        cr_assert_lt(n, 1000);
        cr_assert(n > 1 || !(compiled || exported || made));
        cfg_flag_free(p);
        cJSON_Delete(out);
        cJSON_Delete(flag);
    }
    cJSON_Delete(killed);
}

#define REST "\"off_variant\":\"off\",\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}"

Test(flag, a_new_boolean)
{
    for (int on = 0; on <= 1; on++) {
        cJSON *envelope = cfg_flag_new_boolean(on);
        char *text = print(envelope);
        cr_assert_str_eq(text, on ? "{\"enabled\":true," REST : "{\"enabled\":false," REST);
        answers(text, CFG_FLAG_BOOL, on ? "STATIC" : "DISABLED", on ? "on" : "off", on ? "true" : "false");
        free(text);
        cJSON_Delete(envelope);
    }
}

static void exports(const char *envelope, const char *expected)
{
    cJSON *v = parse(envelope), *out = cfg_flag_export(v), *want = parse(expected);
    char *text = print(out);
    cr_assert(cfg_json_equal(out, want), "%s", text);
    free(text);
    cJSON_Delete(v);
    cJSON_Delete(out);
    cJSON_Delete(want);
}

Test(flag, exports_for_plain_flagd)
{
    static const char on[] = "{\"state\":\"ENABLED\",\"targeting\":{\"if\":[]}," BOOLEAN "}";
    exports("{\"enabled\":true,\"off_variant\":\"off\",\"definition\":{\"state\":\"ENABLED\",\"targeting\":{\"if\":[]}"
            "," BOOLEAN "}}",
            on);
    exports("{\"definition\":{\"state\":\"ENABLED\",\"targeting\":{\"if\":[]}," BOOLEAN "}}", on);
    exports("{\"enabled\":false,\"off_variant\":\"off\",\"definition\":{\"state\":\"DISABLED\",\"metadata\":{\"k\":1},"
            "\"targeting\":{\"if\":[]}," BOOLEAN "}}",
            "{\"state\":\"ENABLED\",\"metadata\":{\"k\":1},\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":"
            "\"off\"}");
    exports("{\"enabled\":false,\"definition\":{\"state\":\"ENABLED\"," BOOLEAN "}}",
            "{\"state\":\"DISABLED\"," BOOLEAN "}");
    cJSON *empty = parse("{}");
    cr_assert_null(cfg_flag_export(empty));
    cJSON_Delete(empty);
}
