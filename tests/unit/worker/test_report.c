#include "worker/report.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct cfg_contract contract(void)
{
    struct cfg_contract c = {0};
    const struct cfg_decl d[] = {
        {(char *)(uintptr_t) "path", CFG_STRING, CFG_RESTART, {0}, {0}, {.string = "/d"}},
        {(char *)(uintptr_t) "distributed.tp", CFG_I64, CFG_PINNED, {.i64 = 4}, {.i64 = 4}, {.i64 = 4}},
        {(char *)(uintptr_t) "distributed.dtype", CFG_STRING, CFG_PINNED, {0}, {0}, {.string = "bf16"}},
        {(char *)(uintptr_t) "temp", CFG_F64, CFG_LIVE, {.f64 = 0}, {.f64 = 1}, {.f64 = 0.5}},
    };
    for (size_t i = 0; i < sizeof d / sizeof d[0]; i++) {
        cr_assert_neq(cfg_contract_add(&c, &d[i]), UINT32_MAX);
    }
    return c;
}

Test(report, before_and_after_an_adoption)
{
    struct cfg_contract c = contract();
    struct cfg_local l;
    struct cfg_rejects rejects = {0};
    struct cfg_error why = CFG_ERROR_INIT;
    struct cfg_box *boot = NULL, *b = NULL;
    struct cfg_buf out;
    cfg_buf_init(&out, 8192);
    cr_assert_eq(cfg_local_parse(&l, &c, "temp=0.1", NULL), 0);
    struct cfg_report r = {
        .incarnation = "cafe", .idle = true, .age_ms = 12, .contract = &c, .local = &l, .rejects = &rejects};
    cfg_report_print(&out, &r);
    cr_assert_str_eq(out.data, "{\"incarnation\":\"cafe\",\"applied\":null,\"step\":0,\"state\":\"idle\",\"age_ms\":12,"
                               "\"pending\":[],\"rejects\":[],\"overrides\":[\"temp\"],\"metrics\":{}}");
    const struct cfg_view_input one = {"1-7", "sha256:a", "S",
                                       CFG_SLICE_LIT("{\"parameters\":{},\"pinned\":{},\"flags\":{}}"), 0};
    const struct cfg_view_input two = {
        "1-8", "sha256:b", "S", CFG_SLICE_LIT("{\"parameters\":{\"path\":\"/e\"},\"pinned\":{},\"flags\":{}}"), 0};
    cr_assert_eq(cfg_prepare(&boot, &c, &l, NULL, &one, NULL), 0);
    cr_assert_eq(cfg_prepare(&b, &c, &l, boot, &two, NULL), 0);
    b->adopted_step = 130;
    b->adopted_at_us = 1795370501000123;
    (void)cfg_fail(&why, CFG_E_VALUE, "temp: 9 lies \"outside\"");
    cfg_error_set_path(&why, "temp");
    cfg_rejects_add(&rejects, "1-9", &why);
    r = (struct cfg_report){.incarnation = "cafe",
                            .applied = b,
                            .step = 131,
                            .contract = &c,
                            .local = &l,
                            .rejects = &rejects,
                            .metrics = "{\"tok_s\":5}",
                            .telemetry = ",\"windows\":[]"};
    cfg_buf_clear(&out);
    cfg_report_print(&out, &r);
    cr_assert_str_eq(
        out.data,
        "{\"incarnation\":\"cafe\",\"applied\":{\"revision\":\"1-8\",\"digest\":\"sha256:b\",\"step\":130,"
        "\"at\":\"2026-11-22T18:01:41.000123Z\"},\"step\":131,\"state\":\"running\",\"age_ms\":0,"
        "\"pending\":[\"path\"],\"rejects\":[{\"revision\":\"1-9\",\"path\":\"temp\",\"reason\":"
        "\"temp: 9 lies \\\"outside\\\"\"}],\"overrides\":[\"temp\"],\"metrics\":{\"tok_s\":5},\"windows\":[]}");
    struct cfg_group_state group = {.incarnation = 0xabc, .formed = true};
    r.group = &group;
    cfg_buf_clear(&out);
    cfg_report_print(&out, &r);
    cr_assert_not_null(strstr(out.data, ",\"group\":{\"incarnation\":\"0000000000000abc\",\"formed\":true}}"));
    group = (struct cfg_group_state){.why = "rank 2: it is \"gone\""};
    cfg_buf_clear(&out);
    cfg_report_print(&out, &r);
    cr_assert_not_null(strstr(out.data, ",\"formed\":false,\"why\":\"rank 2: it is \\\"gone\\\"\"}}"), "%s", out.data);
    cfg_box_free(b);
    cfg_box_free(boot);
    cfg_buf_finish(&out);
    cfg_local_finish(&l);
    cfg_contract_finish(&c);
}

Test(report, rejects_are_bounded_and_the_oldest_goes)
{
    struct cfg_rejects r = {0};
    struct cfg_error why = CFG_ERROR_INIT;
    (void)cfg_fail(&why, CFG_E_VALUE, "no");
    for (unsigned i = 1; i <= CFG_REJECTS_MAX + 3U; i++) {
        char revision[16];
        (void)snprintf(revision, sizeof revision, "1-%u", i);
        cfg_rejects_add(&r, revision, &why);
    }
    cr_assert_eq(r.n, (size_t)CFG_REJECTS_MAX);
    cr_assert_eq(r.total, CFG_REJECTS_MAX + 3U);
    cr_assert_str_eq(r.items[0].revision, "1-4");
    cfg_rejects_clear(&r);
    cr_assert_eq(r.n, 0U);
    cr_assert_eq(r.total, CFG_REJECTS_MAX + 3U);
}

Test(report, registration_carries_what_is_structural)
{
    struct cfg_contract c = contract();
    struct cfg_local l;
    struct cfg_box *boot = NULL;
    struct cfg_buf out;
    const struct cfg_identity id = {.deployment = "blue",
                                    .worker = "w0",
                                    .incarnation = "cafe",
                                    .host = "node7",
                                    .pid = 42,
                                    .rank = 1,
                                    .world = 2,
                                    .group = "g",
                                    .address = "n0:7"};
    cfg_buf_init(&out, 8192);
    cr_assert_eq(cfg_local_parse(&l, &c, NULL, NULL), 0);
    cfg_registration_print(&out, &id, &c, NULL, NULL, "", NULL);
    static const char head[] =
        "{\"worker\":\"w0\",\"incarnation\":\"cafe\",\"host\":\"node7\",\"group\":\"g\","
        "\"address\":\"n0:7\",\"pid\":42,\"rank\":1,\"world\":2,\"labels\":{},\"capabilities\":[],\"pin\":{"
        "\"distributed\":{\"tp\":4}},\"fresh\":true,\"contract\":{\"path\":";
    cr_assert_eq(strncmp(out.data, head, sizeof head - 1), 0, "%s", out.data);
    const struct cfg_view_input in = {
        "1-7", "sha256:a", "S",
        CFG_SLICE_LIT("{\"parameters\":{},\"pinned\":{\"distributed\":{\"dtype\":\"fp8\"}},\"flags\":{}}"), 0};
    cr_assert_eq(cfg_prepare(&boot, &c, &l, NULL, &in, NULL), 0);
    cfg_buf_clear(&out);
    cfg_registration_print(&out, &id, &c, boot, boot, "S", NULL);
    cr_assert_not_null(strstr(out.data, "\"pin\":{\"distributed\":{\"tp\":4,\"dtype\":\"fp8\"}}"), "%s", out.data);
    cr_assert_not_null(strstr(out.data, "\"store\":\"S\""));
    cr_assert_null(strstr(out.data, "\"fresh\""));
    cfg_box_free(boot);
    cfg_buf_finish(&out);
    cfg_local_finish(&l);
    cfg_contract_finish(&c);
}

Test(report, times)
{
    char t[CFG_TIME_TEXT];
    cr_assert_str_eq(cfg_time_print(t, 0), "1970-01-01T00:00:00.000000Z");
    cr_assert_str_eq(cfg_time_print(t, 951782399999999), "2000-02-28T23:59:59.999999Z");
}
