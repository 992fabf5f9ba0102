/* Files of a folder, made from what is served. A file that says so already is left alone, with its comments. */
#ifndef CFG_CFGCTL_GITOPS_WRITE_H
#define CFG_CFGCTL_GITOPS_WRITE_H

#include "client/cfgctl/gitops.h"

struct gitops_writer {
    const char *dir;          /* borrowed, as all but texts */
    const struct gitops *old; /* what the files say */
    const struct gitops *served;
    const cJSON *errors; /* of reading the files */
    cJSON *texts;        /* an object, filled by gitops_make_files: text by file */
    bool json;           /* new files are JSON */
};

/* What to write, into w->texts, without writing it. store: the server's. CFG_E_VALUE when a file to be replaced cannot
 * be read; CFG_E_NOMEM. */
CFG_MUST_CHECK int gitops_make_files(struct gitops_writer *w, const char *store, struct cfg_error *err);
/* Writes w->texts, each file whole or not at all; the folder is made when it is missing. CFG_E_IO. */
CFG_MUST_CHECK int gitops_write_files(const struct gitops_writer *w, struct cfg_error *err);
/* Is there a file DIR/NSENDING? */
bool gitops_has_file(const char *dir, const char *ns, const char *ending);

#endif
