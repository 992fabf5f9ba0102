/* resolve: files merged as layers and resolved, offline. This is the reader, so ${oc.env:…} reads the environment. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/table.h"
#include "client/cfgctl/view.h"
#include "proto/layers.h"
#include "proto/override.h"
#include "proto/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stack {
    struct cfg_layer *layers;
    cJSON **documents; /* owned, as many */
    size_t n;
};

/* --- reading --- */

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s), m = strlen(ending);
    return n >= m && strcmp(s + n - m, ending) == 0;
}

static void print_warnings(const char *file, const cJSON *warnings)
{
    const cJSON *w;
    cJSON_ArrayForEach(w, warnings)
    {
        fprintf(stderr, "warning: %s: %s\n", file, cfg_json_get_str(w, "message", ""));
    }
}

/* JSON by its name, everything else as YAML, of which JSON is a part. An empty file is an empty layer. */
static int read_document(cJSON **out, const char *file, struct cfg_error *err)
{
    struct cfg_buf text;
    cJSON *warnings = cJSON_CreateArray();
    cfg_buf_init(&text, CFG_LIMIT_BODY);
    int rc = warnings ? read_file(&text, file, err) : cli_no_memory(err);
    if (rc == 0 && ends_with(file, ".json"))
        rc = cfg_json_parse(out, cfg_buf_slice(&text), 0, err);
    else if (rc == 0)
        rc = cfg_yaml_parse(out, cfg_buf_slice(&text), NULL, warnings, err);
    if (rc != 0 && rc != CFG_E_NOMEM)
        (void)cfg_error_wrap(err, "%s", strcmp(file, "-") == 0 ? "standard input" : file);
    else
        print_warnings(file, warnings);
    cJSON_Delete(warnings);
    cfg_buf_finish(&text);
    if (rc == 0 && cJSON_IsNull(*out)) {
        cJSON_Delete(*out);
        *out = cJSON_CreateObject();
        rc = *out ? 0 : cli_no_memory(err);
    }
    return rc;
}

static void push(struct stack *s, const char *name, cJSON *document)
{
    s->documents[s->n] = document;
    s->layers[s->n++] = (struct cfg_layer){name, document};
}

static int read_stack(const struct cli *c, struct stack *s, struct cfg_error *err)
{
    size_t most = (size_t)c->n_args + 1;
    s->layers = calloc(most, sizeof *s->layers);
    s->documents = calloc(most, sizeof(cJSON *));
    if (s->layers == NULL || s->documents == NULL)
        return cli_no_memory(err);
    for (int i = 0; i < c->n_args; i++) {
        cJSON *document = NULL;
        int rc = read_document(&document, c->args[i], err);
        if (rc != 0)
            return rc;
        push(s, c->args[i], document);
    }
    return 0;
}

static void finish_stack(struct stack *s)
{
    for (size_t i = 0; i < s->n; i++)
        cJSON_Delete(s->documents[i]);
    free(s->documents);
    free(s->layers);
}

/* --- --set --- */

/* What the files say at a path so far; NULL when nothing. Borrowed from *merged, which is made anew. */
static int look(cJSON **merged, const cJSON **present, const struct stack *s, const char *path, struct cfg_error *err)
{
    struct cfg_layers *l = NULL;
    cJSON_Delete(*merged);
    *merged = NULL;
    int rc = cfg_layers_merge(&l, s->layers, s->n, NULL, err);
    if (rc == 0)
        rc = cfg_layers_document(merged, l, err);
    cfg_layers_free(l);
    *present = rc == 0 ? cfg_path_get(*merged, path) : NULL;
    return rc;
}

static int remove_everywhere(const struct stack *s, const char *path, struct cfg_error *err)
{
    for (size_t i = 0; i < s->n; i++) {
        int rc = cfg_path_get(s->documents[i], path) ? cfg_path_remove(s->documents[i], path, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int apply(const struct stack *s, const struct cfg_override *o, struct cfg_error *err)
{
    cJSON *merged = NULL;
    const cJSON *present = NULL;
    const char *path = o->address.name;
    int rc = o->mode == CFG_OVERRIDE_ADD || o->mode == CFG_OVERRIDE_DELETE ? look(&merged, &present, s, path, err) : 0;
    if (rc == 0 && o->mode == CFG_OVERRIDE_ADD && present)
        rc = cfg_fail(err, CFG_E_EXISTS, "%s exists already; ++%s=… sets it either way", path, path);
    else if (rc == 0 && o->mode == CFG_OVERRIDE_DELETE && !present)
        rc = cfg_fail(err, CFG_E_UNKNOWN_KEY, "%s does not exist", path);
    else if (rc == 0 && o->mode == CFG_OVERRIDE_DELETE && o->value && !cfg_json_equal(present, o->value))
        rc = cfg_fail(err, CFG_E_PRECONDITION, "%s has another value", path);
    cJSON_Delete(merged);
    if (rc != 0 || o->mode == CFG_OVERRIDE_DELETE)
        return rc != 0 ? rc : remove_everywhere(s, path, err);
    cJSON *value = cJSON_Duplicate(o->value, true);
    return value ? cfg_path_set(s->documents[s->n - 1], path, value, err) : cli_no_memory(err);
}

/* The words become one more layer; what they delete goes from all of them. */
static int apply_words(const struct cli *c, struct stack *s, struct cfg_error *err)
{
    cJSON *words = cJSON_CreateObject();
    if (words == NULL)
        return cli_no_memory(err);
    push(s, "--set", words);
    for (size_t i = 0; i < c->n_given; i++) {
        struct cfg_override o = {.on_off = -1};
        if (c->given[i].id != OPT_SET)
            continue;
        int rc = cfg_override_parse_word(&o, "", cfg_slice_str(c->given[i].value), err);
        if (rc == 0)
            rc = apply(s, &o, err);
        cfg_override_finish(&o);
        if (rc != 0) {
            (void)cfg_error_wrap(err, "--set %.80s", c->given[i].value); /* the code is known already */
            return rc;
        }
    }
    return 0;
}

/* --- showing --- */

struct explanation {
    struct cfg_layers *l;
    cJSON *all; /* an array, as cfg_layers_explain answers */
    int rc;
    struct cfg_error *err;
};

static bool explain_leaf(const char *path, size_t layer, void *arg)
{
    struct explanation *e = arg;
    cJSON *one = NULL;
    (void)layer;
    e->rc = cfg_layers_explain(&one, e->l, path, e->err);
    if (e->rc == 0 && !cJSON_AddItemToArray(e->all, one))
        e->rc = cli_no_memory(e->err);
    return e->rc == 0;
}

static void explain_table(const struct cli *c, const cJSON *all, const struct stack *s)
{
    struct table t;
    struct cfg_buf out, value;
    table_init(&t, "KEY|VALUE|FROM|OVER");
    cfg_buf_init(&out, (size_t)1 << 26);
    cfg_buf_init(&value, (size_t)1 << 22);
    const cJSON *one, *set;
    cJSON_ArrayForEach(one, all)
    {
        size_t from = (size_t)cfg_json_get_num(one, "layer", 0);
        table_add(&t, cfg_json_get_str(one, "path", ""));
        cfg_buf_clear(&value);
        cli_put_value(&value, cfg_json_get(one, cfg_json_get(one, "resolved") ? "resolved" : "value"));
        table_add(&t, value.len ? value.data : "");
        table_add(&t, s->layers[from].name);
        cfg_buf_clear(&value);
        cJSON_ArrayForEach(set, cfg_json_get(one, "set"))
        {
            if ((size_t)cfg_json_get_num(set, "layer", 0) == from)
                continue;
            cfg_buf_printf(&value, "%s%s: ", value.len ? ", " : "", cfg_json_get_str(set, "name", ""));
            cli_put_value(&value, cfg_json_get(set, "value"));
        }
        table_add(&t, value.len ? value.data : "-");
    }
    cli_put_table(&out, c, &t);
    cli_print(&out);
    cfg_buf_finish(&value);
    table_finish(&t);
}

static int explain(const struct cli *c, struct cfg_layers *l, const struct stack *s, struct cfg_error *err)
{
    struct explanation e = {.l = l, .all = cJSON_CreateArray(), .err = err};
    int rc = e.all ? cfg_layers_each_leaf(l, explain_leaf, &e, err) : cli_no_memory(err);
    if (rc == 0)
        rc = e.rc;
    if (rc == 0 && !cli_show_tree(c, e.all))
        explain_table(c, e.all, s);
    cJSON_Delete(e.all);
    return rc;
}

static int warn_missing(struct cfg_layers *l, struct cfg_error *err)
{
    cJSON *paths = cJSON_CreateArray();
    int rc = paths ? cfg_layers_missing(paths, l, err) : cli_no_memory(err);
    const cJSON *path;
    cJSON_ArrayForEach(path, paths)
    {
        fprintf(stderr, "warning: %s is missing: no layer sets its \?\?\?\n", path->valuestring);
    }
    cJSON_Delete(paths);
    return rc;
}

static int show(const struct cli *c, struct cfg_layers *l, struct cfg_error *err)
{
    cJSON *document = NULL;
    int rc =
        cli_has(c, OPT_NO_RESOLVE) ? cfg_layers_document(&document, l, err) : cfg_layers_resolve(&document, l, err);
    if (rc != 0)
        return rc;
    if (!cli_show_tree(c, document)) {
        struct cfg_buf out;
        cfg_buf_init(&out, (size_t)1 << 26);
        cfg_json_print_pretty(&out, document);
        cfg_buf_putc(&out, '\n');
        cli_print(&out);
    }
    cJSON_Delete(document);
    return warn_missing(l, err);
}

int cmd_resolve(struct cli *c, struct cfg_error *err)
{
    struct stack s = {NULL, NULL, 0};
    struct cfg_layers_options options = {.env_mode = CFG_LAYERS_ENV_READ, .env = view_environment};
    struct cfg_layers *l = NULL;
    int rc = read_stack(c, &s, err);
    if (rc == 0 && cli_has(c, OPT_SET))
        rc = apply_words(c, &s, err);
    if (rc == 0)
        rc = cfg_layers_merge(&l, s.layers, s.n, &options, err);
    if (rc == 0)
        rc = cli_has(c, OPT_EXPLAIN) ? explain(c, l, &s, err) : show(c, l, err);
    cfg_layers_free(l);
    finish_stack(&s);
    return rc;
}
