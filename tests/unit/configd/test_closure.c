/* Releases: the order of bases, circles and bounds, the versions of an arm. */
#include "configd/closure.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* {"chat":["base"],"base":[]}: what each namespace extends; its version is its place from 1. */
static cJSON *world;
static cJSON *bodies;
static const char *away; /* a namespace that is not here yet */

static void close_world(void)
{
    cJSON_Delete(world);
    cJSON_Delete(bodies);
    world = bodies = NULL;
    away = NULL;
}
TestSuite(closure, .fini = close_world);

static void open_world(const char *text)
{
    close_world();
    cr_assert_eq(cfg_json_parse(&world, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    bodies = cJSON_CreateObject();
    for (const cJSON *m = world->child; m; m = m->next) {
        cJSON *body = cJSON_AddObjectToObject(bodies, m->string);
        cr_assert_eq(cfg_json_set(body, "extends", cJSON_Duplicate(m, true)), 0);
    }
}

static int read_space(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    uint64_t version = 1;
    (void)arg;
    if (away && strcmp(away, item->ns) == 0)
        return cfg_fail(err, CFG_E_NOT_READY, "%s is on its way", item->ns);
    for (const cJSON *m = bodies->child; m; m = m->next, version++) {
        if (strcmp(m->string, item->ns) != 0)
            continue;
        item->body = m;
        item->version = version;
        item->mod_revision = 100 + version;
        return 0;
    }
    return cfg_fail(err, CFG_E_NOT_FOUND, "no %s", item->ns);
}
static const struct cfg_closure_reader reader = {read_space, NULL};

/* The walk's order, "x a b chat", or the error's code and text. */
static const char *walk(const char *root)
{
    static char text[4096];
    struct cfg_closure c = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    size_t n = 0;
    int rc = cfg_closure_walk(&c, root, &reader, &err);
    cr_assert_eq(rc, err.code);
    if (rc != 0)
        n = (size_t)snprintf(text, sizeof text, "%s: %s", cfg_code_name(rc), err.text);
    for (size_t i = 0; i < c.n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? " " : "", c.items[i].ns);
    cfg_closure_finish(&c);
    return text;
}

Test(closure, bases_come_first_left_to_right_each_once)
{
    open_world("{\"chat\":[\"a\",\"b\"],\"a\":[\"x\"],\"b\":[\"x\",\"y\"],\"x\":[],\"y\":[],\"alone\":[]}");
    cr_assert_str_eq(walk("alone"), "alone");
    cr_assert_str_eq(walk("a"), "x a");
    cr_assert_str_eq(walk("chat"), "x a y b chat");
}

Test(closure, knows_its_versions_and_its_newest_revision)
{
    struct cfg_closure c;
    struct cfg_release r;
    open_world("{\"chat\":[\"base\"],\"base\":[]}");
    cr_assert_eq(cfg_closure_walk(&c, "chat", &reader, NULL), 0);
    cr_assert_eq(cfg_closure_revision(&c), 102);
    cr_assert(cfg_closure_has(&c, "base") && !cfg_closure_has(&c, "other"));
    cr_assert_eq(cfg_closure_release(&r, &c, NULL), 0);
    cr_assert(r.n == 2 && cfg_release_version(&r, "chat") == 1 && cfg_release_version(&r, "base") == 2);
    cr_assert_eq(cfg_release_version(&r, "other"), 0);
    cfg_release_finish(&r);
    cfg_closure_finish(&c);
}

Test(closure, circles_name_everyone_in_them)
{
    open_world("{\"a\":[\"b\"],\"b\":[\"c\"],\"c\":[\"a\"],\"d\":[\"a\"],\"e\":[\"e\"]}");
    cr_assert_str_eq(walk("a"), "bad_value: extends runs in a circle: a extends b extends c extends a");
    cr_assert_str_eq(walk("d"), "bad_value: extends runs in a circle: a extends b extends c extends a");
    cr_assert_str_eq(walk("e"), "bad_value: extends runs in a circle: e extends e");
}

Test(closure, missing_bases_name_who_extends_them)
{
    open_world("{\"chat\":[\"base\"],\"top\":[\"chat\"]}");
    cr_assert_str_eq(walk("top"), "not_found: namespace base, which chat extends, does not exist");
    cr_assert_str_eq(walk("nobody"), "not_found: no nobody");
    away = "base";
    cr_assert_str_eq(walk("top"), "not_ready: base is on its way");
}

Test(closure, lists_that_are_none_of_ours)
{
    open_world("{\"chat\":[1]}");
    cr_assert_str_eq(walk("chat"), "bad_value: namespace chat: extends is no list of namespaces");
}

/* n0 extends n1 extends … */
static void open_chain(int n)
{
    static char text[8192];
    size_t at = (size_t)snprintf(text, sizeof text, "{");
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "\"n%d\":[\"n%d\"],", i, i + 1);
    (void)snprintf(text + at, sizeof text - at, "\"n%d\":[]}", n);
    open_world(text);
}

Test(closure, chains_are_bounded)
{
    open_chain(CFG_LIMIT_EXTENDS_DEPTH);
    cr_assert(strncmp(walk("n0"), "n16 n15", 7) == 0, "%s", walk("n0"));
    open_chain(CFG_LIMIT_EXTENDS_DEPTH + 1);
    cr_assert(strstr(walk("n0"), "too_large: n0 extends n17 through more than 16"), "%s", walk("n0"));
    cr_assert(strncmp(walk("n1"), "n17", 3) == 0);
}

Test(closure, all_in_all_it_is_bounded)
{
    static char text[8192];
    for (int n = CFG_LIMIT_LAYERS - 1; n <= CFG_LIMIT_LAYERS; n++) {
        size_t at = (size_t)snprintf(text, sizeof text, "{\"top\":[\"l\",\"r\"],\"l\":[");
        for (int i = 0; i < n - 2; i++) {
            const char *between = i == 0 ? "" : i == 15 ? "],\"r\":[" : ",";
            at += (size_t)snprintf(text + at, sizeof text - at, "%s\"n%d\"", between, i);
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "]");
        for (int i = 0; i < n - 2; i++)
            at += (size_t)snprintf(text + at, sizeof text - at, ",\"n%d\":[]", i);
        (void)snprintf(text + at, sizeof text - at, "}");
        open_world(text);
        bool fits = strncmp(walk("top"), "too_large: top extends more than 31 ", 20) != 0;
        cr_assert_eq(fits, n < CFG_LIMIT_LAYERS, "%d: %s", n, walk("top"));
    }
}

static int read_release(const char *text, struct cfg_release *out, struct cfg_error *err)
{
    cJSON *json = NULL;
    cr_assert_eq(cfg_json_parse(&json, cfg_slice_str(text), 0, NULL), 0);
    int rc = cfg_release_read(out, json, err);
    cJSON_Delete(json);
    return rc;
}

Test(closure, releases_are_read_and_compared)
{
    struct cfg_release a, b;
    cr_assert_eq(read_release("{\"chat\":43,\"base\":7}", &a, NULL), 0);
    cr_assert_eq(read_release("{\"base\":7,\"chat\":43}", &b, NULL), 0);
    cr_assert(cfg_release_equal(&a, &b));
    b.items[0].version = 8;
    cr_assert(!cfg_release_equal(&a, &b));
    b.n = 1;
    cr_assert(!cfg_release_equal(&b, &a) && !cfg_release_equal(&a, &b));
    cJSON *json = cfg_release_json(&a);
    cr_assert(cfg_json_get_num(json, "chat", 0) == 43 && cfg_json_get_num(json, "base", 0) == 7);
    cJSON_Delete(json);
    cfg_release_finish(&a);
    cfg_release_finish(&b);
}

Test(closure, bad_releases)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {{"{}", CFG_E_VALUE},           {"[]", CFG_E_VALUE},
                 {"{\"chat\":0}", CFG_E_VALUE}, {"{\"chat\":1.5}", CFG_E_JSON},
                 {"{\"chat\":-1}", CFG_E_JSON}, {"{\"Chat\":1}", CFG_E_ADDRESS}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cfg_release r;
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(read_release(cases[i].text, &r, &err), cases[i].code, "%s: %s", cases[i].text, err.text);
    }
}

Test(closure, extends_lists_are_checked)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"[]", 0},
        {"[\"a\",\"b\"]", 0},
        {"{}", CFG_E_VALUE},
        {"[1]", CFG_E_VALUE},
        {"[\"A\"]", CFG_E_ADDRESS},
        {"[\"a\",\"a\"]", CFG_E_VALUE},
        {"[\"chat\"]", CFG_E_VALUE},
        {"[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\",\"l\",\"m\",\"n\",\"o\",\"p\",\"q\"]",
         CFG_E_LIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *list = NULL;
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(cfg_json_parse(&list, cfg_slice_str(cases[i].text), 0, NULL), 0);
        cr_assert_eq(cfg_extends_check(list, "chat", &err), cases[i].code, "%s: %s", cases[i].text, err.text);
        if (cases[i].code != 0)
            cr_assert_str_eq(err.path, "extends");
        cJSON_Delete(list);
    }
}
