/* JSON Schema, draft 2020-12: a schema is compiled once into an immutable program, which then judges documents in
 * microseconds and lists everything that is wrong with one.
 *
 * What a schema says is either enforced or refused when it is compiled; nothing is ignored in silence. On top of the
 * standard's keywords stand those that configd acts on: x-apply, x-capacity, x-secret, x-unit (docs/schemas.md) and, at
 * the root, x-invariants. Other keywords that begin with x- are kept for their authors and mean nothing here.
 *
 * Nothing is fetched: a reference that leaves the schema is resolved among the documents that the options hand in and
 * the standard's own metaschemas, or refused. Work, depth and pattern matching are bounded: what is too much ends with
 * CFG_E_LIMIT, never hangs.
 *
 * Threading: a compiled schema is immutable; any number of threads may check with it at once. Pure. */
#ifndef CFG_PROTO_SCHEMA_H
#define CFG_PROTO_SCHEMA_H

#include "proto/json.h"

enum {
    CFG_SCHEMA_VIOLATIONS = 100, /* listed per check; the rest is counted */
};

/* Strictness of the apply classes rises in this order. */
enum cfg_apply {
    CFG_APPLY_NONE, /* nobody declared one */
    CFG_APPLY_LIVE,
    CFG_APPLY_DRAIN,
    CFG_APPLY_BARRIER,
    CFG_APPLY_RESTART,
    CFG_APPLY_PINNED,
};
/* "live", "drain", …; "none" for CFG_APPLY_NONE. Static storage. */
const char *cfg_apply_name(enum cfg_apply a);
/* False when the text names no class; *out is then untouched. "none" names none. */
bool cfg_apply_parse(enum cfg_apply *out, const char *text);

/* A schema that references may lead to, by its absolute URI without a fragment. Both are borrowed for the compilation
 * only: what the program needs of them is copied. */
struct cfg_schema_document {
    const char *uri;
    const cJSON *schema;
};

struct cfg_schema_options {
    /* Unknown keywords and formats are ignored, as the standard permits, instead of refused with a hint. Values of
     * known keywords are checked all the same. */
    bool lenient;
    bool assert_formats; /* `format` is an assertion; without it an annotation whose name is checked */
    const struct cfg_schema_document *documents;
    size_t n_documents;
    const char *base_uri; /* that the root's $id and references are relative to; NULL: none */
    /* Steps (about one per keyword and value) that one check may take; 0: the default, about half a second's. */
    uint64_t max_steps;
};

struct cfg_schema;

/* Compiles a schema. `schema` is borrowed for the call (the program keeps its own copy); options may be NULL.
 * *out is returned-owned (cfg_schema_free). On failure err->path is a JSON pointer into the schema, as a URI fragment
 * (#/properties/a/minimum), and err->text says what is wrong there.
 * Errors: CFG_E_VALUE (no valid schema: a keyword's value, an unknown keyword, a reference that leads nowhere or back
 * to itself), CFG_E_UNSUPPORTED (valid but not ours: another draft, a vocabulary or a pattern that we lack),
 * CFG_E_LIMIT (nested too deep, patterns too large), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_schema_compile(struct cfg_schema **out, const cJSON *schema,
                                      const struct cfg_schema_options *options, struct cfg_error *err);
void cfg_schema_free(struct cfg_schema *s); /* takes NULL */

/* Judges a document. 0: valid. CFG_E_SCHEMA: it is not; err->text names the first violation and how many there are,
 * err->path its place. `violations` (an array, may be NULL) then gets one object per violation appended, members
 * copied:
 *   {"path" dotted ("" is the document, "a.list[0].b"), "keyword", "message", "expected"?, "got"?, "hint"?}
 * at most CFG_SCHEMA_VIOLATIONS of them; if there are more, one last object of keyword "more" tells how many in
 * "message" and "count". A secret's value is never shown. Also: CFG_E_LIMIT (more work than allowed: neither valid nor
 * not), CFG_E_NOMEM. On these, what was appended is taken back. */
CFG_MUST_CHECK int cfg_schema_check(const struct cfg_schema *s, const cJSON *document, cJSON *violations,
                                    struct cfg_error *err);
/* The verdict alone, without a list: 0, CFG_E_SCHEMA, CFG_E_LIMIT, CFG_E_NOMEM. The cheapest question. */
CFG_MUST_CHECK int cfg_schema_judge(const struct cfg_schema *s, const cJSON *document);

/* --- what a schema says of a parameter --- */

/* Strings are borrowed from the schema, NULL where nothing is said. */
struct cfg_schema_info {
    bool declared; /* some schema describes this path by name (not only a pattern or additionalProperties) */
    /* x-apply of the path or of the nearest object above it that has one; of several at one place (allOf, $ref) the
     * strictest. */
    enum cfg_apply apply;
    const char
        *capacity; /* x-capacity: dotted path of the pinned key that bounds it; "" for `true`: the worker's ceiling */
    bool secret;   /* x-secret, here or above */
    const char *unit; /* x-unit */
    const char *title, *description;
    const cJSON *fallback; /* `default`; borrowed */
    const char *type;      /* the one type that `type` allows, NULL when there are several or none */
};

/* What the schema says of a dotted path (a.b, a.list[0].c): through properties, patternProperties,
 * additionalProperties, prefixItems, items, and in place through allOf, $ref, anyOf, oneOf, if/then/else. "" is the
 * document. *out is always filled; a path that nothing describes gives zeros (and the class of what is above it). False
 * when the path is malformed, or memory or patience with patterns ran out: then nothing is known. */
bool cfg_schema_info(struct cfg_schema_info *out, const struct cfg_schema *s, const char *path);

/* Root keyword x-invariants: [{"expr", "message"}], compiled with the schema and evaluated by cfg_schema_check on the
 * document as it is given, so hand in resolved values. One that names a key that is not there says nothing (`required`
 * is for that); one that is false or cannot be evaluated is a violation. Borrowed from the schema. */
struct cfg_schema_invariant {
    const char *expr, *message; /* message: NULL when none is given */
};
size_t cfg_schema_invariants(const struct cfg_schema *s, const struct cfg_schema_invariant **out);

#endif
