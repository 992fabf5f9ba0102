/* A deployment's view as programs outside of the worker library want it: one document, and its forms. */
#ifndef CFG_CFGCTL_VIEW_H
#define CFG_CFGCTL_VIEW_H

#include "client/cfgctl/cli.h"

#include <sys/types.h>

/* The namespace a deployment runs on, into ns (CFG_LIMIT_NAME + 1 bytes). The request's errors, CFG_E_PROTOCOL. */
CFG_MUST_CHECK int view_namespace(struct cli *c, const char *deployment, char *ns, struct cfg_error *err);
/* The view now, as the API gives it. *out is returned-owned. */
CFG_MUST_CHECK int view_fetch(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err);
/* {"parameters","pinned",…} as one document: the parameters, with the pinned keys among them. *out is returned-owned.
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int view_document(cJSON **out, const cJSON *view, struct cfg_error *err);

/* A copy of the document with the values read that configd leaves to the reader: ${oc.env:…}, and what leads there.
 * Every other text stays as it is, also one that looks like an interpolation. *out is returned-owned. CFG_E_VALUE names
 * the value and the variable that is not set; CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int view_read_environment(cJSON **out, const cJSON *document, struct cfg_error *err);
/* What a new file may be for others with those values in it: 0600 where one may come from this process's environment,
 * which holds what is kept out of the store; else 0644. */
mode_t view_file_mode(const cJSON *document);
/* A variable of this process, as struct cfg_layers_options wants to be told; borrowed, NULL: not set. */
const char *view_environment(void *arg, const char *name);

enum view_format { VIEW_JSON, VIEW_YAML, VIEW_ENV, VIEW_DOTENV };
/* "json", "yaml", "env", "dotenv"; false for anything else. */
bool view_format_parse(enum view_format *out, const char *name);
/* Appends the document in a format, with a newline at its end. ns names the variables, whose values are what
 * view_read_environment makes of them; JSON and YAML have the document as it stands. CFG_E_CONFLICT and CFG_E_VALUE
 * (names of variables), that function's errors, CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int view_print(struct cfg_buf *out, enum view_format format, const char *ns, const cJSON *document,
                              struct cfg_error *err);

#endif
