/* What a command says beside its result, on stderr. */
#ifndef CFG_CFGCTL_NOTES_H
#define CFG_CFGCTL_NOTES_H

#include "proto/json.h"

CFG_MUST_CHECK int notes_add(cJSON *notes, const char *text, struct cfg_error *err); /* CFG_E_NOMEM */
/* One line each: "cfgctl: note: …". */
void notes_print(const cJSON *notes);
/* The warnings of cfg_yaml_parse, likewise. */
void notes_print_yaml(const cJSON *warnings);
/* A schema's violations, one line each: path, message, hint. */
void violations_print(const cJSON *violations);

#endif
