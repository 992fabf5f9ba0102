/* MurmurHash3 x86_32 with seed 0, which is flagd's, in one call or over pieces. Pure. */
#ifndef CFG_FLAGS_MURMUR3_H
#define CFG_FLAGS_MURMUR3_H

#include <stddef.h>
#include <stdint.h>

uint32_t cfg_murmur3(const void *bytes, size_t n);

struct cfg_murmur3 {
    uint32_t h, total, tail;
    uint32_t n_tail; /* bytes in tail, below 4 */
};

void cfg_murmur3_init(struct cfg_murmur3 *m);
void cfg_murmur3_add(struct cfg_murmur3 *m, const void *bytes, size_t n);
uint32_t cfg_murmur3_end(const struct cfg_murmur3 *m);

#endif
