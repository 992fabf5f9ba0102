/* A HyperLogLog sketch: how many different units were seen, from 1,024 registers of six bits.
 *
 * Sketches of workers are united by the greater of each register, which is the sketch of all their units: nobody is
 * counted twice, and a sketch may be sent again and again. The standard error is 3.3 %. As text a sketch is base64 of
 * the registers, six bits each from the first on, so each character is one register. Pure; adding is a store of one
 * byte, which is left to the caller, whose bytes may be atomic. */
#ifndef CFG_FLAGS_HLL_H
#define CFG_FLAGS_HLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CFG_HLL_REGISTERS = 1024, CFG_HLL_BITS = 10 };

/* A unit's 64 bits from its name, never 0. Not the hash that `fractional` splits by: the units of one variant are a
 * range of that one, and would crowd into a few registers. */
uint64_t cfg_hll_unit(const char *name, size_t len);

/* Which register a unit belongs to, and what the register must hold at least. */
static inline uint32_t cfg_hll_register(uint64_t unit)
{
    return (uint32_t)(unit >> (64 - CFG_HLL_BITS));
}

static inline uint8_t cfg_hll_rank(uint64_t unit)
{
    uint64_t rest = unit << CFG_HLL_BITS;
    return rest != 0 ? (uint8_t)(__builtin_clzll(rest) + 1) : (uint8_t)(64 - CFG_HLL_BITS + 1);
}

double cfg_hll_estimate(const uint8_t registers[CFG_HLL_REGISTERS]);

/* out: CFG_HLL_REGISTERS characters and a NUL. */
void cfg_hll_print(char out[CFG_HLL_REGISTERS + 1], const uint8_t registers[CFG_HLL_REGISTERS]);
/* False, and nothing done, for what is no sketch's text; else `registers` becomes the union of both. */
bool cfg_hll_unite(uint8_t registers[CFG_HLL_REGISTERS], const char *text);

#endif
