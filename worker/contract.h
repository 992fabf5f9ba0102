/* A worker's contract: the parameters and flags its code declares, each with type, class, range and default.
 *
 * Values over declarations: no I/O, no clock, no threads. A wrong declaration does not fail where it is made (a program
 * declares in a row, without checks); the first error is kept and cfg_worker_start gives it back. */
#ifndef CFG_WORKER_CONTRACT_H
#define CFG_WORKER_CONTRACT_H

#include "proto/json.h"
#include <cfg/worker.h>

struct cfg_decl {
    char *path; /* "sampling.temperature", or a flag's address "experiment/ab.flag"; owned by the contract */
    enum cfg_type type;
    enum cfg_class apply;
    union cfg_value min, max; /* I64 and F64 only */
    union cfg_value def;      /* STRING and JSON: owned by the contract; JSON in canonical form */
};

struct cfg_contract {
    struct cfg_decl *items;
    uint32_t n, cap;
    char **flags; /* addresses of flags that are evaluated per request; by handle, owned */
    uint32_t n_flags;
    bool frozen;            /* set by start: later declarations are errors */
    struct cfg_error error; /* of the first wrong declaration; code 0 while there is none */
};

void cfg_contract_finish(struct cfg_contract *c); /* takes a zeroed struct */

/* Adds one declaration; path and the default's text are copied. Returns its index, or UINT32_MAX after keeping the
 * error: a path declared twice, a malformed path or address, an empty range, a default outside of it, a default that is
 * no JSON, too many declarations. */
uint32_t cfg_contract_add(struct cfg_contract *c, const struct cfg_decl *d);

/* Adds a flag that is evaluated per request. Returns its index, the same for an address that is there already, or
 * UINT32_MAX after keeping the error: a malformed address, too many flags. */
uint32_t cfg_contract_add_flag(struct cfg_contract *c, const char *address);

/* The index of a path, or UINT32_MAX. */
uint32_t cfg_contract_find(const struct cfg_contract *c, const char *path);

/* The declared path nearest to `path`, or NULL; borrowed from the contract. */
const char *cfg_contract_near(const struct cfg_contract *c, const char *path);

/* {PATH: {"type","class","min"?,"max"?,"default"}}: what registration sends. Flags are not part of it. Limits that JSON
 * cannot carry (infinite, beyond ±(2^53−1)) are left out: they limit nothing that JSON could say. */
void cfg_contract_print(struct cfg_buf *out, const struct cfg_contract *c);

const char *cfg_class_name(enum cfg_class c); /* "live", …; static storage */
const char *cfg_type_name(enum cfg_type t);   /* "bool", "i64", …, "flag" */

/* A declared value, printed as JSON. */
void cfg_value_print(struct cfg_buf *out, enum cfg_type type, const union cfg_value *v);
/* Equal as `type` understands it (strings by content). */
bool cfg_value_same(enum cfg_type type, const union cfg_value *a, const union cfg_value *b);

#endif
