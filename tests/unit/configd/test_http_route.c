#include "configd/http_route.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct cfg_route table[] = {
    {"GET", "/v1/config", CFG_ROLE_READER, false, 0, NULL},
    {"GET", "/v1/config/{ns}", CFG_ROLE_READER, false, 0, NULL},
    {"PUT", "/v1/config/{ns}", CFG_ROLE_WRITER, false, CFG_BODY_JSON, NULL},
    {"GET", "/v1/config/{ns}/{what}", CFG_ROLE_READER, false, 0, NULL},
    {"GET", "/v1/config/{ns}/diff", CFG_ROLE_READER, false, 0, NULL},
    {"POST", "/v1/config/{ns}/diff/{n}/x", CFG_ROLE_READER, false, 0, NULL},
    {"GET", "/healthz", CFG_ROLE_NONE, false, 0, NULL},
};
enum { N = sizeof table / sizeof table[0] };

static int find(struct cfg_match *m, const char *method, const char *path, struct cfg_error *err)
{
    *m = (struct cfg_match){0};
    return cfg_route_find(m, table, N, method, cfg_slice_str(path), err);
}

Test(http_route, finds_and_decodes)
{
    struct cfg_match m;
    struct cfg_error err;
    cr_assert_eq(find(&m, "GET", "/v1/config/chat", &err), 0);
    cr_assert_eq(m.route, &table[1]);
    cr_assert_str_eq(cfg_match_param(&m, "ns"), "chat");
    cr_assert_null(cfg_match_param(&m, "name"));
    cfg_match_finish(&m);
    cr_assert_eq(find(&m, "HEAD", "/v1/config/a%2Fb%20c", &err), 0);
    cr_assert_str_eq(cfg_match_param(&m, "ns"), "a/b c");
    cfg_match_finish(&m);
}

Test(http_route, literals_win)
{
    struct cfg_match m;
    struct cfg_error err;
    cr_assert_eq(find(&m, "GET", "/v1/config/chat/diff", &err), 0);
    cr_assert_eq(m.route, &table[4]);
    cfg_match_finish(&m);
    cr_assert_eq(find(&m, "GET", "/v1/config/chat/other", &err), 0);
    cr_assert_eq(m.route, &table[3]);
    cr_assert_str_eq(cfg_match_param(&m, "what"), "other");
    cfg_match_finish(&m);
}

Test(http_route, refuses)
{
    struct cfg_match m;
    struct cfg_error err;
    static const char *const unknown[] = {"",
                                          "/",
                                          "v1/config",
                                          "/v1",
                                          "/v1/config/",
                                          "/v1/config/chat/",
                                          "/v1/config//diff",
                                          "/v1/config/chat/diff/1",
                                          "/healthz/x",
                                          "//healthz"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        cr_assert_eq(find(&m, "GET", unknown[i], &err), CFG_E_NOT_FOUND, "%s", unknown[i]);
    static const char *const broken[] = {"/v1/config/%", "/v1/config/%4", "/v1/config/%zz", "/v1/config/%00",
                                         "/v1/config/a%0"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        cr_assert_eq(find(&m, "GET", broken[i], &err), CFG_E_ADDRESS, "%s", broken[i]);
}

Test(http_route, says_what_is_near)
{
    struct cfg_match m;
    struct cfg_error err;
    cr_assert_eq(find(&m, "GET", "/v1/confg/chat", &err), CFG_E_NOT_FOUND);
    cr_assert_not_null(strstr(err.hint, "did you mean /v1/config/chat?"), "%s", err.hint);
    cr_assert_eq(find(&m, "GET", "/something/else/altogether", &err), CFG_E_NOT_FOUND);
    cr_assert_null(strstr(err.hint, "did you mean"), "%s", err.hint);
}

Test(http_route, names_the_methods)
{
    struct cfg_match m;
    struct cfg_error err;
    cr_assert_eq(find(&m, "DELETE", "/v1/config/chat", &err), CFG_E_METHOD);
    cr_assert_str_eq(m.allow, "GET, HEAD, PUT");
    cr_assert_eq(find(&m, "OPTIONS", "/v1/config/chat", &err), 0);
    cr_assert_null(m.route);
    cr_assert_str_eq(m.allow, "GET, HEAD, PUT");
}
