/* The estimate is Otmar Ertl's ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6):
 * without bias from nobody to everybody, and without a table of corrections. */
#include "flags/hll.h"
#include "flags/murmur3.h"

#include <math.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint64_t cfg_hll_unit(const char *name, size_t len)
{
    uint64_t x = cfg_murmur3(name, len) + 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDU;
    x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53U;
    x ^= x >> 33;
    return x != 0 ? x : 1;
}

static double sigma(double x)
{
    double y = 1, z = x, before;
    if (x >= 1)
        return HUGE_VAL;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z > before);
    return z;
}

static double tau(double x)
{
    if (x <= 0 || x >= 1)
        return 0;
    double y = 1, z = 1 - x, before;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z < before);
    return z / 3;
}

double cfg_hll_estimate(const uint8_t registers[CFG_HLL_REGISTERS])
{
    enum { TOP = 64 - CFG_HLL_BITS };
    double of[TOP + 2] = {0};
    const double m = CFG_HLL_REGISTERS;
    for (size_t i = 0; i < CFG_HLL_REGISTERS; i++)
        of[registers[i] <= TOP ? registers[i] : TOP + 1]++;
    double z = m * tau(1 - of[TOP + 1] / m);
    for (int k = TOP; k >= 1; k--)
        z = 0.5 * (z + of[k]);
    z += m * sigma(of[0] / m);
    return m / (2 * log(2)) * m / z;
}

void cfg_hll_print(char out[CFG_HLL_REGISTERS + 1], const uint8_t registers[CFG_HLL_REGISTERS])
{
    for (size_t i = 0; i < CFG_HLL_REGISTERS; i++)
        out[i] = digits[registers[i] & 63U];
    out[CFG_HLL_REGISTERS] = '\0';
}

bool cfg_hll_unite(uint8_t registers[CFG_HLL_REGISTERS], const char *text)
{
    if (strlen(text) != CFG_HLL_REGISTERS || strspn(text, digits) != CFG_HLL_REGISTERS)
        return false;
    for (size_t i = 0; i < CFG_HLL_REGISTERS; i++) {
        uint8_t v = (uint8_t)(strchr(digits, text[i]) - digits);
        registers[i] = v > registers[i] ? v : registers[i];
    }
    return true;
}
