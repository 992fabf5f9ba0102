#include "worker/identity.h"

#include <criterion/criterion.h>
#include <stdio.h>
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
}

Test(identity, places_in_a_group)
{
    static const struct {
        const char *what;
        const char *const vars[10];
        uint32_t rank, world;
        const char *group, *root;
    } rows[] = {
        {"alone", {"HOME=/"}, 0, 1, "node7", ""},
        {"alone, but named", {"CONFIGD_GROUP_ID=replica-3"}, 0, 1, "replica-3", ""},
        {"numbers and an address",
         {"CONFIGD_RANK=1", "CONFIGD_WORLD=2", "CONFIGD_GROUP=tcp:n0:7"},
         1,
         2,
         "tcp:n0:7",
         ""},
        {"an address in brackets",
         {"CONFIGD_RANK=1", "CONFIGD_WORLD=2", "CONFIGD_GROUP=tcp:[::1]:7"},
         1,
         2,
         "tcp:-::1-:7",
         ""},
        {"numbers only", {"CONFIGD_RANK=1", "CONFIGD_WORLD=2"}, 1, 2, "blue", ""},
        {"torchrun",
         {"RANK=5", "WORLD_SIZE=8", "TORCHELASTIC_RUN_ID=job/7", "MASTER_ADDR=n0", "MASTER_PORT=29500"},
         5,
         8,
         "job-7",
         "n0:29501"},
        {"torchrun without an id",
         {"RANK=5", "WORLD_SIZE=8", "TORCHELASTIC_RUN_ID=none", "MASTER_ADDR=n0", "MASTER_PORT=29500"},
         5,
         8,
         "torch-n0-29500",
         "n0:29501"},
        {"torchrun, IPv6, the last port",
         {"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=fd00::1", "MASTER_PORT=65535"},
         0,
         2,
         "torch-fd00::1-65535",
         "[fd00::1]:65534"},
        {"torchrun, no port", {"RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=n0", "MASTER_PORT=x"}, 0, 2, "torch-n0-x", ""},
        {"Slurm",
         {"SLURM_PROCID=2", "SLURM_NTASKS=4", "SLURM_JOB_ID=4711", "SLURM_STEP_ID=0",
          "SLURM_STEP_NODELIST=gpu[007-009,12],x"},
         2,
         4,
         "slurm-4711.0",
         "gpu007:30039"},
        {"a Slurm step smaller than its job",
         {"SLURM_PROCID=1", "SLURM_NTASKS=4", "SLURM_STEP_NUM_TASKS=2", "SLURM_JOB_ID=4711", "SLURM_STEP_ID=3"},
         1,
         2,
         "slurm-4711.3",
         ""},
        {"Slurm, two brackets",
         {"SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_JOB_ID=4711", "SLURM_STEP_NODELIST=r[1-2]n[01,4],y"},
         0,
         4,
         "slurm-4711",
         "r1n01:30039"},
        {"Slurm, one host",
         {"SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_JOB_ID=4711", "SLURM_STEP_NODELIST=gpu1"},
         0,
         4,
         "slurm-4711",
         "gpu1:30039"},
        {"Slurm, a list cut short",
         {"SLURM_PROCID=0", "SLURM_NTASKS=4", "SLURM_JOB_ID=4711", "SLURM_STEP_NODELIST=gpu[1"},
         0,
         4,
         "slurm-4711",
         "gpu1:30039"},
        {"LeaderWorkerSet",
         {"LWS_WORKER_INDEX=1", "LWS_GROUP_SIZE=2", "LWS_LEADER_ADDRESS=chat-3.chat.ns", "LWS_GROUP_INDEX=3"},
         1,
         2,
         "chat-3.chat.ns",
         "chat-3.chat.ns:7118"},
        {"LeaderWorkerSet, index only",
         {"LWS_WORKER_INDEX=1", "LWS_GROUP_SIZE=2", "LWS_GROUP_INDEX=3"},
         1,
         2,
         "lws-3",
         ""},
        {"torchrun inside Slurm",
         {"RANK=1", "WORLD_SIZE=2", "TORCHELASTIC_RUN_ID=a", "SLURM_PROCID=0", "SLURM_NTASKS=1", "SLURM_JOB_ID=1"},
         1,
         2,
         "a",
         ""},
        {"own numbers inside Slurm",
         {"CONFIGD_RANK=1", "CONFIGD_WORLD=2", "SLURM_PROCID=0", "SLURM_NTASKS=1", "SLURM_JOB_ID=1"},
         1,
         2,
         "slurm-1",
         ""},
        {"alone inside Slurm",
         {"CONFIGD_RANK=0", "CONFIGD_WORLD=1", "SLURM_PROCID=3", "SLURM_NTASKS=4", "SLURM_JOB_ID=1"},
         0,
         1,
         "node7",
         ""},
        {"a rank without a world",
         {"RANK=3", "SLURM_PROCID=1", "SLURM_NTASKS=2", "SLURM_JOB_ID=1"},
         1,
         2,
         "slurm-1",
         ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cfg_identity id;
        struct cfg_error err;
        struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
        o.deployment = "blue";
        cr_assert_eq(resolve(&id, &o, rows[i].vars, true, &err), 0, "%s: %s", rows[i].what, err.text);
        cr_assert_eq(id.rank, rows[i].rank, "%s: rank %u", rows[i].what, id.rank);
        cr_assert_eq(id.world, rows[i].world, "%s: world %u", rows[i].what, id.world);
        cr_assert_str_eq(id.group, rows[i].group, "%s: group %s", rows[i].what, id.group);
        cr_assert_str_eq(id.root, rows[i].root, "%s: root %s", rows[i].what, id.root);
        cr_assert_str_empty(id.address);
    }
}

Test(identity, options_say_which_group)
{
    struct cfg_identity id;
    struct cfg_error err;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    const char *const vars[] = {"CONFIGD_DEPLOYMENT=blue", "CONFIGD_GROUP_ID=x", "RANK=1", "WORLD_SIZE=2", NULL};
    o.group_id = "y";
    o.world = 3;
    o.rank = 2;
    cr_assert_eq(resolve(&id, &o, vars, true, &err), 0, "%s", err.text);
    cr_assert_str_eq(id.group, "y");
    cr_assert(id.rank == 2 && id.world == 3);
    o.rank = 3;
    cr_assert_eq(resolve(&id, &o, vars, true, &err), CFG_E_INVALID);
    o.rank = 0;
    o.group_id = "a group";
    cr_assert_eq(resolve(&id, &o, vars, true, &err), CFG_E_ADDRESS);
}

/* A rank that is none is never taken for a worker on its own. */
Test(identity, ranks_outside_their_world_are_refused)
{
    static const char *const rows[][3] = {
        {"RANK=8", "WORLD_SIZE=8"},           {"RANK=x", "WORLD_SIZE=8"},
        {"RANK=-1", "WORLD_SIZE=8"},          {"RANK=0", "WORLD_SIZE=0"},
        {"CONFIGD_RANK=1", "CONFIGD_WORLD="}, {"LWS_WORKER_INDEX=2", "LWS_GROUP_SIZE=2"},
        {"SLURM_PROCID=0", "SLURM_NTASKS=n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cfg_identity id;
        struct cfg_error err;
        struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
        o.deployment = "blue";
        int rc = resolve(&id, &o, rows[i], true, &err);
        bool unset = strchr(rows[i][1], '=')[1] == '\0';
        cr_assert_eq(rc, unset ? 0 : CFG_E_INVALID, "%s %s: %d", rows[i][0], rows[i][1], rc);
        cr_assert(unset || strstr(err.text, rows[i][0]) != NULL, "%s", err.text);
    }
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

Test(identity, capabilities)
{
    struct cfg_identity id;
    struct cfg_error err;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    const char *const vars[] = {"CONFIGD_DEPLOYMENT=blue", "CONFIGD_CAPABILITIES=bf16, fp8 ,bf16", NULL};
    cr_assert_eq(resolve(&id, &o, vars, true, &err), 0, "%s", err.text);
    cr_assert_str_eq(id.capabilities, "[\"bf16\",\"fp8\"]");
    cfg_identity_finish(&id);
    o.capabilities = " [\"cuda:12.4\",\"a/b-c_d\"]";
    cr_assert_eq(resolve(&id, &o, vars, true, &err), 0, "%s", err.text);
    cr_assert_str_eq(id.capabilities, "[\"cuda:12.4\",\"a/b-c_d\"]");
    cfg_identity_finish(&id);
    o.capabilities = ""; /* not those of the environment */
    cr_assert_eq(resolve(&id, &o, vars, true, &err), 0, "%s", err.text);
    cr_assert_null(id.capabilities);
}

Test(identity, what_names_no_capability)
{
    char long_name[70] = "", many[512] = "c0";
    struct cfg_identity id;
    struct cfg_error err;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    const char *const vars[] = {"CONFIGD_DEPLOYMENT=blue", NULL};
    memset(long_name, 'x', 65);
    for (unsigned i = 1; i <= 64; i++) {
        (void)snprintf(many + strlen(many), sizeof many - strlen(many), ",c%u", i);
    }
    const struct {
        const char *text;
        int code;
    } bad[] = {
        {"bf 16", CFG_E_INVALID},   {"a,,b", CFG_E_INVALID},          {",", CFG_E_INVALID},
        {long_name, CFG_E_INVALID}, {"[1]", CFG_E_INVALID},           {"[[]]", CFG_E_INVALID},
        {"[\"\"]", CFG_E_INVALID},  {"[\"a\"", CFG_E_JSON},           {"[\"a\"],b", CFG_E_JSON},
        {many, CFG_E_LIMIT},        {"[\"\\u0000\"]", CFG_E_INVALID},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o.capabilities = bad[i].text;
        cr_assert_eq(resolve(&id, &o, vars, true, &err), bad[i].code, "%s: %s", bad[i].text, err.text);
        cr_assert_not_null(strstr(err.text, "capabilit"), "%s", err.text);
    }
}
