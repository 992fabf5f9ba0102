/* What the two halves of the expression parser share: operands (expr_token.c) and operators (expr_parse.c). Internal to
 * proto. Parsing functions return 0 or a code with s->err filled. */
#ifndef CFG_PROTO_EXPR_PARSER_H
#define CFG_PROTO_EXPR_PARSER_H

#include "proto/expr_internal.h"

struct expr_parser {
    struct cfg_expr *e;
    const char *begin, *p, *end;
    size_t nodes;
    unsigned depth;
    struct expr_node **last_name; /* where the next node with a name is linked */
    struct cfg_error *err;
};

/* CFG_E_VALUE with the column of `at`. */
CFG_MUST_CHECK int expr_refuse(struct expr_parser *s, const char *at, const char *why, const char *hint);
/* "expected …, found what stands here". */
CFG_MUST_CHECK int expr_refuse_found(struct expr_parser *s, const char *expected);
CFG_MUST_CHECK int expr_too_large(struct expr_parser *s, const char *what);
/* A node with room for n arguments; NULL when there are too many nodes or no memory: return expr_no_node then. */
struct expr_node *expr_new_node(struct expr_parser *s, enum expr_op op, const char *at, size_t n);
CFG_MUST_CHECK int expr_no_node(struct expr_parser *s);

bool expr_is_digit(char c);
bool expr_begins_name(char c);
void expr_skip_blanks(struct expr_parser *s);
bool expr_at_text(const struct expr_parser *s, const char *text);
/* Step over blanks and a keyword that no longer word begins with, or a sign; false when it does not stand here. */
bool expr_take_word(struct expr_parser *s, const char *word);
bool expr_take_sign(struct expr_parser *s, const char *sign);
struct cfg_slice expr_name_at(const char *p, const char *end);

CFG_MUST_CHECK int expr_parse_number(struct expr_parser *s, struct expr_node **out);
CFG_MUST_CHECK int expr_parse_string(struct expr_parser *s, struct expr_node **out);
CFG_MUST_CHECK int expr_parse_inter(struct expr_parser *s, struct expr_node **out);
/* With the parser behind the first word of a name that begins at `at`. */
CFG_MUST_CHECK int expr_parse_path(struct expr_parser *s, const char *at, struct expr_node **out);

#endif
