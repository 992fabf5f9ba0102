/* Times as text. */
#include "proto/rfc3339.h"

#include <criterion/criterion.h>
#include <inttypes.h>

Test(rfc3339, reads_and_prints)
{
    static const struct {
        const char *text;
        int64_t us;
        const char *printed;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000Z"},
        {"1970-01-01T00:00:00.5Z", 500000, "1970-01-01T00:00:00.500000Z"},
        {"2026-11-22T17:39:53.123456Z", INT64_C(1795369193123456), "2026-11-22T17:39:53.123456Z"},
        {"2026-11-22T17:39:53.1234569z", INT64_C(1795369193123456), "2026-11-22T17:39:53.123456Z"},
        {"2026-11-22t18:39:53+01:00", INT64_C(1795369193000000), "2026-11-22T17:39:53.000000Z"},
        {"2026-11-22 12:09:53-05:30", INT64_C(1795369193000000), "2026-11-22T17:39:53.000000Z"},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000000), "2000-02-29T00:00:00.000000Z"},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000000), "2017-01-01T00:00:00.000000Z"},
        {"9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t us = -1;
        char text[CFG_RFC3339_TEXT];
        cr_assert_eq(cfg_rfc3339_parse(&us, cfg_slice_str(rows[i].text), NULL), 0, "%s", rows[i].text);
        cr_assert_eq(us, rows[i].us, "%s: %" PRId64, rows[i].text, us);
        cr_assert_str_eq(cfg_rfc3339_print(text, us), rows[i].printed);
    }
}

/* Every day of four centuries there and back, in order. */
Test(rfc3339, days_follow_one_another)
{
    char text[CFG_RFC3339_TEXT], last[CFG_RFC3339_TEXT] = "";
    for (int64_t day = 0; day < 146097; day++) {
        int64_t us = day * INT64_C(86400000000) + 1, back = 0;
        (void)cfg_rfc3339_print(text, us);
        cr_assert(strcmp(last, text) < 0, "%s, then %s", last, text);
        cr_assert_eq(cfg_rfc3339_parse(&back, cfg_slice_str(text), NULL), 0, "%s", text);
        cr_assert_eq(back, us, "%s", text);
        memcpy(last, text, sizeof last);
    }
}

Test(rfc3339, refuses)
{
    static const char *const texts[] = {"",
                                        "2026",
                                        "2026-11-22",
                                        "2026-11-22T17:39:53",
                                        "2026-11-22T17:39Z",
                                        "2026-13-22T17:39:53Z",
                                        "2026-02-29T17:39:53Z",
                                        "2100-02-29T17:39:53Z",
                                        "2026-11-31T17:39:53Z",
                                        "2026-11-22T24:39:53Z",
                                        "2026-11-22T17:60:53Z",
                                        "2026-11-22T17:39:61Z",
                                        "2026-11-22T17:39:53.Z",
                                        "2026-11-22T17:39:53+0100",
                                        "2026-11-22T17:39:53+24:00",
                                        "2026-11-22T17:39:53Z ",
                                        "1969-12-31T23:59:59Z",
                                        "1970-01-01T00:00:00+00:01",
                                        "-026-11-22T17:39:53Z"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t us = 7;
        struct cfg_error err;
        cr_assert_eq(cfg_rfc3339_parse(&us, cfg_slice_str(texts[i]), &err), CFG_E_INVALID, "%s", texts[i]);
        cr_assert_eq(us, 7);
    }
}
