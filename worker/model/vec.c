/* Vectorised loops. See vec.h. */
#include "worker/model/vec.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* One build serves every x86-64: the loader picks the copy of a function that the CPU can run. A sanitizer's runtime is
 * not up when it picks, so those builds have the plain copy only. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("arch=haswell", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, TILE_ROWS = 4, TILE_COLS = 2 * LANES, SYMBOLS = 256 };

/* --- eˣ --- */

/* Cephes' expf without branches: 2 ulp, 0 below −87, saturates above 88; a NaN stays one. */
INLINE float exponential(float x)
{
    const float magic = 12582912.0F; /* 1.5 · 2²³: adding it rounds to an integer, in the low bits */
    x = x > 88.0F ? 88.0F : x;
    bool tiny = x < -87.0F;
    x = tiny ? -87.0F : x;
    float shifted = x * 1.44269504088896341F + magic;
    float n = shifted - magic;
    float r = x - n * 0.693359375F + n * 2.12194440e-4F;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    uint32_t bits;
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4b400000U + 127U) << 23;
    memcpy(&power, &bits, sizeof power);
    return tiny ? 0.0F : p * power;
}

/* --- one tile of an affine map --- */

typedef void tile_function(float *const out[TILE_ROWS], const float *const x[TILE_ROWS], const float *w,
                           const float *bias, size_t in, size_t stride);

static void tile_plain(float *const out[TILE_ROWS], const float *const x[TILE_ROWS], const float *w, const float *bias,
                       size_t in, size_t stride)
{
    float sum[TILE_ROWS][TILE_COLS];
    for (unsigned r = 0; r < TILE_ROWS; r++) {
        memcpy(sum[r], bias, sizeof sum[r]);
    }
    for (size_t k = 0; k < in; k++) {
        for (unsigned r = 0; r < TILE_ROWS; r++) {
            for (unsigned j = 0; j < TILE_COLS; j++) {
                sum[r][j] += w[k * stride + j] * x[r][k];
            }
        }
    }
    for (unsigned r = 0; r < TILE_ROWS; r++) {
        memcpy(out[r], sum[r], sizeof sum[r]);
    }
}

#if defined(__x86_64__)
/* Eight sums in registers, each k adding one product to all of them. */
__attribute__((target("avx2,fma"))) static void tile_avx2(float *const out[TILE_ROWS], const float *const x[TILE_ROWS],
                                                          const float *w, const float *bias, size_t in, size_t stride)
{
    __m256 sum[TILE_ROWS][2];
    for (unsigned r = 0; r < TILE_ROWS; r++) {
        sum[r][0] = _mm256_loadu_ps(bias);
        sum[r][1] = _mm256_loadu_ps(bias + LANES);
    }
    for (size_t k = 0; k < in; k++) {
        __m256 w0 = _mm256_loadu_ps(w + k * stride);
        __m256 w1 = _mm256_loadu_ps(w + k * stride + LANES);
        for (unsigned r = 0; r < TILE_ROWS; r++) {
            __m256 v = _mm256_broadcast_ss(x[r] + k);
            sum[r][0] = _mm256_fmadd_ps(w0, v, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(w1, v, sum[r][1]);
        }
    }
    for (unsigned r = 0; r < TILE_ROWS; r++) {
        _mm256_storeu_ps(out[r], sum[r][0]);
        _mm256_storeu_ps(out[r] + LANES, sum[r][1]);
    }
}

static tile_function *best_tile(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? tile_avx2 : tile_plain;
}
#else
static tile_function *best_tile(void)
{
    return tile_plain;
}
#endif

/* Columns beyond the last whole tile. */
static void edge(float *out, const float *x, const float *w, const float *bias, size_t in, size_t stride, size_t cols)
{
    for (size_t j = 0; j < cols; j++) {
        float sum = bias[j];
        for (size_t k = 0; k < in; k++) {
            sum += w[k * stride + j] * x[k];
        }
        out[j] = sum;
    }
}

/* A tile always has all its rows: where there are fewer, the last one is computed several times, to the same place. */
static void tile_rows(float *out, const float *x, const float *w, const float *bias, size_t rows, size_t in,
                      size_t cols)
{
    const float *xs[TILE_ROWS];
    float *outs[TILE_ROWS];
    size_t whole = cols - cols % TILE_COLS;
    tile_function *tile = best_tile(); /* of this CPU, so the same in every call */
    for (size_t j = 0; j < whole; j += TILE_COLS) {
        for (size_t r = 0; r < TILE_ROWS; r++) {
            size_t row = r < rows ? r : rows - 1;
            xs[r] = x + row * in;
            outs[r] = out + row * cols + j;
        }
        tile(outs, xs, w + j, bias + j, in, cols);
    }
    for (size_t r = 0; r < rows; r++) {
        edge(out + r * cols + whole, x + r * in, w + whole, bias + whole, in, cols, cols - whole);
    }
}

void cfg_vec_affine(float *out, const float *x, const float *w, const float *bias, size_t rows, size_t in, size_t cols)
{
    for (size_t r = 0; r < rows; r += TILE_ROWS) {
        size_t some = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        tile_rows(out + r * cols, x + r * in, w, bias, some, in, cols);
    }
}

/* --- element by element --- */

CLONES static void silu_only(float *z, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        z[i] = z[i] / (1.0F + exponential(-z[i]));
    }
}

CLONES static void silu_and_slope(float *restrict z, float *restrict slope, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float s = 1.0F / (1.0F + exponential(-z[i]));
        float y = z[i] * s;
        slope[i] = s + y * (1.0F - s);
        z[i] = y;
    }
}

void cfg_vec_silu(float *z, float *slope, size_t n)
{
    if (slope != NULL) {
        silu_and_slope(z, slope, n);
    } else {
        silu_only(z, n);
    }
}

void cfg_vec_rows_set(float *out, const float *bias, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        memcpy(out + r * cols, bias, cols * sizeof *bias);
    }
}

CLONES void cfg_vec_add(float *restrict out, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] += x[i];
    }
}

CLONES void cfg_vec_multiply(float *restrict out, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] *= x[i];
    }
}

void cfg_vec_rows_sum(float *out, const float *x, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        cfg_vec_add(out, x + r * cols, cols);
    }
}

/* --- the loss --- */

INLINE float greatest(const float *row)
{
    float most[LANES];
    memcpy(most, row, sizeof most);
    for (size_t i = LANES; i < SYMBOLS; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            most[k] = row[i + k] > most[k] ? row[i + k] : most[k];
        }
    }
    for (size_t k = 1; k < LANES; k++) {
        most[0] = most[k] > most[0] ? most[k] : most[0];
    }
    return most[0];
}

/* e^(row − its greatest) into `out` (which may be `row`); returns their sum. */
CLONES static float exponentials(float *out, const float *row, float most)
{
    float sum[LANES] = {0};
    for (size_t i = 0; i < SYMBOLS; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            float e = exponential(row[i + k] - most);
            out[i + k] = e;
            sum[k] += e;
        }
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

CLONES static void scale(float *x, float by, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] *= by;
    }
}

double cfg_vec_cross_entropy(float *logits, const unsigned char *targets, size_t rows)
{
    double loss = 0;
    for (size_t r = 0; r < rows; r++) {
        float *row = logits + r * SYMBOLS;
        float most = greatest(row);
        double target = (double)row[targets[r]];
        float sum = exponentials(row, row, most);
        loss += log((double)sum) + (double)most - target;
        scale(row, 1.0F / sum, SYMBOLS);
        row[targets[r]] -= 1.0F;
    }
    return loss;
}

double cfg_vec_loss(const float *logits, const unsigned char *targets, size_t rows)
{
    double loss = 0;
    float scratch[SYMBOLS];
    for (size_t r = 0; r < rows; r++) {
        const float *row = logits + r * SYMBOLS;
        float most = greatest(row);
        loss += log((double)exponentials(scratch, row, most)) + (double)most - (double)row[targets[r]];
    }
    return loss;
}

/* --- the optimizer --- */

CLONES double cfg_vec_sum_of_squares(const float *x, size_t n)
{
    double sum[LANES] = {0};
    size_t whole = n - n % LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            sum[k] += (double)x[i + k] * (double)x[i + k];
        }
    }
    for (size_t i = whole; i < n; i++) {
        sum[0] += (double)x[i] * (double)x[i];
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

CLONES uint64_t cfg_vec_nonfinite(const float *x, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        count += (bits & 0x7f800000U) == 0x7f800000U ? 1U : 0U;
    }
    return count;
}

CLONES void cfg_vec_adam(float *restrict w, float *restrict m, float *restrict v, const float *restrict g, size_t n,
                         const struct cfg_vec_adam *a)
{
    const struct cfg_vec_adam k = *a;
    for (size_t i = 0; i < n; i++) {
        float grad = g[i] * k.scale;
        m[i] = k.beta1 * m[i] + (1.0F - k.beta1) * grad;
        v[i] = k.beta2 * v[i] + (1.0F - k.beta2) * (grad * grad);
        w[i] -= k.rate * m[i] / (sqrtf(v[i] * k.correction) + k.zero);
    }
}
