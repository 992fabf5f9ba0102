#include "client/target.h"
#include "proto/buf.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SERVER "http://127.0.0.1:7117"

enum { DEFAULT_TIMEOUT_MS = 10000, URL_MAX = 1024 };

static const char *or_env(const char *value, const char *variable)
{
    if (value)
        return value;
    const char *env = getenv(variable);
    return env && env[0] ? env : NULL;
}

/* What is printed into a header must not end it. */
static int check_header(const char *what, const char *value, struct cfg_error *err)
{
    for (const char *p = value; *p; p++)
        if (iscntrl((unsigned char)*p))
            return cfg_fail(err, CFG_E_INVALID, "the %s holds a control character", what);
    return 0;
}

static int bad_server(struct cfg_slice text, struct cfg_error *err)
{
    int rc =
        cfg_fail(err, CFG_E_INVALID, "'%.*s' is no server address", (int)(text.len < 100 ? text.len : 100), text.ptr);
    cfg_error_set_hint(err, "an address looks like http://127.0.0.1:7117 or https://configd.example:7117");
    return rc;
}

static struct cfg_slice trim(struct cfg_slice s)
{
    while (s.len > 0 && isspace((unsigned char)s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && isspace((unsigned char)s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* `host:port` is taken for http://host:port, as people type it. */
static int add_server(struct cfg_target *t, struct cfg_slice text, struct cfg_error *err)
{
    text = trim(text);
    const char *scheme = cfg_slice_starts(text, "https://") ? "https://" : "http://";
    struct cfg_slice host = text;
    if (cfg_slice_starts(text, scheme)) {
        host.ptr += strlen(scheme);
        host.len -= strlen(scheme);
    }
    while (host.len > 0 && host.ptr[host.len - 1] == '/')
        host.len--;
    if (host.len == 0 || host.ptr[0] == ':' || host.len > URL_MAX || memmem(host.ptr, host.len, "://", 3) != NULL)
        return bad_server(text, err);
    for (size_t i = 0; i < host.len; i++)
        if (!isgraph((unsigned char)host.ptr[i]) || strchr("?#@\\\"<>", host.ptr[i]))
            return bad_server(text, err);
    if (t->n == CFG_CLIENT_MAX_SERVERS)
        return cfg_fail(err, CFG_E_INVALID, "more than %d servers", CFG_CLIENT_MAX_SERVERS);
    char *url = NULL;
    if (asprintf(&url, "%s%.*s", scheme, (int)host.len, host.ptr) < 0)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    t->servers[t->n++] = url;
    return 0;
}

static int add_servers(struct cfg_target *t, const char *list, struct cfg_error *err)
{
    for (;;) {
        size_t len = strcspn(list, ",");
        int rc = add_server(t, (struct cfg_slice){list, len}, err);
        if (rc != 0)
            return rc;
        if (list[len] == '\0')
            return 0;
        list += len + 1;
    }
}

static char *default_user(void)
{
    char host[65] = "localhost", room[1024];
    struct passwd entry, *found = NULL;
    (void)gethostname(host, sizeof host - 1); /* the fallback stays */
    char *user = NULL;
    int n;
    if (getpwuid_r(geteuid(), &entry, room, sizeof room, &found) == 0 && found)
        n = asprintf(&user, "%s@%s", found->pw_name, host);
    else
        n = asprintf(&user, "uid%u@%s", (unsigned)geteuid(), host);
    return n < 0 ? NULL : user;
}

static int fill(struct cfg_target *t, const struct cfg_client_options *o, struct cfg_error *err)
{
    const char *servers = or_env(o->servers, "CONFIGD_SERVER");
    const char *token = or_env(o->token, "CONFIGD_TOKEN");
    const char *ca_file = or_env(o->ca_file, "CONFIGD_CA_FILE");
    int rc = add_servers(t, servers ? servers : DEFAULT_SERVER, err);
    if (rc == 0 && token)
        rc = check_header("token", token, err);
    if (rc == 0 && o->user)
        rc = check_header("user", o->user, err);
    if (rc != 0)
        return rc;
    t->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
    t->token = token && token[0] ? strdup(token) : NULL;
    t->ca_file = ca_file ? strdup(ca_file) : NULL;
    if (t->token == NULL)
        t->user = o->user ? strdup(o->user) : default_user();
    if ((token && token[0] && !t->token) || (ca_file && !t->ca_file) || (!t->token && !t->user))
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    return 0;
}

int cfg_target_init(struct cfg_target *out, const struct cfg_client_options *o, struct cfg_error *err)
{
    static const struct cfg_client_options none = CFG_CLIENT_OPTIONS_INIT;
    if (o && o->size != sizeof *o)
        return cfg_fail(err, CFG_E_INVALID, "cfg_client_options of another version of the library");
    struct cfg_target t = {0};
    int rc = fill(&t, o ? o : &none, err);
    if (rc != 0) {
        cfg_target_finish(&t);
        return rc;
    }
    *out = t;
    return 0;
}

void cfg_target_finish(struct cfg_target *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->servers[i]);
    free(t->token);
    free(t->ca_file);
    free(t->user);
    *t = (struct cfg_target){0};
}
