#include "configd/http_check.h"

#include <criterion/criterion.h>
#include <string.h>

static struct cfg_listen listen_on(const char *text)
{
    struct cfg_listen l;
    struct cfg_error err;
    cr_assert_eq(cfg_listen_parse(&l, text, &err), 0, "%s: %s", text, err.text);
    return l;
}

Test(http_check, reads_addresses)
{
    struct cfg_listen l = listen_on("127.0.0.1:7117");
    cr_assert(strcmp(l.host, "127.0.0.1") == 0 && l.port == 7117 && l.loopback && !l.wildcard);
    l = listen_on("[::1]:0");
    cr_assert(strcmp(l.host, "::1") == 0 && l.port == 0 && l.loopback);
    l = listen_on("localhost:1");
    cr_assert(l.loopback);
    l = listen_on("127.9.9.9:1");
    cr_assert(l.loopback);
    l = listen_on("7117");
    cr_assert(l.loopback && l.port == 7117);
    l = listen_on(":7117");
    cr_assert(l.wildcard && !l.loopback && l.port == 7117);
    l = listen_on("[::]:80");
    cr_assert(l.wildcard && !l.loopback);
    l = listen_on("gpu-7.example:80");
    cr_assert(!l.wildcard && !l.loopback);
    static const char *const bad[] = {"",       "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x",     "[::1",
                                      "::1:80", "a b:80",    "host/x:80",  "[]:80",           "127.0.0.1:123456"};
    struct cfg_error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(cfg_listen_parse(&l, bad[i], &err), CFG_E_INVALID, "%s", bad[i]);
}

Test(http_check, listens_beyond_loopback_with_both_only)
{
    struct cfg_listen local = listen_on("127.0.0.1:1"), all = listen_on("0.0.0.0:1");
    struct cfg_error err;
    cr_assert_eq(cfg_listen_check(&local, false, false, &err), 0);
    cr_assert_eq(cfg_listen_check(&all, true, true, &err), 0);
    cr_assert_eq(cfg_listen_check(&all, false, false, &err), CFG_E_FORBIDDEN);
    cr_assert_str_eq(err.hint, "add --tls-cert FILE --tls-key FILE --tokens FILE, or listen on 127.0.0.1");
    cr_assert_eq(cfg_listen_check(&all, true, false, &err), CFG_E_FORBIDDEN);
    cr_assert_str_eq(err.hint, "add --tokens FILE, or listen on 127.0.0.1");
    cr_assert_eq(cfg_listen_check(&all, false, true, &err), CFG_E_FORBIDDEN);
    cr_assert_str_eq(err.hint, "add --tls-cert FILE --tls-key FILE, or listen on 127.0.0.1");
}

static int host(const char *listen, const char *value)
{
    static const char *const allowed[] = {"configd.example"};
    struct cfg_listen l = listen_on(listen);
    struct cfg_hosts h = {&l, allowed, 1, "lb.example"};
    struct cfg_error err;
    return cfg_check_host(&h, value, &err);
}

Test(http_check, knows_its_names)
{
    static const char *const good[] = {"localhost", "LOCALHOST:7117",      "127.0.0.1:9",   "[::1]:7117",
                                       "127.1.2.3", "Configd.Example:443", "lb.example:80", "10.0.0.7"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_eq(host("10.0.0.7:7117", good[i]), 0, "%s", good[i]);
    static const char *const other[] = {"evil.example", "10.0.0.8", "localhost.evil.example", "127.0.0.1.evil.example",
                                        "[::2]"};
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        cr_assert_eq(host("10.0.0.7:7117", other[i]), CFG_E_ORIGIN, "%s", other[i]);
    cr_assert_eq(host("0.0.0.0:7117", "10.0.0.8:7117"), 0); /* no page can rebind an address */
    cr_assert_eq(host("0.0.0.0:7117", "evil.example"), CFG_E_ORIGIN);
    static const char *const malformed[] = {
        "", ":80", "[::1", "a b", "a:b:c", "localhost:x", "localhost@evil.example", "localhost/x"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        cr_assert_eq(host("127.0.0.1:1", malformed[i]), CFG_E_INVALID, "%s", malformed[i]);
    cr_assert_eq(host("127.0.0.1:1", NULL), CFG_E_INVALID);
}

Test(http_check, lets_no_other_page_in)
{
    struct cfg_error err;
    cr_assert_eq(cfg_check_origin(NULL, "localhost:7117", false, &err), 0);
    cr_assert_eq(cfg_check_origin("http://localhost:7117", "localhost:7117", false, &err), 0);
    cr_assert_eq(cfg_check_origin("https://localhost:7117", "localhost:7117", true, &err), 0);
    static const char *const bad[] = {"null",
                                      "",
                                      "http://evil.example",
                                      "http://localhost:7118",
                                      "https://localhost:7117",
                                      "http://localhost:7117.evil.example",
                                      "http://localhost",
                                      "localhost:7117"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(cfg_check_origin(bad[i], "localhost:7117", false, &err), CFG_E_ORIGIN, "%s", bad[i]);
}

static int body(unsigned *kind, unsigned accepted, const char *type, size_t len)
{
    struct cfg_error err;
    return cfg_check_body(kind, accepted, type, len, &err);
}

Test(http_check, reads_content_types)
{
    unsigned kind = 99;
    cr_assert(body(&kind, CFG_BODY_JSON, "application/json", 2) == 0 && kind == CFG_BODY_JSON);
    cr_assert(body(&kind, CFG_BODY_JSON, "Application/JSON; charset=utf-8", 2) == 0 && kind == CFG_BODY_JSON);
    cr_assert(body(&kind, CFG_BODY_JSON, NULL, 0) == 0 && kind == 0);
    struct cfg_error err;
    cr_assert(cfg_check_coding(NULL, &err) == 0 && cfg_check_coding("Identity", &err) == 0);
    cr_assert_eq(cfg_check_coding("gzip", &err), CFG_E_MEDIA_TYPE);
    unsigned patches = CFG_BODY_MERGE_PATCH | CFG_BODY_JSON_PATCH;
    cr_assert(body(&kind, patches, "application/json-patch+json", 2) == 0 && kind == CFG_BODY_JSON_PATCH);
    cr_assert(body(&kind, patches, "application/json", 2) == 0 && kind == CFG_BODY_MERGE_PATCH);
    cr_assert_eq(body(&kind, CFG_BODY_JSON, NULL, 2), CFG_E_MEDIA_TYPE);
    cr_assert_eq(body(&kind, CFG_BODY_JSON, "text/plain", 2), CFG_E_MEDIA_TYPE);
    cr_assert_eq(body(&kind, CFG_BODY_JSON, "application/jsonx", 2), CFG_E_MEDIA_TYPE);
    cr_assert_eq(body(&kind, CFG_BODY_NONE, "application/json", 2), CFG_E_MEDIA_TYPE);
    cr_assert_eq(body(&kind, CFG_BODY_JSON, "application/merge-patch+json", 2), CFG_E_MEDIA_TYPE);
}
