/* Patches. RFC 6902 at large is covered by the conformance suite json-patch; here is what goes beyond it: errors that
 * name operation and pointer, atomicity, limits, the examples of RFC 7396, and the law that a diff applied gives the
 * other tree. */
#include "proto/patch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *parse(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return v;
}

static char *print(const cJSON *v)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 26);
    cfg_json_print(&out, v);
    return cfg_buf_steal(&out);
}

static void applies(const char *doc, const char *patch, const char *expected)
{
    cJSON *d = parse(doc), *p = parse(patch), *out = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_patch_apply(&out, d, p, &err), 0, "%s", err.text);
    char *text = print(out), *before = print(d), *same = print(p);
    cr_assert_str_eq(text, expected);
    cr_assert_str_eq(before, doc);
    cr_assert_str_eq(same, patch);
    free(text);
    free(before);
    free(same);
    cJSON_Delete(d);
    cJSON_Delete(p);
    cJSON_Delete(out);
}

static void refuses(const char *doc, const char *patch, const char *start, const char *pointer, const char *why)
{
    cJSON *d = parse(doc), *p = parse(patch), *out = d;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_patch_apply(&out, d, p, &err), CFG_E_PATCH, "%s", patch);
    cr_assert_eq(out, d, "untouched on failure");
    cr_assert_eq(strncmp(err.text, start, strlen(start)), 0, "%s", err.text);
    cr_assert_str_eq(err.path, pointer);
    cr_assert(strstr(err.text, why), "%s: %s", patch, err.text);
    char *before = print(d);
    cr_assert_str_eq(before, doc);
    free(before);
    cJSON_Delete(d);
    cJSON_Delete(p);
}

Test(patch, applies)
{
    applies("{\"a\":1}",
            "[{\"op\":\"add\",\"path\":\"/b\",\"value\":{\"c\":[]}},{\"op\":\"add\",\"path\":\"/b/c/-\",\"value\":2}]",
            "{\"a\":1,\"b\":{\"c\":[2]}}");
    applies("{\"a\":1,\"b\":2}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null,\"b\":2}");
    applies("[1,2,3]",
            "[{\"op\":\"move\",\"from\":\"/0\",\"path\":\"/2\"},{\"op\":\"copy\",\"from\":\"/0\",\"path\":\"/-\"}]",
            "[2,3,1,2]");
    applies("[1,2,3]",
            "[{\"op\":\"replace\",\"path\":\"/2\",\"value\":9},{\"op\":\"replace\",\"path\":\"/0\",\"value\":7}]",
            "[7,2,9]");
    applies("{\"a\":{\"b\":1}}", "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/a/c\"}]",
            "{\"a\":{\"b\":1,\"c\":{\"a\":{\"b\":1}}}}");
    applies("{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a/b\",\"path\":\"\"}]", "1");
    applies("{\"a\":1}",
            "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a\"},{\"op\":\"move\",\"from\":\"\",\"path\":\"\"}]",
            "{\"a\":1}");
    applies("{\"a\":{\"b\":1},\"ab\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/ab/a\"}]",
            "{\"ab\":{\"a\":{\"b\":1}}}");
    applies("{\"a\":[1]}", "[{\"op\":\"move\",\"from\":\"/a/0\",\"path\":\"/a\"}]", "{\"a\":1}");
    applies("1", "[{\"op\":\"replace\",\"path\":\"\",\"value\":[2]}]", "[2]");
    applies("{\"k\\u0000\":1,\"\":2,\"~/\":3}",
            "[{\"op\":\"test\",\"path\":\"/k\\u0000\",\"value\":1},{\"op\":\"remove\",\"path\":\"/"
            "\"},{\"op\":\"remove\",\"path\":\"/~0~1\"}]",
            "{\"k\\u0000\":1}");
    applies("{}", "[]", "{}");
}

Test(patch, refuses_and_changes_nothing)
{
    refuses("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":\"remove\",\"path\":\"/x\"}]",
            "patch[1] remove /x", "/x", "does not exist");
    refuses("{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/a\"},{\"op\":\"test\",\"path\":\"\",\"value\":1}]",
            "patch[1] test", "", "another one");
    refuses("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]", "patch[0] add", "/a/b", "single value");
    refuses("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/x/b\",\"value\":1}]", "patch[0] add", "/x/b", "parent");
    refuses("{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", "patch[0] move", "/a/b",
            "into itself");
    refuses("{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"\",\"path\":\"/a/b\"}]", "patch[0] move", "/a/b",
            "into itself");
    refuses("{\"a\":{}}", "[{\"op\":\"remove\",\"path\":\"\"}]", "patch[0] remove", "", "whole document");
    refuses("[1]", "[{\"op\":\"add\",\"path\":\"/2\",\"value\":1}]", "patch[0] add", "/2", "beyond");
    refuses("[1]", "[{\"op\":\"add\",\"path\":\"/01\",\"value\":1}]", "patch[0] add", "/01", "indexed");
    refuses("[1]", "[{\"op\":\"remove\",\"path\":\"/-\"}]", "patch[0] remove", "/-", "does not exist");
    refuses("[1]", "[{\"op\":\"remove\",\"path\":\"/4294967296\"}]", "patch[0] remove", "/4294967296", "beyond");
    refuses("{}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", "patch[0] add a", "a", "begins with /");
    refuses("{}", "[{\"op\":\"add\",\"path\":\"/~2\",\"value\":1}]", "patch[0] add", "/~2", "followed by");
    refuses("{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", "patch[0] add", "/a", "\"value\"");
    refuses("{}", "[{\"op\":\"copy\",\"path\":\"/a\"}]", "patch[0] copy", "/a", "\"from\"");
    refuses("{}", "[{\"op\":\"add\",\"value\":1}]", "patch[0] add", "", "\"path\"");
    refuses("{}", "[{\"op\":\"Add\",\"path\":\"/a\",\"value\":1}]", "patch[0] Add", "/a", "unknown");
    refuses("{}", "[7]", "patch[0]", "", "object");
    refuses("{}", "{}", "a JSON patch", "", "array");
}

static int apply_repeated(const char *doc, const char *operations, int times)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 24);
    for (int i = 0; i < times; i++)
        cfg_buf_printf(&text, "%c%s", i ? ',' : '[', operations);
    cfg_buf_puts(&text, "]");
    cJSON *d = parse(doc), *p = parse(text.data), *out = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_patch_apply(&out, d, p, &err);
    cfg_buf_finish(&text);
    cJSON_Delete(d);
    cJSON_Delete(p);
    cJSON_Delete(out);
    return code;
}

Test(patch, costs_are_bounded)
{
    const char *doubled = "{\"op\":\"copy\",\"from\":\"\",\"path\":\"/-\"}";
    cr_assert_eq(apply_repeated("[0]", doubled, 10), 0);
    cr_assert_eq(apply_repeated("[0]", doubled, 64), CFG_E_LIMIT, "copies double");
    const char *deeper =
        "{\"op\":\"add\",\"path\":\"/b\",\"value\":{}},{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b/x\"},"
        "{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a\"}";
    cr_assert_eq(apply_repeated("{\"a\":1}", deeper, 100), 0);
    cr_assert_eq(apply_repeated("{\"a\":1}", deeper, 200), CFG_E_LIMIT, "moves nest");
}

Test(patch, merges_as_rfc_7396_shows)
{
    static const char *const cases[][3] = {
        /* appendix A */
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
        /* an object in an array is no merge patch: its nulls stay */
        {"{}", "{\"a\":[{\"b\":null}]}", "{\"a\":[{\"b\":null}]}"},
        {"{\"a\":1}", "{\"a\":{\"b\":null,\"c\":1}}", "{\"a\":{\"c\":1}}"},
        {NULL, "{\"a\":{\"b\":null}}", "{\"a\":{}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *doc = cases[i][0] ? parse(cases[i][0]) : NULL, *patch = parse(cases[i][1]), *out = NULL;
        cr_assert_eq(cfg_patch_merge(&out, doc, patch, NULL), 0);
        char *text = print(out), *before = doc ? print(doc) : NULL;
        cr_assert_str_eq(text, cases[i][2]);
        if (before)
            cr_assert_str_eq(before, cases[i][0]);
        free(text);
        free(before);
        cJSON_Delete(doc);
        cJSON_Delete(patch);
        cJSON_Delete(out);
    }
}

Test(patch, merges_wide_objects)
{
    cJSON *doc = cJSON_CreateObject(), *patch = cJSON_CreateObject(), *expected = cJSON_CreateObject(), *out = NULL;
    for (int i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        if (i < 150)
            cr_assert_eq(cfg_json_set(doc, key, cJSON_CreateNumber(i)), 0);
        if (i >= 50) /* two thirds of these replace or remove, the rest are new */
            cr_assert_eq(cfg_json_set(patch, key, i % 3 ? cJSON_CreateString("new") : cJSON_CreateNull()), 0);
        if (i < 50)
            cr_assert_eq(cfg_json_set(expected, key, cJSON_CreateNumber(i)), 0);
        else if (i % 3)
            cr_assert_eq(cfg_json_set(expected, key, cJSON_CreateString("new")), 0);
    }
    cr_assert_eq(cfg_patch_merge(&out, doc, patch, NULL), 0);
    cr_assert(cfg_json_equal(out, expected));
    cJSON_Delete(doc);
    cJSON_Delete(patch);
    cJSON_Delete(expected);
    cJSON_Delete(out);
}

/* --- differences --- */

static void differs(cJSON *(*fn)(const cJSON *, const cJSON *), const char *a, const char *b, const char *expected)
{
    cJSON *x = parse(a), *y = parse(b), *found = fn(x, y);
    char *text = print(found);
    cr_assert_str_eq(text, expected, "%s -> %s: %s", a, b, text);
    free(text);
    cJSON_Delete(x);
    cJSON_Delete(y);
    cJSON_Delete(found);
}

Test(patch, diff_is_minimal_and_ordered)
{
    differs(cfg_patch_diff, "{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2.0],\"a\":1}", "[]");
    differs(cfg_patch_diff, "{\"z\":1,\"m\":{\"x\":1,\"y\":2},\"a\":3}", "{\"m\":{\"y\":5,\"x\":1},\"b\":1,\"a\":3}",
            "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":\"replace\",\"path\":\"/m/y\",\"value\":5},"
            "{\"op\":\"remove\",\"path\":\"/z\"}]");
    differs(cfg_patch_diff, "[1,2,3,4,5]", "[1,9,4,5]",
            "[{\"op\":\"replace\",\"path\":\"/1\",\"value\":9},{\"op\":\"remove\",\"path\":\"/2\"}]");
    differs(cfg_patch_diff, "[1,5]", "[1,2,3,5]",
            "[{\"op\":\"add\",\"path\":\"/1\",\"value\":2},{\"op\":\"add\",\"path\":\"/2\",\"value\":3}]");
    differs(cfg_patch_diff, "[1,1,1]", "[1]",
            "[{\"op\":\"remove\",\"path\":\"/2\"},{\"op\":\"remove\",\"path\":\"/1\"}]");
    differs(cfg_patch_diff, "[{\"a\":1},2]", "[{\"a\":2},2]", "[{\"op\":\"replace\",\"path\":\"/0/a\",\"value\":2}]");
    differs(cfg_patch_diff, "{\"a/b\":1,\"~\":1}", "{\"a/b\":2,\"~\":2}",
            "[{\"op\":\"replace\",\"path\":\"/a~1b\",\"value\":2},{\"op\":\"replace\",\"path\":\"/~0\",\"value\":2}]");
    differs(cfg_patch_diff, "{}", "[]", "[{\"op\":\"replace\",\"path\":\"\",\"value\":[]}]");
    differs(cfg_patch_diff, "{\"a\":null}", "{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]");
}

Test(patch, describes_for_people)
{
    differs(cfg_patch_describe, "{\"s\":{\"t\":0.7},\"l\":[1,2],\"x\":1}", "{\"s\":{\"t\":0.2},\"l\":[1],\"y\":null}",
            "[{\"op\":\"remove\",\"path\":\"l[1]\",\"from\":2},{\"op\":\"replace\",\"path\":\"s.t\",\"from\":0.7,"
            "\"to\":0.2},"
            "{\"op\":\"remove\",\"path\":\"x\",\"from\":1},{\"op\":\"add\",\"path\":\"y\",\"to\":null}]");
}

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % n;
}

/* Few keys and few values, so that two random trees share much. */
static cJSON *random_tree(unsigned depth)
{
    static const char *const keys[] = {"a", "b", "c/d", "~e", "", "f\xC0\x80", "0", "-"};
    unsigned kind = random_below(depth ? 8 : 5);
    if (kind < 2)
        return cJSON_CreateNumber(random_below(3));
    if (kind < 5)
        return kind == 2   ? cJSON_CreateNull()
               : kind == 3 ? cJSON_CreateBool(random_below(2) == 0)
                           : cJSON_CreateString("s");
    cJSON *v = kind == 5 ? cJSON_CreateObject() : cJSON_CreateArray();
    for (unsigned n = random_below(6); n > 0; n--)
        if (cJSON_IsArray(v))
            cJSON_AddItemToArray(v, random_tree(depth - 1));
        else
            cr_assert_eq(cfg_json_set(v, keys[random_below(8)], random_tree(depth - 1)), 0);
    return v;
}

Test(patch, a_diff_applied_gives_the_other_tree)
{
    for (unsigned round = 0; round < 20000; round++) {
        random_state = round;
        cJSON *a = random_tree(4), *b = random_tree(4), *out = NULL;
        cJSON *patch = cfg_patch_diff(a, b), *none = cfg_patch_diff(a, a);
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(cfg_patch_apply(&out, a, patch, &err), 0, "round %u: %s", round, err.text);
        cr_assert(cfg_json_equal(out, b), "round %u", round);
        cr_assert_eq(cJSON_GetArraySize(none), 0);
        cr_assert_eq(cJSON_GetArraySize(patch) == 0, cfg_json_equal(a, b), "round %u", round);
        cJSON_Delete(a);
        cJSON_Delete(b);
        cJSON_Delete(out);
        cJSON_Delete(patch);
        cJSON_Delete(none);
    }
}
