/* JSON trees as YAML that 1.1 and 1.2 readers understand alike. Pure. */
#ifndef CFG_CFGCTL_YAML_H
#define CFG_CFGCTL_YAML_H

#include "proto/json.h"

/* Appends one document. Strings are quoted wherever one of the two would read something else (no, on, 1e3, 12:30, ~,
 * …); floats carry a point. CFG_E_NOMEM. */
CFG_MUST_CHECK int cli_yaml_print(struct cfg_buf *out, const cJSON *v);

#endif
