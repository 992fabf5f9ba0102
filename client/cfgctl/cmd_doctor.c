/* doctor: asks every server how it is, says what is wrong, why that matters and what to do. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/doctor.h"
#include "client/cfgctl/fleet.h"
#include "client/cfgctl/peer.h"
#include "client/cfgctl/when.h"
#include "client/url.h"
#include "proto/revision.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TIMEOUT_MS = 8000, EXIT_WARNING = 10, EXIT_ERROR = 11, MAX_SERVERS = 64 };

struct visit {
    struct cli *c;
    cJSON *servers, *findings; /* owned */
    cJSON *urls;               /* those asked already, as keys; owned */
    struct cfg_error first;    /* why a server that was named did not answer */
};

static const char *replica_of(const cJSON *server)
{
    return cfg_json_get_str(cfg_json_get(server, "health"), "replica", "");
}

static bool is_visited(const struct visit *v, const char *replica)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, v->servers)
    {
        if (strcmp(replica_of(s), replica) == 0)
            return true;
    }
    return false;
}

/* {"url","health","offset_s","error_s"}: the server's clock is compared with the middle of the request. */
static int ask(struct visit *v, const char *url, cJSON **out, struct cfg_error *err)
{
    cJSON *health = NULL, *server = cJSON_CreateObject();
    int64_t before = when_now_us(), theirs = 0;
    int rc = peer_get(v->c, url, "/v1/health", TIMEOUT_MS, &health, err);
    int64_t after = when_now_us();
    if (rc == 0 && cfg_rfc3339_parse(&theirs, cfg_slice_str(cfg_json_get_str(health, "time", "")), NULL) != 0)
        rc = cfg_fail(err, CFG_E_PROTOCOL, "the server's reply has no time");
    /* it looks at its clock at the end, after it has asked etcd */
    double error = (double)(after - before) / 2e6, offset = (double)theirs / 1e6 - (double)(before + after) / 2e6;
    bool ok = rc == 0 && cJSON_AddStringToObject(server, "url", url) &&
              cJSON_AddNumberToObject(server, "offset_s", offset) && cJSON_AddNumberToObject(server, "error_s", error);
    if (rc == 0)
        ok = cfg_json_set(server, "health", health) == 0 && ok;
    if (ok) {
        *out = server;
        return 0;
    }
    cJSON_Delete(server);
    return rc != 0 ? rc : cli_no_memory(err);
}

/* workers: how many follow it, negative when that is not known. */
static void visit(struct visit *v, const char *url, const char *replica, double workers)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *server = NULL;
    char what[400];
    if (cfg_json_get(v->urls, url) || (replica && is_visited(v, replica)) ||
        cJSON_GetArraySize(v->servers) >= MAX_SERVERS)
        return;
    (void)cJSON_AddTrueToObject(v->urls, url); /* without memory it may be asked twice */
    if (ask(v, url, &server, &err) != 0) {
        v->first = v->first.code ? v->first : err;
        if (workers >= 0)
            (void)snprintf(what, sizeof what, "the configd at %.100s with %.0f workers does not answer: %.200s", url,
                           workers, err.text);
        else
            (void)snprintf(what, sizeof what, "the configd at %.100s does not answer: %.250s", url, err.text);
        doctor_add(v->findings, DOCTOR_ERROR, replica ? replica : url, what,
                   "clients turn to the others; its workers go on with what they have",
                   err.hint[0] ? err.hint : "start it again");
        return;
    }
    if (is_visited(v, replica_of(server)) || !cJSON_AddItemToArray(v->servers, server))
        cJSON_Delete(server);
}

static void visit_named(struct visit *v)
{
    const char *text = cli_value(v->c, OPT_SERVER), *env = getenv("CONFIGD_SERVER");
    text = text ? text : env && env[0] ? env : "http://127.0.0.1:7117";
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        char *url = strndup(p, n);
        if (url && n > 0)
            visit(v, url, NULL, -1);
        free(url);
        p += n;
        if (*p == '\0')
            break;
    }
}

/* Replicas that have workers say where they are; those they know of are asked in turn. */
static void visit_peers(struct visit *v)
{
    for (int i = 0; i < cJSON_GetArraySize(v->servers); i++) {
        const cJSON *peer;
        cJSON_ArrayForEach(peer, cfg_json_get(cfg_json_get(cJSON_GetArrayItem(v->servers, i), "health"), "peers"))
        {
            const char *url = cfg_json_get_str(peer, "url", "");
            if (url[0])
                visit(v, url, cfg_json_get_str(peer, "replica", "?"), cfg_json_get_num(peer, "workers", 0));
        }
    }
}

static struct cfg_rev revision_of(const cJSON *server)
{
    struct cfg_rev rev = {0, 0};
    const char *text = cfg_json_get_str(cfg_json_get(server, "health"), "revision", "");
    return cfg_rev_parse(&rev, cfg_slice_str(text), NULL) == 0 ? rev : (struct cfg_rev){0, 0};
}

/* The server once more, in the place of what it said before, with the revision that it must show by now. */
static void ask_again(struct visit *v, cJSON *server, struct cfg_rev expected)
{
    char url[512], text[CFG_REV_TEXT];
    cJSON *again = NULL;
    (void)snprintf(url, sizeof url, "%s", cfg_json_get_str(server, "url", ""));
    if (ask(v, url, &again, NULL) == 0) {
        cJSON *health = cJSON_DetachItemFromObjectCaseSensitive(again, "health");
        (void)cJSON_AddStringToObject(server, "expected", cfg_rev_format(expected, text)); /* without memory unjudged */
        if (cfg_json_set(server, "health", health) != 0)
            doctor_add(v->findings, DOCTOR_INFO, url, "out of memory", "it could not be looked at twice",
                       "cfgctl doctor");
    }
    cJSON_Delete(again);
}

/* A replica that shows less than another may only be a moment behind, or have been asked before a write. */
static void look_again(struct visit *v)
{
    static const struct timespec pause = {1, 0};
    struct cfg_rev newest = {0, 0};
    bool behind = false;
    cJSON *s;
    cJSON_ArrayForEach(s, v->servers)
    {
        behind |= s != v->servers->child && cfg_rev_cmp(revision_of(s), newest) != 0;
        newest = cfg_rev_cmp(revision_of(s), newest) > 0 ? revision_of(s) : newest;
    }
    if (!behind)
        return;
    (void)nanosleep(&pause, NULL); /* waking early is fine */
    cJSON_ArrayForEach(s, v->servers)
    {
        if (cfg_rev_cmp(revision_of(s), newest) < 0)
            ask_again(v, s, newest);
    }
}

/* --- deployments --- */

static void add_failure(struct visit *v, const char *deployment, const char *what, const struct cfg_error *err)
{
    char text[480];
    (void)snprintf(text, sizeof text, "%s: %.400s", what, err->text);
    doctor_add(v->findings, DOCTOR_ERROR, deployment, text, "its workers get nothing new",
               err->hint[0] ? err->hint : "cfgctl history");
}

/* With --deep: does its view come to anything, and would its workers take it? */
static void look_deep(struct visit *v, const char *name)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf path;
    cJSON *reply = NULL, *empty = cJSON_CreateObject();
    char text[200];
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/deployments/*/view", name);
    if (cfg_buf_status(&path) == 0 && cli_get(v->c, path.data, &reply, &err) != 0)
        add_failure(v, name, "its view cannot be made", &err);
    cJSON_Delete(reply);
    reply = NULL;
    cfg_buf_clear(&path);
    cfg_url_format(&path, "/v1/deployments/*/contract/check", name);
    if (empty && cfg_buf_status(&path) == 0 && cli_call(v->c, "POST", path.data, empty, NULL, &reply, &err) == 0) {
        const cJSON *violations = cfg_json_get(reply, "violations");
        (void)snprintf(text, sizeof text, "its view breaks the contract of its workers in %d places: %.120s",
                       cJSON_GetArraySize(violations),
                       cfg_json_get_str(cJSON_GetArrayItem(violations, 0), "message", "?"));
        if (cJSON_GetArraySize(violations) > 0)
            doctor_add(v->findings, DOCTOR_ERROR, name, text, "they reject it", "cfgctl contract check names each");
    } else {
        (void)snprintf(text, sizeof text, "its view could not be checked: %.150s", err.text);
        doctor_add(v->findings, DOCTOR_WARNING, name, text, "whether its workers take it is not known",
                   err.hint[0] ? err.hint : "cfgctl contract check");
    }
    cJSON_Delete(reply);
    cJSON_Delete(empty);
    cfg_buf_finish(&path);
}

static void look_at_fleet(struct visit *v, const char *name)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf path;
    cJSON *fleet = NULL;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/deployments/*/fleet", name);
    if (cfg_buf_status(&path) == 0 && cli_get(v->c, path.data, &fleet, &err) == 0)
        doctor_judge_fleet(v->findings, fleet);
    else
        add_failure(v, name, "its workers cannot be asked about", &err);
    cJSON_Delete(fleet);
    cfg_buf_finish(&path);
}

/* One that has had none has none that is stuck. */
static void look_at_rollout(struct visit *v, const char *name)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *rollout = NULL;
    int rc = fleet_fetch_rollout(v->c, name, "", &rollout, &err);
    if (rc == 0)
        doctor_judge_rollout(v->findings, rollout, when_now_us());
    else if (rc != CFG_E_NOT_FOUND)
        add_failure(v, name, "its rollout cannot be asked about", &err);
    cJSON_Delete(rollout);
}

static void look_at_deployments(struct visit *v)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *reply = NULL;
    const cJSON *d;
    if (cli_get(v->c, "/v1/deployments", &reply, &err) != 0)
        doctor_add(v->findings, DOCTOR_ERROR, "-", err.text, "no deployment could be looked at", err.hint);
    cJSON_ArrayForEach(d, cfg_json_get(reply, "items"))
    {
        const char *name = cfg_json_get_str(d, "name", "?");
        look_at_fleet(v, name);
        look_at_rollout(v, name);
        if (cli_has(v->c, OPT_DEEP))
            look_deep(v, name);
    }
    cJSON_Delete(reply);
}

/* --- what is shown --- */

static void put_finding(struct cfg_buf *out, const struct cli *c, const cJSON *f)
{
    const char *severity = cfg_json_get_str(f, "severity", "?");
    const char *color = strcmp(severity, "error") == 0     ? "\033[31m"
                        : strcmp(severity, "warning") == 0 ? "\033[33m"
                                                           : "\033[36m";
    cfg_buf_printf(out, "%s%-7s%s ", c->color ? color : "", severity, c->color ? "\033[0m" : "");
    cli_put_text(out, cfg_json_get_str(f, "where", "?"));
    cfg_buf_puts(out, ": ");
    cli_put_text(out, cfg_json_get_str(f, "what", "?"));
    cfg_buf_puts(out, "\n        ");
    cli_put_text(out, cfg_json_get_str(f, "why", "?"));
    cfg_buf_puts(out, "\n        next: ");
    cli_put_text(out, cfg_json_get_str(f, "next", "?"));
    cfg_buf_putc(out, '\n');
}

static void put_server(struct cfg_buf *out, const cJSON *server)
{
    const cJSON *health = cfg_json_get(server, "health"), *etcd = cfg_json_get(health, "etcd");
    cfg_buf_puts(out, "ok      ");
    cli_put_text(out, replica_of(server));
    cfg_buf_puts(out, " at ");
    cli_put_text(out, cfg_json_get_str(server, "url", "?"));
    cfg_buf_printf(out, ": configd %s, revision %s, up %.0f s, etcd %s\n", cfg_json_get_str(health, "configd", "?"),
                   cfg_json_get_str(health, "revision", "?"), cfg_json_get_num(health, "uptime_s", 0),
                   cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(etcd, "endpoints"), 0), "version", "?"));
}

static void print_words(const struct cli *c, const struct visit *v)
{
    static const char *const order[] = {"error", "warning", "info"};
    struct cfg_buf out;
    const cJSON *item;
    cfg_buf_init(&out, (size_t)1 << 24);
    cJSON_ArrayForEach(item, v->servers)
    {
        put_server(&out, item);
    }
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        cJSON_ArrayForEach(item, v->findings)
        {
            if (strcmp(cfg_json_get_str(item, "severity", ""), order[i]) == 0)
                put_finding(&out, c, item);
        }
    if (v->findings->child == NULL)
        cfg_buf_puts(&out, "nothing is wrong\n");
    cli_print(&out);
}

/* servers and findings are moved into the tree. */
static int print_tree(const struct cli *c, struct visit *v, struct cfg_error *err)
{
    cJSON *tree = cJSON_CreateObject(), *servers = v->servers, *findings = v->findings;
    bool ok = cJSON_AddStringToObject(tree, "worst", doctor_severity_name(doctor_worst(findings))) != NULL;
    v->servers = v->findings = NULL;
    ok = cfg_json_set(tree, "findings", findings) == 0 && ok;
    ok = cfg_json_set(tree, "servers", servers) == 0 && ok;
    if (ok)
        (void)cli_show_tree(c, tree); /* json or yaml: it is shown */
    cJSON_Delete(tree);
    return ok ? 0 : cli_no_memory(err);
}

static int examine(struct cli *c, struct visit *v, struct cfg_error *err)
{
    const cJSON *s;
    visit_named(v);
    if (v->servers->child == NULL) {
        *err = v->first;
        return v->first.code ? v->first.code : cli_no_memory(err);
    }
    visit_peers(v);
    look_again(v);
    cJSON_ArrayForEach(s, v->servers)
    {
        doctor_judge_server(v->findings, cfg_json_get(s, "health"), cfg_json_get_num(s, "offset_s", 0),
                            cfg_json_get_num(s, "error_s", 0), when_now_us());
    }
    doctor_judge_together(v->findings, v->servers);
    look_at_deployments(v);
    enum doctor_severity worst = doctor_worst(v->findings);
    c->exit_code = worst == DOCTOR_ERROR ? EXIT_ERROR : worst == DOCTOR_WARNING ? EXIT_WARNING : 0;
    if (c->output == OUTPUT_JSON || c->output == OUTPUT_YAML)
        return print_tree(c, v, err);
    print_words(c, v);
    return 0;
}

int cmd_doctor(struct cli *c, struct cfg_error *err)
{
    struct visit v = {.c = c,
                      .servers = cJSON_CreateArray(),
                      .findings = cJSON_CreateArray(),
                      .urls = cJSON_CreateObject(),
                      .first = CFG_ERROR_INIT};
    int rc = v.servers && v.findings && v.urls ? examine(c, &v, err) : cli_no_memory(err);
    cJSON_Delete(v.servers);
    cJSON_Delete(v.findings);
    cJSON_Delete(v.urls);
    return rc;
}
