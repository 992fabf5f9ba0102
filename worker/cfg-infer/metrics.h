/* Figures of the server, and their text for Prometheus. Pure. */
#ifndef CFG_INFER_METRICS_H
#define CFG_INFER_METRICS_H

#include "worker/cfg-infer/http.h"

enum { CFG_INFER_STATUSES = 16, CFG_INFER_TIMES = 12 };

struct cfg_infer_times {
    uint64_t buckets[CFG_INFER_TIMES + 1], n;
    double sum_s;
};
void cfg_infer_time(struct cfg_infer_times *t, double seconds);

/* Counted on the HTTP thread. */
struct cfg_infer_counts {
    struct {
        int status;
        uint64_t n;
    } replies[CFG_INFER_STATUSES];
    uint64_t gone, refused, prompt_tokens;
    struct cfg_infer_times first_byte, whole; /* from a request read to its first byte, and to its end */
};
void cfg_infer_count_reply(struct cfg_infer_counts *c, int status);

void cfg_infer_metrics_print(struct cfg_buf *out, const struct cfg_infer_counts *c, const struct cfg_http_figures *f,
                             const struct cfg_worker_status *w, const struct cfg_http_options *o);

#endif
