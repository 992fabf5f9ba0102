/* Flags in a worker: decided per request, in process, in tens of nanoseconds, as configd itself would.
 *
 *     cfg_flag ab = cfg_flag_declare(w, "experiment/ab.flag");      before start, beside the parameters
 *     …
 *     const struct cfg_view *v = cfg_step_begin(w, step);
 *     struct cfg_context who;
 *     cfg_context_init(&who, "user-17");                            the targeting key, or NULL
 *     cfg_context_string(&who, "plan", "gold");
 *     if (cfg_flag_bool(v, ab, &who, false)) …
 *
 * Evaluating runs on the step's view: inside a step a flag gives one context one answer, and $flagd.timestamp is the
 * time at which the step began. It neither allocates nor locks, and any thread that the stepper lets run inside the
 * step may do it; what it returns (texts included) is valid until the next cfg_step_begin. Each evaluation that serves
 * a variant counts as an exposure of the context's targeting key; totals go to configd with the worker's reports.
 *
 * What came of it is told with cfg_overlay_metric or cfg_flag_metric: samples of a metric, kept by the variant that the
 * request was served. cfgctl experiment compares the variants by them. */
#ifndef CFG_FLAGS_H
#define CFG_FLAGS_H

#include <cfg/flag_types.h>
#include <cfg/worker.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- who is asking --- */

enum { CFG_CONTEXT_ATTRIBUTES = 32 };

/* Made without allocation, on the caller's stack; may be copied. Treat the members as private. */
struct cfg_context {
    uint32_t n;
    bool bad;      /* what was put in is no context: evaluations answer INVALID_CONTEXT */
    uint64_t unit; /* of the targeting key; 0: none */
    const struct cfg_flag_member *parsed;
    uint32_t n_parsed;
    void *memory;
    struct cfg_flag_member own[CFG_CONTEXT_ATTRIBUTES];
};

/* An empty context, of that targeting key unless NULL. All texts given to a context are borrowed for its life. */
CFG_API void cfg_context_init(struct cfg_context *c, const char *targeting_key);
/* Attributes; the first of a name counts. More than CFG_CONTEXT_ATTRIBUTES make the context bad. */
CFG_API void cfg_context_string(struct cfg_context *c, const char *name, const char *value);
CFG_API void cfg_context_number(struct cfg_context *c, const char *name, double value);
CFG_API void cfg_context_bool(struct cfg_context *c, const char *name, bool value);
/* A context from the text of a JSON object, with whatever it nests: this one allocates, so read it where requests come
 * in, and finish it. `text` is not kept. Attributes cannot be added. On failure *c is a bad context, and nothing needs
 * to be finished. CFG_E_JSON, CFG_E_VALUE (no object, or a targetingKey that is no string), CFG_E_LIMIT (nested more
 * than 64 deep), CFG_E_NOMEM. */
CFG_API CFG_MUST_CHECK int cfg_context_json(struct cfg_context *c, const char *text, size_t len, struct cfg_error *err);
CFG_API void cfg_context_finish(struct cfg_context *c); /* needed after cfg_context_json only; else it does nothing */

/* --- flags --- */

/* A handle, obtained before start; CFG_FLAG_NONE, and a flag that nobody has created, answer FLAG_NOT_FOUND. */
typedef struct cfg_flag {
    uint32_t index;
} cfg_flag;
#ifdef __cplusplus
#define CFG_FLAG_NONE (cfg_flag{UINT32_MAX})
#else
#define CFG_FLAG_NONE ((cfg_flag){UINT32_MAX})
#endif

/* Says that the program asks for this flag ("experiment/ab.flag"): a view in which it does not compile is refused. A
 * malformed address makes start fail. Declaring one twice is fine. */
CFG_API cfg_flag cfg_flag_declare(struct cfg_worker *w, const char *address);

struct cfg_flag_answer {
    union cfg_value value; /* b, string, f64; OBJECT: its JSON in string; INTEGER: i64. The default unless a variant is
                              served */
    enum cfg_flag_reason reason;
    const char *variant;  /* NULL: the default holds */
    const char *error;    /* OpenFeature's code, NULL without error: FLAG_NOT_FOUND, TYPE_MISMATCH, PARSE_ERROR,
                             GENERAL, INVALID_CONTEXT, TARGETING_KEY_MISSING (where the answer depends on it) */
    const char *revision; /* the view's, "E-R" */
    const void *exposed;  /* private */
};

/* Asks for a value of `type` (not ANY). context NULL is the empty one. A local override of the flag (one that is also
 * declared with cfg_param_flag) answers for everybody, without a variant. */
CFG_API struct cfg_flag_answer cfg_flag_evaluate(const struct cfg_view *v, cfg_flag f, enum cfg_flag_type type,
                                                 const struct cfg_context *context, union cfg_value def);
/* The same for a flag that was not declared, found by its address among those the deployment sees. One that does not
 * compile answers PARSE_ERROR. */
CFG_API struct cfg_flag_answer cfg_flag_evaluate_named(const struct cfg_view *v, const char *address,
                                                       enum cfg_flag_type type, const struct cfg_context *context,
                                                       union cfg_value def);
CFG_API const char *cfg_flag_reason_text(enum cfg_flag_reason reason); /* "STATIC", …; static storage */

static inline bool cfg_flag_bool(const struct cfg_view *v, cfg_flag f, const struct cfg_context *c, bool def)
{
    union cfg_value d;
    d.b = def;
    return cfg_flag_evaluate(v, f, CFG_FLAG_BOOL, c, d).value.b;
}
static inline double cfg_flag_f64(const struct cfg_view *v, cfg_flag f, const struct cfg_context *c, double def)
{
    union cfg_value d;
    d.f64 = def;
    return cfg_flag_evaluate(v, f, CFG_FLAG_NUMBER, c, d).value.f64;
}
static inline int64_t cfg_flag_i64(const struct cfg_view *v, cfg_flag f, const struct cfg_context *c, int64_t def)
{
    union cfg_value d;
    d.i64 = def;
    return cfg_flag_evaluate(v, f, CFG_FLAG_INTEGER, c, d).value.i64;
}
static inline const char *cfg_flag_string(const struct cfg_view *v, cfg_flag f, const struct cfg_context *c,
                                          const char *def)
{
    union cfg_value d;
    d.string = def;
    return cfg_flag_evaluate(v, f, CFG_FLAG_STRING, c, d).value.string;
}
static inline const char *cfg_flag_object(const struct cfg_view *v, cfg_flag f, const struct cfg_context *c,
                                          const char *def)
{
    union cfg_value d;
    d.string = def;
    return cfg_flag_evaluate(v, f, CFG_FLAG_OBJECT, c, d).value.string;
}

/* A sample of a declared metric (cfg_metric_declare) of a request that got this answer: how long it took, how good it
 * was. Kept by flag and variant until the next report; nothing is kept of answers without a variant, nor where the
 * handle is none. The context tells which unit it
 * was; samples without a targeting key are left out, since nobody was assigned. Any thread, in the step or later, while
 * the worker lives: some tens of nanoseconds behind a lock, and an allocation at a variant's first sample since the
 * last report. What is not finite is counted as bad. Samples of more than 256 variants between two reports are lost. */
CFG_API void cfg_flag_metric(const struct cfg_flag_answer *answer, const struct cfg_context *context, cfg_metric metric,
                             double sample);

/* --- parameters for one request --- */

/* A variant may carry values of live parameters ("overrides": {"hot": {"sampling.temperature": 0.9}}). They hold for
 * the requests that are served the variant: the code's default < the view < the variant < a local override. Every flag
 * of the view that overrides a parameter of this worker takes part, declared or not, in the order of their addresses;
 * the first one to set a parameter has it. They are checked like any value when the view is prepared: one that is
 * mistyped, out of range, or not of a live parameter gets the view refused. */
enum { CFG_OVERLAY_FLAGS = 32, CFG_OVERLAY_VALUES = 64 };

/* What one request runs on: the step's view with the values of its variants laid over it. */
struct cfg_overlay {
    const struct cfg_view *view;
    const struct cfg_context *context;
    uint32_t serial, n_values, n_served;
    struct {
        uint32_t index;
        const union cfg_value *value;
    } values[CFG_OVERLAY_VALUES];
    struct {
        const char *flag, *variant; /* of the flags that took part and served a variant */
        const void *exposed;        /* private */
    } served[CFG_OVERLAY_FLAGS];
};

/* Decides for a request. context is borrowed for the overlay's life; NULL is the empty one. */
CFG_API void cfg_overlay_begin(struct cfg_overlay *o, const struct cfg_view *v, const struct cfg_context *context);
/* For a request that lives longer than a step: call it in each step before reading. Decides again when the view is
 * another one (true), and counts an exposure only where that changed the variant. */
CFG_API bool cfg_overlay_renew(struct cfg_overlay *o, const struct cfg_view *v);
/* cfg_flag_metric for every flag whose variant the request has now: one sample each. The overlay's context must still
 * live; its view may be gone. */
CFG_API void cfg_overlay_metric(const struct cfg_overlay *o, cfg_metric metric, double sample);

static inline const union cfg_value *cfg_overlay_at(const struct cfg_overlay *o, cfg_param p)
{
    for (uint32_t i = 0; i < o->n_values; i++) {
        if (o->values[i].index == p.index) {
            return o->values[i].value;
        }
    }
    return cfg_value_at(o->view, p);
}
static inline bool cfg_overlay_bool(const struct cfg_overlay *o, cfg_param p)
{
    return cfg_overlay_at(o, p)->b;
}
static inline int64_t cfg_overlay_i64(const struct cfg_overlay *o, cfg_param p)
{
    return cfg_overlay_at(o, p)->i64;
}
static inline double cfg_overlay_f64(const struct cfg_overlay *o, cfg_param p)
{
    return cfg_overlay_at(o, p)->f64;
}
static inline const char *cfg_overlay_string(const struct cfg_overlay *o, cfg_param p)
{
    return cfg_overlay_at(o, p)->string;
}

#ifdef __cplusplus
}
#endif
#endif
