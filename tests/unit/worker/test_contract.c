#include "worker/contract.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static struct cfg_decl f64(const char *path, double min, double max, double def)
{
    return (struct cfg_decl){(char *)(uintptr_t)path, CFG_F64, CFG_LIVE, {.f64 = min}, {.f64 = max}, {.f64 = def}};
}

static struct cfg_decl i64(const char *path, int64_t min, int64_t max, int64_t def)
{
    return (struct cfg_decl){(char *)(uintptr_t)path, CFG_I64, CFG_DRAIN, {.i64 = min}, {.i64 = max}, {.i64 = def}};
}

static struct cfg_decl text(const char *path, enum cfg_type type, const char *def)
{
    return (struct cfg_decl){(char *)(uintptr_t)path, type, CFG_RESTART, {.i64 = 0}, {.i64 = 0}, {.string = def}};
}

Test(contract, handles_count_up_and_print)
{
    struct cfg_contract c = {0};
    struct cfg_decl d[] = {f64("sampling.temperature", 0, 2, 0.7), i64("inference.batch_size", 1, 64, 8),
                           text("data.path", CFG_STRING, "/a\"b"), text("extra", CFG_JSON, "{\"b\":1,\"a\":[]}")};
    struct cfg_decl flag = {(char *)(uintptr_t) "experiment/ab.flag", CFG_FLAG, CFG_LIVE, {0}, {0}, {.b = true}};
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(cfg_contract_add(&c, &d[i]), i);
    }
    cr_assert_eq(cfg_contract_add(&c, &flag), 4U);
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    cfg_contract_print(&b, &c);
    cr_assert_str_eq(
        b.data, "{\"sampling.temperature\":{\"type\":\"f64\",\"class\":\"live\",\"min\":0,\"max\":2,\"default\":0.7},"
                "\"inference.batch_size\":{\"type\":\"i64\",\"class\":\"drain\",\"min\":1,\"max\":64,\"default\":8},"
                "\"data.path\":{\"type\":\"string\",\"class\":\"restart\",\"default\":\"/a\\\"b\"},"
                "\"extra\":{\"type\":\"json\",\"class\":\"restart\",\"default\":{\"a\":[],\"b\":1}}}");
    cr_assert_str_eq(cfg_contract_near(&c, "sampling.temprature"), "sampling.temperature");
    cfg_buf_finish(&b);
    cfg_contract_finish(&c);
}

Test(contract, limits_that_json_cannot_carry_are_left_out)
{
    struct cfg_contract c = {0};
    struct cfg_decl a = f64("a", -INFINITY, INFINITY, 0), b = i64("b", INT64_MIN, INT64_MAX, 0);
    (void)cfg_contract_add(&c, &a);
    (void)cfg_contract_add(&c, &b);
    cr_assert_eq(c.error.code, 0, "%s", c.error.text);
    struct cfg_buf out;
    cfg_buf_init(&out, 4096);
    cfg_contract_print(&out, &c);
    cr_assert_str_eq(out.data, "{\"a\":{\"type\":\"f64\",\"class\":\"live\",\"default\":0},"
                               "\"b\":{\"type\":\"i64\",\"class\":\"drain\",\"default\":0}}");
    cfg_buf_finish(&out);
    cfg_contract_finish(&c);
}

Test(contract, wrong_declarations_are_kept_and_named)
{
    const struct {
        struct cfg_decl d;
        int code;
        const char *says;
    } wrong[] = {
        {f64("", 0, 1, 0), CFG_E_ADDRESS, "no path"},
        {f64("a..b", 0, 1, 0), CFG_E_ADDRESS, "a..b"},
        {f64("a", 1, 0, 0), CFG_E_VALUE, "empty"},
        {f64("a", NAN, 1, 0), CFG_E_VALUE, "empty"},
        {f64("a", 0, 1, 2), CFG_E_VALUE, "outside"},
        {f64("a", 0, 1, NAN), CFG_E_VALUE, "outside"},
        {i64("a", 2, 1, 1), CFG_E_VALUE, "empty"},
        {i64("a", 1, 2, 3), CFG_E_VALUE, "outside"},
        {i64("a", INT64_MIN, INT64_MAX, 9007199254740993), CFG_E_VALUE, "2^53"},
        {text("a", CFG_JSON, "{"), CFG_E_JSON, "no JSON"},
        {{(char *)(uintptr_t) "noslash", CFG_FLAG, CFG_LIVE, {0}, {0}, {0}}, CFG_E_ADDRESS, "noslash"},
        {{(char *)(uintptr_t) "a", CFG_BOOL, (enum cfg_class)9, {0}, {0}, {0}}, CFG_E_INVALID, "class"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct cfg_contract c = {0};
        cr_assert_eq(cfg_contract_add(&c, &wrong[i].d), UINT32_MAX);
        cr_expect_eq(c.error.code, wrong[i].code, "%zu: %s", i, c.error.text);
        cr_expect_not_null(strstr(c.error.text, wrong[i].says), "%zu: %s", i, c.error.text);
        cfg_contract_finish(&c);
    }
}

Test(contract, the_first_error_stays)
{
    struct cfg_contract c = {0};
    struct cfg_decl ok = f64("a", 0, 1, 0), bad = f64("b", 1, 0, 0);
    (void)cfg_contract_add(&c, &ok);
    cr_assert_eq(cfg_contract_add(&c, &ok), UINT32_MAX);
    cr_assert_eq(cfg_contract_add(&c, &bad), UINT32_MAX);
    cr_assert_eq(c.error.code, CFG_E_EXISTS);
    c.frozen = true;
    cr_assert_eq(cfg_contract_add(&c, &bad), UINT32_MAX);
    cfg_contract_finish(&c);
}
