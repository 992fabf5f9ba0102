/* A worker on a source in memory, with the contract most tests need. */
#ifndef CFG_TEST_WORKER_RIG_H
#define CFG_TEST_WORKER_RIG_H

#include "worker/open.h"
#include "worker/source_memory.h"

struct rig {
    struct cfg_worker *w;
    struct cfg_memory_source *source;
    cfg_param temp, batch, path, tp, flag; /* sampling.temperature 0–2, inference.batch_size 1–64, data.path (restart),
                                              distributed.tp (pinned), experiment/ab.flag */
    uint64_t step;
    char log[8192]; /* every line the worker logged; read after close, or with external_loop */
};

/* cache NULL: none. Does not start. */
void rig_open(struct rig *r, const char *cache, bool external_loop);
void rig_close(struct rig *r);
/* Connected, registered, a view of temperature `temp` at `revision`. */
void rig_connect(struct rig *r);
void rig_push(struct rig *r, const char *revision, double temp);
/* A view of store S with these parts (JSON) and its true digest. */
void rig_push_view(struct rig *r, const char *store, const char *revision, const char *parameters, const char *pinned);
/* start, which must succeed. */
void rig_start(struct rig *r);
/* One step; returns its view. */
const struct cfg_view *rig_step(struct rig *r);
/* Steps until the view has this revision. */
const struct cfg_view *rig_until(struct rig *r, const char *revision);
struct cfg_worker_status rig_status(struct rig *r);
/* Waits for a report whose text contains `part`; returns it (free). */
char *rig_report_with(struct rig *r, const char *part);

#endif
