/* The flag engine: parse a definition once into an immutable program, then evaluate without allocation, locks, I/O or
 * globals. configd and the workers link this same library, so local and remote evaluation cannot differ.
 *
 * The definition format is flagd's: {"state","variants","defaultVariant","targeting","metadata"}. Around it the
 * envelope adds, all optional,
 *   enabled, off_variant   a kill switch that keeps the rules
 *   hash_version           1, 2 (when absent) or 3: how `fractional` hashes. A definition may say it too
 *   prerequisites          {"other-flag": "variant" or ["variant", …]}: all must hold, else the flag is off
 *   group                  {"name","from","to","by"}: of 10,000 buckets of the group's units this flag has [from, to).
 *                          Flags of one group never share a unit
 *   holdouts               [{"name","to","by"}, …]: units in the buckets [0, to) of any are off
 *   overrides              {VARIANT: {PATH: value}}: parameters that whoever gets the variant takes for one request.
 *                          The engine only checks their form
 * docs/flags.md explains each with examples. Flags that use prerequisites, groups or shared evaluators belong into a
 * set (flags/set.h), which checks what one flag alone cannot. Programs are immutable: any number of threads may
 * evaluate one. */
#ifndef CFG_FLAGS_FLAG_H
#define CFG_FLAGS_FLAG_H

#include "flags/value.h"
#include "proto/json.h"

/* The members that an envelope may have, NULL at the end; `definition` is the last. */
extern const char *const cfg_flag_envelope_members[];

struct cfg_flag_program; /* immutable */

/* What an evaluation says, in the order in which it is decided:
 *   enabled is false                DISABLED, with off_variant's value; without an off_variant the caller's default
 *                                   holds. OpenFeature defines this reason as "the value was the result of the flag
 *                                   being disabled in the management system", and LaunchDarkly's OFF maps to it; STATIC
 *                                   would hide that somebody threw the switch.
 *   state is DISABLED               DISABLED, the caller's default holds (flagd)
 *   held out, not in the group's    DISABLED, as with enabled false
 *   share, a prerequisite fails
 *   targeting names a variant       TARGETING_MATCH, with its value
 *   targeting gives null            DEFAULT, with defaultVariant's value, or the caller's default without one
 *   no targeting, no defaultVariant DEFAULT, the caller's default holds (flagd)
 *   no targeting                    STATIC, with defaultVariant's value
 * So a reason alone does not tell whether there is a value: look at `value`. Errors are OpenFeature's codes:
 * TYPE_MISMATCH, FLAG_NOT_FOUND (a set), PARSE_ERROR (a definition that a set kept although it does not compile),
 * GENERAL (targeting gave what is no variant, or used up its work or scratch memory). */

struct cfg_flag_result {
    enum cfg_flag_reason reason;
    const char *variant;   /* borrowed from the program; NULL when the caller's default holds */
    const cJSON *value;    /* borrowed from the program; NULL when the caller's default holds */
    const char *error;     /* OpenFeature error code ("TYPE_MISMATCH", "GENERAL"), NULL without error */
    const cJSON *metadata; /* of the flag over that of its set, borrowed; NULL when there is none */
};

/* envelope: {"enabled":bool, "off_variant":string?, "definition":{…}} as it lies in etcd; borrowed, not kept.
 * CFG_E_VALUE with err->path for anything malformed: no variants, variants of mixed types, a default or off variant
 * that is not among them, wrong operands, weights that overflow, a $ref. CFG_E_UNSUPPORTED for what this engine does
 * not read (an unknown operator or member), CFG_E_LIMIT for rules nested too deeply. *out is returned-owned. */
CFG_MUST_CHECK int cfg_flag_compile(struct cfg_flag_program **out, const cJSON *envelope, struct cfg_error *err);
/* The same for a flag whose name matters ($flagd.flagKey) and that may refer to `evaluators` (an object of rules by
 * name; NULL: none). Prerequisites are checked for form only: alone it cannot be known whether they hold, and such a
 * flag answers GENERAL. */
CFG_MUST_CHECK int cfg_flag_compile_named(struct cfg_flag_program **out, const char *name, const cJSON *envelope,
                                          const cJSON *evaluators, struct cfg_error *err);
void cfg_flag_free(struct cfg_flag_program *p);
enum cfg_flag_type cfg_flag_type_of(const struct cfg_flag_program *p);
const char *cfg_flag_name_of(const struct cfg_flag_program *p); /* "" of a flag compiled without a name */
/* Variants in the order of the definition; none of a flag that a set kept although it does not compile. The name is the
 * very pointer that a result's `variant` is when that one is served. Borrowed from the program. */
struct cfg_flag_variant {
    const char *name;
    const cJSON *value;
};
size_t cfg_flag_variant_count(const struct cfg_flag_program *p);
struct cfg_flag_variant cfg_flag_variant_at(const struct cfg_flag_program *p, size_t index); /* below the count */
/* The value for `want`: a variant of another type gives CFG_REASON_ERROR and "TYPE_MISMATCH". Evaluated for the empty
 * context at the epoch. */
struct cfg_flag_result cfg_flag_eval(const struct cfg_flag_program *p, enum cfg_flag_type want);
/* The same for a context, borrowed; NULL is the empty one. */
struct cfg_flag_result cfg_flag_eval_with(const struct cfg_flag_program *p, enum cfg_flag_type want,
                                          const struct cfg_flag_context *context);
const char *cfg_flag_reason_name(enum cfg_flag_reason r); /* "STATIC", … as OpenFeature spells them */

/* The envelope of a new boolean flag that is on or off:
 * {"enabled":on,"off_variant":"off","definition":{"state":"ENABLED",
 * "variants":{"on":true,"off":false},"defaultVariant":"on"}}. Returned-owned; NULL without memory. */
cJSON *cfg_flag_new_boolean(bool on);
/* The definition that plain flagd would need to serve the same values: a killed flag loses its rules and serves its
 * off_variant (flagd calls that STATIC) or, without one, is DISABLED; groups and holdouts become rules around its own.
 * Returned-owned; NULL without memory or definition. cfg_flag_export_loss says what flagd cannot express. */
cJSON *cfg_flag_export(const cJSON *envelope);
/* Why plain flagd may answer differently with the export: an array of sentences, empty when it cannot. Returned-owned;
 * NULL without memory. */
cJSON *cfg_flag_export_loss(const cJSON *envelope);

#endif
