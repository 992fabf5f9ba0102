/* OFREP as values: what requests may look like, what replies say, and when an entity tag is another. */
#include "configd/ofrep.h"
#include "hub_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fixture f;
static struct cfg_flag_spaces *spaces;
static char reply[1 << 16], etag[CFG_OFREP_ETAG];

#define DEFINITION(rest) "{\"definition\":{\"state\":\"ENABLED\"," rest "}}"
#define ON_OFF           "\"variants\":{\"on\":true,\"off\":false}"

static void put(const char *name, const char *body)
{
    static uint64_t version; /* of all flags together: versions of one only ever rise */
    fixture_put(&f, CFG_KIND_FLAG, "experiment", name, ++version, body);
}

static void setup(void)
{
    fixture_init(&f);
    cr_assert_eq(cfg_flag_spaces_new(&spaces, f.store, NULL), 0);
    put("static", DEFINITION(ON_OFF ",\"defaultVariant\":\"on\""));
    put("split",
        DEFINITION(ON_OFF ",\"defaultVariant\":\"off\",\"targeting\":{\"fractional\":[[\"on\",50],[\"off\",50]]}"));
    put("timed", DEFINITION(ON_OFF ",\"defaultVariant\":\"off\",\"targeting\":{\"if\":[{\">=\":[{\"var\":"
                                   "\"$flagd.timestamp\"},1000]},\"on\"]}"));
}

static void teardown(void)
{
    cfg_flag_spaces_free(spaces);
    fixture_finish(&f);
}

TestSuite(ofrep, .init = setup, .fini = teardown);

static void take(struct cfg_buf *out)
{
    cr_assert_eq(cfg_buf_status(out), 0);
    cr_assert(out->len < sizeof reply);
    memcpy(reply, out->data, out->len + 1);
    cfg_buf_finish(out);
}

/* The status of a single evaluation; its body is in `reply`. */
static int ask_at(int64_t when, const char *key, const char *body)
{
    struct cfg_ofrep_request r = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf out;
    int status = 400;
    cfg_buf_init(&out, 1 << 20);
    const char *code = cfg_ofrep_request_read(&r, cfg_slice_str(body), when, &err);
    if (code)
        cfg_ofrep_put_failure(&out, key, code, err.text);
    else
        status = cfg_ofrep_put_flag(&out, cfg_flag_spaces_get(spaces, "experiment"), key, &r);
    cfg_ofrep_request_finish(&r);
    take(&out);
    return status;
}

static int ask(const char *key, const char *body)
{
    return ask_at(0, key, body);
}

/* A bulk evaluation: its tag, its body in `reply`. */
static const char *bulk(int64_t when, const char *body)
{
    struct cfg_ofrep_request r = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    cr_assert_null(cfg_ofrep_request_read(&r, cfg_slice_str(body), when, &err), "%s", err.text);
    const struct cfg_flag_space *space = cfg_flag_spaces_get(spaces, "experiment");
    cr_assert_eq(cfg_ofrep_put_bulk(&out, etag, space, &r, &err), 0);
    cfg_ofrep_put_bulk_end(&out, "http://h/ofrep/v1", (struct cfg_rev){1, 7});
    cfg_ofrep_request_finish(&r);
    take(&out);
    cJSON *tree = NULL;
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(reply), 0, &err), 0, "%s: %s", err.text, reply);
    cJSON_Delete(tree);
    return etag;
}

static char *another(const char *tag)
{
    char *copy = strdup(tag);
    cr_assert_not_null(copy);
    return copy;
}

Test(ofrep, answers)
{
    cr_assert_eq(ask("static", "{\"context\":{}}"), 200);
    cr_assert_str_eq(reply, "{\"key\":\"static\",\"value\":true,\"reason\":\"STATIC\",\"variant\":\"on\"}");
    cr_assert_eq(ask("split", "{\"context\":{\"targetingKey\":\"u-1\"}}"), 200);
    cr_assert(strstr(reply, "\"reason\":\"TARGETING_MATCH\"") != NULL, "%s", reply);
    cr_assert_eq(ask("timed", "{\"context\":{}}"), 200);
    cr_assert_str_eq(reply, "{\"key\":\"timed\",\"value\":false,\"reason\":\"UNKNOWN\",\"variant\":\"off\"}",
                     "the protocol has no DEFAULT");
    cr_assert_eq(ask_at(1000, "timed", "{\"context\":{}}"), 200);
    cr_assert(strstr(reply, "\"value\":true") != NULL, "%s", reply);
    cr_assert_eq(ask("nope", "{\"context\":{}}"), 404);
    cr_assert_str_eq(
        reply, "{\"key\":\"nope\",\"errorCode\":\"FLAG_NOT_FOUND\",\"errorDetails\":\"flag 'nope' was not found\"}");
}

Test(ofrep, the_code_default_has_no_value)
{
    put("off", "{\"definition\":{\"state\":\"DISABLED\"," ON_OFF ",\"defaultVariant\":\"on\"}}");
    cr_assert_eq(ask("off", "{\"context\":{}}"), 200);
    cr_assert_str_eq(reply, "{\"key\":\"off\",\"reason\":\"DISABLED\",\"variant\":\"\"}");
    put("open", DEFINITION(ON_OFF));
    cr_assert_eq(ask("open", "{\"context\":{}}"), 200);
    cr_assert_str_eq(reply, "{\"key\":\"open\",\"reason\":\"UNKNOWN\",\"variant\":\"\"}");
}

Test(ofrep, values_of_every_type)
{
    put("text", DEFINITION("\"variants\":{\"a\":\"x\\u0000\\\"y\"},\"defaultVariant\":\"a\""));
    put("whole", DEFINITION("\"variants\":{\"a\":3,\"b\":4},\"defaultVariant\":\"a\""));
    put("part", DEFINITION("\"variants\":{\"a\":3,\"b\":0.5},\"defaultVariant\":\"a\""));
    put("large", DEFINITION("\"variants\":{\"a\":1e300,\"b\":0.5},\"defaultVariant\":\"a\""));
    put("object", DEFINITION("\"variants\":{\"a\":{\"x\":[1,null]}},\"defaultVariant\":\"a\""));
    static const char *const want[][2] = {{"text", "\"x\\u0000\\\"y\""},
                                          {"whole", "3"},
                                          {"part", "3.0"},
                                          {"large", "1e+300"},
                                          {"object", "{\"x\":[1,null]}"}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        char part[64];
        (void)snprintf(part, sizeof part, "\"value\":%s,\"reason\"", want[i][1]);
        cr_assert_eq(ask(want[i][0], "{\"context\":{}}"), 200);
        cr_assert(strstr(reply, part) != NULL, "%s", reply);
    }
}

Test(ofrep, the_targeting_key_is_asked_for_where_it_decides)
{
    put("rule-first",
        DEFINITION(ON_OFF ",\"defaultVariant\":\"off\",\"targeting\":{\"if\":[{\"==\":[{\"var\":\"team\"},\"a\"]},"
                          "\"on\",{\"fractional\":[[\"on\",50],[\"off\",50]]}]}"));
    put("grouped",
        "{\"group\":{\"name\":\"g\",\"from\":0,\"to\":5000},\"off_variant\":\"off\",\"definition\":{\"state\":"
        "\"ENABLED\"," ON_OFF ",\"defaultVariant\":\"on\"}}");
    put("by-user",
        "{\"group\":{\"name\":\"g\",\"from\":0,\"to\":5000,\"by\":\"user\"},\"off_variant\":\"off\",\"definition\":{"
        "\"state\":\"ENABLED\"," ON_OFF ",\"defaultVariant\":\"on\"}}");
    put("needs",
        "{\"prerequisites\":{\"split\":\"on\"},\"off_variant\":\"off\",\"definition\":{\"state\":\"ENABLED\"," ON_OFF
        ",\"defaultVariant\":\"on\"}}");
    static const char *const keys[] = {"split", "rule-first", "grouped", "needs"};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(ask(keys[i], "{\"context\":{\"team\":\"b\"}}"), 400, "%s", reply);
        cr_assert(strstr(reply, "\"errorCode\":\"TARGETING_KEY_MISSING\"") != NULL, "%s", reply);
        cr_assert_eq(ask(keys[i], "{\"context\":{\"team\":\"b\",\"targetingKey\":\"u\"}}"), 200, "%s", reply);
    }
    cr_assert_eq(ask("rule-first", "{\"context\":{\"team\":\"a\"}}"), 200, "%s", reply);
    cr_assert_eq(ask("by-user", "{\"context\":{\"team\":\"a\"}}"), 200, "another attribute's absence is no error");
}

Test(ofrep, bad_requests)
{
    static const char *const want[][2] = {{"", "PARSE_ERROR"},
                                          {"{", "PARSE_ERROR"},
                                          {"[]", "PARSE_ERROR"},
                                          {"{\"context\":{\"a\":1,\"a\":2}}", "PARSE_ERROR"},
                                          {"{\"context\":{}} x", "PARSE_ERROR"},
                                          {"{}", "INVALID_CONTEXT"},
                                          {"{\"context\":null}", "INVALID_CONTEXT"},
                                          {"{\"context\":[1]}", "INVALID_CONTEXT"},
                                          {"{\"context\":\"u-1\"}", "INVALID_CONTEXT"},
                                          {"{\"context\":{\"targetingKey\":7}}", "INVALID_CONTEXT"},
                                          {"{\"context\":{\"targetingKey\":null}}", "INVALID_CONTEXT"}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        char code[64];
        (void)snprintf(code, sizeof code, "\"errorCode\":\"%s\"", want[i][1]);
        cr_assert_eq(ask("static", want[i][0]), 400, "%s", want[i][0]);
        cr_assert(strstr(reply, code) != NULL, "%s: %s", want[i][0], reply);
    }
}

Test(ofrep, a_depth_bomb_is_no_context)
{
    char body[4096] = "{\"context\":{\"a\":";
    size_t n = strlen(body);
    memset(body + n, '[', 1000);
    memset(body + n + 1000, ']', 1000);
    memcpy(body + n + 2000, "}}", 3);
    cr_assert_eq(ask("static", body), 400);
    cr_assert(strstr(reply, "\"errorCode\":\"INVALID_CONTEXT\"") != NULL, "%s", reply);
}

Test(ofrep, a_flag_that_does_not_compile_is_one_answer_among_others)
{
    put("bad", DEFINITION(ON_OFF ",\"targeting\":{\"nope\":[1]}"));
    put("wrong", DEFINITION(ON_OFF ",\"targeting\":{\"cat\":[\"neither\"]}"));
    cr_assert_eq(ask("bad", "{\"context\":{}}"), 400);
    cr_assert(strstr(reply, "\"errorCode\":\"PARSE_ERROR\"") && strstr(reply, "nope"), "%s", reply);
    cr_assert_eq(ask("wrong", "{\"context\":{}}"), 400);
    cr_assert(strstr(reply, "\"errorCode\":\"GENERAL\"") != NULL, "%s", reply);
    (void)bulk(0, "{\"context\":{}}");
    cr_assert(strstr(reply, "{\"key\":\"bad\",\"errorCode\":\"PARSE_ERROR\"") &&
                  strstr(reply, "{\"key\":\"static\",\"value\":true") && strstr(reply, "TARGETING_KEY_MISSING"),
              "%s", reply);
}

Test(ofrep, metadata_of_the_flag_lies_over_that_of_the_set)
{
    fixture_put(&f, CFG_KIND_EVALUATORS, "experiment", "", 1,
                "{\"evaluators\":{},\"metadata\":{\"a\":1,\"b\":\"set\"}}");
    put("meta", DEFINITION(ON_OFF ",\"defaultVariant\":\"on\",\"metadata\":{\"b\":\"flag\",\"c\":true}"));
    cr_assert_eq(ask("meta", "{\"context\":{}}"), 200);
    cr_assert(strstr(reply, "\"metadata\":{\"a\":1,\"b\":\"flag\",\"c\":true}}") != NULL, "%s", reply);
    cr_assert_eq(ask("static", "{\"context\":{}}"), 200);
    cr_assert(strstr(reply, "\"metadata\":{\"a\":1,\"b\":\"set\"}}") != NULL, "%s", reply);
    (void)bulk(0, "{\"context\":{}}");
    cr_assert(strstr(reply, "],\"metadata\":{\"version\":\"1-") &&
                  strstr(reply, ",\"a\":1,\"b\":\"set\"},\"eventStreams\":"),
              "%s", reply);
}

Test(ofrep, the_tag_changes_with_whatever_an_answer_depends_on)
{
    char *first = another(bulk(0, "{\"context\":{\"targetingKey\":\"u\",\"n\":1}}"));
    cr_assert_str_eq(bulk(0, " {\"context\" : {\"n\":1.0,\"targetingKey\":\"u\"}}"), first,
                     "the same context, spelt otherwise");
    cr_assert_str_eq(bulk(999, "{\"context\":{\"targetingKey\":\"u\",\"n\":1}}"), first, "no rule has flipped yet");
    cr_assert_str_neq(bulk(1000, "{\"context\":{\"targetingKey\":\"u\",\"n\":1}}"), first, "a time rule has flipped");
    cr_assert_str_neq(bulk(0, "{\"context\":{\"targetingKey\":\"u\",\"n\":2}}"), first,
                      "another context, the same answers");
    put("static", DEFINITION(ON_OFF ",\"defaultVariant\":\"on\",\"metadata\":{\"x\":1}"));
    char *second = another(bulk(0, "{\"context\":{\"targetingKey\":\"u\",\"n\":1}}"));
    cr_assert_str_neq(second, first, "metadata alone");
    fixture_put(&f, CFG_KIND_FLIP, "experiment", "", 1, "{\"at\":1,\"flags\":[]}");
    cr_assert_str_neq(bulk(0, "{\"context\":{\"targetingKey\":\"u\",\"n\":1}}"), second);
    free(first);
    free(second);
}

Test(ofrep, if_none_match)
{
    static const struct {
        const char *header;
        bool matches;
    } want[] = {{NULL, false},
                {"", false},
                {"*", true},
                {" * ", true},
                {"\"a\"", true},
                {"W/\"a\"", true},
                {"\"b\"", false},
                {"\"b\", \"a\"", true},
                {"\"b\",W/\"a\"", true},
                {"\"b\" , \"c\"", false},
                {"a", false},
                {"\"a", false},
                {"\"a\"b", true},
                {"\"x, \"a\"", false},
                {"*, \"b\"", false}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        cr_assert_eq(cfg_ofrep_etag_matches(want[i].header, "\"a\""), want[i].matches, "%s", want[i].header);
}

Test(ofrep, tokens)
{
    struct cfg_ofrep_token t = {{1, 57}, {0, 0}}, back;
    char text[CFG_OFREP_TOKEN];
    cr_assert_str_eq(cfg_ofrep_token_format(&t, text), "1-57");
    cr_assert(cfg_ofrep_token_parse(&back, "\"1-57\"") && back.revision.revision == 57 && back.since.epoch == 0);
    t.since = (struct cfg_rev){1, 42};
    cr_assert_str_eq(cfg_ofrep_token_format(&t, text), "1-57.1-42");
    cr_assert(cfg_ofrep_token_parse(&back, text) && back.since.revision == 42);
    static const char *const bad[] = {"", "\"", "abc", "1-57.", "1-57.x", "\"1-57", "1-57.1-42.1-3", ".1-42"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(cfg_ofrep_token_parse(&back, bad[i]), "%s", bad[i]);
}

Test(ofrep, times)
{
    static const struct {
        const char *text;
        int64_t s; /* −1: refused */
    } want[] = {{"0", 0},
                {"1771622898", 1771622898},
                {"2026-02-20T21:28:18Z", 1771622898},
                {"2026-02-20T21:28:18.5Z", 1771622898},
                {"2026-02-20T23:28:18+02:00", 1771622898},
                {"2026-02-20T20:28:18-01:00", 1771622898},
                {"", -1},
                {"-1", -1},
                {"soon", -1},
                {"2026-02-20", -1},
                {"2026-02-20T21:28:18", -1},
                {"2026-02-20T21:28:18 02:00", -1},
                {"2026-02-20T21:28:18+2:000", -1},
                {"99999999999999999999", -1}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        int64_t s = -1;
        int rc = cfg_ofrep_time_parse(&s, want[i].text, NULL);
        cr_assert_eq(s, want[i].s, "%s", want[i].text);
        cr_assert_eq(rc, want[i].s < 0 ? CFG_E_INVALID : 0, "%s", want[i].text);
    }
}

Test(ofrep, events)
{
    struct cfg_ofrep_token t = {{1, 57}, {1, 42}};
    struct cfg_bytes *b = cfg_ofrep_event(&t, 1771622898);
    cr_assert_str_eq(b->data, "event: message\nid: 1-57\ndata: {\"type\":\"refetchEvaluation\",\"etag\":\"1-57.1-42\","
                              "\"lastModified\":1771622898}\n\n");
    (void)cfg_bytes_unref(b);
}
