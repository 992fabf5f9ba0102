/* Flags being edited: envelopes as trees, changed in place by one function per thing that people want. Pure.
 *
 * Rules are seen as a list: a definition's targeting {"if": [c1, v1, c2, v2, …, else]} is rules 1, 2, … and what holds
 * for everybody whom none of them catches ("else": a variant, a split, anything). Targeting of another form is all
 * "else". Writing the list back gives the shortest targeting that means the same.
 *
 * All functions leave an envelope that failed half changed: edit a copy. Errors: CFG_E_VALUE naming the variant, flag
 * or attribute, with the nearest right one as hint; CFG_E_INVALID for what was typed; CFG_E_NOMEM. */
#ifndef CFG_CFGCTL_FLAG_EDIT_H
#define CFG_CFGCTL_FLAG_EDIT_H

#include "proto/json.h"

/* --- variants --- */

/* Checks that a definition has it. */
CFG_MUST_CHECK int flag_check_variant(const cJSON *envelope, const char *variant, struct cfg_error *err);
/* "NAME=VALUE": adds it or changes its value; taken as text where all the others are texts. */
CFG_MUST_CHECK int flag_variant_put(cJSON *envelope, const char *text, struct cfg_error *err);
/* CFG_E_IN_USE when the default, the off variant, a rule, a split, an override, or a flag of `flags` (envelopes by
 * name) names it. ns and name are the flag's own. */
CFG_MUST_CHECK int flag_variant_remove(cJSON *envelope, const char *ns, const char *name, const char *variant,
                                       const cJSON *flags, struct cfg_error *err);
/* What holds when no rule decides, and while the flag is off; "": nothing does, the caller's default holds. */
CFG_MUST_CHECK int flag_default_put(cJSON *envelope, const char *variant, struct cfg_error *err);
CFG_MUST_CHECK int flag_off_put(cJSON *envelope, const char *variant, struct cfg_error *err);

/* --- metadata --- */

/* "NAME=VALUE": a boolean, a number, else text. */
CFG_MUST_CHECK int flag_meta_put(cJSON *envelope, const char *text, struct cfg_error *err);
/* value is consumed, also on failure. */
CFG_MUST_CHECK int flag_meta_set(cJSON *envelope, const char *name, cJSON *value, struct cfg_error *err);
CFG_MUST_CHECK int flag_meta_remove(cJSON *envelope, const char *name, struct cfg_error *err);

/* --- rules --- */

enum { FLAG_RULE_LAST = 0 };

/* How many rules there are, and what each says: borrowed. Rules count from 1; rule 0 is "else", whose condition is
 * NULL. */
size_t flag_rules_count(const cJSON *envelope);
const cJSON *flag_rule_condition(const cJSON *envelope, size_t rule);
const cJSON *flag_rule_outcome(const cJSON *envelope, size_t rule); /* NULL: nothing, the default variant */
/* Puts a rule before `before` (FLAG_RULE_LAST: behind all). condition and outcome are consumed, also on failure. */
CFG_MUST_CHECK int flag_rule_add(cJSON *envelope, cJSON *condition, cJSON *outcome, size_t before,
                                 struct cfg_error *err);
CFG_MUST_CHECK int flag_rule_remove(cJSON *envelope, size_t rule, struct cfg_error *err);
/* All rules go, what holds for everybody else stays. */
CFG_MUST_CHECK int flag_rules_clear(cJSON *envelope, struct cfg_error *err);
/* outcome is consumed; NULL: nothing, the default variant. */
CFG_MUST_CHECK int flag_rules_set_else(cJSON *envelope, cJSON *outcome, struct cfg_error *err);

/* --- splits --- */

enum { FLAG_SPLIT_MAX = 64 };

struct flag_split {
    struct {
        char variant[256];
        double weight; /* whole once complete */
    } entries[FLAG_SPLIT_MAX];
    size_t n;
    double total;
    bool percent; /* a weight was given with %, so all of them are shares of 100 */
};

/* Adds "on=10", "on=12.5%". */
CFG_MUST_CHECK int flag_split_add(struct flag_split *s, const char *text, struct cfg_error *err);
/* Checks the variants, gives a lone weight's rest to the other of two variants, refuses percentages that do not make
 * 100 (CFG_E_INVALID), makes weights whole, and keeps the order of `present` (the outcome that is to be replaced, or
 * NULL): whoever stays in front is not moved. */
CFG_MUST_CHECK int flag_split_complete(struct flag_split *s, const cJSON *envelope, const cJSON *present,
                                       struct cfg_error *err);
/* by: the attribute that names the unit, "targetingKey" or NULL for what `present` has; seed: shared between flags,
 * NULL for the flag's own name. A split that hashes text around the unit would deal all contexts without one into one
 * bucket, so it is guarded: it stands in an `if` on the unit, and they get the default variant. A split that is there
 * without its guard keeps going without when neither `by` nor `seed` is given: nobody moves. Returned-owned; NULL
 * without memory. */
cJSON *flag_split_outcome(const struct flag_split *s, const cJSON *present, const char *by, const char *seed);
/* The split inside its guard; anything else is given back as it is. Borrowed. */
const cJSON *flag_split_inside(const cJSON *outcome);
bool flag_split_guarded(const cJSON *outcome);
/* Reads a `fractional` of literal weights, guarded or not; false for anything else. */
bool flag_split_read(struct flag_split *out, const cJSON *outcome);
/* The attribute that a split hashes beside its name or seed, borrowed; NULL: the targeting key itself, or no such
 * split. */
const char *flag_split_unit(const cJSON *outcome);
/* Who moves when `old` (an outcome, or NULL: nothing but `standard`) becomes `new`: lines for people. */
void flag_split_describe_moves(struct cfg_buf *out, const cJSON *old, const cJSON *new, const char *standard);
/* What those get whose context lacks the unit of a split, and when that is not the cautious answer how to change it: a
 * line for people. */
void flag_split_describe_unnamed(struct cfg_buf *out, const cJSON *envelope, const cJSON *outcome);

/* --- around the definition --- */

/* "OTHER=on" or "OTHER=on,blue": text, whose flag is looked for in `flags` (envelopes by name; NULL: unchecked). */
CFG_MUST_CHECK int flag_require(cJSON *envelope, const char *text, const cJSON *flags, struct cfg_error *err);
CFG_MUST_CHECK int flag_unrequire(cJSON *envelope, const char *flag, struct cfg_error *err);
/* "checkout=25%": buckets of the group that no flag of `flags` but `self` has, next to what `self` has already, so that
 * nobody moves out when a share grows. */
CFG_MUST_CHECK int flag_join_group(cJSON *envelope, const char *self, const char *text, const char *by,
                                   const cJSON *flags, struct cfg_error *err);
/* "q4=5%". */
CFG_MUST_CHECK int flag_hold_out(cJSON *envelope, const char *text, const char *by, struct cfg_error *err);
/* Lines about holdouts that `flags` but `self` have by the same name with another share or unit: they then do not hold
 * the same units out. */
void flag_compare_holdouts(struct cfg_buf *out, const cJSON *envelope, const char *self, const cJSON *flags);
CFG_MUST_CHECK int flag_unhold(cJSON *envelope, const char *name, struct cfg_error *err);
/* "sampling.temperature=0.9" for one variant. */
CFG_MUST_CHECK int flag_override(cJSON *envelope, const char *variant, const char *text, struct cfg_error *err);
/* path NULL: all of the variant's; variant NULL: all. */
CFG_MUST_CHECK int flag_unoverride(cJSON *envelope, const char *variant, const char *path, struct cfg_error *err);

/* --- new ones --- */

struct flag_new {
    const char *type;            /* as people name it; NULL: what the variants are, boolean without any */
    const char *const *variants; /* "NAME=VALUE" */
    size_t n_variants;
    const char *standard, *off; /* names of variants; NULL: see docs/cli.md */
    const char *description;
};
/* *out is a returned-owned envelope. */
CFG_MUST_CHECK int flag_make(cJSON **out, const struct flag_new *n, struct cfg_error *err);

/* --- for people --- */

/* The members of an envelope that people write, out of a reply. Returned-owned; NULL without memory. */
cJSON *flag_envelope_of(const cJSON *reply);
/* What a flag says, one thing per line. Nothing of it is left out: what has no words is JSON. numbered: rules are. */
void flag_describe(struct cfg_buf *out, const cJSON *envelope, bool numbered);
/* Its rules alone. */
void flag_describe_rules(struct cfg_buf *out, const cJSON *envelope, bool numbered);
/* The parts that differ, "switched off, rules, metadata". Equal ones give nothing. */
void flag_name_changes(struct cfg_buf *out, const cJSON *old, const cJSON *new);
/* Lines that went and came, "- …" and "+ …". Equal texts give nothing. */
void flag_diff(struct cfg_buf *out, const char *old, const char *new, bool color);
/* What a rule answers: `on`, `on 10 %, off 90 % by user.id`, or JSON. */
void flag_outcome_print(struct cfg_buf *out, const cJSON *outcome);

#endif
