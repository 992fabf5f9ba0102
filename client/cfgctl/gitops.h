/* Namespaces kept in files: a folder that is reconciled with what is served (apply) and written from it (export).
 *
 * A folder holds, for a namespace `chat`,
 *     chat.yaml           its document (or chat.yml, chat.json)
 *     chat.meta.yaml      {extends: [base]}; absent: it extends nothing
 *     chat.schema.json    its JSON Schema
 *     chat.flags.yaml     its flags: a flagd document. What flagd has no word for (the switch, prerequisites, groups,
 * …) stands in a member `configd` of the flag and beside them .cfgctl.yaml, which names the source and the versions
 * that export has read. Other files, folders and hidden files are left alone.
 *
 * One object of the server is one struct gitops_object, whichever file says what it should be. Bodies are normal forms
 * that compare equal exactly when nothing would be written: {"document","extends"} of a namespace, an envelope without
 * what is default of a flag, {"evaluators","metadata"}, the schema itself. A namespace without segments has none. */
#ifndef CFG_CFGCTL_GITOPS_H
#define CFG_CFGCTL_GITOPS_H

#include "client/cfgctl/cli.h"
#include "client/cfgctl/reconcile.h"
#include "proto/limits.h"

enum gitops_kind { GITOPS_CONFIG, GITOPS_SCHEMA, GITOPS_EVALUATORS, GITOPS_FLAG };
enum { GITOPS_SOURCE_MAX = 127, GITOPS_OBJECT_ROOM = CFG_LIMIT_NAME + CFG_LIMIT_FLAG_NAME + 16 };

struct gitops_object {
    enum gitops_kind kind;
    char ns[CFG_LIMIT_NAME + 1];
    char name[CFG_LIMIT_FLAG_NAME + 1]; /* of a flag, else "" */
    char *file;                         /* owned: its name inside the folder; NULL: none has it */
    cJSON *wanted;                      /* owned: what the file says; NULL: nothing */
    cJSON *head;                        /* owned: what is served; NULL: nothing */
    double version;                     /* of head; 0: there is none */
    cJSON *last;                        /* owned: what was last written from the files; NULL: a delete, or unknown */
    double last_version;                /* 0: unknown */
    cJSON *outside;                     /* owned: versions that others wrote since, newest first; NULL: not looked at */
    bool owned;
    enum reconcile_action action;
};

struct gitops {
    struct gitops_object *objects; /* owned; in order of namespace, kind, name once read */
    size_t n, cap;
    size_t n_files;
    char source[GITOPS_SOURCE_MAX + 1];
    cJSON *exported; /* owned: versions by object, as .cfgctl.yaml has them; NULL: none */
    char store[64];  /* that they are of */
};

void gitops_finish(struct gitops *g);
/* *out is borrowed from g until the next one is added. CFG_E_NOMEM. */
CFG_MUST_CHECK int gitops_add(struct gitops_object **out, struct gitops *g, enum gitops_kind kind, const char *ns,
                              const char *name, struct cfg_error *err);
struct gitops_object *gitops_find(const struct gitops *g, enum gitops_kind kind, const char *ns, const char *name);
/* By namespace, kind, name. */
void gitops_sort(struct gitops *g);
/* "config/chat", "flag/experiment/ab.flag", as POST /v1/changes names it. */
void gitops_object_text(char out[GITOPS_OBJECT_ROOM], const struct gitops_object *o);

/* --- normal forms; each *out is returned-owned. CFG_E_NOMEM --- */

/* Of the API's reply for an object (head or version). *out is NULL for segments that are all empty. */
CFG_MUST_CHECK int gitops_body(cJSON **out, enum gitops_kind kind, const cJSON *reply, struct cfg_error *err);
/* Of a flag in a file; CFG_E_VALUE for what its member `configd` cannot have. */
CFG_MUST_CHECK int gitops_flag_read(cJSON **out, const cJSON *flag, struct cfg_error *err);
/* And back. */
CFG_MUST_CHECK int gitops_flag_write(cJSON **out, const cJSON *envelope, struct cfg_error *err);
CFG_MUST_CHECK int gitops_segments(cJSON **out, const cJSON *evaluators, const cJSON *metadata, struct cfg_error *err);

/* --- files --- */

/* Reads a folder. Every file is read; what is wrong with one is a line "FILE:LINE:COLUMN: why" in the array `errors`,
 * warnings (scalars that YAML's readers take differently) are lines in `warnings`. CFG_E_IO, CFG_E_INVALID when it is
 * no folder or holds nothing, CFG_E_NOMEM. *out is finished by the caller, also after errors. */
CFG_MUST_CHECK int gitops_read(struct gitops *out, const char *dir, cJSON *warnings, cJSON *errors,
                               struct cfg_error *err);
/* Is this a folder? */
bool gitops_is_folder(const char *name);
/* The name of a source: 1 to 127 of A-Z a-z 0-9 . _ / : @ + -. CFG_E_INVALID. */
CFG_MUST_CHECK int gitops_check_source(const char *name, struct cfg_error *err);

/* --- the server --- */

/* Reads what is served for every object of g and, where it differs from the file, what the files had last; with prune
 * also for objects that no file has any more, which are added. Decides every object. CFG_E_PROTOCOL and what requests
 * end with. */
CFG_MUST_CHECK int gitops_compare(struct cli *c, struct gitops *g, bool prune, bool take, struct cfg_error *err);
/* One object as the API has it: *out is returned-owned, NULL when there is none. */
CFG_MUST_CHECK int gitops_fetch(struct cli *c, enum gitops_kind kind, const char *ns, const char *name, cJSON **out,
                                struct cfg_error *err);
/* Everything of the namespaces named (none: of all) as objects with heads. */
CFG_MUST_CHECK int gitops_fetch_all(struct cli *c, struct gitops *g, const char *const *names, size_t n,
                                    struct cfg_error *err);
/* What the message of a version ends with that was written from a source's files: "[apply SOURCE]". */
bool gitops_is_from(const char *message, const char *source);

/* --- writing --- */

/* What POST /v1/changes is to be given, in lists of which each fits one transaction: namespaces below others first, all
 * of a namespace together where it fits, deletes last. *out is a returned-owned array of arrays. CFG_E_NOMEM. */
CFG_MUST_CHECK int gitops_entries(cJSON **out, const struct gitops *g, size_t max_objects, size_t max_bytes,
                                  struct cfg_error *err);
/* What happens to each object, as lines for people: conflicts with who changed what when; then the counts. */
void gitops_describe(struct cfg_buf *out, const struct gitops *g, bool color);
size_t gitops_conflicts(const struct gitops *g);
/* The same for programs: an array of {"object","file","action","version","last","outside"}. Returned-owned; NULL
 * without memory. */
cJSON *gitops_tree(const struct gitops *g);

#endif
