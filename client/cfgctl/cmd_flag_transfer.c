/* flag import, export: flags in flagd's own format, with what configd keeps around them in a member `configd` if asked
 * to: the form of the files of `apply` and `export -f`. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/flag_load.h"
#include "client/cfgctl/gitops.h"
#include "flags/flag.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 26 };

/* --- export --- */

static void tell_losses(const char *name, const cJSON *envelope)
{
    cJSON *losses = cfg_flag_export_loss(envelope);
    const cJSON *loss;
    cJSON_ArrayForEach(loss, losses)
    {
        (void)fprintf(stderr, "warning: %s: %s\n", name, loss->valuestring);
    }
    cJSON_Delete(losses);
    /* The same answers, but no longer the same flag: somebody may mean to import the file where it came from. */
    if (!cfg_json_get_bool(envelope, "enabled", true))
        (void)fprintf(stderr, "note: %s: it is off, so the file has what it serves now, not its rules\n", name);
    else if (cfg_json_get(envelope, "group") || cfg_json_get(envelope, "holdouts"))
        (void)fprintf(stderr, "note: %s: its group and holdouts are written as rules\n", name);
}

/* Copies a member unless it is empty. */
static int copy_member(cJSON *out, const char *key, const cJSON *v, struct cfg_error *err)
{
    if (v == NULL || v->child == NULL)
        return 0;
    return cfg_json_set(out, key, cJSON_Duplicate(v, true)) == 0 ? 0 : cli_no_memory(err);
}

/* A flag with all that lies around its definition. The member `configd` is always there: it is what tells such a flag
 * from a plain one, which leaves that as it is where it is imported. */
static int export_whole(cJSON *flags, const cJSON *reply, struct cfg_error *err)
{
    cJSON *envelope = NULL, *flag = NULL;
    int rc = gitops_body(&envelope, GITOPS_FLAG, reply, err);
    if (rc == 0)
        rc = gitops_flag_write(&flag, envelope, err);
    if (rc == 0 && cfg_json_get(flag, "configd") == NULL && cJSON_AddObjectToObject(flag, "configd") == NULL)
        rc = cli_no_memory(err);
    cJSON *around = rc == 0 ? cfg_json_get(flag, "configd") : NULL;
    if (around && cfg_json_get(around, "enabled") == NULL && cJSON_AddTrueToObject(around, "enabled") == NULL)
        rc = cli_no_memory(err);
    cJSON_Delete(envelope);
    if (rc == 0)
        return cfg_json_set(flags, reply->string, flag) == 0 ? 0 : cli_no_memory(err);
    cJSON_Delete(flag);
    return rc;
}

static int export_flags(cJSON *out, const cJSON *space, bool whole, struct cfg_error *err)
{
    cJSON *flags = cJSON_AddStringToObject(out, "$schema", "https://flagd.dev/schema/v0/flags.json")
                       ? cJSON_AddObjectToObject(out, "flags")
                       : NULL;
    int rc = flags ? 0 : cli_no_memory(err);
    const cJSON *envelope;
    cJSON_ArrayForEach(envelope, cfg_json_get(space, "flags"))
    {
        if (rc == 0 && whole) {
            rc = export_whole(flags, envelope, err);
            continue;
        }
        if (rc == 0)
            rc = cfg_json_set(flags, envelope->string, cfg_flag_export(envelope)) == 0 ? 0 : cli_no_memory(err);
        tell_losses(envelope->string, envelope);
    }
    if (rc == 0)
        rc = copy_member(out, "$evaluators", cfg_json_get(space, "evaluators"), err);
    return rc == 0 ? copy_member(out, "metadata", cfg_json_get(space, "metadata"), err) : rc;
}

int cmd_flag_export(struct cli *c, struct cfg_error *err)
{
    cJSON *space = NULL, *out = NULL;
    int rc = cfg_check_name("namespace", cfg_slice_str(c->args[0]), err);
    if (rc == 0)
        rc = flag_fetch_space(c, c->args[0], &space, err);
    if (rc == 0)
        rc = (out = cJSON_CreateObject()) ? export_flags(out, space, cli_has(c, OPT_ENVELOPES), err)
                                          : cli_no_memory(err);
    if (rc == 0 && !cli_show_tree(c, out)) {
        struct cfg_buf text;
        cfg_buf_init(&text, TEXT_MAX);
        cfg_json_print_pretty(&text, out);
        cfg_buf_putc(&text, '\n');
        cli_print(&text);
    }
    cJSON_Delete(space);
    cJSON_Delete(out);
    return rc;
}

/* --- import --- */

struct import {
    struct cli *c;
    const char *ns;
    const cJSON *flags;    /* of the file */
    cJSON *space;          /* what there is */
    cJSON *changes;        /* one entry per object that changes */
    struct cfg_buf report; /* what changes, for people */
    unsigned made, changed, same, gone;
};

/* Consumes value. */
static int add_entry(struct import *im, const char *kind, const char *name, double version, const char *key,
                     cJSON *value, struct cfg_error *err)
{
    char object[CFG_LIMIT_NAME + CFG_LIMIT_PATH + 32];
    (void)snprintf(object, sizeof object, "%s/%s%s%s", kind, im->ns, name[0] ? "/" : "", name);
    cJSON *entry = cJSON_CreateObject();
    bool good =
        cJSON_AddStringToObject(entry, "object", object) && cJSON_AddNumberToObject(entry, "if_version", version);
    good = cfg_json_set(entry, key, value) == 0 && good && cJSON_AddItemToArray(im->changes, entry);
    if (good)
        return 0;
    cJSON_Delete(entry);
    return cli_no_memory(err);
}

static void report(struct import *im, char sign, const char *name, const cJSON *old, const cJSON *new)
{
    struct cfg_buf before, after;
    cfg_buf_init(&before, TEXT_MAX);
    cfg_buf_init(&after, TEXT_MAX);
    cfg_buf_printf(&im->report, "%c %s/%s\n", sign, im->ns, name);
    if (old && new) {
        flag_describe(&before, old, false);
        flag_describe(&after, new, false);
        flag_diff(&im->report, before.data, after.data, im->c->color);
    }
    cfg_buf_finish(&before);
    cfg_buf_finish(&after);
}

/* Of a plain definition: a flag that is there keeps what lies around it, the switch, prerequisites, groups. */
static int around_definition(cJSON **old, cJSON **new, const cJSON *present, const cJSON *definition,
                             struct cfg_error *err)
{
    *old = present ? flag_envelope_of(present) : NULL;
    *new = *old ? cJSON_Duplicate(*old, true) : cJSON_CreateObject();
    if (present == NULL && cJSON_AddTrueToObject(*new, "enabled") == NULL)
        return cli_no_memory(err);
    return cfg_json_set(*new, "definition", cJSON_Duplicate(definition, true)) == 0 ? 0 : cli_no_memory(err);
}

/* What there is and what the file wants, as envelopes. Both are the caller's, also after errors. */
static int wanted_flag(cJSON **old, cJSON **new, const cJSON *present, const cJSON *flag, struct cfg_error *err)
{
    bool envelope = cJSON_IsObject(cfg_json_get(flag, "definition")) && cfg_json_get(flag, "variants") == NULL;
    if (!envelope && cfg_json_get(flag, "configd") == NULL)
        return around_definition(old, new, present, flag, err);
    int rc = present ? gitops_body(old, GITOPS_FLAG, present, err) : 0;
    if (rc != 0)
        return rc;
    return envelope ? gitops_body(new, GITOPS_FLAG, flag, err) : gitops_flag_read(new, flag, err);
}

static int import_flag(struct import *im, const cJSON *flag, struct cfg_error *err)
{
    const cJSON *present = cfg_json_get(cfg_json_get(im->space, "flags"), flag->string);
    cJSON *old = NULL, *new = NULL;
    int rc = cfg_check_flag_name(cfg_slice_str(flag->string), err);
    if (rc == 0)
        rc = wanted_flag(&old, &new, present, flag, err);
    if (rc == 0 && old && cfg_json_equal(old, new)) {
        im->same++;
    } else if (rc == 0) {
        report(im, old ? '~' : '+', flag->string, old, new);
        *(old ? &im->changed : &im->made) += 1;
        rc = add_entry(im, "flag", flag->string, cfg_json_get_num(present, "version", 0), "put", new, err);
        new = NULL;
    }
    cJSON_Delete(new);
    cJSON_Delete(old);
    return rc;
}

/* Shared rules and metadata of the file lie over those that are there; --prune makes them the only ones. */
static int import_shared(struct import *im, const cJSON *document, struct cfg_error *err)
{
    static const char *const theirs[] = {"$evaluators", "metadata"}, *const ours[] = {"evaluators", "metadata"};
    cJSON *body = cJSON_CreateObject();
    bool prune = cli_has(im->c, OPT_PRUNE), differs = false;
    int rc = body ? 0 : cli_no_memory(err);
    for (int i = 0; rc == 0 && i < 2; i++) {
        const cJSON *there = cfg_json_get(im->space, ours[i]), *m;
        cJSON *all = there && !prune ? cJSON_Duplicate(there, true) : cJSON_CreateObject();
        bool good = all != NULL;
        const cJSON *own = cfg_json_get(document, theirs[i]);
        own = own ? own : cfg_json_get(document, ours[i]); /* of GET /v1/flags/{ns}?format=envelopes */
        cJSON_ArrayForEach(m, own)
        {
            good = good && cfg_json_set(all, m->string, cJSON_Duplicate(m, true)) == 0;
        }
        differs = differs || (there ? !cfg_json_equal(there, all) : all && all->child);
        rc = cfg_json_set(body, ours[i], all) == 0 && good ? 0 : cli_no_memory(err);
    }
    if (rc != 0 || !differs) {
        cJSON_Delete(body);
        return rc;
    }
    double version = 0;
    cJSON *present = NULL;
    rc = flag_fetch_shared(im->c, im->ns, &present, err);
    version = cfg_json_get_num(present, "version", 0);
    cJSON_Delete(present);
    if (rc != 0) {
        cJSON_Delete(body);
        return rc;
    }
    cfg_buf_printf(&im->report, "%c evaluators/%s\n", version > 0 ? '~' : '+', im->ns);
    im->changed++;
    return add_entry(im, "evaluators", "", version, "put", body, err);
}

static int prune(struct import *im, struct cfg_error *err)
{
    const cJSON *flag;
    int rc = 0;
    cJSON_ArrayForEach(flag, cfg_json_get(im->space, "flags"))
    {
        if (rc != 0 || cfg_json_get(im->flags, flag->string))
            continue;
        report(im, '-', flag->string, NULL, NULL);
        im->gone++;
        rc = add_entry(im, "flag", flag->string, cfg_json_get_num(flag, "version", 0), "delete", cJSON_CreateTrue(),
                       err);
    }
    return rc;
}

/* Asks on a terminal; elsewhere --yes is needed only where flags would be deleted. */
static int confirm(const struct import *im, struct cfg_error *err)
{
    char answer[8] = "";
    if (cli_has(im->c, OPT_YES) || cli_has(im->c, OPT_DRY_RUN) || (!isatty(STDIN_FILENO) && im->gone == 0))
        return 0;
    if (!isatty(STDIN_FILENO)) {
        (void)cfg_fail(err, CFG_E_INVALID, "this would delete %u flags of %s", im->gone, im->ns);
        cfg_error_set_hint(err, "--yes if that is meant, --dry-run to see more");
        return CFG_E_INVALID;
    }
    (void)fprintf(stderr, "import into %s? [y/N] ", im->ns);
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
        return cfg_fail(err, CFG_E_CANCELED, "nothing was imported");
    return 0;
}

/* One transaction or, when that cannot hold it and --non-atomic was said, several. */
static int send(struct import *im, struct cfg_error *err)
{
    int n = cJSON_GetArraySize(im->changes), rc = 0;
    if (n > CFG_LIMIT_CHANGE_OBJECTS && !cli_has(im->c, OPT_NON_ATOMIC)) {
        (void)cfg_fail(err, CFG_E_LIMIT, "%d objects change, and one transaction takes %d", n,
                       CFG_LIMIT_CHANGE_OBJECTS);
        cfg_error_set_hint(err, "--non-atomic does it in several; readers may see some before others");
        return CFG_E_LIMIT;
    }
    while (rc == 0 && im->changes->child) {
        cJSON *part = cJSON_CreateArray();
        bool good = part != NULL;
        for (int i = 0; good && im->changes->child && i < CFG_LIMIT_CHANGE_OBJECTS; i++)
            good = cJSON_AddItemToArray(part, cJSON_DetachItemFromArray(im->changes, 0));
        rc = good ? cli_write(im->c, "POST", "/v1/changes", part, NULL, err) : cli_no_memory(err);
        cJSON_Delete(part);
    }
    return rc;
}

static int import(struct import *im, const cJSON *document, struct cfg_error *err)
{
    const cJSON *flag;
    int rc = import_shared(im, document, err);
    cJSON_ArrayForEach(flag, im->flags)
    {
        if (rc == 0 && (rc = import_flag(im, flag, err)) != 0)
            (void)cfg_error_wrap(err, "flag \"%.80s\"", flag->string);
    }
    if (rc == 0 && cli_has(im->c, OPT_PRUNE))
        rc = prune(im, err);
    if (rc != 0)
        return rc;
    bool words = im->c->output != OUTPUT_JSON && im->c->output != OUTPUT_YAML;
    cfg_buf_printf(&im->report, "%u new, %u changed, %u gone, %u as they are\n", im->made, im->changed, im->gone,
                   im->same);
    (void)fwrite(im->report.data, 1, im->report.len, words ? stdout : stderr);
    (void)fflush(stdout); /* before it is done; main looks at the outcome */
    rc = im->changes->child ? confirm(im, err) : 0;
    return rc == 0 ? send(im, err) : rc;
}

int cmd_flag_import(struct cli *c, struct cfg_error *err)
{
    struct import im = {.c = c, .ns = c->args[1]};
    cJSON *document = NULL;
    cfg_buf_init(&im.report, TEXT_MAX);
    int rc = cfg_check_name("namespace", cfg_slice_str(im.ns), err);
    if (rc == 0)
        rc = flag_read_file(&document, c->args[0], false, err);
    im.flags = cfg_json_get(document, "flags");
    if (rc == 0 && !cJSON_IsObject(im.flags)) {
        rc = cfg_fail(err, CFG_E_VALUE, "%.100s is no flagd document: it has no object \"flags\"", c->args[0]);
        cfg_error_set_hint(
            err, "{\"flags\": {\"NAME\": {\"state\": \"ENABLED\", \"variants\": {…}, \"defaultVariant\": …}}}");
    }
    if (rc == 0)
        rc = flag_fetch_space(c, im.ns, &im.space, err);
    if (rc == 0)
        rc = (im.changes = cJSON_CreateArray()) ? import(&im, document, err) : cli_no_memory(err);
    cJSON_Delete(document);
    cJSON_Delete(im.space);
    cJSON_Delete(im.changes);
    cfg_buf_finish(&im.report);
    return rc;
}
