#include "worker/local.h"

#include <criterion/criterion.h>
#include <string.h>

static struct cfg_contract contract(void)
{
    struct cfg_contract c = {0};
    const struct cfg_decl d[] = {
        {(char *)(uintptr_t) "temp", CFG_F64, CFG_LIVE, {.f64 = 0}, {.f64 = 2}, {.f64 = 1}},
        {(char *)(uintptr_t) "n", CFG_I64, CFG_RESTART, {.i64 = 0}, {.i64 = 9}, {.i64 = 1}},
        {(char *)(uintptr_t) "on", CFG_BOOL, CFG_LIVE, {0}, {0}, {.b = false}},
        {(char *)(uintptr_t) "name", CFG_STRING, CFG_LIVE, {0}, {0}, {.string = "x"}},
        {(char *)(uintptr_t) "tree", CFG_JSON, CFG_LIVE, {0}, {0}, {.string = "1"}},
        {(char *)(uintptr_t) "tp", CFG_I64, CFG_PINNED, {.i64 = 1}, {.i64 = 8}, {.i64 = 1}},
        {(char *)(uintptr_t) "exp/ab.flag", CFG_FLAG, CFG_LIVE, {0}, {0}, {.b = false}},
    };
    for (size_t i = 0; i < sizeof d / sizeof d[0]; i++) {
        cr_assert_neq(cfg_contract_add(&c, &d[i]), UINT32_MAX);
    }
    return c;
}

Test(local, every_type)
{
    struct cfg_contract c = contract();
    struct cfg_local l;
    struct cfg_error err = CFG_ERROR_INIT;
    const char *text = " temp = 0.25 ; n=3;on=true;name='a;b' ;tree={a: [1, 2], b: ';'};exp/ab.flag=on; ";
    cr_assert_eq(cfg_local_parse(&l, &c, text, &err), 0, "%s", err.text);
    cr_assert_float_eq(l.values[0].f64, 0.25, 1e-12);
    cr_assert_eq(l.values[1].i64, 3);
    cr_assert(l.values[2].b);
    cr_assert_str_eq(l.values[3].string, "a;b");
    cr_assert_str_eq(l.values[4].string, "{\"a\":[1,2],\"b\":\";\"}");
    cr_assert(l.values[6].b);
    cr_assert_not(l.set[5]);
    cfg_local_finish(&l);
    cfg_contract_finish(&c);
}

Test(local, nothing_and_twice)
{
    struct cfg_contract c = contract();
    struct cfg_local l;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_local_parse(&l, &c, NULL, &err), 0);
    cr_assert_not(l.set[0]);
    cfg_local_finish(&l);
    cr_assert_eq(cfg_local_parse(&l, &c, "name=a;name=b;;", &err), 0);
    cr_assert_str_eq(l.values[3].string, "b");
    cfg_local_finish(&l);
    cfg_contract_finish(&c);
}

Test(local, refusals)
{
    const struct {
        const char *text;
        int code;
    } wrong[] = {
        {"tempp=1", CFG_E_UNKNOWN_KEY}, {"tp=2", CFG_E_PINNED},         {"temp=3", CFG_E_VALUE},
        {"temp=warm", CFG_E_VALUE},     {"n=1.5", CFG_E_VALUE},         {"temp", CFG_E_INVALID},
        {"on=1", CFG_E_VALUE},          {"name=a;temp=9", CFG_E_VALUE},
    };
    struct cfg_contract c = contract();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct cfg_local l;
        struct cfg_error err = CFG_ERROR_INIT;
        cr_expect_eq(cfg_local_parse(&l, &c, wrong[i].text, &err), wrong[i].code, "%s: %s", wrong[i].text, err.text);
        cr_expect_neq(err.text[0], '\0');
    }
    struct cfg_local l;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_neq(cfg_local_parse(&l, &c, "tempp=1", &err), 0);
    cr_assert_not_null(strstr(err.hint, "temp"), "%s", err.hint);
    cfg_contract_finish(&c);
}
