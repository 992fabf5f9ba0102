/* Namespaces that extend others: what a write of one means for those above it and the deployments that run them. */
#include "configd/lock.h"
#include "configd/release.h"
#include "configd/view.h"
#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world w;

/* chat and search extend base; blue runs chat and pins distributed.tp, red holds chat, nobody runs search. */
static void open_world(void)
{
    world_open(&w);
    world_ok(&w, "[{\"object\":\"config/base\",\"put\":{\"sampling\":{\"temperature\":0.7,\"top_p\":1},\"seed\":1,"
                 "\"distributed\":{\"tp\":4},\"list\":[1]}}]");
    world_ok(&w, "[{\"object\":\"config/chat\",\"put\":{\"sampling\":{\"temperature\":0.2},\"twice\":\"${eval: 2 * "
                 "${seed}}\",\"ways\":\"${distributed.tp}\"},\"extends\":[\"base\"]}]");
    world_ok(&w, "[{\"object\":\"config/search\",\"extends\":[\"base\"]}]");
    world_ok(&w, "[{\"object\":\"deployment/blue\",\"put\":{\"config\":\"chat\",\"pin\":[\"distributed.tp\"]}}]");
    world_ok(&w, "[{\"object\":\"deployment/red\",\"put\":{\"config\":\"chat\",\"track\":\"hold\"}}]");
}

static void close_world(void)
{
    world_close(&w);
}
TestSuite(releases, .init = open_world, .fini = close_world);

#define BASE(patch) "[{\"object\":\"config/base\",\"patch\":" patch "}]"
#define CHAT(patch) "[{\"object\":\"config/chat\",\"patch\":" patch "}]"

/* --- extends --- */

Test(releases, a_namespace_can_come_into_being_by_extending)
{
    cr_assert_str_eq(world_head(&w, "config/search", "extends"), "[\"base\"]");
    cr_assert_str_eq(world_head(&w, "config/search", "document"), "{}");
    cr_assert_eq(world_object(&w, "config/search")->version, 1);
}

Test(releases, a_change_of_bases_is_a_version_and_told)
{
    world_ok(&w, "[{\"object\":\"config/search\",\"extends\":[]}]");
    cr_assert_str_eq(world_result(&w, "r[0].extends"), "{\"from\":[\"base\"],\"to\":[]}");
    cr_assert_str_eq(world_result(&w, "r[0].version"), "2");
    cr_assert_str_eq(world_result(&w, "r[0].changes"), "[]");
    world_ok(&w, "[{\"object\":\"config/search\",\"rollback_to\":1}]");
    cr_assert_str_eq(world_head(&w, "config/search", "extends"), "[\"base\"]");
    world_ok(&w, "[{\"object\":\"config/search\",\"extends\":[\"base\"]}]");
    cr_assert_str_eq(world_result(&w, "r[0].unchanged"), "true");
    world_ok(&w, "[{\"object\":\"config/search\",\"put\":{\"x\":1}}]");
    cr_assert_str_eq(world_head(&w, "config/search", "extends"), "[\"base\"]"); /* documents leave it alone */
}

Test(releases, it_goes_with_every_operation_on_a_namespace)
{
    world_ok(&w, "[{\"namespace\":\"one\",\"set\":[{\"name\":\"a\",\"value\":1}],\"extends\":[\"base\"]}]");
    cr_assert_str_eq(world_head(&w, "config/one", "extends"), "[\"base\"]");
    cr_assert_str_eq(world_head(&w, "config/one", "document"), "{\"a\":1}");
    world_ok(&w, "[{\"object\":\"config/one\",\"json_patch\":[{\"op\":\"remove\",\"path\":\"/a\"}],\"extends\":[]}]");
    cr_assert_str_eq(world_head(&w, "config/one", "document"), "{}");
    world_fails(&w, "[{\"object\":\"config/one\",\"delete\":true,\"extends\":[]}]", CFG_E_INVALID, "delete");
    world_fails(&w, "[{\"object\":\"flag/x/y\",\"extends\":[\"base\"]}]", CFG_E_INVALID, "only a namespace");
}

Test(releases, bases_must_exist_and_run_in_no_circle)
{
    world_fails(&w, "[{\"object\":\"config/chat\",\"extends\":[\"bases\"]}]", CFG_E_NOT_FOUND,
                "namespace bases, which chat extends, does not exist");
    cr_assert_str_eq(w.err.hint, "did you mean base?");
    cr_assert_str_eq(w.err.path, "extends");
    world_fails(&w, "[{\"object\":\"config/base\",\"extends\":[\"chat\"]}]", CFG_E_VALUE,
                "base extends chat extends base");
    world_fails(&w, "[{\"object\":\"config/base\",\"extends\":[\"base\"]}]", CFG_E_VALUE, "itself");
    world_fails(&w, "[{\"object\":\"config/chat\",\"extends\":[\"base\",\"base\"]}]", CFG_E_VALUE, "twice");
    world_fails(&w,
                "[{\"object\":\"config/p\",\"put\":{},\"extends\":[\"q\"]},"
                "{\"object\":\"config/q\",\"put\":{},\"extends\":[\"p\"]}]",
                CFG_E_VALUE, "circle");
    /* Both at once is fine where there is none. */
    world_ok(&w, "[{\"object\":\"config/p\",\"put\":{},\"extends\":[\"q\"]},{\"object\":\"config/q\",\"put\":{}}]");
}

Test(releases, what_is_extended_is_not_deleted)
{
    world_fails(&w, "[{\"object\":\"config/base\",\"delete\":true}]", CFG_E_IN_USE, "extended by chat and 1 more");
    w.force = true;
    world_fails(&w, "[{\"object\":\"config/base\",\"delete\":true}]", CFG_E_IN_USE, "extended by chat");
    w.force = false;
    world_ok(&w, "[{\"object\":\"config/search\",\"delete\":true}]");
    world_fails(&w, "[{\"object\":\"config/base\",\"delete\":true}]", CFG_E_IN_USE, "extended by chat");
    world_ok(&w, "[{\"object\":\"config/lone\",\"put\":{}},{\"object\":\"config/on\",\"extends\":[\"lone\"]}]");
    world_ok(&w, "[{\"object\":\"config/lone\",\"delete\":true},{\"object\":\"config/on\",\"extends\":[]}]");
}

static struct cfg_object *edge(const char *base, const char *ns)
{
    return cfg_store_find(w.store, CFG_KIND_EXTENDS, base, ns);
}

Test(releases, edges_follow_the_bases)
{
    cr_assert(edge("base", "chat") && edge("base", "search") && !edge("chat", "base"));
    world_ok(&w, "[{\"object\":\"config/search\",\"extends\":[\"chat\",\"base\"]}]");
    cr_assert(edge("base", "search") && edge("chat", "search"));
    world_ok(&w, "[{\"object\":\"config/search\",\"delete\":true}]");
    cr_assert(!edge("base", "search") && !edge("chat", "search"));
    world_ok(&w, "[{\"object\":\"config/search\",\"rollback_to\":1}]");
    cr_assert(edge("base", "search") && !edge("chat", "search"));
}

Test(releases, a_chain_above_is_bounded_from_below_too)
{
    char text[256];
    for (int i = 1; i <= CFG_LIMIT_EXTENDS_DEPTH; i++) {
        (void)snprintf(text, sizeof text, "[{\"object\":\"config/n%d\",\"put\":{}%s}]", i, "");
        if (i > 1)
            (void)snprintf(text, sizeof text, "[{\"object\":\"config/n%d\",\"extends\":[\"n%d\"]}]", i, i - 1);
        world_ok(&w, text);
    }
    world_ok(&w, "[{\"object\":\"config/n1\",\"extends\":[\"base\"]}]");
    world_ok(&w, "[{\"object\":\"config/root\",\"put\":{}}]");
    world_fails(&w, "[{\"object\":\"config/base\",\"extends\":[\"root\"]}]", CFG_E_LIMIT, "n16 extends root");
}

Test(releases, set_lays_a_value_over_one_that_is_inherited)
{
    world_ok(&w, "[{\"namespace\":\"search\",\"set\":[{\"name\":\"seed\",\"value\":7}]}]");
    cr_assert_str_eq(world_head(&w, "config/search", "document"), "{\"seed\":7}");
    world_fails(&w, "[{\"namespace\":\"search\",\"set\":[{\"name\":\"sampling.top_p\",\"value\":\"x\"}]}]",
                CFG_E_TYPE_CHANGE, "number");
    world_ok(&w, "[{\"namespace\":\"search\",\"set\":[{\"name\":\"sampling.top_p\",\"value\":\"${seed}\"}]}]");
    world_fails(&w, "[{\"namespace\":\"search\",\"set\":[{\"name\":\"list\",\"mode\":\"add\",\"value\":[]}]}]",
                CFG_E_EXISTS, "exists");
    world_fails(&w, "[{\"namespace\":\"search\",\"set\":[{\"name\":\"list\",\"mode\":\"delete\"}]}]", CFG_E_UNKNOWN_KEY,
                "extends what does");
    /* on and off are a boolean over a boolean, not a flag beside it. */
    world_ok(&w, BASE("{\"fast\":true}"));
    world_ok(&w, "[{\"namespace\":\"search\",\"set\":[{\"name\":\"fast\",\"on_off\":\"off\"}]}]");
    cr_assert_str_eq(world_head(&w, "config/search", "document.fast"), "false");
}

/* --- views --- */

struct tree_reader {
    cJSON *trees[CFG_LIMIT_LAYERS];
    size_t n;
};

static int read_head(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    struct tree_reader *r = arg;
    struct cfg_object *o = cfg_store_find(w.store, CFG_KIND_CONFIG, item->ns, "");
    (void)err;
    item->version = o->version;
    item->mod_revision = o->mod_revision;
    item->body = r->trees[r->n++] = cfg_object_tree(o);
    return 0;
}

/* The view's parameters and pin as text. */
static const char *view_of(const char *deployment)
{
    static char text[4096];
    struct tree_reader r = {.n = 0};
    struct cfg_deployment d;
    struct cfg_closure closure;
    struct cfg_view_out v;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_object *o = cfg_store_find(w.store, CFG_KIND_DEPLOYMENT, deployment, "");
    cr_assert_eq(cfg_deployment_read(&d, o, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_closure_walk(&closure, d.config, &(struct cfg_closure_reader){read_head, &r}, &err), 0, "%s",
                 err.text);
    struct cfg_view_inputs in = {.deployment = &d, .deployment_object = o, .closure = &closure};
    cr_assert_eq(cfg_view_compose(&v, &in, &err), 0, "%s", err.text);
    cr_assert_eq(v.revision, w.revision);
    struct cfg_buf out;
    cfg_buf_init(&out, sizeof text - 1);
    cfg_json_canonical(&out, cfg_json_get(v.view, "parameters"));
    cfg_buf_putc(&out, ' ');
    cfg_json_canonical(&out, cfg_json_get(v.view, "pinned"));
    (void)snprintf(text, sizeof text, "%s", out.data);
    cfg_buf_finish(&out);
    cfg_view_finish(&v);
    cfg_closure_finish(&closure);
    cfg_deployment_finish(&d);
    for (size_t i = 0; i < r.n; i++)
        cJSON_Delete(r.trees[i]);
    return text;
}

Test(releases, views_are_merged_resolved_and_know_the_pin)
{
    world_ok(&w, BASE("{\"seed\":5,\"distributed\":{\"tp\":8,\"pp\":2}}"));
    cr_assert_str_eq(view_of("blue"),
                     "{\"distributed\":{\"pp\":2},\"list\":[1],\"sampling\":{\"temperature\":0.2,\"top_"
                     "p\":1},\"seed\":5,\"twice\":10,\"ways\":4} {\"distributed\":{\"tp\":4}}");
}

Test(releases, a_pin_holds_results_and_stays_them)
{
    world_ok(&w, BASE("{\"plain\":\"\\\\${not.resolved}\",\"ref\":\"${seed}\"}"));
    world_ok(&w,
             "[{\"object\":\"deployment/green\",\"put\":{\"config\":\"chat\",\"pin\":[\"plain\",\"ref\",\"twice\"]}}"
             "]");
    cr_assert_str_eq(world_head(&w, "deployment/green", "pin"),
                     "{\"plain\":\"${not.resolved}\",\"ref\":1,\"twice\":2}");
    world_ok(&w, CHAT("{\"again\":\"${plain}\",\"from_pin\":\"${twice}\"}"));
    world_ok(&w, BASE("{\"seed\":9}"));
    cr_assert(strstr(view_of("green"), "\"again\":\"${not.resolved}\",\"distributed\":{\"tp\":4},\"from_pin\":2"), "%s",
              view_of("green"));
}

Test(releases, pinned_paths_must_exist_when_resolved)
{
    world_fails(&w, "[{\"object\":\"deployment/x\",\"put\":{\"config\":\"chat\",\"pin\":[\"sed\"]}}]", CFG_E_VALUE,
                "did you mean seed?");
    world_ok(&w, "[{\"object\":\"deployment/x\",\"put\":{\"config\":\"chat\",\"pin\":[\"seed\"]}}]");
}

/* --- refusals --- */

Test(releases, a_write_that_breaks_a_view_is_refused_with_deployment_path_and_layer)
{
    world_fails(&w, BASE("{\"seed\":null}"), CFG_E_VALUE, "deployment blue");
    cr_assert(strstr(w.err.text, "seed") && strstr(w.err.text, "chat"), "%s", w.err.text);
    cr_assert_str_eq(w.err.path, "twice");
    world_fails(&w, BASE("{\"model\":\"???\"}"), CFG_E_VALUE, "deployment blue: model is required");
    cr_assert(strstr(w.err.text, "base says"), "%s", w.err.text);
    cr_assert_str_eq(w.err.path, "model");
    world_fails(&w, CHAT("{\"a\":\"${b}\",\"b\":\"${a}\"}"), CFG_E_VALUE, "deployment blue");
    world_fails(&w, CHAT("{\"a\":\"${eval: 1 / 0}\"}"), CFG_E_VALUE, "deployment blue");
    cr_assert(!world_guards_hold(&w) || w.decision.n_writes == 0);
    cr_assert_eq(world_object(&w, "config/base")->version, 1);
    /* With what completes it in one change it is fine. */
    world_ok(&w, "[{\"object\":\"config/base\",\"patch\":{\"model\":\"???\"}},"
                 "{\"object\":\"config/chat\",\"patch\":{\"model\":\"m\"}}]");
    world_fails(&w, CHAT("{\"model\":null}"), CFG_E_VALUE, "model");
}

Test(releases, objects_and_lists_do_not_merge)
{
    world_fails(&w, "[{\"object\":\"config/search\",\"patch\":{\"list\":{\"a\":1}}}]", CFG_E_VALUE, "list");
    world_fails(&w, BASE("{\"sampling\":[1]}"), CFG_E_VALUE, "deployment blue");
}

Test(releases, nobodys_namespace_may_be_incomplete)
{
    world_ok(&w, "[{\"object\":\"config/abstract\",\"put\":{\"must\":\"???\",\"ref\":\"${nowhere}\"}}]");
    cr_assert(strstr(world_result(&w, "r[0].hint"), "must is required"), "%s", world_result(&w, "r[0].hint"));
    world_fails(&w, "[{\"object\":\"deployment/a\",\"put\":{\"config\":\"abstract\"}}]", CFG_E_VALUE, "must");
    world_ok(&w, "[{\"object\":\"config/whole\",\"put\":{\"must\":1,\"nowhere\":2},\"extends\":[\"abstract\"]}]");
    cr_assert_str_eq(world_result(&w, "r[0].hint"), "");
    world_ok(&w, "[{\"object\":\"deployment/a\",\"put\":{\"config\":\"whole\"}}]");
}

Test(releases, a_deployment_that_begins_to_follow_must_be_whole)
{
    world_ok(&w, "[{\"object\":\"deployment/blue\",\"patch\":{\"track\":\"hold\"}}]");
    world_ok(&w, BASE("{\"model\":\"???\"}"));
    world_fails(&w, "[{\"object\":\"deployment/blue\",\"patch\":{\"track\":\"head\"}}]", CFG_E_VALUE, "model");
}

/* --- what a write tells --- */

Test(releases, a_bases_write_tells_who_follows_holds_and_keeps)
{
    world_ok(&w, BASE("{\"seed\":2,\"sampling\":{\"temperature\":0.9},\"distributed\":{\"tp\":8}}"));
    cr_assert_str_eq(world_result(&w, "r[0].affected"),
                     "[{\"deployment\":\"blue\",\"namespace\":\"chat\",\"paths\":[\"seed\",\"twice\"]}]");
    cr_assert_str_eq(world_result(&w, "r[0].held"),
                     "[{\"deployment\":\"red\",\"namespace\":\"chat\",\"arm\":\"base\",\"version\":1}]");
    cr_assert_str_eq(world_result(&w, "r[0].kept"),
                     "[{\"path\":\"distributed.tp\",\"value\":4,\"deployment\":\"blue\"}]");
}

static bool guards(enum cfg_guard_kind kind, enum cfg_kind of, const char *ns)
{
    for (size_t i = 0; i < w.decision.n_guards; i++) {
        const struct cfg_guard *g = &w.decision.guards[i];
        if (g->kind == kind && g->id.kind == of && strcmp(g->id.ns, ns) == 0)
            return true;
    }
    return false;
}

Test(releases, decisions_guard_what_lies_below_and_above)
{
    cr_assert_eq(world_decide(&w, CHAT("{\"x\":1}")), 0);
    cr_assert(guards(CFG_GUARD_HEAD, CFG_KIND_CONFIG, "base"));
    cr_assert(guards(CFG_GUARD_SPACE, CFG_KIND_EXTENDS, "chat") && guards(CFG_GUARD_SPACE, CFG_KIND_DEPLOYMENT, ""));
    cr_assert_eq(world_decide(&w, BASE("{\"x\":1}")), 0);
    cr_assert(guards(CFG_GUARD_HEAD, CFG_KIND_CONFIG, "chat")); /* blue's view was made of it */
    cr_assert(guards(CFG_GUARD_SPACE, CFG_KIND_EXTENDS, "base") && guards(CFG_GUARD_SPACE, CFG_KIND_EXTENDS, "chat"));
    cr_assert_eq(world_decide(&w, "[{\"object\":\"deployment/y\",\"put\":{\"config\":\"chat\"}}]"), 0);
    cr_assert(guards(CFG_GUARD_HEAD, CFG_KIND_CONFIG, "chat") && guards(CFG_GUARD_HEAD, CFG_KIND_CONFIG, "base"));
    cr_assert_neq(world_decide(&w, "[{\"object\":\"config/base\",\"delete\":true}]"), 0);
    cr_assert(guards(CFG_GUARD_SPACE, CFG_KIND_EXTENDS, "base")); /* of the refusal, too */
}

Test(releases, many_guards_become_few)
{
    char text[256];
    for (int i = 0; i < 120; i++) {
        (void)snprintf(text, sizeof text, "[{\"object\":\"config/n%d\",\"extends\":[\"base\"]}]", i);
        world_ok(&w, text);
        (void)snprintf(text, sizeof text, "[{\"object\":\"deployment/d%d\",\"put\":{\"config\":\"n%d\"}}]", i, i);
        world_ok(&w, text);
    }
    world_ok(&w, BASE("{\"seed\":3}"));
    cr_assert_leq(w.decision.n_guards, CFG_LIMIT_CHANGE_OBJECTS);
    cr_assert(guards(CFG_GUARD_HEAD, CFG_KIND_CONFIG, "base") && guards(CFG_GUARD_SPACE, CFG_KIND_EXTENDS, "") &&
              guards(CFG_GUARD_SPACE, CFG_KIND_CONFIG, ""));
    cr_assert_str_eq(world_result(&w, "r[0].affected[120].paths"), "[\"seed\"]");
}

/* --- arms that hold --- */

Test(releases, an_arm_holds_the_whole_closure)
{
    cr_assert_str_eq(world_head(&w, "deployment/red", "arms"),
                     "{\"base\":{\"follows\":\"fixed\",\"release\":{\"base\":1,\"chat\":1}}}");
    world_ok(&w, BASE("{\"seed\":2}"));
    world_ok(&w, CHAT("{\"y\":1}"));
    world_ok(&w, "[{\"object\":\"deployment/red\",\"patch\":{\"release\":{\"base\":2}}}]"); /* chat stays */
    cr_assert_str_eq(world_head(&w, "deployment/red", "arms.base.release"), "{\"base\":2,\"chat\":1}");
    world_ok(&w, "[{\"object\":\"deployment/red\",\"patch\":{\"release\":{\"chat\":2}}}]");
    cr_assert_str_eq(world_head(&w, "deployment/red", "arms.base.release"), "{\"base\":2,\"chat\":2}");
    world_fails(&w, "[{\"object\":\"deployment/red\",\"patch\":{\"release\":{\"base\":9}}}]", CFG_E_NOT_FOUND,
                "namespace base has no version 9");
    world_fails(&w, "[{\"object\":\"deployment/red\",\"patch\":{\"release\":{\"search\":1}}}]", CFG_E_VALUE,
                "neither chat nor what it extends");
}

Test(releases, moving_an_arm_takes_new_bases_from_their_heads_and_must_be_whole)
{
    world_ok(&w, "[{\"object\":\"config/more\",\"put\":{\"z\":1}}]");
    world_ok(&w, "[{\"object\":\"config/chat\",\"extends\":[\"base\",\"more\"]}]");
    world_ok(&w, "[{\"object\":\"deployment/red\",\"patch\":{\"release\":{\"chat\":2}}}]");
    cr_assert_str_eq(world_head(&w, "deployment/red", "arms.base.release"), "{\"base\":1,\"more\":1,\"chat\":2}");
    world_ok(&w, "[{\"object\":\"deployment/blue\",\"delete\":true}]");
    world_ok(&w, CHAT("{\"bad\":\"${nowhere}\"}"));
    world_fails(&w, "[{\"object\":\"deployment/red\",\"patch\":{\"release\":{\"chat\":3}}}]", CFG_E_VALUE,
                "deployment red");
}

/* --- locks --- */

/* What GET …/lock answers for an arm, made by hand: {"release","inputs"} as text. */
static cJSON *make_lock(const char *inputs, const char *release)
{
    char text[2048], digest[CFG_DIGEST_TEXT], pin_digest[CFG_DIGEST_TEXT];
    cJSON *lock = NULL;
    (void)snprintf(text, sizeof text,
                   "{\"deployment\":\"blue\",\"arm\":\"base\",\"config\":\"chat\",\"release\":%s,\"inputs\":%s,"
                   "\"flags\":[\"experiment\"],\"pin_keys\":[\"tp\"],\"view\":{\"parameters\":{\"a\":1},\"pinned\":{"
                   "\"tp\":4},\"flags\":{\"experiment\":{}}}}",
                   release, inputs);
    cr_assert_eq(cfg_json_parse(&lock, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    cr_assert_eq(cfg_digest_json(digest, cfg_json_get(lock, "view")), 0);
    cr_assert_eq(cfg_digest_json(pin_digest, cfg_json_get(cfg_json_get(lock, "view"), "pinned")), 0);
    cr_assert(cJSON_AddStringToObject(lock, "digest", digest) &&
              cJSON_AddStringToObject(lock, "pin_digest", pin_digest));
    cr_assert_eq(cfg_lock_seal(lock, NULL), 0);
    return lock;
}

/* The change that makes `name` from it; valid until the next call. */
static const char *creation(const char *name, const cJSON *lock)
{
    static char text[8192];
    struct cfg_buf out;
    cfg_buf_init(&out, 6000);
    cfg_json_print(&out, lock);
    (void)snprintf(text, sizeof text, "[{\"object\":\"deployment/%s\",\"put\":{\"lock\":%s}}]", name, out.data);
    cfg_buf_finish(&out);
    return text;
}

static cJSON *lock_of_chat(void)
{
    char inputs[400];
    (void)snprintf(
        inputs, sizeof inputs,
        "[{\"object\":\"config/base\",\"version\":1,\"digest\":\"%s\"},{\"object\":\"config/chat\",\"version\":"
        "1,\"digest\":\"%s\"}]",
        world_version(&w, "config/base", 1)->digest, world_version(&w, "config/chat", 1)->digest);
    return make_lock(inputs, "{\"base\":1,\"chat\":1}");
}

static const char *locked_digest(const char *deployment)
{
    static struct cfg_view_out v;
    struct cfg_deployment d;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_object *o = cfg_store_find(w.store, CFG_KIND_DEPLOYMENT, deployment, "");
    struct cfg_object *locked = cfg_store_find(w.store, CFG_KIND_LOCKED, deployment, "");
    cr_assert_eq(cfg_deployment_read(&d, o, &err), 0, "%s", err.text);
    cfg_view_finish(&v);
    cr_assert(locked && !cfg_deployment_follows(&d));
    cr_assert_eq(cfg_view_locked(&v, &d, &d.arms[0], o, locked, &err), 0, "%s", err.text);
    cfg_deployment_finish(&d);
    return v.digest;
}

Test(releases, a_lock_makes_the_same_view_whatever_was_written_since)
{
    cJSON *lock = lock_of_chat();
    world_ok(&w, BASE("{\"seed\":2}"));
    world_ok(&w, CHAT("{\"more\":2}"));
    world_ok(&w, creation("again", lock));
    cr_assert_str_eq(world_head(&w, "deployment/again", "arms.base.release"), "{\"base\":1,\"chat\":1}");
    cr_assert_str_eq(world_head(&w, "deployment/again", "pin"), "{\"tp\":4}");
    cr_assert_str_eq(world_head(&w, "deployment/again", "track"), "\"hold\"");
    cr_assert_str_eq(world_result(&w, "r[0].hint"), "");
    cr_assert_str_eq(locked_digest("again"), cfg_json_get_str(lock, "digest", "?"));
    cJSON_Delete(lock);
}

Test(releases, a_lock_runs_without_the_history_it_came_from)
{
    cJSON *lock = make_lock("[{\"object\":\"config/chat\",\"version\":1,\"digest\":\"sha256:0\"},{\"object\":\"config/"
                            "gone\",\"version\":1,\"digest\":\"sha256:0\"}]",
                            "{\"gone\":1,\"chat\":1}");
    world_ok(&w, creation("again", lock)); /* another store's: what it calls chat v1 is not ours */
    cr_assert_str_eq(world_head(&w, "deployment/again", "arms.base.release"), "");
    cr_assert(strstr(world_result(&w, "r[0].hint"), "gone v1 is not of this store"));
    cr_assert_str_eq(locked_digest("again"), cfg_json_get_str(lock, "digest", "?"));
    cJSON_Delete(lock);
}

Test(releases, a_lock_whose_versions_retention_took_away_keeps_their_names)
{
    cJSON *lock = lock_of_chat();
    world_ok(&w, BASE("{\"seed\":2}"));
    for (size_t i = 0; i < w.n_history; i++)
        if (strcmp(w.history[i]->id.ns, "base") == 0 && w.history[i]->version == 1)
            w.history[i]->version = 999; /* as if it were gone */
    world_ok(&w, creation("again", lock));
    cr_assert(strstr(world_result(&w, "r[0].hint"), "base v1 is no longer in history"));
    cr_assert_str_eq(world_head(&w, "deployment/again", "arms.base.release"), "{\"base\":1,\"chat\":1}");
    cr_assert_str_eq(locked_digest("again"), cfg_json_get_str(lock, "digest", "?"));
    cJSON_Delete(lock);
}

Test(releases, a_lock_that_was_changed_is_refused)
{
    cJSON *lock = lock_of_chat();
    cJSON *parameters = cfg_json_get(cfg_json_get(lock, "view"), "parameters");
    cr_assert_eq(cfg_json_set(parameters, "a", cJSON_CreateNumber(2)), 0);
    world_fails(&w, creation("again", lock), CFG_E_VALUE, "changed since it was made");
    cr_assert_eq(cfg_lock_seal(lock, NULL), 0);
    world_fails(&w, creation("again", lock), CFG_E_VALUE, "digest does not fit");
    cr_assert_eq(cfg_json_set(lock, "lock", cJSON_CreateNumber(2)), 0);
    world_fails(&w, creation("again", lock), CFG_E_UNSUPPORTED, "format is 2");
    world_fails(&w, "[{\"object\":\"deployment/again\",\"put\":{\"lock\":{}}}]", CFG_E_VALUE, "no lock");
    world_fails(&w, "[{\"object\":\"deployment/again\",\"put\":{\"lock\":{},\"config\":\"chat\"}}]", CFG_E_VALUE,
                "config");
    cJSON_Delete(lock);
}

Test(releases, a_locked_deployment_moves_only_when_told)
{
    cJSON *lock = lock_of_chat();
    world_ok(&w, creation("again", lock));
    world_ok(&w,
             "[{\"object\":\"deployment/again\",\"patch\":{\"adopt_store\":\"00112233445566778899aabbccddeeff\"}}]");
    cr_assert_str_eq(locked_digest("again"), cfg_json_get_str(lock, "digest", "?"));
    world_fails(&w, "[{\"object\":\"deployment/again\",\"patch\":{\"flags\":[]}}]", CFG_E_CONFLICT, "locked");
    world_ok(&w, "[{\"object\":\"deployment/again\",\"patch\":{\"release\":{\"chat\":1}}}]");
    cr_assert_str_eq(world_head(&w, "deployment/again", "arms.base"),
                     "{\"follows\":\"fixed\",\"release\":{\"base\":1,\"chat\":1}}");
    world_ok(&w, "[{\"object\":\"deployment/again\",\"rollback_to\":2}]");
    cr_assert_str_eq(locked_digest("again"), cfg_json_get_str(lock, "digest", "?"));
    world_ok(&w, "[{\"object\":\"deployment/again\",\"delete\":true}]");
    cr_assert(cfg_store_find(w.store, CFG_KIND_LOCKED, "again", "") == NULL);
    world_fails(&w, "[{\"object\":\"deployment/again\",\"rollback_to\":2}]", CFG_E_CONFLICT, "no longer here");
    cJSON_Delete(lock);
}
