#include "client/cfgctl/refusal.h"
#include "client/cfgctl/table.h"

#include <stdio.h>
#include <string.h>

/* "deployment blue: w1 and 3 more", "namespace chat" */
static void add_where(struct table *t, const cJSON *v)
{
    char text[400], more[48] = "";
    const char *deployment = cfg_json_get_str(v, "deployment", NULL), *worker = cfg_json_get_str(v, "worker", NULL);
    double others = cfg_json_get_num(v, "workers", 1) - 1;
    if (worker && others > 0)
        (void)snprintf(more, sizeof more, " and %.0f more", others);
    (void)snprintf(text, sizeof text, "%s %s%s%s%s", deployment ? "deployment" : "namespace",
                   deployment ? deployment : cfg_json_get_str(v, "namespace", "?"), worker ? ": " : "",
                   worker ? worker : "", more);
    table_add(t, text);
}

static void add_row(struct table *t, const cJSON *v)
{
    const char *path = cfg_json_get_str(v, "path", ""), *hint = cfg_json_get_str(v, "hint", "");
    char text[700];
    bool near = strncmp(hint, "did you mean", 12) == 0;
    table_add(t, path[0] ? path : "-");
    add_where(t, v);
    table_add(t, cfg_json_get_str(v, "expected", "-"));
    table_add(t, cfg_json_get_str(v, "got", "-"));
    (void)snprintf(text, sizeof text, "%.400s%s%.200s", cfg_json_get_str(v, "message", ""), near ? "; " : "",
                   near ? hint : "");
    table_add(t, text);
}

void refusal_print(void *file, const cJSON *violations)
{
    struct table t;
    struct cfg_buf out;
    const cJSON *v;
    if (violations == NULL || violations->child == NULL)
        return;
    cfg_buf_init(&out, (size_t)1 << 22);
    table_init(&t, "PATH|WHERE|EXPECTED|GOT|WHY");
    cJSON_ArrayForEach(v, violations)
    {
        add_row(&t, v);
    }
    table_print(&out, &t, 0, false);
    if (out.data)
        (void)fputs(out.data, file); /* nowhere left to complain */
    cfg_buf_finish(&out);
    table_finish(&t);
}
