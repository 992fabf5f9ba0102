/* The path that a request takes: nothing here allocates, locks or looks at JSON, but for samples of what came of it. */
#include "worker/flag_view.h"
#include "worker/outcomes.h"
#include <string.h>

/* --- contexts --- */

static const char TARGETING_KEY[] = "targetingKey";

static void add(struct cfg_context *c, struct cfg_flag_member m)
{
    if (c->n == CFG_CONTEXT_ATTRIBUTES || c->parsed != NULL) {
        c->bad = true;
        return;
    }
    c->own[c->n++] = m;
    if (c->unit == 0 && m.value.kind == CFG_VALUE_STRING && m.name_len == sizeof TARGETING_KEY - 1 &&
        memcmp(m.name, TARGETING_KEY, sizeof TARGETING_KEY - 1) == 0) {
        c->unit = cfg_hll_unit(m.value.as.string, m.value.len);
    }
}

void cfg_context_init(struct cfg_context *c, const char *targeting_key)
{
    c->n = c->n_parsed = 0;
    c->bad = false;
    c->unit = 0;
    c->parsed = NULL;
    c->memory = NULL;
    if (targeting_key != NULL) {
        add(c, cfg_flag_member_str(TARGETING_KEY, targeting_key));
    }
}

void cfg_context_string(struct cfg_context *c, const char *name, const char *value)
{
    add(c, cfg_flag_member_str(name, value));
}

void cfg_context_number(struct cfg_context *c, const char *name, double value)
{
    add(c, cfg_flag_member_number(name, value));
}

void cfg_context_bool(struct cfg_context *c, const char *name, bool value)
{
    add(c, cfg_flag_member_bool(name, value));
}

static struct cfg_flag_context engine_context(const struct cfg_view_flags *f, const struct cfg_context *c)
{
    struct cfg_flag_context e = {.timestamp = atomic_load_explicit(&f->now_s, memory_order_relaxed)};
    if (c != NULL) {
        e.attributes = c->parsed != NULL ? c->parsed : c->own;
        e.n_attributes = c->parsed != NULL ? c->n_parsed : c->n;
    }
    return e;
}

/* --- evaluating --- */

static void note_missing_key(void *arg, const struct cfg_flag_note *n)
{
    if (n->kind == CFG_NOTE_UNNAMED && n->name.len == sizeof TARGETING_KEY - 1 &&
        memcmp(n->name.ptr, TARGETING_KEY, sizeof TARGETING_KEY - 1) == 0) {
        *(bool *)arg = true;
    }
}

/* False when the answer would be another with a targeting key, as configd's OFREP has it. Who has given one is not
 * held up by the question. */
static inline bool ask(struct cfg_flag_result *out, const struct cfg_flag_program *p, enum cfg_flag_type type,
                       struct cfg_flag_context *c, const struct cfg_context *who)
{
    bool lacks = false;
    const struct cfg_flag_explain explain = {note_missing_key, &lacks};
    c->explain = who != NULL && who->unit != 0 ? NULL : &explain;
    *out = cfg_flag_eval_with(p, type, c);
    return !lacks;
}

static struct cfg_flag_answer fallback(const struct cfg_view *v, union cfg_value def, const char *error)
{
    return (struct cfg_flag_answer){def, CFG_REASON_ERROR, NULL, error, v->revision, NULL};
}

/* A variant's name is one pointer per set: no text is compared. */
static const struct flag_use *use_of(const struct flag_unit *u, const char *variant)
{
    const struct flag_use *use = u->uses;
    while (use->name != variant) {
        use++;
    }
    return use;
}

static union cfg_value value_of(const struct cfg_flag_result *r, const struct flag_use *use, enum cfg_flag_type type)
{
    union cfg_value v = {.i64 = 0};
    switch (type) {
    case CFG_FLAG_BOOL:
        v.b = (r->value->type & 0xFF) == cJSON_True;
        break;
    case CFG_FLAG_STRING:
        v.string = r->value->valuestring;
        break;
    case CFG_FLAG_NUMBER:
        v.f64 = r->value->valuedouble;
        break;
    case CFG_FLAG_INTEGER:
        v.i64 = (int64_t)r->value->valuedouble;
        break;
    case CFG_FLAG_OBJECT:
    case CFG_FLAG_ANY:
        v.string = use->text;
        break;
    }
    return v;
}

/* JSON's whole numbers end at 2^53; 1e300 is one, but no int64. */
static bool fits(const struct cfg_flag_result *r, enum cfg_flag_type type)
{
    return type != CFG_FLAG_INTEGER ||
           (r->value->valuedouble >= -9007199254740992.0 && r->value->valuedouble <= 9007199254740992.0);
}

static inline struct cfg_flag_answer evaluate(const struct cfg_view *v, const struct flag_unit *u,
                                              enum cfg_flag_type type, const struct cfg_context *context,
                                              union cfg_value def)
{
    if (context != NULL && context->bad) {
        return fallback(v, def, "INVALID_CONTEXT");
    }
    if (u == NULL) {
        return fallback(v, def, "FLAG_NOT_FOUND");
    }
    struct cfg_flag_context c = engine_context(v->flags, context);
    struct cfg_flag_result r;
    if (!ask(&r, u->program, type, &c, context)) {
        return fallback(v, def, "TARGETING_KEY_MISSING");
    }
    if (r.value == NULL) {
        return (struct cfg_flag_answer){def, r.reason, NULL, r.error, v->revision, NULL};
    }
    if (type == CFG_FLAG_ANY || !fits(&r, type)) {
        return fallback(v, def, "TYPE_MISMATCH");
    }
    const struct flag_use *use = use_of(u, r.variant);
    if (use->exposure != NULL) {
        cfg_exposure_add(use->exposure, context != NULL ? context->unit : 0);
    }
    return (struct cfg_flag_answer){value_of(&r, use, type), r.reason, r.variant, NULL, v->revision, use->exposure};
}

struct cfg_flag_answer cfg_flag_evaluate(const struct cfg_view *v, cfg_flag f, enum cfg_flag_type type,
                                         const struct cfg_context *context, union cfg_value def)
{
    const struct cfg_view_flags *flags = v->flags;
    if (flags == NULL || f.index >= flags->n_handles) {
        return evaluate(v, NULL, type, context, def);
    }
    const struct flag_handle *h = &flags->handles[f.index];
    if (__builtin_expect(h->forced, 0) && type == CFG_FLAG_BOOL) {
        return (struct cfg_flag_answer){{.b = h->on}, CFG_REASON_STATIC, NULL, NULL, v->revision, NULL};
    }
    return evaluate(v, h->unit, type, context, def);
}

struct cfg_flag_answer cfg_flag_evaluate_named(const struct cfg_view *v, const char *address, enum cfg_flag_type type,
                                               const struct cfg_context *context, union cfg_value def)
{
    const struct flag_unit *u = v->flags != NULL ? cfg_flag_view_find(v->flags, address, strlen(address)) : NULL;
    return evaluate(v, u, type, context, def);
}

const char *cfg_flag_reason_text(enum cfg_flag_reason reason)
{
    return cfg_flag_reason_name(reason);
}

/* --- what came of it --- */

/* The counters that answers and overlays carry are the worker's, which outlive views; callers only see them const. */
static void sample(const void *exposed, const struct cfg_context *who, cfg_metric metric, double x)
{
    if (exposed != NULL) {
        cfg_outcome_add((struct cfg_exposure *)(uintptr_t)exposed, who != NULL ? who->unit : 0, metric.index, x);
    }
}

void cfg_flag_metric(const struct cfg_flag_answer *answer, const struct cfg_context *context, cfg_metric metric,
                     double x)
{
    sample(answer->exposed, context, metric, x);
}

void cfg_overlay_metric(const struct cfg_overlay *o, cfg_metric metric, double x)
{
    for (uint32_t i = 0; i < o->n_served; i++) {
        sample(o->served[i].exposed, o->context, metric, x);
    }
}

/* --- overlays --- */

static void lay(struct cfg_overlay *o, const struct flag_use *use)
{
    for (uint32_t i = 0; i < use->n_overrides; i++) {
        uint32_t k = 0;
        while (k < o->n_values && o->values[k].index != use->overrides[i].index) {
            k++;
        }
        if (k == o->n_values) { /* else a flag before this one has it */
            o->values[k].index = use->overrides[i].index;
            o->values[k].value = &use->overrides[i].value;
            o->n_values++;
        }
    }
}

static bool was_served(const void *const *before, uint32_t n, const void *exposure)
{
    for (uint32_t i = 0; i < n; i++) {
        if (before[i] == exposure) {
            return true;
        }
    }
    return false;
}

/* Decides; what is among `before` has been counted already. */
static void decide(struct cfg_overlay *o, const struct cfg_view *v, const void *const *before, uint32_t n_before)
{
    const struct cfg_view_flags *f = v->flags;
    const struct cfg_context *who = o->context;
    o->view = v;
    o->serial = v->serial;
    o->n_values = o->n_served = 0;
    if (f == NULL || f->n_overriding == 0 || (who != NULL && who->bad)) {
        return;
    }
    struct cfg_flag_context c = engine_context(f, who);
    for (uint32_t i = 0; i < f->n_overriding; i++) {
        const struct flag_unit *u = f->overriding[i];
        struct cfg_flag_result r;
        if (!ask(&r, u->program, CFG_FLAG_ANY, &c, who) || r.variant == NULL) {
            continue;
        }
        const struct flag_use *use = use_of(u, r.variant);
        o->served[o->n_served].flag = u->address;
        o->served[o->n_served].variant = r.variant;
        o->served[o->n_served].exposed = use->exposure;
        o->n_served++;
        if (use->exposure != NULL && !was_served(before, n_before, use->exposure)) {
            cfg_exposure_add(use->exposure, who != NULL ? who->unit : 0);
        }
        lay(o, use);
    }
}

void cfg_overlay_begin(struct cfg_overlay *o, const struct cfg_view *v, const struct cfg_context *context)
{
    o->context = context;
    decide(o, v, NULL, 0);
}

bool cfg_overlay_renew(struct cfg_overlay *o, const struct cfg_view *v)
{
    if (v->serial == o->serial) {
        return false;
    }
    const void *before[CFG_OVERLAY_FLAGS];
    uint32_t n = o->n_served;
    for (uint32_t i = 0; i < n; i++) {
        before[i] = o->served[i].exposed;
    }
    decide(o, v, before, n);
    return true;
}
