#include "worker/prepare.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { TEMP, BATCH, NAME, PATH, TP, TREE, FLAG, STREAM };

static struct cfg_contract contract;
static struct cfg_local local;

static void setup(void)
{
    static const struct cfg_decl d[] = {
        [TEMP] = {(char *)(uintptr_t) "sampling.temperature", CFG_F64, CFG_LIVE, {.f64 = 0}, {.f64 = 2}, {.f64 = 0.7}},
        [BATCH] = {(char *)(uintptr_t) "inference.batch_size", CFG_I64, CFG_DRAIN, {.i64 = 1}, {.i64 = 64}, {.i64 = 8}},
        [NAME] = {(char *)(uintptr_t) "name", CFG_STRING, CFG_LIVE, {0}, {0}, {.string = "nobody"}},
        [PATH] = {(char *)(uintptr_t) "data.path", CFG_STRING, CFG_RESTART, {0}, {0}, {.string = "/none"}},
        [TP] = {(char *)(uintptr_t) "distributed.tp", CFG_I64, CFG_PINNED, {.i64 = 1}, {.i64 = 8}, {.i64 = 1}},
        [TREE] = {(char *)(uintptr_t) "tree", CFG_JSON, CFG_LIVE, {0}, {0}, {.string = "null"}},
        [FLAG] = {(char *)(uintptr_t) "experiment/ab.flag", CFG_FLAG, CFG_LIVE, {0}, {0}, {.b = true}},
        [STREAM] = {(char *)(uintptr_t) "stream", CFG_BOOL, CFG_BARRIER, {0}, {0}, {.b = false}},
    };
    memset(&contract, 0, sizeof contract);
    for (uint32_t i = 0; i < sizeof d / sizeof d[0]; i++) {
        cr_assert_eq(cfg_contract_add(&contract, &d[i]), i, "%s", contract.error.text);
    }
    cr_assert_eq(cfg_local_parse(&local, &contract, NULL, NULL), 0);
}

static void teardown(void)
{
    cfg_local_finish(&local);
    cfg_contract_finish(&contract);
}

TestSuite(prepare, .init = setup, .fini = teardown);

static int prepare(struct cfg_box **out, const struct cfg_box *boot, const char *view, struct cfg_error *err)
{
    const struct cfg_view_input in = {"1-7", "sha256:d", "S", cfg_slice_str(view), 0};
    *err = (struct cfg_error)CFG_ERROR_INIT;
    return cfg_prepare(out, &contract, &local, boot, &in, err);
}

static struct cfg_box *must(const struct cfg_box *boot, const char *view)
{
    struct cfg_box *b = NULL;
    struct cfg_error err;
    cr_assert_eq(prepare(&b, boot, view, &err), 0, "%s", err.text);
    return b;
}

static cfg_param at(uint32_t i)
{
    return (cfg_param){i};
}

Test(prepare, missing_keys_take_the_defaults)
{
    struct cfg_box *b = must(NULL, "{\"parameters\":{},\"pinned\":{},\"flags\":{}}");
    const struct cfg_view *v = &b->pub;
    cr_assert_float_eq(cfg_get_f64(v, at(TEMP)), 0.7, 1e-12);
    cr_assert_eq(cfg_get_i64(v, at(BATCH)), 8);
    cr_assert_str_eq(cfg_get_string(v, at(NAME)), "nobody");
    cr_assert_str_eq(cfg_get_string(v, at(TREE)), "null");
    cr_assert(cfg_get_bool(v, at(FLAG)));
    cr_assert_eq(cfg_get_i64(v, CFG_PARAM_NONE), 0);
    cr_assert_null(cfg_get_string(v, CFG_PARAM_NONE));
    cr_assert_str_eq(v->revision, "1-7");
    cfg_box_free(b);
}

Test(prepare, every_type_from_its_place)
{
    struct cfg_box *b =
        must(NULL, "{\"parameters\":{\"sampling\":{\"temperature\":0.2},\"inference\":{\"batch_size\":1e1},"
                   "\"name\":\"chat\",\"tree\":{\"b\":[1],\"a\":null},\"stream\":true,\"unknown\":\"???\"},"
                   "\"pinned\":{\"distributed\":{\"tp\":4}},\"flags\":{\"experiment\":{\"ab.flag\":{\"enabled\":false,"
                   "\"off_variant\":\"off\",\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":"
                   "false},\"defaultVariant\":\"on\"}}}}}");
    const struct cfg_view *v = &b->pub;
    cr_assert_float_eq(cfg_get_f64(v, at(TEMP)), 0.2, 1e-12);
    cr_assert_eq(cfg_get_i64(v, at(BATCH)), 10);
    cr_assert_str_eq(cfg_get_string(v, at(NAME)), "chat");
    cr_assert_str_eq(cfg_get_string(v, at(TREE)), "{\"a\":null,\"b\":[1]}");
    cr_assert(cfg_get_bool(v, at(STREAM)));
    cr_assert_eq(cfg_get_i64(v, at(TP)), 4);
    cr_assert_not(cfg_get_bool(v, at(FLAG)));
    cfg_box_free(b);
}

Test(prepare, bad_views_are_refused_whole_with_their_path)
{
    static const struct {
        const char *parameters, *pinned, *flags, *path;
        int code;
    } bad[] = {
        {"{\"sampling\":{\"temperature\":\"hot\"}}", "{}", "{}", "sampling.temperature", CFG_E_VALUE},
        {"{\"sampling\":{\"temperature\":2.5}}", "{}", "{}", "sampling.temperature", CFG_E_VALUE},
        {"{\"sampling\":{\"temperature\":null}}", "{}", "{}", "sampling.temperature", CFG_E_VALUE},
        {"{\"sampling\":{\"temperature\":\"???\"}}", "{}", "{}", "sampling.temperature", CFG_E_VALUE},
        {"{\"inference\":{\"batch_size\":1.5}}", "{}", "{}", "inference.batch_size", CFG_E_VALUE},
        {"{\"inference\":{\"batch_size\":0}}", "{}", "{}", "inference.batch_size", CFG_E_VALUE},
        {"{\"inference\":{\"batch_size\":1e300}}", "{}", "{}", "inference.batch_size", CFG_E_VALUE},
        {"{\"inference\":{\"batch_size\":true}}", "{}", "{}", "inference.batch_size", CFG_E_VALUE},
        {"{\"name\":7}", "{}", "{}", "name", CFG_E_VALUE},
        {"{\"tree\":\"???\"}", "{}", "{}", "tree", CFG_E_VALUE},
        {"{\"stream\":1}", "{}", "{}", "stream", CFG_E_VALUE},
        {"{}", "{\"distributed\":{\"tp\":9}}", "{}", "distributed.tp", CFG_E_VALUE},
        {"{}", "{}", "{\"experiment\":{\"ab.flag\":{\"enabled\":true}}}", "experiment/ab.flag", CFG_E_VALUE},
        {"{}", "{}", "{\"experiment\":{\"ab.flag\":true}}", "experiment/ab.flag", CFG_E_VALUE},
        {"{}", "{}",
         "{\"experiment\":{\"ab.flag\":{\"enabled\":true,\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":"
         "\"x\"},\"defaultVariant\":\"a\"}}}}",
         "experiment/ab.flag", CFG_E_VALUE},
        {"[]", "{}", "{}", "parameters", CFG_E_VALUE},
        {"{}", "null", "{}", "pinned", CFG_E_VALUE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char view[1024];
        struct cfg_box *b = NULL;
        struct cfg_error err;
        (void)snprintf(view, sizeof view, "{\"parameters\":%s,\"pinned\":%s,\"flags\":%s}", bad[i].parameters,
                       bad[i].pinned, bad[i].flags);
        cr_expect_eq(prepare(&b, NULL, view, &err), bad[i].code, "%zu: %d %s", i, err.code, err.text);
        cr_expect_str_eq(err.path, bad[i].path, "%zu: %s", i, err.text);
        cr_expect_null(b);
    }
}

Test(prepare, no_view_at_all)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "{}",
                                      "null",
                                      "{\"parameters\":{},\"pinned\":{}}",
                                      "{\"parameters\":{},\"parameters\":{},\"pinned\":{},\"flags\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_box *b = NULL;
        struct cfg_error err;
        cr_expect_neq(prepare(&b, NULL, bad[i], &err), 0, "%s", bad[i]);
        cr_expect_null(b);
    }
}

Test(prepare, restart_and_pinned_keep_what_the_process_booted_with)
{
    struct cfg_box *boot = must(NULL, "{\"parameters\":{\"data\":{\"path\":\"/a\"},\"name\":\"one\"},"
                                      "\"pinned\":{\"distributed\":{\"tp\":4}},\"flags\":{}}");
    struct cfg_box *b = must(boot, "{\"parameters\":{\"data\":{\"path\":\"/b\"},\"name\":\"two\"},"
                                   "\"pinned\":{\"distributed\":{\"tp\":8}},\"flags\":{}}");
    cr_assert_str_eq(cfg_get_string(&b->pub, at(PATH)), "/a");
    cr_assert_eq(cfg_get_i64(&b->pub, at(TP)), 4);
    cr_assert_str_eq(cfg_get_string(&b->pub, at(NAME)), "two");
    cr_assert_eq(b->n_pending, 2U);
    cr_assert_eq(b->pending[0], (uint32_t)PATH);
    cr_assert_eq(b->pending[1], (uint32_t)TP);
    cfg_box_free(b);
    b = must(boot,
             "{\"parameters\":{\"data\":{\"path\":\"/a\"}},\"pinned\":{\"distributed\":{\"tp\":4}},\"flags\":{}}");
    cr_assert_eq(b->n_pending, 0U, "back to the boot value: nothing waits any more");
    cfg_box_free(b);
    cfg_box_free(boot);
}

Test(prepare, what_the_deployment_pins_is_pinned_whatever_the_worker_declares)
{
    struct cfg_box *boot = must(NULL, "{\"parameters\":{},\"pinned\":{\"sampling\":{\"temperature\":1}},\"flags\":{}}");
    struct cfg_box *b = must(boot, "{\"parameters\":{},\"pinned\":{\"sampling\":{\"temperature\":2}},\"flags\":{}}");
    cr_assert_float_eq(cfg_get_f64(&b->pub, at(TEMP)), 1, 1e-12);
    cr_assert_eq(b->n_pending, 1U);
    cfg_box_free(b);
    cfg_box_free(boot);
}

Test(prepare, overrides_win_but_excuse_no_bad_view)
{
    struct cfg_error err;
    struct cfg_box *b = NULL;
    cfg_local_finish(&local);
    cr_assert_eq(cfg_local_parse(&local, &contract, "sampling.temperature=0.1;name=me", &err), 0);
    b = must(NULL, "{\"parameters\":{\"sampling\":{\"temperature\":1.5}},\"pinned\":{},\"flags\":{}}");
    cr_assert_float_eq(cfg_get_f64(&b->pub, at(TEMP)), 0.1, 1e-12);
    cr_assert_str_eq(cfg_get_string(&b->pub, at(NAME)), "me");
    cfg_box_free(b);
    b = must(NULL, "{\"parameters\":{},\"pinned\":{\"sampling\":{\"temperature\":1}},\"flags\":{}}");
    cr_assert_float_eq(cfg_get_f64(&b->pub, at(TEMP)), 1, 1e-12, "a pinned value is not overridden");
    cfg_box_free(b);
    b = NULL;
    cr_assert_eq(
        prepare(&b, NULL, "{\"parameters\":{\"sampling\":{\"temperature\":9}},\"pinned\":{},\"flags\":{}}", &err),
        CFG_E_VALUE);
}

Test(prepare, prefixes_are_whole_segments)
{
    struct cfg_box *a = must(NULL, "{\"parameters\":{},\"pinned\":{},\"flags\":{}}");
    struct cfg_box *b = must(NULL, "{\"parameters\":{\"sampling\":{\"temperature\":1}},\"pinned\":{},\"flags\":{}}");
    const struct cfg_view *x = &a->pub, *y = &b->pub;
    cr_assert(cfg_prefix_changed(&contract, "", x, y));
    cr_assert(cfg_prefix_changed(&contract, "sampling", x, y));
    cr_assert(cfg_prefix_changed(&contract, "sampling.temperature", x, y));
    cr_assert_not(cfg_prefix_changed(&contract, "sampling.temp", x, y));
    cr_assert_not(cfg_prefix_changed(&contract, "inference", x, y));
    cr_assert(cfg_prefix_changed(&contract, "experiment/", x, NULL), "a first view concerns every prefix it has");
    cr_assert_not(cfg_prefix_changed(&contract, "nothing", x, NULL));
    cfg_box_free(a);
    cfg_box_free(b);
}

Test(prepare, defaults_carry_overrides)
{
    struct cfg_box *b = NULL;
    cfg_local_finish(&local);
    cr_assert_eq(cfg_local_parse(&local, &contract, "inference.batch_size=2", NULL), 0);
    cr_assert_eq(cfg_prepare_defaults(&b, &contract, &local, NULL), 0);
    cr_assert_eq(cfg_get_i64(&b->pub, at(BATCH)), 2);
    cr_assert_str_eq(b->pub.revision, "0-0");
    cfg_box_free(b);
}
