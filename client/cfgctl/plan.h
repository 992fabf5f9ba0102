/* What a change would do, asked of the server and shown before anything is written.
 *
 * The server decides the change as if it were to be written (POST /v1/changes?dry_run=true&plan=true): for every result
 * what each deployment would do about each path and when ("plan"), and what stands against it ("violations"). One that
 * does not know `plan` is asked for the dry run alone, and the plan is put together from whom that reaches. All but
 * plan_ask, plan_show and plan_carry_out is pure. */
#ifndef CFG_CFGCTL_PLAN_H
#define CFG_CFGCTL_PLAN_H

#include "client/cfgctl/cli.h"

/* changes: as POST /v1/changes takes them, borrowed. *out is the reply, returned-owned, every result with a "plan".
 * Errors: what the server refuses outright. */
CFG_MUST_CHECK int plan_ask(struct cli *c, const cJSON *changes, cJSON **out, struct cfg_error *err);
/* Gives results that have none a "plan" made of "held", "kept" and "reach". CFG_E_NOMEM. */
CFG_MUST_CHECK int plan_complete(cJSON *reply, struct cfg_error *err);
/* Appends what changes, who does what about it and what blocks, as lines. Objects that stay as they are take one line
 * each, or none where `quiet`. */
void plan_describe(struct cfg_buf *out, const cJSON *reply, bool quiet, bool color);
/* Violations and refusals of all results. */
unsigned plan_blocks(const cJSON *reply);
/* Does any result change something? */
bool plan_changes(const cJSON *reply);
/* One of {"op","path","from","to"} as lines "  - path = from", "  + path = to", under this path. */
void plan_put_change(struct cfg_buf *out, const cJSON *change, const char *path, bool color);
/* "chat", "experiment/ab.flag", "schema of chat", "segments of experiment": what a result or an object "kind/ns/name"
 * is called. Appended. */
void plan_put_object(struct cfg_buf *out, const char *object);
/* CFG_E_VALUE with the count when something blocks, else 0. */
CFG_MUST_CHECK int plan_check(const cJSON *reply, struct cfg_error *err);

/* Shows a plan: as words, or with -o json|yaml as the reply with a member "blocked". Where `ahead` (a write will follow
 * and print its own reply) trees stay away from stdout, and the words go to stderr. */
CFG_MUST_CHECK int plan_show(const struct cli *c, cJSON *reply, bool quiet, bool ahead, struct cfg_error *err);
/* With -o json|yaml, what stands in the place of a plan that the server does not even make:
 * {"results":[],"blocked":true, "refused":{"code","detail","path","hint"}}. */
void plan_show_refusal(const struct cli *c, const struct cfg_error *why);
/* The whole of a command that changes something: plan, show, refuse what is blocked, stop there with --dry-run or when
 * nothing changes, ask `question`, write under `message`, say whom it reaches. changes is borrowed and names the
 * versions that the plan is made on: CFG_E_PRECONDITION when somebody was faster. */
CFG_MUST_CHECK int plan_carry_out(struct cli *c, const cJSON *changes, const char *message, const char *question,
                                  struct cfg_error *err);

#endif
