/* Which arm of a deployment a rank group runs: a pure function of the group's id, the split and the group's labels.
 *
 * A split draws a line through [0, 1): a group's point is a hash of the rollout's seed and the group's key, and groups
 * whose point lies below the share run the split's arm. So a group never splits (every replica and every rank computes
 * the same from the same id), and raising a share never moves a group back (its point stays where it is). Another seed
 * gives other points: the next rollout has other canaries.
 *
 *     where   only groups with these labels have a point at all: {"region":["eu","us"],"gpu":["H200"]}, all of them
 *     by      the key is the value of this label instead of the group's id: whole racks move together, first one, then
 *             the others; a group without the label has no point
 *
 * Labels are those of a worker's registration. The ranks of a group have to agree in the ones that a split looks at.
 * Pure. */
#ifndef CFG_CONFIGD_ARMS_H
#define CFG_CONFIGD_ARMS_H

#include "proto/json.h"
#include "proto/limits.h"

#define CFG_ARM_BASE   "base"
#define CFG_ARM_CANARY "canary"

enum { CFG_SPLIT_SEED = 32, CFG_SPLIT_LABEL = 63, CFG_SPLIT_LABELS_MAX = 16, CFG_SPLIT_VALUES_MAX = 64 };

struct cfg_split {
    char arm[CFG_LIMIT_NAME + 1];  /* that gets the share; "": there is no split */
    char seed[CFG_SPLIT_SEED + 1]; /* hexadecimal digits */
    double share;                  /* 0 … 1 */
    char by[CFG_SPLIT_LABEL + 1];  /* "": the group's id */
    cJSON *where;                  /* {LABEL: [VALUE, …]}; owned; NULL: everybody */
};

/* Reads {"arm","seed","share","by"?,"where"?}. *out is the caller's to finish. CFG_E_VALUE with the member's path,
 * CFG_E_ADDRESS, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_split_read(struct cfg_split *out, const cJSON *object, struct cfg_error *err);
void cfg_split_finish(struct cfg_split *s);       /* takes a zeroed struct */
cJSON *cfg_split_json(const struct cfg_split *s); /* returned-owned; NULL without memory */
/* Labels to look for: {LABEL: VALUE or [VALUE, …]}, borrowed, becomes {LABEL: [VALUE, …]}. *out is returned-owned, NULL
 * for an absent or empty object. CFG_E_VALUE, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_split_read_where(cJSON **out, const cJSON *where, struct cfg_error *err);

/* The group's point in [0, 1); false: it has none, and stays with the base. labels: an object, or NULL. */
bool cfg_split_point(double *out, const struct cfg_split *s, const char *group, const cJSON *labels);
/* CFG_ARM_BASE or s->arm. Static or borrowed from s. */
const char *cfg_split_arm(const struct cfg_split *s, const char *group, const cJSON *labels);
/* The smallest share, in hundredths of a per cent, that holds a group with this point. */
double cfg_split_share_for(double point);

#endif
