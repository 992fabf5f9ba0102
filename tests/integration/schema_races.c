/* Two services write at the same moment a schema and what it forbids: never both, whatever the order and wherever they
 * meet (the namespace, a base, what extends it, a deployment's pin). On real etcd; what lies there afterwards is read
 * back and judged by itself. */
#include "proto/schema.h"
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
TestSuite(schema_races, .init = start, .fini = stop, .timeout = 120);

/* --- what etcd itself holds, not what a replica shows --- */

struct fetched {
    bool done;
    cJSON *tree;
};

static void on_range(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct fetched *f = arg;
    cr_assert_null(err);
    if (reply->n > 0)
        cr_assert_eq(cfg_json_parse(&f->tree, reply->kvs[0].value, 200, NULL), 0);
    f->done = true;
}

static bool is_done(void *arg)
{
    return ((struct fetched *)arg)->done;
}

/* Returned-owned; NULL: nothing lies there. */
static cJSON *fetch(const char *object)
{
    struct fetched f = {.tree = NULL};
    char key[256];
    (void)snprintf(key, sizeof key, CFG_RIG_PREFIX "live/%s", object);
    const struct cfg_etcd_range_req r = {.key = cfg_slice_str(key)};
    cfg_etcd_range(nodes[0].etcd, &r, 3000, on_range, &f);
    cr_assert(cfg_node_until(&nodes[0], is_done, &f, 5000));
    return f.tree;
}

/* Is the document valid by the schema, both as etcd holds them? */
static bool is_valid(const char *document, const char *schema)
{
    cJSON *d = fetch(document), *s = fetch(schema);
    struct cfg_schema *compiled = NULL;
    bool valid = true;
    if (s && cfg_json_get(s, "schema")) {
        cr_assert_eq(cfg_schema_compile(&compiled, cfg_json_get(s, "schema"), NULL, NULL), 0);
        valid = cfg_schema_judge(compiled, cfg_json_get(d, "document")) == 0;
    }
    cfg_schema_free(compiled);
    cJSON_Delete(d);
    cJSON_Delete(s);
    return valid;
}

/* --- the race --- */

struct race {
    const char *before, *a, *b;
};

/* Both at once; exactly one is taken, the other is refused for the schema. Returns which one was taken. */
static int run_round(const struct race *r, int round)
{
    struct cfg_answer answers[2];
    const char *const texts[2] = {r->a, r->b};
    (void)cfg_node_write(&nodes[0], r->before);
    cfg_pair_settle(&pair);
    for (int i = 0; i < 2; i++) {
        int which = (round + i) % 2;
        cfg_node_begin(&nodes[which], &answers[which], texts[which], NULL);
    }
    for (int i = 0; i < 2; i++)
        cfg_node_await(&nodes[i], &answers[i]);
    cr_assert((answers[0].err.code == 0) != (answers[1].err.code == 0), "round %d: '%s' and '%s'", round,
              answers[0].err.text, answers[1].err.text);
    int taken = answers[0].err.code == 0 ? 0 : 1;
    const struct cfg_error *err = &answers[!taken].err;
    cr_assert_eq(err->code, CFG_E_SCHEMA, "round %d: %s", round, err->text);
    cr_assert(cJSON_GetArraySize(cfg_json_get(answers[!taken].body, "violations")) > 0);
    for (int i = 0; i < 2; i++)
        cfg_answer_finish(&answers[i]);
    cfg_pair_settle(&pair);
    return taken;
}

static void run(const struct race *r, const char *document, const char *schema)
{
    unsigned taken[2] = {0, 0};
    for (int round = 0; round < ROUNDS; round++) {
        taken[run_round(r, round)]++;
        cr_assert(is_valid(document, schema), "round %d left an invalid pair", round);
    }
    (void)printf("%u : %u\n", taken[0], taken[1]);
}

#define RESET(ns, seed, schema) \
    "[{\"object\":\"schema/" ns "\",\"put\":" schema "},{\"object\":\"config/" ns "\",\"put\":{\"seed\":" seed "}}]"

Test(schema_races, a_schema_and_the_document_that_it_forbids)
{
    run(
        &(struct race){
            .before = RESET("chat", "1", "true"),
            .a = "[{\"object\":\"schema/chat\",\"put\":{\"properties\":{\"seed\":{\"maximum\":5}}}}]",
            .b = "[{\"object\":\"config/chat\",\"patch\":{\"seed\":6}}]",
        },
        "config/chat", "schema/chat");
}

Test(schema_races, a_first_schema_and_a_document)
{
    for (int round = 0; round < 5; round++) {
        char before[200], a[200], b[200], document[40], schema[40];
        (void)snprintf(before, sizeof before, "[{\"object\":\"config/n%d\",\"put\":{\"seed\":1}}]", round);
        (void)snprintf(a, sizeof a, "[{\"object\":\"schema/n%d\",\"put\":{\"properties\":{\"seed\":{\"maximum\":5}}}}]",
                       round);
        (void)snprintf(b, sizeof b, "[{\"object\":\"config/n%d\",\"patch\":{\"seed\":6}}]", round);
        (void)snprintf(document, sizeof document, "config/n%d", round);
        (void)snprintf(schema, sizeof schema, "schema/n%d", round);
        (void)run_round(&(struct race){before, a, b}, round);
        cr_assert(is_valid(document, schema));
    }
}

Test(schema_races, a_base_and_the_schema_of_what_extends_it)
{
    (void)cfg_node_write(&nodes[0], "[{\"object\":\"config/base\",\"put\":{\"seed\":1}},"
                                    "{\"object\":\"config/chat\",\"put\":{},\"extends\":[\"base\"]}]");
    run(
        &(struct race){
            .before = "[{\"object\":\"schema/chat\",\"put\":true},{\"object\":\"config/base\",\"put\":{\"seed\":1}}]",
            .a = "[{\"object\":\"schema/chat\",\"put\":{\"properties\":{\"seed\":{\"maximum\":5}}}}]",
            .b = "[{\"object\":\"config/base\",\"patch\":{\"seed\":6}}]",
        },
        "config/base", "schema/chat");
}

Test(schema_races, a_new_base_and_the_schema_that_comes_with_it)
{
    (void)cfg_node_write(&nodes[0], "[{\"object\":\"config/base\",\"put\":{}}]");
    run(
        &(struct race){
            .before = "[{\"object\":\"schema/base\",\"put\":true},{\"object\":\"config/chat\",\"put\":{\"seed\":6},"
                      "\"extends\":[]}]",
            .a = "[{\"object\":\"schema/base\",\"put\":{\"properties\":{\"seed\":{\"maximum\":5}}}}]",
            .b = "[{\"object\":\"config/chat\",\"extends\":[\"base\"]}]",
        },
        "config/chat", "schema/chat");
}
