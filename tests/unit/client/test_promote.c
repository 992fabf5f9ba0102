/* Which values move between two documents, and which do not. */
#include "client/cfgctl/promote.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static cJSON *tree(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s: %s", text, err.text);
    return v;
}

struct options {
    bool prune, change_type;
};

static int promote(const char *from, const char *to, const char *keys, const char *except, struct options o, char *out,
                   size_t room, struct cfg_error *err)
{
    cJSON *f = tree(from), *t = tree(to), *k = tree(keys), *e = tree(except), *result = NULL;
    const struct promote p = {f, t, k, e, o.prune, o.change_type};
    int rc = promote_values(&result, &p, err);
    struct cfg_buf text;
    cfg_buf_init(&text, 4096);
    if (rc == 0) {
        cfg_json_canonical(&text, result);
        (void)snprintf(out, room, "%s", text.data);
    }
    cfg_buf_finish(&text);
    cJSON_Delete(result);
    cJSON_Delete(f);
    cJSON_Delete(t);
    cJSON_Delete(k);
    cJSON_Delete(e);
    return rc;
}

static void gives(const char *from, const char *to, const char *keys, const char *except, struct options o,
                  const char *wanted)
{
    struct cfg_error err;
    char out[1024];
    int rc = promote(from, to, keys, except, o, out, sizeof out, &err);
    cr_assert_eq(rc, 0, "%s", rc ? err.text : "");
    cr_assert_str_eq(out, wanted);
}

static void refuses(int code, const char *from, const char *to, const char *keys, const char *except, struct options o,
                    const char *says)
{
    struct cfg_error err;
    char out[1024];
    cr_assert_eq(promote(from, to, keys, except, o, out, sizeof out, &err), code, "%s", keys);
    cr_assert(strstr(err.text, says) || strstr(err.hint, says), "%s · %s has no %s", err.text, err.hint, says);
}

static const struct options plain = {false, false}, prune = {true, false}, retype = {false, true};

Test(promote, everything_but_what_is_excepted)
{
    gives("{\"a\":1,\"b\":{\"c\":2,\"d\":[1]}}", "{\"a\":0,\"z\":9}", "[]", "[]", plain,
          "{\"a\":1,\"b\":{\"c\":2,\"d\":[1]},\"z\":9}");
    gives("{\"a\":1,\"b\":{\"c\":2,\"d\":3}}", "{\"b\":{\"c\":0}}", "[]", "[\"b.c\",\"a\"]", plain,
          "{\"b\":{\"c\":0,\"d\":3}}");
    gives("{\"ab\":1,\"a\":2}", "{}", "[]", "[\"a\"]", plain, "{\"ab\":1}");
    gives("{\"a\":null,\"e\":{}}", "{\"a\":1}", "[]", "[]", plain, "{\"a\":null,\"e\":{}}");
}

Test(promote, keys_take_what_is_below_them)
{
    gives("{\"a\":1,\"b\":{\"c\":2,\"d\":{\"e\":3}}}", "{\"b\":{\"x\":1}}", "[\"b.d\"]", "[]", plain,
          "{\"b\":{\"d\":{\"e\":3},\"x\":1}}");
    gives("{\"b\":{\"c\":2}}", "{\"b\":{\"c\":1,\"x\":1}}", "[\"b\",\"b.c\"]", "[]", plain,
          "{\"b\":{\"c\":2,\"x\":1}}");
    gives("{\"l\":[1,2]}", "{\"l\":[9,9]}", "[\"l[0]\"]", "[]", plain, "{\"l\":[1,9]}");
}

Test(promote, prune_removes_what_the_source_does_not_have)
{
    gives("{\"a\":{\"b\":1}}", "{\"a\":{\"b\":0,\"old\":{\"x\":1}},\"other\":1}", "[\"a\"]", "[]", prune,
          "{\"a\":{\"b\":1},\"other\":1}");
    gives("{\"a\":1}", "{\"a\":1,\"keep\":1,\"go\":1}", "[]", "[\"keep\"]", prune, "{\"a\":1,\"keep\":1}");
    gives("{\"a\":1}", "{\"a\":1,\"go\":{\"x\":1,\"y\":2}}", "[\"go\"]", "[]", prune, "{\"a\":1}");
    gives("{\"a\":{}}", "{\"a\":{\"x\":1}}", "[]", "[]", prune, "{\"a\":{}}");
}

Test(promote, types_change_only_when_told)
{
    refuses(CFG_E_TYPE_CHANGE, "{\"a\":{\"b\":\"x\"}}", "{\"a\":{\"b\":1}}", "[]", "[]", plain,
            "a.b changes its JSON type, from number to string");
    refuses(CFG_E_TYPE_CHANGE, "{\"a\":{\"b\":1}}", "{\"a\":5}", "[]", "[]", plain, "from number to object");
    refuses(CFG_E_TYPE_CHANGE, "{\"a\":1}", "{\"a\":{\"b\":1}}", "[]", "[]", plain, "--except a");
    gives("{\"a\":{\"b\":1}}", "{\"a\":5}", "[]", "[]", retype, "{\"a\":{\"b\":1}}");
    gives("{\"a\":1}", "{\"a\":{\"b\":1}}", "[]", "[]", retype, "{\"a\":1}");
    gives("{\"a\":1}", "{\"a\":null}", "[]", "[]", plain, "{\"a\":1}");
}

Test(promote, unknown_keys_have_a_near_miss)
{
    refuses(CFG_E_UNKNOWN_KEY, "{\"sampling\":{\"top_k\":1}}", "{}", "[\"sampling.topk\"]", "[]", plain,
            "did you mean sampling.top_k?");
    refuses(CFG_E_UNKNOWN_KEY, "{\"sampling\":{\"top_k\":1}}", "{}", "[\"samplng\"]", "[]", plain,
            "did you mean sampling?");
    refuses(CFG_E_UNKNOWN_KEY, "{\"a\":1}", "{\"secret\":1}", "[]", "[\"secrt\"]", plain, "did you mean secret?");
    refuses(CFG_E_UNKNOWN_KEY, "{\"a\":1}", "{\"b\":1}", "[\"b\"]", "[]", plain, "has no b");
    refuses(CFG_E_ADDRESS, "{\"a\":1}", "{}", "[\"a..b\"]", "[]", plain, "");
    refuses(CFG_E_ADDRESS, "{\"a\":[1]}", "{}", "[]", "[\"a[0]\"]", plain, "whole");
}
