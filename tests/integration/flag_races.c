/* Two services write at the same moment what only together breaks a rule of a namespace: exactly one of each pair is
 * taken, the other is told why. On real etcd, each service with a replica of its own. */
#include "service_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 25 };

static struct cfg_pair pair;
static struct cfg_node *const nodes = pair.nodes;

static void start(void)
{
    cfg_pair_start(&pair);
}

static void stop(void)
{
    cfg_pair_stop(&pair);
}
TestSuite(flag_races, .init = start, .fini = stop, .timeout = 120);

#define FLAG "\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"on\"}"

/* %d in a text is the round. Returned-owned. */
static char *at_round(const char *text, int round)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    for (const char *mark; (mark = strstr(text, "%d")) != NULL; text = mark + 2) {
        cfg_buf_put(&out, text, (size_t)(mark - text));
        cfg_buf_printf(&out, "%d", round);
    }
    cfg_buf_puts(&out, text);
    char *bytes = cfg_buf_steal(&out);
    cfg_buf_finish(&out);
    cr_assert_not_null(bytes);
    return bytes;
}

/* Of `a` and `b`, written at once by the two services, one is taken, and the other fails with code_a or code_b and a
 * text that says says_a or says_b. before (may be NULL) is written first. Either may win; over the rounds, both do. */
struct race {
    const char *before, *a, *b;
    int code_a, code_b;
    const char *says_a, *says_b;
};

static void run(const struct race *r)
{
    unsigned won[2] = {0, 0};
    for (int round = 0; round < ROUNDS; round++) {
        struct cfg_answer answers[2];
        const char *const texts[2] = {r->a, r->b}, *const says[2] = {r->says_a, r->says_b};
        const int codes[2] = {r->code_a, r->code_b};
        int first = round % 2;
        char *before = r->before ? at_round(r->before, round) : NULL;
        if (before)
            (void)cfg_node_write(&nodes[0], before);
        free(before);
        cfg_pair_settle(&pair);
        for (int i = 0; i < 2; i++) {
            int which = (first + i) % 2;
            char *text = at_round(texts[which], round);
            cfg_node_begin(&nodes[which], &answers[which], text, NULL);
            free(text);
        }
        for (int i = 0; i < 2; i++)
            cfg_node_await(&nodes[i], &answers[i]);
        cr_assert((answers[0].err.code == 0) != (answers[1].err.code == 0), "round %d: %s | %s", round,
                  answers[0].err.text, answers[1].err.text);
        int loser = answers[0].err.code == 0;
        won[!loser]++;
        const struct cfg_error *err = &answers[loser].err;
        cr_assert_eq(err->code, codes[loser], "%s", err->text);
        cr_assert(strstr(err->text, says[loser]), "'%s' does not say '%s'", err->text, says[loser]);
        for (int i = 0; i < 2; i++)
            cfg_answer_finish(&answers[i]);
    }
    (void)printf("%u : %u\n", won[0], won[1]);
    cr_assert(won[0] + won[1] == ROUNDS);
}

Test(flag_races, a_name_is_a_parameter_or_a_flag)
{
    run(&(struct race){
        .before = "[{\"object\":\"config/exp\",\"put\":{\"other\":1}}]",
        .a = "[{\"namespace\":\"exp\",\"set\":[{\"name\":\"n%d\",\"value\":5}]}]",
        .b = "[{\"object\":\"flag/exp/n%d\",\"put\":{" FLAG "}}]",
        .code_a = CFG_E_CONFLICT,
        .code_b = CFG_E_CONFLICT,
        .says_a = "is a flag",
        .says_b = "is a parameter already",
    });
}

Test(flag_races, no_circle_of_prerequisites)
{
    run(&(struct race){
        .before = "[{\"object\":\"flag/exp/a%d\",\"put\":{" FLAG "}},{\"object\":\"flag/exp/b%d\",\"put\":{" FLAG
                  "}},{\"object\":\"flag/exp/c%d\",\"put\":{" FLAG ",\"prerequisites\":{\"b%d\":\"on\"}}}]",
        .a = "[{\"object\":\"flag/exp/a%d\",\"put\":{" FLAG ",\"prerequisites\":{\"c%d\":\"on\"}}}]",
        .b = "[{\"object\":\"flag/exp/b%d\",\"put\":{" FLAG ",\"prerequisites\":{\"a%d\":\"on\"}}}]",
        .code_a = CFG_E_VALUE,
        .code_b = CFG_E_VALUE,
        .says_a = "circle",
        .says_b = "circle",
    });
}

Test(flag_races, no_share_that_overlaps)
{
    run(&(struct race){
        .a = "[{\"object\":\"flag/exp/a%d\",\"put\":{" FLAG ",\"group\":{\"name\":\"g%d\",\"from\":0,\"to\":6000}}}]",
        .b =
            "[{\"object\":\"flag/exp/b%d\",\"put\":{" FLAG ",\"group\":{\"name\":\"g%d\",\"from\":5000,\"to\":9000}}}]",
        .code_a = CFG_E_VALUE,
        .code_b = CFG_E_VALUE,
        .says_a = "overlaps with",
        .says_b = "overlaps with",
    });
}

Test(flag_races, no_evaluator_that_is_used_goes)
{
    run(&(struct race){
        .before = "[{\"object\":\"evaluators/exp\",\"put\":{\"evaluators\":{\"e%d\":true}}},{\"object\":\"flag/exp/"
                  "f\",\"put\":{" FLAG "}}]",
        .a = "[{\"object\":\"evaluators/exp\",\"delete\":true}]",
        .b = "[{\"object\":\"flag/exp/f\",\"put\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},"
             "\"targeting\":{\"if\":[{\"$ref\":\"e%d\"},\"on\"]}}}}]",
        .code_a = CFG_E_IN_USE,
        .code_b = CFG_E_VALUE,
        .says_a = "is used by flag f",
        .says_b = "there is no evaluator",
    });
}

Test(flag_races, no_flag_that_is_required_goes)
{
    run(&(struct race){
        .before = "[{\"object\":\"flag/exp/base%d\",\"put\":{" FLAG "}}]",
        .a = "[{\"object\":\"flag/exp/base%d\",\"delete\":true}]",
        .b = "[{\"object\":\"flag/exp/user%d\",\"put\":{" FLAG ",\"prerequisites\":{\"base%d\":\"on\"}}}]",
        .code_a = CFG_E_IN_USE,
        .code_b = CFG_E_VALUE,
        .says_a = "required by user",
        .says_b = "is deleted",
    });
}
