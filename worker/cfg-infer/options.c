/* The command line. See options.h. */
#include "worker/cfg-infer/options.h"
#include "proto/path.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, U64, U32, I64, SWITCH };

static const struct option {
    const char *name, *value;
    enum kind kind;
    size_t at;
    const char *help;
} table[] = {
#define AT(member) offsetof(struct cfg_infer_options, member)
    {"--server", "URL,…", TEXT, AT(server), "configd (default: CONFIGD_SERVER, else http://127.0.0.1:7117)"},
    {"--deployment", "NAME", TEXT, AT(deployment), "whose worker this is (default: CONFIGD_DEPLOYMENT)"},
    {"--worker", "ID", TEXT, AT(worker), "its id (default: CONFIGD_WORKER, else the host name)"},
    {"--source", "file:FILE", TEXT, AT(source), "follow a file instead of a daemon (default: CONFIGD_SOURCE)"},
    {"--cache", "FILE", TEXT, AT(cache), "where the last good view is kept; \"\" for nowhere (default: CONFIGD_CACHE)"},
    {"--set", "K=V;…", TEXT, AT(set), "local overrides (default: CONFIGD_SET)"},
    {"--listen", "HOST:PORT", TEXT, AT(listen), "serve /v1/completions and what openapi.yaml has; port 0 is any"},
    {"--model", "FILE", TEXT, AT(model), "weights, a safetensors file of cfg-train (default: a small model inside)"},
    {"--backend", "NAME", TEXT, AT(backend), "auto, cpu or cuda (default: model.backend of the deployment, else auto)"},
    {"--precision", "NAME", TEXT, AT(precision), "float32, or bf16 on cuda (default: model.precision, else float32)"},
    {"--threads", "N", U32, AT(threads), "of OpenBLAS (default 1)"},
    {"--max-batch", "N", I64, AT(max_batch), "the greatest batch, prepared at the start (default 64): more is refused"},
    {"--load", "N", U32, AT(load), "keep N sequences of its own running (default 0)"},
    {"--steps", "N", U64, AT(steps), "end after N steps"},
    {"--step-ms", "N", U32, AT(step_ms), "a step takes at least this long (default 0: as fast as it can)"},
    {"--drain-ms", "N", U32, AT(drain_ms), "when ended, wait this long for requests under way (default 5000)"},
    {"--start-ms", "N", U32, AT(start_ms), "wait this long for the first view (default 10000)"},
    {"--tp", "N", I64, AT(tp), "built for distributed.tp = N: refused by a deployment that pins another"},
    {"--world-size", "N", I64, AT(world_size), "likewise for distributed.world_size"},
    {"--log-steps", NULL, SWITCH, AT(log_steps), "print a line per step"},
    {"--quiet", NULL, SWITCH, AT(quiet), "print nothing but where it listens"},
    {"--version", NULL, SWITCH, AT(version), "print the version"},
    {"--help", NULL, SWITCH, AT(help), "print this"},
#undef AT
};
enum { N_OPTIONS = sizeof table / sizeof table[0] };

void cfg_infer_options_help(void)
{
    (void)puts("cfg-infer: serves a small language model, on parameters that follow configd between two steps\n");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s %s", table[i].name, table[i].value != NULL ? table[i].value : "");
        (void)printf("  %-24s %s\n", left, table[i].help);
    }
    (void)puts("\nexamples:\n"
               "  cfg-infer --deployment chat-blue --worker w0 --listen 127.0.0.1:8000\n"
               "  cfg-infer --source file:chat.json --listen 127.0.0.1:8000       without a daemon\n"
               "  curl --json '{\"prompt\":\"The Fox \",\"max_tokens\":40,\"stream\":true}' "
               "http://127.0.0.1:8000/v1/completions");
}

static int unknown(const char *arg, struct cfg_error *err)
{
    const char *names[N_OPTIONS];
    for (size_t i = 0; i < N_OPTIONS; i++) {
        names[i] = table[i].name;
    }
    const char *near = cfg_near_miss(arg, names, N_OPTIONS);
    (void)cfg_fail(err, CFG_E_INVALID, "unknown option %s", arg);
    cfg_error_set_hint(err, near != NULL ? "did you mean %s?" : "see cfg-infer --help%s", near != NULL ? near : "");
    return CFG_E_INVALID;
}

static int store(struct cfg_infer_options *o, const struct option *d, const char *value, struct cfg_error *err)
{
    void *at = (char *)o + d->at;
    if (d->kind == SWITCH) {
        *(bool *)at = true;
        return 0;
    }
    if (value == NULL) {
        return cfg_fail(err, CFG_E_INVALID, "%s needs a value (%s)", d->name, d->value);
    }
    if (d->kind == TEXT) {
        *(const char **)at = value;
        return 0;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    unsigned long long max = d->kind == U32 ? UINT32_MAX / 1000 : INT64_MAX;
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-' || n > max) {
        return cfg_fail(err, CFG_E_INVALID, "%s %s: expected a number", d->name, value);
    }
    if (d->kind == U64) {
        *(uint64_t *)at = n;
    } else if (d->kind == U32) {
        *(unsigned *)at = (unsigned)n;
    } else {
        *(int64_t *)at = (int64_t)n;
    }
    return 0;
}

int cfg_infer_options_read(struct cfg_infer_options *out, int argc, char **argv, struct cfg_error *err)
{
    struct cfg_infer_options o;
    memset(&o, 0, sizeof o);
    o.max_batch = 64;
    o.threads = 1;
    o.start_ms = 10000;
    o.drain_ms = 5000;
    for (int i = 1; i < argc; i++) {
        char name[64];
        const char *eq = strchr(argv[i], '=');
        size_t len = eq != NULL ? (size_t)(eq - argv[i]) : strlen(argv[i]);
        (void)snprintf(name, sizeof name, "%.*s", (int)(len < 60 ? len : 60), argv[i]);
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
        int rc = store(&o, &table[k], value, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (o.max_batch < 1 || o.max_batch > CFG_BATCH_MAX) {
        return cfg_fail(err, CFG_E_INVALID, "--max-batch %lld: expected 1 to %d", (long long)o.max_batch,
                        CFG_BATCH_MAX);
    }
    *out = o;
    return 0;
}
