/* See exposures.h. */
#include "worker/exposures.h"
#include "proto/json.h"
#include <stdlib.h>
#include <string.h>

void cfg_exposures_finish(struct cfg_exposures *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        free(x->items[i]->flag);
        free(x->items[i]->variant);
        free(x->items[i]);
    }
    free((void *)x->items);
    memset(x, 0, sizeof *x);
}

/* Where a pair is, or belongs. */
static uint32_t find(bool *found, const struct cfg_exposures *x, const char *flag, const char *variant)
{
    uint32_t low = 0;
    uint32_t high = x->n;
    *found = false;
    while (low < high && !*found) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(flag, x->items[middle]->flag);
        order = order != 0 ? order : strcmp(variant, x->items[middle]->variant);
        *found = order == 0;
        if (order > 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return *found ? high : low;
}

static struct cfg_exposure *make(const char *flag, const char *variant)
{
    struct cfg_exposure *e = aligned_alloc(64, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    memset(e, 0, sizeof *e);
    e->flag = strdup(flag);
    e->variant = strdup(variant);
    if (e->flag == NULL || e->variant == NULL) {
        free(e->flag);
        free(e->variant);
        free(e);
        return NULL;
    }
    return e;
}

static bool grow(struct cfg_exposures *x)
{
    if (x->n < x->cap) {
        return true;
    }
    uint32_t cap = x->cap != 0 ? x->cap * 2 : 16;
    struct cfg_exposure **items = realloc((void *)x->items, cap * sizeof(struct cfg_exposure *));
    if (items == NULL) {
        return false;
    }
    x->items = items;
    x->cap = cap;
    return true;
}

struct cfg_exposure *cfg_exposures_at(struct cfg_exposures *x, const char *flag, const char *variant)
{
    bool found;
    uint32_t at = find(&found, x, flag, variant);
    if (found) {
        return x->items[at];
    }
    if (x->n == CFG_EXPOSURES_MAX) {
        x->full = true;
        return NULL;
    }
    struct cfg_exposure *e = grow(x) ? make(flag, variant) : NULL;
    if (e == NULL) {
        return NULL;
    }
    e->outcomes = x->outcomes;
    memmove((void *)(x->items + at + 1), (void *)(x->items + at), (x->n - at) * sizeof(struct cfg_exposure *));
    x->items[at] = e;
    x->n++;
    return e;
}

static uint64_t total(const struct cfg_exposure *e)
{
    uint64_t n = 0;
    for (size_t i = 0; i < CFG_EXPOSURE_STRIPES; i++) {
        n += atomic_load_explicit(&e->count[i].n, memory_order_relaxed);
    }
    return n;
}

static uint64_t read_registers(uint8_t out[CFG_HLL_REGISTERS], const struct cfg_exposure *e)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < CFG_HLL_REGISTERS; i++) {
        out[i] = atomic_load_explicit(&e->registers[i], memory_order_relaxed);
        sum += out[i];
    }
    return sum;
}

/* The sketch comes along only when it has changed: units come back more often than new ones come. */
static void print_one(struct cfg_buf *out, struct cfg_exposure *e, uint64_t n, bool first)
{
    uint8_t registers[CFG_HLL_REGISTERS];
    char text[CFG_HLL_REGISTERS + 1];
    e->offered = n;
    e->offered_sum = read_registers(registers, e);
    cfg_buf_puts(out, first ? ",\"exposures\":[{\"flag\":" : ",{\"flag\":");
    cfg_json_put_string(out, cfg_slice_str(e->flag));
    cfg_buf_puts(out, ",\"variant\":");
    cfg_json_put_string(out, cfg_slice_str(e->variant));
    cfg_buf_printf(out, ",\"count\":%llu,\"since\":%llu", (unsigned long long)n, (unsigned long long)e->arrived);
    if (e->offered_sum != e->arrived_sum) {
        cfg_hll_print(text, registers);
        cfg_buf_printf(out, ",\"units\":\"%s\"", text);
    }
    cfg_buf_putc(out, '}');
}

void cfg_exposures_print(struct cfg_buf *out, struct cfg_exposures *x)
{
    uint32_t printed = 0;
    uint32_t start = x->next;
    for (uint32_t i = 0; i < x->n; i++) {
        x->items[i]->offered = x->items[i]->arrived; /* an offer before this one may have been lost */
        x->items[i]->offered_sum = x->items[i]->arrived_sum;
    }
    for (uint32_t k = 0; k < x->n && printed < CFG_EXPOSURES_REPORT; k++) {
        struct cfg_exposure *e = x->items[(start + k) % x->n];
        uint64_t n = total(e);
        if (n != e->arrived) {
            print_one(out, e, n, printed == 0);
            x->next = (start + k + 1) % x->n;
            printed++;
        }
    }
    if (printed > 0) {
        cfg_buf_putc(out, ']');
    }
}

void cfg_exposures_arrived(struct cfg_exposures *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        x->items[i]->arrived = x->items[i]->offered;
        x->items[i]->arrived_sum = x->items[i]->offered_sum;
    }
}

void cfg_exposures_forget(struct cfg_exposures *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        x->items[i]->offered = x->items[i]->arrived;
        x->items[i]->offered_sum = x->items[i]->arrived_sum = 0;
    }
}
