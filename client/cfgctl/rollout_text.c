#include "client/cfgctl/rollout_text.h"
#include "client/cfgctl/table.h"
#include "client/cfgctl/when.h"

#include <stdio.h>
#include <string.h>

enum { SILENT_MS = 3000 }; /* a configd tells once a second what its workers run */

static const char *phase_of(const cJSON *rollout)
{
    return cfg_json_get_str(cfg_json_get(rollout, "state"), "phase", "?");
}

bool rollout_is_final(const cJSON *rollout)
{
    const char *phase = phase_of(rollout);
    return strcmp(phase, "finished") == 0 || strcmp(phase, "rolled-back") == 0 || strcmp(phase, "aborted") == 0;
}

/* What differs between the sides: namespaces, then flags. */
static void put_versions(struct cfg_buf *out, const cJSON *from, const cJSON *to, bool *any)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, to)
    {
        double was = cfg_json_get_num(from, item->string, 0);
        if (was == item->valuedouble)
            continue;
        cfg_buf_puts(out, *any ? ", " : "");
        cli_put_text(out, item->string);
        if (was > 0)
            cfg_buf_printf(out, " v%.0f → v%.0f", was, item->valuedouble);
        else
            cfg_buf_printf(out, " v%.0f", item->valuedouble);
        *any = true;
    }
}

void rollout_put_sides(struct cfg_buf *out, const cJSON *rollout)
{
    const cJSON *from = cfg_json_get(rollout, "from"), *to = cfg_json_get(rollout, "to");
    bool any = false;
    put_versions(out, cfg_json_get(from, "release"), cfg_json_get(to, "release"), &any);
    put_versions(out, cfg_json_get(from, "flags"), cfg_json_get(to, "flags"), &any);
}

static void put_labels(struct cfg_buf *out, const cJSON *rollout)
{
    const cJSON *label, *value;
    cJSON_ArrayForEach(label, cfg_json_get(rollout, "where"))
    {
        cfg_buf_puts(out, " · ");
        cli_put_text(out, label->string);
        cJSON_ArrayForEach(value, label)
        {
            cfg_buf_puts(out, value == label->child ? "=" : "|");
            cli_put_value(out, value);
        }
    }
    const char *by = cfg_json_get_str(rollout, "by", "");
    if (by[0]) {
        cfg_buf_puts(out, " · by ");
        cli_put_text(out, by);
    }
}

/* "1% ▸ [10%] ▸ 100%" */
static void put_steps(struct cfg_buf *out, const cJSON *rollout)
{
    const cJSON *steps = cfg_json_get(rollout, "steps"), *step;
    int at = (int)cfg_json_get_num(cfg_json_get(rollout, "state"), "step", 0), i = 0;
    bool begun = strcmp(phase_of(rollout), "scheduled") != 0;
    cJSON_ArrayForEach(step, steps)
    {
        bool here = begun && i == at;
        cfg_buf_printf(out, "%s%s%.6g%%%s%s", i > 0 ? " ▸ " : "", here ? "[" : "",
                       cfg_json_get_num(step, "share", 0) * 100, cfg_json_get_bool(step, "gate", false) ? "!" : "",
                       here ? "]" : "");
        i++;
    }
}

static const char *number(char out[32], const cJSON *object, const char *key)
{
    const cJSON *v = cfg_json_get(object, key);
    if (cJSON_IsNumber(v))
        (void)snprintf(out, 32, "%.5g", v->valuedouble);
    else
        (void)snprintf(out, 32, "-");
    return out;
}

static void put_arms(struct cfg_buf *out, const cJSON *arms, bool bold)
{
    static const char *const names[] = {"base", "canary"};
    static const char *const counts[] = {"groups", "workers", "converged", "rejecting"};
    struct table t;
    table_init(&t, "ARM|GROUPS|WORKERS|RUN IT|REJECT");
    for (size_t i = 0; i < 2; i++) {
        table_add(&t, names[i]);
        for (size_t k = 0; k < 4; k++)
            table_add_number(&t, cfg_json_get_num(cfg_json_get(arms, names[i]), counts[k], 0));
    }
    table_print(out, &t, 0, bold);
    table_finish(&t);
    double unknown = cfg_json_get_num(arms, "unknown", 0); /* zeros would look as if nobody was there */
    if (unknown > 0)
        cfg_buf_printf(out, "without the workers of %.0f configd%s that could not be counted now\n", unknown,
                       unknown > 1 ? "s" : "");
}

static void put_guards(struct cfg_buf *out, const cJSON *guards, bool bold)
{
    const cJSON *g;
    char text[32];
    struct table t;
    if (guards == NULL || guards->child == NULL)
        return;
    cfg_buf_putc(out, '\n');
    table_init(&t, "GUARD|VERDICT|CANARY|BASE|SAMPLES|WHY");
    cJSON_ArrayForEach(g, guards)
    {
        table_add(&t, cfg_json_get_str(g, "guard", "?"));
        table_add(&t, cfg_json_get_str(g, "verdict", "?"));
        table_add(&t, number(text, g, "canary"));
        table_add(&t, number(text, g, "base"));
        table_add_number(&t, cfg_json_get_num(g, "n", 0));
        table_add(&t, cfg_json_get_str(g, "why", ""));
    }
    table_print(out, &t, 0, bold);
    table_finish(&t);
}

/* What a person may do about where it is; NULL: it goes on by itself. */
static const char *next_word(const cJSON *rollout)
{
    const char *phase = phase_of(rollout);
    return strcmp(phase, "gate") == 0 ? "approve" : strcmp(phase, "paused") == 0 ? "resume" : NULL;
}

/* "chat v44 waits; afterwards: cfgctl rollout start blue --to 44" */
static void put_waiting(struct cfg_buf *out, const cJSON *rollout)
{
    const char *deployment = cfg_json_get_str(rollout, "deployment", "?"), *config;
    const cJSON *space;
    config = cfg_json_get_str(rollout, "config", "");
    cJSON_ArrayForEach(space, cfg_json_get(cfg_json_get(rollout, "live"), "waiting"))
    {
        bool own = strcmp(space->string, config) == 0;
        cfg_buf_puts(out, "stored ");
        cli_put_text(out, space->string);
        cfg_buf_printf(out, " v%.0f waits; afterwards: cfgctl rollout start ", space->valuedouble);
        cli_put_text(out, deployment);
        cfg_buf_puts(out, " --to ");
        cli_put_text(out, own ? "" : space->string);
        cfg_buf_printf(out, "%s%.0f\n", own ? "" : "=", space->valuedouble);
    }
}

/* A dead driver holds its lock until the lease runs out: the silence shows before. */
static void put_driver(struct cfg_buf *out, const cJSON *live)
{
    const char *driver = cfg_json_get_str(live, "driver", "");
    double silent_ms = cfg_json_get_num(cfg_json_get(live, "observed"), driver, 0);
    bool dead = silent_ms > SILENT_MS;
    cfg_buf_puts(out, driver[0] && !dead ? " · driven by " : " · nobody drives it right now: ");
    cli_put_text(out, driver);
    if (dead)
        cfg_buf_printf(out, " was last heard of %.0f s ago; ", silent_ms / 1000);
    if (dead || driver[0] == '\0')
        cfg_buf_puts(out, "another configd takes over within 6 s; if none does: cfgctl doctor");
    cfg_buf_putc(out, '\n');
}

static void put_next(struct cfg_buf *out, const cJSON *rollout)
{
    const cJSON *live = cfg_json_get(rollout, "live");
    const char *word = next_word(rollout);
    cfg_buf_puts(out, "next: ");
    cli_put_text(out, cfg_json_get_str(live, "waits", ""));
    if (word) {
        cfg_buf_printf(out, ": cfgctl rollout %s ", word);
        cli_put_text(out, cfg_json_get_str(rollout, "deployment", "?"));
    }
    put_driver(out, live);
}

void rollout_summarize(struct cfg_buf *out, const cJSON *rollout)
{
    const cJSON *live = cfg_json_get(rollout, "live");
    const cJSON *step = cJSON_GetArrayItem(cfg_json_get(rollout, "steps"),
                                           (int)cfg_json_get_num(cfg_json_get(rollout, "state"), "step", 0));
    rollout_put_sides(out, rollout);
    cfg_buf_printf(out, " · %s · ", phase_of(rollout));
    put_steps(out, rollout);
    put_labels(out, rollout);
    if (strcmp(phase_of(rollout), "baking") == 0)
        cfg_buf_printf(out, " · baked %.0f of %.0f s", cfg_json_get_num(live, "baked_ms", 0) / 1000,
                       cfg_json_get_num(step, "bake_ms", 0) / 1000);
    cfg_buf_putc(out, '\n');
    if (live) {
        put_next(out, rollout);
        put_waiting(out, rollout);
    }
}

void rollout_describe(struct cfg_buf *out, const cJSON *rollout, bool bold)
{
    const cJSON *live = cfg_json_get(rollout, "live"), *decision = cfg_json_get(rollout, "decision");
    cli_put_text(out, cfg_json_get_str(rollout, "deployment", "?"));
    cfg_buf_puts(out, ": ");
    rollout_summarize(out, rollout);
    if (live) {
        cfg_buf_putc(out, '\n');
        put_arms(out, cfg_json_get(live, "arms"), bold);
        put_guards(out, cfg_json_get(live, "guards"), bold);
        return;
    }
    const char *reason = cfg_json_get_str(rollout, "reason", "");
    cli_put_text(out, reason[0] ? reason : cfg_json_get_str(rollout, "message", ""));
    cfg_buf_putc(out, '\n');
    put_guards(out, cfg_json_get(decision, "guards"), bold);
}

static void tell_guard(struct cfg_buf *out, const cJSON *g)
{
    char canary[32], base[32];
    cfg_buf_puts(out, "    ");
    cli_put_text(out, cfg_json_get_str(g, "guard", "?"));
    cfg_buf_printf(out, " %s: canary %s", cfg_json_get_str(g, "verdict", "?"), number(canary, g, "canary"));
    if (cfg_json_get(g, "base"))
        cfg_buf_printf(out, ", base %s", number(base, g, "base"));
    cfg_buf_printf(out, " (%.0f samples)", cfg_json_get_num(g, "n", 0));
    const char *why = cfg_json_get_str(g, "why", "");
    if (why[0] && strcmp(cfg_json_get_str(g, "verdict", ""), "fails") != 0) { /* that is said above */
        cfg_buf_puts(out, ": ");
        cli_put_text(out, why);
    }
    cfg_buf_putc(out, '\n');
}

/* `start --now`: one step for everybody, which does not bake and is not watched. */
static bool is_at_once(const cJSON *rollout)
{
    const cJSON *steps = cfg_json_get(rollout, "steps"), *step = cJSON_GetArrayItem(steps, 0);
    return cJSON_GetArraySize(steps) == 1 && cJSON_GetArraySize(cfg_json_get(rollout, "guards")) == 0 &&
           cfg_json_get_num(step, "bake_ms", -1) == 0 && !cfg_json_get_bool(step, "gate", false);
}

/* How long its steps bake, and what is watched. */
static void tell_terms(struct cfg_buf *out, const cJSON *rollout)
{
    const cJSON *steps = cfg_json_get(rollout, "steps"), *step, *guard;
    bool alike = true;
    cJSON_ArrayForEach(step, steps)
    {
        alike = alike && cfg_json_get_num(step, "bake_ms", 0) == cfg_json_get_num(steps->child, "bake_ms", 0);
    }
    cfg_buf_puts(out, ", baked ");
    cJSON_ArrayForEach(step, steps)
    {
        if (step == steps->child || !alike)
            cfg_buf_printf(out, "%s%.6g", step == steps->child ? "" : "/", cfg_json_get_num(step, "bake_ms", 0) / 1000);
    }
    cfg_buf_puts(out, " s");
    cJSON_ArrayForEach(guard, cfg_json_get(rollout, "guards"))
    {
        cfg_buf_puts(out, guard->prev->next ? ", " : "; guards ");
        cli_put_value(out, guard);
    }
}

/* The phase is said beside it. */
static const char *bare(const char *message)
{
    static const char word[] = "rollout: ";
    return strncmp(message, word, sizeof word - 1) == 0 ? message + sizeof word - 1 : message;
}

/* Not every step on the way looked at guards. */
static bool shows_guards(const char *input)
{
    return strcmp(input, "passed") == 0 || strcmp(input, "failed") == 0;
}

void rollout_tell(struct cfg_buf *out, const cJSON *version)
{
    const cJSON *decision = cfg_json_get(version, "decision"), *guards = NULL, *guard;
    const char *input = cfg_json_get_str(decision, "input", "?");
    const char *message = bare(cfg_json_get_str(version, "message", ""));
    const char *why = cfg_json_get_str(decision, "why", "");
    char when[32];
    cfg_buf_printf(out, "%s  %-12s ", when_local(when, cfg_json_get_str(version, "time", "")), phase_of(version));
    cli_put_text(out, cfg_json_get_str(decision, "actor", cfg_json_get_str(version, "author", "?")));
    cfg_buf_puts(out, ": ");
    if (strcmp(input, "start") == 0) {
        rollout_put_sides(out, version);
        bool at_once = is_at_once(version);
        cfg_buf_puts(out, at_once ? " at once, without guards" : " in steps ");
        if (!at_once)
            put_steps(out, version);
        put_labels(out, version);
        if (!at_once)
            tell_terms(out, version);
        cfg_buf_puts(out, why[0] ? " · " : "");
        cli_put_text(out, why);
    } else {
        cli_put_text(out, message[0] ? message : input);
        if (message[0] == '\0' && why[0]) {
            cfg_buf_puts(out, ": ");
            cli_put_text(out, why);
        }
    }
    cfg_buf_putc(out, '\n');
    if (shows_guards(input))
        guards = cfg_json_get(decision, "guards");
    cJSON_ArrayForEach(guard, guards)
    {
        tell_guard(out, guard);
    }
}
