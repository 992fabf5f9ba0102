/* What cfg-fleet says while it runs and at its end. */
#ifndef CFG_FLEET_OUTPUT_H
#define CFG_FLEET_OUTPUT_H

#include "worker/cfg-fleet/fleet.h"
#include <stdio.h>

struct cfg_fleet_printer {
    FILE *out, *progress; /* borrowed; progress NULL: none (no terminal) */
    enum cfg_fleet_output output;
    bool quiet;
    uint64_t shown_us, shown_steps, ready_us;
};

struct cfg_fleet_watcher cfg_fleet_printer_watcher(struct cfg_fleet_printer *p);
void cfg_fleet_print_summary(struct cfg_fleet_printer *p, const struct cfg_fleet *f);

#endif
