/* The command line. See options.h. */
#include "worker/cfg-infer/options.h"
#include "worker/args.h"

static const struct cfg_arg rows[] = {
#define AT(member) CFG_ARG(struct cfg_infer_options, member)
    {"--server", "URL,…", AT(server), "configd (default: CONFIGD_SERVER, else http://127.0.0.1:7117)"},
    {"--deployment", "NAME", AT(deployment), "whose worker this is (default: CONFIGD_DEPLOYMENT)"},
    {"--worker", "ID", AT(worker), "its id (default: CONFIGD_WORKER, else the host name)"},
    {"--source", "file:FILE", AT(source), "follow a file instead of a daemon (default: CONFIGD_SOURCE)"},
    {"--cache", "FILE", AT(cache), "where the last good view is kept; \"\" for nowhere (default: CONFIGD_CACHE)"},
    {"--set", "K=V;…", AT(set), "local overrides (default: CONFIGD_SET)"},
    {"--listen", "HOST:PORT", AT(listen), "serve /v1/completions and what openapi.yaml has; port 0 is any"},
    {"--model", "FILE", AT(model), "weights, a safetensors file of cfg-train (default: a small model inside)"},
    {"--backend", "NAME", AT(backend), "auto, cpu or cuda (default: model.backend of the deployment, else auto)"},
    {"--precision", "NAME", AT(precision), "float32, or bf16 on cuda (default: model.precision, else float32)"},
    {"--threads", "N", AT(threads), "of OpenBLAS (default 1)"},
    {"--max-batch", "N", CFG_ARG_WITHIN(struct cfg_infer_options, max_batch, 1, CFG_BATCH_MAX),
     "the greatest batch, prepared at the start (default 64): more is refused"},
    {"--load", "N", AT(load), "keep N sequences of its own running (default 0)"},
    {"--steps", "N", AT(steps), "end after N steps"},
    {"--step-ms", "N", AT(step_ms), "a step takes at least this long (default 0: as fast as it can)"},
    {"--drain-ms", "N", AT(drain_ms), "when ended, wait this long for requests under way (default 5000)"},
    {"--start-ms", "N", AT(start_ms), "wait this long for the first view (default 10000)"},
    {"--tp", "N", AT(tp), "built for distributed.tp = N: refused by a deployment that pins another"},
    {"--world-size", "N", AT(world_size), "likewise for distributed.world_size"},
    {"--log-steps", NULL, AT(log_steps), "print a line per step"},
    {"--quiet", NULL, AT(quiet), "print nothing but where it listens"},
    {"--version", NULL, AT(version), "print the version"},
    {"--help", NULL, AT(help), "print this"},
#undef AT
};
static const struct cfg_args table = {
    .program = "cfg-infer",
    .about = "serves a small language model, on parameters that follow configd between two steps",
    .rows = rows,
    .n = sizeof rows / sizeof rows[0],
    .notes = "examples:\n"
             "  cfg-infer --deployment chat-blue --worker w0 --listen 127.0.0.1:8000\n"
             "  cfg-infer --source file:chat.json --listen 127.0.0.1:8000       without a daemon\n"
             "  curl --json '{\"prompt\":\"The Fox \",\"max_tokens\":40,\"stream\":true}' "
             "http://127.0.0.1:8000/v1/completions\n",
};

void cfg_infer_options_help(void)
{
    cfg_args_help(stdout, &table);
}

int cfg_infer_options_read(struct cfg_infer_options *out, int argc, char **argv, struct cfg_error *err)
{
    struct cfg_infer_options o = {.max_batch = 64, .threads = 1, .start_ms = 10000, .drain_ms = 5000};
    int rc = cfg_args_read(&o, &table, argc, argv, err);
    if (rc == 0) {
        *out = o;
    }
    return rc;
}
