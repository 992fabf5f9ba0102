/* A compiled policy: policy.c makes it, policy_apply.c walks it. Nobody else looks inside. */
#ifndef CFG_INFER_POLICY_INTERNAL_H
#define CFG_INFER_POLICY_INTERNAL_H

#include "proto/schema.h"
#include "worker/cfg-infer/policy.h"

/* In the order in which a request passes them. */
enum cfg_policy_stage { CFG_RENAME, CFG_DROP, CFG_DEFAULT, CFG_FORCE, CFG_CLAMP, CFG_VALIDATE, CFG_STAGES };

struct cfg_policy_rules {
    const char *name;                /* of the tier or tenant; NULL: for all */
    const char *tier;                /* a tenant's; NULL: not said */
    const cJSON *stages[CFG_STAGES]; /* NULL: none; the last is kept as `schema` */
    struct cfg_schema *schema;
};

struct cfg_policy {
    cJSON *text; /* what everything else points into */
    bool by_key;
    const cJSON *keys;
    struct cfg_policy_rules all;
    struct cfg_policy_rules *tiers, *tenants; /* owned arrays */
    size_t n_tiers, n_tenants;
};

/* The tier's or tenant's rules, NULL when the policy does not know the name. */
const struct cfg_policy_rules *cfg_policy_find(const struct cfg_policy_rules *of, size_t n, const char *name);

#endif
