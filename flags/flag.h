/* The flag engine: parse a definition once into an immutable program, then evaluate without allocation, locks, I/O or
 * globals. configd and the workers link this same library, so local and remote evaluation cannot differ (design §7).
 *
 * The definition format is flagd's: {"state","variants","defaultVariant","targeting","metadata"}. Around it the
 * envelope adds `enabled` and `off_variant`: a kill switch that keeps the rules. Targeting rules are not read yet and
 * are refused by name at parse time, never ignored. Programs are immutable: any number of threads may evaluate one. */
#ifndef CFG_FLAGS_FLAG_H
#define CFG_FLAGS_FLAG_H

#include "proto/json.h"

enum cfg_flag_type { CFG_FLAG_BOOL, CFG_FLAG_STRING, CFG_FLAG_NUMBER, CFG_FLAG_OBJECT };
enum cfg_flag_reason {
    CFG_REASON_STATIC,
    CFG_REASON_DEFAULT,
    CFG_REASON_TARGETING_MATCH,
    CFG_REASON_DISABLED,
    CFG_REASON_ERROR
};

struct cfg_flag_program; /* immutable */

/* What an evaluation says, in the order in which it is decided:
 *   enabled is false         DISABLED, with off_variant's value; without an off_variant the caller's default holds.
 * OpenFeature defines this reason as "the value was the result of the flag being disabled in the management system",
 * and LaunchDarkly's OFF maps to it; STATIC would hide that somebody threw the switch. state is DISABLED DISABLED, the
 * caller's default holds (flagd) no defaultVariant        DEFAULT, the caller's default holds (flagd) otherwise STATIC,
 * with defaultVariant's value So a reason alone does not tell whether there is a value: look at `value`. */

struct cfg_flag_result {
    enum cfg_flag_reason reason;
    const char *variant; /* borrowed from the program; NULL when the caller's default holds */
    const cJSON *value;  /* borrowed from the program; NULL when the caller's default holds */
    const char *error;   /* OpenFeature error code ("TYPE_MISMATCH", "GENERAL"), NULL without error */
};

/* envelope: {"enabled":bool, "off_variant":string?, "definition":{…}} as it lies in etcd; borrowed, not kept.
 * CFG_E_VALUE with err->path for anything malformed: no variants, variants of mixed types, a default or off variant
 * that is not among them. CFG_E_UNSUPPORTED for what this engine does not read. *out is returned-owned. */
CFG_MUST_CHECK int cfg_flag_compile(struct cfg_flag_program **out, const cJSON *envelope, struct cfg_error *err);
void cfg_flag_free(struct cfg_flag_program *p);
enum cfg_flag_type cfg_flag_type_of(const struct cfg_flag_program *p);
/* The value for `want`: a flag of another type gives CFG_REASON_ERROR and "TYPE_MISMATCH". Never fails otherwise. */
struct cfg_flag_result cfg_flag_eval(const struct cfg_flag_program *p, enum cfg_flag_type want);
const char *cfg_flag_reason_name(enum cfg_flag_reason r); /* "STATIC", … as OpenFeature spells them */

/* The envelope of a new boolean flag that is on or off:
 * {"enabled":on,"off_variant":"off","definition":{"state":"ENABLED",
 * "variants":{"on":true,"off":false},"defaultVariant":"on"}}. Returned-owned; NULL without memory. */
cJSON *cfg_flag_new_boolean(bool on);
/* The definition that plain flagd would need to serve the same values: a killed flag loses its rules and serves its
 * off_variant (flagd calls that STATIC) or, without one, is DISABLED. Returned-owned; NULL without memory or
 * definition. */
cJSON *cfg_flag_export(const cJSON *envelope);

#endif
