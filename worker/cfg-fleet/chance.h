/* Reproducible chance: splitmix64, one 64-bit state per simulated worker, seeded from the run's seed. Pure. */
#ifndef CFG_FLEET_CHANCE_H
#define CFG_FLEET_CHANCE_H

#include <stdint.h>

uint64_t cfg_chance_next(uint64_t *state);
uint64_t cfg_chance_mix(uint64_t a, uint64_t b); /* a seed for b of a; no state */
double cfg_chance_share(uint64_t *state);        /* [0, 1) */
double cfg_chance_normal(uint64_t *state);       /* mean 0, deviation 1 */
double cfg_chance_exponential(uint64_t *state);  /* mean 1 */
uint64_t cfg_chance_poisson(uint64_t *state, double mean);

#endif
