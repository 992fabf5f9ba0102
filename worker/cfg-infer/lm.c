/* Interpolated Kneser-Ney on a suffix array. See lm.h.
 *
 *     P_k(b | c) = max(N(c b) − D, 0) / N(c)  +  D · types(c) / N(c) · P_(k−1)(b | c without its first byte)
 *
 * N counts occurrences for the longest context and, below it, distinct bytes in front (how many different ways lead
 * here), which is what makes Kneser-Ney. P_(−1) is even over the bytes of the text. Contexts of no and of one byte are
 * computed once, since their ranges are the longest. */
#include "worker/cfg-infer/lm.h"
#include <stdlib.h>
#include <string.h>

enum { ORDER_MAX = 15 };
static const double discount = 0.75;

struct cfg_lm {
    const unsigned char *text;
    size_t len;
    unsigned order;
    uint32_t *places; /* suffixes in sorted order */
    double none[CFG_SYMBOLS];
    double one[CFG_SYMBOLS][CFG_SYMBOLS];
};

struct range {
    size_t from, to;
};

static int by_suffix(const void *a, const void *b, void *arg)
{
    const struct cfg_lm *lm = arg;
    size_t i = *(const uint32_t *)a;
    size_t j = *(const uint32_t *)b;
    size_t depth = lm->order + 1U;
    size_t ni = lm->len - i < depth ? lm->len - i : depth;
    size_t nj = lm->len - j < depth ? lm->len - j : depth;
    int c = memcmp(lm->text + i, lm->text + j, ni < nj ? ni : nj);
    if (c != 0) {
        return c;
    }
    if (ni != nj) {
        return ni < nj ? -1 : 1;
    }
    return i < j ? -1 : 1;
}

/* Compares the beginning of a suffix with c; a suffix that ends early is smaller. */
static int compare(const struct cfg_lm *lm, size_t place, const unsigned char *c, size_t n)
{
    size_t have = lm->len - place < n ? lm->len - place : n;
    int r = memcmp(lm->text + place, c, have);
    return r != 0 ? r : (have < n ? -1 : 0);
}

/* The first index in [from, to) whose suffix is ≥ c (or > c, with `after`). */
static size_t bound(const struct cfg_lm *lm, struct range r, const unsigned char *c, size_t n, int after)
{
    while (r.from < r.to) {
        size_t mid = r.from + (r.to - r.from) / 2;
        if (compare(lm, lm->places[mid], c, n) < after) {
            r.from = mid + 1;
        } else {
            r.to = mid;
        }
    }
    return r.from;
}

static struct range find(const struct cfg_lm *lm, const unsigned char *c, size_t n)
{
    struct range all = {0, lm->len};
    return (struct range){bound(lm, all, c, n, 0), bound(lm, all, c, n, 1)};
}

struct counts {
    double n[CFG_SYMBOLS];
    double total;
    unsigned types;
};

/* Counts what follows a context of n bytes at the places of r. In a sorted range equal followers stand together, so one
 * set of seen bytes serves all of them in turn. */
static void count(struct counts *out, const struct cfg_lm *lm, struct range r, size_t n, bool distinct)
{
    uint32_t seen[CFG_SYMBOLS];
    uint32_t round = 0;
    int current = -1;
    memset(out, 0, sizeof *out);
    memset(seen, 0, sizeof seen);
    for (size_t i = r.from; i < r.to; i++) {
        size_t at = lm->places[i];
        if (at + n >= lm->len) {
            continue; /* the end of the text: nothing follows */
        }
        int b = lm->text[at + n];
        if (b != current) {
            current = b;
            round++;
            out->types++;
        }
        unsigned front = at > 0 ? lm->text[at - 1] : 0;
        if (!distinct || seen[front] != round) {
            seen[front] = round;
            out->n[b] += 1;
            out->total += 1;
        }
    }
}

/* p holds P_(k−1) on entry and P_k afterwards. */
static void interpolate(double p[CFG_SYMBOLS], const struct counts *c)
{
    if (c->total <= 0) {
        return;
    }
    double rest = discount * c->types / c->total;
    for (unsigned b = 0; b < CFG_SYMBOLS; b++) {
        double own = c->n[b] > 0 ? (c->n[b] - discount) / c->total : 0;
        p[b] = own + rest * p[b];
    }
}

static void learn_short_contexts(struct cfg_lm *lm)
{
    struct counts c;
    count(&c, lm, (struct range){0, lm->len}, 0, true);
    for (unsigned b = 0; b < CFG_SYMBOLS; b++) {
        lm->none[b] = c.n[b] > 0 ? 1.0 / c.types : 0;
    }
    interpolate(lm->none, &c);
    for (unsigned b = 0; b < CFG_SYMBOLS; b++) {
        const unsigned char byte = (unsigned char)b;
        memcpy(lm->one[b], lm->none, sizeof lm->none);
        count(&c, lm, find(lm, &byte, 1), 1, lm->order > 1);
        interpolate(lm->one[b], &c);
    }
}

int cfg_lm_new(struct cfg_lm **out, const char *text, size_t len, unsigned order, struct cfg_error *err)
{
    if (len == 0 || len >= UINT32_MAX || order < 1 || order > ORDER_MAX) {
        return cfg_fail(err, CFG_E_INVALID, "a model needs a text and an order from 1 to %d", ORDER_MAX);
    }
    struct cfg_lm *lm = calloc(1, sizeof *lm);
    uint32_t *places = malloc(len * sizeof *places);
    if (lm == NULL || places == NULL) {
        free(lm);
        free(places);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the model");
    }
    lm->text = (const unsigned char *)text;
    lm->len = len;
    lm->order = order;
    lm->places = places;
    for (size_t i = 0; i < len; i++) {
        places[i] = (uint32_t)i;
    }
    qsort_r(places, len, sizeof *places, by_suffix, lm);
    learn_short_contexts(lm);
    *out = lm;
    return 0;
}

void cfg_lm_free(struct cfg_lm *lm)
{
    if (lm != NULL) {
        free(lm->places);
        free(lm);
    }
}

void cfg_lm_next(const struct cfg_lm *lm, const unsigned char *context, size_t len, double p[CFG_SYMBOLS])
{
    if (len == 0) {
        memcpy(p, lm->none, sizeof lm->none);
        return;
    }
    memcpy(p, lm->one[context[len - 1]], sizeof lm->none);
    for (size_t n = 2; n <= lm->order && n <= len; n++) {
        struct counts c;
        const unsigned char *at = context + len - n;
        struct range r = find(lm, at, n);
        if (r.from == r.to) {
            return; /* an unknown context: longer ones are unknown too */
        }
        count(&c, lm, r, n, n < lm->order);
        interpolate(p, &c);
    }
}
