/* Two rows of values over time as a picture of text: what a terminal or a mail can show. Pure. */
#ifndef CFG_CFGCTL_CHART_H
#define CFG_CFGCTL_CHART_H

#include "proto/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct chart_point {
    double seconds, canary, base; /* NAN: none then */
};
struct chart_mark { /* something that happened */
    double seconds;
    char text[24]; /* ASCII */
};
struct chart {
    const char *title;                /* any text */
    const struct chart_point *points; /* in order of time */
    size_t n;
    const struct chart_mark *marks; /* likewise */
    size_t n_marks;
};

/* Nothing where fewer than two points have a value, or all are of one moment. width: of the terminal; 0 counts as 80.
 */
void chart_put(struct cfg_buf *out, const struct chart *c, size_t width, bool color);

#endif
