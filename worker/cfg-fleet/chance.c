#include "worker/cfg-fleet/chance.h"
#include <math.h>

uint64_t cfg_chance_next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
}

uint64_t cfg_chance_mix(uint64_t a, uint64_t b)
{
    uint64_t state = a ^ (b + 1) * 0xD6E8FEB86659FD93U;
    return cfg_chance_next(&state);
}

double cfg_chance_share(uint64_t *state)
{
    return (double)(cfg_chance_next(state) >> 11) * 0x1p-53;
}

double cfg_chance_normal(uint64_t *state)
{
    double u = 1 - cfg_chance_share(state), angle = 6.283185307179586 * cfg_chance_share(state);
    return sqrt(-2 * log(u)) * cos(angle);
}

double cfg_chance_exponential(uint64_t *state)
{
    return -log(1 - cfg_chance_share(state));
}

/* Knuth's, which takes `mean` turns; beyond 50 a rounded normal is as good. */
uint64_t cfg_chance_poisson(uint64_t *state, double mean)
{
    if (mean > 50) {
        double x = floor(mean + sqrt(mean) * cfg_chance_normal(state) + 0.5);
        return x > 0 ? (uint64_t)x : 0;
    }
    double limit = exp(-mean), product = cfg_chance_share(state);
    uint64_t n = 0;
    for (; product > limit; n++) {
        product *= cfg_chance_share(state);
    }
    return n;
}
