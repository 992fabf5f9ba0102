/* The command line. See options.h. */
#include "worker/cfg-train/options.h"
#include "proto/path.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, TEXTS, U64, U32, SWITCH };

static const struct option {
    const char *name, *value;
    enum kind kind;
    size_t at;
    const char *help;
} table[] = {
#define AT(member) offsetof(struct cfg_train_options, member)
    {"--text", "FILE", TEXTS, 0, "learn from this file; as often as there are files, in this order"},
    {"--checkpoint", "FILE", TEXT, AT(checkpoint), "where checkpoints are kept; replaced whole"},
    {"--resume", NULL, SWITCH, AT(resume), "continue from that file where it is there"},
    {"--overwrite", NULL, SWITCH, AT(overwrite), "begin anew and replace that file"},
    {"--export", "FILE", TEXT, AT(export), "at the end write the weights alone, as cfg-infer serves them"},
    {"--seed", "N", U64, AT(seed), "where weights and the order of the text begin (default 1)"},
    {"--server", "URL,…", TEXT, AT(server), "configd (default: CONFIGD_SERVER, else http://127.0.0.1:7117)"},
    {"--deployment", "NAME", TEXT, AT(deployment), "whose worker this is (default: CONFIGD_DEPLOYMENT)"},
    {"--worker", "ID", TEXT, AT(worker), "its id (default: CONFIGD_WORKER, else the host name)"},
    {"--source", "file:FILE", TEXT, AT(source), "follow a file instead of a daemon (default: CONFIGD_SOURCE)"},
    {"--cache", "FILE", TEXT, AT(cache), "where the last good view is kept; \"\" for nowhere (default: CONFIGD_CACHE)"},
    {"--set", "K=V;…", TEXT, AT(set), "local overrides (default: CONFIGD_SET)"},
    {"--group", "tcp:HOST:PORT", TEXT, AT(group), "how the ranks agree on changes (default: CONFIGD_GROUP)"},
    {"--reduce", "HOST:PORT", TEXT, AT(reduce),
     "where rank 0 adds up gradients (default: CONFIGD_ALLREDUCE, else the port after the group's)"},
    {"--reduce-by", "tcp|nccl", TEXT, AT(reduce_by), "how gradients are added up (default tcp)"},
    {"--backend", "cpu|cuda", TEXT, AT(backend), "train.backend where the deployment says nothing (default cpu)"},
    {"--precision", "NAME", TEXT, AT(precision), "likewise train.precision: float32, bf16 (default float32)"},
    {"--device", "N", U32, AT(device), "number of the GPU (default: LOCAL_RANK, else 0)"},
    {"--threads", "N", U32, AT(threads), "threads of matrix products on a CPU (default 1)"},
    {"--max-micro", "N", U32, AT(max_micro), "room for so many rows of a micro batch (default 1024)"},
    {"--eval-rows", "N", U32, AT(eval_rows), "an evaluation looks at so many places of the text (default 4096)"},
    {"--start-ms", "N", U32, AT(start_ms), "wait this long for the first view (default 10000)"},
    {"--deadline-ms", "N", U32, AT(deadline_ms), "how long a sum waits for a rank (default 60000)"},
    {"--output", "text|json", TEXT, AT(output),
     "text: a progress bar on a terminal, lines elsewhere; json: a line per event"},
    {"-o", "text|json", TEXT, AT(output), "the same"},
    {"--quiet", NULL, SWITCH, AT(quiet), "print errors only"},
    {"--version", NULL, SWITCH, AT(version), "print the version"},
    {"--help", NULL, SWITCH, AT(help), "print this"},
#undef AT
};
enum { N_OPTIONS = sizeof table / sizeof table[0] };

static const char parameters[] =
    "\n"
    "Parameters that it follows while it runs (cfgctl set NAMESPACE/NAME=VALUE):\n"
    "  barrier  optimizer.lr, optimizer.clip, train.global_batch, train.accumulation\n"
    "  live     train.log_every, train.eval_every, train.checkpoint_every, train.stop_at (0: until stopped)\n"
    "  pinned   distributed.world_size, model.context, model.embed, model.hidden, model.layers,\n"
    "           train.precision, train.backend\n"
    "SIGTERM and SIGINT end it after the step at hand, with a checkpoint. Several ranks: CONFIGD_RANK, CONFIGD_WORLD\n"
    "and --group on each, or a launcher's variables; see docs/train.md.\n"
    "\n"
    "Examples:\n"
    "  cfg-train --source file:train.json --text book.txt --checkpoint run.safetensors --resume\n"
    "  cfg-train --deployment llm --text book.txt --checkpoint run.safetensors -o json\n";

void cfg_train_options_help(void)
{
    (void)puts("cfg-train: trains a small byte-level language model, on parameters that follow configd between two "
               "steps\n");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s %s", table[i].name, table[i].value != NULL ? table[i].value : "");
        (void)printf("  %-24s %s\n", left, table[i].help);
    }
    (void)fputs(parameters, stdout);
}

static int unknown(const char *arg, struct cfg_error *err)
{
    const char *names[N_OPTIONS];
    for (size_t i = 0; i < N_OPTIONS; i++) {
        names[i] = table[i].name;
    }
    const char *near = cfg_near_miss(arg, names, N_OPTIONS);
    (void)cfg_fail(err, CFG_E_INVALID, "unknown option %s", arg);
    cfg_error_set_hint(err, near != NULL ? "did you mean %s?" : "see cfg-train --help%s", near != NULL ? near : "");
    return CFG_E_INVALID;
}

static int store_number(struct cfg_train_options *o, const struct option *d, const char *value, struct cfg_error *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(value, &end, 10);
    unsigned long long max = d->kind == U32 ? UINT32_MAX / 1000 : (1ULL << 53) - 1;
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-' || n > max) {
        return cfg_fail(err, CFG_E_INVALID, "%s %s: expected a number", d->name, value);
    }
    if (d->kind == U64) {
        *(uint64_t *)(void *)((char *)o + d->at) = n;
    } else {
        *(unsigned *)(void *)((char *)o + d->at) = (unsigned)n;
    }
    return 0;
}

static int store(struct cfg_train_options *o, const struct option *d, const char *value, struct cfg_error *err)
{
    void *at = (char *)o + d->at;
    if (d->kind == SWITCH) {
        *(bool *)at = true;
        return 0;
    }
    if (value == NULL) {
        return cfg_fail(err, CFG_E_INVALID, "%s needs a value (%s)", d->name, d->value);
    }
    if (d->kind == TEXTS) {
        if (o->n_texts == CFG_TRAIN_TEXTS_MAX) {
            return cfg_fail(err, CFG_E_INVALID, "more than %d --text", CFG_TRAIN_TEXTS_MAX);
        }
        o->texts[o->n_texts++] = value;
        return 0;
    }
    if (d->kind == TEXT) {
        *(const char **)at = value;
        return 0;
    }
    return store_number(o, d, value, err);
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
    if (o->output != NULL && strcmp(o->output, "text") != 0 && strcmp(o->output, "json") != 0) {
        return cfg_fail(err, CFG_E_INVALID, "--output %s: there are text and json", o->output);
    }
    if (o->resume && o->overwrite) {
        return cfg_fail(err, CFG_E_INVALID, "--resume and --overwrite exclude one another");
    }
    if ((o->resume || o->overwrite) && o->checkpoint == NULL) {
        return cfg_fail(err, CFG_E_INVALID, "--%s needs --checkpoint", o->resume ? "resume" : "overwrite");
    }
    return o->max_micro > 0 && o->eval_rows > 0 ? 0
                                                : cfg_fail(err, CFG_E_INVALID, "--max-micro and --eval-rows are ≥ 1");
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
    int rc = check(&o, err);
    if (rc == 0) {
        *out = o;
    }
    return rc;
}
