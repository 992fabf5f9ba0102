/* The commands, one function each, in cmd_*.c. Each returns 0 or an error code with *err filled. */
#ifndef CFG_CFGCTL_COMMANDS_H
#define CFG_CFGCTL_COMMANDS_H

#include "client/cfgctl/cli.h"

int cmd_set(struct cli *c, struct cfg_error *err);
int cmd_plan(struct cli *c, struct cfg_error *err);
int cmd_apply(struct cli *c, struct cfg_error *err);
int cmd_export_files(struct cli *c, struct cfg_error *err);
int cmd_promote(struct cli *c, struct cfg_error *err);
int cmd_resolve(struct cli *c, struct cfg_error *err);
int cmd_unset(struct cli *c, struct cfg_error *err);
int cmd_get(struct cli *c, struct cfg_error *err);
int cmd_extend(struct cli *c, struct cfg_error *err);
int cmd_explain(struct cli *c, struct cfg_error *err);
int cmd_lock(struct cli *c, struct cfg_error *err);
int cmd_list(struct cli *c, struct cfg_error *err);
int cmd_history(struct cli *c, struct cfg_error *err);
int cmd_diff(struct cli *c, struct cfg_error *err);
int cmd_rollback(struct cli *c, struct cfg_error *err);
int cmd_at(struct cli *c, struct cfg_error *err);
int cmd_doctor(struct cli *c, struct cfg_error *err);
int cmd_log(struct cli *c, struct cfg_error *err);
int cmd_watch(struct cli *c, struct cfg_error *err);
int cmd_deployment_create(struct cli *c, struct cfg_error *err);
int cmd_deployment_list(struct cli *c, struct cfg_error *err);
int cmd_deployment_get(struct cli *c, struct cfg_error *err);
int cmd_deployment_update(struct cli *c, struct cfg_error *err);
int cmd_deployment_delete(struct cli *c, struct cfg_error *err);
int cmd_deployment_adopt(struct cli *c, struct cfg_error *err);
int cmd_status(struct cli *c, struct cfg_error *err);
int cmd_flag_on(struct cli *c, struct cfg_error *err);
int cmd_flag_off(struct cli *c, struct cfg_error *err);
int cmd_flag_list(struct cli *c, struct cfg_error *err);
int cmd_flag_get(struct cli *c, struct cfg_error *err);
int cmd_flag_eval(struct cli *c, struct cfg_error *err);
int cmd_flag_exposures(struct cli *c, struct cfg_error *err);
int cmd_flag_update(struct cli *c, struct cfg_error *err);
int cmd_flag_create(struct cli *c, struct cfg_error *err);
int cmd_flag_split(struct cli *c, struct cfg_error *err);
int cmd_flag_target(struct cli *c, struct cfg_error *err);
int cmd_flag_require(struct cli *c, struct cfg_error *err);
int cmd_flag_group(struct cli *c, struct cfg_error *err);
int cmd_flag_holdout(struct cli *c, struct cfg_error *err);
int cmd_flag_override(struct cli *c, struct cfg_error *err);
int cmd_flag_explain(struct cli *c, struct cfg_error *err);
int cmd_flag_import(struct cli *c, struct cfg_error *err);
int cmd_flag_export(struct cli *c, struct cfg_error *err);
int cmd_flag_segment(struct cli *c, struct cfg_error *err);
int cmd_flag_history(struct cli *c, struct cfg_error *err);
int cmd_flag_rollback(struct cli *c, struct cfg_error *err);
int cmd_flag_delete(struct cli *c, struct cfg_error *err);
int cmd_experiment_start(struct cli *c, struct cfg_error *err);
int cmd_experiment_plan(struct cli *c, struct cfg_error *err);
int cmd_experiment_report(struct cli *c, struct cfg_error *err);
int cmd_experiment_stop(struct cli *c, struct cfg_error *err);
int cmd_experiment_list(struct cli *c, struct cfg_error *err);
int cmd_rollout_start(struct cli *c, struct cfg_error *err);
int cmd_rollout_status(struct cli *c, struct cfg_error *err);
int cmd_rollout_list(struct cli *c, struct cfg_error *err);
int cmd_rollout_history(struct cli *c, struct cfg_error *err);
int cmd_rollout_word(struct cli *c, struct cfg_error *err); /* pause, resume, approve, advance, abort */
/* `set --rollout`: sends the changes (borrowed, one entry is added) with the start of a rollout. */
int rollout_set(struct cli *c, cJSON *changes, struct cfg_error *err);
int cmd_backup(struct cli *c, struct cfg_error *err);
int cmd_restore(struct cli *c, struct cfg_error *err);
int cmd_validate(struct cli *c, struct cfg_error *err);
int cmd_version(struct cli *c, struct cfg_error *err);
int cmd_token_create(struct cli *c, struct cfg_error *err);
int cmd_completion(struct cli *c, struct cfg_error *err);
int cmd_import_accelerate(struct cli *c, struct cfg_error *err);
int cmd_import_dotenv(struct cli *c, struct cfg_error *err);
int cmd_export_accelerate(struct cli *c, struct cfg_error *err);
int cmd_export_accelerate_schema(struct cli *c, struct cfg_error *err);
int cmd_export_view(struct cli *c, struct cfg_error *err);
int cmd_run(struct cli *c, struct cfg_error *err);
int cmd_sync(struct cli *c, struct cfg_error *err);
int cmd_help(struct cli *c, struct cfg_error *err);

int cmd_schema_get(struct cli *c, struct cfg_error *err);
int cmd_schema_set(struct cli *c, struct cfg_error *err);
int cmd_schema_check(struct cli *c, struct cfg_error *err);
int cmd_schema_delete(struct cli *c, struct cfg_error *err);
int cmd_schema_history(struct cli *c, struct cfg_error *err);
int cmd_schema_rollback(struct cli *c, struct cfg_error *err);
int cmd_schema_diff(struct cli *c, struct cfg_error *err);
int cmd_contract_show(struct cli *c, struct cfg_error *err);
int cmd_contract_check(struct cli *c, struct cfg_error *err);

/* Parts that several commands share. */

/* The reply of an object's versions, as a table; log: of many objects. */
void history_print(const struct cli *c, const cJSON *reply, bool log);

/* Shows a flag's object; name and namespace as the API gives them. */
void show_flag(const struct cli *c, const cJSON *flag);
/* Help on a command, on the words that begin with `topic`, or on everything (both NULL). */
void help_print(const struct cli_command *cmd, const char *topic, void *file);
/* A whole file, or standard input for "-", at most max bytes. *out is an initialised, empty buffer. CFG_E_IO,
 * CFG_E_LIMIT. */
CFG_MUST_CHECK int read_file(struct cfg_buf *out, const char *name, struct cfg_error *err);
/* A file of at most max bytes as a tree: YAML by its name's ending, else JSON. `label` names it where it does not
 * parse. *out is returned-owned. Errors: read_file's, and the parsers'. */
CFG_MUST_CHECK int read_tree(cJSON **out, const char *name, const char *label, size_t max, struct cfg_error *err);

/* What a document has under `accelerate`, borrowed from it. CFG_E_NOT_FOUND with a hint how it gets there. */
CFG_MUST_CHECK int accelerate_of(const cJSON **out, const cJSON *document, const char *deployment,
                                 struct cfg_error *err);

/* What the words and options of `set` say, as POST /v1/changes takes it: *out is returned-owned. */
CFG_MUST_CHECK int set_changes(cJSON **out, const struct cli *c, struct cfg_error *err);

/* rollback with --at: of a deployment, to what it was told at a time. */
CFG_MUST_CHECK int rollback_at(struct cli *c, struct cfg_error *err);

/* The folder of --file, reconciled with what is served; plan: only shown. */
CFG_MUST_CHECK int apply_folder(struct cli *c, bool plan, struct cfg_error *err);

/* Where an object of the API lives. */
struct object_path {
    char base[1024];  /* "/v1/config/chat", "/v1/flags/experiment/ab.flag", "/v1/deployments/x" */
    char object[640]; /* "config/chat", "flag/experiment/ab.flag", "deployment/x" */
};
/* `NS`, `NS/FLAG` or `deployment/NAME`. CFG_E_ADDRESS. */
CFG_MUST_CHECK int object_path_parse(struct object_path *out, const char *text, struct cfg_error *err);
/* diff NAME [FROM [TO]] of what lies at `base`: reads both versions, as the line's words say or the newest and the one
 * before, and prints them as JSON or YAML, or by `print` (a version 0 is empty). The request's errors, CFG_E_INVALID.
 */
typedef void (*diff_print_fn)(const struct cli *c, const cJSON *from, const cJSON *to);
CFG_MUST_CHECK int diff_versions(struct cli *c, const char *base, diff_print_fn print, struct cfg_error *err);
/* The versions of a flag, with what each changed. */
CFG_MUST_CHECK int flag_history(struct cli *c, const struct object_path *o, struct cfg_error *err);

#endif
