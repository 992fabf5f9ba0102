#include "client/cfgctl/agent.h"
#include "proto/limits.h"
#include "proto/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { ID_ROOM = 128, HOST_ROOM = 65, INCARNATION_BYTES = 16, TIME_ROOM = 48, TEXT_MAX = 1 << 24 };

struct agent {
    struct cfg_session *session;
    char id[ID_ROOM], host[HOST_ROOM], incarnation[2 * INCARNATION_BYTES + 1];
    char *class; /* owned */
    agent_view_fn on_view;
    void (*on_registered)(void *arg);
    void *arg;
    char applied[64], applied_at[TIME_ROOM]; /* the revision last reported as applied, and when it first was */
    bool away;                               /* said so already */
};

/* --- texts --- */

static void now_text(char out[TIME_ROOM])
{
    struct timespec ts;
    struct tm tm = {0};
    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail */
    (void)gmtime_r(&ts.tv_sec, &tm);          /* years of five digits are far */
    size_t n = strftime(out, TIME_ROOM, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + n, TIME_ROOM - n, ".%06ldZ", ts.tv_nsec / 1000);
}

static void put_member(struct cfg_buf *out, const char *name, const char *text)
{
    cfg_buf_printf(out, "\"%s\":", name);
    cfg_json_put_string(out, cfg_slice_str(text));
}

struct declaring {
    struct cfg_buf *out;
    const char *class;
    unsigned n;
};

/* Any value will do, also none: what a program makes of it is its own affair. */
static bool declare(const char *path, const cJSON *value, void *arg)
{
    struct declaring *d = arg;
    (void)value;
    cfg_buf_puts(d->out, d->n++ > 0 ? "," : "");
    cfg_json_put_string(d->out, cfg_slice_str(path));
    cfg_buf_printf(d->out, ":{\"type\":\"json\",\"class\":\"%s\",\"default\":null}", d->class);
    return d->n < CFG_LIMIT_CONTRACT;
}

static int print_registration(struct cfg_buf *out, const struct agent *a, const cJSON *document, struct cfg_error *err)
{
    struct declaring d = {.out = out, .class = a->class};
    cfg_buf_init(out, TEXT_MAX);
    cfg_buf_putc(out, '{');
    put_member(out, "worker", a->id);
    cfg_buf_putc(out, ',');
    put_member(out, "incarnation", a->incarnation);
    cfg_buf_putc(out, ',');
    put_member(out, "host", a->host);
    cfg_buf_printf(out, ",\"pid\":%ld,\"contract\":{", (long)getpid());
    if (document)
        (void)cfg_path_each_leaf(document, declare, &d); /* the first ones, where there are too many */
    cfg_buf_puts(out, "}}");
    return cfg_buf_status(out) == 0 ? 0 : cli_no_memory(err);
}

/* --- the session's callbacks --- */

static void on_view(void *arg, const struct cfg_view_event *ev)
{
    struct agent *a = arg;
    struct cfg_error err;
    cJSON *view = NULL;
    if (cfg_json_parse(&view, (struct cfg_slice){ev->view, ev->view_len}, 2 * CFG_LIMIT_DEPTH, &err) != 0) {
        (void)fprintf(stderr, "cfgctl: the view %s cannot be read: %s\n", ev->revision, err.text); /* nobody to tell */
        return;
    }
    a->on_view(a->arg, view, ev->revision, ev->digest);
    cJSON_Delete(view);
}

static void on_state(void *arg, enum cfg_session_state state, const struct cfg_error *why)
{
    struct agent *a = arg;
    bool away = state != CFG_SESSION_CONNECTED;
    if (away && why && !(a->away && state == CFG_SESSION_CONNECTING))
        (void)fprintf(stderr, "cfgctl: %s: %s; the last view holds\n", cfg_session_state_name(state), why->text);
    else if (!away && a->away)
        (void)fputs("cfgctl: connected again\n", stderr);
    a->away = away && why;
}

static void on_registered(void *arg, const char *reply)
{
    struct agent *a = arg;
    (void)reply;
    a->on_registered(a->arg);
}

/* --- life --- */

static int name_it(struct agent *a, const char *role, struct cfg_error *err)
{
    unsigned char bytes[INCARNATION_BYTES];
    const char *given = getenv("CONFIGD_WORKER");
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return cfg_fail(err, CFG_E_IO, "no randomness: %s", strerrordesc_np(errno));
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(a->incarnation + 2 * i, 3, "%02x", bytes[i]);
    if (gethostname(a->host, sizeof a->host) != 0)
        (void)snprintf(a->host, sizeof a->host, "localhost");
    a->host[sizeof a->host - 1] = '\0';
    int n = given && given[0] ? snprintf(a->id, sizeof a->id, "%s.%s", given, role)
                              : snprintf(a->id, sizeof a->id, "%s-%ld.%s", a->host, (long)getpid(), role);
    if (n < 0 || (size_t)n >= sizeof a->id)
        return cfg_fail(err, CFG_E_ADDRESS, "CONFIGD_WORKER is too long");
    return cfg_check_id("worker", cfg_slice_str(a->id), err);
}

static int open_session(struct agent *a, struct cli *c, const struct agent_options *o, struct cfg_error *err)
{
    struct cfg_session_options so = CFG_SESSION_OPTIONS_INIT;
    const struct cfg_session_callbacks callbacks = {
        .on_view = on_view, .on_state = on_state, .on_registered = on_registered, .arg = a};
    struct cfg_buf registration;
    int rc = print_registration(&registration, a, o->document, err);
    so.client.servers = cli_value(c, OPT_SERVER);
    so.client.token = cli_value(c, OPT_TOKEN);
    so.client.ca_file = cli_value(c, OPT_CA);
    so.deployment = o->deployment;
    so.registration = registration.data;
    if (rc == 0)
        rc = cfg_session_new(&a->session, &so, &callbacks, err);
    cfg_buf_finish(&registration);
    return rc;
}

int agent_new(struct agent **out, struct cli *c, const struct agent_options *o, struct cfg_error *err)
{
    struct agent *a = calloc(1, sizeof *a);
    if (a == NULL || (a->class = strdup(o->class)) == NULL) {
        free(a);
        return cli_no_memory(err);
    }
    a->on_view = o->on_view;
    a->on_registered = o->on_registered;
    a->arg = o->arg;
    int rc = name_it(a, o->role, err);
    if (rc == 0)
        rc = open_session(a, c, o, err);
    if (rc != 0) {
        agent_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

void agent_free(struct agent *a)
{
    if (a == NULL)
        return;
    cfg_session_free(a->session);
    free(a->class);
    free(a);
}

int agent_fd(const struct agent *a)
{
    return cfg_session_poll_fd(a->session);
}

void agent_process(struct agent *a)
{
    cfg_session_process(a->session);
}

const char *agent_id(const struct agent *a)
{
    return a->id;
}

int agent_declare(struct agent *a, const cJSON *document, struct cfg_error *err)
{
    struct cfg_buf registration;
    int rc = print_registration(&registration, a, document, err);
    if (rc == 0)
        rc = cfg_session_set_registration(a->session, registration.data, err);
    cfg_buf_finish(&registration);
    return rc;
}

/* --- reports --- */

int agent_report(struct agent *a, const struct agent_report *r, struct cfg_error *err)
{
    struct cfg_buf out;
    cfg_buf_init(&out, TEXT_MAX);
    cfg_buf_putc(&out, '{');
    put_member(&out, "incarnation", a->incarnation);
    if (r->revision && strcmp(a->applied, r->revision) != 0) {
        (void)snprintf(a->applied, sizeof a->applied, "%s", r->revision);
        now_text(a->applied_at);
    }
    if (r->revision)
        cfg_buf_printf(&out, ",\"applied\":{\"revision\":\"%s\",\"digest\":\"%s\",\"step\":%llu,\"at\":\"%s\"}",
                       r->revision, r->digest, (unsigned long long)r->step, a->applied_at);
    else
        cfg_buf_puts(&out, ",\"applied\":null");
    cfg_buf_printf(&out, ",\"step\":%llu,\"state\":\"running\",\"age_ms\":0,\"pending\":", (unsigned long long)r->step);
    if (r->pending)
        cfg_json_print(&out, r->pending);
    else
        cfg_buf_puts(&out, "[]");
    cfg_buf_puts(&out, ",\"rejects\":[");
    if (r->reject) {
        cfg_buf_putc(&out, '{');
        put_member(&out, "revision", r->reject);
        cfg_buf_puts(&out, ",\"path\":\"\",");
        put_member(&out, "reason", r->reason);
        cfg_buf_putc(&out, '}');
    }
    cfg_buf_puts(&out, "],\"overrides\":[],\"metrics\":{}}");
    int rc = cfg_buf_status(&out) == 0 ? cfg_session_report(a->session, out.data, err) : cli_no_memory(err);
    cfg_buf_finish(&out);
    return rc;
}
