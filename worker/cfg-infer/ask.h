/* What a completion request asks for: the parameters of POST /v1/completions, read and checked.
 *
 * The names are OpenAI's, with `top_k` and `context` beside them. null counts as absent. What this server has no use
 * for (n, best_of, logprobs, …) is accepted at the value that means nothing and refused at any other, by name: nothing
 * is ignored in silence. Pure; any thread. */
#ifndef CFG_INFER_ASK_H
#define CFG_INFER_ASK_H

#include "worker/cfg-infer/stops.h"

enum { CFG_PROMPT_MAX = 8192, CFG_TOKENS_MAX = 4096, CFG_TOP_K_MAX = 256 };

/* The numbers that a request, a policy or the live parameters may set. */
enum cfg_knob { CFG_KNOB_TEMPERATURE, CFG_KNOB_TOP_P, CFG_KNOB_TOP_K, CFG_KNOB_MAX_TOKENS, CFG_KNOBS };

struct cfg_knob_ask {
    bool set;         /* by the request, or by the policy for it; else the live parameter holds */
    double value;     /* when set */
    double low, high; /* what the policy holds either of them to */
};

struct cfg_ask {
    char *model; /* NULL: not named. Owned, as the rest is */
    unsigned char *prompt;
    size_t prompt_len;
    bool stream, include_usage;
    bool has_seed, has_stop;
    uint64_t seed;
    struct cfg_stops stop;
    struct cfg_knob_ask knobs[CFG_KNOBS];
};

/* From a request's body, an object. The ranges of the knobs are left wide open. *out is then owned by the caller
 * (cfg_ask_finish). CFG_E_INVALID with the parameter's name in err->path: unknown (with the nearest known one as a
 * hint), mistyped, out of range, not supported; CFG_E_LIMIT: the prompt is too long; CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_ask_read(struct cfg_ask *out, const cJSON *body, struct cfg_error *err);
void cfg_ask_finish(struct cfg_ask *a); /* takes a zeroed struct */

/* One parameter by itself: what a policy writes is held to the same rules. CFG_E_INVALID as above. */
CFG_MUST_CHECK int cfg_ask_check(const char *name, const cJSON *value, struct cfg_error *err);
bool cfg_ask_known(const char *name);
/* "did you mean": the nearest known name, or NULL. Static storage. */
const char *cfg_ask_near(const char *name);
/* Which knob a name is; CFG_KNOBS: none. */
enum cfg_knob cfg_ask_knob(const char *name);

#endif
