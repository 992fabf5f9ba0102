/* The command line. See options.h. */
#include "worker/cfg-fleet/options.h"
#include "proto/path.h"
#include "worker/args.h"
#include <stdlib.h>
#include <string.h>

/* --- options that are more than a number or a text --- */

static int take_deployment(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    if (o->n_deployments == CFG_FLEET_DEPLOYMENTS) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d deployments", CFG_FLEET_DEPLOYMENTS);
    }
    int rc = cfg_check_name("deployment", cfg_slice_str(value), err);
    if (rc == 0) {
        o->deployments[o->n_deployments++] = value;
    }
    return rc;
}

static int take_step(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    cfg_signal_finish(&o->step_ms);
    return cfg_signal_parse(&o->step_ms, value, err);
}

static int take_measured(struct cfg_fleet_options *o, const char *value, bool of_requests, struct cfg_error *err)
{
    const char *eq = strchr(value, '=');
    if (eq == NULL || eq == value || eq - value > 64) {
        return cfg_fail(err, CFG_E_INVALID, "\"%s\" is no metric, like loss=2.1~3%%", value);
    }
    for (size_t i = 0; i < o->n_metrics; i++) {
        if (cfg_slice_eq_str((struct cfg_slice){value, (size_t)(eq - value)}, o->metrics[i].name)) {
            return cfg_fail(err, CFG_E_INVALID, "%s is measured twice", o->metrics[i].name);
        }
    }
    if (o->n_metrics == CFG_FLEET_METRICS) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d metrics", CFG_FLEET_METRICS);
    }
    int rc = cfg_signal_parse(&o->metrics[o->n_metrics].signal, eq + 1, err);
    if (rc == 0) {
        o->metrics[o->n_metrics].of_requests = of_requests;
        o->metrics[o->n_metrics].name = cfg_slice_dup((struct cfg_slice){value, (size_t)(eq - value)});
        rc = o->metrics[o->n_metrics].name != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
        o->n_metrics++;
    }
    return rc;
}

static int take_metric(void *options, const char *value, struct cfg_error *err)
{
    return take_measured(options, value, false, err);
}

static int take_outcome(void *options, const char *value, struct cfg_error *err)
{
    return take_measured(options, value, true, err);
}

static int take_lose(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    cfg_signal_finish(&o->lose);
    int rc = cfg_signal_parse(&o->lose, value, err);
    if (rc == 0 && o->lose.noise != CFG_NOISE_NONE) {
        cfg_signal_finish(&o->lose);
        return cfg_fail(err, CFG_E_INVALID, "\"%s\" is a probability by itself: no noise", value);
    }
    o->lose.noise = CFG_NOISE_COIN;
    return rc;
}

static int take_param(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    return cfg_declared_param(&o->declared, value, err);
}

static int take_flag(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    return cfg_declared_flag(&o->declared, value, err);
}

static int take_label(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
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

static int take_crash(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    return cfg_failure_plan_parse(&o->crash, value, err);
}

static int take_hang(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    return cfg_failure_plan_parse(&o->hang, value, err);
}

static int take_slow(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    return cfg_failure_plan_parse(&o->slow, value, err);
}

static int take_disconnect(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    return cfg_failure_plan_parse(&o->disconnect, value, err);
}

static int take_reject(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    return cfg_share_parse(&o->reject, value, err);
}

static int take_reject_if(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    cfg_expr_free(o->reject_if);
    o->reject_if = NULL;
    return cfg_expr_compile(&o->reject_if, cfg_slice_str(value), err);
}

static int take_crash_if(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    cfg_expr_free(o->crash_if);
    o->crash_if = NULL;
    return cfg_expr_compile(&o->crash_if, cfg_slice_str(value), err);
}

static int take_run(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    return cfg_duration_parse(&o->run_us, value, err);
}

static int take_factor(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
    char *end = NULL;
    double v = strtod(value, &end);
    if (end == value || *end != '\0' || !(v > 0 && v < 1e6)) {
        return cfg_fail(err, CFG_E_INVALID, "\"%s\" is no factor", value);
    }
    o->slow_factor = v;
    return 0;
}

static int take_output(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_fleet_options *o = options;
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

/* Far more than one process holds; as milliseconds, close to three hours. */
#define MOST 10000000

static const struct cfg_arg rows[] = {
#define AT(member)           CFG_ARG(struct cfg_fleet_options, member)
#define COUNT(member, least) CFG_ARG_WITHIN(struct cfg_fleet_options, member, least, MOST)
    {"--server", "URL,…", AT(server), "configd (default: CONFIGD_SERVER, else http://127.0.0.1:7117)"},
    {"--deployment", "NAME", CFG_ARG_CALL(take_deployment),
     "whose workers they are; several share them out (default: CONFIGD_DEPLOYMENT)"},
    {"--workers", "N", COUNT(workers, 1), "how many in all (default 100)"},
    {"--group-size", "N", COUNT(group_size, 1), "ranks of one group (default 1: each its own)"},
    {"--prefix", "TEXT", AT(prefix), "ids are TEXT-0000, TEXT-0001, … (default sim)"},
    {"--step-ms", "EXPR[~NOISE]", CFG_ARG_CALL(take_step), "how long a step takes (default 50; 0: idle, no steps)"},
    {"--param", "PATH=DEFAULT[:CLASS]", CFG_ARG_CALL(take_param),
     "a parameter they declare; the default tells the type"},
    {"--flag", "NS/NAME[=on|off]", CFG_ARG_CALL(take_flag), "a flag they declare"},
    {"--metric", "NAME=EXPR[~NOISE]", CFG_ARG_CALL(take_metric), "a sample per step"},
    {"--requests", "N", CFG_ARG_WITHIN(struct cfg_fleet_options, requests, 0, 10000),
     "in each step (default 1 with --outcome, else 0)"},
    {"--users", "N", AT(users), "who ask, all workers' (default: another one for each request)"},
    {"--outcome", "NAME=EXPR[~NOISE]", CFG_ARG_CALL(take_outcome),
     "a sample per request, by the variants it was served"},
    {"--lose", "EXPR", CFG_ARG_CALL(take_lose), "the probability that what came of a request is not told"},
    {"--label", "KEY=VALUE[:SHARE],…", CFG_ARG_CALL(take_label), "a label of each; several values by share"},
    {"--crash", "WHEN,…", CFG_ARG_CALL(take_crash), "die, and start anew after --restart-ms"},
    {"--crash-if", "EXPR", CFG_ARG_CALL(take_crash_if), "die in the step in which this is true"},
    {"--restart-ms", "N", COUNT(restart_ms, 0), "how long a crashed worker stays away (default 1000)"},
    {"--hang", "WHEN,…", CFG_ARG_CALL(take_hang), "take no step for --hang-ms"},
    {"--hang-ms", "N", COUNT(hang_ms, 0), "(default 5000)"},
    {"--slow", "WHEN,…", CFG_ARG_CALL(take_slow), "take --slow-factor times as long for --slow-ms"},
    {"--slow-ms", "N", COUNT(slow_ms, 0), "(default 10000)"},
    {"--slow-factor", "X", CFG_ARG_CALL(take_factor), "(default 10)"},
    {"--disconnect", "WHEN,…", CFG_ARG_CALL(take_disconnect), "lose the connection; the library finds its way back"},
    {"--reject", "SHARE", CFG_ARG_CALL(take_reject), "of the workers refuse a change, others each time"},
    {"--reject-if", "EXPR", CFG_ARG_CALL(take_reject_if), "refuse what this is true of"},
    {"--seed", "N", AT(seed), "the same seed, the same chances (default 1)"},
    {"--steps", "N", AT(steps), "end when every worker has taken N steps"},
    {"--for", "DURATION", CFG_ARG_CALL(take_run), "end after 30s, 5m, …"},
    {"--start-ms", "N", COUNT(start_ms, 0), "how long the first views may take (default 30000)"},
    {"--output", "text|json|ndjson", CFG_ARG_CALL(take_output),
     "json: a summary at the end, ndjson: events as well (default text)"},
    {"-o", "text|json|ndjson", CFG_ARG_CALL(take_output), "the same"},
    {"--quiet", NULL, AT(quiet), "no progress"},
    {"--version", NULL, AT(version), "print the version"},
    {"--help", NULL, AT(help), "print this"},
#undef AT
#undef COUNT
};
static const struct cfg_args table = {
    .program = "cfg-fleet",
    .about = "thousands of simulated workers in one process, over the real client library\n\n  cfg-fleet --deployment "
             "NAME [OPTION…]",
    .rows = rows,
    .n = sizeof rows / sizeof rows[0],
    .notes =
        "EXPR     the language of ${eval:…}, over declared parameters, ${NS/FLAG}, step, seconds, worker, rank,\n"
        "         revision, deployment, chance (0 to 1, another each step), inf and label.KEY; names that are not\n"
        "         declared are, without a default\n"
        "         of requests (--outcome, --lose): a flag is what this one is served, a parameter what that makes of "
        "it\n"
        "NOISE    0.05 (a deviation), 5% (of the value), coin (1 with that probability, else 0), exp\n"
        "WHEN     0.1%/s, 1%/m, 1%/h: that share of the workers, by chance; 5%@10s: of them, 10 s after all were up\n"
        "\nExamples\n"
        "  cfg-fleet --deployment chat-blue --workers 5000 --step-ms '50~10%'\n"
        "  cfg-fleet --deployment chat-blue --workers 200 --for 1m -o json \\\n"
        "      --metric 'error_rate=0.002 + (0.05 if sampling.temperature > 1.0 else 0) ~ coin'\n"
        "  cfg-fleet --deployment chat-blue --requests 5 \\\n"
        "      --outcome 'latency_ms=40 + (2 if ${experiment/ab.flag} else 0) ~ 5'\n"
        "  cfg-fleet --deployment chat-blue --workers 64 --group-size 8 --label gpu=H200 --label region=eu:0.3,us:0.7\n"
        "  cfg-fleet --deployment chat-blue --crash 0.1%/s,5%@10s --hang 1%/m --reject 2% --disconnect 10%@20s\n"
        "\nEnds with 0 when stopped (SIGINT, SIGTERM) or done, 2 for a wrong option; otherwise as cfgctl does.\n",
};

void cfg_fleet_options_help(void)
{
    cfg_args_help(stdout, &table);
}

/* --- what the options mean together --- */

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
    if (rc == 0 && o->workers % o->group_size != 0) {
        rc = cfg_fail(err, CFG_E_INVALID, "%u workers are not whole groups of %u", o->workers, o->group_size);
    }
    if (rc == 0 && o->step_ms.expr == NULL) {
        rc = cfg_signal_parse(&o->step_ms, "50", err);
    }
    rc = rc != 0 ? rc : cfg_declared_names(&o->declared, o->step_ms.expr, err);
    for (size_t i = 0; rc == 0 && i < o->n_metrics; i++) {
        rc = cfg_declared_names(&o->declared, o->metrics[i].signal.expr, err);
    }
    if (rc == 0 && o->lose.expr != NULL) {
        rc = cfg_declared_names(&o->declared, o->lose.expr, err);
    }
    if (rc == 0 && o->reject_if != NULL) {
        rc = cfg_declared_names(&o->declared, o->reject_if, err);
    }
    if (rc == 0 && o->crash_if != NULL) {
        rc = cfg_declared_names(&o->declared, o->crash_if, err);
    }
    for (size_t i = 0; i < o->n_metrics && o->requests == 0; i++) {
        o->requests = o->metrics[i].of_requests ? 1 : 0;
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
    int rc = cfg_args_read(&o, &table, argc, argv, err);
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
    cfg_signal_finish(&o->lose);
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
    cfg_expr_free(o->crash_if);
    o->crash_if = NULL;
}
