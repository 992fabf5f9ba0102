/* What a worker's code or hardware can do beyond its parameters ("bf16", "fp8", "cuda-graphs"), in its own words: what
 * a flag or a deployment may require. Pure. */
#ifndef CFG_WORKER_CAPABILITY_H
#define CFG_WORKER_CAPABILITY_H

#include <cfg/error.h>

enum { CFG_CAPABILITIES_MAX = 64 };

/* text: "bf16, fp8", or a JSON array of strings; NULL or empty: none. *out is a JSON array's text, each name once in
 * the order given; returned-owned (free); NULL for none. CFG_E_INVALID (a name that is not [a-zA-Z0-9_.:/-]{1,64}, or
 * no array of strings), CFG_E_JSON, CFG_E_LIMIT (more than 64), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_capabilities_parse(char **out, const char *text, struct cfg_error *err);

#endif
