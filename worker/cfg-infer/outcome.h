/* What came of requests, in numbers: as metrics of the steps in which they ended, for guards and for arms, and as
 * outcomes by the variants that they were served, for experiments.
 *
 *     latency_ms       from the request read to its last byte made; of those that were answered whole
 *     first_token_ms   to its first byte made; of streams, whose clients see it
 *     tokens           made; of those that were answered whole
 *     error            0: answered whole. 1: it found no place, its client left before the end, or the server went down
 *     readable         as an outcome only: the share of its bytes that texts are made of
 *
 * Requests of our own load are nobody's. Stepper thread: told before the HTTP thread gets the pieces. */
#ifndef CFG_INFER_OUTCOME_H
#define CFG_INFER_OUTCOME_H

#include "worker/cfg-infer/live.h"
#include "worker/cfg-infer/seq.h"

/* p is what a step (or the end) says to the HTTP side; NULL is fine. Notes the first bytes of streams as well. */
void cfg_infer_outcomes(const struct cfg_live *l, struct cfg_pieces *p);

#endif
