/* What a program of `cfgctl run` is started with: its launch file, arguments and environment. */
#include "client/cfgctl/accelerate.h"
#include "client/cfgctl/commands.h"
#include "client/cfgctl/file_replace.h"
#include "client/cfgctl/notes.h"
#include "client/cfgctl/run_internal.h"
#include "client/cfgctl/view.h"
#include "client/url.h"
#include "proto/dotenv.h"
#include "proto/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 24, NUMBER_DIGITS = 9 };

/* --- the launch file --- */

/* Which machine this is: --machine-rank, or what Slurm says; −1: as stored. */
static int machine_rank(const struct cli *c, const cJSON *accelerate, long *out, struct cfg_error *err)
{
    uint64_t rank = 0;
    int rc = cli_number(c, OPT_MACHINE_RANK, &rank, err);
    const char *slurm = getenv("SLURM_NODEID");
    *out = cli_has(c, OPT_MACHINE_RANK) ? (long)rank : -1;
    if (*out < 0 && slurm && slurm[0] && strspn(slurm, "0123456789") == strlen(slurm) &&
        strlen(slurm) < NUMBER_DIGITS && cfg_json_get_num(accelerate, "num_machines", 1) > 1)
        *out = atol(slurm);
    return rc;
}

static int write_file(struct run_launch *l, const struct accelerate_launch *launch, struct cfg_error *err)
{
    const char *tmp = getenv("TMPDIR");
    struct cfg_buf text;
    char *folder = NULL;
    if (asprintf(&folder, "%s/cfgctl-run.XXXXXX", tmp && tmp[0] ? tmp : "/tmp") < 0)
        return cli_no_memory(err);
    if (mkdtemp(folder) == NULL) {
        int rc = cfg_fail(err, CFG_E_IO, "cannot make %s: %s", folder, strerrordesc_np(errno));
        free(folder);
        return rc;
    }
    l->folder = folder;
    if (asprintf(&l->file, "%s/launch.yaml", folder) < 0) {
        l->file = NULL;
        return cli_no_memory(err);
    }
    cfg_buf_init(&text, FILE_MAX);
    int rc = accelerate_print(&text, launch);
    rc = rc == 0 ? file_replace(l->file, cfg_buf_slice(&text), 0600, err) : cli_no_memory(err);
    cfg_buf_finish(&text);
    return rc;
}

static int make_file(struct run_launch *l, const struct cli *c, const cJSON *document, struct accelerate_launch *launch,
                     struct cfg_error *err)
{
    cJSON *notes = cJSON_CreateArray(), *violations = cJSON_CreateArray();
    const cJSON *accelerate = NULL;
    long rank = -1;
    int rc = notes && violations ? accelerate_of(&accelerate, document, c->args[0], err) : cli_no_memory(err);
    if (rc == 0)
        rc = machine_rank(c, accelerate, &rank, err);
    if (rc == 0)
        rc = accelerate_make(launch, accelerate, rank, ACCELERATE_DROP, notes, violations, err);
    if (rc == 0)
        rc = write_file(l, launch, err);
    notes_print(notes);
    violations_print(violations);
    cJSON_Delete(notes);
    cJSON_Delete(violations);
    return rc;
}

/* --- the environment --- */

static int set(cJSON *variables, const char *name, const char *value, struct cfg_error *err)
{
    if (value == NULL)
        return 0;
    return cfg_json_set(variables, name, cJSON_CreateString(value)) == 0 ? 0 : cli_no_memory(err);
}

/* What the worker library reads, so that a program that links it follows on. Several processes name themselves. */
static int add_own(cJSON *variables, const struct cli *c, int argc, const char *const *argv, struct cfg_error *err)
{
    char host[65];
    const char *server = cli_value(c, OPT_SERVER), *inherited = getenv("CONFIGD_SERVER");
    if (server == NULL && (inherited == NULL || inherited[0] == '\0'))
        server = "http://127.0.0.1:7117";
    int rc = set(variables, "CONFIGD_SERVER", server, err);
    if (rc == 0)
        rc = set(variables, "CONFIGD_TOKEN", cli_value(c, OPT_TOKEN), err);
    if (rc == 0)
        rc = set(variables, "CONFIGD_CA_FILE", cli_value(c, OPT_CA), err);
    if (rc == 0)
        rc = set(variables, "CONFIGD_DEPLOYMENT", c->args[0], err);
    if (rc == 0 && getenv("CONFIGD_WORKER") == NULL && !run_is_launcher(argc, argv) &&
        gethostname(host, sizeof host - 1) == 0) {
        host[sizeof host - 1] = '\0';
        rc = set(variables, "CONFIGD_WORKER", host, err);
    }
    return rc;
}

/* --- the schema --- */

int run_schema(struct cfg_schema **out, struct cli *c, const char *ns, struct cfg_error *err)
{
    const struct cfg_schema_options lenient = {.lenient = true};
    struct cfg_buf path;
    cJSON *reply = NULL;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/schemas/*", ns);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == CFG_E_NOT_FOUND)
        return 0;
    if (rc == 0)
        rc = cfg_schema_compile(out, cfg_json_get(reply, "schema"), &lenient, err);
    cJSON_Delete(reply);
    return rc;
}

bool run_reaches_live(const char *path, void *arg)
{
    struct cfg_schema_info info;
    (void)cfg_schema_info(&info, arg, path); /* a malformed path has no class */
    return info.apply == CFG_APPLY_LIVE || info.apply == CFG_APPLY_DRAIN || info.apply == CFG_APPLY_BARRIER;
}

/* --- all of it --- */

int run_launch_make(struct run_launch *out, struct cli *c, const char *ns, const cJSON *document, struct cfg_error *err)
{
    struct run_launch l = {.document = cJSON_Duplicate(document, true)};
    struct accelerate_launch launch = {.file = NULL};
    const char *const *argv = c->args + 1;
    int argc = c->n_args - 1;
    cJSON *variables = NULL, *resolved = NULL;
    int rc = l.document ? view_read_environment(&resolved, document, err) : cli_no_memory(err);
    if (rc == 0 && run_wants_launch_file(argc, argv))
        rc = make_file(&l, c, resolved, &launch, err);
    if (rc == 0)
        rc = run_arguments(&l.argv, argc, argv, l.file, launch.flags, err);
    if (rc == 0)
        rc = cfg_env_make(&variables, ns, resolved, err);
    if (rc == 0)
        rc = add_own(variables, c, argc, argv, err);
    if (rc == 0)
        rc = run_environment(&l.envp, environ, variables, err);
    cJSON_Delete(variables);
    cJSON_Delete(resolved);
    accelerate_launch_finish(&launch);
    if (rc != 0) {
        run_launch_finish(&l);
        return rc;
    }
    *out = l;
    return 0;
}

void run_launch_finish(struct run_launch *l)
{
    if (l->file)
        (void)unlink(l->file); /* somebody else may have cleaned up */
    if (l->folder)
        (void)rmdir(l->folder); /* as above; not removed when the program has put something in */
    cJSON_Delete(l->document);
    run_strings_free(l->argv);
    run_strings_free(l->envp);
    free(l->file);
    free(l->folder);
    *l = (struct run_launch){.document = NULL};
}
