/* The inside of a compiled schema, shared by the schema_*.c files only.
 *
 * Compiling: the root schema (and every document that a reference leads to) is copied and indexed: each schema object
 * becomes a node, each $id a resource, each anchor an entry of a table. Then every node's keywords are turned into
 * instructions, in the order of the table of rules, so that annotations are there when unevaluated* asks for them.
 * Checking: cfg_schema_eval runs a node's instructions on a place of the document. Which members or items were
 * evaluated is only recorded (marks) where somebody above asks for it.
 *
 * A check first asks for the verdict alone, which stops at the first failure; only a document that fails is gone over
 * again to list everything. */
#ifndef CFG_PROTO_SCHEMA_INTERNAL_H
#define CFG_PROTO_SCHEMA_INTERNAL_H

#include "proto/arena.h"
#include "proto/expr.h"
#include "proto/schema.h"

/* --- types of values, as bits; a whole number has two --- */

enum schema_type {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_OBJECT = 4,
    SCHEMA_ARRAY = 8,
    SCHEMA_NUMBER = 16,
    SCHEMA_STRING = 32,
    SCHEMA_INTEGER = 64,
    SCHEMA_ANY = 127,
};

/* --- the program --- */

struct schema_node;
struct schema_keyword;
struct schema_run;
struct schema_at;
struct schema_pattern;

/* True when the place satisfies the keyword; else reports what is wrong, unless the run is quiet. */
typedef bool (*schema_check_fn)(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at);

struct schema_nodes {
    const struct schema_node *const *list;
    size_t n;
};

/* One of the names that an object's keywords mention. */
struct schema_name {
    const char *key;
    uint32_t hash;
    bool required;
    const struct schema_node *node;      /* properties */
    const struct schema_node *dependent; /* dependentSchemas, dependencies */
    const uint32_t *needs;               /* dependentRequired: indices of names */
    uint32_t n_needs;
};

/* All that properties, patternProperties, additionalProperties, propertyNames, required and dependent* say: one walk
 * over the members of an object serves them together. */
struct schema_members {
    struct schema_name *names;
    size_t n_names;
    uint32_t *table; /* hash table of indices + 1 */
    uint32_t mask;
    const struct schema_pattern *const *patterns;
    struct schema_nodes pattern_nodes;
    const struct schema_node *additional, *property_names;
    uint64_t *required; /* a bit per name */
    bool any_required, any_dependent;
};

struct schema_enum {
    const cJSON *const *values;
    const uint64_t *hashes;
    size_t n;
    bool short_texts; /* a few strings only: comparing them is quicker than hashing */
};

/* A keyword ready to run. */
struct schema_keyword {
    schema_check_fn check;
    const char *name;
    const cJSON *value;
    unsigned types; /* of the values that it says anything about */
    unsigned order;
    union {
        unsigned mask;
        double number;
        size_t count;
        const struct schema_node *node;
        struct schema_nodes nodes;
        const struct schema_members *members;
        struct schema_enum *values;
        const struct schema_pattern *pattern;
        bool (*format)(struct cfg_slice text);
        struct {
            const struct schema_node *node;
            const char *anchor; /* NULL: the reference is a static one after all */
        } dynamic;
        struct {
            const struct schema_node *node;
            size_t from; /* the first item that it is for */
        } items;
        struct {
            const struct schema_node *node;
            size_t least, most;
        } contains;
        struct {
            const struct schema_node *test, *then, *otherwise;
        } branch;
    } u;
};

/* A schema that references lead to by URI: a document's root or what carries an $id. */
struct schema_resource {
    const char *uri;
    const cJSON *root;
    bool foreign; /* not part of the schema that was handed in */
    /* What its $schema asks for. */
    bool no_applicator, no_unevaluated, no_validation, no_format, assert_formats, no_content, no_meta;
    struct schema_dynamic *dynamics;
};

/* A $dynamicAnchor of a resource. */
struct schema_dynamic {
    const char *name;
    const struct schema_node *node;
    struct schema_dynamic *next;
};

struct schema_node {
    const cJSON *json;
    struct schema_resource *resource;
    int constant;   /* 0, 1: the boolean schemas; -1: an object */
    bool tracks;    /* holds unevaluated*, so evaluated members and items are recorded */
    unsigned types; /* that `type` allows */
    size_t typed;   /* 1: the first instruction is `type` */
    const struct schema_keyword *keywords;
    size_t n_keywords;
    struct schema_members *members;
    /* Where it lies, for messages: the keyword of the schema above, and the key or (with none) the index below it. */
    const struct schema_node *up;
    const char *keyword, *key;
    long index; /* −1: neither index nor key */
    /* What it says about its place. */
    enum cfg_apply apply;
    bool secret;
    const char *unit, *capacity;
    /* Of the compiler. */
    struct schema_node *next_todo, *next;
    bool queued;
    int colour;      /* of the search for loops */
    unsigned height; /* of the schemas that apply to one place, from here down */
};

struct cfg_schema {
    struct cfg_arena arena;
    struct schema_node *root;
    struct schema_tree *trees;       /* copies of documents */
    struct schema_pattern *patterns; /* compiled ones, to be freed */
    struct cfg_schema_invariant *invariants;
    struct cfg_expr **invariant_programs;
    size_t n_invariants;
    uint64_t max_steps;
};

struct schema_tree {
    cJSON *json;
    struct schema_tree *next;
};

/* --- compiling --- */

struct schema_entry {
    uint64_t hash;
    const void *key; /* text, or an address where `text` is false */
    bool text;
    void *value;
};

/* A hash table by text or by address. */
struct schema_map {
    struct schema_entry *entries;
    size_t n, size;
};

struct schema_compiler {
    struct cfg_schema *s;
    const struct cfg_schema_options *o;
    struct schema_map resources;      /* URI → resource */
    struct schema_map anchors;        /* URI#anchor → node */
    struct schema_map nodes;          /* address of the JSON → node */
    struct schema_node *todo;         /* nodes whose keywords are still to be compiled */
    struct schema_node *all, *newest; /* every node that was made, the oldest first */
    cJSON *metaschemas;               /* parsed when first asked for */
    size_t pattern_bytes;
    struct cfg_error *err;
};

void *cfg_schema_map_get(const struct schema_map *m, const void *key, bool text);
/* Keys are borrowed; a key that is there is replaced. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_schema_map_set(struct schema_map *m, const void *key, bool text, void *value);
void cfg_schema_map_finish(struct schema_map *m);
/* FNV-1a of n bytes. */
uint32_t cfg_schema_hash(const char *s, size_t n);
/* Equal values hash alike, whatever the order of their members. */
uint64_t cfg_schema_hash_value(const cJSON *v);

/* Fails with the place in the schema: node, then keyword unless NULL, in err->path. Returns code. */
int cfg_schema_fail(struct schema_compiler *c, const struct schema_node *n, const char *keyword, int code,
                    const char *format, ...) CFG_PRINTF(5, 6);
/* Memory of the program; NULL when out of it. */
void *cfg_schema_take(struct schema_compiler *c, size_t n);
int cfg_schema_nomem(struct schema_compiler *c);

/* RFC 3986 §5.2: `ref` against `base`, with its fragment. Into the arena; NULL without memory. */
char *cfg_schema_uri_resolve(struct schema_compiler *c, const char *base, const char *ref);

/* schema_index.c: nodes, resources and references. */
/* Indexes a document (borrowed: it must live as long as the program) under `uri`. *out is its root. */
CFG_MUST_CHECK int cfg_schema_index(struct schema_compiler *c, struct schema_node **out, const cJSON *json,
                                    const char *uri, bool foreign);
/* The node that `ref`, standing in n's keyword, leads to; it is put on the list of what is to be compiled. *anchor is
 * the name of the $dynamicAnchor that the reference names, NULL when it names none. */
CFG_MUST_CHECK int cfg_schema_resolve(struct schema_compiler *c, const struct schema_node **out, const char **anchor,
                                      const struct schema_node *n, const char *keyword, const char *ref);
/* The node of a schema that lies below another one; it is put on the list of what is to be compiled. NULL when the JSON
 * is no schema. */
const struct schema_node *cfg_schema_below(struct schema_compiler *c, const cJSON *json);
/* schema_loops.c: refuses schemas that lead back to themselves without going down in the document. */
CFG_MUST_CHECK int cfg_schema_find_loops(struct schema_compiler *c);
/* schema_vocabulary.c: what a resource's $schema asks for. */
CFG_MUST_CHECK int cfg_schema_vocabulary(struct schema_compiler *c, struct schema_resource *r,
                                         const struct schema_node *root);
/* The schema that `uri` (without fragment) names among the options' documents and the metaschemas: borrowed, *copied
 * says whether the program owns it already. NULL when there is none. */
const cJSON *cfg_schema_document(struct schema_compiler *c, const char *uri, bool *owned);

/* schema_rules.c: which keywords there are. */
enum schema_shape { SCHEMA_SHAPE_NONE, SCHEMA_SHAPE_ONE, SCHEMA_SHAPE_LIST, SCHEMA_SHAPE_MAP, SCHEMA_SHAPE_MIXED };
enum schema_vocabulary {
    SCHEMA_CORE,
    SCHEMA_APPLICATOR,
    SCHEMA_UNEVALUATED,
    SCHEMA_VALIDATION,
    SCHEMA_FORMAT,
    SCHEMA_CONTENT,
    SCHEMA_META,
    SCHEMA_OURS,
};
typedef int (*schema_compile_fn)(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
struct schema_rule {
    const char *name;
    enum schema_vocabulary vocabulary;
    enum schema_shape shape; /* where schemas lie in its value */
    unsigned types;
    schema_compile_fn compile; /* leaves k->check NULL when nothing is to be run */
};
const struct schema_rule *cfg_schema_rule(const char *name, unsigned *order);
/* The keyword that is meant by `name`, a text for a hint, or NULL. */
const char *cfg_schema_rule_hint(const char *name);
/* Turns the keywords of a node into instructions. */
CFG_MUST_CHECK int cfg_schema_compile_node(struct schema_compiler *c, struct schema_node *n);

/* Compilers of keywords, by file. */
int cfg_schema_c_type(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_enum(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_const(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_number(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_count(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_pattern(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_format(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_unique(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_note(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_ours(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_core(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_ref(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_dynamic_ref(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_combine(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_not(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_if(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_prefix_items(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_items(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_contains(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_unevaluated_items(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_unevaluated_members(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
/* One for all keywords of struct schema_members: the first of them brings the instruction. */
int cfg_schema_c_members(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);
int cfg_schema_c_invariants(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k);

/* Is the rule's vocabulary in use where n lies? */
bool cfg_schema_in_use(const struct schema_node *n, const struct schema_rule *rule);

/* --- patterns --- */

/* Compiles an ECMA-262 pattern (unicode mode). *out lives as long as the program. CFG_E_VALUE: no valid pattern, with
 * the reason in `why`; CFG_E_UNSUPPORTED: one that we cannot match; CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_schema_pattern(struct schema_compiler *c, const struct schema_pattern **out, const char *text,
                                      const struct schema_node *n, const char *keyword);
void cfg_schema_patterns_free(struct schema_pattern *first);
bool cfg_schema_pattern_matches(struct schema_run *r, const struct schema_pattern *p, const char *text);
/* Frees what matching took. */
void cfg_schema_pattern_done(struct schema_run *r);
const char *cfg_schema_pattern_text(const struct schema_pattern *p);
/* ECMA-262 into PCRE2's language: appends to out. NULL, or why it is no valid pattern (static text), with the offset.
 */
const char *cfg_schema_pattern_translate(struct cfg_buf *out, struct cfg_slice text, size_t *offset);
/* Appends \\p{…} (or \\P) for ECMA-262's name of a property. False when it is none; what was appended then means
 * nothing. */
bool cfg_ecma_property(struct cfg_buf *out, bool negated, struct cfg_slice text);
/* Would it compile? For the format `regex`. */
bool cfg_schema_pattern_valid(struct cfg_slice text);

/* --- formats: by RFC; the text is the tree's UTF-8. --- */

struct schema_format {
    const char *name;
    bool (*valid)(struct cfg_slice text);
};
const struct schema_format *cfg_schema_format(const char *name);
const char *cfg_schema_format_near(const char *name);
bool cfg_format_date_time(struct cfg_slice s);
bool cfg_format_date(struct cfg_slice s);
bool cfg_format_time(struct cfg_slice s);
bool cfg_format_duration(struct cfg_slice s);
bool cfg_format_email(struct cfg_slice s);
bool cfg_format_idn_email(struct cfg_slice s);
bool cfg_format_hostname(struct cfg_slice s);
bool cfg_format_idn_hostname(struct cfg_slice s);
bool cfg_format_ipv4(struct cfg_slice s);
bool cfg_format_ipv6(struct cfg_slice s);
bool cfg_format_uri(struct cfg_slice s);
bool cfg_format_uri_reference(struct cfg_slice s);
bool cfg_format_iri(struct cfg_slice s);
bool cfg_format_iri_reference(struct cfg_slice s);
bool cfg_format_uri_template(struct cfg_slice s);
bool cfg_format_uuid(struct cfg_slice s);
bool cfg_format_json_pointer(struct cfg_slice s);
bool cfg_format_relative_json_pointer(struct cfg_slice s);

/* --- checking --- */

/* Which members or items of a value some keyword has evaluated: a bit per place in its list. */
struct schema_marks {
    bool all;
    uint64_t *bits;
    size_t words;
};

/* A place in the document. */
struct schema_at {
    const cJSON *v;
    unsigned type; /* bits of enum schema_type */
    const char *key;
    size_t index; /* where key is NULL and up is not */
    const struct schema_at *up;
    struct schema_marks *marks; /* NULL: nobody asks */
};

/* The resources that evaluation has entered, the innermost first. */
struct schema_scope {
    const struct schema_resource *resource;
    const struct schema_scope *up;
};

struct schema_run {
    const struct cfg_schema *s;
    uint64_t steps; /* that are left */
    unsigned depth;
    int failed;  /* 0, CFG_E_LIMIT or CFG_E_NOMEM: the verdict then means nothing */
    bool quiet;  /* the verdict alone: stop at the first failure, report nothing */
    cJSON *list; /* of violations; NULL: none is wanted */
    size_t count;
    size_t compared;       /* names and values, for hints */
    struct cfg_error *err; /* takes the first */
    const struct schema_scope *scope;
    void *match; /* PCRE2's memory, made when first needed */
    struct cfg_arena arena;
};

/* A schema that only names types is so common that it needs no call. */
static inline bool cfg_schema_only_type(const struct schema_node *n)
{
    return n->constant < 0 && n->n_keywords == n->typed;
}
bool cfg_schema_eval(struct schema_run *r, const struct schema_node *n, const struct schema_at *at);
/* The same without reporting. */
bool cfg_schema_eval_quiet(struct schema_run *r, const struct schema_node *n, const struct schema_at *at);
/* Its bits of enum schema_type. Beyond 2^53 every double is whole. */
static inline unsigned cfg_schema_type_of(const cJSON *v)
{
    double d = v->valuedouble;
    switch (v->type & 0xFF) {
    case cJSON_False:
    case cJSON_True:
        return SCHEMA_BOOLEAN;
    case cJSON_Number:
        return d > 9e15 || d < -9e15 || d == (double)(int64_t)d ? SCHEMA_NUMBER | SCHEMA_INTEGER : SCHEMA_NUMBER;
    case cJSON_String:
        return SCHEMA_STRING;
    case cJSON_Array:
        return SCHEMA_ARRAY;
    case cJSON_Object:
        return SCHEMA_OBJECT;
    default:
        return SCHEMA_NULL;
    }
}
/* Takes steps; false (and r->failed set) when none are left. */
static inline bool cfg_schema_spend(struct schema_run *r, uint64_t steps)
{
    if (r->steps >= steps) {
        r->steps -= steps;
        return true;
    }
    r->steps = 0;
    r->failed = CFG_E_LIMIT;
    return false;
}
/* Marks as wide as the value at `at`, all clear. False when memory is out. */
bool cfg_schema_marks_init(struct schema_run *r, struct schema_marks *m, const struct schema_at *at);
void cfg_schema_mark(struct schema_marks *m, size_t i); /* takes NULL */
void cfg_schema_mark_all(struct schema_marks *m);       /* takes NULL */
bool cfg_schema_marked(const struct schema_marks *m, size_t i);
void cfg_schema_marks_merge(struct schema_marks *into, const struct schema_marks *from); /* into: takes NULL */

/* Exact on the decimals that the two numbers are written as: 0.3 is a multiple of 0.1. by > 0. */
bool cfg_schema_is_multiple(double v, double by);

/* --- reporting --- */

enum { CFG_SCHEMA_COMPARED = 20000 };
/* Is this violation one that is listed, and may it be compared with n candidates for a hint? Hints are a courtesy: the
 * work for all of a check's is bounded, and a violation without one is a violation still. */
static inline bool cfg_schema_may_hint(struct schema_run *r, size_t n)
{
    if (r->count >= CFG_SCHEMA_VIOLATIONS || n > CFG_SCHEMA_COMPARED - r->compared)
        return false;
    r->compared += n;
    return true;
}

/* What to say about a place; texts are copied. */
struct schema_report {
    const char *keyword;
    const char *key;      /* the path is that of this member of the place; NULL: the place itself */
    const char *expected; /* NULL: left out */
    bool no_got;          /* do not show the value, but what `got` says, if anything */
    const char *got;
    const char *hint; /* NULL: none */
};
/* Adds a violation, unless the run is quiet. Always returns false, so checks end with `return cfg_schema_report(…)`. */
bool cfg_schema_report(struct schema_run *r, const struct schema_at *at, const struct schema_report *what,
                       const char *format, ...) CFG_PRINTF(4, 5);
/* A value as short text for messages. */
void cfg_schema_show(struct cfg_buf *out, const cJSON *v);
/* Fails the run when the text of a report lacks memory; one that was cut at its maximum will do. */
static inline void cfg_schema_need(struct schema_run *r, const struct cfg_buf *text)
{
    if (cfg_buf_status(text) == CFG_E_NOMEM)
        r->failed = CFG_E_NOMEM;
}
/* Appends a place's dotted path. */
void cfg_schema_put_path(struct cfg_buf *out, const struct schema_at *at);
/* The same as text, cut where it is too long. */
enum { CFG_SCHEMA_SHOWN_PATH = 1024 };
void cfg_schema_path_text(char out[CFG_SCHEMA_SHOWN_PATH], struct schema_run *r, const struct schema_at *at);

/* Evaluates the invariants; false when one is violated. */
bool cfg_schema_check_invariants(struct schema_run *r, const cJSON *document);

#endif
