/* `set`: names resolved on the server. */
#include "world.h"

#include <criterion/criterion.h>
#include <string.h>

static struct world w;

static void open_world(void)
{
    world_open(&w);
    world_ok(
        &w,
        "[{\"object\":\"config/chat\",\"put\":{\"sampling\":{\"temperature\":0.7,\"greedy\":false,\"mode\":\"auto\"},"
        "\"list\":[1,2]}}]");
}

static void close_world(void)
{
    world_close(&w);
}
TestSuite(set, .init = open_world, .fini = close_world);

#define SET(items)         "[{\"namespace\":\"chat\",\"set\":[" items "]}]"
#define VALUE(name, value) "{\"name\":\"" name "\",\"value\":" value "}"
#define WORD(name, word)   "{\"name\":\"" name "\",\"value\":\"" word "\",\"on_off\":\"" word "\"}"

Test(set, several_items_are_one_version)
{
    world_ok(&w, SET(VALUE("sampling.temperature", "0.2") "," VALUE("inference.batch_size", "8")));
    cr_assert_str_eq(world_head(&w, "config/chat", "version"), "2");
    cr_assert_str_eq(world_head(&w, "config/chat", "document.sampling.temperature"), "0.2");
    cr_assert_str_eq(world_head(&w, "config/chat", "document.inference"), "{\"batch_size\":8}");
    cr_assert_eq(w.decision.n_writes, 1);
}

Test(set, creates_namespace_and_parents)
{
    world_ok(&w, "[{\"namespace\":\"fresh\",\"set\":[" VALUE("a.b.c", "1") "]}]");
    cr_assert_str_eq(world_head(&w, "config/fresh", "document"), "{\"a\":{\"b\":{\"c\":1}}}");
    cr_assert_str_eq(world_result(&w, "r[0].created"), "true");
}

Test(set, a_change_of_type_is_refused_unless_wanted)
{
    world_fails(&w, SET(VALUE("sampling.temperature", "\"hot\"")), CFG_E_TYPE_CHANGE, "number");
    cr_assert_str_eq(w.err.path, "sampling.temperature");
    world_fails(&w, SET(VALUE("sampling.temperature", "null")), CFG_E_TYPE_CHANGE, "null");
    world_fails(&w, SET(VALUE("sampling", "1")), CFG_E_TYPE_CHANGE, "object");
    world_ok(&w, SET("{\"name\":\"sampling.temperature\",\"value\":\"hot\",\"change_type\":true}"));
    cr_assert_str_eq(world_head(&w, "config/chat", "document.sampling.temperature"), "\"hot\"");
}

Test(set, modes)
{
    world_fails(&w, SET("{\"name\":\"sampling.temperature\",\"mode\":\"add\",\"value\":1}"), CFG_E_EXISTS, "exists");
    world_ok(&w, SET("{\"name\":\"sampling.top_k\",\"mode\":\"add\",\"value\":40}"));
    world_ok(&w, SET("{\"name\":\"sampling.top_k\",\"mode\":\"force\",\"value\":50}"));
    world_ok(&w, SET("{\"name\":\"sampling.top_k\",\"mode\":\"delete\"}"));
    cr_assert_str_eq(world_head(&w, "config/chat", "document.sampling.top_k"), "");
    world_fails(&w, SET("{\"name\":\"sampling.temprature\",\"mode\":\"delete\"}"), CFG_E_UNKNOWN_KEY,
                "did you mean chat/sampling.temperature?");
    world_fails(&w, SET("{\"name\":\"a\",\"mode\":\"sett\",\"value\":1}"), CFG_E_INVALID, "sett");
    world_fails(&w, SET("{\"name\":\"a\"}"), CFG_E_INVALID, "neither value nor on_off");
    world_fails(&w, SET("{\"name\":\"a\",\"on_off\":\"yes\"}"), CFG_E_INVALID, "neither on nor off");
    world_fails(&w, SET(VALUE("a..b", "1")), CFG_E_ADDRESS, "");
    world_fails(&w, SET("{\"name\":\"a\",\"valeu\":1}"), CFG_E_VALUE, "did you mean value?");
}

Test(set, list_items_and_blocked_paths)
{
    world_ok(&w, SET(VALUE("list[1]", "7")));
    cr_assert_str_eq(world_head(&w, "config/chat", "document.list"), "[1,7]");
    world_fails(&w, SET(VALUE("list[9]", "7")), CFG_E_VALUE, "list");
    world_fails(&w, SET(VALUE("sampling.temperature.x", "7")), CFG_E_VALUE, "sampling.temperature");
    world_fails(&w, SET("{\"name\":\"list[9]\",\"mode\":\"delete\"}"), CFG_E_UNKNOWN_KEY, "list[9]");
}

Test(set, a_new_name_close_to_another_gets_a_hint)
{
    world_ok(&w, SET(VALUE("sampling.temprature", "0.5")));
    cr_assert(strstr(world_result(&w, "r[0].hint"), "did you mean sampling.temperature?"));
}

Test(set, on_off_switches_creates_and_sets)
{
    /* A new name: a boolean flag. The namespace's document is not touched. */
    world_ok(&w, "[{\"namespace\":\"experiment\",\"set\":[" WORD("ab.flag", "on") "]}]");
    cr_assert_str_eq(world_result(&w, "r[0].object"), "\"flag/experiment/ab.flag\"");
    cr_assert_str_eq(world_result(&w, "r[0].created"), "true");
    cr_assert_eq(w.decision.n_writes, 1);
    cr_assert_null(world_object(&w, "config/experiment"));
    cr_assert_str_eq(world_head(&w, "flag/experiment/ab.flag", "enabled"), "true");
    /* An existing flag: switched. */
    world_ok(&w, "[{\"namespace\":\"experiment\",\"set\":[" WORD("ab.flag", "off") "]}]");
    cr_assert_str_eq(world_head(&w, "flag/experiment/ab.flag", "enabled"), "false");
    cr_assert_str_eq(world_result(&w, "r[0].created"), "false");
    world_ok(&w, "[{\"namespace\":\"experiment\",\"set\":[" WORD("ab.flag", "off") "]}]");
    cr_assert_str_eq(world_result(&w, "r[0].unchanged"), "true");
    /* An existing boolean: set. A string takes the word. A number is another type. */
    world_ok(&w, SET(WORD("sampling.greedy", "on") "," WORD("sampling.mode", "off")));
    cr_assert_str_eq(world_head(&w, "config/chat", "document.sampling.greedy"), "true");
    cr_assert_str_eq(world_head(&w, "config/chat", "document.sampling.mode"), "\"off\"");
    world_fails(&w, SET(WORD("sampling.temperature", "on")), CFG_E_TYPE_CHANGE, "boolean");
}

Test(set, a_flag_takes_no_value)
{
    world_ok(&w, SET(WORD("ab.flag", "on")));
    world_fails(&w, SET(VALUE("ab.flag", "true")), CFG_E_CONFLICT, "is a flag");
    cr_assert(strstr(w.err.hint, "chat/ab.flag=on"));
    world_fails(&w, SET("{\"name\":\"ab.flag\",\"mode\":\"add\",\"on_off\":\"on\"}"), CFG_E_EXISTS, "ab.flag");
    world_fails(&w, SET(VALUE("ab", "{\"flag\":1}")), CFG_E_CONFLICT, "never both");
    world_ok(&w, SET("{\"name\":\"ab.flag\",\"mode\":\"delete\"}"));
    cr_assert_str_eq(world_head(&w, "flag/chat/ab.flag", "enabled"), "deleted");
    /* Free again: on|off makes it a flag once more, with the next version. */
    world_ok(&w, SET(WORD("ab.flag", "off")));
    cr_assert_str_eq(world_head(&w, "flag/chat/ab.flag", "version"), "3");
    cr_assert_str_eq(world_head(&w, "flag/chat/ab.flag", "enabled"), "false");
}

Test(set, parameters_and_flags_in_one_change)
{
    world_ok(&w, SET(WORD("new.flag", "on") "," VALUE("sampling.temperature", "1") "," WORD("new.flag", "off")));
    cr_assert_eq(w.decision.n_writes, 2);
    cr_assert_str_eq(world_head(&w, "flag/chat/new.flag", "enabled"), "false");
    cr_assert_str_eq(world_head(&w, "flag/chat/new.flag", "version"), "1");
    world_fails(&w, SET(WORD("x", "on") "," VALUE("x.y", "1")), CFG_E_CONFLICT, "never both");
    world_fails(&w, SET(VALUE("sampling.temperature", "2") "," VALUE("sampling.greedy", "2")), CFG_E_TYPE_CHANGE, "");
    cr_assert_str_eq(world_head(&w, "config/chat", "document.sampling.temperature"), "1");
}

Test(set, if_version_holds_for_all_it_touches)
{
    world_fails(&w, "[{\"namespace\":\"chat\",\"if_version\":9,\"set\":[" VALUE("list", "[]") "]}]", CFG_E_PRECONDITION,
                "version 1");
    world_ok(&w, "[{\"namespace\":\"chat\",\"if_version\":1,\"set\":[" VALUE("list", "[]") "]}]");
    world_ok(&w, "[{\"namespace\":\"chat\",\"if_version\":0,\"set\":[" WORD("f", "on") "]}]");
    world_fails(&w, "[{\"namespace\":\"chat\",\"if_version\":0,\"set\":[" WORD("f", "off") "]}]", CFG_E_PRECONDITION,
                "chat/f exists");
}

static bool guards_flags(void)
{
    for (size_t i = 0; i < w.decision.n_guards; i++)
        if (w.decision.guards[i].kind == CFG_GUARD_SPACE && w.decision.guards[i].id.kind == CFG_KIND_FLAG)
            return true;
    return false;
}

Test(set, existing_values_need_no_guard_over_the_flags)
{
    cr_assert_eq(world_decide(&w, SET(VALUE("sampling.temperature", "1"))), 0);
    cr_assert(!guards_flags());
    cr_assert_eq(world_decide(&w, SET(VALUE("sampling.new", "1"))), 0);
    cr_assert(guards_flags());
    cr_assert_eq(world_decide(&w, SET(WORD("flag.new", "on"))), 0);
    cr_assert_eq(w.decision.n_guards, 2);
}
