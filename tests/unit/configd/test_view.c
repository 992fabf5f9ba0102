/* Views: release + pin + flags, and comparing with a pin. */
#include "configd/view.h"
#include "world.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct world w;

static void open_world(void)
{
    world_open(&w);
    world_ok(&w,
             "[{\"object\":\"config/chat\",\"put\":{\"distributed\":{\"tp\":4,\"pp\":1},\"sampling\":{\"temperature\":"
             "0.7}}}]");
    world_ok(&w, "[{\"namespace\":\"experiment\",\"set\":[{\"name\":\"ab.flag\",\"on_off\":\"on\"}]}]");
    world_ok(&w, "[{\"object\":\"deployment/blue\",\"put\":{\"config\":\"chat\",\"pin\":[\"distributed\"],\"flags\":["
                 "\"experiment\",\"empty\"]}}]");
}

static void close_world(void)
{
    world_close(&w);
}
TestSuite(view, .init = open_world, .fini = close_world);

static struct cfg_view_out compose(const struct cfg_object *config, const char *deployment)
{
    struct cfg_deployment d;
    struct cfg_view_out v;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_object *o = world_object(&w, deployment);
    const struct cfg_object *flags[5];
    size_t n = 0;
    static const char *const names[] = {"flag/experiment/ab.flag", "flag/experiment/gone", "flag/other/x",
                                        "evaluators/experiment"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (world_object(&w, names[i]))
            flags[n++] = world_object(&w, names[i]);
    cr_assert_eq(cfg_deployment_read(&d, o, &err), 0, "%s", err.text);
    cJSON *body = config && !config->deleted ? cfg_object_tree(config) : NULL;
    struct cfg_closure_item item = {.body = body};
    if (body) {
        memcpy(item.ns, config->id.ns, sizeof item.ns);
        item.version = config->version;
        item.mod_revision = config->mod_revision;
    }
    struct cfg_closure closure = {&item, body ? 1 : 0};
    struct cfg_view_inputs in = {
        .deployment = &d, .deployment_object = o, .closure = &closure, .flags = flags, .n_flags = n};
    cr_assert_eq(cfg_view_compose(&v, &in, &err), 0, "%s", err.text);
    cJSON_Delete(body);
    cfg_deployment_finish(&d);
    return v;
}

static void expect(const struct cfg_view_out *v, const char *text)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    cfg_json_canonical(&out, v->view);
    cr_assert_str_eq(out.data, text);
    char digest[CFG_DIGEST_TEXT];
    cr_assert_eq(cfg_digest_bytes(digest, cfg_buf_slice(&out)), 0);
    cr_assert_str_eq(v->digest, digest);
    cfg_buf_finish(&out);
}

#define FLAGS                                                                                                   \
    "\"flags\":{\"empty\":{},\"experiment\":{\"ab.flag\":{\"definition\":{\"defaultVariant\":\"on\",\"state\":" \
    "\"ENABLED\",\"variants\":{\"off\":false,\"on\":true}},\"enabled\":true,\"off_variant\":\"off\"}}}"

Test(view, pinned_keys_leave_the_parameters)
{
    struct cfg_view_out v = compose(world_object(&w, "config/chat"), "deployment/blue");
    expect(&v, "{" FLAGS ",\"parameters\":{\"sampling\":{\"temperature\":0.7}},\"pinned\":{\"distributed\":{\"pp\":1,"
               "\"tp\":4}}}");
    cr_assert_eq(v.revision, w.revision); /* the deployment is the newest */
    cr_assert_eq(cfg_release_version(&v.versions, "chat"), 1);
    cfg_view_finish(&v);
}

Test(view, the_pin_holds_whatever_the_namespace_says)
{
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"distributed\":{\"tp\":8,\"new\":1},\"x\":1}}]");
    struct cfg_view_out v = compose(world_object(&w, "config/chat"), "deployment/blue");
    expect(&v, "{" FLAGS ",\"parameters\":{\"sampling\":{\"temperature\":0.7},\"x\":1},\"pinned\":{\"distributed\":{"
               "\"pp\":1,\"tp\":4}}}");
    cr_assert(v.revision == w.revision && cfg_release_version(&v.versions, "chat") == 2);
    cfg_view_finish(&v);
}

Test(view, nested_pins_prune_what_they_empty)
{
    world_ok(&w, "[{\"object\":\"config/deep\",\"put\":{\"a\":{\"b\":{\"c\":1}},\"d\":{\"e\":1,\"f\":2},\"g\":{}}}]");
    world_ok(&w, "[{\"object\":\"deployment/deep\",\"put\":{\"config\":\"deep\",\"pin\":[\"a.b.c\",\"d.e\"]}}]");
    struct cfg_view_out v = compose(world_object(&w, "config/deep"), "deployment/deep");
    expect(&v, "{\"flags\":{},\"parameters\":{\"d\":{\"f\":2},\"g\":{}},\"pinned\":{\"a\":{\"b\":{\"c\":1}},\"d\":{"
               "\"e\":1}}}");
    cfg_view_finish(&v);
}

Test(view, tombstones_count_for_the_revision_only)
{
    world_ok(&w, "[{\"namespace\":\"experiment\",\"set\":[{\"name\":\"gone\",\"on_off\":\"on\"}]}]");
    world_ok(&w, "[{\"object\":\"flag/experiment/gone\",\"delete\":true}]");
    world_ok(&w, "[{\"namespace\":\"other\",\"set\":[{\"name\":\"x\",\"on_off\":\"on\"}]}]");
    struct cfg_view_out v = compose(NULL, "deployment/blue");
    expect(&v, "{" FLAGS ",\"parameters\":{},\"pinned\":{\"distributed\":{\"pp\":1,\"tp\":4}}}");
    cr_assert_eq(v.versions.n, 0);
    cr_assert_geq(v.revision, w.revision - 1);
    cfg_view_finish(&v);
}

static char *differences(const char *pin, const char *worker)
{
    cJSON *a = NULL, *b = NULL;
    cr_assert_eq(cfg_json_parse(&a, cfg_slice_str(pin), 0, NULL), 0);
    cr_assert_eq(cfg_json_parse(&b, cfg_slice_str(worker), 0, NULL), 0);
    cJSON *list = cfg_pin_differences(a, b);
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    cfg_json_print(&out, list);
    cJSON_Delete(list);
    cJSON_Delete(a);
    cJSON_Delete(b);
    return cfg_buf_steal(&out);
}

Test(view, pin_differences_name_what_the_worker_states)
{
    static const char *const rows[][3] = {
        {"{\"d\":{\"tp\":4,\"pp\":1}}", "{}", "[]"},
        {"{\"d\":{\"tp\":4,\"pp\":1}}", "{\"d\":{\"tp\":4.0}}", "[]"},
        {"{\"d\":{\"tp\":4,\"pp\":1}}", "{\"d\":{\"tp\":8}}", "[{\"path\":\"d.tp\",\"deployment\":4,\"worker\":8}]"},
        {"{}", "{\"d\":{\"tp\":8}}", "[{\"path\":\"d.tp\",\"deployment\":null,\"worker\":8}]"},
        {"{\"d\":{\"tp\":4}}", "{\"d\":4}", "[{\"path\":\"d\",\"deployment\":{\"tp\":4},\"worker\":4}]"},
        {"{\"l\":[1,2]}", "{\"l\":[2,1]}", "[{\"path\":\"l\",\"deployment\":[1,2],\"worker\":[2,1]}]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *text = differences(rows[i][0], rows[i][1]);
        cr_assert_str_eq(text, rows[i][2]);
        free(text);
    }
}

Test(view, a_record_of_a_foreign_hand_is_refused)
{
    static const char *const records[] = {
        "{\"version\":1,\"config\":\"chat\"}",
        "{\"version\":1,\"config\":\"chat\",\"generation\":1,\"arms\":{}}",
        "{\"version\":1,\"config\":\"chat\",\"generation\":1,\"arms\":{\"base\":{}},\"pin_keys\":[1],\"pin\":{},"
        "\"adopted_"
        "stores\":[]}",
        "{\"version\":1,\"config\":\"chat\",\"generation\":1,\"arms\":{\"base\":{\"follows\":\"fixed\"}},\"pin_keys\":["
        "],"
        "\"pin\":{},\"adopted_stores\":[]}",
        "{\"version\":1,\"config\":\"chat\",\"generation\":1,\"flags\":[3],\"arms\":{\"base\":{}},\"pin_keys\":[],"
        "\"pin\":{},"
        "\"adopted_stores\":[]}",
    };
    struct cfg_object_id id = {.kind = CFG_KIND_DEPLOYMENT, .ns = "blue"};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        struct cfg_object *o;
        struct cfg_deployment d = {0};
        cr_assert_eq(cfg_object_new(&o, &id, cfg_slice_str(records[i]), 1, NULL), 0, "%s", records[i]);
        cr_assert_neq(cfg_deployment_read(&d, o, NULL), 0, "%s", records[i]);
        cr_assert_null(d.arms);
        (void)cfg_object_unref(o);
    }
}

Test(view, what_flags_share_lies_beside_them)
{
    world_ok(&w,
             "[{\"object\":\"evaluators/experiment\",\"put\":{\"evaluators\":{\"no\":false},\"metadata\":{\"a\":1}}},"
             "{\"object\":\"flag/experiment/"
             "ab.flag\",\"patch\":{\"hash_version\":3,\"holdouts\":[{\"name\":\"q\",\"to\":5}]}}]");
    struct cfg_view_out v = compose(world_object(&w, "config/chat"), "deployment/blue");
    const cJSON *space = cfg_path_get(v.view, "flags.experiment");
    cr_assert(cJSON_IsFalse(cfg_json_get(cfg_json_get(space, "$evaluators"), "no")));
    cr_assert_eq(cfg_json_get_num(cfg_json_get(space, "$metadata"), "a", 0), 1);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(space, "ab.flag"), "hash_version", 0), 3);
    cr_assert(cJSON_IsArray(cfg_json_get(cfg_json_get(space, "ab.flag"), "holdouts")));
    cr_assert_eq(v.revision, w.revision);
    cfg_view_finish(&v);
    world_ok(&w, "[{\"object\":\"evaluators/experiment\",\"put\":{\"evaluators\":{}}}]");
    v = compose(world_object(&w, "config/chat"), "deployment/blue");
    cr_assert_eq(cJSON_GetArraySize(cfg_path_get(v.view, "flags.experiment")), 1, "what is empty is left out");
    cr_assert_eq(v.revision, w.revision);
    cfg_view_finish(&v);
}
