/* Parameters as environment variables, and the files that hold such: `export` lines for a shell, and dotenv.
 *
 * A parameter's variable is NS_KEY: namespace and dotted path upper-cased, everything but letters and digits an
 * underscore (chat, sampling.temperature → CHAT_SAMPLING_TEMPERATURE), an underscore in front of a digit. Leaves only:
 * text as it stands, numbers, true and false as JSON has them, arrays and empty objects as JSON; null has no variable.
 * Pure, thread-safe. */
#ifndef CFG_PROTO_DOTENV_H
#define CFG_PROTO_DOTENV_H

#include "proto/json.h"

/* Appends the name. Check cfg_buf_status. */
void cfg_env_name(struct cfg_buf *out, const char *ns, const char *path);

/* The variables of a document: an object of strings, in the document's order. *out is returned-owned. CFG_E_CONFLICT:
 * two paths have one name, both are named; CFG_E_VALUE: a text with U+0000 (err->path); CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_env_make(cJSON **out, const char *ns, const cJSON *document, struct cfg_error *err);

enum cfg_env_style {
    CFG_ENV_SHELL,  /* export NAME='…' */
    CFG_ENV_DOTENV, /* NAME=…, in quotes where readers of dotenv files would take something else */
};
/* Appends one line for each (dotenv: newlines as \n inside double quotes). Check cfg_buf_status. */
void cfg_env_print(struct cfg_buf *out, const cJSON *variables, enum cfg_env_style style);

enum { CFG_DOTENV_MAX = 4096 };
/* Reads a dotenv file: `NAME=value`, `export NAME=value`, comments (# at the start, or behind a blank), '…' as it
 * stands, "…" with \n \r \t \" \\ \$, both over several lines, bare text without blanks at its ends. Nothing is
 * expanded: $NAME and ${…} outside of single quotes are refused rather than taken for text. *out is an array of
 * {"name", "value", "quoted", "line"}, returned-owned. Refused with the line: a name that is none or there twice, a
 * missing =, an open quote, text behind a quote, broken UTF-8, U+0000. CFG_E_VALUE, CFG_E_LIMIT (more than
 * CFG_DOTENV_MAX names), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_dotenv_parse(cJSON **out, struct cfg_slice text, struct cfg_error *err);

/* The path that a variable of a dotenv file names in namespace ns: that of the leaf of `document` (may be NULL) with
 * this name, with or without NS_ in front; else the name in lower case without NS_, `__` being a dot
 * (CHAT_SAMPLING__TOP_P → sampling.top_p). Appends to out. *known: it is in the document. CFG_E_CONFLICT: two leaves
 * have this name. */
CFG_MUST_CHECK int cfg_env_path(struct cfg_buf *out, bool *known, const char *ns, const char *name,
                                const cJSON *document, struct cfg_error *err);

#endif
