/* Where views come from: configd (source_configd.c), a file (source_file.c), or a test's memory (source_memory.c).
 *
 * A source is driven like everything here: poll its fd for POLLIN for at most timeout_ms, then call process. All calls
 * and all callbacks happen on the library's thread (with external_loop: the caller's). */
#ifndef CFG_WORKER_SOURCE_H
#define CFG_WORKER_SOURCE_H

#include "worker/prepare.h"

enum cfg_source_state {
    CFG_SOURCE_CONNECTING,
    CFG_SOURCE_CONNECTED,
    CFG_SOURCE_STALE,
    CFG_SOURCE_FOREIGN,
    CFG_SOURCE_REFUSED,
    CFG_SOURCE_SUPERSEDED,
    CFG_SOURCE_FILE,
};
const char *cfg_source_state_name(enum cfg_source_state s); /* static storage */

/* What a source tells the worker; never from inside start or free. Everything passed is borrowed during the call. */
struct cfg_source_events {
    void (*view)(void *arg, const struct cfg_view_input *in);
    void (*mark)(void *arg, const char *revision); /* nothing newer up to here: the view held or offered is current */
    void (*state)(void *arg, enum cfg_source_state state, const struct cfg_error *why); /* why NULL: all is well */
    void (*broken)(void *arg, const char *revision, const struct cfg_error *why); /* text that is no view at all */
    void (*registered)(void *arg, unsigned report_interval_ms);                   /* configd knows us (again) */
    void (*reported)(void *arg, const char *json);                                /* this report has been taken */
    void *arg;
};

/* What the worker offers a source to go on from; borrowed during the call. */
struct cfg_source_resume {
    const char *revision, *digest, *store, *view; /* all NULL: nothing; digest and view NULL: only the order */
};

/* A view as text, owned. */
struct cfg_aside {
    char revision[CFG_REV_TEXT], digest[CFG_DIGEST_TEXT], store[CFG_STORE_TEXT];
    struct cfg_bytes *text; /* NULL: none */
};
bool cfg_aside_set(struct cfg_aside *a, const struct cfg_view_input *in); /* copied; false without memory */
struct cfg_view_input cfg_aside_input(const struct cfg_aside *a);         /* borrowed */
void cfg_aside_clear(struct cfg_aside *a);

/* What came of a fetch: the view, which becomes the callee's, or why there is none. */
typedef void (*cfg_fetched_fn)(void *arg, struct cfg_aside *got, const struct cfg_error *why);

struct cfg_source;
struct cfg_source_ops {
    int (*start)(struct cfg_source *s, const struct cfg_source_events *events, const struct cfg_source_resume *resume,
                 struct cfg_error *err);
    int (*fd)(const struct cfg_source *s);
    int (*timeout_ms)(const struct cfg_source *s); /* −1: no limit */
    void (*process)(struct cfg_source *s);
    int (*report)(struct cfg_source *s, const char *json, struct cfg_error *err);         /* NULL: nobody listens */
    int (*rebind)(struct cfg_source *s, const char *registration, struct cfg_error *err); /* NULL: needs none */
    /* Asks for exactly the view of this revision; one at a time. fn is called once, from process or from inside
     * this very call, unless the source is freed first. CFG_E_NOT_FOUND, CFG_E_COMPACTED, CFG_E_VALUE: not to be had
     * any more; others may pass. NULL: keeps no past. */
    void (*fetch)(struct cfg_source *s, const char *revision, cfg_fetched_fn fn, void *arg);
    void (*free)(struct cfg_source *s);
};
/* The first member of every source. */
struct cfg_source {
    const struct cfg_source_ops *ops;
    char arm[CFG_ARM_TEXT]; /* of the deployment, that its views are for, as last heard; "": none */
};

/* Follows a file: a plain document ({"sampling":{…}}), or a view ({"parameters","pinned","flags"}, where a flag may be
 * just true or false). Every good content becomes the next revision "0-N"; a broken, empty or missing file is reported
 * and the last good content stays. start fails with CFG_E_IO, CFG_E_JSON or CFG_E_VALUE when there is no good content
 * yet. path is copied. */
CFG_MUST_CHECK int cfg_source_file_new(struct cfg_source **out, const char *path, struct cfg_error *err);

/* The text of a file source → the view it stands for (returned-owned JSON text), with its digest. Pure. */
CFG_MUST_CHECK int cfg_source_file_view(char **out, char digest[CFG_DIGEST_TEXT], struct cfg_slice text,
                                        struct cfg_error *err);

#endif
