/* Paths of requests. Pure. */
#ifndef CFG_CLIENT_URL_H
#define CFG_CLIENT_URL_H

#include "proto/buf.h"

/* Appends s percent-encoded: for a path segment or a query's value. */
void cfg_url_put(struct cfg_buf *out, const char *s);
/* Appends a path made of literals and encoded parts: '*' in `pattern` takes the next of the strings that follow. */
void cfg_url_format(struct cfg_buf *out, const char *pattern, ...);
/* Appends "?name=value" or, when out holds a '?' already, "&name=value". */
void cfg_url_query(struct cfg_buf *out, const char *name, const char *value);

#endif
