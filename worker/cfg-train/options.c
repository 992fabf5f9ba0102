/* The command line. See options.h. */
#include "worker/cfg-train/options.h"
#include "worker/args.h"
#include <limits.h>
#include <string.h>

/* A seed is kept in a checkpoint's JSON, where greater numbers are not exact. */
#define MOST_EXACT ((UINT64_C(1) << 53) - 1)

static int take_text(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_train_options *o = options;
    if (o->n_texts == CFG_TRAIN_TEXTS_MAX) {
        return cfg_fail(err, CFG_E_INVALID, "there may be %d", CFG_TRAIN_TEXTS_MAX);
    }
    o->texts[o->n_texts++] = value;
    return 0;
}

static int take_output(void *options, const char *value, struct cfg_error *err)
{
    struct cfg_train_options *o = options;
    o->json = strcmp(value, "json") == 0;
    return o->json || strcmp(value, "text") == 0
               ? 0
               : cfg_fail(err, CFG_E_INVALID, "\"%s\" is neither text nor json", value);
}

static const struct cfg_arg rows[] = {
#define WITHIN(member, least, most) CFG_ARG_WITHIN(struct cfg_train_options, member, least, most)
#define AT(member)                  CFG_ARG(struct cfg_train_options, member)
    {"--text", "FILE", CFG_ARG_CALL(take_text), "learn from this file; as often as there are files, in this order"},
    {"--checkpoint", "FILE", AT(checkpoint), "where checkpoints are kept; replaced whole"},
    {"--resume", NULL, AT(resume), "continue from that file where it is there"},
    {"--overwrite", NULL, AT(overwrite), "begin anew and replace that file"},
    {"--export", "FILE", AT(export), "at the end write the weights alone, as cfg-infer serves them"},
    {"--seed", "N", WITHIN(seed, 0, MOST_EXACT), "where weights and the order of the text begin (default 1)"},
    {"--server", "URL,…", AT(server), "configd (default: CONFIGD_SERVER, else http://127.0.0.1:7117)"},
    {"--deployment", "NAME", AT(deployment), "whose worker this is (default: CONFIGD_DEPLOYMENT)"},
    {"--worker", "ID", AT(worker), "its id (default: CONFIGD_WORKER, else the host name)"},
    {"--source", "file:FILE", AT(source), "follow a file instead of a daemon (default: CONFIGD_SOURCE)"},
    {"--cache", "FILE", AT(cache), "where the last good view is kept; \"\" for nowhere (default: CONFIGD_CACHE)"},
    {"--set", "K=V;…", AT(set), "local overrides (default: CONFIGD_SET)"},
    {"--group", "tcp:HOST:PORT", AT(group), "how the ranks agree on changes (default: CONFIGD_GROUP)"},
    {"--reduce", "HOST:PORT", AT(reduce),
     "where rank 0 adds up gradients (default: CONFIGD_ALLREDUCE, else the port after the group's)"},
    {"--reduce-by", "tcp|nccl", AT(reduce_by), "how gradients are added up (default tcp)"},
    {"--backend", "cpu|cuda", AT(backend), "train.backend where the deployment says nothing (default cpu)"},
    {"--precision", "NAME", AT(precision), "likewise train.precision: float32, bf16 (default float32)"},
    {"--device", "N", AT(device), "number of the GPU (default: LOCAL_RANK, else 0)"},
    {"--threads", "N", AT(threads), "threads of matrix products on a CPU (default 1)"},
    {"--max-micro", "N", WITHIN(max_micro, 1, CFG_ARG_MAX_32), "room for so many rows of a micro batch (default 1024)"},
    {"--eval-rows", "N", WITHIN(eval_rows, 1, CFG_ARG_MAX_32),
     "an evaluation looks at so many places of the text (default 4096)"},
    {"--start-ms", "N", AT(start_ms), "wait this long for the first view (default 10000)"},
    {"--deadline-ms", "N", AT(deadline_ms), "how long a sum waits for a rank (default 60000)"},
    {"--output", "text|json", CFG_ARG_CALL(take_output),
     "text: a progress bar on a terminal, lines elsewhere; json: a line per event"},
    {"-o", "text|json", CFG_ARG_CALL(take_output), "the same"},
    {"--quiet", NULL, AT(quiet), "print errors only"},
    {"--version", NULL, AT(version), "print the version"},
    {"--help", NULL, AT(help), "print this"},
#undef AT
#undef WITHIN
};
static const struct cfg_args table = {
    .program = "cfg-train",
    .about = "trains a small byte-level language model, on parameters that follow configd between two steps",
    .rows = rows,
    .n = sizeof rows / sizeof rows[0],
    .notes = "Parameters that it follows while it runs (cfgctl set NAMESPACE/NAME=VALUE):\n"
             "  barrier  optimizer.lr, optimizer.clip, train.global_batch, train.accumulation\n"
             "  live     train.log_every, train.eval_every, train.checkpoint_every, train.stop_at (0: until stopped)\n"
             "  pinned   distributed.world_size, model.context, model.embed, model.hidden, model.layers,\n"
             "           train.precision, train.backend\n"
             "SIGTERM and SIGINT end it after the step at hand, with a checkpoint. Several ranks: CONFIGD_RANK, "
             "CONFIGD_WORLD\n"
             "and --group on each, or a launcher's variables; see docs/train.md.\n"
             "\n"
             "Examples:\n"
             "  cfg-train --source file:train.json --text book.txt --checkpoint run.safetensors --resume\n"
             "  cfg-train --deployment llm --text book.txt --checkpoint run.safetensors -o json\n",
};

void cfg_train_options_help(void)
{
    cfg_args_help(stdout, &table);
}

static int check(const struct cfg_train_options *o, struct cfg_error *err)
{
    if (o->help || o->version) {
        return 0;
    }
    if (o->n_texts == 0) {
        (void)cfg_fail(err, CFG_E_INVALID, "nothing to learn from");
        cfg_error_set_hint(err, "--text FILE, as often as there are files");
        return CFG_E_INVALID;
    }
    if (o->resume && o->overwrite) {
        return cfg_fail(err, CFG_E_INVALID, "--resume and --overwrite exclude one another");
    }
    if ((o->resume || o->overwrite) && o->checkpoint == NULL) {
        return cfg_fail(err, CFG_E_INVALID, "--%s needs --checkpoint", o->resume ? "resume" : "overwrite");
    }
    return 0;
}

int cfg_train_options_read(struct cfg_train_options *out, int argc, char **argv, struct cfg_error *err)
{
    struct cfg_train_options o = {.seed = 1,
                                  .start_ms = 10000,
                                  .deadline_ms = 60000,
                                  .threads = 1,
                                  .max_micro = 1024,
                                  .eval_rows = 4096,
                                  .device = UINT_MAX};
    int rc = cfg_args_read(&o, &table, argc, argv, err);
    rc = rc == 0 ? check(&o, err) : rc;
    if (rc == 0) {
        *out = o;
    }
    return rc;
}
