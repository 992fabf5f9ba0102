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

static uint32_t finish(uint32_t h, const uint8_t *tail, unsigned n, uint32_t total)
{
    uint32_t k = 0;
    for (unsigned i = n; i > 0; i--)
        k = k << 8 | tail[i - 1];
    h ^= scramble(k) ^ total;
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
    return finish(h, p + i, (unsigned)(n - i), (uint32_t)n);
}

void cfg_murmur3_init(struct cfg_murmur3 *m)
{
    memset(m, 0, sizeof *m);
}

void cfg_murmur3_add(struct cfg_murmur3 *m, const void *bytes, size_t n)
{
    const uint8_t *p = bytes, *end = p + n;
    m->total += (uint32_t)n;
    while (p < end && (m->n_tail > 0 || end - p < 4)) {
        m->tail[m->n_tail++] = *p++;
        if (m->n_tail == 4) {
            m->h = mix(m->h, load(m->tail));
            m->n_tail = 0;
        }
    }
    for (; end - p >= 4; p += 4)
        m->h = mix(m->h, load(p));
    while (p < end)
        m->tail[m->n_tail++] = *p++;
}

uint32_t cfg_murmur3_end(const struct cfg_murmur3 *m)
{
    return finish(m->h, m->tail, m->n_tail, m->total);
}
