/* Aligned columns. Pure but for the width of the terminal. */
#ifndef CFG_CFGCTL_TABLE_H
#define CFG_CFGCTL_TABLE_H

#include "proto/buf.h"

enum { TABLE_COLUMNS = 16 };

struct table {
    char **cells; /* owned */
    size_t n, cap, columns;
    bool failed;
};

/* header: column names separated by |. */
void table_init(struct table *t, const char *header);
/* The next cell, copied, with control characters shown as '?'; rows fill up from left to right. */
void table_add(struct table *t, const char *text);
void table_add_number(struct table *t, double n);
/* Appends the table; width 0: no limit, else the last column is cut to fit. bold marks the header. */
void table_print(struct cfg_buf *out, const struct table *t, size_t width, bool bold);
void table_finish(struct table *t);
/* Columns of the terminal on stdout; 0 when it is none. */
size_t table_terminal_width(void);

#endif
