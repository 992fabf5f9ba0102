#include "configd/settings.h"

#include "proto/path.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { STRING, LIST, NUMBER, CHOICE };

static const struct option {
    const char *name;
    enum type type;
    size_t offset;
    const char *value;    /* how the value is called in --help; a choice's alternatives */
    const char *fallback; /* NULL: none */
    unsigned least, most; /* of a number */
    const char *help;
} options[] = {
#define AT(member) offsetof(struct cfg_settings, member)
    {"listen", STRING, AT(listen), "HOST:PORT", "127.0.0.1:7117", 0, 0,
     "Where to serve HTTP; port 0 takes any free one. Beyond loopback only with TLS and tokens."},
    {"embedded-etcd", STRING, AT(embedded_etcd), "DIR", NULL, 0, 0,
     "Run the installed etcd as a child with its data in DIR. The default without --etcd; DIR is then "
     "$XDG_STATE_HOME/configd or ~/.local/state/configd."},
    {"etcd", LIST, AT(etcd), "URL[,URL]", NULL, 0, 0,
     "Use the etcd at these addresses instead: all members of one cluster."},
    {"etcd-user", STRING, AT(etcd_user), "NAME", NULL, 0, 0, "User at etcd."},
    {"etcd-password-file", STRING, AT(etcd_password_file), "FILE", NULL, 0, 0, "File with that user's password."},
    {"etcd-ca", STRING, AT(etcd_ca), "FILE", NULL, 0, 0, "Certificates to trust when etcd speaks TLS (PEM)."},
    {"etcd-cert", STRING, AT(etcd_cert), "FILE", NULL, 0, 0, "Client certificate to show etcd (PEM)."},
    {"etcd-key", STRING, AT(etcd_key), "FILE", NULL, 0, 0, "Key of that certificate (PEM)."},
    {"etcd-binary", STRING, AT(etcd_binary), "FILE", "etcd", 0, 0, "The etcd that --embedded-etcd runs."},
    {"prefix", STRING, AT(prefix), "KEY", "/configd/v1/", 0, 0, "Where everything lies in etcd; ends with a slash."},
    {"tls-cert", STRING, AT(tls_cert), "FILE", NULL, 0, 0,
     "Serve HTTPS with this certificate chain (PEM). Read again on SIGHUP."},
    {"tls-key", STRING, AT(tls_key), "FILE", NULL, 0, 0, "Key of that certificate (PEM). Read again on SIGHUP."},
    {"tokens", STRING, AT(tokens), "FILE", NULL, 0, 0,
     "Who may do what: hashed tokens with roles (JSON). Read again on SIGHUP. Without it everyone on loopback is an "
     "admin."},
    {"allowed-host", LIST, AT(allowed_host), "NAME[,NAME]", NULL, 0, 0,
     "Further names that a Host header may hold, such as a load balancer's."},
    {"replica-id", STRING, AT(replica_id), "ID", NULL, 0, 0,
     "This configd's name among its replicas. Default: host name and port."},
    {"advertise", STRING, AT(advertise), "URL", NULL, 0, 0,
     "Where other replicas and people reach this one. Default: where it listens."},
    {"peer-ca", STRING, AT(peer_ca), "FILE", NULL, 0, 0,
     "Certificates to trust when other replicas speak TLS (PEM). Default: the system's."},
    {"default-namespace", STRING, AT(default_namespace), "NAMESPACE", "default", 0, 0,
     "Whose flags /ofrep/v1 serves, to OpenFeature clients that name no namespace."},
    {"stream-age-s", NUMBER, AT(stream_age_s), "SECONDS", "3600", 1, 86400 * 30,
     "Streams are closed after about this long, so that load spreads again over replicas."},
    {"heartbeat-s", NUMBER, AT(heartbeat_s), "SECONDS", "15", 1, 3600,
     "A comment goes down every idle stream this often."},
    {"history-versions", NUMBER, AT(history_versions), "N", "200", 1, 1000000, "Versions of an object that are kept,"},
    {"history-days", NUMBER, AT(history_days), "DAYS", "90", 0, 36500,
     "or as many as are younger than this: whichever is more."},
    {"log-level", CHOICE, AT(log_level), "debug|info|warn|error", "info", 0, 0, "What is logged, to standard error."},
    {"log-format", CHOICE, AT(log_format), "text|json", "text", 0, 0, "How."},
#undef AT
};
enum { OPTIONS = sizeof options / sizeof options[0], MAX_NAME = 64 };

/* --- values --- */

static void *member(struct cfg_settings *s, const struct option *o)
{
    return (char *)s + o->offset;
}

static int fail_value(struct cfg_error *err, const struct option *o, const char *text, const char *what)
{
    return cfg_fail(err, CFG_E_INVALID, "--%s: \"%.100s\" %s", o->name, text, what);
}

static void strings_finish(struct cfg_strings *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct cfg_strings){0};
}

static int append(struct cfg_strings *list, struct cfg_slice item)
{
    char **grown = realloc(list->items, (list->n + 1) * sizeof *grown);
    if (grown == NULL)
        return CFG_E_NOMEM;
    list->items = grown;
    list->items[list->n] = cfg_slice_dup(item);
    return list->items[list->n] ? (list->n++, 0) : CFG_E_NOMEM;
}

static int set_list(struct cfg_strings *list, const struct option *o, const char *text, struct cfg_error *err)
{
    while (true) {
        size_t n = strcspn(text, ",");
        if (n == 0)
            return fail_value(err, o, text, "holds an empty item");
        if (append(list, (struct cfg_slice){text, n}) != 0)
            return cfg_fail(err, CFG_E_NOMEM, "out of memory");
        if (text[n] == '\0')
            return 0;
        text += n + 1;
    }
}

static int set_number(unsigned *out, const struct option *o, const char *text, struct cfg_error *err)
{
    char range[64];
    unsigned long n = strtoul(text, NULL, 10);
    if (text[0] != '\0' && strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text) && n >= o->least &&
        n <= o->most) {
        *out = (unsigned)n;
        return 0;
    }
    (void)snprintf(range, sizeof range, "is no number from %u to %u", o->least, o->most);
    return fail_value(err, o, text, range);
}

static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = choices; n > 0; p++) {
        if (strncmp(p, text, n) == 0 && (p[n] == '|' || p[n] == '\0'))
            return true;
        p = strchr(p, '|');
        if (p == NULL)
            return false;
    }
    return false;
}

static int set_string(char **out, const struct option *o, const char *text, struct cfg_error *err)
{
    if (text[0] == '\0')
        return fail_value(err, o, text, "is empty");
    if (o->type == CHOICE && !is_choice(o->value, text)) {
        char what[96];
        (void)snprintf(what, sizeof what, "is none of %s", o->value);
        return fail_value(err, o, text, what);
    }
    char *copy = cfg_slice_dup(cfg_slice_str(text));
    if (copy == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    free(*out);
    *out = copy;
    return 0;
}

static int set(struct cfg_settings *s, const struct option *o, const char *text, struct cfg_error *err)
{
    switch (o->type) {
    case LIST:
        return set_list(member(s, o), o, text, err);
    case NUMBER:
        return set_number(member(s, o), o, text, err);
    default:
        return set_string(member(s, o), o, text, err);
    }
}

/* --- where they come from --- */

static int unknown(const char *arg, struct cfg_error *err)
{
    const char *names[OPTIONS + 2] = {"help", "version"};
    char name[MAX_NAME];
    for (size_t i = 0; i < OPTIONS; i++)
        names[i + 2] = options[i].name;
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(arg, "="), arg);
    bool dashes = strncmp(arg, "--", 2) == 0;
    (void)cfg_fail(err, CFG_E_INVALID, "unknown %s %s", dashes ? "option" : "argument", name);
    const char *near = cfg_near_miss(name + (dashes ? 2 : 0), names, OPTIONS + 2);
    if (near)
        cfg_error_set_hint(err, "did you mean --%s? configd --help lists every option", near);
    else
        cfg_error_set_hint(err, "configd --help lists every option");
    return CFG_E_INVALID;
}

static const struct option *find(const char *arg)
{
    if (strncmp(arg, "--", 2) != 0)
        return NULL;
    struct cfg_slice name = {arg + 2, strcspn(arg + 2, "=")};
    for (size_t i = 0; i < OPTIONS; i++)
        if (cfg_slice_eq_str(name, options[i].name))
            return &options[i];
    return NULL;
}

static int read_flags(struct cfg_settings *s, bool given[OPTIONS], int argc, const char *const *argv,
                      struct cfg_error *err)
{
    for (int i = 0; i < argc; i++) {
        const struct option *o = find(argv[i]);
        s->help = s->help || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        s->version = s->version || strcmp(argv[i], "--version") == 0;
        if (s->help || s->version)
            return 0;
        if (o == NULL)
            return unknown(argv[i], err);
        const char *value = strchr(argv[i], '=');
        if (value == NULL && i + 1 == argc)
            return cfg_fail(err, CFG_E_INVALID, "--%s needs a value: --%s %s", o->name, o->name, o->value);
        value = value ? value + 1 : argv[++i];
        int rc = set(s, o, value, err);
        if (rc != 0)
            return rc;
        given[o - options] = true;
    }
    return 0;
}

static void env_name(char out[MAX_NAME], const struct option *o)
{
    int n = snprintf(out, MAX_NAME, "CONFIGD_%s", o->name);
    for (int i = 8; i < n; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static int read_env(struct cfg_settings *s, bool given[OPTIONS], const char *const *env, struct cfg_error *err)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        char name[MAX_NAME];
        env_name(name, &options[i]);
        size_t n = strlen(name);
        for (const char *const *e = env; !given[i] && *e; e++) {
            if (strncmp(*e, name, n) != 0 || (*e)[n] != '=' || (*e)[n + 1] == '\0')
                continue;
            int rc = set(s, &options[i], *e + n + 1, err);
            if (rc != 0)
                return cfg_error_wrap(err, "%s in the environment", name);
            given[i] = true;
        }
    }
    return 0;
}

static int check(const struct cfg_settings *s, struct cfg_error *err)
{
    size_t n = strlen(s->prefix);
    if (s->etcd.n > 0 && s->embedded_etcd)
        return cfg_fail(err, CFG_E_INVALID, "--etcd and --embedded-etcd exclude each other");
    if ((s->etcd_user == NULL) != (s->etcd_password_file == NULL))
        return cfg_fail(err, CFG_E_INVALID, "--etcd-user and --etcd-password-file belong together");
    if ((s->etcd_cert == NULL) != (s->etcd_key == NULL))
        return cfg_fail(err, CFG_E_INVALID, "--etcd-cert and --etcd-key belong together");
    if (s->prefix[n - 1] != '/')
        return cfg_fail(err, CFG_E_INVALID, "--prefix: \"%s\" must end with a slash", s->prefix);
    int rc = cfg_check_name("--default-namespace", cfg_slice_str(s->default_namespace), err);
    if (rc != 0)
        return rc;
    if (s->replica_id)
        return cfg_check_id("--replica-id", cfg_slice_str(s->replica_id), err);
    return 0;
}

int cfg_settings_read(struct cfg_settings *out, int argc, const char *const *argv, const char *const *env,
                      struct cfg_error *err)
{
    struct cfg_settings s = {0};
    bool given[OPTIONS] = {false};
    int rc = read_flags(&s, given, argc, argv, err);
    bool asked = s.help || s.version;
    if (rc == 0 && !asked)
        rc = read_env(&s, given, env, err);
    for (size_t i = 0; rc == 0 && i < OPTIONS; i++)
        if (!given[i] && options[i].fallback)
            rc = set(&s, &options[i], options[i].fallback, err);
    if (rc == 0 && !asked)
        rc = check(&s, err);
    if (rc != 0) {
        cfg_settings_finish(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void cfg_settings_finish(struct cfg_settings *s)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (options[i].type == LIST)
            strings_finish(member(s, &options[i]));
        else if (options[i].type != NUMBER)
            free(*(char **)member(s, &options[i]));
    }
    *s = (struct cfg_settings){0};
}

/* --- telling --- */

static void put_wrapped(struct cfg_buf *out, const char *text)
{
    enum { INDENT = 6, WIDTH = 100 };
    size_t column = 0;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column == 0 || column + 1 + n > WIDTH) {
            cfg_buf_printf(out, "%s%*s", column ? "\n" : "", INDENT, "");
            column = INDENT;
        } else {
            cfg_buf_putc(out, ' ');
            column++;
        }
        cfg_buf_put(out, text, n);
        column += n;
        text += n + (text[n] == ' ');
    }
    cfg_buf_putc(out, '\n');
}

void cfg_settings_help(struct cfg_buf *out)
{
    cfg_buf_puts(out, "configd: live configuration and feature flags for fleets of GPU workers\n\n"
                      "usage: configd [--option value]...\n\n"
                      "Every option can also be given in the environment: --log-level as CONFIGD_LOG_LEVEL.\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *o = &options[i];
        cfg_buf_printf(out, "  --%s %s", o->name, o->value);
        if (o->fallback)
            cfg_buf_printf(out, "  (default %s)", o->fallback);
        cfg_buf_putc(out, '\n');
        put_wrapped(out, o->help);
    }
    cfg_buf_puts(out, "  --version\n  --help\n");
}

void cfg_settings_markdown(struct cfg_buf *out)
{
    cfg_buf_puts(out, "| option | environment | default | |\n|---|---|---|---|\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *o = &options[i];
        char name[MAX_NAME];
        env_name(name, o);
        cfg_buf_printf(out, "| `--%s ", o->name);
        for (const char *p = o->value; *p; p++) /* a bar would end the cell */
            cfg_buf_puts(out, *p == '|' ? "\\|" : (char[2]){*p, '\0'});
        cfg_buf_printf(out, "` | `%s` | %s%s%s | %s |\n", name, o->fallback ? "`" : "", o->fallback ? o->fallback : "",
                       o->fallback ? "`" : "", o->help);
    }
}
