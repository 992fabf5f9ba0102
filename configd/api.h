/* The API's handlers: HTTP in, questions to the service and its neighbours, JSON out. What the replies look like is
 * said in proto/openapi.yaml. One thread. */
#ifndef CFG_CONFIGD_API_H
#define CFG_CONFIGD_API_H

#include "configd/app.h"
#include "configd/http.h"

/* The whole API; static storage. */
const struct cfg_route *cfg_api_routes(size_t *n);
/* The headers that every reply carries: Configd-Revision, Configd-Store. */
void cfg_api_decorate(struct cfg_app *app, struct cfg_call *c);
/* buf, filled with the config namespace of a deployment, empty for a deleted one; NULL when there is none. */
const char *cfg_api_deployment_config(struct cfg_app *app, const char *deployment, char buf[CFG_LIMIT_NAME + 1]);
size_t cfg_api_count(const struct cfg_app *app, enum cfg_kind kind); /* of objects that are not deleted */

/* Documents of the API, as text, made from proto/openapi.yaml when configd is built. */
extern const char cfg_openapi_json[];
extern const unsigned long cfg_openapi_json_len;

/* --- api_common.c: what handlers share --- */

/* Is the replica complete, and has it caught up with ?min_revision? True: go on. False: the call has been answered, or
 * its handler is called again when it has. */
bool cfg_api_at(struct cfg_app *app, struct cfg_call *c);
/* The kind of object that the route is about, by its first part: /v1/config/…, /v1/flags/…, … */
enum cfg_kind cfg_api_kind(const struct cfg_call *c);
/* Ids from the route: {ns}, {ns}/{name}, {d}. CFG_E_ADDRESS. */
CFG_MUST_CHECK int cfg_api_id(struct cfg_object_id *out, enum cfg_kind kind, const struct cfg_call *c,
                              struct cfg_error *err);
/* An unsigned query parameter; fallback when absent. CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_api_number(uint64_t *out, const struct cfg_call *c, const char *name, uint64_t fallback,
                                  struct cfg_error *err);
/* true or false. CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_api_flag(bool *out, const struct cfg_call *c, const char *name, struct cfg_error *err);
/* The head of an object that is not deleted, borrowed until the next turn. CFG_E_NOT_FOUND: says who deleted it, or
 * what is spelt nearly so. */
CFG_MUST_CHECK int cfg_api_head(struct cfg_object **out, struct cfg_app *app, const struct cfg_object_id *id,
                                struct cfg_error *err);
/* "E-R" of something written at `revision`. */
const char *cfg_api_rev(const struct cfg_app *app, uint64_t revision, char out[CFG_REV_TEXT]);

int64_t cfg_api_now_s(const struct cfg_app *app); /* wall clock, seconds since 1970: what flags are evaluated at */

/* One version as the API shows it, returned-owned; NULL without memory. brief: without its content. */
cJSON *cfg_api_object(struct cfg_app *app, const struct cfg_object *o, bool brief);
/* {"version","digest","author","message","time","parent","deleted","revision"}. */
cJSON *cfg_api_version(struct cfg_app *app, const struct cfg_object *o);
/* One version as the log shows it: who, when, why, of what; without its content. Returned-owned; NULL without memory.
 */
cJSON *cfg_api_log_item(struct cfg_app *app, const struct cfg_object *o);
/* Adds "required_by": the flags that name this one as a prerequisite, as the replica shows them now. What has no memory
 * is missing. */
void cfg_api_add_required_by(const struct cfg_app *app, cJSON *out, const struct cfg_object *flag);
/* Adds "used_by": by evaluator, the flags that refer to it themselves. */
void cfg_api_add_used_by(const struct cfg_app *app, cJSON *out, const struct cfg_object *evaluators);
/* Answers with every object of a kind that is there and that the caller may see, in brief. sees NULL: by the namespace
 * that it belongs to. */
typedef bool (*cfg_api_sees_fn)(struct cfg_app *app, const struct cfg_call *c, const struct cfg_object *o);
void cfg_api_list(struct cfg_app *app, struct cfg_call *c, enum cfg_kind kind, cfg_api_sees_fn sees);
/* Answers with a body that may be NULL for want of memory. */
void cfg_api_reply(struct cfg_call *c, int status, cJSON *body);

/* Has the caller the rights that the entry needs? CFG_E_FORBIDDEN. */
CFG_MUST_CHECK int cfg_api_check_entry(struct cfg_app *app, const struct cfg_call *c, const struct cfg_change_entry *e,
                                       struct cfg_error *err);
/* One entry as a change, answered when it is done. Its body and bases are consumed. */
void cfg_api_submit_entry(struct cfg_app *app, struct cfg_call *c, struct cfg_change_entry *entry);
/* The same with a message (consumed; NULL: none) for a request that has none. */
void cfg_api_submit_saying(struct cfg_app *app, struct cfg_call *c, struct cfg_change_entry *entry, char *message);
/* Of a rollout's start whose deployment has workers at other replicas: they have to be asked first. Then nothing else
 * of the call is kept: it comes again when they have answered. */
bool cfg_api_asks_of_rollout(const struct cfg_app *app, const struct cfg_call *c, const struct cfg_change_entry *e);
void cfg_api_ask_of_rollout(struct cfg_app *app, struct cfg_call *c, const char *deployment);
/* Where nobody says why, the message made here is no reason. False without memory. */
bool cfg_api_keep_reason(const struct cfg_call *c, cJSON *body);
struct cfg_peers_question;
extern const struct cfg_peers_question cfg_api_ask_workers; /* of all replicas: GET …/workers */
/* Of a rollout's start: gives it a seed, and refuses what could never begin or never pass (api_rollouts_start.c). Of an
 * input: adds what this replica sees of guards and arms, to be kept with the decision. Nothing of other entries.
 * CFG_E_CONFLICT, CFG_E_VALUE, CFG_E_UNKNOWN_KEY, CFG_E_NOMEM, and what cfg_rollout_plan says. */
CFG_MUST_CHECK int cfg_api_prepare_rollout(struct cfg_app *app, const struct cfg_call *c, struct cfg_change_entry *e,
                                           struct cfg_error *err);

/* --- handlers --- */
void cfg_api_list_configs(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_config(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_resolved(struct cfg_app *app, struct cfg_call *c);
void cfg_api_explain(struct cfg_app *app, struct cfg_call *c);
void cfg_api_dependents(struct cfg_app *app, struct cfg_call *c);
void cfg_api_diff_config(struct cfg_app *app, struct cfg_call *c);
void cfg_api_versions(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_version(struct cfg_app *app, struct cfg_call *c);
void cfg_api_list_flags(struct cfg_app *app, struct cfg_call *c);
void cfg_api_flagd(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_flag(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_evaluators(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_schema(struct cfg_app *app, struct cfg_call *c);
void cfg_api_list_deployments(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_deployment(struct cfg_app *app, struct cfg_call *c);
void cfg_api_lock(struct cfg_app *app, struct cfg_call *c);
void cfg_api_view(struct cfg_app *app, struct cfg_call *c);

void cfg_api_write(struct cfg_app *app, struct cfg_call *c); /* PUT, PATCH, DELETE of one object */
void cfg_api_write_extends(struct cfg_app *app, struct cfg_call *c);
void cfg_api_rollback(struct cfg_app *app, struct cfg_call *c);
void cfg_api_create_deployment(struct cfg_app *app, struct cfg_call *c);
void cfg_api_change(struct cfg_app *app, struct cfg_call *c); /* POST /v1/changes */

void cfg_api_list_rollouts(struct cfg_app *app, struct cfg_call *c);
void cfg_api_start_rollout(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_rollout(struct cfg_app *app, struct cfg_call *c);
void cfg_api_rollout_history(struct cfg_app *app, struct cfg_call *c);
void cfg_api_move_rollout(struct cfg_app *app, struct cfg_call *c); /* pause, resume, approve, advance, abort */

void cfg_api_list_experiments(struct cfg_app *app, struct cfg_call *c); /* api_experiments.c */
void cfg_api_start_experiment(struct cfg_app *app, struct cfg_call *c);
void cfg_api_plan_experiment(struct cfg_app *app, struct cfg_call *c);
void cfg_api_get_experiment(struct cfg_app *app, struct cfg_call *c);
void cfg_api_experiment_report(struct cfg_app *app, struct cfg_call *c);
void cfg_api_stop_experiment(struct cfg_app *app, struct cfg_call *c);

void cfg_api_register(struct cfg_app *app, struct cfg_call *c);
void cfg_api_report(struct cfg_app *app, struct cfg_call *c);
void cfg_api_workers(struct cfg_app *app, struct cfg_call *c);
void cfg_api_outcomes(struct cfg_app *app, struct cfg_call *c);
void cfg_api_fleet(struct cfg_app *app, struct cfg_call *c);
void cfg_api_ran_at(struct cfg_app *app, struct cfg_call *c);
void cfg_api_contract(struct cfg_app *app, struct cfg_call *c);
void cfg_api_check_contract(struct cfg_app *app, struct cfg_call *c);
void cfg_api_exposures(struct cfg_app *app, struct cfg_call *c);
void cfg_api_group(struct cfg_app *app, struct cfg_call *c); /* api_groups.c */
void cfg_api_watch(struct cfg_app *app, struct cfg_call *c);
void cfg_api_deployment_log(struct cfg_app *app, struct cfg_call *c); /* api_past.c */
void cfg_api_past(struct cfg_app *app, struct cfg_call *c);

void cfg_api_ofrep_flag(struct cfg_app *app, struct cfg_call *c); /* api_ofrep.c */
void cfg_api_ofrep_bulk(struct cfg_app *app, struct cfg_call *c);
void cfg_api_ofrep_events(struct cfg_app *app, struct cfg_call *c);

void cfg_api_health(struct cfg_app *app, struct cfg_call *c);
void cfg_api_health_details(struct cfg_app *app, struct cfg_call *c); /* api_health.c */
void cfg_api_ready(struct cfg_app *app, struct cfg_call *c);
void cfg_api_status(struct cfg_app *app, struct cfg_call *c);
void cfg_api_log(struct cfg_app *app, struct cfg_call *c);
void cfg_api_backup(struct cfg_app *app, struct cfg_call *c);
void cfg_api_restore(struct cfg_app *app, struct cfg_call *c);
void cfg_api_openapi(struct cfg_app *app, struct cfg_call *c);
void cfg_api_metrics(struct cfg_app *app, struct cfg_call *c); /* metrics.c */

/* --- metrics.c: what its parts share --- */
void cfg_metrics_head(struct cfg_buf *out, const char *name, const char *type, const char *help);
void cfg_metrics_single(struct cfg_buf *out, const char *name, const char *type, const char *help, double value);
/* Appends a label's value with quotes around it, escaped. */
void cfg_metrics_label(struct cfg_buf *out, const char *value);
void cfg_metrics_etcd(struct cfg_buf *out, const struct cfg_app *app); /* metrics_etcd.c */
/* metrics_fleet.c and metrics_rollouts.c: of the deployments that p sees */
void cfg_metrics_fleet(struct cfg_buf *out, struct cfg_app *app, const struct cfg_principal *p);
void cfg_metrics_rollouts(struct cfg_buf *out, struct cfg_app *app, const struct cfg_principal *p);

#endif
