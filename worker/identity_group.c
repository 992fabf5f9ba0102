/* A worker's place in a group: rank, world, the group's id, and where the launcher says that rank 0 is to be met.
 *
 * Launchers that know a rank are tried in a fixed order; the first that names one wins. torchrun comes before Slurm and
 * LeaderWorkerSet, because it runs inside both and is the one that starts a process per rank. */
#include "proto/path.h"
#include "worker/identity.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { LWS_PORT = 7118, SLURM_PORT = 20000, SLURM_PORTS = 12000 };

/* What a launcher tells with its variables; out is untouched when it does not. */
struct launcher {
    const char *rank, *world, *all; /* all: the world where `world` is not set; NULL: none */
    bool (*id)(char *out, size_t size, const struct cfg_environment *env);
    bool (*root)(char *out, size_t size, const struct cfg_environment *env);
};

static bool put_address(char *out, size_t size, const char *host, long port)
{
    bool v6 = strchr(host, ':') != NULL && host[0] != '[';
    int n = snprintf(out, size, v6 ? "[%s]:%ld" : "%s:%ld", host, port);
    if (n > 0 && (size_t)n < size) {
        return true;
    }
    out[0] = '\0';
    return false;
}

/* --- torchrun --- */

/* Without --rdzv-id the id is "none", the same for every job: the store's address tells them apart. */
static bool torch_id(char *out, size_t size, const struct cfg_environment *env)
{
    const char *id = cfg_env_get(env, "TORCHELASTIC_RUN_ID");
    const char *host = cfg_env_get(env, "MASTER_ADDR"), *port = cfg_env_get(env, "MASTER_PORT");
    if (id != NULL && strcmp(id, "none") != 0) {
        (void)snprintf(out, size, "%s", id);
        return true;
    }
    if (host == NULL || port == NULL) {
        return false;
    }
    (void)snprintf(out, size, "torch-%s-%s", host, port);
    return true;
}

/* The port beside the one on which torch's own store listens. */
static bool torch_root(char *out, size_t size, const struct cfg_environment *env)
{
    const char *host = cfg_env_get(env, "MASTER_ADDR");
    long port = cfg_env_number(env, "MASTER_PORT");
    return host != NULL && port > 0 && port <= 65535 &&
           put_address(out, size, host, port < 65535 ? port + 1 : port - 1);
}

/* --- Slurm --- */

static bool slurm_id(char *out, size_t size, const struct cfg_environment *env)
{
    const char *job = cfg_env_get(env, "SLURM_JOB_ID"), *step = cfg_env_get(env, "SLURM_STEP_ID");
    if (job == NULL) {
        return false;
    }
    (void)snprintf(out, size, "slurm-%s%s%s", job, step != NULL ? "." : "", step != NULL ? step : "");
    return true;
}

/* The first host of "rack[1-2]n[01-04],login": in every bracket the first number. */
static void first_host(char *out, size_t size, const char *list)
{
    size_t n = 0;
    for (const char *p = list; *p != '\0' && *p != ',' && n + 1 < size; p++) {
        if (*p != '[') {
            out[n++] = *p;
            continue;
        }
        size_t digits = strcspn(++p, ",-]");
        for (size_t i = 0; i < digits && n + 1 < size; i++) {
            out[n++] = p[i];
        }
        p += strcspn(p, "]");
        if (*p == '\0') {
            break;
        }
    }
    out[n] = '\0';
}

/* Task 0 runs on a step's first host. Slurm reserves no port, so one is derived from job and step; a job that meets
 * another's there is refused by name. */
static bool slurm_root(char *out, size_t size, const struct cfg_environment *env)
{
    char host[256];
    const char *nodes = cfg_env_get(env, "SLURM_STEP_NODELIST");
    const char *job = cfg_env_get(env, "SLURM_JOB_ID");
    long step = cfg_env_number(env, "SLURM_STEP_ID");
    unsigned long hash = step > 0 ? (unsigned long)step * 7919 : 0;
    if (nodes == NULL || job == NULL) {
        return false;
    }
    for (const char *p = job; *p != '\0'; p++) {
        hash = hash * 10 + (unsigned char)*p;
        hash %= 1000003;
    }
    first_host(host, sizeof host, nodes);
    return host[0] != '\0' && put_address(out, size, host, SLURM_PORT + (long)(hash % SLURM_PORTS));
}

/* --- LeaderWorkerSet --- */

/* The leader's name holds the group's index. */
static bool lws_id(char *out, size_t size, const struct cfg_environment *env)
{
    const char *leader = cfg_env_get(env, "LWS_LEADER_ADDRESS"), *index = cfg_env_get(env, "LWS_GROUP_INDEX");
    if (leader == NULL && index == NULL) {
        return false;
    }
    (void)snprintf(out, size, "%s%s", leader != NULL ? "" : "lws-", leader != NULL ? leader : index);
    return true;
}

static bool lws_root(char *out, size_t size, const struct cfg_environment *env)
{
    const char *leader = cfg_env_get(env, "LWS_LEADER_ADDRESS");
    return leader != NULL && put_address(out, size, leader, LWS_PORT);
}

static const struct launcher launchers[] = {
    {"RANK", "WORLD_SIZE", NULL, torch_id, torch_root},
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", slurm_id, slurm_root},
    {"LWS_WORKER_INDEX", "LWS_GROUP_SIZE", NULL, lws_id, lws_root},
};
enum { LAUNCHERS = sizeof launchers / sizeof launchers[0] };

/* --- rank and world --- */

static int no_rank(struct cfg_error *err, const char *rank_name, const char *rank, const char *world_name,
                   const char *world)
{
    (void)cfg_fail(err, CFG_E_INVALID, "%s=%.40s is no rank of a world of %s=%.40s", rank_name, rank, world_name,
                   world);
    cfg_error_set_hint(err, "ranks are 0 to world - 1; CONFIGD_RANK and CONFIGD_WORLD come first");
    return CFG_E_INVALID;
}

/* 1: these variables name the rank; 0: they are not set. */
static int read_rank(struct cfg_identity *id, const struct cfg_environment *env, const char *rank_name,
                     const char *world_name, struct cfg_error *err)
{
    const char *rank = cfg_env_get(env, rank_name), *world = cfg_env_get(env, world_name);
    if (rank == NULL || world == NULL) {
        return 0;
    }
    long r = cfg_env_number(env, rank_name), n = cfg_env_number(env, world_name);
    if (r < 0 || n <= r) {
        return no_rank(err, rank_name, rank, world_name, world);
    }
    id->rank = (uint32_t)r;
    id->world = (uint32_t)n;
    return 1;
}

static int resolve_rank(struct cfg_identity *id, const struct launcher **by, const struct cfg_worker_options *o,
                        const struct cfg_environment *env, struct cfg_error *err)
{
    *by = NULL;
    id->rank = o->rank;
    id->world = o->world;
    if (o->world > 0) {
        return o->rank < o->world
                   ? 0
                   : cfg_fail(err, CFG_E_INVALID, "rank %u is no rank of a world of %u", o->rank, o->world);
    }
    id->rank = 0;
    id->world = 1;
    int rc = read_rank(id, env, "CONFIGD_RANK", "CONFIGD_WORLD", err);
    for (size_t i = 0; rc == 0 && i < LAUNCHERS; i++) {
        const struct launcher *l = &launchers[i];
        bool all = l->all != NULL && cfg_env_get(env, l->world) == NULL;
        rc = read_rank(id, env, l->rank, all ? l->all : l->world, err);
        *by = rc > 0 ? l : NULL;
    }
    return rc < 0 ? rc : 0;
}

/* --- the group --- */

/* A launcher's words as an id: what ids do not hold becomes a dash. */
static void make_id(char out[CFG_ID_TEXT], const char *text)
{
    size_t n = 0;
    if (!isalnum((unsigned char)text[0])) {
        out[n++] = 'g';
    }
    for (; *text != '\0' && n + 1 < CFG_ID_TEXT; text++) {
        out[n++] = isalnum((unsigned char)*text) || strchr("._:-", *text) != NULL ? *text : '-';
    }
    out[n] = '\0';
}

static bool launcher_id(char out[CFG_ID_TEXT], const struct launcher *by, const struct cfg_environment *env)
{
    char text[512];
    bool found = by != NULL && by->id(text, sizeof text, env);
    for (size_t i = 0; !found && i < LAUNCHERS; i++) {
        found = launchers[i].id(text, sizeof text, env);
    }
    if (found) {
        make_id(out, text);
    }
    return found;
}

static int resolve_id(struct cfg_identity *id, const struct launcher *by, const struct cfg_worker_options *o,
                      const struct cfg_environment *env, struct cfg_error *err)
{
    const char *given = o->group_id != NULL ? o->group_id : cfg_env_get(env, "CONFIGD_GROUP_ID");
    const char *group = o->group != NULL ? o->group : cfg_env_get(env, "CONFIGD_GROUP");
    if (given != NULL) {
        int rc = cfg_check_id("group", cfg_slice_str(given), err);
        (void)snprintf(id->group, sizeof id->group, "%s", rc == 0 ? given : "");
        return rc;
    }
    if (id->world == 1) {
        memcpy(id->group, id->worker, sizeof id->group);
    } else if (!launcher_id(id->group, by, env)) {
        /* All ranks are given one address of rank 0; without even that a deployment is one group. */
        bool met = group != NULL && strncmp(group, "tcp:", 4) == 0;
        make_id(id->group, met ? group : (id->deployment[0] != '\0' ? id->deployment : "ranks"));
    }
    return 0;
}

int cfg_identity_group(struct cfg_identity *id, const struct cfg_worker_options *o, const struct cfg_environment *env,
                       struct cfg_error *err)
{
    const struct launcher *by;
    int rc = resolve_rank(id, &by, o, env, err);
    rc = rc == 0 ? resolve_id(id, by, o, env, err) : rc;
    bool found = rc != 0 || (by != NULL && by->root(id->root, sizeof id->root, env));
    for (size_t i = 0; !found && i < LAUNCHERS; i++) {
        found = launchers[i].root(id->root, sizeof id->root, env);
    }
    return rc;
}
