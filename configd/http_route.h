/* The router: (method, path) → route and parameters. Pure. */
#ifndef CFG_CONFIGD_HTTP_ROUTE_H
#define CFG_CONFIGD_HTTP_ROUTE_H

#include "configd/http.h"

enum { CFG_ROUTE_PARAMS = 4 };

struct cfg_match {
    const struct cfg_route *route; /* borrowed from the table */
    struct cfg_match_param {
        struct cfg_slice name; /* borrowed from the pattern */
        char *value;           /* percent-decoded, owned */
    } params[CFG_ROUTE_PARAMS];
    size_t n_params;
    char allow[64]; /* with CFG_E_METHOD and for OPTIONS: "GET, HEAD, PUT" */
};

/* Finds the route of a path without its query. HEAD finds the GET route. OPTIONS on a known path succeeds with a NULL
 * route and `allow` filled. Errors: CFG_E_NOT_FOUND with a near miss in the hint, CFG_E_METHOD with `allow` filled,
 * CFG_E_ADDRESS for a broken or NUL percent-escape, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_route_find(struct cfg_match *out, const struct cfg_route *routes, size_t n, const char *method,
                                  struct cfg_slice path, struct cfg_error *err);
void cfg_match_finish(struct cfg_match *m); /* takes a zeroed struct */
/* Borrowed from *m; NULL when the route has no such parameter. */
const char *cfg_match_param(const struct cfg_match *m, const char *name);

#endif
