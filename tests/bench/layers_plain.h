/* Documents for the benchmarks of layers, and the plain C merge that somebody would write for flat documents without
 * interpolations: a hash table of keys, the winners copied out. */
#ifndef CFG_TESTS_LAYERS_PLAIN_H
#define CFG_TESTS_LAYERS_PLAIN_H

#include "proto/layers.h"

enum { BENCH_LAYER_KEYS = 1000 };
/* Groups of keys, of each of which the layer sets every `step`th from `first` on; inter: each tenth value is an
 * interpolation. Returned-owned; exits without memory. */
cJSON *bench_layer(unsigned seed, unsigned first, unsigned step, bool inter);
cJSON *bench_plain_merge(const struct cfg_layer *layers, size_t n); /* returned-owned */

#endif
