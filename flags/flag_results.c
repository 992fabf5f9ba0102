/* What targeting answers where that can be read off: a literal in the place of a result that names no variant is a
 * slip of the pen ("if … then 'onn'"), which every unit it concerns would get GENERAL for. Only literals are looked at:
 * what is computed, or comes from the context, shows when it is asked. */
#include "flags/program.h"
#include "proto/path.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Evaluators may be referred to from many places, and refer to others: beyond this much nothing more is looked at. */
enum { STEPS = 20000, NEAR_NAMES = 64, TEXT = 80 };

struct results {
    struct logic_compiler *logic;
    const struct cfg_flag_program *flag;
    unsigned steps;
};

static int look(struct results *r, const cJSON *v);

static int look_at(struct results *r, const cJSON *v, const char *name, long index)
{
    struct logic_place place;
    cfg_logic_enter(r->logic, &place, name, index);
    int rc = look(r, v);
    cfg_logic_leave(r->logic);
    return rc;
}

/* --- literals --- */

static int refuse(struct results *r, const char *text)
{
    const char *names[NEAR_NAMES];
    size_t n = 0;
    char why[2 * TEXT], hint[2 * TEXT];
    for (; n < r->flag->n_variants && n < NEAR_NAMES; n++)
        names[n] = r->flag->variants[n].text;
    const char *near = cfg_near_miss(text, names, n);
    (void)snprintf(why, sizeof why, "\"%.80s\" is not among the variants", text);
    (void)snprintf(hint, sizeof hint, near ? "did you mean \"%.80s\"?" : "the first of its variants is \"%.80s\"",
                   near ? near : names[0]);
    return cfg_logic_refuse(r->logic, CFG_E_VALUE, why, hint);
}

/* A literal by its text, as evaluating takes it; false where the text is not told here. */
static bool text_of(const char **out, char buf[TEXT], const cJSON *v)
{
    *out = buf;
    if (cJSON_IsString(v))
        *out = v->valuestring;
    else if (cJSON_IsBool(v))
        *out = cJSON_IsTrue(v) ? "true" : "false";
    else if (cJSON_IsNumber(v) && v->valuedouble == floor(v->valuedouble) && fabs(v->valuedouble) < 1e15)
        (void)snprintf(buf, TEXT, "%.0f", v->valuedouble + 0.0); /* no -0 */
    else
        return false;
    return true;
}

static int look_at_literal(struct results *r, const cJSON *v)
{
    char buf[TEXT];
    const char *text;
    if (!text_of(&text, buf, v))
        return 0;
    for (uint32_t i = 0; i < r->flag->n_variants; i++)
        if (strcmp(r->flag->variants[i].text, text) == 0)
            return 0;
    return refuse(r, text);
}

/* --- operators that hand a result on --- */

/* Condition, result, condition, result, …, and what holds otherwise. */
static int look_at_if(struct results *r, const cJSON *args)
{
    long i = 0;
    int rc = 0;
    if (!cJSON_IsArray(args))
        return look(r, args);
    for (const cJSON *a = args->child; rc == 0 && a; a = a->next, i++)
        if (i % 2 == 1 || a->next == NULL)
            rc = look_at(r, a, NULL, i);
    return rc;
}

static int look_at_fractional(struct results *r, const cJSON *args)
{
    long i = 0;
    int rc = 0;
    for (const cJSON *a = cJSON_IsArray(args) ? args->child : NULL; rc == 0 && a; a = a->next, i++)
        if (cJSON_IsArray(a) && a->child)
            rc = look_at(r, a->child, NULL, i);
    return rc;
}

/* and, or: the last operand, when it comes to that. */
static int look_at_last(struct results *r, const cJSON *args)
{
    long i = 0;
    const cJSON *a = cJSON_IsArray(args) ? args->child : NULL;
    for (; a && a->next; a = a->next)
        i++;
    return a ? look_at(r, a, NULL, i) : 0;
}

static int look_at_ref(struct results *r, const cJSON *name)
{
    const struct logic_compiler *c = r->logic;
    for (size_t i = 0; i < c->n_evaluators && cJSON_IsString(name); i++)
        if (strcmp(c->evaluators[i].name, name->valuestring) == 0)
            return look(r, c->evaluators[i].source);
    return 0;
}

static int look_at_operator(struct results *r, const cJSON *operation)
{
    static const struct {
        const char *name;
        int (*look)(struct results *r, const cJSON *args);
    } known[] = {{"if", look_at_if},    {"?:", look_at_if},   {"fractional", look_at_fractional},
                 {"and", look_at_last}, {"or", look_at_last}, {"$ref", look_at_ref}};
    struct logic_place place;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, operation->string) != 0)
            continue;
        cfg_logic_enter(r->logic, &place, operation->string, 0);
        int rc = known[i].look(r, operation);
        cfg_logic_leave(r->logic);
        return rc;
    }
    return 0;
}

/* Rules have been compiled before: their depth is bounded, and no $ref leads in a circle. */
static int look(struct results *r, const cJSON *v)
{
    if (r->steps++ >= STEPS)
        return 0;
    if (cJSON_IsObject(v))
        return v->child ? look_at_operator(r, v->child) : 0;
    return look_at_literal(r, v);
}

int cfg_flag_check_results(const struct cfg_flag_program *p, struct flag_compiler *c, const cJSON *targeting)
{
    struct results r = {.logic = &c->logic, .flag = p};
    c->logic.place = NULL;
    return look(&r, targeting);
}
