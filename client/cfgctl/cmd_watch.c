/* watch: changes as they happen, until interrupted. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/reach.h"
#include "client/url.h"
#include "proto/path.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PAUSE_MIN_MS = 100, PAUSE_MAX_MS = 5000 };

struct watching {
    struct cli *c;
    char last_id[64];
    bool heard; /* anything since the last connection */
};

static void put_time(struct cfg_buf *out, const char *text)
{
    int64_t us = 0;
    struct tm tm;
    char local[16] = "--:--:--";
    bool known = cfg_rfc3339_parse(&us, cfg_slice_str(text), NULL) == 0;
    time_t at = (time_t)(us / 1000000);
    if (known && localtime_r(&at, &tm))
        (void)strftime(local, sizeof local, "%H:%M:%S", &tm); /* fits */
    cfg_buf_puts(out, local);
    if (known)
        cfg_buf_printf(out, ".%03d", (int)(us % 1000000 / 1000));
}

/* What is none of a namespace's own versions, though it has no name beside it either. */
static void put_kind(struct cfg_buf *out, const cJSON *change)
{
    if (strcmp(cfg_json_get_str(change, "kind", ""), "evaluators") == 0)
        cfg_buf_puts(out, " segments");
    else if (strcmp(cfg_json_get_str(change, "kind", ""), "flip") == 0)
        cfg_buf_puts(out, " flip");
}

static void show_change(const struct cli *c, const cJSON *change)
{
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 24);
    const char *what = cfg_json_get_str(change, "what", NULL), *message = cfg_json_get_str(change, "message", "");
    put_time(&out, cfg_json_get_str(change, "time", ""));
    cfg_buf_puts(&out, c->color ? "  \033[1m" : "  ");
    cli_put_object(&out, change);
    cfg_buf_puts(&out, c->color ? "\033[0m" : "");
    put_kind(&out, change);
    cfg_buf_printf(&out, " v%.0f: ", cfg_json_get_num(change, "version", 0));
    if (cfg_json_get_bool(change, "deleted", false))
        cfg_buf_puts(&out, "deleted");
    const cJSON *each, *changes = cfg_json_get(change, "changes");
    cJSON_ArrayForEach(each, changes)
    {
        cfg_buf_puts(&out, each == changes->child ? "" : ", ");
        reach_put_change(&out, each);
    }
    if (what)
        cli_put_text(&out, what); /* with the message in it */
    cfg_buf_puts(&out, "  by ");
    cli_put_text(&out, cfg_json_get_str(change, "author", "?"));
    if (what == NULL && message[0]) {
        cfg_buf_puts(&out, ": ");
        cli_put_text(&out, message);
    }
    if (c->output == OUTPUT_WIDE)
        cfg_buf_printf(&out, "  at %s", cfg_json_get_str(change, "revision", "?"));
    cfg_buf_putc(&out, '\n');
    cli_print(&out);
}

static bool on_event(const char *event, const char *id, const char *data, size_t len, void *arg)
{
    struct watching *w = arg;
    w->heard = true;
    if (id[0])
        (void)snprintf(w->last_id, sizeof w->last_id, "%s", id);
    if (strcmp(event, "reset") == 0) {
        w->last_id[0] = '\0';
        (void)fputs("cfgctl: some changes are too old to be told; see `cfgctl history`\n", stderr);
    }
    if (strcmp(event, "change") != 0)
        return true;
    cJSON *change = NULL;
    if (cfg_json_parse(&change, (struct cfg_slice){data, len}, 2 * CFG_LIMIT_DEPTH, NULL) != 0)
        return true; /* of a later configd */
    if (w->c->output == OUTPUT_JSON)
        (void)printf("%.*s\n", (int)len, data); /* one line each, for programs */
    else if (!cli_show_tree(w->c, change))
        show_change(w->c, change);
    cJSON_Delete(change);
    return fflush(stdout) == 0; /* the reader has gone: stop */
}

static void pause_ms(long ms)
{
    const struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&ts, NULL); /* waking early is fine */
}

/* What was reached once is come back to; what never was is an error. */
static int follow(struct cli *c, const char *path, struct cfg_error *err)
{
    struct watching w = {.c = c};
    struct cfg_client *client;
    bool reached = false;
    long wait = PAUSE_MIN_MS;
    int rc = cli_client(c, 0, &client, err);
    while (rc == 0) {
        w.heard = false;
        rc = cfg_client_events(client, path, w.last_id, on_event, &w, err);
        if (ferror(stdout))
            return 0; /* main tells */
        reached |= rc == 0 || w.heard;
        if (rc != 0 && (!reached || !err->retryable))
            return rc;
        if (rc != 0 && wait == PAUSE_MIN_MS)
            (void)fprintf(stderr, "cfgctl: %s; trying again\n", err->text);
        wait = w.heard ? PAUSE_MIN_MS : wait;
        pause_ms(wait);
        wait = wait * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : wait * 2;
        rc = 0;
    }
    return rc;
}

int cmd_watch(struct cli *c, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 8192);
    cfg_buf_puts(&path, "/v1/watch");
    int rc = 0;
    for (int i = 0; rc == 0 && i < c->n_args; i++) {
        rc = cfg_check_name("namespace", cfg_slice_str(c->args[i]), err);
        cfg_url_query(&path, "namespace", c->args[i]);
    }
    if (rc == 0 && cfg_buf_status(&path) != 0)
        rc = cfg_fail(err, CFG_E_INVALID, "too many namespaces for one watch");
    if (rc == 0)
        rc = follow(c, path.data, err);
    cfg_buf_finish(&path);
    return rc;
}
