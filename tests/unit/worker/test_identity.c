#include "worker/identity.h"

#include <criterion/criterion.h>
#include <string.h>

/* The environment as NAME=value pairs. */
static const char *lookup(void *arg, const char *name)
{
    for (const char *const *at = arg; *at != NULL; at++) {
        size_t n = strlen(name);
        if (strncmp(*at, name, n) == 0 && (*at)[n] == '=') {
            return *at + n + 1;
        }
    }
    return NULL;
}

static int resolve(struct cfg_identity *id, const struct cfg_worker_options *o, const char *const *vars, bool need,
                   struct cfg_error *err)
{
    const struct cfg_environment env = {
        .get = lookup, .arg = (void *)(uintptr_t)vars, .host = "node7", .pid = 42, .random = {0xab, 0x01}};
    *err = (struct cfg_error)CFG_ERROR_INIT;
    return cfg_identity_resolve(id, o, &env, need, err);
}

Test(identity, options_win_over_environment_over_host)
{
    struct cfg_identity id;
    struct cfg_error err;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    const char *const vars[] = {"CONFIGD_DEPLOYMENT=blue", "CONFIGD_WORKER=w1", NULL};
    cr_assert_eq(resolve(&id, &o, vars, true, &err), 0, "%s", err.text);
    cr_assert_str_eq(id.deployment, "blue");
    cr_assert_str_eq(id.worker, "w1");
    cr_assert_eq(strlen(id.incarnation), 32U);
    cr_assert_eq(strncmp(id.incarnation, "ab01", 4), 0);
    cr_assert_eq(id.world, 1U);
    o.deployment = "green";
    o.worker = "w2";
    cr_assert_eq(resolve(&id, &o, vars, true, &err), 0);
    cr_assert_str_eq(id.deployment, "green");
    cr_assert_str_eq(id.worker, "w2");
}

Test(identity, launchers)
{
    struct cfg_identity id;
    struct cfg_error err;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    const char *const torchrun[] = {"CONFIGD_DEPLOYMENT=blue", "RANK=5", "WORLD_SIZE=8", "LOCAL_RANK=1", NULL};
    cr_assert_eq(resolve(&id, &o, torchrun, true, &err), 0);
    cr_assert_str_eq(id.worker, "node7-1");
    cr_assert_eq(id.rank, 5U);
    cr_assert_eq(id.world, 8U);
    const char *const slurm[] = {"CONFIGD_DEPLOYMENT=blue", "SLURM_PROCID=2", "SLURM_NTASKS=4", "SLURM_LOCALID=0",
                                 NULL};
    cr_assert_eq(resolve(&id, &o, slurm, true, &err), 0);
    cr_assert_str_eq(id.worker, "node7-0");
    cr_assert_eq(id.rank, 2U);
    const char *const lws[] = {"CONFIGD_DEPLOYMENT=blue", "LWS_WORKER_INDEX=1", "LWS_GROUP_SIZE=2", NULL};
    cr_assert_eq(resolve(&id, &o, lws, true, &err), 0);
    cr_assert_str_eq(id.worker, "node7");
    cr_assert_eq(id.rank, 1U);
    const char *const rubbish[] = {"CONFIGD_DEPLOYMENT=blue", "RANK=8", "WORLD_SIZE=8", "LOCAL_RANK=x", NULL};
    cr_assert_eq(resolve(&id, &o, rubbish, true, &err), 0);
    cr_assert_eq(id.world, 1U);
    cr_assert_str_eq(id.worker, "node7");
}

Test(identity, refusals)
{
    struct cfg_identity id;
    struct cfg_error err;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    const char *const none[] = {"CONFIGD_DEPLOYMENT=", NULL};
    cr_assert_eq(resolve(&id, &o, none, true, &err), CFG_E_INVALID);
    cr_assert_not_null(strstr(err.hint, "CONFIGD_DEPLOYMENT"));
    cr_assert_eq(resolve(&id, &o, none, false, &err), 0, "a file needs no deployment");
    o.deployment = "Blue!";
    cr_assert_eq(resolve(&id, &o, none, true, &err), CFG_E_ADDRESS);
    o.deployment = "blue";
    o.worker = "a b";
    cr_assert_eq(resolve(&id, &o, none, true, &err), CFG_E_ADDRESS);
    o.worker = "w";
    o.labels = "[1]";
    cr_assert_eq(resolve(&id, &o, none, true, &err), CFG_E_INVALID);
    o.labels = "{\"a\":1,\"a\":2}";
    cr_assert_eq(resolve(&id, &o, none, true, &err), CFG_E_JSON);
}
