#include "worker/drain.h"
#include "proto/json.h"
#include <math.h>
#include <stdlib.h>

static bool drains(const struct cfg_decl *d)
{
    return d->apply == CFG_DRAIN && (d->type == CFG_I64 || d->type == CFG_F64);
}

static double target_of(const struct cfg_contract *c, const struct cfg_view *v, uint32_t i)
{
    return c->items[i].type == CFG_I64 ? (double)v->values[i].i64 : v->values[i].f64;
}

int cfg_drains_start(struct cfg_drains *d, const struct cfg_contract *c, struct cfg_error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        n = drains(&c->items[i]) ? i + 1 : n;
    }
    if (n == 0) {
        return 0;
    }
    d->now = calloc(n, sizeof *d->now);
    d->above = calloc(n, sizeof *d->above);
    if (d->now == NULL || d->above == NULL) {
        cfg_drains_finish(d);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    d->n = n;
    return 0;
}

void cfg_drains_finish(struct cfg_drains *d)
{
    free((void *)(uintptr_t)d->now);
    free(d->above);
    d->now = NULL;
    d->above = NULL;
    d->n = 0;
}

int cfg_drains_set(struct cfg_drains *d, const struct cfg_contract *c, const struct cfg_view *v, cfg_param p,
                   double now, bool *moved)
{
    if (p.index >= d->n || !drains(&c->items[p.index])) {
        return CFG_E_INVALID;
    }
    if (!isfinite(now) || now < 0) {
        return CFG_E_VALUE;
    }
    bool above = now > target_of(c, v, p.index);
    *moved = above != d->above[p.index];
    d->above[p.index] = above;
    atomic_store_explicit(&d->now[p.index], now, memory_order_relaxed);
    return 0;
}

bool cfg_drains_next(const struct cfg_drains *d, const struct cfg_contract *c, const struct cfg_view *v, uint32_t from,
                     struct cfg_draining *out)
{
    for (uint32_t i = from; i < d->n; i++) {
        double now = atomic_load_explicit(&d->now[i], memory_order_relaxed);
        if (drains(&c->items[i]) && now > target_of(c, v, i)) {
            *out = (struct cfg_draining){i, now, target_of(c, v, i)};
            return true;
        }
    }
    return false;
}

void cfg_drains_print(struct cfg_buf *out, const struct cfg_drains *d, const struct cfg_contract *c,
                      const struct cfg_view *v)
{
    struct cfg_draining x = {0, 0, 0};
    bool any = false;
    for (uint32_t i = 0; v != NULL && cfg_drains_next(d, c, v, i, &x); i = x.index + 1) {
        cfg_buf_puts(out, any ? ",{\"path\":" : ",\"draining\":[{\"path\":");
        cfg_json_put_string(out, cfg_slice_str(c->items[x.index].path));
        cfg_buf_puts(out, ",\"now\":");
        cfg_json_put_number(out, x.now);
        cfg_buf_puts(out, ",\"target\":");
        cfg_json_put_number(out, x.target);
        cfg_buf_putc(out, '}');
        any = true;
    }
    cfg_buf_puts(out, any ? "]" : "");
}
