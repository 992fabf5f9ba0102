/* application/problem+json (RFC 9457): struct cfg_error on the wire. Pure.
 * {"type":"about:blank","title":…,"status":412,"code":"precondition_failed","detail":text,"path":…,"hint":…, …extra
 * members} */
#ifndef CFG_PROTO_PROBLEM_H
#define CFG_PROTO_PROBLEM_H

#include "proto/json.h"

/* Appends the document. extra: borrowed object whose members are added, or NULL. */
void cfg_problem_print(struct cfg_buf *out, const struct cfg_error *err, const cJSON *extra);
/* Reads one back: fills *err from the body, or, when the body is no problem document, from the status alone
 * (CFG_E_PROTOCOL for a status that makes no sense). Returns err->code, never 0. */
int cfg_problem_read(struct cfg_error *err, long http_status, struct cfg_slice body);

#endif
