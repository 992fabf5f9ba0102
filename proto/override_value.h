/* What the value parser and the functions of the override grammar share. Internal to proto. Pure. */
#ifndef CFG_PROTO_OVERRIDE_VALUE_H
#define CFG_PROTO_OVERRIDE_VALUE_H

#include "proto/json.h"

/* cfg_value_parse with columns counted from `begin` (text lies behind it in the same string). */
CFG_MUST_CHECK int cfg_value_parse_at(cJSON **out, const char *begin, struct cfg_slice text, struct cfg_error *err);

/* The typed reading of an unquoted word: null, bool, int or float in Hydra's spelling, else NULL in *out (a plain
 * string). CFG_E_VALUE for inf, nan and numbers that JSON cannot hold; CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_value_word(cJSON **out, struct cfg_slice word, struct cfg_error *err);

/* While a line is parsed, numbers written as floats carry a mark in their node's type (cJSON reads its low byte only),
 * because str(10.0) is "10.0". This takes the marks off a finished tree. */
void cfg_value_forget_spelling(cJSON *v);

/* Is `name` a function of Hydra's grammar that this program evaluates (a cast)? */
bool cfg_value_is_cast(struct cfg_slice name);
/* Applies a cast to *value, in lists and dicts to every item. Consumes *value; on failure it is NULL. CFG_E_VALUE. */
CFG_MUST_CHECK int cfg_value_cast(cJSON **value, struct cfg_slice name, struct cfg_error *err);
/* Sorts a list of numbers and bools, or of strings, in place. CFG_E_VALUE for a mixture or other items; CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_value_sort(cJSON *list, bool reverse, struct cfg_error *err);

#endif
