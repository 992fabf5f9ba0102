/* Two services write at the same moment what only together makes a circle of namespaces, takes a base away, or leaves a
 * deployment without a value: one is taken, the other is told why. And a thousand namespaces above one base. On real
 * etcd, each service with a replica of its own. */
#include "service_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 15, MANY = 1000, AT_ONCE = 30 };

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
TestSuite(release_races, .init = start, .fini = stop, .timeout = 120);

/* Every number in the texts is the round's: "a#" becomes "a7". */
static const char *at_round(const char *text, int round)
{
    static char out[2][4096];
    static int which;
    char *to = out[which = !which];
    size_t n = 0;
    for (; *text; text++)
        n += *text == '#' ? (size_t)snprintf(to + n, sizeof out[0] - n, "%d", round) : (to[n] = *text, (size_t)1);
    to[n] = '\0';
    return to;
}

/* Of two writes begun at once, exactly one is taken; the other's text says `says`. */
static void run(const char *before, const char *a, const char *b, const char *says)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct cfg_answer answers[2];
        const char *const texts[2] = {a, b};
        int first = round % 2;
        (void)cfg_node_write(&nodes[0], at_round(before, round));
        cfg_pair_settle(&pair);
        for (int i = 0; i < 2; i++) {
            int which = (first + i) % 2;
            cfg_node_begin(&nodes[which], &answers[which], at_round(texts[which], round), NULL);
        }
        for (int i = 0; i < 2; i++)
            cfg_node_await(&nodes[i], &answers[i]);
        cr_assert((answers[0].err.code == 0) != (answers[1].err.code == 0), "round %d: %s | %s", round,
                  answers[0].err.text, answers[1].err.text);
        const struct cfg_error *err = &answers[answers[0].err.code == 0].err;
        cr_assert(strstr(err->text, says), "'%s' does not say '%s'", err->text, says);
        for (int i = 0; i < 2; i++)
            cfg_answer_finish(&answers[i]);
    }
}

Test(release_races, no_circle)
{
    run("[{\"object\":\"config/a#\",\"put\":{}},{\"object\":\"config/b#\",\"put\":{}}]",
        "[{\"object\":\"config/a#\",\"extends\":[\"b#\"]}]", "[{\"object\":\"config/b#\",\"extends\":[\"a#\"]}]",
        "circle");
}

Test(release_races, no_longer_circle)
{
    run("[{\"object\":\"config/a#\",\"put\":{}},{\"object\":\"config/b#\",\"put\":{}},"
        "{\"object\":\"config/c#\",\"put\":{},\"extends\":[\"a#\"]}]",
        "[{\"object\":\"config/a#\",\"extends\":[\"b#\"]}]", "[{\"object\":\"config/b#\",\"extends\":[\"c#\"]}]",
        "circle");
}

/* The loser is either told that the base is extended, or that it does not exist any more. */
Test(release_races, no_base_that_is_gone)
{
    run("[{\"object\":\"config/low#\",\"put\":{}},{\"object\":\"config/high#\",\"put\":{}}]",
        "[{\"object\":\"config/low#\",\"delete\":true}]", "[{\"object\":\"config/high#\",\"extends\":[\"low#\"]}]",
        "low");
}

/* A base that loses a value, and a namespace that a deployment runs beginning to need it: neither write has read the
 * other's namespace before. */
Test(release_races, no_value_that_is_gone)
{
    run("[{\"object\":\"config/low#\",\"put\":{\"x\":1}},{\"object\":\"config/high#\",\"put\":{}},"
        "{\"object\":\"deployment/d#\",\"put\":{\"config\":\"high#\"}}]",
        "[{\"object\":\"config/low#\",\"put\":{\"x\":\"???\"}}]",
        "[{\"object\":\"config/high#\",\"extends\":[\"low#\"]}]", "x is required");
}

Test(release_races, no_deployment_on_what_has_become_incomplete)
{
    run("[{\"object\":\"config/low#\",\"put\":{\"x\":1}},{\"object\":\"config/"
        "high#\",\"put\":{},\"extends\":[\"low#\"]}]",
        "[{\"object\":\"config/low#\",\"put\":{\"x\":\"???\"}}]",
        "[{\"object\":\"deployment/d#\",\"put\":{\"config\":\"high#\"}}]", "x is required");
}

static double now_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Namespaces n0… over base, a deployment on each. */
static void build_many(void)
{
    struct cfg_buf text;
    for (int from = 0; from < MANY; from += AT_ONCE) {
        cfg_buf_init(&text, 1 << 20);
        for (int i = from; i < from + AT_ONCE && i < MANY; i++)
            cfg_buf_printf(
                &text,
                "%s{\"object\":\"config/n%d\",\"put\":{\"own\":{\"k\":%d},\"lr\":\"${eval: 2 * ${base.k3}}\"},"
                "\"extends\":[\"base\"]}",
                i == from ? "[" : ",", i, i);
        cfg_buf_putc(&text, ']');
        (void)cfg_node_write(&nodes[0], text.data);
        cfg_buf_clear(&text);
        for (int i = from; i < from + AT_ONCE && i < MANY; i++)
            cfg_buf_printf(&text, "%s{\"object\":\"deployment/d%d\",\"put\":{\"config\":\"n%d\"}}",
                           i == from ? "[" : ",", i, i);
        cfg_buf_putc(&text, ']');
        (void)cfg_node_write(&nodes[0], text.data);
        cfg_buf_finish(&text);
    }
}

/* Not a timed assertion: the time is printed, the work is checked. */
Test(release_races, a_base_under_a_thousand_namespaces)
{
    struct cfg_buf text;
    struct cfg_answer answer;
    cfg_buf_init(&text, 1 << 20);
    cfg_buf_puts(&text, "[{\"object\":\"config/base\",\"put\":{\"base\":{");
    for (int i = 0; i < 100; i++)
        cfg_buf_printf(&text, "%s\"k%d\":%d", i > 0 ? "," : "", i, i);
    cfg_buf_puts(&text, "}}}]");
    (void)cfg_node_write(&nodes[0], text.data);
    cfg_buf_finish(&text);
    build_many();
    double before = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
    cfg_node_begin(&nodes[0], &answer, "[{\"object\":\"config/base\",\"patch\":{\"base\":{\"k3\":7}}}]", NULL);
    cfg_node_await(&nodes[0], &answer);
    (void)printf("a write under %d deployed namespaces: %.0f ms, %.0f ms of this process\n", MANY,
                 now_ms(CLOCK_MONOTONIC) - before, now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    cr_assert_eq(answer.err.code, 0, "%s", answer.err.text);
    const cJSON *result = cJSON_GetArrayItem(cfg_json_get(answer.body, "results"), 0);
    const cJSON *affected = cfg_json_get(result, "affected"), *entry;
    cr_assert_eq(cJSON_GetArraySize(affected), MANY);
    cJSON_ArrayForEach(entry, affected)
    {
        cr_assert_eq(cJSON_GetArraySize(cfg_json_get(entry, "paths")), 2); /* base.k3 and lr */
    }
    cfg_answer_finish(&answer);
    cr_assert_eq(
        cfg_node_try(&nodes[0], "[{\"object\":\"config/base\",\"patch\":{\"base\":{\"k3\":null}}}]", NULL, NULL),
        CFG_E_VALUE);
}
