/* Asking before something is written. */
#ifndef CFG_CFGCTL_CONFIRM_H
#define CFG_CFGCTL_CONFIRM_H

#include "client/cfgctl/cli.h"

/* 0 with --yes, or when a person at the terminal says so. CFG_E_CANCELED when not, CFG_E_INVALID where there is nobody
 * to ask. question ends without a blank. */
CFG_MUST_CHECK int confirm(const struct cli *c, const char *question, struct cfg_error *err);

#endif
