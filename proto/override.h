/* Command-line overrides in Hydra's grammar: `NS/PATH=VALUE`, `+…`, `++…`, `~NS/PATH`. Pure.
 *
 * Values are Hydra's elements: quoted strings, unquoted text of letters, digits, blanks and /-\+.$%*@?|_: with \ before
 * \()[]{}:=, and blanks, int, float, bool and null in any case, ${interpolations} (kept as text), lists, dicts and the
 * casts int() float() str() bool(), and sort() of a list. What has no place in a document is refused with a hint:
 * sweeps (1,2,3, choice(), range(), …), inf and nan, integers beyond 2^53−1, a key given twice. A dict's keys are text:
 * what Hydra reads as a number or word keeps its spelling, true, false and null in lower case. */
#ifndef CFG_PROTO_OVERRIDE_H
#define CFG_PROTO_OVERRIDE_H

#include "proto/path.h"

enum cfg_override_mode {
    CFG_OVERRIDE_SET,    /* k=v   sets; creates where no schema forbids */
    CFG_OVERRIDE_ADD,    /* +k=v  must not exist */
    CFG_OVERRIDE_FORCE,  /* ++k=v either */
    CFG_OVERRIDE_DELETE, /* ~k    must exist; ~k=v must have that value */
};

struct cfg_override {
    enum cfg_override_mode mode;
    struct cfg_address address;
    cJSON *value; /* owned; for DELETE NULL unless one was given */
    int on_off; /* 1 for the bare word `on`, 0 for `off`, −1 otherwise: `=on|off` switches an existing flag; value is
                   then the boolean that a parameter gets */
};

/* CFG_E_ADDRESS, CFG_E_VALUE (with the column in err->path; an unquoted sweep `1,2,3` says how to quote it). */
CFG_MUST_CHECK int cfg_override_parse(struct cfg_override *out, struct cfg_slice text, struct cfg_error *err);
/* The same, but what follows the first `=` is the string value as it stands (`--string K=V`). UTF-8 is required. */
CFG_MUST_CHECK int cfg_override_parse_text(struct cfg_override *out, struct cfg_slice text, struct cfg_error *err);
/* A Hydra word, whose key stands alone (`optimizer.lr=1e-4`, `+trainer.epochs=5`, `~model.dropout`): the address is
 * that key in namespace `ns` (copied; "" where there is none). Config groups and packages (`db/mysql`, `db@backup`) are
 * CFG_E_ADDRESS with a hint. */
CFG_MUST_CHECK int cfg_override_parse_word(struct cfg_override *out, const char *ns, struct cfg_slice text,
                                           struct cfg_error *err);
void cfg_override_finish(struct cfg_override *o);
/* A value alone: true, 1e-4, [1,2], {a: 1}, null, 'quoted', "quoted", bare words. *out is returned-owned. */
CFG_MUST_CHECK int cfg_value_parse(cJSON **out, struct cfg_slice text, struct cfg_error *err);

/* What stands before the `=`, by Hydra's grammar alone: `key`, `group/option`, `key@package`, `a.b`, or nothing but
 * `@package`. Slices are borrowed. */
struct cfg_override_key {
    enum cfg_override_mode mode;
    struct cfg_slice key, package; /* package.ptr is NULL when no @ was given */
    bool is_group;                 /* the key holds a slash */
    size_t length;                 /* of all of it, the mode's characters included */
};
/* CFG_E_ADDRESS with the column. */
CFG_MUST_CHECK int cfg_override_key_parse(struct cfg_override_key *out, struct cfg_slice text, struct cfg_error *err);

#endif
