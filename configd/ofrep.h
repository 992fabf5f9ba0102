/* OFREP 0.3 (OpenFeature Remote Evaluation Protocol) as values: request bodies in, reply bodies, entity tags and events
 * out. Pure: the clock, the connection and the store are the caller's.
 *
 * Where the protocol leaves room:
 *   reason            its replies know STATIC, TARGETING_MATCH, SPLIT, DISABLED and UNKNOWN. The engine's DEFAULT goes
 * out as UNKNOWN: STATIC would let a client keep an answer that other contexts do not get the code default  no "value",
 * and "variant" is "": SDKs read that member unconditionally numbers           a flag with any variant that is no
 * integer answers all of them with a fraction (1.0): SDKs tell floats from integers by how they are spelt targetingKey
 * an error only when the answer depends on it: TARGETING_KEY_MISSING */
#ifndef CFG_CONFIGD_OFREP_H
#define CFG_CONFIGD_OFREP_H

#include "configd/flag_space.h"

/* A request: whom to evaluate for. Finish it. */
struct cfg_ofrep_request {
    cJSON *tree;
    const cJSON *context_json; /* borrowed from tree */
    struct cfg_flag_context context;
    bool has_key; /* there is a targetingKey */
};
/* {"context": {…}} → *out. On failure the OpenFeature error code, PARSE_ERROR or INVALID_CONTEXT, with the reason in
 * *err; NULL on success. timestamp: seconds since 1970. */
CFG_MUST_CHECK const char *cfg_ofrep_request_read(struct cfg_ofrep_request *out, struct cfg_slice body,
                                                  int64_t timestamp, struct cfg_error *err);
void cfg_ofrep_request_finish(struct cfg_ofrep_request *r); /* takes a zeroed struct */

/* Appends the reply to the evaluation of one flag and returns its HTTP status: 200, 400 (this flag cannot be evaluated
 * for this context) or 404. */
int cfg_ofrep_put_flag(struct cfg_buf *out, const struct cfg_flag_space *space, const char *key,
                       struct cfg_ofrep_request *r);
/* Appends {"key","errorCode","errorDetails"}; key NULL: without it, as a bulk evaluation that fails as a whole. */
void cfg_ofrep_put_failure(struct cfg_buf *out, const char *key, const char *code, const char *details);

enum { CFG_OFREP_ETAG = 3 + CFG_REV_TEXT + 32 };
/* All flags: appends the reply up to its "eventStreams", and writes the entity tag: over the flag revision, the
 * canonical context, and every answer and metadata, so whatever can change an answer, time included, changes the tag.
 * Check cfg_buf_status. cfg_ofrep_put_bulk_end closes the reply. CFG_E_NOMEM, CFG_E_LIMIT. */
CFG_MUST_CHECK int cfg_ofrep_put_bulk(struct cfg_buf *out, char etag[CFG_OFREP_ETAG],
                                      const struct cfg_flag_space *space, struct cfg_ofrep_request *r,
                                      struct cfg_error *err);
/* base: what the endpoints' URL begins with ("http://127.0.0.1:7117/ns/chat/ofrep/v1"); since: the revision behind
 * which a stream opened with this URL tells changes. */
void cfg_ofrep_put_bulk_end(struct cfg_buf *out, const char *base, struct cfg_rev since);

/* Does an If-None-Match header (a list, weak tags, *; NULL: absent) hold the tag? Weak comparison (RFC 9110 §13.1.2).
 */
bool cfg_ofrep_etag_matches(const char *if_none_match, const char *etag);

/* The token that an event carries as "etag" and a client gives back as flagConfigEtag: the flag revision, and where the
 * stream it came by began, so that the reply can name the very same stream again. */
struct cfg_ofrep_token {
    struct cfg_rev revision, since; /* since: {0,0} when the stream's URL named none */
};
enum { CFG_OFREP_TOKEN = 2 * CFG_REV_TEXT + 1 };
const char *cfg_ofrep_token_format(const struct cfg_ofrep_token *t, char out[CFG_OFREP_TOKEN]);
/* False for what is no token of ours. Quotes around it, as entity tags have, are fine. */
bool cfg_ofrep_token_parse(struct cfg_ofrep_token *out, const char *text);
/* flagConfigLastModified: seconds since 1970, or a date-time (RFC 3339). CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_ofrep_time_parse(int64_t *out, const char *text, struct cfg_error *err);
/* The event `refetchEvaluation`; returned-owned, NULL without memory. */
struct cfg_bytes *cfg_ofrep_event(const struct cfg_ofrep_token *t, int64_t modified_s);

#endif
