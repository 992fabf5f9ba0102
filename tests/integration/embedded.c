/* The embedded etcd: data that stays, one holder, no orphans. */
#include "configd/embedded.h"
#include "tests/integration/etcd_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cfg_embedded *start(struct cfg_loop *loop, const char *dir)
{
    struct cfg_embedded *e = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_embedded_options o = {.dir = dir, .etcd_binary = cfg_test_etcd_binary()};
    cr_assert_eq(cfg_embedded_start(&e, loop, &o, &err), 0, "%s", err.text);
    return e;
}

static struct cfg_loop *new_loop(void)
{
    struct cfg_loop *loop = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_loop_new(&loop, &err), 0);
    return loop;
}

/* A put through the client, on the embedded server's loop. */
static void put(struct cfg_loop *loop, struct cfg_embedded *e, const char *key, const char *value)
{
    const char *endpoint = cfg_embedded_endpoint(e);
    struct cfg_rig rig = {.loop = loop};
    struct cfg_error err;
    struct cfg_etcd_options o = {.endpoints = &endpoint, .n_endpoints = 1, .request_timeout_ms = 20000};
    cr_assert_eq(cfg_etcd_new(&rig.etcd, loop, &o, &err), 0, "%s", err.text);
    (void)cfg_rig_get(&rig, key); /* waits until it serves */
    struct cfg_rig_result r = cfg_rig_put(&rig, key, value, -1);
    cr_assert_eq(r.err.code, 0, "%s", r.err.text);
    cfg_etcd_free(rig.etcd);
    cr_assert_eq(cfg_embedded_served(e, &err), 0, "%s", err.text);
}

Test(embedded, data_stays_and_the_directory_is_private)
{
    char *base = cfg_test_dir_new(), *dir = cfg_test_format("%s/a/b", base);
    struct cfg_loop *loop = new_loop();
    struct cfg_embedded *e = start(loop, dir);
    int pid = cfg_embedded_pid(e);
    cr_assert_gt(pid, 0);
    put(loop, e, "k", "kept");
    struct stat st;
    cr_assert_eq(stat(dir, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    cfg_embedded_stop(e);
    cr_assert_not(cfg_test_pid_alive(pid));
    e = start(loop, dir);
    put(loop, e, "other", "x");
    char *value = cfg_test_get(cfg_embedded_endpoint(e), "k", NULL);
    cr_assert_str_eq(value, "kept");
    free(value);
    cfg_embedded_stop(e);
    cfg_loop_free(loop);
    free(dir);
    cfg_test_dir_remove(base);
}

struct revival {
    struct cfg_embedded *e;
    int old;
};

static bool revived(void *arg)
{
    const struct revival *r = arg;
    return cfg_embedded_pid(r->e) > 0 && cfg_embedded_pid(r->e) != r->old;
}

Test(embedded, a_child_that_dies_is_started_again)
{
    char *dir = cfg_test_dir_new();
    struct cfg_rig rig = {.loop = new_loop()};
    struct cfg_embedded *e = start(rig.loop, dir);
    put(rig.loop, e, "k", "acknowledged");
    for (int i = 0; i < 2; i++) {
        struct revival r = {e, cfg_embedded_pid(e)};
        cr_assert_eq(kill(r.old, SIGKILL), 0);
        cr_assert(cfg_rig_run_until(&rig, revived, &r, 10000));
        put(rig.loop, e, "again", "x");
        char *value = cfg_test_get(cfg_embedded_endpoint(e), "k", NULL);
        cr_assert_str_eq(value, "acknowledged");
        free(value);
    }
    cfg_embedded_stop(e);
    cfg_loop_free(rig.loop);
    cfg_test_dir_remove(dir);
}

Test(embedded, a_second_holder_is_refused)
{
    char *dir = cfg_test_dir_new();
    struct cfg_loop *loop = new_loop();
    struct cfg_embedded *e = start(loop, dir), *second = NULL;
    const struct cfg_embedded_options o = {.dir = dir, .etcd_binary = cfg_test_etcd_binary()};
    struct cfg_error err;
    cr_assert_eq(cfg_embedded_start(&second, loop, &o, &err), CFG_E_IN_USE);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %d", (int)getpid());
    cr_assert(strstr(err.text, pid), "%s", err.text);
    cr_assert(second == NULL);
    cfg_embedded_stop(e);
    cfg_loop_free(loop);
    cfg_test_dir_remove(dir);
}

Test(embedded, what_cannot_work_says_why)
{
    char *dir = cfg_test_dir_new();
    struct cfg_loop *loop = new_loop();
    struct cfg_embedded *e = NULL;
    struct cfg_error err;
    struct cfg_embedded_options o = {.dir = dir, .etcd_binary = "no-such-etcd"};
    cr_assert_eq(cfg_embedded_start(&e, loop, &o, &err), CFG_E_IO);
    cr_assert(strstr(err.hint, "apt install etcd-server"), "%s", err.hint);
    o.etcd_binary = "/bin/true";
    cr_assert_eq(cfg_embedded_start(&e, loop, &o, &err), CFG_E_IO);
    o.etcd_binary = cfg_test_etcd_binary();
    cr_assert_eq(chmod(dir, 0755), 0);
    cr_assert_eq(cfg_embedded_start(&e, loop, &o, &err), CFG_E_IO);
    cr_assert(strstr(err.hint, "chmod 700"), "%s", err.hint);
    char *file = cfg_test_format("%s/file", dir);
    cfg_test_write_file(file, "", 0);
    o.dir = file;
    cr_assert_eq(cfg_embedded_start(&e, loop, &o, &err), CFG_E_IO);
    cr_assert(e == NULL);
    free(file);
    cfg_loop_free(loop);
    cfg_test_dir_remove(dir);
}

Test(embedded, long_directory_and_a_hostile_environment)
{
    char *base = cfg_test_dir_new();
    char *dir = cfg_test_format("%s/%0100d/%0100d", base, 1, 2);
    cr_assert_eq(setenv("ETCD_DATA_DIR", "/nowhere", 1), 0);
    cr_assert_eq(setenv("ETCD_NAME", "other", 1), 0);
    struct cfg_loop *loop = new_loop();
    struct cfg_embedded *e = start(loop, dir);
    put(loop, e, "k", "v");
    cfg_embedded_stop(e);
    cfg_loop_free(loop);
    free(dir);
    cfg_test_dir_remove(base);
}

static bool is_gone(void *arg)
{
    return !cfg_test_pid_alive(*(const pid_t *)arg);
}

/* What a kill in the first milliseconds of the first start leaves behind can never serve; it is begun anew, and only
 * it. */
Test(embedded, a_killed_birth_is_begun_anew)
{
    char *dir = cfg_test_dir_new(), *wal = cfg_test_format("%s/data/member/wal", dir),
         *unborn = cfg_test_format("%s/unborn", dir);
    char *make = cfg_test_format("%s/data", dir), *member = cfg_test_format("%s/data/member", dir);
    struct cfg_loop *loop = new_loop();
    cr_assert(mkdir(make, 0700) == 0 && mkdir(member, 0700) == 0 && mkdir(wal, 0700) == 0);
    char *log = cfg_test_format("%s/0000000000000000-0000000000000000.wal", wal);
    cr_assert_eq(close(open(log, O_CREAT | O_WRONLY, 0600)), 0);
    cr_assert_eq(close(open(unborn, O_CREAT | O_WRONLY, 0600)), 0);
    struct cfg_embedded *e = start(loop, dir);
    put(loop, e, "k", "v");
    cr_assert_neq(access(unborn, F_OK), 0, "what has served is still called unborn");
    cfg_embedded_stop(e);
    cfg_loop_free(loop);
    free(log), free(member), free(make), free(unborn), free(wal);
    cfg_test_dir_remove(dir);
}

Test(embedded, no_orphan_after_kill_9)
{
    char *dir = cfg_test_dir_new(), *holder = cfg_test_format("%s", CFG_EMBEDDED_HOLDER);
    const char *const argv[] = {holder, dir, cfg_test_etcd_binary(), NULL};
    struct cfg_loop *loop = new_loop();
    for (int round = 0; round < 8; round++) {
        struct cfg_test_proc *p = cfg_test_proc_start(argv, NULL);
        cr_assert(cfg_test_proc_wait_output(p, "child ", NULL, 10000), "round %d: %s", round, cfg_test_proc_output(p));
        char *output = cfg_test_proc_output(p);
        pid_t child = (pid_t)atoi(strstr(output, "child ") + strlen("child "));
        cr_assert_gt(child, 0);
        cfg_test_proc_signal(p, SIGKILL);
        cr_assert(cfg_test_poll(is_gone, &child, 10000), "round %d: %d lives on", round, (int)child);
        free(output);
        cfg_test_proc_free(p);
    }
    /* The lock went with the holder, the data did not. */
    struct cfg_embedded *e = start(loop, dir);
    put(loop, e, "k", "v");
    cfg_embedded_stop(e);
    cfg_loop_free(loop);
    free(holder);
    cfg_test_dir_remove(dir);
}
