/* Bringing a deployment back to what it was told at a time: which objects have to be written, and how. Pure. */
#ifndef CFG_CFGCTL_RESTORE_POINT_H
#define CFG_CFGCTL_RESTORE_POINT_H

#include "client/cfgctl/cli.h"

/* past: GET /v1/deployments/{d}/past; deployment: GET /v1/deployments/{d}, its present. except: objects to leave as
 * they are ("base", "config/base"), an array or NULL.
 *
 * *out is returned-owned, as POST /v1/changes takes it; empty where nothing differs. A deployment that follows the
 * heads gets its namespaces' documents back; one that holds a release is moved to the one of that time. Flags and
 * segments, which act on every deployment at once, go back in both cases; one that did not exist is deleted. Every
 * entry names the version it was decided on. CFG_E_LIMIT (more objects than one change takes), CFG_E_UNSUPPORTED (a
 * locked deployment was not locked then, or the other way round), CFG_E_NOMEM. */
CFG_MUST_CHECK int restore_point_changes(cJSON **out, const cJSON *past, const cJSON *deployment, const cJSON *except,
                                         struct cfg_error *err);
/* "chat v41, base v7, flag experiment/ab.flag v3": what the changes go back to. Appended. */
void restore_point_put(struct cfg_buf *out, const cJSON *changes);

#endif
