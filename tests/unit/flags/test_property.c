/* What must hold for every unit, tried on a million of them: nobody leaves when a percentage grows, splits are as even
 * as chance allows (3 σ), and flags of a group share nobody. */
#include "flags_test.h"

#include <math.h>

enum { UNITS = 1000000 };

static struct cfg_flag_set *split_set(int on, int off, const char *more)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "{'split':{'definition':{'state':'ENABLED','variants':{'on':true,'off':false},"
                   "'targeting':{'fractional':[['on',%d],['off',%d]]}}%s}}",
                   on, off, more);
    return set_of(text, NULL);
}

/* Spelt without snprintf, which would be most of the test's time. */
static struct cfg_flag_member unit(char name[16], unsigned i)
{
    size_t n = 0;
    name[n++] = 'u';
    for (; i > 0; i /= 10)
        name[n++] = (char)('0' + i % 10);
    name[n] = '\0';
    return cfg_flag_member_str("targetingKey", name);
}

static bool is_on(const struct cfg_flag_set *set, const char *flag, unsigned i)
{
    char name[16];
    struct cfg_flag_member key = unit(name, i);
    struct cfg_flag_context c = {.attributes = &key, .n_attributes = 1};
    struct cfg_flag_result r = cfg_flag_set_eval(set, flag, strlen(flag), CFG_FLAG_BOOL, &c);
    cr_assert(r.error == NULL);
    return r.value && cJSON_IsTrue(r.value);
}

static void check_split(int on, int off, const char *more)
{
    struct cfg_flag_set *set = split_set(on, off, more);
    unsigned n = 0;
    for (unsigned i = 0; i < UNITS; i++)
        n += is_on(set, "split", i);
    double p = (double)on / (on + off), sigma = sqrt(UNITS * p * (1 - p));
    cr_assert(fabs(n - UNITS * p) <= 3 * sigma, "%d:%d%s put %u of %d on: %.1f sigma", on, off, more, n, UNITS,
              fabs(n - UNITS * p) / sigma);
    cfg_flag_set_free(set);
}

Test(property, splits_are_even)
{
    check_split(10, 90, "");
    check_split(1, 1, "");
    check_split(1, 999, "");
    check_split(25, 75, ",'hash_version':1");
    check_split(25, 75, ",'hash_version':3");
    check_split(700000001, 1300000000, "");
}

/* As long as the variant that grows stands first. */
static void check_growth(const char *more)
{
    static const int steps[] = {0, 1, 5, 10, 25, 50, 75, 99, 100};
    struct cfg_flag_set *before = split_set(steps[0], 100 - steps[0], more);
    for (size_t s = 1; s < sizeof steps / sizeof steps[0]; s++) {
        struct cfg_flag_set *after = split_set(steps[s], 100 - steps[s], more);
        for (unsigned i = 0; i < UNITS / 10; i++)
            cr_assert(!is_on(before, "split", i) || is_on(after, "split", i), "unit %u left at %d %%", i, steps[s]);
        cfg_flag_set_free(before);
        before = after;
    }
    cfg_flag_set_free(before);
}

Test(property, raising_a_percentage_moves_nobody_out)
{
    check_growth("");
    check_growth(",'hash_version':1");
    check_growth(",'hash_version':3");
}

#define IN_GROUP(from, to)                            \
    "{'group':{'name':'g','from':" #from ",'to':" #to \
    "},'definition':{'state':'ENABLED','variants':{'on':true},'defaultVariant':'on'}}"

Test(property, groups_are_exclusive)
{
    struct cfg_flag_set *set =
        set_of("{'a':" IN_GROUP(0, 2500) ",'b':" IN_GROUP(2500, 5000) ",'c':" IN_GROUP(5000, 9000) "}", NULL);
    unsigned n[4] = {0};
    for (unsigned i = 0; i < UNITS; i++) {
        unsigned a = is_on(set, "a", i), b = is_on(set, "b", i), c = is_on(set, "c", i);
        cr_assert(a + b + c <= 1, "unit %u takes part in %u flags of the group", i, a + b + c);
        n[a ? 0 : b ? 1 : c ? 2 : 3]++;
    }
    static const double shares[] = {0.25, 0.25, 0.4, 0.1};
    for (int k = 0; k < 4; k++)
        cr_assert(fabs(n[k] - UNITS * shares[k]) <= 3 * sqrt(UNITS * shares[k] * (1 - shares[k])), "share %d: %u", k,
                  n[k]);
    cfg_flag_set_free(set);
}

#define HELD(to)                         \
    "{'holdouts':[{'name':'h','to':" #to \
    "}],'definition':{'state':'ENABLED','variants':{'on':true},'defaultVariant':'on'}}"

/* The same units are held out of every flag that names the holdout, and a larger one contains a smaller. */
Test(property, holdouts_hold_the_same_units)
{
    struct cfg_flag_set *set = set_of("{'a':" HELD(500) ",'b':" HELD(500) ",'c':" HELD(1000) "}", NULL);
    unsigned held = 0;
    for (unsigned i = 0; i < UNITS / 10; i++) {
        bool a = is_on(set, "a", i);
        cr_assert_eq(a, is_on(set, "b", i));
        cr_assert(a || !is_on(set, "c", i));
        held += !a;
    }
    cr_assert(fabs(held - 5000.0) <= 3 * sqrt(100000 * 0.05 * 0.95), "%u held out", held);
    cfg_flag_set_free(set);
}

/* What plain flagd is given for groups and holdouts answers the same for every unit. */
Test(property, the_export_answers_the_same)
{
    cJSON *envelope = json_of("{'off_variant':'off','group':{'name':'g','from':1000,'to':6000},'holdouts':[{'name':'h',"
                              "'to':3000},{'name':'i','to':100}],"
                              "'definition':{'state':'ENABLED','variants':{'on':true,'off':false},'defaultVariant':'on'"
                              ",'targeting':{'if':[{'==':[{'var':'targetingKey'},'u7']},'off']}}}");
    cJSON *flags = cJSON_CreateObject(), *loss = cfg_flag_export_loss(envelope);
    cr_assert(loss && loss->child == NULL);
    cr_assert_eq(cfg_json_set(flags, "f", cJSON_Duplicate(envelope, true)), 0);
    struct cfg_flag_source source = {.flags = flags};
    struct cfg_flag_set *ours = NULL, *plain = NULL;
    cr_assert_eq(cfg_flag_set_compile(&ours, &source, NULL), 0);
    cr_assert_eq(cfg_json_set(flags, "f", cfg_flag_export(envelope)), 0);
    source.plain = true;
    cr_assert_eq(cfg_flag_set_compile(&plain, &source, NULL), 0);
    for (unsigned i = 0; i < UNITS / 10; i++)
        cr_assert_eq(is_on(ours, "f", i), is_on(plain, "f", i), "unit %u", i);
    expect(ours, "f", "{}", "off DISABLED");
    expect(plain, "f", "{}", "off TARGETING_MATCH");
    cfg_flag_set_free(ours);
    cfg_flag_set_free(plain);
    cJSON_Delete(flags);
    cJSON_Delete(loss);
    cJSON_Delete(envelope);
}

Test(property, the_export_says_what_it_loses)
{
    static const struct {
        const char *envelope, *word;
    } rows[] = {
        {"{'prerequisites':{'x':'on'},'definition':{}}", "prerequisites"},
        {"{'hash_version':3,'definition':{}}", "hash_version"},
        {"{'definition':{'hash_version':1}}", "hash_version"},
        {"{'group':{'name':'g','to':1},'definition':{}}", "off_variant"},
        {"{'enabled':false,'prerequisites':{'x':'on'},'definition':{}}", NULL},
        {"{'definition':{}}", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cJSON *envelope = json_of(rows[i].envelope), *loss = cfg_flag_export_loss(envelope);
        cr_assert_eq(cJSON_GetArraySize(loss), rows[i].word != NULL, "%s", rows[i].envelope);
        if (rows[i].word)
            cr_assert(strstr(loss->child->valuestring, rows[i].word));
        cJSON_Delete(envelope);
        cJSON_Delete(loss);
    }
}
