/* How results and errors look. */
#include "client/cfgctl/cli.h"
#include "proto/rfc3339.h"
#include "proto/yaml.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OUT_MAX ((size_t)1 << 28)

void cli_print(struct cfg_buf *b)
{
    if (b->len > 0)
        (void)fwrite(b->data, 1, b->len, stdout); /* a full disk shows when main flushes */
    cfg_buf_finish(b);
}

bool cli_show_tree(const struct cli *c, const cJSON *v)
{
    if (c->output != OUTPUT_JSON && c->output != OUTPUT_YAML)
        return false;
    struct cfg_buf out;
    cfg_buf_init(&out, OUT_MAX);
    if (c->output == OUTPUT_JSON) {
        cfg_json_print_pretty(&out, v);
        cfg_buf_putc(&out, '\n');
    } else if (cfg_yaml_print(&out, v) != 0) {
        cfg_buf_finish(&out);
        (void)fputs("cfgctl: out of memory\n", stderr);
        exit(cfg_code_exit(CFG_E_NOMEM));
    }
    cli_print(&out);
    return true;
}

void cli_put_text(struct cfg_buf *out, const char *s)
{
    for (; *s; s++)
        cfg_buf_putc(out, iscntrl((unsigned char)*s) ? '?' : *s);
}

void cli_put_value(struct cfg_buf *out, const cJSON *v)
{
    if (v == NULL)
        cfg_buf_puts(out, "(none)");
    else if (cJSON_IsString(v))
        cli_put_text(out, v->valuestring);
    else
        cfg_json_print(out, v);
}

void cli_put_object(struct cfg_buf *out, const cJSON *item)
{
    const char *kind = cfg_json_get_str(item, "kind", ""), *name = cfg_json_get_str(item, "name", "");
    bool experiment = strcmp(kind, "experiment") == 0;
    bool named = experiment || strcmp(kind, "deployment") == 0 || strcmp(kind, "rollout") == 0;
    const char *first = named ? kind : cfg_json_get_str(item, "namespace", "");
    cli_put_text(out, first);
    cfg_buf_puts(out, first[0] && name[0] ? experiment ? " " : "/" : "");
    cli_put_text(out, name);
}

const char *cli_age(char out[32], const char *time_text)
{
    int64_t us = 0;
    if (cfg_rfc3339_parse(&us, cfg_slice_str(time_text), NULL) != 0) {
        (void)snprintf(out, 32, "%.31s", time_text[0] ? time_text : "-");
        return out;
    }
    double s = difftime(time(NULL), (time_t)(us / 1000000));
    static const struct {
        double seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    (void)snprintf(out, 32, "0s");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (s >= units[i].seconds) {
            (void)snprintf(out, 32, "%.0f%c", (double)(long)(s / units[i].seconds), units[i].unit);
            break;
        }
    return out;
}

int cli_no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

void cli_print_error(const struct cfg_error *err)
{
    const char *no_color = getenv("NO_COLOR");
    bool color = isatty(STDERR_FILENO) && !(no_color && no_color[0]);
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    cfg_buf_puts(&b, color ? "\033[31mcfgctl:\033[0m " : "cfgctl: ");
    cli_put_text(&b, err->text[0] ? err->text : cfg_code_name(err->code));
    if (err->path[0] && strstr(err->text, err->path) == NULL) {
        cfg_buf_puts(&b, "\n  at: ");
        cli_put_text(&b, err->path);
    }
    if (err->hint[0]) {
        cfg_buf_puts(&b, "\n  hint: ");
        cli_put_text(&b, err->hint);
    }
    cfg_buf_putc(&b, '\n');
    if (b.data)
        (void)fputs(b.data, stderr); /* nowhere left to complain */
    cfg_buf_finish(&b);
}
