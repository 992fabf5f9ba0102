/* A world of one, and who makes the others. See allreduce.h. */
#include "worker/allreduce.h"
#include <stdlib.h>
#include <string.h>

static int solo_sum(struct cfg_allreduce *a, float *values, size_t n, struct cfg_error *err)
{
    (void)a;
    (void)values;
    (void)n;
    (void)err;
    return 0;
}

static int solo_broadcast(struct cfg_allreduce *a, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err)
{
    (void)a;
    (void)root;
    (void)bytes;
    (void)err;
    return 0;
}

static void solo_leave(struct cfg_allreduce *a, const char *reason)
{
    (void)a;
    (void)reason;
}

static void solo_free(struct cfg_allreduce *a)
{
    free(a);
}

static int solo_new(struct cfg_allreduce **out, struct cfg_error *err)
{
    static const struct cfg_allreduce_ops ops = {"solo", false, solo_sum, solo_broadcast, solo_leave, solo_free};
    struct cfg_allreduce *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    *a = (struct cfg_allreduce){&ops, 0, 1};
    *out = a;
    return 0;
}

int cfg_allreduce_new(struct cfg_allreduce **out, const struct cfg_allreduce_options *o, struct cfg_error *err)
{
    const char *kind = o->kind != NULL ? o->kind : o->world == 1 ? "solo" : "tcp";
    if (o->world < 1 || o->rank >= o->world) {
        return cfg_fail(err, CFG_E_INVALID, "rank %u of a world of %u", o->rank, o->world);
    }
    if (strcmp(kind, "solo") == 0 && o->world == 1) {
        return solo_new(out, err);
    }
    bool nccl = strcmp(kind, "nccl") == 0;
    if (!nccl && strcmp(kind, "tcp") != 0) {
        return cfg_fail(err, CFG_E_INVALID, "'%s' does not add up gradients of %u ranks; there are tcp and nccl", kind,
                        o->world);
    }
    if (o->address == NULL || o->address[0] == '\0') {
        (void)cfg_fail(err, CFG_E_INVALID, "%u ranks need an address where they meet", o->world);
        cfg_error_set_hint(err, "--reduce HOST:PORT or CONFIGD_ALLREDUCE, rank 0's address on every rank");
        return CFG_E_INVALID;
    }
    return nccl ? cfg_allreduce_nccl_new(out, o, err) : cfg_allreduce_tcp_new(out, o, err);
}

void cfg_allreduce_free(struct cfg_allreduce *a)
{
    if (a != NULL) {
        a->ops->free(a);
    }
}
