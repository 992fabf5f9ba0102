/* Changing one flag: read it, edit a copy, show what changes, write it if nobody was faster, say whom that reaches. */
#ifndef CFG_CFGCTL_FLAG_CHANGE_H
#define CFG_CFGCTL_FLAG_CHANGE_H

#include "client/cfgctl/cli.h"
#include "proto/path.h"

struct flag_job {
    const struct cli *c;
    struct cfg_address address;
    cJSON *envelope;      /* to be edited in place */
    const cJSON *flags;   /* every envelope of the namespace by name; NULL unless asked for */
    struct cfg_buf notes; /* lines to be shown beneath the difference */
};
/* May run several times, on a fresh copy each: somebody else may have written meanwhile. */
typedef int (*flag_edit_fn)(struct flag_job *job, void *arg, struct cfg_error *err);

/* The flag is the line's first word. with_flags: read the whole namespace. An edit that changes nothing is sent too, so
 * that the server says so. CFG_E_NOT_FOUND names the nearest flag. */
CFG_MUST_CHECK int flag_change(struct cli *c, bool with_flags, flag_edit_fn fn, void *arg, struct cfg_error *err);
/* The same for a flag that must not exist yet. envelope is borrowed. */
CFG_MUST_CHECK int flag_change_create(struct cli *c, const cJSON *envelope, struct cfg_error *err);
/* Lays --requires, where it is given, into an envelope; given with nothing, it takes away what was required.
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int flag_requires_put(const struct cli *c, cJSON *envelope, struct cfg_error *err);
/* The flag of the line's first word, read. *out is returned-owned, as the API gives it. */
CFG_MUST_CHECK int flag_change_read(struct cli *c, struct cfg_address *address, cJSON **out, struct cfg_error *err);

#endif
