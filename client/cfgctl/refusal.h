/* What is wrong with a write, as a table. */
#ifndef CFG_CFGCTL_REFUSAL_H
#define CFG_CFGCTL_REFUSAL_H

#include "client/cfgctl/cli.h"

/* Prints the API's array of violations to a FILE; nothing for an empty one or NULL. */
void refusal_print(void *file, const cJSON *violations);

#endif
