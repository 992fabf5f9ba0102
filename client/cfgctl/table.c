#include "client/cfgctl/table.h"
#include "client/cfgctl/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CELL_MAX = 64 * 1024, GAP = 2, LAST_MIN = 12 }; /* a last column narrower than that says nothing */

/* Characters of UTF-8, not bytes. */
static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

void table_add(struct table *t, const char *text)
{
    struct cfg_buf cell;
    cfg_buf_init(&cell, CELL_MAX);
    cli_put_text(&cell, text);
    if (t->n == t->cap && !t->failed) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        char **cells = realloc(t->cells, cap * sizeof *cells);
        t->failed = cells == NULL;
        if (cells) {
            t->cells = cells;
            t->cap = cap;
        }
    }
    char *owned = t->failed ? NULL : cfg_buf_steal(&cell);
    if (owned)
        t->cells[t->n++] = owned;
    else
        t->failed = true;
    cfg_buf_finish(&cell);
}

void table_add_number(struct table *t, double n)
{
    struct cfg_buf cell;
    cfg_buf_init(&cell, 64);
    cfg_json_put_number(&cell, n);
    table_add(t, cell.data ? cell.data : "");
    cfg_buf_finish(&cell);
}

void table_init(struct table *t, const char *header)
{
    *t = (struct table){.columns = 0};
    for (;;) {
        size_t len = strcspn(header, "|");
        char *name = strndup(header, len);
        table_add(t, name ? name : "");
        free(name);
        t->columns++;
        if (header[len] == '\0')
            return;
        header += len + 1;
    }
}

void table_finish(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

static void put_cut(struct cfg_buf *out, const char *s, size_t room)
{
    if (width_of(s) <= room) {
        cfg_buf_puts(out, s);
        return;
    }
    for (size_t n = 0; *s; s++) {
        n += ((unsigned char)*s & 0xC0) != 0x80;
        if (n == room)
            break;
        cfg_buf_putc(out, *s);
    }
    cfg_buf_puts(out, "…");
}

static void put_row(struct cfg_buf *out, const struct table *t, size_t row, const size_t *widths, size_t width)
{
    size_t used = 0;
    for (size_t i = 0; i < t->columns && row * t->columns + i < t->n; i++) {
        const char *cell = t->cells[row * t->columns + i];
        bool last = i + 1 == t->columns;
        size_t room = width > used + LAST_MIN ? width - used : LAST_MIN;
        if (last && width > 0)
            put_cut(out, cell, room);
        else
            cfg_buf_puts(out, cell);
        for (size_t n = width_of(cell); !last && n < widths[i] + GAP; n++)
            cfg_buf_putc(out, ' ');
        used += widths[i] + GAP;
    }
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        out->data[--out->len] = '\0';
}

void table_print(struct cfg_buf *out, const struct table *t, size_t width, bool bold)
{
    size_t widths[TABLE_COLUMNS] = {0};
    for (size_t i = 0; i < t->n; i++) {
        size_t w = width_of(t->cells[i]), column = i % t->columns;
        if (w > widths[column])
            widths[column] = w;
    }
    for (size_t row = 0; row * t->columns < t->n; row++) {
        cfg_buf_puts(out, bold && row == 0 ? "\033[1m" : "");
        put_row(out, t, row, widths, width);
        cfg_buf_puts(out, bold && row == 0 ? "\033[0m\n" : "\n");
    }
    if (t->failed)
        out->failed = CFG_E_NOMEM;
}

size_t table_terminal_width(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}
