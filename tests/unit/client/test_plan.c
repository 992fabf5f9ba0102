/* A plan in words, and one put together out of a dry run. */
#include "client/cfgctl/plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static cJSON *tree(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s: %s", text, err.text);
    return v;
}

static void describe(char *out, size_t room, const cJSON *reply, bool quiet)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    plan_describe(&text, reply, quiet, false);
    cr_assert_eq(cfg_buf_status(&text), 0);
    (void)snprintf(out, room, "%s", text.len ? text.data : "");
    cfg_buf_finish(&text);
}

static void has(const char *text, const char *part)
{
    cr_assert(strstr(text, part), "no «%s» in:\n%s", part, text);
}

Test(plan, names_deployments_times_and_counts)
{
    char out[4096];
    cJSON *reply = tree(
        "{\"results\":[{\"object\":\"config/chat\",\"version\":43,\"previous\":42,\"changes\":["
        "{\"op\":\"replace\",\"path\":\"a\",\"from\":1,\"to\":2},{\"op\":\"remove\",\"path\":\"b\",\"from\":\"x\"},"
        "{\"op\":\"add\",\"path\":\"c\",\"to\":[1]}],\"plan\":["
        "{\"deployment\":\"blue\",\"action\":\"live\",\"path\":\"a\",\"workers\":4,\"groups\":2},"
        "{\"deployment\":\"blue\",\"action\":\"restart\",\"path\":\"b\",\"workers\":4,\"groups\":2},"
        "{\"deployment\":\"blue\",\"action\":\"live\",\"path\":\"c\",\"workers\":4,\"groups\":2},"
        "{\"deployment\":\"slow\",\"action\":\"held\",\"path\":\"\",\"workers\":1,\"groups\":1,\"reason\":\"holds "
        "v40\"}]}]}");
    describe(out, sizeof out, reply, false);
    has(out, "chat v42 → v43\n  - a = 1\n  + a = 2\n  - b = \"x\"\n  + c = [1]\n");
    has(out, "  blue        live at the next step    4        2       a, c\n");
    has(out, "  blue        pending until a restart  4        2       b\n");
    has(out, "  slow        held, stays where it is  1        1       holds v40\n");
    cr_assert_eq(plan_blocks(reply), 0);
    cr_assert(plan_changes(reply));
    cJSON_Delete(reply);
}

Test(plan, what_blocks_is_counted_and_said)
{
    char out[4096];
    struct cfg_error err;
    cJSON *reply =
        tree("{\"results\":[{\"object\":\"config/chat\",\"version\":2,\"previous\":1,\"changes\":[],\"plan\":["
             "{\"deployment\":\"blue\",\"action\":\"refused\",\"path\":\"a\",\"workers\":4,\"groups\":1}],"
             "\"violations\":[{\"path\":\"a\",\"namespace\":\"chat\",\"message\":\"must be at most "
             "2\",\"workers\":3,\"deployment\":\"blue\",\"worker\":"
             "\"w\\u001b0\",\"hint\":\"use 2\"},{\"path\":\"\",\"message\":\"m\"}],\"warnings\":[\"careful\"]},"
             "{\"object\":\"flag/x/y\",\"version\":1,\"created\":true,\"changes\":[],\"plan\":["
             "{\"deployment\":\"d\",\"action\":\"refused\",\"path\":\"\"}]}]}");
    describe(out, sizeof out, reply, false);
    has(out, "  blocked: chat/a: must be at most 2, deployment blue, worker w?0 and 2 more · use 2\n  blocked: m\n  "
             "warning: careful\n");
    has(out, "x/y v1, new\n");
    cr_assert_eq(plan_blocks(reply), 2, "a refusal is one of them, seen from its deployment");
    cr_assert_eq(plan_check(reply, &err), CFG_E_VALUE);
    has(err.text, "2 violations");
    cJSON_Delete(reply);
}

Test(plan, is_put_together_where_the_server_makes_none)
{
    char out[4096];
    struct cfg_error err;
    cJSON *reply =
        tree("{\"results\":[{\"object\":\"config/chat\",\"version\":2,\"previous\":1,\"changes\":[],"
             "\"reach\":{\"live\":3,\"pending_restart\":1,\"unread\":0,\"unknown\":2,\"deployments\":[\"a\",\"b\"]},"
             "\"held\":[{\"deployment\":\"slow\",\"version\":1}],\"kept\":[{\"deployment\":\"a\",\"path\":\"tp\","
             "\"value\":4}]},{\"object\":\"config/same\",\"version\":7,\"unchanged\":true,\"changes\":[]}]}");
    cr_assert_eq(plan_complete(reply, &err), 0);
    describe(out, sizeof out, reply, false);
    has(out, "  slow        held, stays where it is       -        -       holds v1\n");
    has(out, "  a           pinned, keeps its value       -        -       tp\n");
    has(out, "  a,b         live at the next step         3        -       -\n");
    has(out, "  a,b         pending until a restart       1        -       -\n");
    has(out, "  a,b         unknown: not to be asked now  2        -       -\n");
    has(out, "same v7 stays as it is\n");
    describe(out, sizeof out, reply, true);
    cr_assert(strstr(out, "same") == NULL);
    cJSON_Delete(reply);
}

Test(plan, a_refused_value_is_not_said_to_be_live)
{
    char out[4096];
    cJSON *reply = tree(
        "{\"results\":[{\"object\":\"config/chat\",\"version\":2,\"previous\":1,\"changes\":[],\"plan\":["
        "{\"deployment\":\"b\",\"action\":\"live\",\"path\":\"a\",\"workers\":1,\"groups\":0},"
        "{\"deployment\":\"b\",\"action\":\"live\",\"path\":\"c\",\"workers\":1,\"groups\":0,\"unknown\":0},"
        "{\"deployment\":\"b\",\"action\":\"refused\",\"path\":\"a\",\"workers\":1,\"groups\":0,\"reason\":\"no\"},"
        "{\"deployment\":\"d\",\"action\":\"live\",\"path\":\"a\",\"workers\":1,\"groups\":0,\"unknown\":3},"
        "{\"deployment\":\"slow\",\"action\":\"held\",\"workers\":0,\"groups\":0,\"reason\":\"r\"}],"
        "\"held\":[{\"deployment\":\"slow\",\"version\":9}],"
        "\"forced\":[{\"path\":\"a\",\"message\":\"m\",\"deployment\":\"e\"}]}]}");
    describe(out, sizeof out, reply, false);
    has(out, "  b           live at the next step    1              0       c\n");
    has(out, "  b           refused                  1              0       a: no\n");
    has(out, "  d           live at the next step    1 + 3 unknown  0       a\n");
    has(out, "  slow        held, stays where it is  0              0       holds v9\n  forced: a: m, deployment e\n");
    cJSON_Delete(reply);
}

Test(plan, objects_have_names)
{
    static const char *const names[][2] = {{"config/chat", "chat"},           {"flag/x/a.b", "x/a.b"},
                                           {"schema/chat", "schema of chat"}, {"evaluators/x", "segments of x"},
                                           {"deployment/d", "deployment d"},  {"odd\x01", "odd?"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct cfg_buf text;
        cfg_buf_init(&text, 100);
        plan_put_object(&text, names[i][0]);
        cr_assert_str_eq(text.data, names[i][1]);
        cfg_buf_finish(&text);
    }
}
