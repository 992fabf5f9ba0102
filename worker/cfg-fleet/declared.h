/* What every simulated worker declares: --param and --flag, and the names that metrics and conditions ask for. */
#ifndef CFG_FLEET_DECLARED_H
#define CFG_FLEET_DECLARED_H

#include "proto/expr.h"
#include <cfg/worker.h>

enum { CFG_DECLARED_MAX = 64 };

struct cfg_declared {
    struct cfg_declared_item {
        char *path, *text; /* owned; text: the default of a string or of JSON */
        enum cfg_type type;
        enum cfg_class apply;
        union cfg_value def;
        cfg_param param; /* the same in every worker, since all declare in this order */
    } items[CFG_DECLARED_MAX];
    size_t n;
};

/* "PATH=DEFAULT[:CLASS]": the default tells the type (true, 8, 0.7; everything else is a string), the class is live,
 * drain, barrier, restart or pinned. CFG_E_INVALID, CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_declared_param(struct cfg_declared *d, const char *text, struct cfg_error *err);
/* "NS/NAME[=on|off]". */
CFG_MUST_CHECK int cfg_declared_flag(struct cfg_declared *d, const char *text, struct cfg_error *err);
/* The names of `e` that are declared nowhere and are none of the simulator's own: a flag where there is a slash, else a
 * parameter of any type without a default. */
CFG_MUST_CHECK int cfg_declared_names(struct cfg_declared *d, const struct cfg_expr *e, struct cfg_error *err);
void cfg_declared_finish(struct cfg_declared *d); /* takes a zeroed struct */

void cfg_declared_declare(struct cfg_declared *d, struct cfg_worker *w);
/* Is it one that the simulator answers itself: step, seconds, worker, rank, revision, deployment, chance, inf,
 * label.KEY? */
bool cfg_declared_is_own(struct cfg_slice name);

/* The declared values of a view, ready for expressions; strings are borrowed from the view. */
struct cfg_reading {
    struct cfg_expr_value *values; /* owned; as many as are declared */
    cJSON **trees;                 /* owned; of parameters of any type */
    struct cfg_arena arena;
};
CFG_MUST_CHECK int cfg_reading_take(struct cfg_reading *r, const struct cfg_declared *d, const struct cfg_view *v,
                                    struct cfg_error *err);
/* The same values once more, to be changed; texts stay borrowed from r's view. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_reading_copy(struct cfg_reading *out, const struct cfg_reading *r, size_t n);
/* Another value of the item at this place. v is borrowed while r is used. */
void cfg_reading_put(struct cfg_reading *r, const struct cfg_declared *d, size_t at, const union cfg_value *v);
void cfg_reading_finish(struct cfg_reading *r, size_t n); /* n: how many are declared; takes a zeroed struct */
/* NULL: no such name. */
const struct cfg_expr_value *cfg_reading_find(const struct cfg_reading *r, const struct cfg_declared *d,
                                              struct cfg_slice name);

#endif
