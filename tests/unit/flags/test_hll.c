#include "flags/hll.h"
#include "flags/murmur3.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void add(uint8_t *registers, unsigned i)
{
    char name[32];
    int n = snprintf(name, sizeof name, "user-%u", i);
    uint64_t unit = cfg_hll_unit(name, (size_t)n);
    uint8_t *r = &registers[cfg_hll_register(unit)];
    if (cfg_hll_rank(unit) > *r)
        *r = cfg_hll_rank(unit);
}

Test(hll, counts_units_once)
{
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    cr_assert_eq(cfg_hll_estimate(registers), 0);
    unsigned next = 0;
    for (unsigned n = 1; n <= 1000000; n *= 10) {
        for (; next < n; next++) {
            add(registers, next);
            add(registers, next / 2); /* again: known already */
        }
        double got = cfg_hll_estimate(registers), error = fabs(got - n) / n;
        cr_expect_leq(error, n <= 100 ? 0.05 : 0.1, "%u units: %g", n, got);
    }
}

Test(hll, the_registers_fill_evenly)
{
    /* Units whose murmur3 lies in a narrow range, as those of a small variant do. */
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    unsigned used = 0;
    for (unsigned i = 0, found = 0; found < 10000; i++) {
        char name[32];
        int n = snprintf(name, sizeof name, "user-%u", i);
        if (cfg_murmur3(name, (size_t)n) >> 26 != 7)
            continue;
        add(registers, i);
        found++;
    }
    for (size_t i = 0; i < CFG_HLL_REGISTERS; i++)
        used += registers[i] != 0;
    cr_assert_gt(used, 1000U);
}

Test(hll, unites_as_text)
{
    uint8_t a[CFG_HLL_REGISTERS] = {0}, b[CFG_HLL_REGISTERS] = {0}, both[CFG_HLL_REGISTERS] = {0};
    for (unsigned i = 0; i < 6000; i++) {
        add(i < 4000 ? a : b, i);
        if (i >= 2000 && i < 4000)
            add(b, i); /* known to both */
        add(both, i);
    }
    char text[CFG_HLL_REGISTERS + 1];
    cfg_hll_print(text, b);
    cr_assert_eq(strlen(text), CFG_HLL_REGISTERS);
    cr_assert(cfg_hll_unite(a, text));
    cr_assert(cfg_hll_unite(a, text), "again changes nothing");
    cr_assert_arr_eq(a, both, sizeof a);
    text[7] = '=';
    cr_assert_not(cfg_hll_unite(a, text));
    cr_assert_not(cfg_hll_unite(a, "AAAA"));
    cr_assert_arr_eq(a, both, sizeof a);
}
