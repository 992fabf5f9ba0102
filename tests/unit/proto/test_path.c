/* Names, addresses and dotted paths. */
#include "proto/path.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static cJSON *parse(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return v;
}

static void is(const cJSON *doc, const char *expected)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    cfg_json_print(&out, doc);
    cr_assert_str_eq(out.data, expected);
    cfg_buf_finish(&out);
}

/* --- names --- */

Test(path, names_are_dns_labels)
{
    char long_name[65];
    memset(long_name, 'a', 64);
    long_name[64] = '\0';
    static const char *const good[] = {"chat", "a", "0", "train-llama", "a--b"};
    static const char *const bad[][2] = {
        {"Chat", "chat"}, {"train_llama", "train-llama"}, {"-a-", "a"}, {"a b", "a-b"}, {"", ""}, {"\xC3\xA4", ""}};
    struct cfg_error err = CFG_ERROR_INIT;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_eq(cfg_check_name("namespace", cfg_slice_str(good[i]), &err), 0, "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(cfg_check_name("namespace", cfg_slice_str(bad[i][0]), &err), CFG_E_ADDRESS, "%s", bad[i][0]);
        cr_assert(strstr(err.text, "namespace"), "%s", err.text);
        cr_assert(bad[i][1][0] ? strstr(err.hint, bad[i][1]) != NULL : err.hint[0] == '\0', "%s: %s", bad[i][0],
                  err.hint);
    }
    cr_assert_eq(cfg_check_name("namespace", cfg_slice_str(long_name), &err), CFG_E_ADDRESS);
    cr_assert_eq(cfg_check_name("namespace", (struct cfg_slice){long_name, 63}, &err), 0);
}

Test(path, ids_and_flag_names)
{
    static const char *const good_ids[] = {"w0", "host-3.local:29500_1"}, *const bad_ids[] = {"", "-a", "a/b", "a b",
                                                                                              "\xC3\xA4"};
    static const char *const good_flags[] = {"ab.flag", "new-checkout", "a.b.c", "\xC3\xA4"};
    static const char *const bad_flags[] = {"",    ".a",  "a.",   "a..b", "a/b",        "a[0]",
                                            "a=b", "a b", "a\tb", "\xFF", "$evaluators"};
    struct cfg_error err = CFG_ERROR_INIT;
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(cfg_check_id("worker", cfg_slice_str(good_ids[i]), &err), 0, "%s", good_ids[i]);
    for (size_t i = 0; i < sizeof bad_ids / sizeof bad_ids[0]; i++)
        cr_assert_eq(cfg_check_id("worker", cfg_slice_str(bad_ids[i]), &err), CFG_E_ADDRESS, "%s", bad_ids[i]);
    for (size_t i = 0; i < sizeof good_flags / sizeof good_flags[0]; i++)
        cr_assert_eq(cfg_check_flag_name(cfg_slice_str(good_flags[i]), &err), 0, "%s", good_flags[i]);
    for (size_t i = 0; i < sizeof bad_flags / sizeof bad_flags[0]; i++)
        cr_assert_eq(cfg_check_flag_name(cfg_slice_str(bad_flags[i]), &err), CFG_E_ADDRESS, "%s", bad_flags[i]);
    cr_assert_eq(cfg_check_id("worker", (struct cfg_slice){"a\0b", 3}, &err), CFG_E_ADDRESS);
    cr_assert_eq(cfg_check_flag_name((struct cfg_slice){"a\0b", 3}, &err), CFG_E_ADDRESS);
}

Test(path, addresses)
{
    struct cfg_address a;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_address_parse(&a, CFG_SLICE_LIT("chat/sampling.temperature"), false, &err), 0);
    cr_assert_str_eq(a.ns, "chat");
    cr_assert_str_eq(a.name, "sampling.temperature");
    cr_assert_eq(cfg_address_parse(&a, CFG_SLICE_LIT("chat"), true, &err), 0);
    cr_assert_str_eq(a.name, "");
    cr_assert_eq(cfg_address_parse(&a, CFG_SLICE_LIT("chat.temperature"), false, &err), CFG_E_ADDRESS);
    cr_assert(strstr(err.hint, "NAMESPACE/NAME"), "%s", err.hint);
    static const char *const bad[] = {"",         "/a",         "chat/",      "a/b/c",     "chat/.a",
                                      "chat/a.",  "chat/a..b",  "chat/a[b]",  "Chat/a",    "chat/a=b",
                                      "chat/[0]", "chat/a[01]", "chat/a[0]b", "chat/a.[0]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(cfg_address_parse(&a, cfg_slice_str(bad[i]), true, &err), CFG_E_ADDRESS, "%s", bad[i]);
    char long_path[600] = "chat/";
    memset(long_path + 5, 'x', 513);
    cr_assert_eq(cfg_address_parse(&a, (struct cfg_slice){long_path, 5 + 513}, false, &err), CFG_E_ADDRESS);
    cr_assert_eq(cfg_address_parse(&a, (struct cfg_slice){long_path, 5 + 512}, false, &err), 0);
    cr_assert_eq(strlen(a.name), 512);
}

/* --- paths in documents --- */

Test(path, get)
{
    cJSON *doc = parse("{\"a\":{\"b\":[10,{\"c\":20},[30]],\"B\":5},\"k\\u0000\":1}");
    cr_assert_eq(cfg_path_get(doc, "a.b[0]")->valuedouble, 10);
    cr_assert_eq(cfg_path_get(doc, "a.b[1].c")->valuedouble, 20);
    cr_assert_eq(cfg_path_get(doc, "a.b[2][0]")->valuedouble, 30);
    cr_assert_eq(cfg_path_get(doc, "a.B")->valuedouble, 5);
    cr_assert_eq(cfg_path_get(doc, "k\xC0\x80")->valuedouble, 1);
    static const char *const none[] = {
        "", "b", "a.b[3]", "a.b.c", "a[0]", "A", "a.b[0].c", "a.", "a.b[999999999999]", "a.b[-1]"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        cr_assert_null(cfg_path_get(doc, none[i]), "%s", none[i]);
    cJSON_Delete(doc);
}

Test(path, set)
{
    static const char *const cases[][3] = {
        {"{}", "a", "{\"a\":1}"},
        {"{}", "a.b.c", "{\"a\":{\"b\":{\"c\":1}}}"},
        {"{\"a\":{\"x\":0},\"b\":2}", "a.y", "{\"a\":{\"x\":0,\"y\":1},\"b\":2}"},
        {"{\"a\":0,\"b\":2}", "a", "{\"a\":1,\"b\":2}"},
        {"{\"l\":[5,6]}", "l[0]", "{\"l\":[1,6]}"},
        {"{\"l\":[5,6]}", "l[1]", "{\"l\":[5,1]}"},
        {"{\"l\":[5]}", "l[1]", "{\"l\":[5,1]}"},
        {"{\"l\":[]}", "l[0]", "{\"l\":[1]}"},
        {"{\"l\":[{}]}", "l[0].a.b", "{\"l\":[{\"a\":{\"b\":1}}]}"},
        {"{\"l\":[]}", "l[0].a", "{\"l\":[{\"a\":1}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *doc = parse(cases[i][0]);
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(cfg_path_set(doc, cases[i][1], cJSON_CreateNumber(1), &err), 0, "%s: %s", cases[i][1], err.text);
        is(doc, cases[i][2]);
        cr_assert_not_null(cfg_path_get(doc, cases[i][1]));
        cJSON_Delete(doc);
    }
}

Test(path, set_refuses_and_changes_nothing)
{
    static const struct {
        const char *path, *where;
        int code;
    } cases[] = {
        {"s.x", "s", CFG_E_VALUE},       {"s.x.y", "s", CFG_E_VALUE},   {"l.x", "l", CFG_E_VALUE},
        {"o[0]", "o", CFG_E_VALUE},      {"l[3]", "l[3]", CFG_E_VALUE}, {"l[0].x", "l[0]", CFG_E_VALUE},
        {"new[0]", "new", CFG_E_VALUE},  {"n.a", "n", CFG_E_VALUE},     {"o.new.deep[0].x", "o.new.deep", CFG_E_VALUE},
        {"a..b", "a..b", CFG_E_ADDRESS}, {"", "", CFG_E_ADDRESS},
    };
    const char *text = "{\"s\":1,\"l\":[1,2],\"o\":{},\"n\":null}";
    cJSON *doc = parse(text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(cfg_path_set(doc, cases[i].path, parse("{\"v\":1}"), &err), cases[i].code, "%s", cases[i].path);
        cr_assert_str_eq(err.path, cases[i].where);
        is(doc, text);
    }
    cJSON_Delete(doc);
}

Test(path, remove)
{
    cJSON *doc = parse("{\"a\":{\"b\":1,\"c\":2},\"l\":[1,2,3]}");
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_path_remove(doc, "a.b", &err), 0);
    cr_assert_eq(cfg_path_remove(doc, "l[1]", &err), 0);
    is(doc, "{\"a\":{\"c\":2},\"l\":[1,3]}");
    cr_assert_eq(cfg_path_remove(doc, "a.b", &err), CFG_E_UNKNOWN_KEY);
    cr_assert_str_eq(err.path, "a.b");
    cr_assert_eq(cfg_path_remove(doc, "l[2]", &err), CFG_E_UNKNOWN_KEY);
    cr_assert_eq(cfg_path_remove(doc, "x.y", &err), CFG_E_UNKNOWN_KEY);
    cr_assert_eq(cfg_path_remove(doc, "a.c.d", &err), CFG_E_VALUE);
    cr_assert_eq(cfg_path_remove(doc, "l[1]", &err), 0);
    cr_assert_eq(cfg_path_remove(doc, "l[0]", &err), 0);
    cr_assert_eq(cfg_path_set(doc, "l[0]", cJSON_CreateTrue(), &err), 0);
    is(doc, "{\"a\":{\"c\":2},\"l\":[true]}");
    cJSON_Delete(doc);
}

Test(path, documents_have_plain_keys)
{
    static const char *const bad[][2] = {{"{\"a.b\":1}", "a.b"},
                                         {"{\"x\":{\"\":1}}", "x."},
                                         {"{\"x\":[1,{\"a/b\":1}]}", "x[1].a/b"},
                                         {"{\"a[\":1}", "a["},
                                         {"{\"x\":{\"y\":{\"a=\":1}}}", "x.y.a="},
                                         {"{\"]\":1}", "]"}};
    struct cfg_error err = CFG_ERROR_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cJSON *doc = parse(bad[i][0]);
        cr_assert_eq(cfg_path_check_document(doc, &err), CFG_E_VALUE, "%s", bad[i][0]);
        cr_assert_str_eq(err.path, bad[i][1]);
        cJSON_Delete(doc);
    }
    cJSON *doc = parse("{\"a\":{\"b-c\":[{\"d e\":1}]},\"\\u00e4\":{}}");
    cr_assert_eq(cfg_path_check_document(doc, &err), 0);
    cJSON_Delete(doc);
    doc = parse("[]");
    cr_assert_eq(cfg_path_check_document(doc, &err), CFG_E_VALUE);
    cJSON_Delete(doc);
    struct cfg_buf deep;
    cfg_buf_init(&deep, 4096);
    for (int i = 0; i < 9; i++) /* nine keys of 64 bytes */
        cfg_buf_printf(&deep, "{\"%064d\":", 0);
    cfg_buf_puts(&deep, "1}}}}}}}}}");
    doc = parse(deep.data);
    cfg_buf_finish(&deep);
    cr_assert_eq(cfg_path_check_document(doc, &err), CFG_E_VALUE);
    cr_assert(strstr(err.text, "512"), "%s", err.text);
    cJSON_Delete(doc);
}

struct leaves {
    struct cfg_buf text;
    int left;
};

static bool note_leaf(const char *path, const cJSON *value, void *arg)
{
    struct leaves *l = arg;
    cfg_buf_printf(&l->text, "%s%s ", path, cJSON_IsArray(value) ? "[]" : "");
    return --l->left != 0;
}

Test(path, each_leaf)
{
    cJSON *doc = parse("{\"a\":{\"b\":1,\"e\":{}},\"l\":[{\"x\":1}],\"s\":null}");
    struct leaves all = {.left = 0}, two = {.left = 2};
    cfg_buf_init(&all.text, 256);
    cfg_buf_init(&two.text, 256);
    cr_assert(cfg_path_each_leaf(doc, note_leaf, &all));
    cr_assert_str_eq(all.text.data, "a.b a.e l[] s ");
    cr_assert_not(cfg_path_each_leaf(doc, note_leaf, &two));
    cr_assert_str_eq(two.text.data, "a.b a.e ");
    cfg_buf_finish(&all.text);
    cfg_buf_finish(&two.text);
    cJSON_Delete(doc);
}

Test(path, near_miss)
{
    static const char *const names[] = {"sampling.temperature", "sampling.top_p", "batch_size"};
    cr_assert_str_eq(cfg_near_miss("sampling.temprature", names, 3), "sampling.temperature");
    cr_assert_str_eq(cfg_near_miss("sampling.pot_p", names, 3), "sampling.top_p");
    cr_assert_str_eq(cfg_near_miss("bacth_size", names, 3), "batch_size");
    cr_assert_null(cfg_near_miss("learning_rate", names, 3));
    cr_assert_null(cfg_near_miss("x", names, 3));
    cr_assert_null(cfg_near_miss("batch_size", names, 0));
}
