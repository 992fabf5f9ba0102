#include "configd/http_auth.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The SHA-256 of "secret" and of "other". */
#define SECRET "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
#define OTHER  "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"

static struct cfg_tokens *parse(const char *text)
{
    struct cfg_tokens *t = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_tokens_parse(&t, cfg_slice_str(text), &err), 0, "%s", err.text);
    return t;
}

Test(http_auth, proves_by_hash)
{
    struct cfg_tokens *t =
        parse("{\"tokens\":[{\"subject\":\"alice\",\"sha256\":\"" SECRET
              "\",\"role\":\"writer\",\"namespaces\":[\"chat\",\"train-*\"]},"
              "{\"subject\":\"blue\",\"sha256\":\"" OTHER "\",\"role\":\"worker\",\"deployment\":\"chat-blue\"}]}");
    struct cfg_principal p;
    struct cfg_error err;
    cr_assert_eq(cfg_tokens_count(t), 2);
    cr_assert_eq(cfg_principal_prove(&p, t, "Bearer secret", "root", &err), 0);
    cr_assert_str_eq(p.subject, "alice");
    cr_assert_eq(p.role, CFG_ROLE_WRITER);
    cr_assert_eq(cfg_principal_prove(&p, t, "bearer other", NULL, &err), 0);
    cr_assert_str_eq(p.deployment, "chat-blue");
    static const char *const wrong[] = {"Bearer Secret", "Bearer secret ", "Bearer ", "Basic secret", "secret", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(cfg_principal_prove(&p, t, wrong[i], NULL, &err), CFG_E_UNAUTHORIZED, "%s", wrong[i]);
    cr_assert_eq(cfg_principal_prove(&p, t, NULL, NULL, &err), CFG_E_UNAUTHORIZED);
    (void)cfg_tokens_unref(t);
}

Test(http_auth, anonymous_says_so)
{
    struct cfg_principal p;
    struct cfg_error err;
    cr_assert_eq(cfg_principal_prove(&p, NULL, NULL, "me@desk", &err), 0);
    cr_assert_str_eq(p.subject, "me@desk (unverified)");
    cr_assert_eq(p.role, CFG_ROLE_ADMIN);
    cr_assert_eq(cfg_principal_prove(&p, NULL, "Bearer x", NULL, &err), 0);
    cr_assert_str_eq(p.subject, "anonymous (unverified)");
    cr_assert_eq(cfg_principal_prove(&p, NULL, NULL, "\x1b[31m\xff me\n", &err), 0);
    cr_assert_str_eq(p.subject, "[31m?me (unverified)");
}

static struct cfg_principal somebody(enum cfg_role role)
{
    static const char *const patterns[] = {"chat", "train-*"};
    struct cfg_principal p = {.role = role, .namespaces = patterns, .n_namespaces = 2};
    (void)snprintf(p.subject, sizeof p.subject, "somebody");
    if (role == CFG_ROLE_WORKER) {
        p.namespaces = NULL;
        (void)snprintf(p.deployment, sizeof p.deployment, "chat-blue");
    }
    return p;
}

Test(http_auth, roles)
{
    static const struct {
        enum cfg_role is, least;
        bool worker, may;
    } cases[] = {
        {CFG_ROLE_READER, CFG_ROLE_READER, false, true}, {CFG_ROLE_READER, CFG_ROLE_WRITER, false, false},
        {CFG_ROLE_WRITER, CFG_ROLE_READER, false, true}, {CFG_ROLE_WRITER, CFG_ROLE_ADMIN, false, false},
        {CFG_ROLE_ADMIN, CFG_ROLE_ADMIN, false, true},   {CFG_ROLE_WORKER, CFG_ROLE_READER, false, false},
        {CFG_ROLE_WORKER, CFG_ROLE_READER, true, true},  {CFG_ROLE_WORKER, CFG_ROLE_WRITER, true, true},
        {CFG_ROLE_WORKER, CFG_ROLE_ADMIN, false, false}, {CFG_ROLE_WORKER, CFG_ROLE_NONE, false, true},
        {CFG_ROLE_READER, CFG_ROLE_WRITER, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cfg_principal p = somebody(cases[i].is);
        struct cfg_error err;
        int rc = cfg_principal_check_role(&p, cases[i].least, cases[i].worker, &err);
        cr_assert_eq(rc, cases[i].may ? 0 : CFG_E_FORBIDDEN, "case %zu", i);
    }
}

Test(http_auth, namespaces_and_deployments)
{
    struct cfg_principal writer = somebody(CFG_ROLE_WRITER), worker = somebody(CFG_ROLE_WORKER);
    struct cfg_principal admin = somebody(CFG_ROLE_ADMIN), free_writer = {.role = CFG_ROLE_WRITER};
    struct cfg_error err;
    cr_assert(cfg_principal_sees(&writer, "chat") && cfg_principal_sees(&writer, "train-llama"));
    cr_assert(!cfg_principal_sees(&writer, "chat2") && !cfg_principal_sees(&writer, "train"));
    cr_assert(cfg_principal_sees(&admin, "anything") && cfg_principal_sees(&free_writer, "anything"));
    cr_assert_not(cfg_principal_sees(&worker, "chat"));
    cr_assert_eq(cfg_principal_check_deployment(&writer, "x", "chat", &err), 0);
    cr_assert_eq(cfg_principal_check_deployment(&writer, "x", "other", &err), CFG_E_FORBIDDEN);
    cr_assert_eq(cfg_principal_check_deployment(&writer, "x", NULL, &err), 0);
    cr_assert_eq(cfg_principal_check_deployment(&worker, "chat-blue", "chat", &err), 0);
    cr_assert_eq(cfg_principal_check_deployment(&worker, "chat-green", "chat", &err), CFG_E_FORBIDDEN);
}

Test(http_auth, refuses_broken_files)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "no array"},
        {"[", "line 1"},
        {"{\"tokens\":[{\"subject\":1}]}", "\"subject\""},
        {"{\"tokens\":[{\"subject\":\"a\",\"sha256\":\"12\",\"role\":\"admin\"}]}", "64 hex digits"},
        {"{\"tokens\":[{\"subject\":\"a\",\"sha256\":\"" SECRET "\"}]}", "\"role\""},
        {"{\"tokens\":[{\"subject\":\"a\",\"sha256\":\"" SECRET "\",\"role\":\"root\"}]}", "\"role\""},
        {"{\"tokens\":[{\"subject\":\"a\",\"sha256\":\"" SECRET "\",\"role\":\"worker\"}]}", "\"deployment\""},
        {"{\"tokens\":[{\"subject\":\"a\",\"sha256\":\"" SECRET "\",\"role\":\"admin\",\"deployment\":\"d\"}]}",
         "\"deployment\""},
        {"{\"tokens\":[{\"subject\":\"a\",\"sha256\":\"" SECRET "\",\"role\":\"reader\",\"namespaces\":\"chat\"}]}",
         "patterns"},
        {"{\"tokens\":[{\"subject\":\"a\",\"sha256\":\"" SECRET "\",\"role\":\"reader\",\"namespaces\":[1]}]}",
         "patterns"},
        {"{\"tokens\":[{\"subject\":\"a\",\"sha256\":\"" SECRET "\",\"role\":\"reader\",\"namespace\":[\"x\"]}]}",
         "\"namespace\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cfg_tokens *t = NULL;
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_neq(cfg_tokens_parse(&t, cfg_slice_str(cases[i].text), &err), 0, "%s", cases[i].text);
        cr_assert_null(t);
        cr_assert_not_null(strstr(err.text, cases[i].says), "%s: %s", cases[i].text, err.text);
    }
}
