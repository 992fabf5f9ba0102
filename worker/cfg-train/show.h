/* What cfg-train prints: a progress bar on a terminal, plain lines in a pipe, JSON lines on request. */
#ifndef CFG_TRAIN_SHOW_H
#define CFG_TRAIN_SHOW_H

#include "proto/json.h"
#include <stdint.h>
#include <stdio.h>

enum cfg_show_mode { CFG_SHOW_NOTHING, CFG_SHOW_LINES, CFG_SHOW_BAR, CFG_SHOW_JSON };

struct cfg_show {
    FILE *out; /* borrowed */
    enum cfg_show_mode mode;
    bool bar_shown;
};

/* One number of a line. */
struct cfg_show_figure {
    const char *name;
    double value;
};

/* A line about an event: "step 40: loss 2.31, grad_norm 0.5" or {"event":"step","step":40,"loss":2.31,…}. text (or
 * NULL) follows the event's name, in JSON as "text". */
void cfg_show_event(struct cfg_show *s, const char *event, uint64_t step, const char *text,
                    const struct cfg_show_figure *figures, size_t n);
/* The view that step `step` is the first to run on; `changed` maps paths to [before, after]; NULL: the first view. */
void cfg_show_applied(struct cfg_show *s, uint64_t step, const char *revision, const cJSON *changed);
/* The bar, where there is one: step of total (0: no end is known), loss, tokens per second. */
void cfg_show_bar(struct cfg_show *s, uint64_t step, uint64_t total, double loss, double rate);
void cfg_show_end(struct cfg_show *s);

/* The bar's text for a terminal of `columns`. Pure; exposed for tests. */
void cfg_show_bar_text(struct cfg_buf *out, uint64_t step, uint64_t total, double loss, double rate, unsigned columns);

#endif
