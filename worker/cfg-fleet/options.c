/* The command line. See options.h. */
#include "worker/cfg-fleet/options.h"
#include "proto/path.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*take_fn)(struct cfg_fleet_options *o, const char *value, struct cfg_error *err);

/* --- options that are more than a number or a text --- */

static int take_deployment(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    if (o->n_deployments == CFG_FLEET_DEPLOYMENTS) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d deployments", CFG_FLEET_DEPLOYMENTS);
    }
    int rc = cfg_check_name("deployment", cfg_slice_str(value), err);
    if (rc == 0) {
        o->deployments[o->n_deployments++] = value;
    }
    return rc;
}

static int take_step(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    cfg_signal_finish(&o->step_ms);
    return cfg_signal_parse(&o->step_ms, value, err);
}

static int take_metric(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    const char *eq = strchr(value, '=');
    if (eq == NULL || eq == value || eq - value > 64) {
        return cfg_fail(err, CFG_E_INVALID, "\"%s\" is no metric, like loss=2.1~3%%", value);
    }
    if (o->n_metrics == CFG_FLEET_METRICS) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d metrics", CFG_FLEET_METRICS);
    }
    int rc = cfg_signal_parse(&o->metrics[o->n_metrics].signal, eq + 1, err);
    if (rc == 0) {
        o->metrics[o->n_metrics].name = cfg_slice_dup((struct cfg_slice){value, (size_t)(eq - value)});
        rc = o->metrics[o->n_metrics].name != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
        o->n_metrics++;
    }
    return rc;
}

static int take_param(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    return cfg_declared_param(&o->declared, value, err);
}

static int take_flag(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    return cfg_declared_flag(&o->declared, value, err);
}

static int take_label(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    if (o->n_labels == CFG_FLEET_LABELS) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d labels", CFG_FLEET_LABELS);
    }
    char *text = strdup(value);
    if (text == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    o->label_texts[o->n_labels] = text;
    return cfg_label_parse(&o->labels[o->n_labels++], text, err);
}

static int take_crash(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    return cfg_failure_plan_parse(&o->crash, value, err);
}

static int take_hang(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    return cfg_failure_plan_parse(&o->hang, value, err);
}

static int take_slow(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    return cfg_failure_plan_parse(&o->slow, value, err);
}

static int take_disconnect(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    return cfg_failure_plan_parse(&o->disconnect, value, err);
}

static int take_reject(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    return cfg_share_parse(&o->reject, value, err);
}

static int take_reject_if(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    cfg_expr_free(o->reject_if);
    o->reject_if = NULL;
    return cfg_expr_compile(&o->reject_if, cfg_slice_str(value), err);
}

static int take_run(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    return cfg_duration_parse(&o->run_us, value, err);
}

static int take_factor(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    char *end = NULL;
    double v = strtod(value, &end);
    if (end == value || *end != '\0' || !(v > 0 && v < 1e6)) {
        return cfg_fail(err, CFG_E_INVALID, "\"%s\" is no factor", value);
    }
    o->slow_factor = v;
    return 0;
}

static int take_output(struct cfg_fleet_options *o, const char *value, struct cfg_error *err)
{
    static const char *const names[] = {"text", "json", "ndjson"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            o->output = (enum cfg_fleet_output)i;
            return 0;
        }
    }
    return cfg_fail(err, CFG_E_INVALID, "\"%s\" is no output: text, json or ndjson", value);
}

/* --- the table --- */

enum kind { TEXT, U64, U32, SWITCH, TAKE };

static const struct option {
    const char *name, *value;
    enum kind kind;
    size_t at;
    take_fn take;
    const char *help;
} table[] = {
#define AT(member) offsetof(struct cfg_fleet_options, member), NULL
#define CALL(fn)   0, fn
    {"--server", "URL,…", TEXT, AT(server), "configd (default: CONFIGD_SERVER, else http://127.0.0.1:7117)"},
    {"--deployment", "NAME", TAKE, CALL(take_deployment),
     "whose workers they are; several share them out (default: CONFIGD_DEPLOYMENT)"},
    {"--workers", "N", U32, AT(workers), "how many in all (default 100)"},
    {"--group-size", "N", U32, AT(group_size), "ranks of one group (default 1: each its own)"},
    {"--prefix", "TEXT", TEXT, AT(prefix), "ids are TEXT-0000, TEXT-0001, … (default sim)"},
    {"--step-ms", "EXPR[~NOISE]", TAKE, CALL(take_step), "how long a step takes (default 50; 0: idle, no steps)"},
    {"--param", "PATH=DEFAULT[:CLASS]", TAKE, CALL(take_param), "a parameter they declare; the default tells the type"},
    {"--flag", "NS/NAME[=on|off]", TAKE, CALL(take_flag), "a flag they declare"},
    {"--metric", "NAME=EXPR[~NOISE]", TAKE, CALL(take_metric), "a sample per step"},
    {"--label", "KEY=VALUE[:SHARE],…", TAKE, CALL(take_label), "a label of each; several values by share"},
    {"--crash", "WHEN,…", TAKE, CALL(take_crash), "die, and start anew after --restart-ms"},
    {"--restart-ms", "N", U32, AT(restart_ms), "how long a crashed worker stays away (default 1000)"},
    {"--hang", "WHEN,…", TAKE, CALL(take_hang), "take no step for --hang-ms"},
    {"--hang-ms", "N", U32, AT(hang_ms), "(default 5000)"},
    {"--slow", "WHEN,…", TAKE, CALL(take_slow), "take --slow-factor times as long for --slow-ms"},
    {"--slow-ms", "N", U32, AT(slow_ms), "(default 10000)"},
    {"--slow-factor", "X", TAKE, CALL(take_factor), "(default 10)"},
    {"--disconnect", "WHEN,…", TAKE, CALL(take_disconnect), "lose the connection; the library finds its way back"},
    {"--reject", "SHARE", TAKE, CALL(take_reject), "of the workers refuse a change, others each time"},
    {"--reject-if", "EXPR", TAKE, CALL(take_reject_if), "refuse what this is true of"},
    {"--seed", "N", U64, AT(seed), "the same seed, the same chances (default 1)"},
    {"--steps", "N", U64, AT(steps), "end when every worker has taken N steps"},
    {"--for", "DURATION", TAKE, CALL(take_run), "end after 30s, 5m, …"},
    {"--start-ms", "N", U32, AT(start_ms), "how long the first views may take (default 30000)"},
    {"--output", "text|json|ndjson", TAKE, CALL(take_output),
     "-o: json is a summary at the end, ndjson events as well"},
    {"--quiet", NULL, SWITCH, AT(quiet), "no progress"},
    {"--version", NULL, SWITCH, AT(version), "print the version"},
    {"--help", NULL, SWITCH, AT(help), "print this"},
#undef AT
#undef CALL
};
enum { N_OPTIONS = sizeof table / sizeof table[0] };

void cfg_fleet_options_help(void)
{
    (void)puts("cfg-fleet: thousands of simulated workers in one process, over the real client library\n\n"
               "  cfg-fleet --deployment NAME [OPTION…]\n");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s %s", table[i].name, table[i].value != NULL ? table[i].value : "");
        (void)printf("  %-33s %s\n", left, table[i].help);
    }
    (void)puts(
        "\nEXPR     the language of ${eval:…}, over declared parameters, ${NS/FLAG}, step, seconds, worker, rank,\n"
        "         revision, deployment and label.KEY; names that are not declared are, without a default\n"
        "NOISE    0.05 (a deviation), 5% (of the value), coin (1 with that probability, else 0), exp\n"
        "WHEN     0.1%/s, 1%/m, 1%/h: that share of the workers, by chance; 5%@10s: of them, 10 s after all were up\n"
        "\nExamples\n"
        "  cfg-fleet --deployment chat-blue --workers 5000 --step-ms '50~10%'\n"
        "  cfg-fleet --deployment chat-blue --workers 200 --for 1m -o json \\\n"
        "      --metric 'error_rate=0.002 + (0.05 if sampling.temperature > 1.0 else 0) ~ coin'\n"
        "  cfg-fleet --deployment chat-blue --workers 64 --group-size 8 --label gpu=H200 --label region=eu:0.3,us:0.7\n"
        "  cfg-fleet --deployment chat-blue --crash 0.1%/s,5%@10s --hang 1%/m --reject 2% --disconnect 10%@20s\n"
        "\nEnds with 0 when stopped (SIGINT, SIGTERM) or done, 2 for a wrong option; otherwise as cfgctl does.");
}

static int unknown(const char *arg, struct cfg_error *err)
{
    const char *names[N_OPTIONS];
    for (size_t i = 0; i < N_OPTIONS; i++) {
        names[i] = table[i].name;
    }
    const char *near = cfg_near_miss(arg, names, N_OPTIONS);
    (void)cfg_fail(err, CFG_E_INVALID, "unknown option %s", arg);
    cfg_error_set_hint(err, near != NULL ? "did you mean %s?" : "see cfg-fleet --help%s", near != NULL ? near : "");
    return CFG_E_INVALID;
}

static int store(struct cfg_fleet_options *o, const struct option *d, const char *value, struct cfg_error *err)
{
    void *at = (char *)o + d->at;
    if (d->kind == SWITCH) {
        *(bool *)at = true;
        return 0;
    }
    if (value == NULL) {
        return cfg_fail(err, CFG_E_INVALID, "%s needs a value (%s)", d->name, d->value);
    }
    if (d->take != NULL) {
        int rc = d->take(o, value, err);
        return rc != 0 ? cfg_error_wrap(err, "%s", d->name) : 0;
    }
    if (d->kind == TEXT) {
        *(const char **)at = value;
        return 0;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-' || n > (d->kind == U32 ? 10000000U : INT64_MAX)) {
        return cfg_fail(err, CFG_E_INVALID, "%s %s: expected a number", d->name, value);
    }
    if (d->kind == U64) {
        *(uint64_t *)at = n;
    } else {
        *(unsigned *)at = (unsigned)n;
    }
    return 0;
}

static int read_all(struct cfg_fleet_options *o, int argc, char **argv, struct cfg_error *err)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = strcmp(argv[i], "-o") == 0 ? "--output" : argv[i];
        char name[64];
        const char *eq = strchr(arg, '=');
        size_t len = eq != NULL ? (size_t)(eq - arg) : strlen(arg);
        (void)snprintf(name, sizeof name, "%.*s", (int)(len < 60 ? len : 60), arg);
        size_t k = 0;
        while (k < N_OPTIONS && strcmp(table[k].name, name) != 0) {
            k++;
        }
        if (k == N_OPTIONS) {
            return unknown(name, err);
        }
        const char *value = eq != NULL ? eq + 1 : NULL;
        if (value == NULL && table[k].kind != SWITCH && i + 1 < argc) {
            value = argv[++i];
        }
        int rc = store(o, &table[k], value, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* What was left open, and the names that the expressions ask for. */
static int complete(struct cfg_fleet_options *o, struct cfg_error *err)
{
    const char *deployment = getenv("CONFIGD_DEPLOYMENT");
    int rc = 0;
    if (o->n_deployments == 0 && deployment != NULL) {
        rc = take_deployment(o, deployment, err);
    }
    if (rc == 0 && o->n_deployments == 0) {
        (void)cfg_fail(err, CFG_E_INVALID, "no deployment");
        cfg_error_set_hint(err, "--deployment NAME; cfgctl deployment create makes one");
        return CFG_E_INVALID;
    }
    if (rc == 0 && (o->workers == 0 || o->group_size == 0 || o->workers % o->group_size != 0)) {
        rc = cfg_fail(err, CFG_E_INVALID, "%u workers are not whole groups of %u", o->workers, o->group_size);
    }
    if (rc == 0 && o->step_ms.expr == NULL) {
        rc = cfg_signal_parse(&o->step_ms, "50", err);
    }
    rc = rc != 0 ? rc : cfg_declared_names(&o->declared, o->step_ms.expr, err);
    for (size_t i = 0; rc == 0 && i < o->n_metrics; i++) {
        rc = cfg_declared_names(&o->declared, o->metrics[i].signal.expr, err);
    }
    if (rc == 0 && o->reject_if != NULL) {
        rc = cfg_declared_names(&o->declared, o->reject_if, err);
    }
    if (rc == 0 && o->declared.n == 0) {
        rc = cfg_declared_param(&o->declared, "sampling.temperature=0.7", err);
    }
    return rc;
}

int cfg_fleet_options_read(struct cfg_fleet_options *out, int argc, char **argv, struct cfg_error *err)
{
    struct cfg_fleet_options o = {
        .prefix = "sim",
        .workers = 100,
        .group_size = 1,
        .start_ms = 30000,
        .restart_ms = 1000,
        .hang_ms = 5000,
        .slow_ms = 10000,
        .slow_factor = 10,
        .seed = 1,
    };
    int rc = read_all(&o, argc, argv, err);
    if (rc == 0 && !o.help && !o.version) {
        rc = complete(&o, err);
    }
    if (rc != 0) {
        cfg_fleet_options_finish(&o);
        return rc;
    }
    *out = o;
    return 0;
}

void cfg_fleet_options_finish(struct cfg_fleet_options *o)
{
    cfg_signal_finish(&o->step_ms);
    for (size_t i = 0; i < o->n_metrics; i++) {
        cfg_signal_finish(&o->metrics[i].signal);
        free(o->metrics[i].name);
    }
    for (size_t i = 0; i < o->n_labels; i++) {
        free(o->label_texts[i]);
    }
    o->n_metrics = o->n_labels = 0;
    cfg_declared_finish(&o->declared);
    cfg_expr_free(o->reject_if);
    o->reject_if = NULL;
}
