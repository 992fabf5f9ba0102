/* rollout start, and the words that move one on; and `set --rollout`. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/fleet.h"
#include "client/cfgctl/rollout_request.h"
#include "client/cfgctl/rollout_started.h"
#include "client/cfgctl/rollout_text.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_ROOM = 256, OUT_ROOM = 1 << 24, PAGE = 200 };

/* Consumes value; NULL counts as failed memory. */
static int set(cJSON *object, const char *key, cJSON *value, struct cfg_error *err)
{
    return cfg_json_set(object, key, value) == 0 ? 0 : cli_no_memory(err);
}

/* --- start --- */

/* --to 43, --to base=8, --to NS/FLAG=7; a bare number is of the deployment's own namespace. */
static int add_target(cJSON *body, struct cli *c, const char *deployment, struct cfg_error *err)
{
    cJSON *release = NULL, *flags = NULL, *d = NULL;
    char path[PATH_ROOM];
    int rc = 0;
    for (size_t i = 0; i < c->n_given && rc == 0; i++) {
        const char *value = c->given[i].value, *eq = strchr(value, '=');
        char *end, name[PATH_ROOM];
        if (c->given[i].id != OPT_TO)
            continue;
        double version = strtod(eq ? eq + 1 : value, &end);
        if (*end != '\0' || !(version >= 1) || (eq && (eq == value || eq - value >= (int)sizeof name)))
            return cfg_fail(err, CFG_E_INVALID, "--to %.60s: a version, NAMESPACE=VERSION or NS/FLAG=VERSION", value);
        if (eq == NULL && d == NULL) {
            (void)snprintf(path, sizeof path, "/v1/deployments/%s", deployment);
            rc = cli_get(c, path, &d, err);
        }
        (void)snprintf(name, sizeof name, "%.*s", eq ? (int)(eq - value) : PATH_ROOM - 1,
                       eq ? value : cfg_json_get_str(d, "config", ""));
        cJSON **map = strchr(name, '/') ? &flags : &release;
        if (rc == 0 && *map == NULL)
            *map = cJSON_AddObjectToObject(body, map == &flags ? "flags" : "release");
        if (rc == 0 && cfg_json_get(*map, name))
            rc = cfg_fail(err, CFG_E_INVALID, "--to names %s twice", name);
        if (rc == 0 && !cJSON_AddNumberToObject(*map, name, version))
            rc = cli_no_memory(err);
    }
    cJSON_Delete(d);
    return rc;
}

static void pause_for(long ms)
{
    const struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&ts, NULL); /* waking early is fine */
}

static int ended(const cJSON *rollout, struct cfg_error *err)
{
    const char *phase = cfg_json_get_str(cfg_json_get(rollout, "state"), "phase", "?");
    if (strcmp(phase, "finished") == 0)
        return 0;
    const char *reason = cfg_json_get_str(rollout, "reason", "");
    return cfg_fail(err, CFG_E_CONFLICT, "the rollout was %s%s%.200s",
                    strcmp(phase, "aborted") == 0 ? "aborted" : "rolled back", reason[0] ? ": " : "", reason);
}

/* Tells every version above `seen`, oldest first. */
static int tell_news(struct cli *c, const char *deployment, double *seen, struct cfg_error *err)
{
    cJSON *history = NULL;
    char rest[64];
    struct cfg_buf out;
    (void)snprintf(rest, sizeof rest, "/history?limit=%d", PAGE);
    int rc = fleet_fetch_rollout(c, deployment, rest, &history, err);
    const cJSON *items = cfg_json_get(history, "items");
    cfg_buf_init(&out, OUT_ROOM);
    for (int i = cJSON_GetArraySize(items); rc == 0 && i-- > 0;) {
        const cJSON *v = cJSON_GetArrayItem(items, i);
        double version = cfg_json_get_num(v, "version", 0);
        if (version <= *seen)
            continue;
        rollout_tell(&out, v);
        *seen = version;
    }
    cJSON_Delete(history);
    if (out.len > 0)
        cli_print(&out);
    else
        cfg_buf_finish(&out);
    (void)fflush(stdout); /* main looks at the outcome */
    return rc;
}

/* Until it has ended; how it ended is the command's outcome. *out: the rollout as it was seen last, the caller's, or
 * NULL. */
static int wait_for_end(cJSON **out, struct cli *c, const char *deployment, bool tell, struct cfg_error *err)
{
    uint64_t timeout_s = 0;
    cJSON *rollout = NULL;
    time_t began = time(NULL);
    int rc = cli_number(c, OPT_TIMEOUT, &timeout_s, err);
    rc = rc ? rc : fleet_fetch_rollout(c, deployment, "", &rollout, err);
    double seen = cfg_json_get_num(rollout, "run", 1) - 1;
    while (rc == 0) {
        cJSON_Delete(rollout);
        rollout = NULL;
        rc = fleet_fetch_rollout(c, deployment, "", &rollout, err);
        if (rc == 0 && tell)
            rc = tell_news(c, deployment, &seen, err);
        if (rc == 0 && rollout_is_final(rollout)) {
            rc = ended(rollout, err);
            break;
        }
        if (rc == 0 && timeout_s > 0 && time(NULL) - began > (time_t)timeout_s)
            rc = cfg_fail(err, CFG_E_TIMEOUT, "the rollout is still under way after %llu s",
                          (unsigned long long)timeout_s);
        if (rc == 0)
            pause_for(500);
    }
    *out = rollout;
    return rc;
}

/* What the deployment runs, against what is asked for, or the head. *out is NULL where nothing is known. */
static void fetch_diff(cJSON **out, struct cli *c, const char *deployment, const cJSON *plan)
{
    cJSON *d = NULL;
    char path[PATH_ROOM];
    *out = NULL;
    (void)snprintf(path, sizeof path, "/v1/deployments/%s", deployment);
    if ((cfg_json_get(plan, "flags") && cfg_json_get(plan, "release") == NULL) || cli_get(c, path, &d, NULL) != 0)
        return;
    const char *config = cfg_json_get_str(d, "config", "");
    double from = cfg_json_get_num(cfg_json_get(cfg_json_get(cfg_json_get(d, "arms"), "base"), "release"), config, 0);
    double to = cfg_json_get_num(cfg_json_get(plan, "release"), config, 0);
    int n = snprintf(path, sizeof path, "/v1/config/%s/diff?from=%.0f", config, from);
    if (to > 0)
        (void)snprintf(path + n, sizeof path - (size_t)n, "&to=%.0f", to);
    if (from < 1 || cli_get(c, path, out, NULL) != 0)
        *out = NULL;
    cJSON_Delete(d);
}

static void show_start(struct cli *c, const char *deployment, const cJSON *reply, const cJSON *plan, const cJSON *diff)
{
    struct cfg_buf out, warnings;
    const struct rollout_started s = {deployment, reply, plan, diff, cli_has(c, OPT_NOW)};
    cfg_buf_init(&out, OUT_ROOM);
    cfg_buf_init(&warnings, OUT_ROOM);
    rollout_put_started(&out, &warnings, &s);
    cli_print(&out);
    (void)fflush(stdout); /* main looks at the outcome */
    if (warnings.len > 0)
        (void)fputs(warnings.data, stderr);
    cfg_buf_finish(&warnings);
}

/* A write whose --wait is about the rollout, not about workers taking over a view. With -o json its end joins the reply
 * as its member "wait". plan: the rollout's part of body. */
static int write_and_wait(struct cli *c, const char *path, const cJSON *body, const char *deployment, const cJSON *plan,
                          struct cfg_error *err)
{
    cJSON *reply = NULL, *diff = NULL, *last = NULL;
    bool tree = c->output == OUTPUT_JSON || c->output == OUTPUT_YAML;
    if (!tree)
        fetch_diff(&diff, c, deployment, plan); /* before: afterwards the head is another */
    int rc = cli_send(&reply, c, "POST", path, body, NULL, cli_value(c, OPT_MESSAGE), err);
    if (rc == 0 && !tree)
        show_start(c, deployment, reply, plan, diff);
    if (rc == 0 && cli_has(c, OPT_WAIT) && !cli_has(c, OPT_DRY_RUN))
        rc = wait_for_end(&last, c, deployment, !tree, err);
    if (!tree)
        cJSON_Delete(last);
    else if (last && cfg_json_set(reply, "wait", last) != 0)
        rc = cli_no_memory(err);
    if (reply && tree)
        (void)cli_show_tree(c, reply);
    cJSON_Delete(reply);
    cJSON_Delete(diff);
    return rc;
}

int cmd_rollout_start(struct cli *c, struct cfg_error *err)
{
    const char *deployment = c->args[0];
    cJSON *body = cJSON_CreateObject();
    int rc = cfg_check_name("deployment", cfg_slice_str(deployment), err);
    if (rc == 0 && !cJSON_AddStringToObject(body, "deployment", deployment))
        rc = cli_no_memory(err);
    rc = rc ? rc : add_target(body, c, deployment, err);
    rc = rc ? rc : rollout_fill_plan(body, c, NULL, err);
    rc = rc ? rc : write_and_wait(c, "/v1/rollouts", body, deployment, body, err);
    cJSON_Delete(body);
    return rc;
}

/* --- set --rollout --- */

/* The one deployment that runs the namespace, where none is named. out is the caller's. */
static int find_deployment(char out[64], struct cli *c, const cJSON *changes, struct cfg_error *err)
{
    const char *named = cli_value(c, OPT_DEPLOYMENT), *ns = cfg_json_get_str(changes->child, "namespace", "");
    cJSON *list = NULL;
    const cJSON *d, *flag;
    size_t n = 0;
    if (named) {
        (void)snprintf(out, 64, "%.63s", named);
        return cfg_check_name("deployment", cfg_slice_str(named), err);
    }
    int rc = cli_get(c, "/v1/deployments", &list, err);
    cJSON_ArrayForEach(d, cfg_json_get(list, "items"))
    {
        bool runs = strcmp(cfg_json_get_str(d, "config", ""), ns) == 0;
        cJSON_ArrayForEach(flag, cfg_json_get(d, "flags"))
        {
            runs = runs || (cJSON_IsString(flag) && strcmp(flag->valuestring, ns) == 0);
        }
        if (runs && n++ == 0)
            (void)snprintf(out, 64, "%.63s", cfg_json_get_str(d, "name", ""));
    }
    cJSON_Delete(list);
    if (rc == 0 && n != 1) {
        rc = cfg_fail(err, CFG_E_INVALID, n == 0 ? "no deployment runs %s" : "several deployments run %s", ns);
        cfg_error_set_hint(err, n == 0 ? "without --rollout it is only stored" : "name one: --deployment NAME");
    }
    return rc;
}

/* Flags are stepped by version: those that the line switches are named. */
static int name_flags(cJSON *plan, struct cli *c, const cJSON *changes, struct cfg_error *err)
{
    const cJSON *entry, *item;
    cJSON *flags = NULL;
    int rc = 0;
    cJSON_ArrayForEach(entry, changes)
    {
        cJSON_ArrayForEach(item, cfg_json_get(entry, "set"))
        {
            char path[1024], name[512];
            cJSON *flag = NULL;
            if (rc != 0 || cfg_json_get(item, "on_off") == NULL)
                continue;
            (void)snprintf(name, sizeof name, "%s/%s", cfg_json_get_str(entry, "namespace", ""),
                           cfg_json_get_str(item, "name", ""));
            (void)snprintf(path, sizeof path, "/v1/flags/%s", name);
            if (cli_get(c, path, &flag, NULL) == 0) { /* else it is a parameter */
                flags = flags ? flags : cJSON_AddArrayToObject(plan, "flags");
                rc = cJSON_AddItemToArray(flags, cJSON_CreateString(name)) ? 0 : cli_no_memory(err);
            }
            cJSON_Delete(flag);
        }
    }
    return rc;
}

int rollout_set(struct cli *c, cJSON *changes, struct cfg_error *err)
{
    char deployment[64], object[96];
    cJSON *plan = cJSON_CreateObject(), *entry = cJSON_CreateObject();
    int rc = plan && entry ? find_deployment(deployment, c, changes, err) : cli_no_memory(err);
    rc = rc ? rc : rollout_fill_plan(plan, c, cli_value(c, OPT_ROLLOUT), err);
    rc = rc ? rc : name_flags(plan, c, changes, err);
    if (rc == 0) {
        (void)snprintf(object, sizeof object, "rollout/%s", deployment);
        rc = set(entry, "object", cJSON_CreateString(object), err);
    }
    if (rc == 0) {
        cJSON *owned = plan;
        plan = NULL;
        rc = set(entry, "put", owned, err);
    }
    if (rc == 0) {
        (void)cJSON_AddItemToArray(changes, entry); /* both are there: cannot fail */
        entry = NULL;
        rc = write_and_wait(c, "/v1/changes", changes, deployment, cfg_json_get(changes->child->prev, "put"), err);
    }
    cJSON_Delete(plan);
    cJSON_Delete(entry);
    return rc;
}

/* --- words --- */

static int say(struct cli *c, const char *word, struct cfg_error *err)
{
    char path[PATH_ROOM];
    const char *why = cli_value(c, OPT_MESSAGE);
    cJSON *body = cJSON_CreateObject(), *reply = NULL, *rollout = NULL;
    int rc = cfg_check_name("deployment", cfg_slice_str(c->args[0]), err);
    if (rc == 0 && why && !cJSON_AddStringToObject(body, "why", why))
        rc = cli_no_memory(err);
    (void)snprintf(path, sizeof path, "/v1/rollouts/%s/%s", c->args[0], word);
    rc = rc ? rc : cli_call(c, "POST", path, body, NULL, &reply, err);
    if (rc == 0 && !cli_show_tree(c, reply))
        rc = fleet_fetch_rollout(c, c->args[0], "", &rollout, err);
    if (rollout)
        (void)printf("%s: %s\n", c->args[0], cfg_json_get_str(cfg_json_get(rollout, "state"), "phase", "?"));
    cJSON_Delete(body);
    cJSON_Delete(reply);
    cJSON_Delete(rollout);
    return rc;
}

int cmd_rollout_word(struct cli *c, struct cfg_error *err)
{
    const char *word = strchr(c->command->name, ' ') + 1;
    if (strcmp(word, "advance") == 0 && cli_value(c, OPT_MESSAGE) == NULL) {
        (void)cfg_fail(err, CFG_E_INVALID, "going on whatever the guards know needs a reason");
        cfg_error_set_hint(err, "cfgctl rollout advance %s -m 'the old one leaks memory'", c->args[0]);
        return CFG_E_INVALID;
    }
    return say(c, word, err);
}
