/* Identity: deployment, worker, labels. See identity.h. */
#include "worker/identity.h"
#include "proto/json.h"
#include "proto/path.h"
#include "worker/capability.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cfg_env_get(const struct cfg_environment *env, const char *name)
{
    const char *v = env->get(env->arg, name);
    return v != NULL && v[0] != '\0' ? v : NULL;
}

long cfg_env_number(const struct cfg_environment *env, const char *name)
{
    const char *v = cfg_env_get(env, name);
    if (v == NULL) {
        return -1;
    }
    char *end = NULL;
    errno = 0;
    long n = strtol(v, &end, 10);
    return errno == 0 && *end == '\0' && n >= 0 && n < 1000000 ? n : -1;
}

static int copy_id(char out[CFG_ID_TEXT], const char *what, const char *text, struct cfg_error *err)
{
    int rc = cfg_check_id(what, cfg_slice_str(text), err);
    if (rc == 0) {
        (void)snprintf(out, CFG_ID_TEXT, "%s", text);
    }
    return rc;
}

static int resolve_worker(struct cfg_identity *id, const struct cfg_worker_options *o,
                          const struct cfg_environment *env, struct cfg_error *err)
{
    const char *given = o->worker != NULL ? o->worker : cfg_env_get(env, "CONFIGD_WORKER");
    if (given != NULL) {
        return copy_id(id->worker, "worker", given, err);
    }
    long local = cfg_env_number(env, "LOCAL_RANK");
    if (local < 0) {
        local = cfg_env_number(env, "SLURM_LOCALID");
    }
    char name[CFG_ID_TEXT];
    int n = local >= 0 ? snprintf(name, sizeof name, "%s-%ld", env->host, local)
                       : snprintf(name, sizeof name, "%s", env->host);
    if (n < 0 || (size_t)n >= sizeof name) {
        return cfg_fail(err, CFG_E_ADDRESS, "the host name is too long for a worker id: set CONFIGD_WORKER");
    }
    return copy_id(id->worker, "worker", name, err);
}

static int resolve_deployment(struct cfg_identity *id, const struct cfg_worker_options *o,
                              const struct cfg_environment *env, bool needed, struct cfg_error *err)
{
    const char *given = o->deployment != NULL ? o->deployment : cfg_env_get(env, "CONFIGD_DEPLOYMENT");
    if (given == NULL && !needed) {
        return 0;
    }
    if (given == NULL) {
        (void)cfg_fail(err, CFG_E_INVALID, "no deployment named");
        cfg_error_set_hint(err, "set CONFIGD_DEPLOYMENT, or CONFIGD_SOURCE=file:FILE to run without a daemon");
        return CFG_E_INVALID;
    }
    int rc = cfg_check_name("deployment", cfg_slice_str(given), err);
    if (rc == 0) {
        (void)snprintf(id->deployment, sizeof id->deployment, "%s", given);
    }
    return rc;
}

static int resolve_labels(struct cfg_identity *id, const struct cfg_worker_options *o, struct cfg_error *err)
{
    if (o->labels == NULL) {
        return 0;
    }
    cJSON *v = NULL;
    int rc = cfg_json_parse(&v, cfg_slice_str(o->labels), 4, err);
    if (rc != 0) {
        return cfg_error_wrap(err, "labels");
    }
    if (!cJSON_IsObject(v)) {
        rc = cfg_fail(err, CFG_E_INVALID, "labels: expected an object, found %s", cfg_json_type(v));
    }
    cJSON_Delete(v);
    if (rc == 0 && (id->labels = strdup(o->labels)) == NULL) {
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    return rc;
}

int cfg_identity_resolve(struct cfg_identity *out, const struct cfg_worker_options *o,
                         const struct cfg_environment *env, bool need_deployment, struct cfg_error *err)
{
    struct cfg_identity id;
    memset(&id, 0, sizeof id);
    int rc = resolve_deployment(&id, o, env, need_deployment, err);
    if (rc == 0) {
        rc = resolve_worker(&id, o, env, err);
    }
    if (rc == 0) {
        rc = resolve_labels(&id, o, err);
    }
    if (rc == 0) {
        const char *given = o->capabilities != NULL ? o->capabilities : cfg_env_get(env, "CONFIGD_CAPABILITIES");
        rc = cfg_capabilities_parse(&id.capabilities, given, err);
    }
    if (rc == 0) {
        rc = cfg_identity_group(&id, o, env, err);
    }
    if (rc != 0) {
        cfg_identity_finish(&id);
        return rc;
    }
    for (size_t i = 0; i < sizeof env->random; i++) {
        (void)snprintf(id.incarnation + 2 * i, 3, "%02x", env->random[i]);
    }
    (void)snprintf(id.host, sizeof id.host, "%s", env->host);
    id.pid = env->pid;
    *out = id;
    return 0;
}

void cfg_identity_finish(struct cfg_identity *id)
{
    free(id->labels);
    id->labels = NULL;
    free(id->capabilities);
    id->capabilities = NULL;
}
