/* What the two halves of the interpolation parser share: text and `${…}` (inter_parse.c), elements (inter_element.c).
 * Internal to proto. Parsing functions return 0 or a code with s->err filled. */
#ifndef CFG_PROTO_INTER_PARSER_H
#define CFG_PROTO_INTER_PARSER_H

#include "proto/inter.h"

struct inter_parser {
    struct cfg_arena *arena;
    const char *begin, *p, *end;
    unsigned depth;
    struct cfg_error *err;
};

/* Items that are gathered before their number is known. */
struct inter_row {
    struct inter **items; /* in the arena */
    size_t n, cap;
};

CFG_MUST_CHECK int inter_refuse(struct inter_parser *s, const char *at, const char *why);
CFG_MUST_CHECK int inter_no_memory(struct inter_parser *s);
CFG_MUST_CHECK int inter_enter(struct inter_parser *s); /* one level deeper; CFG_E_LIMIT */
struct inter *inter_new(struct inter_parser *s, enum inter_kind kind);
CFG_MUST_CHECK int inter_push(struct inter_parser *s, struct inter_row *row, struct inter *item);
CFG_MUST_CHECK int inter_push_text(struct inter_parser *s, struct inter_row *row, struct cfg_slice text);
void inter_skip_blanks(struct inter_parser *s);
bool inter_at_open(const struct inter_parser *s); /* at `${` */

/* With the parser on `${`. */
CFG_MUST_CHECK int inter_parse_inter(struct inter_parser *s, struct inter **out);
/* With the parser on the quote. */
CFG_MUST_CHECK int inter_parse_quoted(struct inter_parser *s, struct inter **out);
CFG_MUST_CHECK int inter_parse_element(struct inter_parser *s, struct inter **out);
/* Elements with commas between them, up to and over `close`. A missing one is an empty string. */
CFG_MUST_CHECK int inter_parse_sequence(struct inter_parser *s, struct inter_row *row, char close);
/* The length of an identifier at p: a letter or _, then letters, digits, _ and -. */
size_t inter_identifier(const char *p, const char *end);

#endif
