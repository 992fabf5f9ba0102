/* Tables of results: the lists that commands print. */
#include "client/cfgctl/cli.h"
#include "client/cfgctl/table.h"

#define ROOM ((size_t)1 << 28)

void cli_add_list(struct table *t, const cJSON *list)
{
    struct cfg_buf text;
    cfg_buf_init(&text, ROOM);
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        cfg_buf_puts(&text, text.len > 0 ? "," : "");
        cli_put_value(&text, item);
    }
    table_add(t, text.len > 0 ? text.data : "-");
    cfg_buf_finish(&text);
}

void cli_put_table(struct cfg_buf *out, const struct cli *c, const struct table *t)
{
    table_print(out, t, c->output == OUTPUT_WIDE ? 0 : table_terminal_width(), c->color);
}

void cli_print_table(const struct cli *c, struct table *t)
{
    struct cfg_buf out;
    cfg_buf_init(&out, ROOM);
    cli_put_table(&out, c, t);
    cli_print(&out);
    table_finish(t);
}

void cli_print_page(const struct cli *c, struct table *t, const cJSON *reply)
{
    struct cfg_buf out;
    cfg_buf_init(&out, ROOM);
    cli_put_table(&out, c, t);
    if (cJSON_IsNumber(cfg_json_get(reply, "next")))
        cfg_buf_puts(&out, "older ones: --limit N\n");
    cli_print(&out);
    table_finish(t);
}

void cli_print_items(const struct cli *c, const cJSON *items, const char *header, cli_row_fn row)
{
    struct table t;
    const cJSON *item;
    table_init(&t, header);
    cJSON_ArrayForEach(item, items)
    {
        row(&t, item, c->output == OUTPUT_WIDE);
    }
    cli_print_table(c, &t);
}

int cli_list(struct cli *c, const char *path, const char *header, cli_row_fn row, struct cfg_error *err)
{
    cJSON *list = NULL;
    int rc = cli_get(c, path, &list, err);
    if (rc == 0 && !cli_show_tree(c, list))
        cli_print_items(c, cfg_json_get(list, "items"), header, row);
    cJSON_Delete(list);
    return rc;
}
