/* From a view's JSON text to the array of values that a step reads: the pure heart of the worker.
 *
 * A view is adopted whole or refused whole. Precedence, lowest first: the code's default, the view, the local override.
 * Classes: LIVE, DRAIN and BARRIER take the new value; RESTART keeps the value this process booted with and lists the
 * path as pending; PINNED, and whatever the deployment pins, keeps its boot value for good and lists a differing one as
 * pending too. No I/O, no clock, no threads. */
#ifndef CFG_WORKER_PREPARE_H
#define CFG_WORKER_PREPARE_H

#include "proto/digest.h"
#include "proto/revision.h"
#include "worker/flag_view.h"
#include "worker/local.h"

enum { CFG_HOOKS_MAX = 64, CFG_STORE_TEXT = 64, CFG_ARM_TEXT = 64 };

/* A view as text. All strings are borrowed. */
struct cfg_view_input {
    const char *revision;  /* "E-R" */
    const char *digest;    /* "sha256:…" */
    const char *store;     /* store id; "" without one */
    struct cfg_slice text; /* {"parameters":{…},"pinned":{…},"flags":{…}} */
    int64_t now_s;         /* wall clock: what rules about time see until a step begins; the
                     sources leave it to the library */
};

/* A view ready for adoption. Immutable once prepared, except for the adoption record, which the stepper writes before
 * it publishes the box as applied, and for on/off flags with a rule about time (flag_view.h). */
struct cfg_box {
    struct cfg_view pub; /* first: what the program sees */
    struct cfg_box *next;
    struct cfg_rev rev;
    char revision[CFG_REV_TEXT];
    char digest[CFG_DIGEST_TEXT];
    char store[CFG_STORE_TEXT];
    char arm[CFG_ARM_TEXT]; /* "base" until its publisher knows better */
    struct cfg_bytes *text; /* the view's JSON, for the cache; NULL for the code's defaults */
    char **owned;           /* texts of this view's STRING and JSON values */
    uint32_t n_owned;
    bool *from_pin;    /* by index: the value lies in the view's pinned part */
    uint32_t *pending; /* indices of parameters whose new value waits for a restart */
    uint32_t n_pending;
    uint64_t hooks; /* bit i: hook i has prepared this view */
    uint64_t adopted_step;
    int64_t adopted_at_us;    /* wall clock */
    union cfg_value values[]; /* n + 1: the last is all zero */
};

/* Prepares a view. boot: the first view this process ran on, or NULL while preparing that one; borrowed, and it must
 * outlive *out (values that keep their boot value point into it), as must c and l. *out is returned-owned
 * (cfg_box_free). Errors: CFG_E_VALUE (incomplete, mistyped, out of range; err->path names the parameter),
 * CFG_E_UNSUPPORTED (a flag this engine does not read), CFG_E_JSON, CFG_E_INVALID (revision), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_prepare(struct cfg_box **out, const struct cfg_contract *c, const struct cfg_local *l,
                               const struct cfg_box *boot, const struct cfg_view_input *in, struct cfg_error *err);

/* The view before any view: code defaults under local overrides, revision "0-0". */
CFG_MUST_CHECK int cfg_prepare_defaults(struct cfg_box **out, const struct cfg_contract *c, const struct cfg_local *l,
                                        struct cfg_error *err);

void cfg_box_free(struct cfg_box *b); /* NULL is fine */

/* Does any parameter under `prefix` ("" = all; whole path segments) differ between a and b? b NULL: yes, where the
 * contract has one. */
bool cfg_prefix_changed(const struct cfg_contract *c, const char *prefix, const struct cfg_view *a,
                        const struct cfg_view *b);

#endif
