/* Deployments: the pin freezes, the release moves, a namespace's write says who keeps what. */
#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct world w;

#define BLUE(rest) "[{\"object\":\"deployment/blue\"," rest "}]"
#define CREATE     BLUE("\"put\":{\"config\":\"chat\",\"pin\":[\"distributed\"],\"flags\":[\"experiment\"]}")
#define HELD       BLUE("\"put\":{\"config\":\"chat\",\"pin\":[\"distributed\"],\"track\":\"hold\"}")

static void open_world(void)
{
    world_open(&w);
    world_ok(&w, "[{\"object\":\"config/chat\",\"put\":{\"distributed\":{\"tp\":4,\"pp\":1},\"t\":0.7,\"l\":[1]}}]");
}

static void close_world(void)
{
    world_close(&w);
}
TestSuite(deployment, .init = open_world, .fini = close_world);

Test(deployment, creation_resolves_the_pin)
{
    world_ok(&w, CREATE);
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin"), "{\"distributed\":{\"tp\":4,\"pp\":1}}");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin_keys"), "[\"distributed\"]");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "arms"), "{\"base\":{\"follows\":\"head\"}}");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "flags"), "[\"experiment\"]");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "generation"), "1");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "track"), "\"head\"");
    cr_assert_str_eq(world_result(&w, "r[0].namespace"), "\"chat\"");
    cr_assert_str_eq(world_result(&w, "r[0].name"), "\"blue\"");
    world_fails(&w, CREATE, CFG_E_EXISTS, "exists already");
}

Test(deployment, creation_is_guarded_by_the_namespace)
{
    cr_assert_eq(world_decide(&w, CREATE), 0);
    struct cfg_decision d = w.decision;
    w.decision = (struct cfg_decision){0};
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"distributed\":{\"tp\":8}}}]");
    cfg_decision_finish(&w.decision);
    w.decision = d;
    cr_assert_not(world_guards_hold(&w));
}

Test(deployment, bad_creations)
{
    static const struct {
        const char *body;
        int code;
        const char *text;
    } rows[] = {
        {BLUE("\"put\":{\"config\":\"chatt\"}"), CFG_E_NOT_FOUND, "did you mean chat?"},
        {BLUE("\"put\":{}"), CFG_E_ADDRESS, "namespace"},
        {BLUE("\"put\":{\"config\":\"chat\",\"pin\":[\"distribute\"]}"), CFG_E_VALUE, "did you mean distributed?"},
        {BLUE("\"put\":{\"config\":\"chat\",\"pin\":[\"nothing.like.it\"]}"), CFG_E_VALUE,
         "set it in the namespace first"},
        {BLUE("\"put\":{\"config\":\"chat\",\"pin\":\"distributed\"}"), CFG_E_VALUE, "array"},
        {BLUE("\"put\":{\"config\":\"chat\",\"pin\":[\"l[0]\"]}"), CFG_E_VALUE, "list as a whole"},
        {BLUE("\"put\":{\"config\":\"chat\",\"pin\":[1]}"), CFG_E_VALUE, "paths"},
        {BLUE("\"put\":{\"config\":\"chat\",\"flags\":[\"Bad\"]}"), CFG_E_ADDRESS, "bad"},
        {BLUE("\"put\":{\"config\":\"chat\",\"flags\":{}}"), CFG_E_VALUE, "array"},
        {BLUE("\"put\":{\"config\":\"chat\",\"track\":\"main\"}"), CFG_E_VALUE, "track"},
        {BLUE("\"put\":{\"config\":\"chat\",\"tracks\":\"head\"}"), CFG_E_VALUE, "did you mean track?"},
        {BLUE("\"put\":{\"config\":\"chat\",\"name\":\"green\"}"), CFG_E_INVALID, "another deployment"},
        {BLUE("\"patch\":{\"track\":\"head\"}"), CFG_E_NOT_FOUND, "does not exist"},
        {BLUE("\"delete\":true"), CFG_E_NOT_FOUND, "does not exist"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        world_fails(&w, rows[i].body, rows[i].code, rows[i].text);
    cr_assert_null(world_object(&w, "deployment/blue"));
}

Test(deployment, pins_that_cover_each_other_count_once)
{
    world_ok(&w, BLUE("\"put\":{\"config\":\"chat\",\"pin\":[\"distributed.tp\",\"distributed\",\"l\",\"l\"]}"));
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin_keys"), "[\"distributed\",\"l\"]");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin"), "{\"distributed\":{\"tp\":4,\"pp\":1},\"l\":[1]}");
}

Test(deployment, the_pin_never_moves)
{
    static const char *const members[] = {"pin", "pin_keys", "pin_digest", "config", "generation"};
    world_ok(&w, CREATE);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "[{\"object\":\"deployment/blue\",\"patch\":{\"%s\":1}}]", members[i]);
        world_fails(&w, text, CFG_E_PINNED, "never changes");
        cr_assert_str_eq(w.err.path, members[i]);
    }
    world_fails(&w, BLUE("\"json_patch\":[]"), CFG_E_UNSUPPORTED, "merge patch");
    world_fails(&w, BLUE("\"patch\":{\"trakc\":\"hold\"}"), CFG_E_VALUE, "did you mean track?");
}

Test(deployment, a_write_to_pinned_keys_names_who_keeps_them)
{
    world_ok(&w, CREATE);
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"distributed\":{\"tp\":8,\"cp\":2},\"t\":1}}]");
    cr_assert_str_eq(world_result(&w, "r[0].kept"),
                     "[{\"path\":\"distributed.tp\",\"value\":4,\"deployment\":\"blue\"},"
                     "{\"path\":\"distributed.cp\",\"value\":null,\"deployment\":\"blue\"}]");
    cr_assert_str_eq(world_result(&w, "r[0].held"), "[]");
    /* A later write that leaves them alone says nothing; a removal does; a return to the pin's value does not. */
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"t\":2}}]");
    cr_assert_str_eq(world_result(&w, "r[0].kept"), "[]");
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"distributed\":{\"pp\":null,\"tp\":4}}}]");
    cr_assert_str_eq(world_result(&w, "r[0].kept"),
                     "[{\"path\":\"distributed.pp\",\"value\":1,\"deployment\":\"blue\"}]");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "pin"), "{\"distributed\":{\"tp\":4,\"pp\":1}}");
}

Test(deployment, hold_fixes_the_release_and_writes_say_so)
{
    world_ok(&w, HELD);
    cr_assert_str_eq(world_head(&w, "deployment/blue", "arms"),
                     "{\"base\":{\"follows\":\"fixed\",\"release\":{\"chat\":1}}}");
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"t\":1}}]");
    cr_assert_str_eq(world_result(&w, "r[0].held"),
                     "[{\"deployment\":\"blue\",\"namespace\":\"chat\",\"arm\":\"base\",\"version\":1}]");
    world_ok(&w, BLUE("\"patch\":{\"release\":{\"chat\":2}}"));
    cr_assert_str_eq(world_head(&w, "deployment/blue", "arms.base.release"), "{\"chat\":2}");
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"t\":2}}]");
    world_ok(&w, BLUE("\"patch\":{\"release\":{\"chat\":1}}")); /* an old one, from history */
    cr_assert_str_eq(world_head(&w, "deployment/blue", "arms.base.release"), "{\"chat\":1}");
    bool guarded = false;
    for (size_t i = 0; i < w.decision.n_guards; i++)
        guarded = guarded || (w.decision.guards[i].kind == CFG_GUARD_HISTORY && w.decision.guards[i].version == 1);
    cr_assert(guarded, "retention must not take that version away meanwhile");
    world_ok(&w, BLUE("\"patch\":{\"track\":\"hold\"}"));
    cr_assert_str_eq(world_result(&w, "r[0].unchanged"), "true");
}

Test(deployment, bad_releases)
{
    world_ok(&w, CREATE);
    world_fails(&w, BLUE("\"patch\":{\"release\":{\"chat\":1}}"), CFG_E_CONFLICT, "hold");
    world_ok(&w, BLUE("\"patch\":{\"track\":\"hold\",\"release\":{\"chat\":1}}"));
    world_fails(&w, BLUE("\"patch\":{\"release\":{\"chat\":9}}"), CFG_E_NOT_FOUND, "no version 9");
    world_fails(&w, BLUE("\"patch\":{\"release\":{\"other\":1}}"), CFG_E_VALUE, "chat");
    world_fails(&w, BLUE("\"patch\":{\"release\":1}"), CFG_E_VALUE, "release");
    world_fails(&w, BLUE("\"patch\":{\"release\":{\"chat\":-1}}"), CFG_E_JSON, "chat");
}

Test(deployment, tracks_change)
{
    world_ok(&w, CREATE);
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"t\":1}}]");
    world_ok(&w, BLUE("\"patch\":{\"track\":\"hold\"}"));
    cr_assert_str_eq(world_head(&w, "deployment/blue", "arms.base.release"), "{\"chat\":2}");
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"t\":3}}]");
    world_ok(&w, BLUE("\"patch\":{\"track\":\"head\",\"flags\":[\"a\",\"b\",\"a\"]}"));
    cr_assert_str_eq(world_head(&w, "deployment/blue", "arms"), "{\"base\":{\"follows\":\"head\"}}");
    cr_assert_str_eq(world_head(&w, "deployment/blue", "flags"), "[\"a\",\"b\"]");
}

Test(deployment, stores_are_adopted_once)
{
    world_ok(&w, CREATE);
    world_ok(&w, BLUE("\"patch\":{\"adopt_store\":\"abc\"}"));
    cr_assert_str_eq(world_head(&w, "deployment/blue", "adopted_stores"), "[\"abc\"]");
    world_ok(&w, BLUE("\"patch\":{\"adopt_store\":\"abc\"}"));
    cr_assert_str_eq(world_result(&w, "r[0].unchanged"), "true");
    world_fails(&w, BLUE("\"patch\":{\"adopt_store\":7}"), CFG_E_VALUE, "store");
}

Test(deployment, its_namespace_is_not_deleted_under_it)
{
    world_ok(&w, CREATE);
    world_fails(&w, "[{\"object\":\"config/chat\",\"delete\":true}]", CFG_E_IN_USE, "deployment blue");
    world_ok(&w, "[{\"object\":\"deployment/blue\",\"delete\":true},{\"object\":\"config/chat\",\"delete\":true}]");
    world_fails(&w, CREATE, CFG_E_NOT_FOUND, "deleted");
    world_fails(&w, BLUE("\"rollback_to\":1"), CFG_E_NOT_FOUND, "chat is deleted");
    world_ok(&w, "[{\"object\":\"config/chat\",\"rollback_to\":1}]");
    world_ok(&w, BLUE("\"rollback_to\":1"));
    w.force = true;
    world_ok(&w, "[{\"object\":\"config/chat\",\"delete\":true}]");
}

Test(deployment, a_delete_is_guarded_against_new_deployments)
{
    cr_assert_eq(world_decide(&w, "[{\"object\":\"config/chat\",\"delete\":true}]"), 0);
    struct cfg_decision d = w.decision;
    w.decision = (struct cfg_decision){0};
    world_ok(&w, CREATE);
    cfg_decision_finish(&w.decision);
    w.decision = d;
    cr_assert_not(world_guards_hold(&w));
}

Test(deployment, a_rollback_keeps_the_pin)
{
    world_ok(&w, CREATE);
    world_ok(&w, BLUE("\"patch\":{\"flags\":[]}"));
    world_ok(&w, BLUE("\"rollback_to\":1"));
    cr_assert_str_eq(world_head(&w, "deployment/blue", "flags"), "[\"experiment\"]");
    world_ok(&w, BLUE("\"delete\":true"));
    world_ok(&w, BLUE("\"put\":{\"config\":\"chat\",\"pin\":[\"t\"]}"));
    cr_assert_str_eq(world_head(&w, "deployment/blue", "version"), "5");
    world_fails(&w, BLUE("\"rollback_to\":1"), CFG_E_PINNED, "pin");
}

Test(deployment, with_its_namespace_in_one_change)
{
    world_ok(
        &w,
        "[{\"object\":\"config/fresh\",\"put\":{\"d\":1}},{\"object\":\"deployment/f\",\"put\":{\"config\":\"fresh\","
        "\"pin\":[\"d\"],\"track\":\"hold\"}}]");
    cr_assert_str_eq(world_head(&w, "deployment/f", "arms.base.release"), "{\"fresh\":1}");
}
