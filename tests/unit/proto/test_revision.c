#include "proto/revision.h"

#include <criterion/criterion.h>
#include <string.h>

static void round_trip(const char *text, uint64_t epoch, uint64_t revision)
{
    struct cfg_rev r;
    struct cfg_error err;
    char out[CFG_REV_TEXT];
    cr_assert_eq(cfg_rev_parse(&r, cfg_slice_str(text), &err), 0, "%s", text);
    cr_assert(r.epoch == epoch && r.revision == revision, "%s", text);
    cr_assert_str_eq(cfg_rev_format(r, out), text);
}

Test(revision, reads_and_writes)
{
    round_trip("1-4711", 1, 4711);
    round_trip("0-0", 0, 0);
    round_trip("9223372036854775807-9223372036854775807", INT64_MAX, INT64_MAX);
}

Test(revision, writes_any_value)
{
    char out[CFG_REV_TEXT];
    cr_assert_str_eq(cfg_rev_format((struct cfg_rev){UINT64_MAX, UINT64_MAX}, out),
                     "18446744073709551615-18446744073709551615");
}

Test(revision, refuses_other_spellings)
{
    static const char *const bad[] = {
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-2-3",
        "01-2",
        "1-02",
        "+1-2",
        "1--2",
        "1- 2",
        " 1-2",
        "1-2 ",
        "1-2\n",
        "1_2",
        "a-b",
        "9223372036854775808-1",
        "1-9223372036854775808",
        "1-18446744073709551617",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_rev r = {7, 8};
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(cfg_rev_parse(&r, cfg_slice_str(bad[i]), &err), CFG_E_INVALID, "%s", bad[i]);
        cr_assert(r.epoch == 7 && r.revision == 8);
        cr_assert(strstr(err.hint, "1-4711"));
    }
    struct cfg_rev r;
    cr_assert_eq(cfg_rev_parse(&r, (struct cfg_slice){"1-2\0", 4}, NULL), CFG_E_INVALID);
    cr_assert_eq(cfg_rev_parse(&r, (struct cfg_slice){NULL, 0}, NULL), CFG_E_INVALID);
}

Test(revision, reads_only_its_slice)
{
    struct cfg_rev r;
    cr_assert_eq(cfg_rev_parse(&r, (struct cfg_slice){"1-23456", 4}, NULL), 0);
    cr_assert_eq(r.revision, 23);
}

Test(revision, epoch_orders_before_revision)
{
    cr_assert_lt(cfg_rev_cmp((struct cfg_rev){1, 900}, (struct cfg_rev){2, 1}), 0);
    cr_assert_gt(cfg_rev_cmp((struct cfg_rev){2, 1}, (struct cfg_rev){1, 900}), 0);
    cr_assert_lt(cfg_rev_cmp((struct cfg_rev){1, 9}, (struct cfg_rev){1, 10}), 0);
    cr_assert_eq(cfg_rev_cmp((struct cfg_rev){3, 9}, (struct cfg_rev){3, 9}), 0);
    cr_assert(cfg_rev_is_none((struct cfg_rev){0, 0}));
    cr_assert_not(cfg_rev_is_none((struct cfg_rev){0, 1}));
    cr_assert_not(cfg_rev_is_none((struct cfg_rev){1, 0}));
}
