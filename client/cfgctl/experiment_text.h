/* An experiment's report as a page: what may be believed, what was found, and a plot of the intervals. Pure. */
#ifndef CFG_CFGCTL_EXPERIMENT_TEXT_H
#define CFG_CFGCTL_EXPERIMENT_TEXT_H

#include "proto/json.h"

/* Appends the page. report: the reply of GET /v1/experiments/{e}/report, borrowed. width: columns; 0: 80. */
void experiment_put_report(struct cfg_buf *out, const cJSON *report, size_t width, bool color);

/* One line: verdict, units, and what the first metric shows. */
void experiment_put_line(struct cfg_buf *out, const cJSON *report);

#endif
