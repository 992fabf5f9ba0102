#include "client/cfgctl/wait.h"
#include "client/cfgctl/fleet.h"
#include "client/cfgctl/reach.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 30, FIRST_PAUSE_MS = 2, LAST_PAUSE_MS = 250, BAR = 30, NAMED = 8 };

struct wait_worker wait_judge(const cJSON *worker, struct cfg_rev target, struct cfg_rev rev, int64_t sent_us)
{
    const cJSON *applied = cfg_json_get(worker, "applied");
    struct wait_worker w = {.latency_ms = -1, .step = cfg_json_get_num(applied, "step", -1)};
    struct cfg_rev has = {0, 0};
    bool known = cfg_rev_parse(&has, cfg_slice_str(cfg_json_get_str(applied, "revision", "")), NULL) == 0;
    bool current = cfg_json_get_bool(worker, "converged", false) && cfg_rev_cmp(target, rev) >= 0;
    known &= !cfg_rev_is_none(rev);
    w.applied = current || (known && cfg_rev_cmp(has, rev) >= 0);
    int64_t at = 0;
    if (w.applied && known && cfg_rfc3339_parse(&at, cfg_slice_str(cfg_json_get_str(applied, "at", "")), NULL) == 0 &&
        at >= sent_us && cfg_rev_cmp(has, rev) >= 0)
        w.latency_ms = (double)(at - sent_us) / 1000;
    return w;
}

bool wait_counts(const cJSON *worker)
{
    const char *condition = cfg_json_get_str(worker, "condition", "");
    return cfg_json_get_bool(worker, "connected", true) && strcmp(condition, "superseded") != 0;
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
    static const char *const told[] = {"condition", "why"};
    for (size_t i = 0; ok && i < sizeof told / sizeof told[0]; i++)
        if (cfg_json_get_str(worker, told[i], NULL))
            ok = cJSON_AddStringToObject(o, told[i], cfg_json_get_str(worker, told[i], "")) != NULL;
    if (ok && cJSON_AddItemToArray(list, o))
        return w.applied ? 1 : 0;
    cJSON_Delete(o);
    return 0;
}

/* Workers that nobody could be asked about count as behind, each of them. Under "count", since none has a name. */
static int add_unknown(cJSON *list, const char *deployment, double n)
{
    cJSON *o = n > 0 ? cJSON_CreateObject() : NULL;
    if (n > 0 && !(cJSON_AddStringToObject(o, "deployment", deployment) &&
                   cJSON_AddStringToObject(o, "worker",
                                           n > 1 ? "workers of a configd that does not answer"
                                                 : "worker of a configd that does not answer") &&
                   cJSON_AddBoolToObject(o, "applied", false) && cJSON_AddStringToObject(o, "condition", "unknown") &&
                   cJSON_AddNumberToObject(o, "count", n) && cJSON_AddItemToArray(list, o))) {
        cJSON_Delete(o);
        return 1; /* without memory: behind all the same */
    }
    return (int)n;
}

/* A process that keeps trying, and is not let in. */
static bool was_refused(const cJSON *worker)
{
    return strcmp(cfg_json_get_str(worker, "state", ""), "refused") == 0;
}

static bool add_refused(cJSON *list, const char *deployment, const cJSON *worker)
{
    cJSON *o = cJSON_CreateObject();
    if (o && cJSON_AddStringToObject(o, "deployment", deployment) &&
        cJSON_AddStringToObject(o, "worker", cfg_json_get_str(worker, "worker", "?")) &&
        cJSON_AddBoolToObject(o, "applied", false) && cJSON_AddBoolToObject(o, "refused", true) &&
        cJSON_AddStringToObject(o, "condition", "not let in") &&
        cJSON_AddStringToObject(o, "why", cfg_json_get_str(worker, "why", "")) && cJSON_AddItemToArray(list, o))
        return true;
    cJSON_Delete(o);
    return false;
}

struct tally {
    int applied, total, refused;
};

static int look(struct cli *c, const char *deployment, struct cfg_rev rev, int64_t sent_us, cJSON *list,
                struct tally *tally, struct cfg_error *err)
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
        if (was_refused(worker)) {
            tally->refused++;
            if (!add_refused(list, deployment, worker))
                rc = cli_no_memory(err);
        }
        if (!wait_counts(worker))
            continue;
        tally->applied +=
            add_worker(list, deployment, worker, wait_judge(worker, target, rev, sent_us), refusal(worker, rev));
        tally->total++;
    }
    tally->total += add_unknown(list, deployment, cfg_json_get_num(reply, "unknown", 0));
    cJSON_Delete(reply);
    return rc;
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
    struct tally tally = {0, 0, 0};
    int rc = list && o ? 0 : cli_no_memory(err);
    cJSON_ArrayForEach(name, names)
    {
        if (rc == 0)
            rc = look(c, name->string, rev, sent_us, list, &tally, err);
    }
    if (rc == 0 &&
        (!cJSON_AddNumberToObject(o, "converged", tally.applied) || !cJSON_AddNumberToObject(o, "total", tally.total) ||
         !cJSON_AddNumberToObject(o, "refused", tally.refused)))
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

/* "w3 rejecting, w4 lagging, 2 unknown": who is behind, and what each of them is. */
static void put_behind(struct cfg_buf *out, const cJSON *outcome, int most)
{
    const cJSON *worker;
    int n = 0;
    cJSON_ArrayForEach(worker, cfg_json_get(outcome, "workers"))
    {
        double count = cfg_json_get_num(worker, "count", 0);
        const char *condition = cfg_json_get_str(worker, "condition", "");
        if (cfg_json_get_bool(worker, "applied", false))
            continue;
        if (n++ >= most)
            continue;
        cfg_buf_puts(out, n > 1 ? ", " : "");
        if (count > 0)
            cfg_buf_printf(out, "%.0f ", count);
        cli_put_text(out, cfg_json_get_str(worker, "worker", "?"));
        if (condition[0] && count <= 0)
            cfg_buf_printf(out, " (%s)", condition);
    }
    if (n > most)
        cfg_buf_printf(out, ", and %d more", n - most);
}

/* Its numbers: who is done, of how many, and who is outside. */
static struct tally tally_of(const cJSON *outcome)
{
    return (struct tally){.applied = (int)cfg_json_get_num(outcome, "converged", 0),
                          .total = (int)cfg_json_get_num(outcome, "total", 0),
                          .refused = (int)cfg_json_get_num(outcome, "refused", 0)};
}

static void show_progress(const cJSON *outcome, bool bar, int *shown)
{
    const struct tally t = tally_of(outcome);
    int done = t.applied, total = t.total;
    struct cfg_buf behind;
    if (!bar && done == *shown)
        return;
    *shown = done;
    cfg_buf_init(&behind, 4096);
    put_behind(&behind, outcome, bar ? 2 : NAMED);
    const char *names = behind.len > 0 ? behind.data : "";
    if (bar) {
        int full = total > 0 ? done * BAR / total : BAR;
        (void)fprintf(stderr, "\r\033[K[%.*s%.*s] %d/%d workers %.60s", full, "##############################",
                      BAR - full, "..............................", done, total, names);
    } else if (total == 0 && t.refused == 0) {
        (void)fputs("no worker is connected: nobody to wait for\n", stderr);
    } else {
        (void)fprintf(stderr, "%d/%d workers converged%s%s\n", done, total, names[0] ? "; behind: " : "", names);
    }
    cfg_buf_finish(&behind);
}

static int stragglers(const cJSON *outcome, uint64_t seconds, struct cfg_error *err)
{
    struct cfg_buf names;
    const struct tally t = tally_of(outcome);
    const cJSON *first = cJSON_GetArrayItem(cfg_json_get(outcome, "workers"), 0);
    int code = t.total > 0 ? CFG_E_TIMEOUT : CFG_E_NOT_LET_IN;
    cfg_buf_init(&names, 4096);
    put_behind(&names, outcome, NAMED);
    if (t.total > 0)
        (void)cfg_fail(err, code, "after %llu s %d of %d workers have not applied it: %.260s",
                       (unsigned long long)seconds, t.total - t.applied, t.total, names.data ? names.data : "");
    else
        (void)cfg_fail(err, code, "after %llu s nobody runs it: %.280s", (unsigned long long)seconds,
                       names.data ? names.data : "");
    cfg_error_set_hint(err, "the change is made; `cfgctl status %s` shows why they %s",
                       cfg_json_get_str(first, "deployment", ""), t.total > 0 ? "are behind" : "are not let in");
    cfg_buf_finish(&names);
    return code;
}

/* All that are in have applied it; where nobody is in, those who are or were at the door may be let in by this very
 * change. */
static bool is_over(const cJSON *outcome, bool *knocked)
{
    const struct tally t = tally_of(outcome);
    *knocked = *knocked || t.refused > 0;
    return t.applied >= t.total && (t.total > 0 || !*knocked);
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
    bool bar = isatty(STDERR_FILENO), knocked = false,
         last = false; /* last: one look after the end: the one before may have been slow */
    int shown = -1, rc;
    for (long wait = FIRST_PAUSE_MS;; wait = wait * 3 / 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : wait * 3 / 2) {
        rc = look_at_all(c, names, rev, sent_us, outcome, err);
        if (rc != 0)
            break;
        show_progress(*outcome, bar, &shown);
        if (is_over(*outcome, &knocked))
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

bool wait_for_nobody(struct cfg_buf *out, const cJSON *reply)
{
    const cJSON *result, *held;
    bool all = cJSON_GetArraySize(cfg_json_get(reply, "results")) > 0;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        all = all && reach_all_hold(result);
    }
    if (!all)
        return false;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        const char *ns = cfg_json_get_str(result, "namespace", "?");
        cJSON_ArrayForEach(held, cfg_json_get(result, "held"))
        {
            const char *name = cfg_json_get_str(held, "deployment", "?");
            bool own = strcmp(cfg_json_get_str(held, "namespace", ns), ns) == 0;
            if (strcmp(cfg_json_get_str(held, "arm", "base"), "base") != 0)
                continue;
            cfg_buf_puts(out, "nothing to wait for: ");
            cli_put_text(out, name);
            if (cfg_json_get_bool(held, "rollout", false))
                cfg_buf_printf(out, " is being rolled out, follow it: cfgctl rollout status %s -w\n", name);
            else
                cfg_buf_printf(out, " holds v%.0f until a rollout: cfgctl rollout start %s --to %s%s%.0f --wait\n",
                               cfg_json_get_num(held, "version", 0), name, own ? "" : ns, own ? "" : "=",
                               cfg_json_get_num(result, "version", 0));
        }
    }
    return true;
}

/* *outcome as if everybody of nobody had it. */
static int say_nobody(cJSON **outcome, const struct cfg_buf *text, struct cfg_error *err)
{
    *outcome = cJSON_CreateObject();
    (void)fputs(text->data ? text->data : "", stderr);
    return cJSON_AddNumberToObject(*outcome, "converged", 0) && cJSON_AddNumberToObject(*outcome, "total", 0) &&
                   cJSON_AddNumberToObject(*outcome, "refused", 0) && cJSON_AddArrayToObject(*outcome, "workers")
               ? 0
               : cli_no_memory(err);
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
    struct cfg_buf nobody;
    cfg_buf_init(&nobody, (size_t)1 << 20);
    bool none = wait_for_nobody(&nobody, reply);
    rc = none ? say_nobody(outcome, &nobody, err) : 0;
    cfg_buf_finish(&nobody);
    if (none)
        return rc;
    cJSON *names = concerned(reply);
    if (names == NULL)
        return cli_no_memory(err);
    rc = follow(c, names, rev, sent_us, seconds, outcome, err);
    cJSON_Delete(names);
    return rc;
}

/* What there is to say of one that is behind, or not quite done. */
static void put_condition(struct cfg_buf *out, const cJSON *worker)
{
    const char *rejects = cfg_json_get_str(worker, "rejects", NULL), *why = cfg_json_get_str(worker, "why", "");
    const char *condition = cfg_json_get_str(worker, "condition", "");
    bool applied = cfg_json_get_bool(worker, "applied", false);
    bool partly = strcmp(condition, "draining") == 0 || strcmp(condition, "pending") == 0;
    if (rejects) {
        cfg_buf_puts(out, ", it rejects it: ");
        cli_put_text(out, rejects);
    } else if (condition[0] && (partly || !applied)) {
        cfg_buf_printf(out, ", %s%s", condition, why[0] ? ": " : "");
        cli_put_text(out, why);
    }
}

void wait_describe(struct cfg_buf *out, const cJSON *outcome)
{
    const cJSON *worker;
    bool timed = false;
    cJSON_ArrayForEach(worker, cfg_json_get(outcome, "workers"))
    {
        double latency = cfg_json_get_num(worker, "latency_ms", -1), step = cfg_json_get_num(worker, "step", -1);
        double count = cfg_json_get_num(worker, "count", 0);
        cfg_buf_puts(out, "  ");
        if (count > 0)
            cfg_buf_printf(out, "%.0f ", count);
        cli_put_text(out, cfg_json_get_str(worker, "worker", "?"));
        cfg_buf_puts(out, cfg_json_get_bool(worker, "applied", false) ? ": applied" : ": not applied");
        if (latency >= 0)
            cfg_buf_printf(out, " %.1f ms after set was sent", latency);
        if (latency >= 0 && step >= 0)
            cfg_buf_printf(out, ", at step %.0f", step);
        put_condition(out, worker);
        cfg_buf_putc(out, '\n');
        timed |= latency >= 0;
    }
    if (timed)
        cfg_buf_puts(out, "  (times compare this host's clock with the workers'; exact where that is one host)\n");
}
