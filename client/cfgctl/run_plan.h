/* What `cfgctl run` starts: arguments, environment, and whether a change concerns a program that is running. Pure. */
#ifndef CFG_CFGCTL_RUN_PLAN_H
#define CFG_CFGCTL_RUN_PLAN_H

#include "proto/json.h"

#define RUN_LAUNCH_FILE "{launch_file}"

/* Where `accelerate launch` takes its options: the index behind `accelerate launch`, `accelerate-launch` or
 * `python -m accelerate.commands.launch`; 0: the command is another. */
int run_accelerate_at(int argc, const char *const *argv);
/* Does the command want a launch file: by {launch_file}, or as `accelerate launch` without --config_file of its own? */
bool run_wants_launch_file(int argc, const char *const *argv);
/* Does it start several processes, each of them a worker with a name of its own? */
bool run_is_launcher(int argc, const char *const *argv);

/* The command with the launch file's name in place. `accelerate launch` without --config_file gets that, and `flags`
 * (array of strings) it does not have yet. *out is an array of owned strings, ended by NULL; returned-owned
 * (run_strings_free). CFG_E_NOMEM. */
CFG_MUST_CHECK int run_arguments(char ***out, int argc, const char *const *argv, const char *launch_file,
                                 const cJSON *flags, struct cfg_error *err);
/* `base` with the variables (an object of strings) in it, each once. Otherwise as run_arguments. */
CFG_MUST_CHECK int run_environment(char ***out, char *const *base, const cJSON *variables, struct cfg_error *err);
void run_strings_free(char **strings); /* NULL is fine */

/* Tells of a path whether its changes reach a running program by another way than a restart. */
typedef bool (*run_live_fn)(const char *path, void *arg);
/* The paths whose values differ between two documents (leaves; of both), without those that `live` vouches for. *out is
 * an array of strings, returned-owned. CFG_E_NOMEM. */
CFG_MUST_CHECK int run_changes(cJSON **out, const cJSON *before, const cJSON *now, run_live_fn live, void *arg,
                               struct cfg_error *err);

#endif
