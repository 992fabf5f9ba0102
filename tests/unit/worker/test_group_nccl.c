/* The suite of all groups over NCCL: as many ranks as there are GPUs. Without any it is skipped. */
#include "tests/lib/testlib.h"
#include "tests/unit/worker/group_suite.h"
#include "worker/group_nccl.h"

#include <criterion/criterion.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char address[64];

static void pick_address(void)
{
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", cfg_test_free_port());
}

/* Asked in a child: a process that has looked for devices cannot be forked into ranks. */
static uint32_t devices(void)
{
    pid_t pid = fork();
    int status = 0;
    if (pid == 0) {
        int n = 0;
        _exit(cudaGetDeviceCount(&n) == cudaSuccess && n < WORLD ? n : (n >= WORLD ? WORLD : 0));
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0;
}

static struct cfg_group *nccl_new(uint32_t rank, uint32_t world, unsigned deadline_ms)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_group *inner = NULL, *g = NULL;
    const struct cfg_group_tcp_options o = {
        .address = address, .name = "blue", .rank = rank, .world = world, .deadline_ms = deadline_ms};
    const struct cfg_group_nccl_options n = {NULL, deadline_ms};
    if (cudaSetDevice((int)rank) != cudaSuccess || cfg_group_tcp_new(&inner, &o, &err) != 0 ||
        cfg_group_nccl_new(&g, inner, &n, &err) != 0) {
        cfg_test_die("rank %u: %s", rank, err.text);
    }
    return g;
}

const struct suite suite_here = {pick_address, devices, nccl_new};

int main(int argc, char **argv)
{
    if (devices() == 0) {
        (void)puts("SKIP: no GPU");
        return 77;
    }
    struct criterion_test_set *tests = criterion_initialize();
    int rc = criterion_handle_args(argc, argv, true) ? (criterion_run_all_tests(tests) ? 0 : 1) : 0;
    criterion_finalize(tests);
    return rc;
}
