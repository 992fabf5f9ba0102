/* See outcome.h. */
#include "worker/cfg-infer/outcome.h"

static void tell(const struct cfg_live *l, const struct cfg_seq *q, enum cfg_live_metric m, double x)
{
    if (m != CFG_M_READABLE) { /* as a metric it is of all bytes of a step */
        cfg_worker_metric(l->w, l->metrics[m], x);
    }
    if (q->request != NULL) {
        cfg_infer_request_metric(q->request, l->metrics[m], x);
    }
}

static double ms_between(uint64_t from_us, uint64_t to_us)
{
    return (double)(to_us - from_us) / 1000;
}

static void tell_end(const struct cfg_live *l, const struct cfg_seq *q, enum cfg_finish finish, uint64_t now_us)
{
    bool whole = finish == CFG_FINISH_STOP || finish == CFG_FINISH_LENGTH;
    double made = (double)cfg_seq_produced(q);
    tell(l, q, CFG_M_ERROR, whole ? 0 : 1);
    if (q->first_us != 0) {
        tell(l, q, CFG_M_FIRST_TOKEN, ms_between(q->begun_us, q->first_us));
    }
    if (whole) {
        tell(l, q, CFG_M_LATENCY, ms_between(q->begun_us, now_us));
        tell(l, q, CFG_M_TOKENS, made);
        tell(l, q, CFG_M_READABLE, (double)q->readable / made); /* whole: it has a byte at least */
    }
}

void cfg_infer_outcomes(const struct cfg_live *l, struct cfg_pieces *p)
{
    uint64_t now_us = p != NULL ? cfg_infer_now_us() : 0;
    for (size_t i = 0; p != NULL && i < p->n; i++) {
        struct cfg_piece *piece = &p->of[i];
        struct cfg_seq *q = piece->seq;
        if (q->ask.stream && q->first_us == 0 && piece->len > 0) {
            q->first_us = now_us;
        }
        if (piece->finish != CFG_GOES_ON) {
            tell_end(l, q, piece->finish, now_us);
        }
    }
}
