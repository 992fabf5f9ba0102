/* SHA-256 digests in their one spelling, "sha256:" + 64 hex digits. Pure. */
#ifndef CFG_PROTO_DIGEST_H
#define CFG_PROTO_DIGEST_H

#include "proto/json.h"

enum { CFG_DIGEST_TEXT = 7 + 64 + 1 };

/* Over raw bytes, and over the RFC 8785 form of a tree. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_digest_bytes(char out[CFG_DIGEST_TEXT], struct cfg_slice bytes);
CFG_MUST_CHECK int cfg_digest_json(char out[CFG_DIGEST_TEXT], const cJSON *v);

#endif
