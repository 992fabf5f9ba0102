/* flag explain: what decided, step by step. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_explain.h"
#include "client/cfgctl/flag_load.h"

#include <stdio.h>
#include <string.h>

static void show(const struct cli *c, const struct flag_loaded *l, const struct flag_answer *a, const cJSON *steps)
{
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 26);
    cli_put_text(&out, c->n_args == 1 ? c->args[0] : l->name);
    cfg_buf_puts(&out, " = ");
    if (a->variant || l->fallback)
        cli_put_value(&out, a->value);
    else
        cfg_buf_puts(&out, "the caller's default");
    cfg_buf_puts(&out, " (");
    if (a->variant) {
        cfg_buf_puts(&out, "variant ");
        cli_put_text(&out, a->variant);
        cfg_buf_puts(&out, ", ");
    }
    cfg_buf_printf(&out, "%s%s%s)\n", a->reason, a->error ? " " : "", a->error ? a->error : "");
    flag_explain_draw(&out, steps);
    cli_print(&out);
}

static int explain(const struct cli *c, const struct flag_loaded *l, struct cfg_error *err)
{
    struct flag_notes notes = {.list = NULL};
    const struct cfg_flag_explain to = {flag_notes_take, &notes};
    const struct flag_answer a = flag_loaded_ask(l, &to);
    const cJSON *evaluators = cfg_json_get(l->document, "$evaluators");
    cJSON *steps = flag_explain_steps(&notes, l->name, flag_members(l->document),
                                      evaluators ? evaluators : cfg_json_get(l->document, "evaluators"), l->context);
    cJSON *tree = steps ? flag_answer_tree(&a) : NULL;
    flag_notes_finish(&notes);
    if (tree == NULL || !cJSON_AddItemToObject(tree, "steps", steps)) {
        cJSON_Delete(steps);
        cJSON_Delete(tree);
        return cli_no_memory(err);
    }
    if (!cli_show_tree(c, tree))
        show(c, l, &a, steps);
    cJSON_Delete(tree);
    return 0;
}

int cmd_flag_explain(struct cli *c, struct cfg_error *err)
{
    struct flag_loaded l;
    int rc = flag_load(&l, c, err);
    if (rc != 0)
        return rc;
    if (flag_loaded_find(&l) == NULL) {
        const char *near = flag_near_name(flag_members(l.document), l.name);
        rc = cfg_fail(err, CFG_E_NOT_FOUND, "there is no flag %s", l.name);
        if (near)
            cfg_error_set_hint(err, "did you mean %s?", near);
    } else {
        rc = explain(c, &l, err);
    }
    flag_loaded_finish(&l);
    return rc;
}
