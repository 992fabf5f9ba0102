#include "configd/fleet_exposures.h"
#include "flags/hll.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A report's exposures: `count` of experiment/ab.flag's `variant`, units u<from> to u<to>. */
static cJSON *exposures(const char *variant, unsigned count, unsigned from, unsigned to)
{
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    char units[CFG_HLL_REGISTERS + 1], text[2048], name[16];
    for (unsigned i = from; i < to; i++) {
        int n = snprintf(name, sizeof name, "u%u", i);
        uint64_t unit = cfg_hll_unit(name, (size_t)n);
        uint8_t *r = &registers[cfg_hll_register(unit)];
        *r = cfg_hll_rank(unit) > *r ? cfg_hll_rank(unit) : *r;
    }
    cfg_hll_print(units, registers);
    (void)snprintf(text, sizeof text, "[{\"flag\":\"experiment/ab.flag\",\"variant\":\"%s\",\"count\":%u%s%s%s}]",
                   variant, count, to > from ? ",\"units\":\"" : "", to > from ? units : "", to > from ? "\"" : "");
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return v;
}

static void take(struct fleet_exposures *x, struct fleet_told *told, const char *arm, cJSON *e)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(fleet_exposures_check(e, &err), 0, "%s", err.text);
    fleet_exposures_take(x, told, arm, e);
    cJSON_Delete(e);
}

static void is(const struct fleet_exposures *x, int i, const char *variant, const char *arm, double count, double units)
{
    cJSON *list = fleet_exposures_list(x, false);
    const cJSON *e = cJSON_GetArrayItem(list, i);
    cr_expect_str_eq(cfg_json_get_str(e, "flag", ""), "experiment/ab.flag");
    cr_expect_str_eq(cfg_json_get_str(e, "variant", ""), variant);
    cr_expect_str_eq(cfg_json_get_str(e, "arm", ""), arm);
    cr_expect_eq(cfg_json_get_num(e, "count", -1), count);
    cr_expect(fabs(cfg_json_get_num(e, "units", -1) - units) <= units / 10, "%g units",
              cfg_json_get_num(e, "units", -1));
    cJSON_Delete(list);
}

Test(exposures, totals_count_once_however_often_they_come)
{
    struct fleet_exposures x = {0};
    struct fleet_told a = {0}, b = {0};
    take(&x, &a, "base", exposures("on", 100, 0, 10));
    take(&x, &a, "base", exposures("on", 100, 0, 10)); /* sent again */
    take(&x, &b, "base", exposures("on", 50, 5, 20));  /* ten units of its own */
    take(&x, &a, "base", exposures("on", 130, 0, 0));  /* no new units */
    take(&x, &a, "base", exposures("on", 120, 0, 0));  /* overtaken by the one before */
    take(&x, &a, "base", exposures("off", 7, 0, 3));
    take(&x, &a, "canary", exposures("off", 8, 0, 3));
    is(&x, 0, "off", "base", 7, 3);
    is(&x, 1, "off", "canary", 1 * 8, 3);
    is(&x, 2, "on", "base", 180, 20);
    fleet_told_finish(&a); /* a newer incarnation begins anew */
    take(&x, &a, "base", exposures("on", 3, 0, 1));
    is(&x, 2, "on", "base", 183, 20);
    fleet_told_finish(&a);
    fleet_told_finish(&b);
    fleet_exposures_finish(&x);
}

static cJSON *counted(unsigned count, unsigned since)
{
    cJSON *v = exposures("on", count, 0, 0);
    cr_assert(cJSON_AddNumberToObject(v->child, "since", since));
    return v;
}

/* Two replicas, of which one forgets the worker in between: what both count adds up to what was served. */
Test(exposures, a_worker_that_moves_between_replicas_is_counted_once)
{
    struct fleet_exposures a = {0}, b = {0};
    struct fleet_told at_a = {0}, at_b = {0};
    take(&a, &at_a, "base", counted(100, 0));
    take(&b, &at_b, "base", counted(130, 100));
    take(&b, &at_b, "base", counted(150, 100)); /* the reply to the last one was lost */
    fleet_told_finish(&at_a);                   /* long gone from here */
    take(&a, &at_a, "base", counted(160, 150));
    is(&a, 0, "on", "base", 110, 0);
    is(&b, 0, "on", "base", 50, 0);
    take(&a, &at_a, "canary", counted(161, 160)); /* another arm serves it from now on */
    is(&a, 1, "on", "canary", 1, 0);
    take(&a, &at_a, "base", counted(0, 170)); /* nonsense counts nothing */
    is(&a, 0, "on", "base", 110, 0);
    fleet_told_finish(&at_a);
    fleet_told_finish(&at_b);
    fleet_exposures_finish(&a);
    fleet_exposures_finish(&b);
}

Test(exposures, many_pairs_stay_apart)
{
    struct fleet_exposures x = {0};
    struct fleet_told t = {0};
    char variant[16];
    for (unsigned round = 1; round <= 2; round++)
        for (unsigned i = 0; i < 500; i++) {
            (void)snprintf(variant, sizeof variant, "v%03u", (i * 263U) % 500);
            take(&x, &t, "base", exposures(variant, round * 10 + i % 2, 0, 0));
        }
    for (int i = 0; i < 500; i += 83) {
        (void)snprintf(variant, sizeof variant, "v%03d", i);
        is(&x, i, variant, "base", 20 + (double)((unsigned)i * 487U % 500 % 2), 0);
    }
    fleet_told_finish(&t);
    fleet_exposures_finish(&x);
}

Test(exposures, what_is_none_is_refused_with_its_path)
{
    static const struct {
        const char *text, *path;
    } bad[] = {
        {"{}", "exposures"},
        {"[1]", "exposures[0].flag"},
        {"[{\"flag\":\"noslash\",\"variant\":\"on\",\"count\":1}]", "exposures[0].flag"},
        {"[{\"flag\":\"e/f\",\"variant\":\"\",\"count\":1}]", "exposures[0].variant"},
        {"[{\"flag\":\"e/f\",\"variant\":7,\"count\":1}]", "exposures[0].variant"},
        {"[{\"flag\":\"e/f\",\"variant\":\"on\"}]", "exposures[0].count"},
        {"[{\"flag\":\"e/f\",\"variant\":\"on\",\"count\":-1}]", "exposures[0].count"},
        {"[{\"flag\":\"e/f\",\"variant\":\"on\",\"count\":1},{\"flag\":\"e/f\",\"variant\":\"on\",\"count\":1.5}]",
         "exposures[1].count"},
        {"[{\"flag\":\"e/f\",\"variant\":\"on\",\"count\":1,\"units\":\"AAAA\"}]", "exposures[0].units"},
        {"[{\"flag\":\"e/f\",\"variant\":\"on\",\"count\":1,\"units\":null}]", "exposures[0].units"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        cJSON *v = NULL;
        cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(bad[i].text), 0, NULL), 0);
        cr_expect_eq(fleet_exposures_check(v, &err), CFG_E_INVALID, "%s", bad[i].text);
        cr_expect_str_eq(err.path, bad[i].path);
        cJSON_Delete(v);
    }
    cr_assert_eq(fleet_exposures_check(NULL, NULL), 0);
}
