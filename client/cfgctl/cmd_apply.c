/* apply: files in git, reconciled with what is served. plan -f DIR shows the same and stops there. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/confirm.h"
#include "client/cfgctl/gitops.h"
#include "client/cfgctl/plan.h"
#include "client/cfgctl/progress.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 1 << 26, ENTRY_OVERHEAD = 256 };

struct job {
    struct cli *c;
    struct gitops g;
    cJSON *parts; /* owned: one change each */
    bool plan;    /* for its own sake: what cannot be written is said, not refused */
};

static bool wants_tree(const struct job *j)
{
    return j->c->output == OUTPUT_JSON || j->c->output == OUTPUT_YAML;
}

/* --- reading --- */

static void print_lines(const cJSON *lines, const char *lead)
{
    const cJSON *line;
    cJSON_ArrayForEach(line, lines)
    {
        struct cfg_buf text;
        cfg_buf_init(&text, 1 << 16);
        cfg_buf_puts(&text, lead);
        cli_put_text(&text, line->valuestring);
        if (text.data)
            (void)fprintf(stderr, "%s\n", text.data);
        cfg_buf_finish(&text);
    }
}

static int read_files(struct job *j, struct cfg_error *err)
{
    cJSON *warnings = cJSON_CreateArray(), *errors = cJSON_CreateArray();
    const char *dir = cli_value(j->c, OPT_FILE), *source = cli_value(j->c, OPT_SOURCE);
    int rc = warnings && errors ? gitops_read(&j->g, dir, warnings, errors, err) : cli_no_memory(err);
    int bad = cJSON_GetArraySize(errors);
    print_lines(warnings, "warning: ");
    print_lines(errors, "cfgctl: ");
    if (bad > 0) {
        rc = cfg_fail(err, CFG_E_VALUE, "%d file%s of %s cannot be taken; nothing was written", bad,
                      bad == 1 ? "" : "s", dir);
    } else if (rc == 0 && j->g.n_files == 0) { /* with --prune that would be the end of everything */
        rc = cfg_fail(err, CFG_E_INVALID, "%s holds no namespace", dir);
        cfg_error_set_hint(err, "-f DIR holds chat.yaml, chat.flags.yaml, …; `cfgctl export -f DIR` writes them");
    }
    if (rc == 0 && source && (rc = gitops_check_source(source, err)) == 0)
        (void)snprintf(j->g.source, sizeof j->g.source, "%s", source);
    cJSON_Delete(warnings);
    cJSON_Delete(errors);
    return rc;
}

/* --- the plan --- */

/* Names the file of the one object that a refusal speaks of, where that is plain. */
static int name_file(const struct job *j, struct cfg_error *err)
{
    const char *file = NULL;
    for (size_t i = 0; i < j->g.n; i++) {
        const struct gitops_object *o = &j->g.objects[i];
        char label[GITOPS_OBJECT_ROOM];
        (void)snprintf(label, sizeof label, "%s%s%s", o->ns, o->name[0] ? "/" : "", o->name);
        const char *at = reconcile_writes(o->action) && o->file ? strstr(err->text, label) : NULL;
        bool whole = at && strchr(" :,;\"'", at[strlen(label)]) && (at == err->text || strchr(" \"'", at[-1]));
        if (whole && (file == NULL || o->kind == GITOPS_FLAG))
            file = o->file;
    }
    return file ? cfg_error_wrap(err, "%s", file) : err->code;
}

/* Takes one part's plan into the whole. */
static int join(cJSON *whole, cJSON *part, struct cfg_error *err)
{
    cJSON *results = cfg_json_get(whole, "results"), *theirs = cfg_json_get(part, "results");
    while (theirs && theirs->child)
        if (!cJSON_AddItemToArray(results, cJSON_DetachItemViaPointer(theirs, theirs->child)))
            return cli_no_memory(err);
    return 0;
}

/* A part that stands on what an earlier one makes cannot be planned before that is there: it is judged when written. */
static bool is_early(const struct job *j, const cJSON *part, int rc)
{
    bool stands = rc == CFG_E_NOT_FOUND || rc == CFG_E_UNKNOWN_KEY || rc == CFG_E_VALUE || rc == CFG_E_IN_USE;
    return part != j->parts->child && stands;
}

static int make_plan(struct job *j, cJSON **out, struct cfg_error *err)
{
    struct progress p;
    const cJSON *part;
    cJSON *whole = cJSON_CreateObject();
    int rc = whole && cJSON_AddArrayToObject(whole, "results") ? 0 : cli_no_memory(err);
    progress_start(&p, "planning", (size_t)cJSON_GetArraySize(j->parts));
    cJSON_ArrayForEach(part, j->parts)
    {
        cJSON *reply = NULL;
        rc = rc == 0 ? plan_ask(j->c, part, &reply, err) : rc;
        if (rc == 0)
            rc = join(whole, reply, err);
        else if (is_early(j, part, rc)) {
            (void)fprintf(stderr, "warning: not planned, it stands on what is not written yet: %s\n", err->text);
            rc = 0;
        }
        cJSON_Delete(reply);
        progress_step(&p);
    }
    progress_end(&p);
    if (rc == 0)
        *out = whole;
    else
        cJSON_Delete(whole);
    return rc == 0 || rc == CFG_E_NOMEM ? rc : name_file(j, err);
}

static int show_words(const struct job *j, bool to_stderr, struct cfg_error *err)
{
    struct cfg_buf out;
    cfg_buf_init(&out, TEXT_MAX);
    gitops_describe(&out, &j->g, j->c->color && !to_stderr);
    int rc = cfg_buf_status(&out) == 0 ? 0 : cli_no_memory(err);
    if (rc == 0)
        (void)fwrite(out.data, 1, out.len, to_stderr ? stderr : stdout); /* main looks at the outcome */
    (void)fflush(stdout);
    cfg_buf_finish(&out);
    return rc;
}

/* plan is given what it says of the files. */
static int add_objects(const struct job *j, cJSON *plan, struct cfg_error *err)
{
    bool good = cJSON_AddStringToObject(plan, "source", j->g.source) != NULL;
    good = cfg_json_set(plan, "objects", gitops_tree(&j->g)) == 0 && good;
    good = cfg_json_set(plan, "conflicts", cJSON_CreateNumber((double)gitops_conflicts(&j->g))) == 0 && good;
    return good ? 0 : cli_no_memory(err);
}

/* Everything there is to say before something is written. */
static int show(const struct job *j, cJSON *plan, bool writes, struct cfg_error *err)
{
    int rc = add_objects(j, plan, err);
    if (rc == 0 && (!wants_tree(j) || writes))
        rc = show_words(j, wants_tree(j), err);
    return rc == 0 ? plan_show(j->c, plan, true, writes, err) : rc;
}

static int refuse_conflicts(const struct job *j, struct cfg_error *err)
{
    size_t n = gitops_conflicts(&j->g);
    if (n == 0)
        return 0;
    (void)cfg_fail(err, CFG_E_CONFLICT, "%zu object%s not what the files left; nothing was written", n,
                   n == 1 ? " is" : "s are");
    cfg_error_set_hint(err, "`cfgctl export -f %.60s NS` takes that into the files, --take overwrites it",
                       cli_value(j->c, OPT_FILE));
    return CFG_E_CONFLICT;
}

/* --- writing --- */

static int cut(struct job *j, struct cfg_error *err)
{
    int rc = gitops_entries(&j->parts, &j->g, CFG_LIMIT_CHANGE_OBJECTS, CFG_LIMIT_CHANGE_BYTES - ENTRY_OVERHEAD, err);
    int n = rc == 0 ? cJSON_GetArraySize(j->parts) : 0;
    if (rc != 0 || n <= 1 || cli_has(j->c, OPT_NON_ATOMIC))
        return rc;
    if (j->plan) {
        (void)fprintf(stderr, "warning: this needs %d transactions: apply wants --non-atomic\n", n);
        return 0;
    }
    (void)cfg_fail(err, CFG_E_LIMIT,
                   "this needs %d transactions: one takes %d objects (fewer where bases change) and %d KiB", n,
                   CFG_LIMIT_CHANGE_OBJECTS, CFG_LIMIT_CHANGE_BYTES / 1024);
    cfg_error_set_hint(err, "--non-atomic writes one after the other; readers may see some before others");
    return CFG_E_LIMIT;
}

static int put_message(struct cfg_buf *out, const struct job *j, struct cfg_error *err)
{
    const char *why = cli_value(j->c, OPT_MESSAGE);
    cfg_buf_init(out, CFG_LIMIT_MESSAGE);
    cfg_buf_printf(out, "%s%s[apply %s]", why ? why : "", why ? " " : "", j->g.source);
    return cfg_buf_status(out) == 0 ? 0 : cfg_fail(err, CFG_E_LIMIT, "the message is longer than 4 KiB");
}

static int write_parts(struct job *j, struct cfg_error *err)
{
    struct cfg_buf message;
    const cJSON *part;
    int done = 0, rc = put_message(&message, j, err);
    cJSON_ArrayForEach(part, j->parts)
    {
        rc = rc == 0 ? cli_write_saying(j->c, "POST", "/v1/changes", part, NULL, message.data, err) : rc;
        done += rc == 0;
    }
    cfg_buf_finish(&message);
    if (rc == CFG_E_PRECONDITION) {
        (void)cfg_error_wrap(err, "somebody wrote since the plan was made"); /* the code stays */
        cfg_error_set_hint(err, "%s; the same command makes a new plan on what is there now",
                           done > 0 ? "the parts above are written" : "nothing was written");
    } else if (rc != 0 && done > 0) {
        (void)cfg_error_wrap(err, "%d of %d transactions are written", done, cJSON_GetArraySize(j->parts));
    }
    return rc;
}

static int confirm_apply(const struct job *j, struct cfg_error *err)
{
    char question[128];
    (void)snprintf(question, sizeof question, "apply %d transaction%s?", cJSON_GetArraySize(j->parts),
                   cJSON_GetArraySize(j->parts) == 1 ? "" : "s");
    return confirm(j->c, question, err);
}

static int reconcile(struct job *j, struct cfg_error *err)
{
    cJSON *plan = NULL;
    int rc = gitops_compare(j->c, &j->g, cli_has(j->c, OPT_PRUNE), cli_has(j->c, OPT_TAKE), err);
    if (rc == 0)
        rc = cut(j, err);
    if (rc != 0)
        return rc;
    bool conflict = gitops_conflicts(&j->g) > 0;
    bool writes = !conflict && !j->plan && !cli_has(j->c, OPT_DRY_RUN) && j->parts->child;
    if (conflict) { /* a plan of the rest alone would be of something that nobody wants */
        cJSON_Delete(j->parts);
        j->parts = cJSON_CreateArray();
    }
    rc = j->parts ? make_plan(j, &plan, err) : cli_no_memory(err);
    if (rc != 0 && (j->plan || cli_has(j->c, OPT_DRY_RUN)))
        plan_show_refusal(j->c, err);
    if (rc == 0)
        rc = show(j, plan, writes, err);
    if (rc == 0)
        rc = refuse_conflicts(j, err);
    if (rc == 0)
        rc = plan_check(plan, err);
    cJSON_Delete(plan);
    if (rc == 0 && writes)
        rc = confirm_apply(j, err);
    return rc == 0 && writes ? write_parts(j, err) : rc;
}

int apply_folder(struct cli *c, bool plan, struct cfg_error *err)
{
    struct job j = {.c = c, .plan = plan};
    int rc = read_files(&j, err);
    if (rc == 0)
        rc = reconcile(&j, err);
    gitops_finish(&j.g);
    cJSON_Delete(j.parts);
    return rc;
}

int cmd_apply(struct cli *c, struct cfg_error *err)
{
    if (cli_has(c, OPT_FILE))
        return apply_folder(c, false, err);
    (void)cfg_fail(err, CFG_E_INVALID, "apply needs the folder that the files are in");
    cfg_error_set_hint(err, "cfgctl apply -f DIR");
    return CFG_E_INVALID;
}
