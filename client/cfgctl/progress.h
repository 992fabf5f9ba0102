/* How far a long piece of work is, on stderr: a bar on a terminal, a line at every quarter elsewhere. Short work stays
 * silent. */
#ifndef CFG_CFGCTL_PROGRESS_H
#define CFG_CFGCTL_PROGRESS_H

#include "proto/buf.h"

struct progress {
    const char *what; /* "reading the server"; borrowed */
    size_t done, total;
    bool bar;
};

void progress_start(struct progress *p, const char *what, size_t total);
void progress_step(struct progress *p); /* one more is done */
void progress_end(struct progress *p);  /* also after a failure */
/* What a step shows; nothing where there is nothing to say. Pure. */
void progress_line(struct cfg_buf *out, const struct progress *p);

#endif
