/* The flags of a view, ready to be asked: one compiled set per namespace, the declared ones found already, and what
 * their variants override, checked against the worker's contract.
 *
 * Built with the view, immutable from then on but for the step's time and the switches that rules about time decide,
 * which the stepper writes between two steps. Pure: no I/O, no clock. */
#ifndef CFG_WORKER_FLAG_VIEW_H
#define CFG_WORKER_FLAG_VIEW_H

#include "flags/set.h"
#include "worker/exposures.h"
#include "worker/local.h"
#include <cfg/flags.h>

struct flag_override {
    uint32_t index; /* of the parameter */
    union cfg_value value;
};

struct flag_use {
    const char *name; /* as a result's `variant` points to it */
    struct cfg_exposure *exposure;
    const char *text; /* an object's JSON */
    const struct flag_override *overrides;
    uint32_t n_overrides;
};

struct flag_unit {
    const struct cfg_flag_program *program;
    const char *address;
    struct flag_use *uses; /* by variant, in the order of the definition */
    uint32_t n_uses;
    bool overrides; /* some variant overrides a parameter of this worker */
};

struct flag_space {
    const char *name;
    size_t name_len;
    struct cfg_flag_set *set;
    struct flag_unit *units; /* by the set's index */
};

/* A declared on/off flag, as a parameter of the view. */
struct flag_switch {
    const struct flag_unit *unit;
    union cfg_value *value; /* the view's */
    bool def;               /* what holds when the flag leaves the decision to its caller */
};

struct flag_handle {
    const struct flag_unit *unit; /* NULL: no such flag */
    bool forced, on;              /* by a local override, for everybody */
};

/* What struct cfg_view points to. */
struct cfg_view_flags {
    _Atomic(int64_t) now_s;      /* $flagd.timestamp of the step */
    bool timed;                  /* some rule asks for it */
    struct flag_handle *handles; /* by cfg_flag.index */
    uint32_t n_handles;
    struct flag_switch *switches; /* with `timed`: those to decide again when the time is another */
    uint32_t n_switches;
    struct flag_space *spaces;
    size_t n_spaces;
    const struct flag_unit **overriding; /* sorted by address */
    uint32_t n_overriding;
    void **owned; /* everything above, and texts, but for the sets */
    size_t n_owned, cap_owned;
};

/* flags: a view's {NAMESPACE: {NAME: envelope, "$evaluators", "$metadata"}}; the latter two are taken out of it,
 * nothing of it is kept. now_s is what the step's time begins with. A flag that does not compile answers PARSE_ERROR
 * unless the contract declares it: then the set is refused. *out is returned-owned. CFG_E_VALUE, CFG_E_UNSUPPORTED,
 * CFG_E_LIMIT with err->path = the flag's address or the override's; CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_flag_view_new(struct cfg_view_flags **out, cJSON *flags, const struct cfg_contract *c,
                                     int64_t now_s, struct cfg_error *err);
void cfg_flag_view_free(struct cfg_view_flags *f); /* NULL is fine */

/* Checks and takes in what variants override, and the local overrides of flags. envelopes: as `flags` above; from_pin:
 * by parameter, whether the deployment pins it. */
CFG_MUST_CHECK int cfg_flag_view_overrides(struct cfg_view_flags *f, const cJSON *envelopes,
                                           const struct cfg_contract *c, const struct cfg_local *l,
                                           const bool *from_pin, struct cfg_error *err);

/* From here on what the flags serve is counted; declared flags and those that override come first where room is
 * scarce. */
void cfg_flag_view_count(struct cfg_view_flags *f, struct cfg_exposures *x);

/* The flag at an address, or NULL. Any thread. */
const struct flag_unit *cfg_flag_view_find(const struct cfg_view_flags *f, const char *address, size_t len);

/* What a declared on/off flag gives the empty context: into *value, which holds the default and keeps it for a flag
 * that leaves the decision to its caller or does not exist. CFG_E_VALUE for a flag of another type. follow: *value,
 * which must live as long as the view, goes on following the flag's rules about time. */
CFG_MUST_CHECK int cfg_flag_view_switch(struct cfg_view_flags *f, union cfg_value *value, const char *address,
                                        bool follow, struct cfg_error *err);

/* The stepper's, between two steps: the time that rules see from here on, and what the switches are at that time. */
void cfg_flag_view_tell_time(struct cfg_view_flags *f, int64_t now_s);

/* Keeps p until the view goes; frees it at once, and gives false, without memory (also for p NULL). */
bool cfg_flag_view_own(struct cfg_view_flags *f, void *p);

#endif
