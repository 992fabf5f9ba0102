/* The workbench of one decision: every object a change touches or looks into, with its body before and after. Internal
 * to change_*.c. Pure. */
#ifndef CFG_CONFIGD_CHANGE_DRAFT_H
#define CFG_CONFIGD_CHANGE_DRAFT_H

#include "configd/change.h"

struct cfg_draft {
    struct cfg_object_id id;
    struct cfg_object *head;      /* borrowed from the heads; NULL: never written */
    cJSON *before, *after;        /* bodies (cfg_object_body), owned; NULL: absent or deleted */
    size_t entry;                 /* the one entry that may touch it */
    bool touched;                 /* false: only looked into */
    bool frozen;                  /* touched by no entry: a schema pins more of this deployment */
    struct cfg_flag_facts *facts; /* of a flag's `after`; see cfg_draft_facts */
    bool has_facts;
    cJSON *changes;   /* for people; NULL: not told yet; owned */
    char message[64]; /* instead of an empty message; "" for none */
    char hint[256];
};

struct cfg_bench {
    const struct cfg_change *change;
    const struct cfg_heads *heads;
    /* Pointers stay valid: an item never moves. */
    struct cfg_draft **items;
    size_t n, cap;
    struct cfg_guard *guards;
    size_t n_guards, cap_guards;
    char graph[CFG_LIMIT_NAME + 1]; /* the namespace whose prerequisites were checked last, all of them */
    struct cfg_spaces *spaces;      /* of change_spaces.h; owned by whoever owns the bench */
    struct cfg_checks *checks;      /* of change_checks.h; likewise */
};

void cfg_bench_finish(struct cfg_bench *b);
/* The object's draft, opened on first use. *out is borrowed from the bench. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_bench_open(struct cfg_draft **out, struct cfg_bench *b, const struct cfg_object_id *id,
                                  struct cfg_error *err);
/* Only when it was opened already; NULL otherwise. */
struct cfg_draft *cfg_bench_find(const struct cfg_bench *b, const struct cfg_object_id *id);
/* Marks the draft as written by an entry, after its precondition. CFG_E_PRECONDITION, CFG_E_INVALID (two entries for
 * one object). */
CFG_MUST_CHECK int cfg_bench_touch(struct cfg_bench *b, struct cfg_draft *d, size_t entry, struct cfg_error *err);
/* What the transaction must find unchanged, once per guard. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_bench_guard(struct cfg_bench *b, const struct cfg_guard *g, struct cfg_error *err);
CFG_MUST_CHECK int cfg_bench_guard_head(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err);
/* Every head of the kind in ns ("": all): guards that none is added or changed. */
CFG_MUST_CHECK int cfg_bench_guard_space(struct cfg_bench *b, enum cfg_kind kind, const char *ns,
                                         struct cfg_error *err);
/* What a flag says about others as it will be, read on first use: when every entry has been applied. *out is borrowed,
 * NULL when it says nothing. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_draft_facts(const struct cfg_flag_facts **out, struct cfg_draft *d, struct cfg_error *err);
/* A transaction takes 128 compares: beyond CFG_GUARDS_MAX, guards of one kind become one over all of its objects, heads
 * that are only read before those that are written. CFG_E_NOMEM. */
enum { CFG_GUARDS_MAX = 100 };
CFG_MUST_CHECK int cfg_bench_compact(struct cfg_bench *b, struct cfg_error *err);
/* Version that the object has once this change is committed. */
uint64_t cfg_draft_next_version(const struct cfg_draft *d);
bool cfg_draft_changed(const struct cfg_draft *d);
/* "namespace chat", "flag experiment/ab.flag", "deployment chat-blue", for messages. */
enum { CFG_DRAFT_LABEL = CFG_OBJECT_ID_TEXT + 16 };
const char *cfg_draft_label(const struct cfg_object_id *id, char out[CFG_DRAFT_LABEL]);
/* CFG_E_NOT_FOUND for an object that does not exist (any more), with the hint that helps. */
int cfg_bench_missing(const struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err);

/* The entries, by kind of object; each works on drafts alone. */
CFG_MUST_CHECK int cfg_apply_entry(struct cfg_bench *b, size_t entry, struct cfg_error *err);
CFG_MUST_CHECK int cfg_apply_set(struct cfg_bench *b, size_t entry, struct cfg_error *err);
CFG_MUST_CHECK int cfg_apply_deployment(struct cfg_bench *b, size_t entry, struct cfg_error *err);

/* What only shows when a namespace's flags are taken together, as they will be after the change (change_flags.c). */
CFG_MUST_CHECK int cfg_flags_check_flag(struct cfg_bench *b, struct cfg_draft *d, struct cfg_error *err);
CFG_MUST_CHECK int cfg_flags_check_evaluators(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err);
/* Of a flip: the change's author holds the lock, and it goes forwards. CFG_E_CONFLICT. */
CFG_MUST_CHECK int cfg_flags_check_flip(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err);
/* Every flag that there will be in ns, with its facts (NULL: none); guards that none is added or changed. body is that
 * of a flag that the bench has opened, NULL for others: `head` has it. fn stops the walk with anything but 0, which is
 * then the result. CFG_E_NOMEM. */
typedef int (*cfg_flag_after_fn)(void *arg, const char *name, const struct cfg_flag_facts *facts, const cJSON *body,
                                 const struct cfg_object *head);
CFG_MUST_CHECK int cfg_flags_each_after(struct cfg_bench *b, const char *ns, cfg_flag_after_fn fn, void *arg,
                                        struct cfg_error *err);
/* Prerequisites of d's namespace, all of them, once per change: no circle, no chain that is too long
 * (change_flags_graph.c). CFG_E_VALUE, CFG_E_LIMIT.
 */
CFG_MUST_CHECK int cfg_flags_check_graph(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err);

/* CFG_E_IN_USE when the namespace is deleted under a deployment. */
CFG_MUST_CHECK int cfg_deployments_refuse(struct cfg_bench *b, const struct cfg_draft *config, struct cfg_error *err);

/* Names for a message: "a, b, c, d, e and 4 more". Zeroed: none. */
struct cfg_name_list {
    char text[240];
    size_t n;
};
void cfg_name_list_add(struct cfg_name_list *l, const char *name);
const char *cfg_name_list_text(struct cfg_name_list *l); /* once, when all are there */

/* Nodes one below another at most; a scalar counts 0. */
unsigned cfg_tree_depth(const cJSON *v);
/* Refuses members that are not in the NULL-terminated list: CFG_E_VALUE with path and near miss. */
CFG_MUST_CHECK int cfg_check_members(const cJSON *object, const char *const *known, const char *what,
                                     struct cfg_error *err);

#endif
