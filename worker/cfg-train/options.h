/* cfg-train's command line. */
#ifndef CFG_TRAIN_OPTIONS_H
#define CFG_TRAIN_OPTIONS_H

#include <cfg/error.h>
#include <stddef.h>
#include <stdint.h>

enum { CFG_TRAIN_TEXTS_MAX = 256 };

struct cfg_train_options { /* device: UINT_MAX when not told */
    const char *server, *deployment, *worker, *source, *cache, *set, *group, *reduce, *reduce_by; /* NULL: elsewhere */
    const char *texts[CFG_TRAIN_TEXTS_MAX];
    size_t n_texts;
    const char *checkpoint, *export, *backend, *precision; /* NULL: none, the default */
    uint64_t seed;
    unsigned start_ms, deadline_ms, threads, max_micro, eval_rows, device;
    bool resume, overwrite, json, quiet, help, version;
};

/* Reads argv; strings are borrowed from it. CFG_E_INVALID names the option, with the nearest known one as a hint. */
CFG_MUST_CHECK int cfg_train_options_read(struct cfg_train_options *out, int argc, char **argv, struct cfg_error *err);
void cfg_train_options_help(void); /* to stdout */

#endif
