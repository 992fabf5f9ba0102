/* cfgctl's parser, its tables, and what it makes of replies. */
#include "client/cfgctl/cli.h"
#include "client/cfgctl/commands.h"
#include "client/cfgctl/reach.h"
#include "client/cfgctl/table.h"
#include "client/cfgctl/wait.h"
#include "client/url.h"
#include "proto/yaml.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 12 };

static int parse(struct cli *c, struct cfg_error *err, const char *line)
{
    static char copy[512], *argv[WORDS];
    int argc = 0;
    unsetenv("CONFIGD_OUTPUT");
    strncpy(copy, line, sizeof copy - 1);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " ")) != NULL && argc < WORDS;)
        argv[argc++] = word;
    return cli_parse(c, argc, argv, err);
}

Test(cli, words_and_options_in_any_order)
{
    struct cli c;
    struct cfg_error err;
    cr_assert_eq(parse(&c, &err, "cfgctl -o json set a/b=1 -m why --wait a/c=2 --if-version=7 --string a/d=x"), 0, "%s",
                 err.text);
    cr_assert_str_eq(c.command->name, "set");
    cr_assert_eq(c.n_args, 2);
    cr_assert_str_eq(c.args[1], "a/c=2");
    cr_assert_eq(c.output, OUTPUT_JSON);
    cr_assert_str_eq(cli_value(&c, OPT_MESSAGE), "why");
    cr_assert(cli_has(&c, OPT_WAIT));
    cr_assert_not(cli_has(&c, OPT_DRY_RUN));
    uint64_t n = 0;
    cr_assert_eq(cli_number(&c, OPT_IF_VERSION, &n, &err), 0);
    cr_assert_eq(n, 7);
    cr_assert_str_eq(cli_value(&c, OPT_STRING), "a/d=x");
    cli_finish(&c);
}

Test(cli, short_options_stick_together)
{
    struct cli c;
    struct cfg_error err;
    cr_assert_eq(parse(&c, &err, "cfgctl set -nwmwhy -oyaml a/b=1"), 0, "%s", err.text);
    cr_assert(cli_has(&c, OPT_DRY_RUN) && cli_has(&c, OPT_WAIT));
    cr_assert_str_eq(cli_value(&c, OPT_MESSAGE), "why");
    cr_assert_eq(c.output, OUTPUT_YAML);
    cli_finish(&c);
}

Test(cli, commands_of_two_words_and_their_alias)
{
    struct cli c;
    struct cfg_error err;
    cr_assert_eq(parse(&c, &err, "cfgctl deploy create x --config chat --pin a,b --pin c"), 0, "%s", err.text);
    cr_assert_str_eq(c.command->name, "deployment create");
    cJSON *pins = cli_items(&c, OPT_PIN);
    cr_assert_eq(cJSON_GetArraySize(pins), 3);
    cr_assert_str_eq(cJSON_GetArrayItem(pins, 2)->valuestring, "c");
    cJSON_Delete(pins);
    cli_finish(&c);
    cr_assert_eq(parse(&c, &err, "cfgctl deployment"), 0);
    cr_assert_null(c.command);
    cr_assert_str_eq(c.topic, "deployment");
    cli_finish(&c);
    cr_assert_eq(parse(&c, &err, "cfgctl --version"), 0);
    cr_assert_str_eq(c.command->name, "version");
    cli_finish(&c);
    cr_assert_eq(parse(&c, &err, "cfgctl get chat --version 41"), 0);
    cr_assert_str_eq(cli_value(&c, OPT_VERSION), "41");
    cli_finish(&c);
    cr_assert_eq(parse(&c, &err, "cfgctl set -- -a/b=1"), 0, "%s", err.text);
    cr_assert_str_eq(c.args[0], "-a/b=1");
    cli_finish(&c);
}

Test(cli, wrong_lines_name_what_is_wrong_and_what_is_near)
{
    static const struct {
        const char *line, *text, *hint;
    } cases[] = {
        {"cfgctl sett a/b=1", "unknown command 'sett'", "`cfgctl set`"},
        {"cfgctl deployment craete x", "unknown command 'deployment craete'", "`cfgctl deployment create`"},
        {"cfgctl set --dry-rnu a/b=1", "unknown option '--dry-rnu' for cfgctl set", "--dry-run"},
        {"cfgctl set --zzzz a/b=1", "unknown option '--zzzz'", "cfgctl set --help"},
        {"cfgctl set --pin x a/b=1", "unknown option '--pin'", ""},
        {"cfgctl set -z a/b=1", "unknown option '-z'", ""},
        {"cfgctl set -m", "--message needs a value", "-"},
        {"cfgctl set --wait=1 a/b=1", "--wait takes no value", ""},
        {"cfgctl list -o xml", "--output cannot be 'xml'", "table|wide|json|yaml"},
        {"cfgctl list -o able|wide", "--output cannot be", ""},
        {"cfgctl get", "cfgctl get needs more", "usage: cfgctl get"},
        {"cfgctl get a b", "does not know what to do with 'b'", "usage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cli c;
        struct cfg_error err;
        cr_assert_eq(parse(&c, &err, cases[i].line), CFG_E_INVALID, "%s", cases[i].line);
        cr_assert_not_null(strstr(err.text, cases[i].text), "%s: %s", cases[i].line, err.text);
        cr_assert_not_null(strstr(err.hint, cases[i].hint), "%s: %s", cases[i].line, err.hint);
        cr_assert_eq(cfg_code_exit(err.code), 2);
    }
}

Test(cli, numbers)
{
    static const char *const bad[] = {"-1", "x", "1x", "1234567890123456", "1.5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cli c;
        struct cfg_error err;
        char line[128];
        snprintf(line, sizeof line, "cfgctl rollback chat --to %s", bad[i]);
        uint64_t n = 5;
        cr_assert_eq(parse(&c, &err, line), 0);
        cr_assert_eq(cli_number(&c, OPT_TO, &n, &err), CFG_E_INVALID, "%s", bad[i]);
        cr_assert_eq(n, 5);
        cli_finish(&c);
    }
}

/* Letters are looked up among a command's options: two with the same letter would hide each other. */
Test(cli, every_command_is_consistent)
{
    for (size_t i = 0; i < cli_n_commands; i++) {
        const struct cli_command *cmd = &cli_commands[i];
        bool seen[128] = {false};
        for (int k = 0; k < OPT_COUNT; k++) {
            int letter = cli_options[k].letter;
            if (!((CLI_GENERAL | cmd->options) & CLI_BIT_AT(k)) || letter == 0)
                continue;
            cr_assert_not(seen[letter], "%s: -%c twice", cmd->name, letter);
            seen[letter] = true;
        }
        cr_assert(cmd->run && cmd->summary[0] && cmd->min_args <= cmd->max_args);
        cr_assert_eq(strncmp(cmd->examples, "cfgctl ", 7) == 0 || strncmp(cmd->examples, "source", 6) == 0, true);
    }
}

Test(cli, addresses_of_objects)
{
    struct object_path o;
    struct cfg_error err;
    cr_assert_eq(object_path_parse(&o, "chat", &err), 0);
    cr_assert_str_eq(o.base, "/v1/config/chat");
    cr_assert_str_eq(o.object, "config/chat");
    cr_assert_eq(object_path_parse(&o, "experiment/ab.flag", &err), 0);
    cr_assert_str_eq(o.base, "/v1/flags/experiment/ab.flag");
    cr_assert_str_eq(o.object, "flag/experiment/ab.flag");
    cr_assert_eq(object_path_parse(&o, "deployment/chat-blue", &err), 0);
    cr_assert_str_eq(o.base, "/v1/deployments/chat-blue");
    static const char *const bad[] = {"", "/", "chat/", "/x", "Chat", "deployment/", "a/b/c", "a b", "deployment/a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(object_path_parse(&o, bad[i], &err), CFG_E_ADDRESS, "%s", bad[i]);
}

Test(cli, urls_are_encoded)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1024);
    cfg_url_format(&b, "/v1/*/x/*", "a/b?c", "é");
    cfg_url_query(&b, "m", "a b&c=d");
    cfg_url_query(&b, "n", "1");
    cr_assert_str_eq(b.data, "/v1/a%2Fb%3Fc/x/%C3%A9?m=a%20b%26c%3Dd&n=1");
    cfg_buf_finish(&b);
}

/* --- reach --- */

static cJSON *tree(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s", err.text);
    return v;
}

static void expect_reach(const char *reply, const char *out, const char *warnings)
{
    struct cfg_buf a, b;
    cfg_buf_init(&a, 65536);
    cfg_buf_init(&b, 65536);
    cJSON *v = tree(reply);
    reach_describe(&a, &b, v);
    cr_assert_str_eq(a.data ? a.data : "", out);
    cr_assert_str_eq(b.data ? b.data : "", warnings);
    cJSON_Delete(v);
    cfg_buf_finish(&a);
    cfg_buf_finish(&b);
}

#define REACH(live, pending, unread, unknown)                                                                     \
    "\"reach\":{\"live\":" #live ",\"pending_restart\":" #pending ",\"unread\":" #unread ",\"unknown\":" #unknown \
    ",\"deployments\":[\"chat-blue\"]}"
#define REPLY(result) "{\"revision\":\"1-9\",\"visible\":true,\"dry_run\":false,\"results\":[" result "]}"

Test(reach, a_created_flag)
{
    expect_reach(REPLY("{\"object\":\"flag/experiment/ab.flag\",\"kind\":\"flag\",\"namespace\":\"experiment\","
                       "\"name\":\"ab.flag\",\"version\":1,\"created\":true,\"changes\":[{\"op\":\"add\","
                       "\"path\":\"enabled\",\"to\":true},{\"op\":\"add\",\"path\":\"off_variant\",\"to\":\"off\"}]," //
                       REACH(4, 0, 0, 0) "}"),
                 "experiment v1: created flag ab.flag=on · live on 4 workers, pending restart on 0, read by nobody on "
                 "0\n",
                 "");
}

Test(reach, a_switched_flag)
{
    expect_reach(REPLY("{\"object\":\"flag/e/f\",\"kind\":\"flag\",\"namespace\":\"e\",\"name\":\"f\",\"version\":2,"
                       "\"changes\":[{\"op\":\"replace\",\"path\":\"enabled\",\"from\":true,\"to\":false}]," //
                       REACH(1, 0, 0, 0) "}"),
                 "e v2: flag f=off, was on · live on 1 worker, pending restart on 0, read by nobody on 0\n", "");
}

Test(reach, parameters)
{
    expect_reach(REPLY("{\"object\":\"config/chat\",\"kind\":\"config\",\"namespace\":\"chat\",\"version\":43,"
                       "\"changes\":[{\"op\":\"replace\",\"path\":\"a.t\",\"from\":0.7,\"to\":0.2},{\"op\":\"add\","
                       "\"path\":\"b\",\"to\":[1]},{\"op\":\"remove\",\"path\":\"c\",\"from\":1}]," //
                       REACH(3, 1, 0, 2) "}"),
                 "chat v43: a.t 0.7 → 0.2, b=[1], removed c · live on 3 workers, pending restart on 1, read by nobody "
                 "on 0, unknown on 2\n",
                 "");
}

Test(reach, a_holding_deployment_is_told_how_to_go_on)
{
    expect_reach(REPLY("{\"object\":\"config/chat\",\"kind\":\"config\",\"namespace\":\"chat\",\"version\":43,"
                       "\"changes\":[{\"op\":\"add\",\"path\":\"b\",\"to\":1}],\"held\":[{\"deployment\":\"chat-blue\","
                       "\"version\":42}]}"),
                 "chat v43: b=1\nstored chat v43; chat-blue holds v42; next: cfgctl rollout start chat-blue --to "
                 "43, or at once: cfgctl deployment update chat-blue --to 43\n",
                 "");
}

/* "live on 0, read by nobody on 0" would sound like a mistake. A deployment that follows has a say again. */
Test(reach, where_all_hold_nothing_moves_and_nobody_is_waited_for)
{
#define HELD(more)                                                                                              \
    REPLY("{\"object\":\"config/chat\",\"kind\":\"config\",\"namespace\":\"chat\",\"version\":43,\"changes\":[" \
          "{\"op\":\"add\",\"path\":\"b\",\"to\":1}],\"held\":[{\"deployment\":\"blue\",\"version\":42}]," more "}")
#define ZERO(names) "\"reach\":{\"live\":0,\"pending_restart\":0,\"unread\":0,\"deployments\":[" names "]}"
    static const char stored[] =
        "stored chat v43; blue holds v42; next: cfgctl rollout start blue --to 43, or at once: "
        "cfgctl deployment update blue --to 43\n";
    static const struct {
        const char *reply, *reach;
        bool nobody;
    } rows[] = {{HELD(ZERO("")), "", true},
                {HELD(ZERO("\"blue\"")), "", true},
                {HELD(ZERO("\"red\"")), " · live on 0 workers, pending restart on 0, read by nobody on 0", false},
                {HELD(REACH(1, 0, 0, 0)), " · live on 1 worker, pending restart on 0, read by nobody on 0", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char wanted[512];
        struct cfg_buf out;
        cJSON *reply = tree(rows[i].reply);
        (void)snprintf(wanted, sizeof wanted, "chat v43: b=1%s\n%s", rows[i].reach, stored);
        expect_reach(rows[i].reply, wanted, "");
        cfg_buf_init(&out, 4096);
        cr_expect_eq(wait_for_nobody(&out, reply), rows[i].nobody, "row %zu", i);
        cr_expect_str_eq(out.len > 0 ? out.data : "",
                         rows[i].nobody
                             ? "nothing to wait for: blue holds v42 until a rollout: cfgctl rollout start blue --to 43 "
                               "--wait\n"
                             : "");
        cfg_buf_finish(&out);
        cJSON_Delete(reply);
    }
}

#define TWO_ARMS                                                                                                   \
    "\"held\":[{\"deployment\":\"blue\",\"namespace\":\"chat\",\"arm\":\"base\",\"rollout\":true,\"version\":41}," \
    "{\"deployment\":\"blue\",\"namespace\":\"chat\",\"arm\":\"canary\",\"rollout\":true,\"version\":42}]}]}"

Test(reach, what_waits_for_a_rollout_is_told_once)
{
    expect_reach(
        "{\"visible\":true,\"results\":[{\"object\":\"config/chat\",\"kind\":\"config\",\"namespace\":"
        "\"chat\",\"version\":43,\"changes\":[{\"op\":\"add\",\"path\":\"b\",\"to\":1}]," TWO_ARMS,
        "chat v43: b=1\nstored chat v43; a rollout of blue is under way (v41 → v42): it waits; afterwards: cfgctl "
        "rollout start blue --to 43\n",
        "");
    expect_reach(
        "{\"visible\":true,\"dry_run\":true,\"results\":[{\"object\":\"config/low\",\"kind\":\"config\","
        "\"namespace\":\"low\",\"version\":43,\"changes\":[{\"op\":\"add\",\"path\":\"b\",\"to\":1}]," TWO_ARMS,
        "dry run: low v43: b=1\na rollout of blue is under way (v41 → v42): it would wait\n", "");
}

Test(reach, a_dry_run_stores_nothing)
{
    expect_reach("{\"visible\":true,\"dry_run\":true,\"results\":[{\"object\":\"config/chat\",\"kind\":\"config\","
                 "\"namespace\":\"chat\",\"version\":43,\"changes\":[{\"op\":\"add\",\"path\":\"b\",\"to\":1}],"
                 "\"held\":[{\"deployment\":\"chat-blue\",\"version\":42}]}]}",
                 "dry run: chat v43: b=1\nchat-blue holds v42 and would stay there\n", "");
}

Test(reach, what_is_deleted_needs_no_deployment)
{
    expect_reach(REPLY("{\"object\":\"config/chat\",\"kind\":\"config\",\"namespace\":\"chat\",\"version\":3,"
                       "\"deleted\":true,\"reach\":{\"live\":0,\"pending_restart\":0,\"unread\":0,"
                       "\"deployments\":[]}}"),
                 "chat v3: deleted · live on 0 workers, pending restart on 0, read by nobody on 0\n", "");
}

Test(reach, a_deployment_leaves_its_lock)
{
    expect_reach(REPLY("{\"object\":\"deployment/x\",\"kind\":\"deployment\",\"namespace\":\"x\",\"version\":2,"
                       "\"changes\":[{\"op\":\"remove\",\"path\":\"arms.base.locked\",\"from\":{}},{\"op\":\"remove\","
                       "\"path\":\"arms.base.release.base\",\"from\":2},{\"op\":\"replace\",\"path\":"
                       "\"arms.base.release.chat\",\"from\":13,\"to\":30}]}"),
                 "x v2: no longer what its lock says, without base, chat v13 → v30\n", "");
}

Test(reach, a_pinned_key_is_kept)
{
    expect_reach(REPLY("{\"object\":\"config/chat\",\"kind\":\"config\",\"namespace\":\"chat\",\"version\":43,"
                       "\"changes\":[{\"op\":\"replace\",\"path\":\"distributed.tp\",\"from\":4,\"to\":8}],"
                       "\"kept\":[{\"deployment\":\"chat-blue\",\"path\":\"distributed.tp\",\"value\":4}]," //
                       REACH(0, 0, 0, 0) "}"),
                 "chat v43: distributed.tp 4 → 8 · live on 0 workers, pending restart on 0, read by nobody on "
                 "0\nchat-blue keeps distributed.tp=4\n",
                 "");
}

Test(reach, what_many_objects_have_to_say_is_said_once)
{
#define FLAG(name)                                                                           \
    "{\"object\":\"flag/e/" name "\",\"kind\":\"flag\",\"namespace\":\"e\",\"name\":\"" name \
    "\",\"version\":1,\"created\":true,\"changes\":[],\"reach\":{\"live\":0,\"deployments\":[]}}"
    struct cfg_buf out, warnings;
    cfg_buf_init(&out, 65536);
    cfg_buf_init(&warnings, 65536);
    cJSON *v = tree(REPLY(FLAG("a") "," FLAG("b")));
    reach_describe(&out, &warnings, v);
    cr_expect_str_eq(warnings.data,
                     "warning: no deployment sees the flags of e; next: cfgctl deployment update NAME --flags e\n");
    cr_expect(strstr(out.data, "flag a") && strstr(out.data, "flag b"));
    cJSON_Delete(v);
    cfg_buf_finish(&out);
    cfg_buf_finish(&warnings);
#undef FLAG
}

Test(reach, nobody_is_a_warning_with_the_near_miss)
{
    expect_reach(REPLY("{\"object\":\"config/chat\",\"kind\":\"config\",\"namespace\":\"chat\",\"version\":2,"
                       "\"changes\":[{\"op\":\"add\",\"path\":\"temprature\",\"to\":1}],\"hint\":\"did you mean "
                       "temperature?\"," //
                       REACH(0, 0, 4, 0) "}"),
                 "chat v2: temprature=1 · live on 0 workers, pending restart on 0, read by nobody on 4\n",
                 "warning: no worker reads what was changed now\nhint: did you mean temperature?\n");
    expect_reach(REPLY("{\"object\":\"config/chat\",\"kind\":\"config\",\"namespace\":\"chat\",\"version\":2,"
                       "\"changes\":[{\"op\":\"add\",\"path\":\"t\",\"to\":1}],\"reach\":{\"deployments\":[]}}"),
                 "chat v2: t=1 · live on 0 workers, pending restart on 0, read by nobody on 0\n",
                 "warning: no deployment runs chat; next: cfgctl deployment create NAME --config chat\n");
    expect_reach(REPLY("{\"object\":\"flag/e/f\",\"kind\":\"flag\",\"namespace\":\"e\",\"name\":\"f\",\"version\":1,"
                       "\"created\":true,\"reach\":{\"deployments\":[]}}"),
                 "e v1: created flag f=on · live on 0 workers, pending restart on 0, read by nobody on 0\n",
                 "warning: no deployment sees the flags of e; next: cfgctl deployment update NAME --flags e\n");
}

Test(reach, nothing_new_dry_runs_and_invisible_writes)
{
    expect_reach("{\"visible\":true,\"dry_run\":true,\"results\":[{\"object\":\"config/chat\",\"kind\":\"config\","
                 "\"namespace\":\"chat\",\"version\":2,\"unchanged\":true}]}",
                 "dry run: chat v2: unchanged\n", "");
    expect_reach("{\"visible\":false,\"results\":[{\"object\":\"deployment/x\",\"kind\":\"deployment\","
                 "\"namespace\":\"x\",\"version\":1,\"created\":true}]}",
                 "x v1: created\n", "warning: written, but this configd does not show it yet (it is behind etcd)\n");
}

/* --- yaml --- */

static void expect_yaml(const char *json, const char *yaml)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    cJSON *v = tree(json);
    cr_assert_eq(cfg_yaml_print(&out, v), 0);
    cr_assert_str_eq(out.data, yaml);
    cJSON_Delete(v);
    cfg_buf_finish(&out);
}

Test(yaml, reads_the_same_in_1_1_and_1_2)
{
    expect_yaml("{\"a\":\"plain\",\"no\":\"no\",\"b\":[\"on\",\"1e3\",\"014\",\"12:30:45\",\"~\",\"\",\"null\"]}",
                "a: plain\n\"no\": \"no\"\nb:\n- \"on\"\n- \"1e3\"\n- \"014\"\n- \"12:30:45\"\n- \"~\"\n- \"\"\n- "
                "\"null\"\n");
    expect_yaml("{\"f\":1e-7,\"g\":1e21,\"h\":0.5,\"i\":-3,\"t\":true,\"n\":null,\"e\":{},\"l\":[]}",
                "f: 1.0e-7\ng: 1.0e+21\nh: 0.5\ni: -3\nt: true\n\"n\": null\ne: {}\nl: []\n");
    expect_yaml("\"a: b # c\"", "\"a: b # c\"\n");
    expect_yaml("[\"x\\u0000y\",\"l1\\nl2\"]", "- \"x\\0y\"\n- \"l1\\nl2\"\n");
}

/* --- table --- */

Test(table, aligns_by_characters_and_cuts_the_last_column)
{
    struct table t;
    struct cfg_buf out;
    cfg_buf_init(&out, 4096);
    table_init(&t, "NAME|N|MESSAGE");
    table_add(&t, "zoë");
    table_add_number(&t, 12);
    table_add(&t, "a long message\033[31m");
    table_add(&t, "bo");
    table_add_number(&t, 3);
    table_add(&t, "");
    table_print(&out, &t, 23, false);
    cr_assert_str_eq(out.data, "NAME  N   MESSAGE\nzoë   12  a long messa…\nbo    3\n");
    cfg_buf_clear(&out);
    table_print(&out, &t, 0, false);
    cr_assert_not_null(strstr(out.data, "a long message?[31m\n"), "an escape of somebody else's never gets through");
    table_finish(&t);
    cfg_buf_finish(&out);
}

/* --- wait --- */

static struct wait_worker judge_for(struct cfg_rev want, const char *worker, uint64_t target)
{
    cJSON *v = tree(worker);
    struct wait_worker w = wait_judge(v, (struct cfg_rev){1, target}, want, 1000000);
    cJSON_Delete(v);
    return w;
}

static struct wait_worker judge(const char *worker, uint64_t target)
{
    return judge_for((struct cfg_rev){1, 50}, worker, target);
}

Test(wait, nothing_changed)
{
    const struct cfg_rev none = {0, 0};
    cr_assert(judge_for(none, "{\"converged\":true,\"applied\":{\"revision\":\"1-49\"}}", 49).applied);
    cr_assert_not(judge_for(none, "{\"converged\":false,\"applied\":{\"revision\":\"1-40\"}}", 49).applied);
}

Test(wait, who_has_applied_it)
{
    struct wait_worker w = judge("{\"converged\":true,\"applied\":{\"revision\":\"1-50\",\"step\":7,"
                                 "\"at\":\"1970-01-01T00:00:01.002500Z\"}}",
                                 50);
    cr_assert(w.applied);
    cr_assert_float_eq(w.latency_ms, 2.5, 1e-9);
    cr_assert_float_eq(w.step, 7, 0);
    w = judge("{\"converged\":false,\"applied\":{\"revision\":\"1-49\"}}", 50);
    cr_assert_not(w.applied, "it runs an older one");
    w = judge("{\"converged\":true,\"applied\":{\"revision\":\"1-49\"}}", 49);
    cr_assert_not(w.applied, "converged on what was before, which this configd still takes for the newest");
    w = judge("{\"converged\":true,\"applied\":{\"revision\":\"1-49\"}}", 50);
    cr_assert(w.applied, "an idle worker has prepared it");
    cr_assert_lt(w.latency_ms, 0);
    w = judge("{\"converged\":false,\"applied\":{\"revision\":\"2-3\"}}", 50);
    cr_assert(w.applied, "what is newer includes it");
    w = judge("{\"converged\":false,\"applied\":null}", 50);
    cr_assert_not(w.applied);
}
