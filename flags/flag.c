/* Evaluation: what comes before the rules, the rules, and what their answer means. */
#include "flags/murmur3.h"
#include "flags/program.h"

#include <math.h>
#include <stdalign.h>
#include <string.h>

struct decision {
    enum cfg_flag_reason reason;
    const struct flag_variant *variant;
    const char *error;
};

static void note(const struct logic_run *r, const struct cfg_flag_note *n)
{
    if (r->explain)
        r->explain->fn(r->explain->user, n);
}

static struct cfg_slice slice_of(const struct arena_string *s)
{
    return (struct cfg_slice){s->bytes, s->len};
}

/* --- before the rules --- */

static struct decision decide(const struct cfg_flag_program *p, struct logic_run *r);

static bool requirement_holds(const struct flag_requirement *q, struct logic_run *r)
{
    if (q->program == NULL) { /* a flag compiled alone cannot know */
        r->error = LOGIC_LIMIT;
        return false;
    }
    struct decision d = decide(q->program, r);
    bool holds = false;
    for (uint32_t i = 0; d.variant && d.reason != CFG_REASON_DISABLED && i < q->n_variants; i++)
        holds = holds || d.variant->name == q->variants[i];
    struct cfg_flag_note n = {.kind = CFG_NOTE_PREREQUISITE, .name = slice_of(q->flag), .holds = holds};
    if (d.variant)
        n.text = slice_of(d.variant->name);
    note(r, &n);
    return holds;
}

/* Which of the share's buckets the unit is in; −1 when the context does not name it (nothing, "", 0, false). */
static int64_t bucket_of(const struct flag_share *s, struct logic_run *r)
{
    const struct cfg_flag_value *unit = cfg_logic_find(r, &r->scope->data, s->by);
    if (unit == NULL || unit->kind >= CFG_VALUE_ARRAY || !cfg_logic_truthy(unit))
        return -1;
    struct cfg_slice text = cfg_logic_text(r, unit);
    struct cfg_murmur3 h;
    cfg_murmur3_init(&h);
    cfg_murmur3_add(&h, s->name->bytes, s->name->len);
    cfg_murmur3_add(&h, text.ptr, text.len);
    return (int64_t)((uint64_t)cfg_murmur3_end(&h) * SHARE_TOTAL >> 32);
}

/* Whom nobody can name takes part in nothing: neither in a group nor past a holdout. */
static bool passes_shares(const struct flag_extras *e, struct logic_run *r)
{
    for (uint32_t i = 0; i < e->n_holdouts + e->grouped; i++) {
        bool group = i == e->n_holdouts;
        const struct flag_share *s = group ? &e->group : &e->holdouts[i];
        int64_t b = bucket_of(s, r);
        if (b < 0) {
            struct cfg_flag_note unnamed = {.kind = CFG_NOTE_UNNAMED, .name = slice_of(s->by_text)};
            note(r, &unnamed);
        }
        bool inside = b >= s->from && b < s->to, holds = b >= 0 && inside == group;
        struct cfg_flag_note n = {.kind = group ? CFG_NOTE_GROUP : CFG_NOTE_HOLDOUT,
                                  .name = slice_of(s->name),
                                  .bucket = b >= 0 ? (uint64_t)b : 0,
                                  .total = SHARE_TOTAL,
                                  .holds = holds};
        note(r, &n);
        if (!holds)
            return false;
    }
    return true;
}

static bool passes_requirements(const struct flag_extras *e, struct logic_run *r)
{
    for (uint32_t i = 0; i < e->n_requirements; i++)
        if (!requirement_holds(&e->requirements[i], r))
            return false;
    return true;
}

/* --- the rules --- */

const struct flag_variant *cfg_flag_find_variant(const struct cfg_flag_program *p, const char *name, size_t len)
{
    for (const struct flag_variant *v = p->variants, *end = v + p->n_variants; v < end; v++)
        if (v->name->bytes == name && v->name->len == len) /* interned: what rules spell out is the same string */
            return v;
    for (const struct flag_variant *v = p->variants, *end = v + p->n_variants; v < end; v++)
        if (v->name->len == len && memcmp(v->name->bytes, name, len) == 0)
            return v;
    return NULL;
}

static struct decision failed(const char *error)
{
    return (struct decision){CFG_REASON_ERROR, NULL, error};
}

static void note_variant(const struct logic_run *r, struct cfg_slice name, bool holds)
{
    struct cfg_flag_note n = {.kind = CFG_NOTE_VARIANT, .name = name, .holds = holds};
    note(r, &n);
}

static struct decision apply_rule(const struct cfg_flag_program *p, struct logic_run *r)
{
    r->flag_key = slice_of(p->name);
    r->seed = p->seed;
    r->hash_version = p->hash_version;
    struct cfg_flag_value v = cfg_logic_eval(r, p->rule);
    if (r->error || v.kind >= CFG_VALUE_ARRAY)
        return failed("GENERAL");
    if (v.kind == CFG_VALUE_NULL)
        return (struct decision){CFG_REASON_DEFAULT, p->standard, NULL};
    struct cfg_slice text = {v.as.string, v.len};
    if (v.kind != CFG_VALUE_STRING)
        text = cfg_logic_text(r, &v);
    const struct flag_variant *variant = r->error ? NULL : cfg_flag_find_variant(p, text.ptr, text.len);
    if (r->explain)
        note_variant(r, text, variant != NULL);
    return variant ? (struct decision){CFG_REASON_TARGETING_MATCH, variant, NULL} : failed("GENERAL");
}

/* The kill switch is outermost: it holds whatever the definition's own state says. */
static const struct flag_variant *constant_variant(const struct cfg_flag_program *p)
{
    return !p->enabled ? p->off : p->state && !p->broken ? p->standard : NULL;
}

void cfg_flag_settle(struct cfg_flag_program *p)
{
    const struct flag_variant *answer = constant_variant(p);
    cfg_murmur3_init(&p->seed);
    cfg_murmur3_add(&p->seed, p->name->bytes, p->name->len);
    p->depends = (p->rule || p->extras) && p->enabled && p->state && !p->broken;
    p->answer_text = answer ? answer->text : NULL;
    p->answer_value = answer ? answer->value : NULL;
    p->answer_reason = p->broken                  ? CFG_REASON_ERROR
                       : !p->enabled || !p->state ? CFG_REASON_DISABLED
                       : p->standard              ? CFG_REASON_STATIC
                                                  : CFG_REASON_DEFAULT;
}

static struct decision constant(const struct cfg_flag_program *p)
{
    return (struct decision){(enum cfg_flag_reason)p->answer_reason, constant_variant(p), p->broken};
}

static struct decision decide(const struct cfg_flag_program *p, struct logic_run *r)
{
    if (!p->depends) {
        struct cfg_flag_note killed = {.kind = CFG_NOTE_KILLED};
        if (!p->enabled && !p->broken)
            note(r, &killed);
        return constant(p);
    }
    if (p->extras && !(passes_shares(p->extras, r) && passes_requirements(p->extras, r)))
        return r->error ? failed("GENERAL") : (struct decision){CFG_REASON_DISABLED, p->off, NULL};
    return p->rule ? apply_rule(p, r) : constant(p);
}

/* --- the interface --- */

enum cfg_flag_type cfg_flag_type_of(const struct cfg_flag_program *p)
{
    return (enum cfg_flag_type)p->type;
}

const char *cfg_flag_name_of(const struct cfg_flag_program *p)
{
    return p->name->bytes;
}

size_t cfg_flag_variant_count(const struct cfg_flag_program *p)
{
    return p->broken ? 0 : p->n_variants;
}

struct cfg_flag_variant cfg_flag_variant_at(const struct cfg_flag_program *p, size_t index)
{
    return (struct cfg_flag_variant){p->variants[index].text, p->variants[index].value};
}

/* A number is never rounded. */
static bool value_fits(const struct cfg_flag_program *p, const struct flag_variant *v, enum cfg_flag_type want)
{
    if (want == CFG_FLAG_INTEGER)
        return p->type == CFG_FLAG_NUMBER && v->value->valuedouble == floor(v->value->valuedouble);
    return want == p->type || want == CFG_FLAG_ANY;
}

static inline struct cfg_flag_result result_of(const struct cfg_flag_program *p, const struct decision *d,
                                               enum cfg_flag_type want)
{
    const struct flag_variant *v = d->variant;
    if (v && !value_fits(p, v, want)) /* where the caller's default holds there is nothing to mismatch */
        return (struct cfg_flag_result){CFG_REASON_ERROR, NULL, NULL, "TYPE_MISMATCH", p->metadata};
    return (struct cfg_flag_result){d->reason, v ? v->text : NULL, v ? v->value : NULL, d->error, p->metadata};
}

/* With a context and rules: what only they need is set up here, out of the way of static flags. */
static struct decision run(const struct cfg_flag_program *p, const struct cfg_flag_context *context)
{
    alignas(16) char stack[LOGIC_STACK_SCRATCH];
    struct logic_scope scope = {{CFG_VALUE_OBJECT, 0, {.members = NULL}}, 0, NULL};
    struct logic_run r;
    r.scope = &scope;
    r.explain = NULL;
    r.flag_key = (struct cfg_slice){NULL, 0};
    r.timestamp = 0;
    r.scratch = stack;
    r.used = 0;
    r.size = sizeof stack;
    r.work = LOGIC_WORK;
    r.hash_version = 2;
    cfg_murmur3_init(&r.seed);
    r.rules = CFG_RULES_FLAGD;
    r.error = LOGIC_OK;
    if (context) {
        scope.data.as.members = context->attributes;
        scope.data.len = (uint32_t)context->n_attributes;
        r.timestamp = context->timestamp;
        r.explain = context->explain;
        if (context->scratch) {
            r.scratch = context->scratch;
            r.size = context->scratch_size;
        }
    }
    return decide(p, &r);
}

static struct cfg_flag_result evaluate_run(const struct cfg_flag_program *p, enum cfg_flag_type want,
                                           const struct cfg_flag_context *context)
{
    struct decision d = p->depends || (context && context->explain) ? run(p, context) : constant(p);
    return result_of(p, &d, want);
}

static inline struct cfg_flag_result evaluate(const struct cfg_flag_program *p, enum cfg_flag_type want,
                                              const struct cfg_flag_context *context)
{
    bool same = want == (enum cfg_flag_type)p->type, quiet = context == NULL || context->explain == NULL;
    if (same && quiet && !p->depends && p->answer_reason != CFG_REASON_ERROR)
        return (struct cfg_flag_result){(enum cfg_flag_reason)p->answer_reason, p->answer_text, p->answer_value, NULL,
                                        p->metadata};
    return evaluate_run(p, want, context);
}

struct cfg_flag_result cfg_flag_eval_with(const struct cfg_flag_program *p, enum cfg_flag_type want,
                                          const struct cfg_flag_context *context)
{
    return evaluate(p, want, context);
}

struct cfg_flag_result cfg_flag_eval(const struct cfg_flag_program *p, enum cfg_flag_type want)
{
    return evaluate(p, want, NULL);
}

static inline const struct cfg_flag_program *find(const struct cfg_flag_set *set, const char *name, size_t len)
{
    uint32_t hash = cfg_flag_name_hash(name, len), at = hash & set->mask;
    for (const struct set_slot *s; (s = &set->slots[at])->index != 0; at = (at + 1) & set->mask) {
        const struct cfg_flag_program *p = &set->flags[s->index - 1].program;
        if (s->hash == hash && p->name_len == len && same_bytes(len <= NAME_HEAD ? p->head : p->name->bytes, name, len))
            return p;
    }
    return NULL;
}

const struct cfg_flag_program *cfg_flag_set_find(const struct cfg_flag_set *set, const char *name, size_t len)
{
    return find(set, name, len);
}

struct cfg_flag_result cfg_flag_set_eval(const struct cfg_flag_set *set, const char *name, size_t len,
                                         enum cfg_flag_type want, const struct cfg_flag_context *context)
{
    const struct cfg_flag_program *p = find(set, name, len);
    if (p == NULL)
        return (struct cfg_flag_result){CFG_REASON_ERROR, NULL, NULL, "FLAG_NOT_FOUND", set->metadata};
    return evaluate(p, want, context);
}

const char *cfg_flag_reason_name(enum cfg_flag_reason r)
{
    switch (r) {
    case CFG_REASON_STATIC:
        return "STATIC";
    case CFG_REASON_DEFAULT:
        return "DEFAULT";
    case CFG_REASON_TARGETING_MATCH:
        return "TARGETING_MATCH";
    case CFG_REASON_DISABLED:
        return "DISABLED";
    case CFG_REASON_ERROR:
        break;
    }
    return "ERROR";
}
