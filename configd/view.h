/* A view: what a rank group is told. Composed from values alone: release + pin + flags. Pure. */
#ifndef CFG_CONFIGD_VIEW_H
#define CFG_CONFIGD_VIEW_H

#include "configd/arms.h"
#include "configd/closure.h"

/* A flag at a version that an arm fixes. */
struct cfg_arm_flag {
    struct cfg_object_id id;
    uint64_t version;
};
/* A deployment's record, typed. Arrays and strings owned. */
struct cfg_arm {
    char name[CFG_LIMIT_NAME + 1]; /* "base" */
    struct cfg_release release;    /* what it holds: its namespace and every base; n 0: it follows the heads */
    char locked[CFG_DIGEST_TEXT]; /* the view's digest, of an arm that holds a locked view; "": none. Its release may be
                                     empty, and is told, not composed */
    struct cfg_arm_flag *flags;   /* versions that do not follow the heads */
    size_t n_flags;
};
struct cfg_deployment {
    char name[CFG_LIMIT_NAME + 1], config[CFG_LIMIT_NAME + 1];
    char (*flags)[CFG_LIMIT_NAME + 1];
    size_t n_flags;
    bool hold;
    uint64_t generation;
    cJSON *pin_keys, *pin, *adopted_stores; /* array of paths, object of resolved values, array of store ids */
    cJSON *requires;                        /* array of capabilities that its workers must have; NULL: none */
    struct cfg_arm *arms;
    size_t n_arms;
    struct cfg_split split; /* which groups run another arm than the base; while a rollout runs */
};
/* CFG_E_NOT_FOUND for a tombstone, CFG_E_VALUE or CFG_E_JSON for a record that is none of ours. */
CFG_MUST_CHECK int cfg_deployment_read(struct cfg_deployment *out, const struct cfg_object *o, struct cfg_error *err);
/* The same from a body that is not an object yet, which is borrowed. */
CFG_MUST_CHECK int cfg_deployment_read_body(struct cfg_deployment *out, const char *name, const cJSON *body,
                                            struct cfg_error *err);
void cfg_deployment_finish(struct cfg_deployment *d);                                       /* takes a zeroed struct */
const struct cfg_arm *cfg_deployment_arm(const struct cfg_deployment *d, const char *name); /* NULL: no such arm */
bool cfg_deployment_sees_flags(const struct cfg_deployment *d, const char *ns);
uint64_t cfg_arm_flag_version(const struct cfg_arm *a, const struct cfg_object_id *flag); /* 0: its head */
/* The name of the arm that a group runs: of one that there is. labels as cfg_split_point; borrowed from d, or static.
 */
const char *cfg_deployment_assign(const struct cfg_deployment *d, const char *group, const cJSON *labels);
bool cfg_arm_follows(const struct cfg_arm *a);               /* the heads */
bool cfg_deployment_follows(const struct cfg_deployment *d); /* has an arm that follows the heads */

struct cfg_view_inputs {
    const struct cfg_deployment *deployment;
    const struct cfg_object *deployment_object;
    const struct cfg_closure *closure; /* the namespaces of the release that the arm runs */
    const struct cfg_object *const *
        flags; /* heads of the kinds of cfg_kind_is_of_flags in the deployment's flag namespaces, tombstones included */
    size_t n_flags;
    struct cfg_release_bases *bases; /* as cfg_release_options has it; borrowed; NULL: none */
};
struct cfg_view_out {
    cJSON *view; /* {"parameters","pinned","flags"}, owned */
    char digest[CFG_DIGEST_TEXT], pin_digest[CFG_DIGEST_TEXT];
    uint64_t revision; /* greatest mod_revision of the heads it is made of, tombstones and deployment included */
    struct cfg_release versions; /* of the release */
};
/* Parameters are the release's documents merged, with the pin on top, resolved, without the pinned keys; those lie
 * under "pinned" with the pin's values. "flags" has a member for every flag namespace of the deployment, also an empty
 * one: {NAME: body, …} and, where they are not empty, the namespace's "$evaluators" and "$metadata" (no flag's name
 * begins with a $). CFG_E_NOMEM, CFG_E_ADDRESS, and what cfg_release_resolve says. */
CFG_MUST_CHECK int cfg_view_compose(struct cfg_view_out *out, const struct cfg_view_inputs *in, struct cfg_error *err);
/* The view that an arm was locked to. locked: the object under live/locked/. CFG_E_VALUE when it is none of ours or not
 * the one that the arm holds, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_view_locked(struct cfg_view_out *out, const struct cfg_deployment *d, const struct cfg_arm *arm,
                                   const struct cfg_object *deployment_object, const struct cfg_object *locked,
                                   struct cfg_error *err);
void cfg_view_finish(struct cfg_view_out *v);
/* Differences between a pin and the values a worker booted with (only those it states), by leaf: array of
 * {"path","deployment","worker"} (deployment null: the pin has no such key). Returned-owned; NULL without memory. */
cJSON *cfg_pin_differences(const cJSON *pin, const cJSON *worker);
/* What a deployment keeps when its namespace's document changes from before to after: the pinned leaves that this
 * change touches and whose new value is not the pin's. Array of {"path","value"} (value = the pin's; null for a key
 * that the pin does not have). Returned-owned; NULL without memory. */
cJSON *cfg_pin_kept(const struct cfg_deployment *d, const cJSON *before, const cJSON *after);

#endif
