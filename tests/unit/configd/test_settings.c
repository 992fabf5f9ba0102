#include "configd/settings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const no_env[] = {NULL};

#define READ(s, env, err, ...)                                                                 \
    cfg_settings_read((s), (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), \
                      (const char *const[]){__VA_ARGS__}, (env), (err))

Test(settings, defaults)
{
    struct cfg_settings s;
    struct cfg_error err;
    cr_assert_eq(cfg_settings_read(&s, 0, NULL, no_env, &err), 0, "%s", err.text);
    cr_assert_str_eq(s.listen, "127.0.0.1:7117");
    cr_assert_str_eq(s.prefix, "/configd/v1/");
    cr_assert(s.heartbeat_s == 15 && s.stream_age_s == 3600 && s.history_versions == 200 && s.history_days == 90);
    cr_assert(s.etcd.n == 0 && s.embedded_etcd == NULL && s.tokens == NULL);
    cfg_settings_finish(&s);
}

Test(settings, flags_win_over_the_environment)
{
    struct cfg_settings s;
    struct cfg_error err;
    const char *const env[] = {"CONFIGD_LISTEN=127.0.0.1:1", "CONFIGD_HISTORY_DAYS=7", "CONFIGD_SERVER=x",
                               "CONFIGD_ETCD=http://c",      "CONFIGD_ETCD_USER=",     NULL};
    cr_assert_eq(READ(&s, env, &err, "--listen", "127.0.0.1:2", "--etcd=http://a,http://b", "--etcd", "http://d"), 0,
                 "%s", err.text);
    cr_assert_str_eq(s.listen, "127.0.0.1:2");
    cr_assert_eq(s.history_days, 7);
    cr_assert_eq(s.etcd.n, 3);
    cr_assert_str_eq(s.etcd.items[1], "http://b");
    cr_assert_str_eq(s.etcd.items[2], "http://d");
    cr_assert_null(s.etcd_user);
    cfg_settings_finish(&s);
}

Test(settings, refuses)
{
    static const struct {
        const char *args[4];
        const char *says;
    } cases[] = {
        {{"--lisen", "x"}, "unknown option --lisen"},
        {{"serve"}, "unknown argument serve"},
        {{"--listen"}, "--listen needs a value: --listen HOST:PORT"},
        {{"--heartbeat-s", "0"}, "\"0\" is no number from 1 to 3600"},
        {{"--heartbeat-s", "1x"}, "is no number"},
        {{"--heartbeat-s", "99999999999"}, "is no number"},
        {{"--log-level", "loud"}, "is none of debug|info|warn|error"},
        {{"--log-level", "deb"}, "is none of"},
        {{"--etcd", "a,,b"}, "holds an empty item"},
        {{"--listen", ""}, "is empty"},
        {{"--etcd", "a", "--embedded-etcd", "b"}, "exclude each other"},
        {{"--etcd-user", "a"}, "belong together"},
        {{"--prefix", "/x"}, "must end with a slash"},
        {{"--replica-id", "a b"}, "replica-id"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cfg_settings s;
        struct cfg_error err = CFG_ERROR_INIT;
        int n = 0;
        while (n < 4 && cases[i].args[n])
            n++;
        cr_assert_neq(cfg_settings_read(&s, n, cases[i].args, no_env, &err), 0, "%s", cases[i].args[0]);
        cr_assert_not_null(strstr(err.text, cases[i].says), "%s: %s", cases[i].args[0], err.text);
    }
    struct cfg_settings s;
    struct cfg_error err;
    const char *const env[] = {"CONFIGD_LOG_FORMAT=xml", NULL};
    cr_assert_eq(cfg_settings_read(&s, 0, NULL, env, &err), CFG_E_INVALID);
    cr_assert_not_null(strstr(err.text, "CONFIGD_LOG_FORMAT in the environment"), "%s", err.text);
    cr_assert_neq(READ(&s, no_env, &err, "--token", "x"), 0);
    cr_assert_not_null(strstr(err.hint, "did you mean --tokens?"), "%s", err.hint);
}

Test(settings, help_and_version_come_first)
{
    struct cfg_settings s;
    struct cfg_error err;
    cr_assert_eq(READ(&s, no_env, &err, "--version"), 0);
    cr_assert(s.version && !s.help);
    cfg_settings_finish(&s);
    cr_assert_eq(READ(&s, no_env, &err, "--etcd-user", "a", "-h"), 0);
    cr_assert(s.help);
    cfg_settings_finish(&s);
}

/* The page cannot drift: it holds the very table that the options give. */
Test(settings, documentation_is_the_table)
{
    const char *source = getenv("CFG_SOURCE_DIR");
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/docs/configuration.md", source ? source : ".");
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    static char page[65536];
    page[fread(page, 1, sizeof page - 1, f)] = '\0';
    (void)fclose(f);
    struct cfg_buf table;
    cfg_buf_init(&table, 1 << 20);
    cfg_settings_markdown(&table);
    cr_assert_not_null(strstr(page, table.data), "docs/configuration.md must hold this table:\n%s", table.data);
    cfg_buf_finish(&table);
}
