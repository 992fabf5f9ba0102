/* A deployment's view as programs outside of the worker library want it: one document, and its forms. */
#ifndef CFG_CFGCTL_VIEW_H
#define CFG_CFGCTL_VIEW_H

#include "client/cfgctl/cli.h"

/* The namespace a deployment runs on, into ns (CFG_LIMIT_NAME + 1 bytes). The request's errors, CFG_E_PROTOCOL. */
CFG_MUST_CHECK int view_namespace(struct cli *c, const char *deployment, char *ns, struct cfg_error *err);
/* The view now, as the API gives it. *out is returned-owned. */
CFG_MUST_CHECK int view_fetch(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err);
/* {"parameters","pinned",…} as one document: the parameters, with the pinned keys among them. *out is returned-owned.
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int view_document(cJSON **out, const cJSON *view, struct cfg_error *err);

enum view_format { VIEW_JSON, VIEW_YAML, VIEW_ENV, VIEW_DOTENV };
/* "json", "yaml", "env", "dotenv"; false for anything else. */
bool view_format_parse(enum view_format *out, const char *name);
/* Appends the document in a format, with a newline at its end. ns names the variables. CFG_E_CONFLICT and CFG_E_VALUE
 * (names of variables), CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int view_print(struct cfg_buf *out, enum view_format format, const char *ns, const cJSON *document,
                              struct cfg_error *err);

#endif
