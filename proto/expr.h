/* The one small expression language: `${eval: …}` in documents, invariants in schemas, guards of rollouts.
 *
 *     train.global_batch == train.micro_batch * train.grad_accum * distributed.world_size
 *     0 < optimizer.lr <= 0.1 and (schedule in ["cosine", "linear"] or warmup == null)
 *     error_rate < 1%
 *
 * Values are null, booleans, numbers, strings and lists. A number is a double that remembers whether it is a whole one
 * (3) or a float (3.0); whole results beyond ±(2^53−1) and results that are not finite are errors, never roundings.
 * Operators as Python has them, from the loosest: `x if c else y` · or || · and && · not ! · in, not in, == != < <= >
 * >= (chained: 0 < a < 1) · + - · * / // % · unary - + · ** (to the right). `and` and `or` take booleans only and look
 * at the right side only when needed; == never fails and never mixes types (1 == 1.0, but not 1 == true or 1 == "1").
 * Functions: min max abs floor ceil round len sum. `5%` is 0.05: a % that touches the number before it and no operand
 * behind it. docs/layers.md has the grammar.
 *
 * Compiled once into an immutable program that threads may share; evaluation takes a bounded number of steps, touches
 * nothing but the arena and the names it asks for, and does no I/O. Pure. */
#ifndef CFG_PROTO_EXPR_H
#define CFG_PROTO_EXPR_H

#include "proto/arena.h"
#include "proto/json.h"

enum cfg_expr_type { CFG_EXPR_NULL, CFG_EXPR_BOOL, CFG_EXPR_NUMBER, CFG_EXPR_STRING, CFG_EXPR_LIST };

struct cfg_expr_value {
    enum cfg_expr_type type;
    bool is_float; /* of a number: written or computed as one that is not whole */
    union {
        bool boolean;
        double number;
        struct cfg_slice text; /* borrowed: from the expression, the arena or whom lookup asked */
        struct {
            const struct cfg_expr_value *items; /* borrowed likewise */
            size_t n;
        } list;
    };
};

/* Where names come from. Both may use the arena for what they return; it lives at least as long as the value.
 * lookup: the value of a dotted path (`a.b[0].c`). CFG_E_UNKNOWN_KEY when there is none, CFG_E_VALUE when it is no
 * value that an expression can use (an object). interpolate: the value of a text that holds `${…}` (as it stands, with
 * nested ones), or NULL: then only a plain
 * `${dotted.path}` is understood, as that path. It serves names that are no identifiers (`${x-y}`). */
struct cfg_expr_names {
    int (*lookup)(struct cfg_expr_value *out, void *arg, struct cfg_slice path, struct cfg_arena *arena,
                  struct cfg_error *err);
    int (*interpolate)(struct cfg_expr_value *out, void *arg, struct cfg_slice text, struct cfg_arena *arena,
                       struct cfg_error *err);
    void *arg;
};

struct cfg_expr;

/* Compiles `text` (copied). *out is returned-owned (cfg_expr_free). CFG_E_VALUE with the column in err->text and
 * err->path ("column 7"), CFG_E_LIMIT (more than 4 KiB, too many or too deeply nested operations), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_expr_compile(struct cfg_expr **out, struct cfg_slice text, struct cfg_error *err);
void cfg_expr_free(struct cfg_expr *e);                   /* NULL is fine */
struct cfg_slice cfg_expr_text(const struct cfg_expr *e); /* borrowed */

/* Evaluates. *out may borrow from the arena, the expression and what `names` answered. CFG_E_VALUE names the operation,
 * its column and the values ("column 9: 4 / 0: division by zero"); what lookup failed with is passed on with the column
 * in front; CFG_E_LIMIT when strings or lists grow beyond the arena. */
CFG_MUST_CHECK int cfg_expr_eval(struct cfg_expr_value *out, const struct cfg_expr *e,
                                 const struct cfg_expr_names *names, struct cfg_arena *arena, struct cfg_error *err);
/* The same where a condition is meant: CFG_E_VALUE unless the result is true or false. Brings its own arena. */
CFG_MUST_CHECK int cfg_expr_test(bool *out, const struct cfg_expr *e, const struct cfg_expr_names *names,
                                 struct cfg_error *err);

/* Calls fn once for every name in the expression, in order of first appearance; interpolated texts are given as they
 * stand (`${…}`). Stops when fn returns false. */
typedef bool (*cfg_expr_name_fn)(struct cfg_slice name, void *arg);
void cfg_expr_each_name(const struct cfg_expr *e, cfg_expr_name_fn fn, void *arg);
/* Appends "a.b = 3, c = "x"" for the names of the expression, for messages; names without a value show as missing. */
void cfg_expr_describe(struct cfg_buf *out, const struct cfg_expr *e, const struct cfg_expr_names *names);

/* The length of the balanced `${…}` or `{…}` that begins at text.ptr, its quoted strings and nested ones stepped over;
 * 0 when nothing closes it. */
size_t cfg_expr_span_braces(struct cfg_slice text);

/* Names looked up in a document (borrowed while the result is used), with near misses in the error. */
struct cfg_expr_names cfg_expr_names_of(const cJSON *document);
/* A JSON value as one of an expression; strings and the like stay borrowed from v. CFG_E_VALUE for an object (also one
 * in a list), CFG_E_NOMEM, CFG_E_LIMIT. */
CFG_MUST_CHECK int cfg_expr_from_json(struct cfg_expr_value *out, const cJSON *v, struct cfg_arena *arena,
                                      struct cfg_error *err);
/* The value as JSON. *out is returned-owned. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_expr_to_json(cJSON **out, const struct cfg_expr_value *v, struct cfg_error *err);
/* Appends the value as JSON text, cut at about 60 bytes: for messages. */
void cfg_expr_show(struct cfg_buf *out, const struct cfg_expr_value *v);

#endif
