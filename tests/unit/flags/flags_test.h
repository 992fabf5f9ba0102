/* What the tests of flags share: sets and contexts from JSON text, in which ' stands for ". */
#ifndef CFG_TESTS_UNIT_FLAGS_TEST_H
#define CFG_TESTS_UNIT_FLAGS_TEST_H

#include "flags/set.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline cJSON *json_of(const char *text)
{
    char *copy = strdup(text);
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(copy), 0, &err), 0, "%s: %s", text, err.text);
    free(copy);
    return v;
}

/* Of envelopes by name. */
static inline int set_compile(struct cfg_flag_set **out, const char *flags, const char *evaluators,
                              struct cfg_error *err)
{
    cJSON *f = json_of(flags), *e = evaluators ? json_of(evaluators) : NULL;
    struct cfg_flag_source source = {.flags = f, .evaluators = e};
    int rc = cfg_flag_set_compile(out, &source, err);
    cJSON_Delete(f);
    cJSON_Delete(e);
    return rc;
}

static inline struct cfg_flag_set *set_of(const char *flags, const char *evaluators)
{
    struct cfg_flag_set *set = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(set_compile(&set, flags, evaluators, &err), 0, "%s: %s", flags, err.text);
    return set;
}

/* "VARIANT REASON", "- REASON" where the caller's default holds, or the error code. */
static inline const char *answer_of(const struct cfg_flag_result *r)
{
    static char text[300];
    if (r->error)
        return r->error;
    (void)snprintf(text, sizeof text, "%s %s", r->variant ? r->variant : "-", cfg_flag_reason_name(r->reason));
    return text;
}

static inline void expect(const struct cfg_flag_set *set, const char *flag, const char *context, const char *answer)
{
    cJSON *c = json_of(context);
    struct cfg_flag_context attributes;
    cr_assert_eq(cfg_flag_context_init_json(&attributes, c, NULL), 0);
    attributes.timestamp = 1750000000;
    struct cfg_flag_result r = cfg_flag_set_eval(set, flag, strlen(flag), CFG_FLAG_ANY, &attributes);
    cr_assert_str_eq(answer_of(&r), answer, "%s with %s", flag, context);
    cfg_flag_context_finish(&attributes);
    cJSON_Delete(c);
}

#endif
