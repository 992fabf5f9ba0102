/* Two daemons and time rules: what flips is told when it is due, once, also when the one that tells is killed. */
#include "stream_rig.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct cfg_test_etcd *etcd;
static struct daemon d[2];

#define LOCK "/configd/v1/live/lock/flips"

static void setup(void)
{
    etcd = daemon_two(d, (const char *const[]){"--replica-id", "r0", NULL},
                      (const char *const[]){"--replica-id", "r1", NULL});
}

static void teardown(void)
{
    daemon_two_free(d, etcd);
}

TestSuite(flips, .init = setup, .fini = teardown, .timeout = 120);

/* A flag of namespace exp that is on in [from, to). */
static void put_flag(const char *name, long long from, long long to)
{
    cJSON *reply = NULL;
    char *body =
        cfg_test_format("[{\"object\":\"flag/exp/"
                        "%s\",\"put\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},"
                        "\"defaultVariant\":\"off\",\"targeting\":{\"if\":[{\"and\":[{\">=\":[{\"var\":\"$flagd."
                        "timestamp\"},%lld]},{\"<\":[{"
                        "\"var\":\"$flagd.timestamp\"},%lld]}]},\"on\"]}}}}]",
                        name, from, to);
    int status = daemon_call(&reply, &d[0], "POST", "/v1/changes", "application/json", body);
    cr_assert_eq(status, 200, "%s", cfg_json_get_str(reply, "detail", "?"));
    cJSON_Delete(reply);
    free(body);
}

static char *holder(void)
{
    char *value = cfg_test_get(cfg_test_etcd_endpoint(etcd, 0), LOCK, NULL);
    cJSON *tree = NULL;
    if (value == NULL)
        return strdup("");
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(value), 0, NULL), 0);
    char *name = strdup(cfg_json_get_str(tree, "holder", ""));
    cJSON_Delete(tree);
    free(value);
    return name;
}

static int wait_for_holder(void)
{
    for (int i = 0; i < 500; i++) {
        char *name = holder();
        int index = strcmp(name, "r0") == 0 ? 0 : strcmp(name, "r1") == 0 ? 1 : -1;
        free(name);
        if (index >= 0)
            return index;
        (void)poll(NULL, 0, 20);
    }
    cr_assert_fail("nobody took the lock");
    return -1;
}

/* The next change of kind flip on a watch of the namespace, which is its version `version`, never early. */
static void expect_flip(struct stream *s, long long at, double version, const char *flags)
{
    for (;;) {
        const struct stream_event *e = stream_next(s, 30000);
        cr_assert_not_null(e, "no flip at %lld", at);
        if (strcmp(e->event, "change") != 0 || strcmp(cfg_json_get_str(e->data, "kind", ""), "flip") != 0)
            continue;
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        cr_assert(now.tv_sec >= at, "early");
        cr_assert_eq(cfg_json_get_num(e->data, "version", 0), version);
        char *value = cfg_test_get(cfg_test_etcd_endpoint(etcd, 0), "/configd/v1/live/flip/exp", NULL);
        cr_assert(value && strstr(value, flags), "%s", value);
        char *when = cfg_test_format("\"at\":%lld,", at);
        cr_assert(strstr(value, when), "%s", value);
        free(when);
        free(value);
        return;
    }
}

Test(flips, are_told_when_they_are_due)
{
    long long now = (long long)time(NULL);
    struct stream *s = stream_open(&d[1], "/v1/watch?namespace=exp", NULL);
    char *nobody = holder();
    cr_assert_str_eq(nobody, "", "nothing is planned, nobody holds a lease");
    free(nobody);
    put_flag("past", now - 1000, now - 10);
    put_flag("f", now + 2, now + 4);
    put_flag("g", now + 3, now + 4);
    expect_flip(s, now + 2, 1, "[\"f\"]");
    expect_flip(s, now + 3, 2, "[\"g\"]");
    expect_flip(s, now + 4, 3, "[\"f\",\"g\"]");
    for (int i = 0; i < 500; i++) { /* and then the lock is given back */
        char *name = holder();
        bool free_again = name[0] == '\0';
        free(name);
        if (free_again)
            break;
        cr_assert_lt(i, 499, "nothing is planned any more");
        (void)poll(NULL, 0, 20);
    }
    stream_close(s);
}

/* The holder dies before the flip: its lease runs out, the other one tells it; and the next one, too. */
Test(flips, survive_the_death_of_the_one_that_tells)
{
    long long now = (long long)time(NULL);
    put_flag("f", now + 3, now + 12);
    int dead = wait_for_holder();
    struct stream *s = stream_open(&d[!dead], "/v1/watch?namespace=exp", NULL);
    cfg_test_proc_signal(d[dead].proc, SIGKILL);
    (void)cfg_test_proc_wait(d[dead].proc, 10000);
    cfg_test_proc_free(d[dead].proc);
    d[dead].proc = NULL;
    expect_flip(s, now + 3, 1, "[\"f\"]");
    cr_assert_eq(wait_for_holder(), !dead);
    expect_flip(s, now + 12, 2, "[\"f\"]");
    stream_close(s);
}
