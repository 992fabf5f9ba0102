#include "flags/murmur3.h"

#include <string.h>

static uint32_t rotate(uint32_t x, unsigned by)
{
    return (x << by) | (x >> (32 - by));
}

static uint32_t scramble(uint32_t k)
{
    return rotate(k * 0xcc9e2d51U, 15) * 0x1b873593U;
}

static uint32_t mix(uint32_t h, uint32_t k)
{
    return rotate(h ^ scramble(k), 13) * 5 + 0xe6546b64U;
}

/* Blocks are little-endian whatever the machine is; compilers make this one load where it is. */
static uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t finish(uint32_t h, uint32_t tail, uint32_t total)
{
    h ^= scramble(tail) ^ total;
    h = (h ^ h >> 16) * 0x85ebca6bU;
    h = (h ^ h >> 13) * 0xc2b2ae35U;
    return h ^ h >> 16;
}

uint32_t cfg_murmur3(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint32_t h = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        h = mix(h, load(p + i));
    uint32_t tail = 0;
    for (size_t k = n; k > i; k--)
        tail = tail << 8 | p[k - 1];
    return finish(h, tail, (uint32_t)n);
}

void cfg_murmur3_init(struct cfg_murmur3 *m)
{
    memset(m, 0, sizeof *m);
}

/* Bytes that complete no block wait in `tail`, the first in the lowest bits; every block is shifted by as many. */
void cfg_murmur3_add(struct cfg_murmur3 *m, const void *bytes, size_t n)
{
    const uint8_t *p = bytes, *end = p + n;
    uint64_t pending = m->tail;
    unsigned bits = m->n_tail * 8;
    uint32_t h = m->h;
    for (; end - p >= 4; p += 4) {
        pending |= (uint64_t)load(p) << bits;
        h = mix(h, (uint32_t)pending);
        pending >>= 32;
    }
    for (; p < end; p++) {
        pending |= (uint64_t)*p << bits;
        bits += 8;
        if (bits == 32) {
            h = mix(h, (uint32_t)pending);
            pending = 0;
            bits = 0;
        }
    }
    m->h = h;
    m->tail = (uint32_t)pending;
    m->n_tail = bits / 8;
    m->total += (uint32_t)n;
}

uint32_t cfg_murmur3_end(const struct cfg_murmur3 *m)
{
    return finish(m->h, m->tail, m->total);
}
