/* See ask.h. */
#include "worker/cfg-infer/ask.h"
#include "proto/path.h"
#include "worker/cfg-infer/text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int refuse(struct cfg_error *err, const char *name, const char *why)
{
    (void)cfg_fail(err, CFG_E_INVALID, "%s: %s", name, why);
    cfg_error_set_path(err, "%s", name);
    return CFG_E_INVALID;
}

/* --- the readers: each takes a value that is not null --- */

typedef int (*read_fn)(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err);

static int read_model(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    if (!cJSON_IsString(v)) {
        return refuse(err, name, "expected a string");
    }
    free(out->model);
    out->model = strdup(v->valuestring);
    return out->model != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int read_prompt(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    if (cJSON_IsArray(v) && cJSON_GetArraySize(v) == 1) {
        v = v->child;
    }
    if (!cJSON_IsString(v)) {
        return refuse(err, name, "expected one string (no arrays of prompts or of tokens)");
    }
    size_t len = strlen(v->valuestring);
    if (len == 0) {
        return refuse(err, name, "it is empty");
    }
    free(out->prompt);
    out->prompt = malloc(len);
    if (out->prompt == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    out->prompt_len = cfg_text_bytes(out->prompt, len, v->valuestring);
    if (out->prompt_len > CFG_PROMPT_MAX) {
        (void)cfg_fail(err, CFG_E_LIMIT, "prompt: it has %zu bytes, more than %d", out->prompt_len, CFG_PROMPT_MAX);
        cfg_error_set_path(err, "%s", name);
        return CFG_E_LIMIT;
    }
    return 0;
}

static const struct {
    const char *name, *range;
    double low, high;
    bool whole;
} knobs[CFG_KNOBS] = {
    [CFG_KNOB_TEMPERATURE] = {"temperature", "expected a number from 0 to 2", 0, 2, false},
    [CFG_KNOB_TOP_P] = {"top_p", "expected a number from 0 to 1", 0, 1, false},
    [CFG_KNOB_TOP_K] = {"top_k", "expected an integer from 0 (all) to 256", 0, CFG_TOP_K_MAX, true},
    [CFG_KNOB_MAX_TOKENS] = {"max_tokens", "expected an integer from 1 to 4096", 1, CFG_TOKENS_MAX, true},
};

enum cfg_knob cfg_ask_knob(const char *name)
{
    unsigned k = 0;
    while (k < CFG_KNOBS && strcmp(knobs[k].name, name) != 0) {
        k++;
    }
    return (enum cfg_knob)k;
}

static int read_knob(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    enum cfg_knob k = cfg_ask_knob(name);
    double x = cJSON_IsNumber(v) ? v->valuedouble : -1;
    if (x < knobs[k].low || x > knobs[k].high || (knobs[k].whole && floor(x) < x)) {
        return refuse(err, name, knobs[k].range);
    }
    out->knobs[k].set = true;
    out->knobs[k].value = x;
    return 0;
}

static int read_stop(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    out->has_stop = true;
    return cfg_stops_read(&out->stop, v, name, err);
}

static int read_seed(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    if (!cJSON_IsNumber(v) || floor(v->valuedouble) < v->valuedouble || fabs(v->valuedouble) > 9007199254740991.0) {
        return refuse(err, name, "expected an integer");
    }
    out->has_seed = true;
    out->seed = (uint64_t)(int64_t)v->valuedouble;
    return 0;
}

static int read_stream(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    if (!cJSON_IsBool(v)) {
        return refuse(err, name, "expected true or false");
    }
    out->stream = cJSON_IsTrue(v);
    return 0;
}

/* include_obfuscation asks OpenAI to pad its chunks; there is nothing to hide here, and false is what we do. */
static int read_stream_options(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    const cJSON *each;
    if (!cJSON_IsObject(v)) {
        return refuse(err, name, "expected an object");
    }
    cJSON_ArrayForEach(each, v)
    {
        bool usage = strcmp(each->string, "include_usage") == 0;
        if (!usage && strcmp(each->string, "include_obfuscation") != 0) {
            return refuse(err, name, "it has include_usage and include_obfuscation only");
        }
        if (!cJSON_IsBool(each)) {
            return refuse(err, name, "its members are true or false");
        }
        if (!usage && cJSON_IsTrue(each)) {
            return refuse(err, name, "include_obfuscation is not supported");
        }
        out->include_usage = usage ? cJSON_IsTrue(each) : out->include_usage;
    }
    return 0;
}

static int read_user(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    (void)out;
    return cJSON_IsString(v) && v->valuestring[0] != '\0' ? 0 : refuse(err, name, "expected a string, and not empty");
}

static int read_context(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    const cJSON *key = cfg_json_get(v, "targetingKey");
    (void)out;
    if (!cJSON_IsObject(v)) {
        return refuse(err, name, "expected an object");
    }
    return key == NULL || cJSON_IsString(key) ? 0 : refuse(err, name, "targetingKey must be a string");
}

static int only_one(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    (void)out;
    return cJSON_IsNumber(v) && v->valueint == 1 && !(v->valuedouble > 1) && !(v->valuedouble < 1)
               ? 0
               : refuse(err, name, "not supported: a request is answered once (1 or nothing)");
}

static int only_zero(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    (void)out;
    return cJSON_IsNumber(v) && !(v->valuedouble > 0) && !(v->valuedouble < 0)
               ? 0
               : refuse(err, name, "not supported: only 0, or nothing");
}

static int only_nothing(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    (void)out;
    bool nothing =
        cJSON_IsFalse(v) || (cJSON_IsObject(v) && v->child == NULL) || (cJSON_IsString(v) && v->valuestring[0] == '\0');
    return nothing ? 0 : refuse(err, name, "not supported");
}

static const struct {
    const char *name;
    read_fn read;
} known[] = {
    {"model", read_model},
    {"prompt", read_prompt},
    {"max_tokens", read_knob},
    {"temperature", read_knob},
    {"top_p", read_knob},
    {"top_k", read_knob},
    {"stop", read_stop},
    {"seed", read_seed},
    {"stream", read_stream},
    {"stream_options", read_stream_options},
    {"user", read_user},
    {"context", read_context},
    {"n", only_one},
    {"best_of", only_one},
    {"logprobs", only_nothing},
    {"echo", only_nothing},
    {"suffix", only_nothing},
    {"logit_bias", only_nothing},
    {"presence_penalty", only_zero},
    {"frequency_penalty", only_zero},
};
enum { N_KNOWN = sizeof known / sizeof known[0] };

static size_t find(const char *name)
{
    size_t i = 0;
    while (i < N_KNOWN && strcmp(known[i].name, name) != 0) {
        i++;
    }
    return i;
}

bool cfg_ask_known(const char *name)
{
    return find(name) < N_KNOWN;
}

const char *cfg_ask_near(const char *name)
{
    const char *names[N_KNOWN];
    for (size_t i = 0; i < N_KNOWN; i++) {
        names[i] = known[i].name;
    }
    return cfg_near_miss(name, names, N_KNOWN);
}

static int read_one(struct cfg_ask *out, const char *name, const cJSON *v, struct cfg_error *err)
{
    size_t i = find(name);
    if (i == N_KNOWN) {
        const char *near = cfg_ask_near(name);
        (void)refuse(err, name, "there is no such parameter");
        if (near != NULL) {
            cfg_error_set_hint(err, "did you mean %s?", near);
        }
        return CFG_E_INVALID;
    }
    return cJSON_IsNull(v) ? 0 : known[i].read(out, name, v, err);
}

/* What no parameter is wrong about alone. */
static int check_together(const struct cfg_ask *a, const cJSON *body, struct cfg_error *err)
{
    const cJSON *user = cfg_json_get(body, "user");
    const cJSON *key = cfg_json_get(cfg_json_get(body, "context"), "targetingKey");
    const cJSON *options = cfg_json_get(body, "stream_options");
    if (a->prompt == NULL) {
        return refuse(err, "prompt", "it is required");
    }
    if (!a->stream && options != NULL && !cJSON_IsNull(options)) {
        return refuse(err, "stream_options", "only with \"stream\": true");
    }
    if (key != NULL && cJSON_IsString(user) && strcmp(key->valuestring, user->valuestring) != 0) {
        return refuse(err, "context", "its targetingKey is another one than \"user\"");
    }
    return 0;
}

static void open_knobs(struct cfg_ask *a)
{
    for (unsigned k = 0; k < CFG_KNOBS; k++) {
        a->knobs[k].low = knobs[k].low;
        a->knobs[k].high = knobs[k].high;
    }
}

int cfg_ask_read(struct cfg_ask *out, const cJSON *body, struct cfg_error *err)
{
    struct cfg_ask a;
    const cJSON *each;
    int rc = 0;
    memset(&a, 0, sizeof a);
    open_knobs(&a);
    if (!cJSON_IsObject(body)) {
        return cfg_fail(err, CFG_E_INVALID, "the body must be a JSON object");
    }
    cJSON_ArrayForEach(each, body)
    {
        rc = rc != 0 ? rc : read_one(&a, each->string, each, err);
    }
    rc = rc != 0 ? rc : check_together(&a, body, err);
    if (rc != 0) {
        cfg_ask_finish(&a);
        return rc;
    }
    *out = a;
    return 0;
}

void cfg_ask_finish(struct cfg_ask *a)
{
    free(a->model);
    free(a->prompt);
    memset(a, 0, sizeof *a);
}

int cfg_ask_check(const char *name, const cJSON *value, struct cfg_error *err)
{
    struct cfg_ask a;
    memset(&a, 0, sizeof a);
    int rc = read_one(&a, name, value, err);
    cfg_ask_finish(&a);
    return rc;
}
