/* validate: documents against a schema, in this process and without a server. */
#include "client/cfgctl/commands.h"
#include "proto/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 16 * 1024 * 1024 };

/* "-" is standard input. */
static int load(cJSON **out, const char *name, struct cfg_error *err)
{
    return read_tree(out, name, name, FILE_MAX, err);
}

static struct cfg_schema_options options_of(const struct cli *c)
{
    return (struct cfg_schema_options){.lenient = cli_has(c, OPT_LENIENT), .assert_formats = cli_has(c, OPT_FORMATS)};
}

/* {"valid", "violations"?, "error"?}. Returned-owned; NULL without memory. *rc is the check's result. */
static cJSON *verdict(int *rc, const struct cfg_schema *schema, const cJSON *document, struct cfg_error *err)
{
    cJSON *out = cJSON_CreateObject(), *violations = cJSON_CreateArray();
    *rc = out && violations ? cfg_schema_check(schema, document, violations, err) : CFG_E_NOMEM;
    bool good = *rc != CFG_E_NOMEM && cJSON_AddBoolToObject(out, "valid", *rc == 0) &&
                (*rc == 0 || *rc == CFG_E_SCHEMA || cJSON_AddStringToObject(out, "error", err->text)) &&
                cJSON_AddItemToObject(out, "violations", violations);
    if (good)
        return out;
    cJSON_Delete(violations);
    cJSON_Delete(out);
    return NULL;
}

static void put_line(struct cfg_buf *out, const char *before, const char *text)
{
    if (text[0] == '\0')
        return;
    cfg_buf_puts(out, before);
    cli_put_text(out, text);
    cfg_buf_putc(out, '\n');
}

static void show(const char *name, const cJSON *result)
{
    struct cfg_buf out;
    const cJSON *v;
    cfg_buf_init(&out, FILE_MAX);
    cli_put_text(&out, name);
    if (cfg_json_get_bool(result, "valid", false))
        cfg_buf_puts(&out, ": valid\n");
    else
        put_line(&out, ": ", cfg_json_get_str(result, "error", "not valid"));
    cJSON_ArrayForEach(v, cfg_json_get(result, "violations"))
    {
        const char *path = cfg_json_get_str(v, "path", "");
        bool more = strcmp(cfg_json_get_str(v, "keyword", ""), "more") == 0;
        cfg_buf_puts(&out, "  ");
        cli_put_text(&out, more ? "…" : path[0] ? path : "(the document)");
        put_line(&out, ": ", cfg_json_get_str(v, "message", ""));
        put_line(&out, "    got: ", cfg_json_get_str(v, "got", ""));
        put_line(&out, "    hint: ", cfg_json_get_str(v, "hint", ""));
    }
    cli_print(&out);
}

/* Judges one document and adds its result to `all`. */
static int validate_file(const struct cli *c, const struct cfg_schema *schema, const char *name, cJSON *all,
                         struct cfg_error *err)
{
    cJSON *document = NULL;
    int rc = load(&document, name, err);
    if (rc != 0)
        return rc;
    cJSON *result = verdict(&rc, schema, document, err);
    cJSON_Delete(document);
    if (result == NULL || cJSON_AddStringToObject(result, "file", name) == NULL || !cJSON_AddItemToArray(all, result)) {
        cJSON_Delete(result);
        return cli_no_memory(err);
    }
    if (c->output == OUTPUT_TABLE || c->output == OUTPUT_WIDE)
        show(name, result);
    return rc;
}

static int validate_files(struct cli *c, const struct cfg_schema *schema, struct cfg_error *err)
{
    cJSON *all = cJSON_CreateArray();
    int rc = all ? 0 : cli_no_memory(err), invalid = 0;
    for (int i = 0; rc == 0 && i < c->n_args; i++) {
        rc = validate_file(c, schema, c->args[i], all, err);
        if (rc == CFG_E_SCHEMA || rc == CFG_E_LIMIT) {
            invalid++;
            rc = 0;
        }
    }
    if (rc == 0)
        (void)cli_show_tree(c, all); /* tables were shown document by document */
    if (rc == 0 && invalid > 0)
        rc = cfg_fail(err, CFG_E_SCHEMA, "%d of %d documents %s not valid", invalid, c->n_args,
                      invalid == 1 ? "is" : "are");
    cJSON_Delete(all);
    return rc;
}

/* --- many pairs --- */

/* One line {"schema", "document", "format"?, "lenient"?} and its answer. False without memory. */
static bool answer(const struct cli *c, struct cfg_slice line)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_schema_options options = options_of(c);
    struct cfg_schema *schema = NULL;
    cJSON *question = NULL, *result = NULL;
    int rc = cfg_json_parse(&question, line, 0, &err);
    const cJSON *text = cfg_json_get(question, "schema"), *document = cfg_json_get(question, "document");
    if (rc == 0 && (text == NULL || document == NULL))
        rc = cfg_fail(&err, CFG_E_INVALID, "a line is {\"schema\": …, \"document\": …}");
    options.assert_formats = cfg_json_get_bool(question, "format", options.assert_formats);
    options.lenient = cfg_json_get_bool(question, "lenient", options.lenient);
    if (rc == 0)
        rc = cfg_schema_compile(&schema, text, &options, &err);
    if (rc == 0)
        result = verdict(&rc, schema, document, &err);
    else if ((result = cJSON_CreateObject()) != NULL &&
             !(cJSON_AddNullToObject(result, "valid") && cJSON_AddStringToObject(result, "error", err.text) &&
               cJSON_AddStringToObject(result, "code", cfg_code_name(rc)) &&
               cJSON_AddStringToObject(result, "path", err.path)))
        rc = CFG_E_NOMEM;
    struct cfg_buf out;
    cfg_buf_init(&out, FILE_MAX);
    if (result)
        cfg_json_print(&out, result);
    cfg_buf_putc(&out, '\n');
    bool good = result && rc != CFG_E_NOMEM && cfg_buf_status(&out) == 0 && fputs(out.data, stdout) >= 0;
    cfg_buf_finish(&out);
    cfg_schema_free(schema);
    cJSON_Delete(result);
    cJSON_Delete(question);
    return good && fflush(stdout) == 0;
}

static int validate_batch(struct cli *c, struct cfg_error *err)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    bool good = true;
    while (good && (n = getline(&line, &room, stdin)) > 0)
        good = answer(c, (struct cfg_slice){line, (size_t)n - (line[n - 1] == '\n')});
    free(line);
    return good ? 0 : cfg_fail(err, CFG_E_IO, "an answer could not be written");
}

int cmd_validate(struct cli *c, struct cfg_error *err)
{
    const char *name = cli_value(c, OPT_SCHEMA);
    bool batch = cli_has(c, OPT_BATCH);
    if (batch ? name || c->n_args : !name) {
        cfg_fail(err, CFG_E_INVALID, batch ? "--batch takes neither --schema nor documents" : "--schema is missing");
        cfg_error_set_hint(err, "cfgctl validate --schema chat.schema.json chat.json");
        return CFG_E_INVALID;
    }
    if (batch)
        return validate_batch(c, err);
    struct cfg_schema_options options = options_of(c);
    struct cfg_schema *schema = NULL;
    cJSON *tree = NULL;
    int rc = load(&tree, name, err);
    if (rc == 0) {
        rc = cfg_schema_compile(&schema, tree, &options, err);
        if (rc != 0)
            (void)cfg_error_wrap(err, "the schema %s", name);
    }
    cJSON_Delete(tree);
    if (rc == 0 && c->n_args == 0 && c->output != OUTPUT_JSON && c->output != OUTPUT_YAML)
        (void)printf("%s: a valid schema\n", name);
    else if (rc == 0)
        rc = validate_files(c, schema, err);
    cfg_schema_free(schema);
    return rc;
}
