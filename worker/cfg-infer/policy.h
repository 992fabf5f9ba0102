/* What may be asked for, by whom: rules that an operator sets per tenant and tier, as the JSON parameter `policy`.
 *
 *     {"identify": "headers" | "keys",
 *      "keys":    {"sha256:…": {"tenant": "acme", "tier": "gold"}},
 *      "all":     RULES,  "tiers": {"free": RULES},  "tenants": {"acme": {"tier": "gold", …RULES}}}
 *     RULES = {"rename": {"max_new_tokens": "max_tokens"}, "drop": ["logit_bias"], "default": {"temperature": 0.3},
 *              "force": {"seed": 7}, "clamp": {"max_tokens": {"max": 256}}, "validate": JSON SCHEMA}
 *
 * A request passes rename → drop → default → force → clamp → validate, in that order. About one parameter the tenant's
 * rule wins over the tier's and that over the one for all (null takes a wider rule away); names to drop add up, and
 * every level's schema must hold. A clamp also holds the live parameters, where the request leaves a value to them.
 *
 * A policy is compiled once, when a view is prepared, and immutable after: a wrong one is refused whole, with path and
 * reason. Applying is a pure function of policy, caller and request. Any thread. */
#ifndef CFG_INFER_POLICY_H
#define CFG_INFER_POLICY_H

#include "worker/cfg-infer/ask.h"

struct cfg_policy;

/* *out is returned-owned. "" and "{}" are the policy that says nothing. CFG_E_VALUE with the place in err->path
 * ("policy.tiers.free.clamp.top_p"), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_policy_compile(struct cfg_policy **out, const char *text, struct cfg_error *err);
void cfg_policy_free(struct cfg_policy *p); /* NULL is fine */

enum { CFG_CALLER_NAME = 64 };
/* Who asks. Empty: nobody in particular. */
struct cfg_caller {
    char tenant[CFG_CALLER_NAME], tier[CFG_CALLER_NAME];
};

/* From what came with the request: its headers Configd-Tenant and Configd-Tier, or the key behind "Authorization:
 * Bearer"; NULL where absent. Where keys identify, the headers say nothing. CFG_E_UNAUTHORIZED: no such key;
 * CFG_E_INVALID: a name of more than 63 bytes or with control characters. */
CFG_MUST_CHECK int cfg_policy_identify(struct cfg_caller *out, const struct cfg_policy *p, const char *tenant,
                                       const char *tier, const char *authorization, struct cfg_error *err);

/* Applies the rules to a request's body (an object, changed in place) and reads it. explained, or NULL: gets one object
 * per thing done appended, {"do":"clamp","param":"temperature","from":1.8,"to":1}. *out is the caller's
 * (cfg_ask_finish). CFG_E_INVALID with the parameter in err->path, as cfg_ask_read; CFG_E_LIMIT; CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_policy_apply(struct cfg_ask *out, const struct cfg_policy *p, const struct cfg_caller *who,
                                    cJSON *body, cJSON *explained, struct cfg_error *err);

#endif
