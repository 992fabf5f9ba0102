#include "client/cfgctl/notes.h"
#include "client/cfgctl/cli.h"

#include <stdio.h>

enum { LINE_ROOM = 1 << 16 };

int notes_add(cJSON *notes, const char *text, struct cfg_error *err)
{
    cJSON *item = cJSON_CreateString(text);
    if (item && cJSON_AddItemToArray(notes, item))
        return 0;
    cJSON_Delete(item);
    return cli_no_memory(err);
}

static void print(struct cfg_buf *line)
{
    if (cfg_buf_status(line) == 0)
        (void)fprintf(stderr, "%s\n", line->data); /* nobody to tell */
    cfg_buf_finish(line);
}

void notes_print(const cJSON *notes)
{
    const cJSON *n;
    cJSON_ArrayForEach(n, notes)
    {
        struct cfg_buf line;
        cfg_buf_init(&line, LINE_ROOM);
        cfg_buf_puts(&line, "cfgctl: note: ");
        cli_put_text(&line, n->valuestring);
        print(&line);
    }
}

void notes_print_yaml(const cJSON *warnings)
{
    const cJSON *w;
    cJSON_ArrayForEach(w, warnings)
    {
        struct cfg_buf line;
        cfg_buf_init(&line, LINE_ROOM);
        cfg_buf_puts(&line, "cfgctl: note: ");
        cli_put_text(&line, cfg_json_get_str(w, "message", "?"));
        cfg_buf_puts(&line, "; ");
        cli_put_text(&line, cfg_json_get_str(w, "hint", "quote it"));
        print(&line);
    }
}

void violations_print(const cJSON *violations)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, violations)
    {
        struct cfg_buf line;
        const char *path = cfg_json_get_str(v, "path", ""), *hint = cfg_json_get_str(v, "hint", "");
        cfg_buf_init(&line, LINE_ROOM);
        cfg_buf_puts(&line, "cfgctl:   ");
        cli_put_text(&line, path);
        cfg_buf_puts(&line, path[0] ? ": " : "");
        cli_put_text(&line, cfg_json_get_str(v, "message", "?"));
        cfg_buf_puts(&line, hint[0] ? " · " : "");
        cli_put_text(&line, hint);
        print(&line);
    }
}
