/* token create: a secret, and the entry of the server's token file that knows it only by its hash. */
#include "client/cfgctl/commands.h"
#include "proto/digest.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { SECRET_BYTES = 32 };

static int check_options(const struct cli *c, struct cfg_error *err)
{
    const char *role = cli_value(c, OPT_ROLE);
    bool worker = role && strcmp(role, "worker") == 0;
    if (!cli_has(c, OPT_SUBJECT) || !role) {
        cfg_fail(err, CFG_E_INVALID, "a token needs --subject and --role");
        cfg_error_set_hint(err, "cfgctl token create --subject alice --role writer --namespaces chat,train-*");
        return CFG_E_INVALID;
    }
    if (worker != cli_has(c, OPT_DEPLOYMENT)) {
        cfg_fail(err, CFG_E_INVALID, worker ? "a worker's token is for one deployment" : "--deployment is for workers");
        cfg_error_set_hint(err, "cfgctl token create --subject blue-workers --role worker --deployment chat-blue");
        return CFG_E_INVALID;
    }
    if (worker && cli_has(c, OPT_NAMESPACES))
        return cfg_fail(err, CFG_E_INVALID, "a worker's token names a deployment, not namespaces");
    return worker ? cfg_check_name("deployment", cfg_slice_str(cli_value(c, OPT_DEPLOYMENT)), err) : 0;
}

static int make_secret(char out[2 * SECRET_BYTES + 1], struct cfg_error *err)
{
    unsigned char bytes[SECRET_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return cfg_fail(err, CFG_E_IO, "the kernel gives no random bytes");
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", (unsigned)bytes[i]);
    return 0;
}

static cJSON *make_entry(const struct cli *c, const char *hash)
{
    cJSON *entry = cJSON_CreateObject(), *all = NULL;
    bool ok = entry && cJSON_AddStringToObject(entry, "subject", cli_value(c, OPT_SUBJECT)) &&
              cJSON_AddStringToObject(entry, "sha256", hash) &&
              cJSON_AddStringToObject(entry, "role", cli_value(c, OPT_ROLE));
    if (ok && cli_has(c, OPT_DEPLOYMENT)) {
        ok = cJSON_AddStringToObject(entry, "deployment", cli_value(c, OPT_DEPLOYMENT)) != NULL;
    } else if (ok) {
        all = cli_items(c, OPT_NAMESPACES);
        if (all && all->child == NULL)
            (void)cJSON_AddItemToArray(all, cJSON_CreateString("*")); /* without memory: no namespace, which is safe */
        ok = all && cJSON_AddItemToObject(entry, "namespaces", all);
    }
    if (ok)
        return entry;
    cJSON_Delete(entry);
    return NULL;
}

static const char explanation[] =
    "The first line is the token: it is shown only now. The second belongs into \"tokens\" of the file\n"
    "that configd was given with --tokens; then send configd a SIGHUP.\n";

/* The token and its entry: two lines, or one tree. Consumes entry. */
static int show_token(const struct cli *c, const char *secret, cJSON *entry, struct cfg_error *err)
{
    struct cfg_buf line;
    cfg_buf_init(&line, (size_t)1 << 20);
    cfg_json_print(&line, entry);
    cJSON *tree = cJSON_CreateObject();
    bool ok = tree && cJSON_AddStringToObject(tree, "token", secret);
    if (ok && cJSON_AddItemToObject(tree, "entry", entry))
        entry = NULL;
    ok &= entry == NULL && cfg_buf_status(&line) == 0;
    if (ok && !cli_show_tree(c, tree)) {
        (void)printf("%s\n%s\n", secret, line.data);
        (void)fputs(explanation, stderr);
    }
    cfg_buf_finish(&line);
    cJSON_Delete(entry);
    cJSON_Delete(tree);
    return ok ? 0 : cli_no_memory(err);
}

int cmd_token_create(struct cli *c, struct cfg_error *err)
{
    char secret[2 * SECRET_BYTES + 1], digest[CFG_DIGEST_TEXT];
    int rc = check_options(c, err);
    if (rc == 0)
        rc = make_secret(secret, err);
    if (rc != 0)
        return rc;
    cJSON *entry = NULL;
    if (cfg_digest_bytes(digest, cfg_slice_str(secret)) == 0)
        entry = make_entry(c, strchr(digest, ':') + 1);
    return entry ? show_token(c, secret, entry, err) : cli_no_memory(err);
}
