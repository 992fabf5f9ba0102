/* `flag eval --batch`: one question per line in, one answer per line out, in order, whatever the line holds.
 *
 *     {"flags" or "definition", "flag", "type", "default", "context"}  →  {"value","variant","reason","errorCode"}
 *
 * A line is cut into its members without building a tree of it; what repeats from line to line, the flags, is compiled
 * once and found again by its bytes. Memory is bounded: one line, and a cache of compiled sets that is emptied when
 * it grows too large. No I/O in here: lines come in, answers are appended to a buffer. One thread. */
#ifndef CFG_CFGCTL_FLAG_BATCH_H
#define CFG_CFGCTL_FLAG_BATCH_H

#include "client/cfgctl/flag_ask.h"

enum { FLAG_BATCH_LINE = 64 * 1024 * 1024 }; /* bytes of a line; a longer one is answered with GENERAL */

struct flag_batch; /* opaque */

/* NULL without memory. Returned-owned. */
struct flag_batch *flag_batch_new(void);
void flag_batch_free(struct flag_batch *b);
/* Appends the answer to one line (without its newline) and a newline. `now`: seconds since 1970. Borrowed are the line
 * and, for its lifetime, nothing. When the line is no question, *why (may be NULL) says so; it is empty otherwise. */
void flag_batch_line(struct flag_batch *b, struct cfg_buf *out, struct cfg_slice line, int64_t now,
                     struct cfg_error *why);
/* The answer to a line that was too long to be kept. */
void flag_batch_too_long(struct cfg_buf *out);

#endif
