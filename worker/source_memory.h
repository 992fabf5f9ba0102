/* A source in memory: what tests drive a worker with. Any thread may push; the worker's thread takes. */
#ifndef CFG_WORKER_SOURCE_MEMORY_H
#define CFG_WORKER_SOURCE_MEMORY_H

#include "worker/source.h"

struct cfg_memory_source;

CFG_MUST_CHECK int cfg_memory_source_new(struct cfg_memory_source **out, struct cfg_error *err);
/* The source to hand to cfg_worker_open_source, which then owns *m. */
struct cfg_source *cfg_memory_source_base(struct cfg_memory_source *m);

/* Each is copied and delivered in the order of pushing, once the worker has been started. */
void cfg_memory_push_view(struct cfg_memory_source *m, const char *revision, const char *digest, const char *store,
                          const char *view);
/* What a fetch of this revision gives; without it CFG_E_NOT_FOUND, and CFG_E_CONNECT while `away`. Copied. */
void cfg_memory_archive(struct cfg_memory_source *m, const char *revision, const char *digest, const char *store,
                        const char *view);
void cfg_memory_away(struct cfg_memory_source *m, bool away);
void cfg_memory_push_mark(struct cfg_memory_source *m, const char *revision);
void cfg_memory_push_state(struct cfg_memory_source *m, enum cfg_source_state state, const struct cfg_error *why);
void cfg_memory_push_registered(struct cfg_memory_source *m, unsigned report_interval_ms);
void cfg_memory_push_reported(struct cfg_memory_source *m);                  /* the newest report has been taken */
void cfg_memory_push_taken(struct cfg_memory_source *m, const char *report); /* this one has */

/* Waits until the worker has sent report number *n (counted from 1) and returns the newest one's text (returned-owned)
 * and, in *n, its number. */
char *cfg_memory_wait_report(struct cfg_memory_source *m, unsigned *n);
unsigned cfg_memory_reports(struct cfg_memory_source *m);
/* What the worker offered to go on from ("" for nothing), and its latest registration after the first view. Borrowed
 * until the source is freed; call after start. */
const char *cfg_memory_resumed(struct cfg_memory_source *m);
const char *cfg_memory_registration(struct cfg_memory_source *m);

#endif
