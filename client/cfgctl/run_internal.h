/* Parts of `cfgctl run` to one another. */
#ifndef CFG_CFGCTL_RUN_INTERNAL_H
#define CFG_CFGCTL_RUN_INTERNAL_H

#include "client/cfgctl/cli.h"
#include "client/cfgctl/run_plan.h"
#include "proto/schema.h"

/* One start of the program: what it gets, and from which document. */
struct run_launch {
    cJSON *document; /* owned */
    char **argv, **envp;
    char *folder, *file; /* the private folder of the launch file; NULL: the program takes none */
};

/* Writes the launch file and makes arguments and environment; ns names the variables. The line's first argument is the
 * deployment, the rest the command. CFG_E_INVALID (a launch file is wanted and there is nothing under `accelerate`),
 * what accelerate_make and cfg_env_make say, CFG_E_IO, CFG_E_NOMEM. */
CFG_MUST_CHECK int run_launch_make(struct run_launch *out, struct cli *c, const char *ns, const cJSON *document,
                                   struct cfg_error *err);
/* Removes the launch file too. Takes a zeroed struct. */
void run_launch_finish(struct run_launch *l);

/* The namespace's schema, compiled; NULL where it has none. The request's errors. */
CFG_MUST_CHECK int run_schema(struct cfg_schema **out, struct cli *c, const char *ns, struct cfg_error *err);
/* Does the schema (arg) say that a running program takes the path's changes? What nobody declared needs a restart. */
bool run_reaches_live(const char *path, void *arg);

#endif
