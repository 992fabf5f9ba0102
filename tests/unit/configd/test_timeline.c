/* What concerned a deployment while its bases, flags and record changed. */
#include "configd/timeline.h"

#include "proto/rfc3339.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct cfg_timeline t;
static uint64_t revision;

static void close_all(void)
{
    cfg_timeline_finish(&t);
}
TestSuite(timeline, .fini = close_all);

/* A version written at second `at`, at the next revision. body: members of the envelope, with a comma at the end. */
static struct cfg_object *write_at(const char *object, uint64_t version, int at, const char *body)
{
    struct cfg_object_id id;
    struct cfg_object *o = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    char text[1024], time[CFG_RFC3339_TEXT];
    cr_assert_eq(cfg_object_id_parse(&id, cfg_slice_str(object), NULL), 0, "%s", object);
    (void)snprintf(
        text, sizeof text,
        "{%s\"version\":%d,\"parent\":%d,\"digest\":\"sha256:"
        "0000000000000000000000000000000000000000000000000000000000000000\",\"author\":\"a\",\"message\":\"\","
        "\"time\":\"%s\",\"request_id\":\"r\"}",
        body, (int)version, (int)version - 1, cfg_rfc3339_print(time, at * INT64_C(1000000)));
    cr_assert_eq(cfg_object_new(&o, &id, cfg_slice_str(text), ++revision, &err), 0, "%s: %s", object, err.text);
    cr_assert_eq(cfg_timeline_add(&t, o, NULL), 0);
    cr_assert_eq(cfg_timeline_add(&t, o, NULL), 0, "twice is once");
    struct cfg_object *held = cfg_timeline_find(&t, &id, version);
    cr_assert_eq(held, o);
    (void)cfg_object_unref(o);
    return held;
}

#define DEPLOYMENT(config, flags)                                                                                   \
    "\"config\":\"" config "\",\"flags\":" flags ",\"track\":\"head\",\"generation\":1,\"pin_keys\":[],\"pin\":{}," \
    "\"pin_digest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\","                   \
    "\"adopted_stores\":[],\"arms\":{\"base\":{\"follows\":\"head\"}},"
#define CONFIG(extends, value) "\"extends\":" extends ",\"document\":{\"x\":" value "},"

static struct cfg_object *was(void *arg, const struct cfg_object_id *id)
{
    const int64_t *since = arg;
    struct cfg_object *o = NULL, *head = NULL;
    for (uint64_t v = 1; (o = cfg_timeline_find(&t, id, v)) != NULL; v++)
        head = o;
    return cfg_timeline_before(&o, &t, id, head, *since) == CFG_WAS_THERE ? o : NULL;
}

/* The reasons of everything since a second, "base namespace - flags". */
static const char *reasons(int since)
{
    static char text[512];
    struct cfg_object **list = NULL;
    size_t n = 0;
    int64_t since_us = since * INT64_C(1000000);
    struct cfg_timeline_walk *w = cfg_timeline_walk_new("blue", was, &since_us);
    cr_assert_eq(cfg_timeline_window(&list, &n, &t, since_us, NULL), 0);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *why = cfg_timeline_why_name(cfg_timeline_walk_next(w, list[i]));
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof text - len, "%s%s", len > 0 ? " " : "", why[0] ? why : "-");
    }
    cfg_timeline_walk_free(w);
    free(list);
    return text;
}

static const char *state(int at)
{
    static char text[1024];
    struct cfg_buf out;
    int64_t since_us = at * INT64_C(1000000) + 1;
    struct cfg_timeline_walk *w = cfg_timeline_walk_new("blue", was, &since_us);
    cJSON *tree = cfg_timeline_walk_state(w);
    cfg_buf_init(&out, sizeof text - 1);
    cfg_json_print(&out, tree);
    (void)snprintf(text, sizeof text, "%s", tree ? out.data : "none");
    cfg_buf_finish(&out);
    cJSON_Delete(tree);
    cfg_timeline_walk_free(w);
    return text;
}

Test(timeline, a_namespace_concerns_while_it_is_a_base)
{
    write_at("config/low", 1, 10, CONFIG("[]", "1"));
    write_at("config/chat", 1, 11, CONFIG("[]", "1"));
    write_at("deployment/blue", 1, 12, DEPLOYMENT("chat", "[]"));
    write_at("config/low", 2, 20, CONFIG("[]", "2"));         /* not yet a base */
    write_at("config/chat", 2, 21, CONFIG("[\"low\"]", "1")); /* now it is */
    write_at("config/low", 3, 22, CONFIG("[]", "3"));
    write_at("config/chat", 3, 23, CONFIG("[]", "1")); /* no longer */
    write_at("config/low", 4, 24, CONFIG("[]", "4"));
    cr_assert_str_eq(reasons(20), "- namespace base namespace -");
    cr_assert_str_eq(reasons(22), "base namespace -", "it was a base when that began");
    cr_assert_str_eq(reasons(24), "-");
}

Test(timeline, a_base_of_a_base_and_its_schema)
{
    write_at("config/x", 1, 1, CONFIG("[]", "1"));
    write_at("config/low", 1, 2, CONFIG("[\"x\"]", "1"));
    write_at("config/mid", 1, 3, CONFIG("[\"x\"]", "1"));
    write_at("config/chat", 1, 4, CONFIG("[\"low\",\"mid\"]", "1"));
    write_at("deployment/blue", 1, 5, DEPLOYMENT("chat", "[\"fl\"]"));
    write_at("schema/x", 1, 6, "\"schema\":{},");
    write_at("schema/y", 1, 7, "\"schema\":{},");
    write_at("flag/fl/a", 1, 8,
             "\"enabled\":true,\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":"
             "\"on\"},");
    write_at("flag/other/a", 1, 9,
             "\"enabled\":true,\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":"
             "\"on\"},");
    write_at("config/low", 2, 10, CONFIG("[]", "1"));
    write_at("config/x", 2, 11, CONFIG("[]", "2")); /* still a base, by way of mid */
    write_at("deployment/green", 1, 12, DEPLOYMENT("chat", "[]"));
    cr_assert_str_eq(reasons(6), "schema - flags - base base -");
    cr_assert_str_eq(
        state(9),
        "{\"flags\":[\"fl\"],\"spaces\":[\"x\",\"low\",\"mid\",\"chat\"],\"config\":\"chat\",\"track\":\"head\","
        "\"locked\":false,\"held\":null}");
}

Test(timeline, rollouts_and_experiments_of_this_deployment)
{
    write_at("config/chat", 1, 1, CONFIG("[]", "1"));
    write_at("deployment/blue", 1, 2, DEPLOYMENT("chat", "[]"));
    write_at("rollout/blue", 1, 3, "\"state\":{},");
    write_at("rollout/green", 1, 4, "\"state\":{},");
    write_at("experiment/warm", 1, 5, "\"deployment\":\"blue\",");
    write_at("experiment/warm", 2, 6, "\"deployment\":\"green\","); /* the name again, elsewhere */
    write_at("experiment/cold", 1, 7, "\"deployment\":\"green\",");
    cr_assert_str_eq(reasons(3), "rollout - experiment - -");
}

Test(timeline, what_was_written_in_a_revision)
{
    struct cfg_object *config = write_at("config/chat", 1, 1, CONFIG("[]", "1"));
    struct cfg_object *rollout = (revision--, write_at("rollout/blue", 1, 1, "\"state\":{},"));
    struct cfg_object *deployment = (revision--, write_at("deployment/blue", 1, 1, DEPLOYMENT("chat", "[]")));
    struct cfg_object *later = write_at("deployment/blue", 2, 2, DEPLOYMENT("chat", "[]"));
    cr_assert_eq(cfg_timeline_written(&t, 1, CFG_KIND_CONFIG), config);
    cr_assert_eq(cfg_timeline_written(&t, 1, CFG_KIND_DEPLOYMENT), deployment);
    cr_assert_eq(cfg_timeline_written(&t, 1, CFG_KIND_ROLLOUT), rollout);
    cr_assert_eq(cfg_timeline_written(&t, 2, CFG_KIND_CONFIG), later);
    cr_assert_null(cfg_timeline_written(&t, 2, CFG_KIND_ROLLOUT));
    cr_assert_null(cfg_timeline_written(&t, 3, CFG_KIND_CONFIG));
}

Test(timeline, the_deployment_itself_moves)
{
    write_at("config/chat", 1, 1, CONFIG("[]", "1"));
    write_at("deployment/blue", 1, 2, DEPLOYMENT("chat", "[]"));
    write_at("flag/fl/a", 1, 3,
             "\"enabled\":true,\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":"
             "\"on\"},");
    write_at("deployment/blue", 2, 4, DEPLOYMENT("chat", "[\"fl\"]"));
    write_at("flag/fl/a", 2, 5,
             "\"enabled\":false,\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":"
             "\"on\"},");
    cr_assert_str_eq(reasons(3), "- deployment flags");
    cr_assert_str_eq(state(1), "none", "not there yet");
    cr_assert_str_eq(state(2),
                     "{\"flags\":[],\"spaces\":[\"chat\"],\"config\":\"chat\",\"track\":\"head\",\"locked\":false,"
                     "\"held\":null}");
}

Test(timeline, says_what_is_missing)
{
    struct cfg_object_id id;
    struct cfg_object *o = NULL, *second;
    uint64_t version = 0;
    size_t at = 0;
    write_at("config/chat", 3, 30, CONFIG("[]", "3"));
    second = write_at("config/chat", 2, 20, CONFIG("[]", "2"));
    write_at("config/new", 1, 31, CONFIG("[]", "1"));
    cr_assert(cfg_timeline_missing(&id, &version, &t, 10000000, &at));
    cr_assert(version == 1 && strcmp(id.ns, "chat") == 0);
    cr_assert_not(cfg_timeline_missing(&id, &version, &t, 10000000, &at));
    at = 0;
    cr_assert_not(cfg_timeline_missing(&id, &version, &t, 25000000, &at), "version 2 is held, new has none before it");
    id = cfg_object_id_of(CFG_KIND_CONFIG, "chat", NULL);
    cr_assert_eq(cfg_timeline_before(&o, &t, &id, NULL, 25000000), CFG_WAS_THERE);
    cr_assert_eq(o, second);
    cr_assert_eq(cfg_timeline_before(&o, &t, &id, NULL, 10000000), CFG_WAS_GONE);
    id = cfg_object_id_of(CFG_KIND_CONFIG, "new", NULL);
    cr_assert_eq(cfg_timeline_before(&o, &t, &id, NULL, 10000000), CFG_WAS_NOT);
    id = cfg_object_id_of(CFG_KIND_CONFIG, "still", NULL);
    cr_assert_eq(cfg_timeline_before(&o, &t, &id, second, 10000000), CFG_WAS_THERE, "its head is older than that");
}

static const char *changes(const struct cfg_object *before, const struct cfg_object *after, unsigned most)
{
    static char text[1024];
    struct cfg_buf out;
    unsigned more = 99;
    cJSON *tree = cfg_timeline_changes(&more, before, after, most);
    cfg_buf_init(&out, sizeof text - 1);
    cfg_json_print(&out, tree);
    (void)snprintf(text, sizeof text, "%s+%u", out.data, more);
    cfg_buf_finish(&out);
    cJSON_Delete(tree);
    return text;
}

Test(timeline, tells_changes_shortly)
{
    char body[512];
    struct cfg_object *one = write_at("config/chat", 1, 1, CONFIG("[]", "1"));
    struct cfg_object *two = write_at("config/chat", 2, 2, CONFIG("[\"low\"]", "2"));
    (void)snprintf(body, sizeof body, "\"extends\":[],\"document\":{\"x\":\"%0200d\"},", 7);
    struct cfg_object *three = write_at("config/chat", 3, 3, body);
    cr_assert_str_eq(changes(one, two, 9), "[{\"op\":\"add\",\"path\":\"(extends)\",\"to\":[\"low\"]},"
                                           "{\"op\":\"replace\",\"path\":\"x\",\"from\":1,\"to\":2}]+0");
    cr_assert_str_eq(changes(one, two, 1), "[{\"op\":\"add\",\"path\":\"(extends)\",\"to\":[\"low\"]}]+1");
    cr_assert_str_eq(changes(one, three, 9), "[{\"op\":\"replace\",\"path\":\"x\",\"from\":1}]+0",
                     "a long value is left out");
    cr_assert_str_eq(changes(NULL, one, 9), "[{\"op\":\"add\",\"path\":\"x\",\"to\":1}]+0");
}
