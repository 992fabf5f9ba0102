/* JsonLogic as flags use it: compiled into a tree of 16-byte nodes in an arena, evaluated without allocation.
 *
 * Names of attributes are split and hashed, literals converted and constant operators folded while compiling. Nodes are
 * immutable and may be shared: a $ref is the compiled evaluator itself, not a copy, so nothing in a node depends on
 * the flag that uses it (the flag's name and hash version come with the run).
 *
 * Two rule books differ only in what bad operands mean. CFG_RULES_FLAGD, which flags use, is flagd's: comparing what
 * cannot be compared is false, computing with it gives null, so a flag falls back to its default variant.
 * CFG_RULES_JSONLOGIC is json-logic.org's tables: the same is an error with a type.
 *
 * Internal to flags and its conformance suite. Evaluation is thread-safe; compiling is single-threaded per arena. */
#ifndef CFG_FLAGS_LOGIC_H
#define CFG_FLAGS_LOGIC_H

#include "flags/arena.h"
#include "flags/murmur3.h"
#include "flags/semver.h"
#include "flags/value.h"

#include <string.h>

/* --- values --- */

/* Names and short texts are compared without a call, eight bytes at a time and the last ones overlapping. */
static inline bool same_bytes(const char *a, const char *b, size_t n)
{
    uint64_t x, y;
    uint32_t v, w;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y)
            return false;
    }
    if (i == n)
        return true;
    if (n >= 8) {
        memcpy(&x, a + n - 8, 8);
        memcpy(&y, b + n - 8, 8);
        return x == y;
    }
    if (n < 4)
        return a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1];
    memcpy(&v, a, 4);
    memcpy(&w, b, 4);
    if (v != w)
        return false;
    memcpy(&v, a + n - 4, 4);
    memcpy(&w, b + n - 4, 4);
    return v == w;
}

static inline struct cfg_flag_value value_null(void)
{
    return (struct cfg_flag_value){CFG_VALUE_NULL, 0, {.number = 0}};
}

static inline struct cfg_flag_value value_bool(bool b)
{
    return (struct cfg_flag_value){CFG_VALUE_BOOL, 0, {.boolean = b}};
}

static inline struct cfg_flag_value value_number(double d)
{
    return (struct cfg_flag_value){CFG_VALUE_NUMBER, 0, {.number = d}};
}

static inline struct cfg_flag_value value_string(const char *s, size_t n)
{
    return (struct cfg_flag_value){CFG_VALUE_STRING, (uint32_t)n, {.string = s}};
}

static inline struct cfg_flag_value value_array(const struct cfg_flag_value *items, size_t n)
{
    return (struct cfg_flag_value){CFG_VALUE_ARRAY, (uint32_t)n, {.items = items}};
}

/* A value from a tree in one block *memory (cJSON_free). Members are in cfg_flag_member_order. CFG_E_LIMIT,
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_flag_value_from_json(struct cfg_flag_value *out, void **memory, const cJSON *v,
                                            struct cfg_error *err);
/* Of two members, for qsort: by length of the name, then by its bytes, as deterministic CBOR has them. */
int cfg_flag_member_order(const void *a, const void *b);

/* --- the program --- */

enum logic_op {
    OP_LITERAL,
    OP_TEST,  /* an attribute against a literal: the node's bits are the operator */
    OP_ARRAY, /* a literal array that holds operators */
    OP_VAR,
    OP_VAR_DYNAMIC, /* its path, or that there is a path at all, is only known when it runs */
    OP_FLAG_KEY,
    OP_TIMESTAMP,
    OP_IF,
    OP_AND,
    OP_OR,
    OP_NOT,
    OP_TRUTHY,
    OP_EQ,
    OP_NE,
    OP_SAME,
    OP_NOT_SAME,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_MIN,
    OP_MAX,
    OP_CAT,
    OP_SUBSTR,
    OP_IN,
    OP_IN_SET, /* in, over a literal array of strings: a hash table */
    OP_MERGE,
    OP_MAP,
    OP_FILTER,
    OP_REDUCE,
    OP_ALL,
    OP_SOME,
    OP_NONE,
    OP_MISSING,
    OP_MISSING_SOME,
    OP_LOG,
    OP_FRACTIONAL,
    OP_SEM_VER,
    OP_STARTS_WITH,
    OP_ENDS_WITH,
    OP_VAL,
    OP_THROW
};

enum {
    /* The operand was no array: {"op": x}. If x is an operator and gives an array, that is the operands. */
    NODE_BARE = 1,
    NODE_HAS_KEY = 2,               /* OP_FRACTIONAL: its first operand says what to hash */
    LOGIC_DEPTH = 100,              /* nested operators, $refs followed */
    LOGIC_WORK = 200000,            /* operators one evaluation may run */
    LOGIC_STACK_SCRATCH = 32 * 1024 /* untouched unless a rule builds something */
};

struct logic_segment {
    const struct arena_string *name;
    uint32_t index; /* as an index of an array; UINT32_MAX when it is none */
};

struct logic_path {
    uint32_t n;
    struct logic_segment segments[];
};

struct logic_set { /* the strings of a literal array, by open addressing; empty slots are NULL */
    uint32_t mask;
    const struct arena_string *slots[];
};

struct logic_var;
struct logic_in_set;
struct logic_test;

struct logic_node {
    uint8_t op, bits;
    uint16_t n;            /* operands */
    uint32_t weight_total; /* OP_FRACTIONAL with literal weights: their sum, else 0 */
    union {
        const struct logic_node *kids;
        const struct cfg_flag_value *literal;
        const struct logic_var *var;
        const struct logic_in_set *in_set;
        const struct logic_test *test;
    } as;
};

struct logic_var {
    const struct logic_path *path;
    const struct logic_node *otherwise; /* NULL: null */
};

struct logic_test {
    const struct logic_path *path;
    uint32_t hash, len; /* of the only name of the path; len UINT32_MAX when it has more */
    struct cfg_flag_value literal;
};

struct logic_in_set {
    const struct logic_node *needle;
    const struct logic_set *set;
};

/* --- compiling --- */

enum cfg_rules { CFG_RULES_FLAGD, CFG_RULES_JSONLOGIC };

/* Seconds at which a rule's answer may change by itself: what it compares the time with. In the arena. */
struct logic_instants {
    int64_t *at;
    uint32_t n, cap;
};

/* Where named evaluators come from; one per set, compiled when first used. */
struct logic_evaluator {
    const char *name; /* borrowed from the tree that it is compiled from */
    const cJSON *source;
    struct logic_node root;
    unsigned depth; /* of root */
    struct logic_instants instants;
    enum { EVALUATOR_NEW, EVALUATOR_OPEN, EVALUATOR_DONE } state;
};

struct logic_compiler {
    struct flag_arena *arena;
    enum cfg_rules rules;
    bool lenient; /* flagd's evaluator takes what its schema refuses, and answers null for it: so do we when reading
                     flagd's files; what people write is refused */
    struct logic_evaluator *evaluators;
    size_t n_evaluators;
    const char *root; /* of paths in errors: "definition.targeting" */
    struct cfg_error *err;
    const struct logic_place *place; /* where compiling is */
    unsigned depth, deepest;
    struct logic_instants instants; /* of the rule being compiled; emptied by whoever begins one */
};

/* One step of the way to a rule, on the stack of whoever compiles it: spelt out only when something is refused. */
struct logic_place {
    const struct logic_place *up;
    const char *name; /* NULL: index */
    long index;
};

/* Compiles a rule into *out. CFG_E_VALUE (with path), CFG_E_UNSUPPORTED (an unknown operator), CFG_E_LIMIT,
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_logic_compile(struct logic_node *out, struct logic_compiler *c, const cJSON *rule);
/* What the operator compilers of logic_operators.c share with cfg_logic_compile. */
CFG_MUST_CHECK int cfg_logic_compile_node(struct logic_node *out, struct logic_compiler *c, const cJSON *v);
CFG_MUST_CHECK int cfg_logic_compile_operator(struct logic_node *out, struct logic_compiler *c, const cJSON *operation);
/* CFG_VAR_IS_DYNAMIC when the path is only known when it runs; *out is unchanged then. */
enum { CFG_VAR_IS_DYNAMIC = 1 };
CFG_MUST_CHECK int cfg_logic_compile_var(struct logic_node *out, struct logic_compiler *c, const cJSON *args);
CFG_MUST_CHECK int cfg_logic_literal(struct logic_node *out, struct logic_compiler *c, const cJSON *v);
/* Notes what a comparison whose operands are compiled compares the time with (flips.c). CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_logic_note_instants(struct logic_compiler *c, const struct logic_node *node);
CFG_MUST_CHECK int cfg_logic_add_instants(struct logic_compiler *c, const struct logic_instants *of);
/* Makes a draft of n nodes the kids of *out, shared with equal ones. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_logic_keep_kids(struct logic_node *out, struct logic_compiler *c, struct logic_node *kids,
                                       size_t n);
int cfg_logic_refuse(struct logic_compiler *c, int code, const char *why, const char *hint);
int cfg_logic_no_memory(struct logic_compiler *c);
/* *place must live until cfg_logic_leave. */
void cfg_logic_enter(struct logic_compiler *c, struct logic_place *place, const char *name, long index);
void cfg_logic_leave(struct logic_compiler *c);

/* --- evaluating --- */

enum logic_error {
    LOGIC_OK,
    LOGIC_NAN,
    LOGIC_BAD_ARGUMENTS,
    LOGIC_THROWN, /* by `throw`: run.thrown is its type */
    LOGIC_LIMIT   /* work or scratch used up, under either rule book */
};

/* What `var` looks into. Inside map, filter and their kin that is the item. */
struct logic_scope {
    struct cfg_flag_value data;
    uint32_t index; /* of the item */
    const struct logic_scope *up;
};

struct logic_run {
    const struct logic_scope *scope;
    const struct cfg_flag_explain *explain;
    struct cfg_slice flag_key; /* $flagd.flagKey; ptr NULL outside of flags */
    struct cfg_murmur3 seed;   /* of flag_key, for `fractional` without a value of its own */
    int64_t timestamp;
    char *scratch;
    size_t used, size;
    uint32_t work; /* operators that may still run */
    uint8_t hash_version, rules, error;
    struct cfg_flag_value thrown;
};

struct cfg_flag_value cfg_logic_eval(struct logic_run *r, const struct logic_node *node);

bool cfg_logic_truthy(const struct cfg_flag_value *v);
/* As JavaScript's Number(): null 0, booleans 0 and 1, texts trimmed, "" 0. False for NaN, arrays and objects. */
bool cfg_logic_to_number(double *out, const struct cfg_flag_value *v);
bool cfg_logic_same(const struct cfg_flag_value *a, const struct cfg_flag_value *b);
/* Text as JavaScript's String() gives it, null as "". Borrowed from the value or built in the run's scratch. */
struct cfg_slice cfg_logic_text(struct logic_run *r, const struct cfg_flag_value *v);
/* Scratch memory aligned to 16, or NULL with r->error set. */
void *cfg_logic_scratch(struct logic_run *r, size_t n);
/* Sets the error that the rule book has for it (none under flagd's), and returns null. */
struct cfg_flag_value cfg_logic_fail(struct logic_run *r, enum logic_error error);
/* Takes `amount` off the work that the run may still do. False, with the error set, when that is used up. */
static inline bool cfg_logic_charge(struct logic_run *r, size_t amount)
{
    if (amount > r->work) {
        (void)cfg_logic_fail(r, LOGIC_LIMIT);
        return false;
    }
    r->work -= (uint32_t)amount;
    return true;
}
/* A member by name; NULL when v is no object or has none. Looking through many members, and finding a long text, which
 * whoever asked for it will read, is charged; NULL, with the error set, when that uses the work up. */
const struct cfg_flag_value *cfg_logic_member(struct logic_run *r, const struct cfg_flag_value *v, const char *name,
                                              size_t len, uint32_t hash);
/* What lies at a path in data, NULL for nothing; charged likewise. */
const struct cfg_flag_value *cfg_logic_find(struct logic_run *r, const struct cfg_flag_value *data,
                                            const struct logic_path *path);
/* The same with the path as text ("user.name"). */
const struct cfg_flag_value *cfg_logic_find_text(struct logic_run *r, const struct cfg_flag_value *data,
                                                 struct cfg_slice path);

/* Operands of an operator, computed one by one and only when asked for. */
struct logic_args {
    const struct logic_node *kids;
    const struct cfg_flag_value *spread; /* not NULL: the operands are these */
    uint32_t n;
    bool bare;
};
struct logic_args cfg_logic_args(struct logic_run *r, const struct logic_node *node);
struct cfg_flag_value cfg_logic_arg(struct logic_run *r, const struct logic_args *a, uint32_t i);

/* One comparison. What cannot be compared fails, or is just not so. */
bool cfg_logic_holds(struct logic_run *r, enum logic_op op, const struct cfg_flag_value *a,
                     const struct cfg_flag_value *b);
struct cfg_flag_value cfg_logic_compare(struct logic_run *r, const struct logic_node *node);
struct cfg_flag_value cfg_logic_arithmetic(struct logic_run *r, const struct logic_node *node);
struct cfg_flag_value cfg_logic_string(struct logic_run *r, const struct logic_node *node);
struct cfg_flag_value cfg_logic_array(struct logic_run *r, const struct logic_node *node);
struct cfg_flag_value cfg_logic_data(struct logic_run *r, const struct logic_node *node);
struct cfg_flag_value cfg_logic_fractional(struct logic_run *r, const struct logic_node *node);
struct cfg_flag_value cfg_logic_sem_ver(struct logic_run *r, const struct logic_node *node);

/* The hash of a value's deterministic CBOR (RFC 8949, section 4.2) for `fractional` version 3. */
bool cfg_cbor_hash(uint32_t *out, struct logic_run *r, const struct cfg_flag_value *v);

#endif
