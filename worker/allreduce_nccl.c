/* Sums over NCCL, in device memory. See allreduce.h.
 *
 * The ranks meet over tcp (a control group), where rank 0 hands out NCCL's id; afterwards the control group says who is
 * to blame. The communicator never blocks this thread: every call is followed by polling with a deadline, and a rank
 * that does not move ends in ncclCommAbort, because a kernel that waits for a dead rank waits for ever. */
#include "worker/allreduce_control.h"
#include "worker/group_tcp.h"
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct nccl {
    struct cfg_allreduce base;
    struct cfg_allreduce_control control;
    ncclComm_t comm; /* NULL: none, or aborted */
    cudaStream_t stream;
    cudaEvent_t done;
    unsigned deadline_ms;
};

static struct nccl *self(struct cfg_allreduce *a)
{
    return (struct nccl *)a;
}

static int failed(struct cfg_error *err, const char *what, ncclResult_t rc)
{
    return cfg_fail(err, CFG_E_IO, "NCCL, %s: %s", what, ncclGetErrorString(rc));
}

/* Waits until the communicator is done with what was begun. */
static int settle(struct nccl *t, ncclResult_t rc, const char *what, uint64_t end_ms, struct cfg_error *err)
{
    while (rc == ncclInProgress) {
        ncclResult_t state = ncclInProgress;
        rc = ncclCommGetAsyncError(t->comm, &state);
        rc = rc == ncclSuccess ? state : rc;
        if (rc == ncclInProgress && cfg_group_left_ms(end_ms) == 0) {
            return cfg_fail(err, CFG_E_TIMEOUT, "NCCL, %s: a rank does not move", what);
        }
        (void)sched_yield();
    }
    return rc == ncclSuccess ? 0 : failed(err, what, rc);
}

static void abort_comm(struct nccl *t)
{
    if (t->comm != NULL) {
        (void)ncclCommAbort(t->comm); /* whatever it says, it is gone */
        t->comm = NULL;
    }
}

/* Until the stream has come past the sum, or NCCL or the clock says that it will not. */
static int await(struct nccl *t, struct cfg_error *err)
{
    uint64_t end_ms = cfg_group_now_ms() + t->deadline_ms;
    cudaError_t rc = cudaEventRecord(t->done, t->stream);
    while (rc == cudaSuccess && (rc = cudaEventQuery(t->done)) == cudaErrorNotReady) {
        ncclResult_t state = ncclSuccess;
        (void)cudaGetLastError(); /* CUDA keeps "not ready" too, and the next check of a launch would find it */
        if (ncclCommGetAsyncError(t->comm, &state) != ncclSuccess ||
            (state != ncclSuccess && state != ncclInProgress)) {
            return failed(err, "a sum", state);
        }
        if (cfg_group_left_ms(end_ms) == 0) {
            return cfg_fail(err, CFG_E_TIMEOUT, "a rank did not move for %u ms", t->deadline_ms);
        }
        (void)sched_yield();
        rc = cudaSuccess;
    }
    return rc == cudaSuccess ? 0 : cfg_fail(err, CFG_E_IO, "CUDA, a sum: %s", cudaGetErrorString(rc));
}

static int nccl_sum(struct cfg_allreduce *a, float *values, size_t n, struct cfg_error *err)
{
    struct nccl *t = self(a);
    struct cfg_error seen = CFG_ERROR_INIT;
    int rc = cfg_allreduce_control_check(&t->control, err);
    if (rc != 0) {
        return rc;
    }
    ncclResult_t begun = ncclAllReduce(values, values, n, ncclFloat, ncclSum, t->comm, t->stream);
    rc = settle(t, begun, "a sum", cfg_group_now_ms() + t->deadline_ms, &seen);
    rc = rc == 0 ? await(t, &seen) : rc;
    if (rc == 0) {
        return 0;
    }
    abort_comm(t);
    return cfg_allreduce_control_end(&t->control, &seen, err);
}

static int nccl_broadcast(struct cfg_allreduce *a, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err)
{
    return cfg_allreduce_control_broadcast(&self(a)->control, root, bytes, err);
}

static void nccl_leave(struct cfg_allreduce *a, const char *reason)
{
    struct nccl *t = self(a);
    cfg_allreduce_control_leave(&t->control, reason);
    abort_comm(t);
}

static void nccl_free(struct cfg_allreduce *a)
{
    struct nccl *t = self(a);
    abort_comm(t);
    if (t->done != NULL) {
        (void)cudaEventDestroy(t->done);
    }
    cfg_allreduce_control_close(&t->control);
    free(t);
}

/* Rank 0's id to everybody. */
static int share_id(struct nccl *t, ncclUniqueId *id, struct cfg_error *err)
{
    struct cfg_buf b;
    cfg_buf_init(&b, sizeof *id);
    int rc = 0;
    if (t->base.rank == 0) {
        ncclResult_t got = ncclGetUniqueId(id);
        rc = got == ncclSuccess ? 0 : failed(err, "its id", got);
        cfg_buf_put(&b, id, sizeof *id);
    }
    rc = rc == 0 ? t->control.group->ops->broadcast(t->control.group, 0, &b, err) : rc;
    if (rc == 0 && b.len != sizeof *id) {
        rc = cfg_fail(err, CFG_E_PROTOCOL, "rank 0 has another version of NCCL");
    }
    if (rc == 0) {
        memcpy(id, b.data, sizeof *id);
    }
    cfg_buf_finish(&b);
    return rc;
}

static int meet(struct nccl *t, const struct cfg_allreduce_options *o, struct cfg_error *err)
{
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    uint64_t end_ms = cfg_group_now_ms() + o->join_ms;
    int rc = t->control.group->ops->form(t->control.group, o->join_ms, err);
    rc = rc == 0 ? share_id(t, &id, err) : rc;
    if (rc != 0) {
        return rc;
    }
    cudaError_t made = cudaEventCreateWithFlags(&t->done, cudaEventDisableTiming);
    if (made != cudaSuccess) {
        return cfg_fail(err, CFG_E_IO, "CUDA, an event: %s", cudaGetErrorString(made));
    }
    config.blocking = 0;
    ncclResult_t begun = ncclCommInitRankConfig(&t->comm, (int)o->world, id, (int)o->rank, &config);
    return settle(t, begun, "forming", end_ms, err);
}

int cfg_allreduce_nccl_new(struct cfg_allreduce **out, const struct cfg_allreduce_options *o, struct cfg_error *err)
{
    static const struct cfg_allreduce_ops ops = {"nccl", true, nccl_sum, nccl_broadcast, nccl_leave, nccl_free};
    struct nccl *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    t->base = (struct cfg_allreduce){&ops, o->rank, o->world};
    t->stream = o->stream;
    t->deadline_ms = o->deadline_ms;
    int rc = cfg_allreduce_control_open(&t->control, o, err);
    rc = rc == 0 ? meet(t, o, err) : rc;
    if (rc != 0) {
        nccl_free(&t->base);
        return cfg_error_wrap(err, "all-reduce");
    }
    *out = &t->base;
    return 0;
}
