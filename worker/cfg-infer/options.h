/* cfg-infer's command line: one table for parsing and for --help. */
#ifndef CFG_INFER_OPTIONS_H
#define CFG_INFER_OPTIONS_H

#include <cfg/error.h>
#include <stdint.h>

enum { CFG_BATCH_MAX = 256 };

struct cfg_infer_options {
    const char *server, *deployment, *worker, *source, *cache, *set; /* NULL: the environment decides */
    const char *listen;                                              /* HOST:PORT, or NULL: no HTTP */
    const char *model;               /* a safetensors file; NULL: the one inside the program */
    const char *backend, *precision; /* NULL: what the deployment says */
    uint64_t steps;                  /* 0: until stopped */
    unsigned step_ms, load, start_ms, drain_ms, threads;
    int64_t tp, world_size; /* 0: what the deployment says */
    int64_t max_batch;      /* the greatest batch that is prepared */
    bool quiet, log_steps, help, version;
};

/* Reads argv; strings are borrowed from it. CFG_E_INVALID names the option, with the nearest known one as a hint. */
CFG_MUST_CHECK int cfg_infer_options_read(struct cfg_infer_options *out, int argc, char **argv, struct cfg_error *err);
void cfg_infer_options_help(void); /* to stdout */

#endif
