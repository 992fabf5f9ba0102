/* libcfgworker: live parameters for a loop of steps.
 *
 *     cfg_worker_open(&w, &options, &err);
 *     cfg_param t = cfg_param_f64(w, "sampling.temperature", CFG_LIVE, 0.0, 2.0, 0.7);
 *     cfg_worker_start(w, 10000, &err);                 registers the contract, checks the pin, takes the first view
 *     for (uint64_t step = 0;; step++) {
 *         const struct cfg_view *v = cfg_step_begin(w, step);   the safe point: one atomic load when nothing changed
 *         run(cfg_get_f64(v, t));                               an array read
 *         cfg_step_end(w, NULL);
 *     }
 *
 * Inside a step every read gives the same view; a view changes only in cfg_step_begin. Without configd, workers run on
 * the last good view (also after their own restart, from a checksummed file) and say how old it is.
 *
 * Threads. Three parties, and each call names its own: the *owner* opens, declares, starts and closes, one thread at a
 * time; the *stepper* runs the loop, one thread (it may be the owner's), which owns the view that step_begin returns:
 * views are read on any thread that the stepper lets run inside the step. *Any thread* may make the calls that say so,
 * between open and close. Different workers have nothing to do with one another. One thread of the library's own
 * follows configd, made by start and joined by close; with `external_loop` there is none: the caller polls
 * cfg_worker_poll_fd and calls cfg_worker_process. Many workers in one process share a cfg_worker_loop.
 *
 * Ownership. What is passed in is borrowed for the call, and copied where it is kept, unless a call says otherwise. Of
 * what is returned only the worker itself is the caller's, until cfg_worker_close; handles are plain numbers.
 *
 * The process stays the program's. The library takes no signals (its thread blocks them all), writes nothing to
 * standard output or error (lines go to options.log, or nowhere), changes neither working directory nor locale nor
 * environment, and ends no process. */
#ifndef CFG_WORKER_H
#define CFG_WORKER_H

#include <cfg/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cfg_worker;

/* For many workers in one process (simulators, gateways): their sockets and timers behind one descriptor, so that each
 * costs one descriptor and no thread. Name it in the options of every worker, then, for as long as the process runs,
 * poll poll_fd for POLLIN for at most timeout_ms and call process, which serves all that have something to do. start
 * also does so while it waits; with timeout_ms 0 it does not wait, and the view comes in process (CFG_E_TIMEOUT means
 * just that then). The loop, and open, start and close of its workers, belong to one thread; a worker's steps may be on
 * another. Nothing of a worker is opened, started or closed from inside a hook. A worker on a loop follows configd, and
 * is no rank of a group that agrees. */
struct cfg_worker_loop;
CFG_API CFG_MUST_CHECK int cfg_worker_loop_open(struct cfg_worker_loop **out, struct cfg_error *err);
CFG_API void cfg_worker_loop_close(struct cfg_worker_loop *l); /* after its workers; NULL is fine */
CFG_API int cfg_worker_loop_poll_fd(const struct cfg_worker_loop *l);
CFG_API int cfg_worker_loop_timeout_ms(const struct cfg_worker_loop *l); /* −1: no limit */
CFG_API void cfg_worker_loop_process(struct cfg_worker_loop *l);         /* never blocks */

enum cfg_class { CFG_LIVE, CFG_DRAIN, CFG_BARRIER, CFG_RESTART, CFG_PINNED }; /* rising strictness */
enum cfg_type { CFG_BOOL, CFG_I64, CFG_F64, CFG_STRING, CFG_JSON, CFG_FLAG };

/* A handle: an index into every view. Obtained before start; CFG_PARAM_NONE reads as zero. */
typedef struct cfg_param {
    uint32_t index;
} cfg_param;
#ifdef __cplusplus
#define CFG_PARAM_NONE (cfg_param{UINT32_MAX})
#else
#define CFG_PARAM_NONE ((cfg_param){UINT32_MAX})
#endif

union cfg_value {
    bool b;
    int64_t i64;
    double f64;
    const char *string; /* STRING, JSON (its text): valid until the next cfg_step_begin */
};

struct cfg_view_flags; /* read with <cfg/flags.h> */

/* What the loop runs on during a step. Public only so that reads are array reads; treat as read-only. */
struct cfg_view {
    uint32_t n;
    uint32_t serial;               /* rises with every adopted view */
    const union cfg_value *values; /* by cfg_param.index; entry n is all zero */
    const char *revision;          /* "E-R"; "0-0" while on code defaults */
    const char *digest;            /* "sha256:…" */
    struct cfg_view_flags *flags;  /* NULL: none */
};

struct cfg_worker_options {
    size_t size;
    const char *servers, *token, *ca_file; /* NULL: CONFIGD_SERVER, CONFIGD_TOKEN, CONFIGD_CA_FILE */
    const char *deployment;                /* NULL: CONFIGD_DEPLOYMENT */
    const char *worker; /* id; NULL: CONFIGD_WORKER, else host name (+ "-" + LOCAL_RANK or SLURM_LOCALID when set) */
    const char *source; /* NULL: CONFIGD_SOURCE; "file:chat.json" follows a file instead of a daemon */
    const char *cache;  /* last good view; NULL: CONFIGD_CACHE, else $XDG_STATE_HOME/configd/<deployment>.<worker>.view
                           (~/.local/state without it); "": none. A file source needs and has none */
    const char *overrides; /* "key=value;key=value"; NULL: CONFIGD_SET; shown in status, never for pinned keys */
    const char *labels;    /* JSON object, or NULL */
    bool external_loop;    /* the caller drives (poll_fd/process); no thread is made */
    void (*log)(void *arg, int level,
                const char *line); /* NULL: silent. 0 error, 1 warning, 2 info. On the library's thread */
    void *log_arg;
    uint32_t rank, world; /* world 0: from the environment (see docs/worker.md) */
    const char *group;    /* NULL: CONFIGD_GROUP; the ranks change together: "tcp:HOST:PORT" (rank 0's address), "tcp"
                             (the launcher's word for it), "configd" (which tells the others where rank 0 is) */
    /* 0: from the environment, else 1, 60000 and 300000. The ranks agree every so many steps; how much later than the
     * first rank the last may come to a step; how long forming waits for all. */
    unsigned group_every, group_deadline_ms, group_join_ms;
    const char *group_id;     /* NULL: CONFIGD_GROUP_ID, else the launcher's, else (a world of one) the worker's id */
    const char *capabilities; /* "bf16,fp8" or a JSON array of such names; NULL: CONFIGD_CAPABILITIES */
    struct cfg_worker_loop *loop; /* borrowed for the worker's life; NULL: none. With it external_loop is implied */
};
#ifdef __cplusplus
static inline struct cfg_worker_options cfg_worker_options_init(void)
{
    struct cfg_worker_options o = {};
    o.size = sizeof o;
    return o;
}
#define CFG_WORKER_OPTIONS_INIT cfg_worker_options_init()
#else
#define CFG_WORKER_OPTIONS_INIT                   \
    {                                             \
        .size = sizeof(struct cfg_worker_options) \
    }
#endif

/* Owner. *out is returned-owned (cfg_worker_close). o and its strings are copied, loop and log_arg borrowed for the
 * worker's life; o NULL: all from the environment, which open and start read. CFG_E_INVALID (no deployment,
 * unknown source, a rank outside its world, options of another size), CFG_E_ADDRESS (malformed names), CFG_E_JSON
 * (labels, capabilities), CFG_E_UNSUPPORTED (a combination that cannot be), CFG_E_IO, CFG_E_NOMEM. */
CFG_API CFG_MUST_CHECK int cfg_worker_open(struct cfg_worker **out, const struct cfg_worker_options *o,
                                           struct cfg_error *err);
/* Owner. Leaves the fleet, joins the thread, frees; views and texts read from them end here. NULL is fine. In a forked
 * child it does nothing: the worker is its parent's (a child that wants one opens its own). */
CFG_API void cfg_worker_close(struct cfg_worker *w);

/* --- the contract: declared by the owner before start. Path and default are copied. A path declared twice, a bad path,
 * a default out of range: start fails and says so. --- */
CFG_API cfg_param cfg_param_bool(struct cfg_worker *w, const char *path, enum cfg_class c, bool def);
CFG_API cfg_param cfg_param_i64(struct cfg_worker *w, const char *path, enum cfg_class c, int64_t min, int64_t max,
                                int64_t def);
CFG_API cfg_param cfg_param_f64(struct cfg_worker *w, const char *path, enum cfg_class c, double min, double max,
                                double def);
CFG_API cfg_param cfg_param_string(struct cfg_worker *w, const char *path, enum cfg_class c, const char *def);
CFG_API cfg_param cfg_param_json(struct cfg_worker *w, const char *path, enum cfg_class c, const char *def);
/* An on/off flag by address ("experiment/ab.flag") for the program as a whole: decided for nobody in particular, with
 * each view and, where its rules ask for the time, with the step's; def holds while nobody has created it. Read with
 * cfg_get_bool. Per request: <cfg/flags.h>. */
CFG_API cfg_param cfg_param_flag(struct cfg_worker *w, const char *address, bool def);

/* A metric by handle: the cheap way to give samples, see cfg_worker_metric. Owner, before start. name is copied:
 * [a-zA-Z0-9_.:/-]{1,64}; the same name gives the same handle; more than 64 names, or a bad one: start fails and says
 * so. */
typedef struct cfg_metric {
    uint32_t index;
} cfg_metric;
CFG_API cfg_metric cfg_metric_declare(struct cfg_worker *w, const char *name);

/* For values that need work before they can hold. prepare runs on the library's thread (in process() with
 * external_loop) on the view-to-be: 0, or a negative code with *err filled: the whole view is rejected and reported
 * with that reason. commit runs on the stepper, in cfg_step_begin or cfg_worker_idle, just before the view holds; abort
 * on the library's thread, when a prepared view is dropped for a newer one. Each may be NULL. A hook takes part in the
 * first view and in every change under `prefix` ("" matches all; whole path segments). Owner, before start; prefix and
 * *hooks are copied, arg is borrowed for the worker's life, the views that hooks are given for the call. CFG_E_INVALID
 * (started), CFG_E_LIMIT (more than 64), CFG_E_NOMEM. */
struct cfg_change_hooks {
    int (*prepare)(void *arg, const struct cfg_view *next, struct cfg_error *err);
    void (*commit)(void *arg, const struct cfg_view *now);
    void (*abort)(void *arg, const struct cfg_view *dropped);
    void *arg;
};
CFG_API CFG_MUST_CHECK int cfg_worker_on_change(struct cfg_worker *w, const char *prefix,
                                                const struct cfg_change_hooks *hooks, struct cfg_error *err);

/* The most that this process can take of a declared number: the largest batch captured, the cache allocated. Published
 * with the registration and every report, so that configd refuses writes above it (409 ceiling); a view that is above
 * it all the same, in a value or in what a variant overrides, is rejected and reported. Sets or replaces, before start
 * or any time after, also from hooks; before start from the declaring thread, after that from any, the stepper too. A
 * view that was rejected is not tried again when a ceiling rises: the next one is. path is borrowed for the call.
 * CFG_E_CEILING: below what this process runs on or has just taken from configd (before start: below the default);
 * CFG_E_UNKNOWN_KEY: not declared; CFG_E_VALUE: no number, or not finite; CFG_E_LIMIT: more than 256. */
CFG_API CFG_MUST_CHECK int cfg_worker_ceiling(struct cfg_worker *w, const char *path, double most,
                                              struct cfg_error *err);

/* Owner; other threads may ask for the status meanwhile. Takes the first view: from configd, else (none in timeout_ms)
 * from the cache, else CFG_E_TIMEOUT: then steps run on the code's defaults, the library goes on looking, and start may
 * be called again. Once a step has run on the defaults, they are what RESTART and PINNED parameters keep when a view
 * arrives. Refusals are final and named: CFG_E_PIN_MISMATCH (which keys), CFG_E_NOT_FOUND (deployment),
 * CFG_E_UNAUTHORIZED, CFG_E_VALUE (the view breaks this worker's contract, and there is no cached one with the same pin
 * to run on), CFG_E_CEILING (likewise). Declarations and overrides that are wrong fail here too. With external_loop
 * this call itself drives the worker until it returns.
 */
CFG_API CFG_MUST_CHECK int cfg_worker_start(struct cfg_worker *w, unsigned timeout_ms, struct cfg_error *err);

/* --- the loop --- */
/* Stepper. The view of this step: borrowed, and unchanged, until the next call. NULL: see cfg_worker_why. */
CFG_API const struct cfg_view *cfg_step_begin(struct cfg_worker *w, uint64_t step);
/* Why the last cfg_step_begin gave NULL: CFG_E_SUPERSEDED (final), or, in a group, CFG_E_AGREEMENT: a rank is gone or
 * late and no step may run until all ranks have called cfg_worker_form (a restarted one: start). 0: it did not. Stepper
 * thread. */
CFG_API int cfg_worker_why(const struct cfg_worker *w, struct cfg_error *out);
/* Forms the group anew: waits for all ranks, which then begin with the greatest view that any of them holds. Errors
 * name the ranks that are missing or differ. Stepper thread, between two steps. */
CFG_API CFG_MUST_CHECK int cfg_worker_form(struct cfg_worker *w, struct cfg_error *err);
/* The step is over. From the first call on the library measures how long steps take, from cfg_step_begin's return to
 * this call, and adds durations and metrics up per revision: reports carry counts, a histogram of durations, and mean,
 * spread and extremes of every metric. metrics_json: an object of numbers about the step, or NULL; borrowed for the
 * call. Every number in it is a sample, of up to 64 names of [a-zA-Z0-9_.:/-]{1,64}; other members are passed over,
 * NaN and Infinity are counted as bad samples. Text that is no object of at most 16 KiB is dropped, and the log says so
 * once; the step is never harmed. Stepper thread. */
CFG_API void cfg_step_end(struct cfg_worker *w, const char *metrics_json);
/* One sample of a declared metric, in a step or after it. What is not finite is counted as bad. A handle that is none
 * is ignored. Stepper thread; some ten nanoseconds. */
CFG_API void cfg_worker_metric(struct cfg_worker *w, cfg_metric metric, double sample);
/* How much of a drain parameter is in use now: running sequences, say, while the parameter caps them. The new value of
 * such a parameter governs admission at once; while more than it is in use, reports and status show it as draining.
 * Cheap: call it whenever the amount changes, or once per step. CFG_E_INVALID: p is no number declared CFG_DRAIN;
 * CFG_E_VALUE: now is not finite, or negative. After start, stepper thread. */
CFG_API int cfg_worker_draining(struct cfg_worker *w, cfg_param p, double now);

/* Which revision a step ran under. */
struct cfg_run {
    char revision[48];
    uint64_t from_step;    /* the first step of it */
    int64_t adopted_at_us; /* wall clock */
};
/* The run that `step` belongs to. The latest 64 are known (configd keeps all that were reported); where a program has
 * gone back to an earlier step, the later run counts. CFG_E_NOT_FOUND: the step has not begun yet, ran before the first
 * view, or longer ago than is known. *out is untouched on failure. Any thread. */
CFG_API CFG_MUST_CHECK int cfg_worker_revision_at(const struct cfg_worker *w, uint64_t step, struct cfg_run *out,
                                                  struct cfg_error *err);
/* Nothing to do for now: a place between two steps, where the newest view is adopted for the next step, so that an idle
 * worker counts as converged. Waits at most max_wait_ms for a change or cfg_worker_wake; true when the next
 * cfg_step_begin gives another view than the last (or NULL). The last one stays readable until then. Stepper thread;
 * where the stepper also drives the worker (external_loop) pass 0. */
CFG_API bool cfg_worker_idle(struct cfg_worker *w, unsigned max_wait_ms);
CFG_API void cfg_worker_wake(struct cfg_worker *w); /* any thread */

static inline const union cfg_value *cfg_value_at(const struct cfg_view *v, cfg_param p)
{
    return &v->values[p.index < v->n ? p.index : v->n];
}
static inline bool cfg_get_bool(const struct cfg_view *v, cfg_param p)
{
    return cfg_value_at(v, p)->b;
}
static inline int64_t cfg_get_i64(const struct cfg_view *v, cfg_param p)
{
    return cfg_value_at(v, p)->i64;
}
static inline double cfg_get_f64(const struct cfg_view *v, cfg_param p)
{
    return cfg_value_at(v, p)->f64;
}
static inline const char *cfg_get_string(const struct cfg_view *v, cfg_param p)
{
    return cfg_value_at(v, p)->string;
}

/* --- being watched --- */
struct cfg_worker_status {
    char state[24]; /* "connected", "connecting", "stale", "foreign", "refused", "superseded", "file" */
    char revision[48], digest[80], store[64];
    char newest[48]; /* newest revision prepared */
    uint64_t age_ms; /* since configd last confirmed that the view is the newest */
    uint64_t changes, rejects;
    char last_reject[384];
    uint32_t draining;       /* parameters of which more is in use than their value */
    char draining_path[160]; /* the first of them, and how much of it is in use and may be */
    double draining_now, draining_target;
};
/* Any thread. *out is filled whole, with texts of its own. */
CFG_API void cfg_worker_status(const struct cfg_worker *w, struct cfg_worker_status *out);

/* --- external_loop: one thread drives, the stepper's or another. Poll the descriptor, which stays the worker's, for
 * POLLIN for at most timeout_ms (-1: as long as it takes), then call process: it does what can be done now and never
 * waits; hooks run inside. Without external_loop timeout_ms is -1 and process does nothing. --- */
CFG_API int cfg_worker_poll_fd(const struct cfg_worker *w);
CFG_API int cfg_worker_timeout_ms(const struct cfg_worker *w);
CFG_API void cfg_worker_process(struct cfg_worker *w);

#ifdef __cplusplus
}
#endif
#endif
