/* Decisions on whole objects: put, patches, delete, rollback, several at once. */
#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world w;

static void open_world(void)
{
    world_open(&w);
}

static void close_world(void)
{
    world_close(&w);
}
TestSuite(change, .init = open_world, .fini = close_world);

#define PUT(doc) "[{\"object\":\"config/chat\",\"put\":" doc "}]"

Test(change, versions_count_and_results_say_what_changed)
{
    world_ok(&w, PUT("{\"a\":{\"b\":1}}"));
    cr_assert_str_eq(world_result(&w, "r[0].version"), "1");
    cr_assert_str_eq(world_result(&w, "r[0].previous"), "0");
    cr_assert_str_eq(world_result(&w, "r[0].created"), "true");
    cr_assert_str_eq(world_result(&w, "r[0].changes"), "[{\"op\":\"add\",\"path\":\"a\",\"to\":{\"b\":1}}]");
    world_ok(&w, PUT("{\"a\":{\"b\":2}}"));
    cr_assert_str_eq(world_result(&w, "r[0].object"), "\"config/chat\"");
    cr_assert_str_eq(world_result(&w, "r[0].namespace"), "\"chat\"");
    cr_assert_str_eq(world_result(&w, "r[0].kind"), "\"config\"");
    cr_assert_str_eq(world_result(&w, "r[0].version"), "2");
    cr_assert_str_eq(world_result(&w, "r[0].created"), "false");
    cr_assert_str_eq(world_result(&w, "r[0].changes"), "[{\"op\":\"replace\",\"path\":\"a.b\",\"from\":1,\"to\":2}]");
    cr_assert_str_eq(world_head(&w, "config/chat", "parent"), "1");
    cr_assert_str_eq(world_head(&w, "config/chat", "author"), "\"ann\"");
    cr_assert_str_eq(world_head(&w, "config/chat", "request_id"), "\"r1\"");
    cr_assert_eq(world_object(&w, "config/chat")->version, 2);
}

Test(change, a_change_of_nothing_writes_nothing)
{
    world_ok(&w, PUT("{\"a\":1,\"b\":2}"));
    world_ok(&w, PUT("{\"b\":2.0,\"a\":1}"));
    cr_assert_eq(w.decision.n_writes, 0);
    cr_assert_str_eq(world_result(&w, "r[0].unchanged"), "true");
    cr_assert_str_eq(world_result(&w, "r[0].version"), "1");
    cr_assert_str_eq(world_result(&w, "r[0].changes"), "[]");
    cr_assert_eq(strlen(world_result(&w, "r[0].digest")), 7 + 64 + 2);
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"c\":null}}]");
    cr_assert_eq(w.decision.n_writes, 0);
}

Test(change, preconditions)
{
    world_fails(&w, "[{\"object\":\"config/chat\",\"if_version\":1,\"put\":{}}]", CFG_E_PRECONDITION, "does not exist");
    world_ok(&w, "[{\"object\":\"config/chat\",\"if_version\":0,\"put\":{\"a\":1}}]");
    world_fails(&w, "[{\"object\":\"config/chat\",\"if_version\":0,\"put\":{}}]", CFG_E_PRECONDITION, "version 1");
    world_fails(&w, "[{\"object\":\"config/chat\",\"if_version\":7,\"patch\":{}}]", CFG_E_PRECONDITION,
                "is at version 1, but version 7 was expected");
    world_ok(&w, "[{\"object\":\"config/chat\",\"if_version\":1,\"patch\":{\"a\":2}}]");
    world_ok(&w, "[{\"object\":\"config/chat\",\"if_version\":2,\"delete\":true}]");
    world_fails(&w, "[{\"object\":\"config/chat\",\"if_version\":2,\"put\":{}}]", CFG_E_PRECONDITION, "deleted");
    world_ok(&w, "[{\"object\":\"config/chat\",\"if_version\":0,\"put\":{\"b\":1}}]");
    cr_assert_eq(world_object(&w, "config/chat")->version, 4);
}

Test(change, every_decision_guards_its_own_head)
{
    world_ok(&w, PUT("{\"a\":1}"));
    cr_assert_eq(world_decide(&w, "[{\"object\":\"config/chat\",\"patch\":{\"a\":2}}]"), 0);
    /* Also that nobody begins to extend it meanwhile, the deployments that may run it, and that it has no schema. */
    cr_assert_eq(w.decision.n_guards, 4);
    cr_assert(w.decision.guards[1].kind == CFG_GUARD_SPACE && w.decision.guards[1].id.kind == CFG_KIND_EXTENDS);
    cr_assert(w.decision.guards[2].kind == CFG_GUARD_SPACE && w.decision.guards[2].id.kind == CFG_KIND_DEPLOYMENT);
    cr_assert(w.decision.guards[3].kind == CFG_GUARD_HEAD && w.decision.guards[3].id.kind == CFG_KIND_SCHEMA);
    cr_assert_eq(w.decision.guards[0].kind, CFG_GUARD_HEAD);
    cr_assert_eq(w.decision.guards[0].mod_revision, world_object(&w, "config/chat")->mod_revision);
    /* A change that would do nothing was decided on the head, too. */
    cr_assert_eq(world_decide(&w, "[{\"object\":\"config/chat\",\"patch\":{\"a\":1}}]"), 0);
    cr_assert_eq(w.decision.n_guards, 3);
}

Test(change, tombstones_keep_the_numbering_and_can_be_passed)
{
    world_ok(&w, PUT("{\"a\":1}"));
    world_ok(&w, PUT("{\"a\":2}"));
    world_ok(&w, "[{\"object\":\"config/chat\",\"delete\":true}]");
    cr_assert_str_eq(world_result(&w, "r[0].version"), "3");
    cr_assert_str_eq(world_result(&w, "r[0].deleted"), "true");
    cr_assert_str_eq(world_result(&w, "r[0].changes"), "[{\"op\":\"remove\",\"path\":\"a\",\"from\":2}]");
    cr_assert_str_eq(world_head(&w, "config/chat", "document"), "deleted");
    world_fails(&w, "[{\"object\":\"config/chat\",\"delete\":true}]", CFG_E_NOT_FOUND, "deleted (version 3)");
    world_fails(&w, "[{\"object\":\"config/chat\",\"patch\":{\"b\":1}}]", CFG_E_NOT_FOUND, "rollback");
    world_fails(&w, "[{\"object\":\"config/chat\",\"rollback_to\":3}]", CFG_E_VALUE, "is a delete");
    world_fails(&w, "[{\"object\":\"config/chat\",\"rollback_to\":9}]", CFG_E_NOT_FOUND, "no version 9");
    world_ok(&w, "[{\"object\":\"config/chat\",\"rollback_to\":1}]");
    cr_assert_str_eq(world_head(&w, "config/chat", "document.a"), "1");
    cr_assert_str_eq(world_head(&w, "config/chat", "version"), "4");
    cr_assert_str_eq(world_head(&w, "config/chat", "message"), "\"rollback to version 1\"");
    cr_assert_str_eq(world_result(&w, "r[0].created"), "true");
    world_ok(&w, "[{\"object\":\"config/chat\",\"rollback_to\":4}]");
    cr_assert_eq(w.decision.n_writes, 0, "going back to the head is no change");
    world_ok(&w, "[{\"object\":\"config/chat\",\"rollback_to\":1}]");
    cr_assert_eq(w.decision.n_writes, 0, "nor is the same content");
}

Test(change, patches)
{
    world_fails(&w, "[{\"object\":\"config/chat\",\"patch\":{\"a\":1}}]", CFG_E_NOT_FOUND, "does not exist");
    world_ok(&w, "[{\"object\":\"config/chat\",\"if_version\":0,\"patch\":{\"a\":1}}]");
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"a\":null,\"b\":{\"c\":[1]}}}]");
    cr_assert_str_eq(world_head(&w, "config/chat", "document"), "{\"b\":{\"c\":[1]}}");
    world_ok(&w, "[{\"object\":\"config/chat\",\"json_patch\":[{\"op\":\"add\",\"path\":\"/b/c/-\",\"value\":2}]}]");
    cr_assert_str_eq(world_head(&w, "config/chat", "document.b.c"), "[1,2]");
    world_fails(&w,
                "[{\"object\":\"config/chat\",\"json_patch\":[{\"op\":\"add\",\"path\":\"/x\",\"value\":2},{\"op\":"
                "\"test\",\"path\":\"/b/c/0\",\"value\":7}]}]",
                CFG_E_PATCH, "");
    cr_assert_str_eq(world_head(&w, "config/chat", "document.x"), "");
    world_fails(&w, "[{\"object\":\"config/chat\",\"json_patch\":[{\"op\":\"replace\",\"path\":\"\",\"value\":2}]}]",
                CFG_E_VALUE, "must be an object");
    world_fails(&w, "[{\"object\":\"config/chat\",\"patch\":[1]}]", CFG_E_VALUE, "must be an object");
    world_ok(&w, "[{\"object\":\"config/chat2\",\"put\":{}}]");
    world_fails(&w, "[{\"object\":\"config/chatt\",\"patch\":{\"a\":1}}]", CFG_E_NOT_FOUND, "did you mean chat");
}

static void nested(struct cfg_buf *out, int depth)
{
    cfg_buf_puts(out, "[{\"object\":\"config/deep\",\"put\":");
    for (int i = 1; i < depth; i++)
        cfg_buf_puts(out, "{\"a\":");
    cfg_buf_puts(out, "{}");
    for (int i = 1; i < depth; i++)
        cfg_buf_putc(out, '}');
    cfg_buf_puts(out, "}]");
}

Test(change, documents_are_checked)
{
    static const char *const bad[] = {
        "[]", "1", "{\"a.b\":1}", "{\"\":1}", "{\"x\":[{\"a/b\":1}]}", "{\"a\":{\"b=\":1}}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, PUT("%s"), bad[i]);
        world_fails(&w, text, CFG_E_VALUE, "chat");
    }
    struct cfg_buf text;
    cfg_buf_init(&text, 65536);
    nested(&text, CFG_LIMIT_DEPTH);
    world_ok(&w, text.data);
    cfg_buf_clear(&text);
    nested(&text, CFG_LIMIT_DEPTH + 1);
    world_fails(&w, text.data, CFG_E_LIMIT, "64 levels");
    cfg_buf_finish(&text);
    char *message = malloc(CFG_LIMIT_MESSAGE + 2);
    memset(message, 'm', CFG_LIMIT_MESSAGE + 1);
    message[CFG_LIMIT_MESSAGE + 1] = '\0';
    w.message = message;
    world_fails(&w, PUT("{\"a\":1}"), CFG_E_LIMIT, "message");
    message[CFG_LIMIT_MESSAGE] = '\0';
    world_ok(&w, PUT("{\"a\":1}"));
    free(message);
}

#define FLAG(rest) "[{\"object\":\"flag/exp/ab\"," rest "}]"
#define DEFINITION "\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"b\":2},\"defaultVariant\":\"a\"}"

Test(change, flags)
{
    world_ok(&w, FLAG("\"put\":{" DEFINITION "}"));
    cr_assert_str_eq(world_head(&w, "flag/exp/ab", "enabled"), "true");
    cr_assert_str_eq(world_result(&w, "r[0].name"), "\"ab\"");
    world_ok(&w, FLAG("\"patch\":{\"enabled\":false,\"off_variant\":\"b\"}"));
    cr_assert_str_eq(world_head(&w, "flag/exp/ab", "enabled"), "false");
    cr_assert_str_eq(world_head(&w, "flag/exp/ab", "off_variant"), "\"b\"");
    /* A new definition does not undo the kill switch. */
    world_ok(&w,
             FLAG("\"put\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\"defaultVariant\":\"a\"}}"));
    cr_assert_str_eq(world_head(&w, "flag/exp/ab", "enabled"), "false");
    world_fails(&w, FLAG("\"patch\":{\"enable\":true}"), CFG_E_VALUE, "did you mean enabled?");
    world_fails(&w, FLAG("\"patch\":{\"off_variant\":\"zz\"}"), CFG_E_VALUE, "");
    world_fails(&w, FLAG("\"put\":{\"enabled\":true}"), CFG_E_VALUE, "");
    world_fails(&w, FLAG("\"put\":[]"), CFG_E_VALUE, "must be an object");
    world_ok(&w, FLAG("\"delete\":true"));
    world_ok(&w, FLAG("\"rollback_to\":2"));
    cr_assert_str_eq(world_head(&w, "flag/exp/ab", "version"), "5");
    cr_assert_str_eq(world_head(&w, "flag/exp/ab", "off_variant"), "\"b\"");
}

Test(change, a_name_is_a_parameter_or_a_flag)
{
    world_ok(&w, FLAG("\"put\":{" DEFINITION "}"));
    world_fails(&w, "[{\"object\":\"config/exp\",\"put\":{\"ab\":1}}]", CFG_E_CONFLICT, "never both");
    world_fails(&w, "[{\"object\":\"config/exp\",\"put\":{\"ab\":{\"c\":1}}}]", CFG_E_CONFLICT, "exp/ab is a flag");
    world_ok(&w, "[{\"object\":\"config/exp\",\"put\":{\"abc\":1,\"x\":{\"ab\":1}}}]");
    world_fails(&w, "[{\"object\":\"flag/exp/x\",\"put\":{" DEFINITION "}}]", CFG_E_CONFLICT, "exp/x is a parameter");
    world_fails(&w, "[{\"object\":\"flag/exp/x.ab\",\"put\":{" DEFINITION "}}]", CFG_E_CONFLICT, "never both");
    world_ok(&w, "[{\"object\":\"flag/exp/x.cd\",\"put\":{" DEFINITION "}}]");
    /* In one change, too; and a deleted flag's name is free again. */
    world_fails(&w,
                "[{\"object\":\"flag/new/n\",\"put\":{" DEFINITION "}},{\"object\":\"config/new\",\"put\":{\"n\":1}}]",
                CFG_E_CONFLICT, "never both");
    world_ok(&w, "[{\"object\":\"flag/exp/ab\",\"delete\":true},{\"object\":\"config/exp\",\"patch\":{\"ab\":1}}]");
    world_fails(&w, FLAG("\"rollback_to\":1"), CFG_E_CONFLICT, "parameter already");
}

Test(change, names_are_guarded_on_both_sides)
{
    world_ok(&w, "[{\"object\":\"config/exp\",\"put\":{\"a\":1}}]");
    cr_assert_eq(world_decide(&w, FLAG("\"put\":{" DEFINITION "}")), 0);
    world_ok(&w, "[{\"object\":\"flag/exp/other\",\"put\":{" DEFINITION "}}]");
    /* The flag's creation must not survive that the namespace changed meanwhile… */
    cr_assert_eq(world_decide(&w, FLAG("\"put\":{" DEFINITION "}")), 0);
    struct cfg_decision flag = w.decision;
    w.decision = (struct cfg_decision){0};
    world_ok(&w, "[{\"object\":\"config/exp\",\"patch\":{\"ab\":1}}]");
    struct cfg_decision config = w.decision;
    w.decision = flag;
    cr_assert_not(world_guards_hold(&w));
    cfg_decision_finish(&w.decision);
    w.decision = config;
    /* …nor the parameter's that a flag was written meanwhile. */
    cr_assert_eq(world_decide(&w, "[{\"object\":\"config/exp\",\"patch\":{\"zz\":1}}]"), 0);
    config = w.decision;
    w.decision = (struct cfg_decision){0};
    world_ok(&w, "[{\"object\":\"flag/exp/zz\",\"put\":{" DEFINITION "}}]");
    flag = w.decision;
    w.decision = config;
    cr_assert_not(world_guards_hold(&w));
    cfg_decision_finish(&w.decision);
    w.decision = flag;
}

Test(change, several_objects_are_one_change)
{
    world_ok(&w, "[{\"object\":\"config/a\",\"put\":{\"x\":1}},{\"object\":\"config/b\",\"put\":{\"x\":1}},"
                 "{\"object\":\"flag/a/f\",\"put\":{" DEFINITION "}}]");
    cr_assert_eq(w.decision.n_writes, 3);
    cr_assert_eq(world_object(&w, "config/a")->mod_revision, world_object(&w, "flag/a/f")->mod_revision);
    world_fails(&w, "[{\"object\":\"config/a\",\"patch\":{\"x\":2}},{\"object\":\"config/c\",\"patch\":{}}]",
                CFG_E_NOT_FOUND, "entry 2");
    cr_assert_str_eq(world_head(&w, "config/a", "document.x"), "1");
    world_fails(&w, "[{\"object\":\"config/a\",\"patch\":{\"x\":2}},{\"object\":\"config/a\",\"patch\":{\"y\":2}}]",
                CFG_E_INVALID, "two entries");
}

Test(change, bytes_bind)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 4 << 20);
    cfg_buf_putc(&text, '[');
    for (int i = 0; i < 2; i++) {
        cfg_buf_printf(&text, "%s{\"object\":\"config/big%d\",\"put\":{\"a\":\"", i ? "," : "", i);
        for (int n = 0; n < 400 * 1024; n++)
            cfg_buf_putc(&text, 'x');
        cfg_buf_puts(&text, "\"}}");
    }
    cfg_buf_putc(&text, ']');
    world_fails(&w, text.data, CFG_E_LIMIT, "1400 KiB");
    cfg_buf_clear(&text);
    cfg_buf_putc(&text, '[');
    for (int i = 0; i <= CFG_LIMIT_CHANGE_OBJECTS; i++)
        cfg_buf_printf(&text, "%s{\"object\":\"config/n%d\",\"put\":{}}", i ? "," : "", i);
    cfg_buf_putc(&text, ']');
    world_fails(&w, text.data, CFG_E_LIMIT, "at most 60");
    cfg_buf_finish(&text);
}

Test(change, malformed_entries_name_themselves)
{
    static const struct {
        const char *entries;
        int code;
        const char *text;
    } rows[] = {
        {"{}", CFG_E_INVALID, "array"},
        {"[]", CFG_E_INVALID, "at least one"},
        {"[1]", CFG_E_VALUE, "object"},
        {"[{}]", CFG_E_ADDRESS, "config/NAMESPACE"},
        {"[{\"object\":\"config/chat\"}]", CFG_E_INVALID, "nothing to do"},
        {"[{\"object\":\"config/chat\",\"put\":{},\"delete\":true}]", CFG_E_INVALID, "more than one"},
        {"[{\"object\":\"config/chat\",\"delete\":false}]", CFG_E_INVALID, "must be true"},
        {"[{\"object\":\"config/chat\",\"rollback_to\":-1}]", CFG_E_JSON, "rollback_to"},
        {"[{\"object\":\"config/chat\",\"if_version\":\"1\",\"put\":{}}]", CFG_E_JSON, "if_version"},
        {"[{\"object\":\"config/chat\",\"putt\":{}}]", CFG_E_VALUE, "did you mean put?"},
        {"[{\"object\":\"config/Chat\",\"put\":{}}]", CFG_E_ADDRESS, "chat"},
        {"[{\"namespace\":\"chat\",\"set\":[]}]", CFG_E_INVALID, "at least one item"},
        {"[{\"namespace\":\"chat\",\"put\":{}}]", CFG_E_VALUE, "put"},
        {"[{\"set\":[{\"name\":\"a\",\"value\":1}]}]", CFG_E_ADDRESS, "namespace"},
        {"[{\"object\":\"config/a\",\"put\":{}},{\"object\":\"x\",\"put\":{}}]", CFG_E_ADDRESS, "entry 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        world_fails(&w, rows[i].entries, rows[i].code, rows[i].text);
}
