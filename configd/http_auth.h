/* Who asks, and what they may do: the token table and the rules over it. Pure but for cfg_tokens_load.
 *
 * The file holds SHA-256 hashes, never tokens:
 *   {"tokens":[{"subject":"alice","sha256":"…64 hex…","role":"reader|writer|admin","namespaces":["chat","train-*"]},
 *              {"subject":"blue-workers","sha256":"…","role":"worker","deployment":"chat-blue"}]}
 * Without "namespaces" a reader or writer is not confined. A table is immutable and counted: a call keeps the one it
 * was let in by while SIGHUP brings the next. One thread. */
#ifndef CFG_CONFIGD_HTTP_AUTH_H
#define CFG_CONFIGD_HTTP_AUTH_H

#include "configd/http.h"

struct cfg_tokens;

/* CFG_E_JSON, CFG_E_VALUE with the entry in err->path. *out is returned-owned. */
CFG_MUST_CHECK int cfg_tokens_parse(struct cfg_tokens **out, struct cfg_slice text, struct cfg_error *err);
CFG_MUST_CHECK int cfg_tokens_load(struct cfg_tokens **out, const char *path, struct cfg_error *err); /* + CFG_E_IO */
struct cfg_tokens *cfg_tokens_ref(struct cfg_tokens *t);   /* NULL stays NULL */
struct cfg_tokens *cfg_tokens_unref(struct cfg_tokens *t); /* returns NULL */
size_t cfg_tokens_count(const struct cfg_tokens *t);

/* Who an `Authorization` header (NULL when absent) proves. Every entry is compared, in constant time. The principal
 * borrows from t. t NULL: no table, the caller is on loopback and is an admin named by `user` (header Configd-User,
 * NULL when absent) as "user (unverified)". CFG_E_UNAUTHORIZED. */
CFG_MUST_CHECK int cfg_principal_prove(struct cfg_principal *out, const struct cfg_tokens *t, const char *authorization,
                                       const char *user, struct cfg_error *err);
/* May p use a route that wants `least` (worker: worker tokens too)? CFG_E_FORBIDDEN. */
CFG_MUST_CHECK int cfg_principal_check_role(const struct cfg_principal *p, enum cfg_role least, bool worker,
                                            struct cfg_error *err);
/* May p touch namespace ns at all? Glob patterns of the token: * and ? as in a shell. CFG_E_FORBIDDEN. */
CFG_MUST_CHECK int cfg_principal_check_namespace(const struct cfg_principal *p, const char *ns, struct cfg_error *err);
/* A deployment: a worker's own, anyone else's by its config namespace (NULL: unknown deployment, which tells nothing;
 * empty: a deleted one, whose past is only for those who reach every namespace). CFG_E_FORBIDDEN. */
CFG_MUST_CHECK int cfg_principal_check_deployment(const struct cfg_principal *p, const char *deployment,
                                                  const char *config, struct cfg_error *err);
/* The same as a question, for filtering lists. */
bool cfg_principal_sees(const struct cfg_principal *p, const char *ns);

#endif
