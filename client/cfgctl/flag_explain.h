/* Why a flag answers what it answers: the notes of an evaluation, put back into the order of the flag's parts. Pure. */
#ifndef CFG_CFGCTL_FLAG_EXPLAIN_H
#define CFG_CFGCTL_FLAG_EXPLAIN_H

#include "client/cfgctl/flag_ask.h"

/* The notes of one evaluation, as they came. */
struct flag_notes {
    struct cfg_flag_note *list; /* owned; their texts too */
    size_t n, cap;
    bool failed; /* without memory */
};
/* The function to evaluate with: user is a struct flag_notes, zeroed at first. */
void flag_notes_take(void *user, const struct cfg_flag_note *note);
void flag_notes_finish(struct flag_notes *notes);

/* The steps as a tree, [{"step","text","holds"?,…,"steps"?:[…]}, …]: `flags` are the set's envelopes (or definitions)
 * by name, `evaluators` its shared rules or NULL, `context` who asked or NULL. Returned-owned; NULL without memory. */
cJSON *flag_explain_steps(const struct flag_notes *notes, const char *flag, const cJSON *flags, const cJSON *evaluators,
                          const cJSON *context);
/* The same drawn as a tree. */
void flag_explain_draw(struct cfg_buf *out, const cJSON *steps);

#endif
