/* A document against a worker's contract: what a worker that declares it would reject. Pure. */
#ifndef CFG_CONFIGD_CONTRACT_CHECK_H
#define CFG_CONFIGD_CONTRACT_CHECK_H

#include "proto/json.h"

struct cfg_object;

/* Workers that hold one contract, as a decision sees them. All borrowed. */
struct cfg_crew_part {
    const char *replica;      /* the configd that they are connected to; NULL: this one */
    const cJSON *contract;    /* {PATH: {"type","class","min"?,"max"?,"required"?}}; may be NULL */
    const cJSON *ceilings;    /* {PATH: number or {"lowest": number,"worker": id}}; may be NULL */
    bool unknown;             /* what these workers declare cannot be told */
    uint64_t workers;         /* that are connected */
    const char *const *names; /* some of them */
    size_t n_names;
};
/* Workers that can do the same, as a decision sees them. All borrowed. */
struct cfg_crew_skills {
    const char *replica;       /* the configd that they are connected to; NULL: this one */
    const cJSON *capabilities; /* array of names */
    bool unknown;              /* what these workers can do cannot be told */
    uint64_t workers;          /* that are connected */
    const char *const *names;  /* some of them */
    size_t n_names;
};
/* Who is connected where. Calls fn for every part of a deployment's connected workers. */
struct cfg_crew {
    void (*each)(void *arg, const char *deployment, bool (*fn)(const struct cfg_crew_part *part, void *fn_arg),
                 void *fn_arg);
    /* The same by capabilities; may be NULL. */
    void (*skills)(void *arg, const char *deployment, bool (*fn)(const struct cfg_crew_skills *part, void *fn_arg),
                   void *fn_arg);
    size_t (*groups)(void *arg, const char *deployment); /* of those workers; may be NULL */
    /* Does this presence record of another replica tell of a worker that is known to be nowhere else by now? NULL: it
     * does. */
    bool (*stands)(void *arg, const struct cfg_object *presence);
    void *arg;
    const char *replica; /* this configd's id: its own presence record tells nothing new */
};

/* What a presence record tells of its workers; what it does not tell is unknown, never nobody. Calls fn for every part
 * until it says stop; false then. */
bool cfg_crew_record_each(const char *replica, const cJSON *record,
                          bool (*fn)(const struct cfg_crew_part *part, void *fn_arg), void *fn_arg);
bool cfg_crew_record_skills(const char *replica, const cJSON *record,
                            bool (*fn)(const struct cfg_crew_skills *part, void *fn_arg), void *fn_arg);

/* Appends {"path","keyword","message","expected"?,"got"?} to the array `violations` for every declared parameter that
 * the document has with another type or out of its range, or does not have though it is required (others take the
 * worker's default then).
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_contract_check(const cJSON *contract, const cJSON *document, cJSON *violations);
/* The same of one value that is meant for a path (dotted); nothing when the contract does not declare it. */
CFG_MUST_CHECK int cfg_contract_check_value(const cJSON *contract, const char *path, const cJSON *value,
                                            cJSON *violations);
/* For every ceiling that the document's value is above. */
CFG_MUST_CHECK int cfg_ceilings_check(const cJSON *ceilings, const cJSON *document, cJSON *violations);

#endif
