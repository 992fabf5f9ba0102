/* Sums over tcp: a control group (group_tcp.c), in which the ranks meet and learn who is to blame, and a ring that
 * carries the values. See allreduce.h.
 *
 * A rank that fails closes its part of the ring, so its neighbours fail too and do the same: within moments every rank
 * knows that it is over, but only the first one's neighbours know why. Each then asks the control group, where who
 * still lives contributes and who does not is named to all. */
#include "worker/allreduce_ring.h"
#include "worker/group.h"
#include "worker/group_tcp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tcp {
    struct cfg_allreduce base;
    struct cfg_group *control;
    struct cfg_ring ring;
    bool over;
    struct cfg_error why;
};

static struct tcp *self(struct cfg_allreduce *a)
{
    return (struct tcp *)a;
}

/* Ends it here, with the control group's verdict where there is one, else with what this rank saw. */
static int end(struct tcp *t, const struct cfg_error *seen, struct cfg_error *err)
{
    int64_t word = 0;
    struct cfg_error verdict = CFG_ERROR_INIT;
    cfg_ring_close(&t->ring);
    int rc = t->control->ops->contribute(t->control, &word, 1, &verdict);
    rc = rc == 0 ? t->control->ops->reduced(t->control, &word, 1, &verdict) : rc;
    t->over = true;
    (void)cfg_fail(&t->why, CFG_E_AGREEMENT, "the ranks no longer train together: %s",
                   rc != 0 ? verdict.text : seen->text);
    if (err != NULL) {
        *err = t->why;
    }
    return CFG_E_AGREEMENT;
}

static int check(struct tcp *t, struct cfg_error *err)
{
    if (t->over && err != NULL) {
        *err = t->why;
    }
    return t->over ? CFG_E_AGREEMENT : 0;
}

static int tcp_sum(struct cfg_allreduce *a, float *values, size_t n, struct cfg_error *err)
{
    struct tcp *t = self(a);
    struct cfg_error seen = CFG_ERROR_INIT;
    int rc = check(t, err);
    if (rc != 0 || a->world == 1) {
        return rc;
    }
    return cfg_ring_sum(&t->ring, values, n, &seen) == 0 ? 0 : end(t, &seen, err);
}

static int tcp_broadcast(struct cfg_allreduce *a, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err)
{
    struct tcp *t = self(a);
    int rc = check(t, err);
    return rc != 0 ? rc : t->control->ops->broadcast(t->control, root, bytes, err);
}

static void tcp_leave(struct cfg_allreduce *a, const char *reason)
{
    struct tcp *t = self(a);
    t->control->ops->leave(t->control, reason);
    cfg_ring_close(&t->ring);
    t->over = true;
    (void)cfg_fail(&t->why, CFG_E_AGREEMENT, "%s", reason);
}

static void tcp_free(struct cfg_allreduce *a)
{
    struct tcp *t = self(a);
    cfg_ring_close(&t->ring);
    if (t->control != NULL) {
        t->control->ops->free(t->control);
    }
    free(t);
}

/* Every rank tells where it listens; *next gets the place of the one after this. */
static int tell_places(struct tcp *t, const char *mine, char next[CFG_RING_PLACE], struct cfg_error *err)
{
    struct cfg_buf b;
    int rc = 0;
    cfg_buf_init(&b, CFG_RING_PLACE);
    for (uint32_t r = 0; rc == 0 && r < t->base.world; r++) {
        cfg_buf_clear(&b);
        if (r == t->base.rank) {
            cfg_buf_puts(&b, mine);
        }
        rc = t->control->ops->broadcast(t->control, r, &b, err);
        if (rc == 0 && r == (t->base.rank + 1) % t->base.world) {
            (void)snprintf(next, CFG_RING_PLACE, "%.*s", (int)b.len, b.data);
        }
    }
    cfg_buf_finish(&b);
    return rc;
}

static int meet(struct tcp *t, const struct cfg_allreduce_options *o, struct cfg_error *err)
{
    char mine[CFG_RING_PLACE] = "", next[CFG_RING_PLACE] = "";
    uint64_t end_ms = cfg_group_now_ms() + o->join_ms;
    int rc = cfg_ring_listen(&t->ring, mine, o->address, err);
    rc = rc == 0 ? t->control->ops->form(t->control, o->join_ms, err) : rc;
    if (rc != 0 || o->world == 1) {
        return rc;
    }
    rc = tell_places(t, mine, next, err);
    return rc == 0 ? cfg_ring_connect(&t->ring, next, t->control->incarnation, end_ms, err) : rc;
}

int cfg_allreduce_tcp_new(struct cfg_allreduce **out, const struct cfg_allreduce_options *o, struct cfg_error *err)
{
    static const struct cfg_allreduce_ops ops = {"tcp", false, tcp_sum, tcp_broadcast, tcp_leave, tcp_free};
    const struct cfg_group_tcp_options g = {
        .address = o->address, .name = o->name, .rank = o->rank, .world = o->world, .deadline_ms = o->deadline_ms};
    struct tcp *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    t->base = (struct cfg_allreduce){&ops, o->rank, o->world};
    cfg_ring_init(&t->ring, o->rank, o->world, o->deadline_ms);
    int rc = cfg_group_tcp_new(&t->control, &g, err);
    rc = rc == 0 ? meet(t, o, err) : rc;
    if (rc != 0) {
        tcp_free(&t->base);
        return cfg_error_wrap(err, "all-reduce");
    }
    *out = &t->base;
    return 0;
}
