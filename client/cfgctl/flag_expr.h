/* Conditions of rules as people type them, and JsonLogic, both ways. Pure.
 *
 *     email ends_with "@example.com" and not (plan in [free, trial])
 *     app.version sem_ver >= 2.1.0 or segment staff
 *     now >= 2026-12-01T00:00:00Z
 *
 *     condition   = all { "or" all }            all = one { "and" one }
 *     one         = "not" one | "(" condition ")" | "segment" NAME | "everyone" | PATH test
 *     test        = ("==" | "=" | "!=" | "<" | "<=" | ">" | ">=") VALUE | ["not"] "in" "[" VALUE {"," VALUE} "]"
 *                 | ["not"] ("contains" | "starts_with" | "ends_with") VALUE | ["not"] "exists"
 *                 | "sem_ver" ("=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "^") VERSION
 * PATH is an attribute of the context (user.id) or `now`. VALUE is a number, true, false, null, text in " or ', a bare
 * word, and after `now` a time. */
#ifndef CFG_CFGCTL_FLAG_EXPR_H
#define CFG_CFGCTL_FLAG_EXPR_H

#include "proto/json.h"

/* *out is returned-owned JsonLogic. CFG_E_VALUE with the column and, where one is near, the operator that was meant. */
CFG_MUST_CHECK int flag_expr_parse(cJSON **out, const char *text, struct cfg_error *err);
/* A condition in words, or where `words` is NULL the JsonLogic in `json`; `hint` helps whoever spells that wrong. */
CFG_MUST_CHECK int flag_expr_read(cJSON **out, const char *words, const char *json, const char *hint,
                                  struct cfg_error *err);
/* Appends a condition as above, and as compact JSON whatever of it cannot be said so. */
void flag_expr_print(struct cfg_buf *out, const cJSON *rule);

#endif
