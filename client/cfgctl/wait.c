#include "client/cfgctl/wait.h"
#include "client/cfgctl/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 30, FIRST_PAUSE_MS = 2, LAST_PAUSE_MS = 250, BAR = 30, NAMED = 8 };

int64_t wait_parse_time(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL)
        return -1;
    int64_t us = (int64_t)timegm(&tm) * 1000000, unit = 100000;
    if (*rest == '.')
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
            us += (*rest - '0') * unit;
    return strcmp(rest, "Z") == 0 ? us : -1;
}

struct wait_worker wait_judge(const cJSON *worker, struct cfg_rev target, struct cfg_rev rev, int64_t sent_us)
{
    const cJSON *applied = cfg_json_get(worker, "applied");
    struct wait_worker w = {.latency_ms = -1, .step = cfg_json_get_num(applied, "step", -1)};
    struct cfg_rev has = {0, 0};
    bool known = cfg_rev_parse(&has, cfg_slice_str(cfg_json_get_str(applied, "revision", "")), NULL) == 0;
    bool current = cfg_json_get_bool(worker, "converged", false) && cfg_rev_cmp(target, rev) >= 0;
    known &= !cfg_rev_is_none(rev);
    w.applied = current || (known && cfg_rev_cmp(has, rev) >= 0);
    int64_t at = wait_parse_time(cfg_json_get_str(applied, "at", ""));
    if (w.applied && at >= sent_us && known && cfg_rev_cmp(has, rev) >= 0)
        w.latency_ms = (double)(at - sent_us) / 1000;
    return w;
}

/* --- one look at the fleet --- */

/* Why a worker is behind, in its own words; NULL when it has not refused rev or what came after. */
static const char *refusal(const cJSON *worker, struct cfg_rev rev)
{
    const cJSON *reject;
    const char *why = NULL;
    cJSON_ArrayForEach(reject, cfg_json_get(worker, "rejects"))
    {
        struct cfg_rev at = {0, 0};
        const char *text = cfg_json_get_str(reject, "revision", "");
        if (cfg_rev_parse(&at, cfg_slice_str(text), NULL) == 0 && cfg_rev_cmp(at, rev) >= 0)
            why = cfg_json_get_str(reject, "reason", NULL);
    }
    return why;
}

static int add_worker(cJSON *list, const char *deployment, const cJSON *worker, struct wait_worker w, const char *why)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = o && cJSON_AddStringToObject(o, "deployment", deployment) &&
              cJSON_AddStringToObject(o, "worker", cfg_json_get_str(worker, "worker", "?")) &&
              cJSON_AddBoolToObject(o, "applied", w.applied);
    if (ok && w.latency_ms >= 0)
        ok = cJSON_AddNumberToObject(o, "latency_ms", w.latency_ms) != NULL;
    if (ok && w.step >= 0)
        ok = cJSON_AddNumberToObject(o, "step", w.step) != NULL;
    if (ok && !w.applied && why)
        ok = cJSON_AddStringToObject(o, "rejects", why) != NULL;
    if (ok && cJSON_AddItemToArray(list, o))
        return w.applied ? 1 : 0;
    cJSON_Delete(o);
    return 0;
}

/* Workers that nobody could be asked about count as behind. */
static void add_unasked(cJSON *list, const char *deployment, double n)
{
    static const struct wait_worker behind = {.latency_ms = -1, .step = -1};
    cJSON *worker = n > 0 ? cJSON_CreateObject() : NULL;
    if (worker && cJSON_AddStringToObject(worker, "worker", "workers of a configd that could not be asked"))
        (void)add_worker(list, deployment, worker, behind, NULL); /* never applied */
    cJSON_Delete(worker);
}

static int look(struct cli *c, const char *deployment, struct cfg_rev rev, int64_t sent_us, cJSON *list, int *applied,
                struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = fleet_fetch(c, deployment, &reply, err);
    if (rc != 0)
        return rc;
    struct cfg_rev target = {0, 0};
    const char *text = cfg_json_get_str(cfg_json_get(reply, "target"), "revision", "");
    if (cfg_rev_parse(&target, cfg_slice_str(text), NULL) != 0)
        target = (struct cfg_rev){0, 0};
    const cJSON *worker;
    cJSON_ArrayForEach(worker, cfg_json_get(reply, "workers"))
    {
        if (cfg_json_get_bool(worker, "connected", true))
            *applied +=
                add_worker(list, deployment, worker, wait_judge(worker, target, rev, sent_us), refusal(worker, rev));
    }
    add_unasked(list, deployment, cfg_json_get_num(reply, "unasked", 0));
    cJSON_Delete(reply);
    return 0;
}

/* The deployments that any result of the reply reaches, each once. */
static cJSON *concerned(const cJSON *reply)
{
    cJSON *names = cJSON_CreateObject();
    const cJSON *result, *name;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        bool is_deployment = strcmp(cfg_json_get_str(result, "kind", ""), "deployment") == 0;
        const char *object = cfg_json_get_str(result, "object", ""), *slash = strchr(object, '/');
        if (is_deployment && slash && cfg_json_get(names, slash + 1) == NULL)
            (void)cJSON_AddTrueToObject(names, slash + 1); /* without memory one deployment is not waited for */
        cJSON_ArrayForEach(name, cfg_json_get(cfg_json_get(result, "reach"), "deployments"))
        {
            if (cJSON_IsString(name) && cfg_json_get(names, name->valuestring) == NULL)
                (void)cJSON_AddTrueToObject(names, name->valuestring); /* as above */
        }
    }
    return names;
}

static int look_at_all(struct cli *c, const cJSON *names, struct cfg_rev rev, int64_t sent_us, cJSON **outcome,
                       struct cfg_error *err)
{
    cJSON *list = cJSON_CreateArray(), *o = cJSON_CreateObject();
    const cJSON *name;
    int applied = 0, rc = list && o ? 0 : cli_no_memory(err);
    cJSON_ArrayForEach(name, names)
    {
        if (rc == 0)
            rc = look(c, name->string, rev, sent_us, list, &applied, err);
    }
    if (rc == 0 && (!cJSON_AddNumberToObject(o, "converged", applied) ||
                    !cJSON_AddNumberToObject(o, "total", cJSON_GetArraySize(list))))
        rc = cli_no_memory(err);
    if (rc == 0) {
        cJSON_AddItemToObject(o, "workers", list);
        cJSON_Delete(*outcome);
        *outcome = o;
        return 0;
    }
    cJSON_Delete(list);
    cJSON_Delete(o);
    return rc;
}

/* --- progress --- */

static void show_progress(int done, int total, bool bar, int *shown)
{
    if (done == *shown)
        return;
    if (bar) {
        int full = total > 0 ? done * BAR / total : BAR;
        (void)fprintf(stderr, "\r[%.*s%.*s] %d/%d workers", full, "##############################", BAR - full,
                      "..............................", done, total);
    } else {
        (void)fprintf(stderr, "%d/%d workers converged\n", done, total);
    }
    *shown = done;
}

static int stragglers(const cJSON *outcome, uint64_t seconds, struct cfg_error *err)
{
    struct cfg_buf names;
    cfg_buf_init(&names, 300);
    const cJSON *worker, *list = cfg_json_get(outcome, "workers");
    int n = 0;
    cJSON_ArrayForEach(worker, list)
    {
        if (cfg_json_get_bool(worker, "applied", false))
            continue;
        if (n < NAMED)
            cfg_buf_printf(&names, "%s%s", n > 0 ? ", " : "", cfg_json_get_str(worker, "worker", "?"));
        n++;
    }
    cfg_fail(err, CFG_E_TIMEOUT, "after %llu s %d of %d workers have not applied it: %s%s", (unsigned long long)seconds,
             n, cJSON_GetArraySize(list), names.data ? names.data : "", n > NAMED ? ", …" : "");
    cfg_error_set_hint(err, "the change is made; `cfgctl status %s` shows why they are behind",
                       cfg_json_get_str(cJSON_GetArrayItem(list, 0), "deployment", ""));
    cfg_buf_finish(&names);
    return CFG_E_TIMEOUT;
}

static int64_t monotonic_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    const struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&ts, NULL); /* waking early is fine */
}

static int follow(struct cli *c, const cJSON *names, struct cfg_rev rev, int64_t sent_us, uint64_t seconds,
                  cJSON **outcome, struct cfg_error *err)
{
    int64_t end = monotonic_ms() + (int64_t)seconds * 1000;
    bool bar = isatty(STDERR_FILENO), last = false; /* one look after the end: the one before may have been slow */
    int shown = -1, rc;
    for (long wait = FIRST_PAUSE_MS;; wait = wait * 3 / 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : wait * 3 / 2) {
        rc = look_at_all(c, names, rev, sent_us, outcome, err);
        if (rc != 0)
            break;
        int done = (int)cfg_json_get_num(*outcome, "converged", 0);
        int total = (int)cfg_json_get_num(*outcome, "total", 0);
        show_progress(done, total, bar, &shown);
        if (done == total)
            break;
        if (last) {
            rc = stragglers(*outcome, seconds, err);
            break;
        }
        last = monotonic_ms() >= end;
        if (!last)
            pause_ms(wait);
    }
    if (bar)
        (void)fputc('\n', stderr);
    return rc;
}

/* The revision to wait for; none when nothing was changed: then being converged will do. */
static int wanted_revision(struct cfg_rev *out, const cJSON *reply, struct cfg_error *err)
{
    const cJSON *result;
    bool changed = false;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        changed |= !cfg_json_get_bool(result, "unchanged", false);
    }
    *out = (struct cfg_rev){0, 0};
    if (changed && cfg_rev_parse(out, cfg_slice_str(cfg_json_get_str(reply, "revision", "")), NULL) != 0)
        return cfg_fail(err, CFG_E_PROTOCOL, "the server's reply names no revision to wait for");
    return 0;
}

int wait_converged(struct cli *c, const cJSON *reply, int64_t sent_us, cJSON **outcome, struct cfg_error *err)
{
    struct cfg_rev rev;
    uint64_t seconds = TIMEOUT_S;
    int rc = wanted_revision(&rev, reply, err);
    if (rc == 0)
        rc = cli_number(c, OPT_TIMEOUT, &seconds, err);
    if (rc != 0)
        return rc;
    cJSON *names = concerned(reply);
    if (names == NULL)
        return cli_no_memory(err);
    rc = follow(c, names, rev, sent_us, seconds, outcome, err);
    cJSON_Delete(names);
    return rc;
}

void wait_describe(struct cfg_buf *out, const cJSON *outcome)
{
    const cJSON *worker;
    bool timed = false;
    cJSON_ArrayForEach(worker, cfg_json_get(outcome, "workers"))
    {
        double latency = cfg_json_get_num(worker, "latency_ms", -1), step = cfg_json_get_num(worker, "step", -1);
        cfg_buf_puts(out, "  ");
        cli_put_text(out, cfg_json_get_str(worker, "worker", "?"));
        cfg_buf_puts(out, cfg_json_get_bool(worker, "applied", false) ? ": applied" : ": not applied");
        const char *why = cfg_json_get_str(worker, "rejects", NULL);
        if (why) {
            cfg_buf_puts(out, ", it rejects ");
            cli_put_text(out, why);
        }
        if (latency >= 0)
            cfg_buf_printf(out, " %.1f ms after set was sent", latency);
        if (latency >= 0 && step >= 0)
            cfg_buf_printf(out, ", at step %.0f", step);
        cfg_buf_putc(out, '\n');
        timed |= latency >= 0;
    }
    if (timed)
        cfg_buf_puts(out, "  (times compare this host's clock with the workers'; exact where that is one host)\n");
}
