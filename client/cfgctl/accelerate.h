/* Hugging Face Accelerate's launch files, to and from a namespace. Pure.
 *
 * A namespace holds the keys of a launch file under `accelerate`, as they are: accelerate.mixed_precision,
 * accelerate.fsdp_config.fsdp_version. So `--pin distributed,accelerate` freezes what a job was started with. */
#ifndef CFG_CFGCTL_ACCELERATE_H
#define CFG_CFGCTL_ACCELERATE_H

#include "proto/json.h"

/* The built-in schema of a namespace with such keys, stricter than Accelerate's loader. *out is returned-owned.
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int accelerate_schema(cJSON **out, struct cfg_error *err);

enum accelerate_unknown { ACCELERATE_REFUSE, ACCELERATE_KEEP, ACCELERATE_DROP };

/* Reads a launch file as Accelerate does (YAML 1.1; JSON is a subset) and corrects what no one means: a word or number
 * where only text is right was text (`mixed_precision: no`). *out is the object for `accelerate`, returned-owned. notes
 * gets a line of text for everything that is not as the file has it or that readers differ on; violations what the
 * schema says. CFG_E_JSON and the reader's other codes, CFG_E_VALUE (unknown REFUSE: all are named),
 * CFG_E_SCHEMA, CFG_E_NOMEM. */
CFG_MUST_CHECK int accelerate_read(cJSON **out, struct cfg_slice text, enum accelerate_unknown unknown, cJSON *notes,
                                   cJSON *violations, struct cfg_error *err);

struct accelerate_launch {
    cJSON *file;  /* owned: the launch file's keys */
    cJSON *flags; /* owned: arguments of `accelerate launch` for what it ignores in a file */
};
/* Makes the launch file of what a view has under `accelerate`. machine_rank −1: as stored. Unknown top-level keys, on
 * which Accelerate fails, are left out (KEEP: stay), and named in notes. CFG_E_INVALID (a rank beyond num_machines),
 * CFG_E_SCHEMA, CFG_E_NOMEM. */
CFG_MUST_CHECK int accelerate_make(struct accelerate_launch *out, const cJSON *accelerate, long machine_rank,
                                   enum accelerate_unknown unknown, cJSON *notes, cJSON *violations,
                                   struct cfg_error *err);
void accelerate_launch_finish(struct accelerate_launch *l); /* takes a zeroed struct */
/* Appends the file as YAML that 1.1 and 1.2 readers take alike. CFG_E_NOMEM, CFG_E_LIMIT. */
CFG_MUST_CHECK int accelerate_print(struct cfg_buf *out, const struct accelerate_launch *l);

#endif
