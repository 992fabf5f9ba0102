/* cfg-infer's pure parts: stop sequences, text from bytes, what a request may say, who runs next, the command line. */
#include "worker/cfg-infer/ask.h"
#include "worker/cfg-infer/openai.h"
#include "worker/cfg-infer/options.h"
#include "worker/cfg-infer/sched.h"
#include "worker/cfg-infer/stops.h"
#include "worker/cfg-infer/text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return v;
}

/* --- stop sequences --- */

static int read_stops(struct cfg_stops *s, const char *text, struct cfg_error *err)
{
    cJSON *v = json(text);
    int rc = cfg_stops_read(s, v, "stop", err);
    cJSON_Delete(v);
    return rc;
}

static unsigned match(const struct cfg_stops *s, const char *text)
{
    return cfg_stops_match(s, (const unsigned char *)text, strlen(text));
}

static unsigned hold(const struct cfg_stops *s, const char *text)
{
    return cfg_stops_hold(s, (const unsigned char *)text, strlen(text));
}

Test(stops, what_may_become_one_is_held)
{
    struct cfg_stops s;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(read_stops(&s, "[\"abc\",\"xyzw\"]", &err), 0);
    cr_expect_eq(hold(&s, "-a"), 1U);
    cr_expect_eq(hold(&s, "-ab"), 2U, "all but the last byte");
    cr_expect_eq(hold(&s, "-xyz"), 3U);
    cr_expect_eq(hold(&s, "-abx"), 1U);
    cr_expect_eq(hold(&s, "-ab-"), 0U);
    cr_expect_eq(hold(&s, "ab"), 2U, "also where it is all there is");
    cr_assert_eq(read_stops(&s, "\"a\"", &err), 0);
    cr_expect_eq(hold(&s, "-a"), 0U, "one byte never waits");
}

Test(stops, forms)
{
    struct cfg_stops s;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(read_stops(&s, "null", &err), 0);
    cr_assert_eq(s.n, 0U);
    cr_assert_eq(read_stops(&s, "[]", &err), 0);
    cr_assert_eq(s.n, 0U);
    cr_assert_eq(read_stops(&s, "\"a\\u0000b\"", &err), 0);
    cr_assert_eq(s.of[0].len, 3U);
    cr_assert_eq(memcmp(s.of[0].bytes, "a\0b", 3), 0);
    cr_assert_eq(read_stops(&s, "[\"a\",\"bc\",\"d\",\"e\"]", &err), 0);
    cr_assert_eq(s.n, 4U);
    static const char *const bad[] = {"\"\"", "7",     "[1]", "[[\"a\"]]", "[\"a\",\"b\",\"c\",\"d\",\"e\"]",
                                      "{}",   "[null]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(read_stops(&s, bad[i], &err), CFG_E_INVALID, "%s", bad[i]);
        cr_expect_str_eq(err.path, "stop");
        cr_expect_eq(s.n, 4U, "untouched");
    }
}

Test(stops, the_longest_that_the_text_ends_with)
{
    struct cfg_stops s;
    cr_assert_eq(read_stops(&s, "[\"b\",\"ab\",\"xyz\"]", NULL), 0);
    cr_assert_eq(match(&s, "aab"), 2U);
    cr_assert_eq(match(&s, "b"), 1U);
    cr_assert_eq(match(&s, "ba"), 0U);
    cr_assert_eq(match(&s, ""), 0U);
    cr_assert_eq(match(&s, "xyz"), 3U);
}

/* Whatever is shown before a stop sequence is complete must not be part of one: against all texts over two letters. */
Test(stops, what_is_held_is_exactly_what_may_become_one)
{
    struct cfg_stops s;
    cr_assert_eq(read_stops(&s, "[\"abab\",\"bb\"]", NULL), 0);
    for (unsigned bits = 0; bits < 1U << 8; bits++) {
        char text[9] = "";
        for (unsigned i = 0; i < 8; i++) {
            text[i] = (bits >> i & 1U) != 0 ? 'b' : 'a';
        }
        unsigned want = 0;
        for (unsigned n = 1; n <= 3; n++) {
            const char *end = text + 8 - n;
            want = strncmp(end, "abab", n) == 0 || (n == 1 && strncmp(end, "bb", n) == 0) ? n : want;
        }
        cr_expect_eq(hold(&s, text), want, "%s: held %u, not %u", text, hold(&s, text), want);
    }
    cr_assert_eq(hold(&s, "a"), 1U);
}

/* --- text --- */

static void expect_text(const char *bytes, size_t len, bool last, const char *want, size_t taken)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1024);
    size_t n = cfg_text_put(&b, (const unsigned char *)bytes, len, last);
    cr_expect_eq(n, taken, "took %zu, not %zu", n, taken);
    cr_expect_str_eq(b.data != NULL ? b.data : "", want);
    cfg_buf_finish(&b);
}

#define R "\xEF\xBF\xBD"

Test(text, whole_characters_go_out_and_half_ones_wait)
{
    expect_text("abc", 3, false, "abc", 3);
    expect_text("a\xC3", 2, false, "a", 1);
    expect_text("a\xC3\xA4", 3, false, "a\xC3\xA4", 3);
    expect_text("\xF0\x9F\x98", 3, false, "", 0);
    expect_text("\xF0\x9F\x98", 3, true, R, 3);
    expect_text("\xF0\x9F\x98\x80", 4, false, "\xF0\x9F\x98\x80", 4);
    expect_text("a\0b", 3, false, "a\xC0\x80\x62", 3);
}

/* As Python's and browsers' decoders: one replacement per maximal subpart (Unicode, table 3-8 and its neighbours). */
Test(text, what_is_no_character_is_replaced)
{
    expect_text("\x80", 1, false, R, 1);
    expect_text("\xFF"
                "a",
                2, false, R "a", 2);
    expect_text("\xC3"
                "a",
                2, false, R "a", 2);
    expect_text("\xC0\xAF", 2, false, R R, 2);
    expect_text("\xE0\x80\xBF", 3, false, R R R, 3);
    expect_text("\xED\xA0\x80", 3, false, R R R, 3);
    expect_text("\xF4\x91\x92\x93", 4, false, R R R R, 4);
    expect_text("\xF0\x80\x80\x41", 4, false, R R R "A", 4);
    expect_text("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9, false, R R R R "A", 9);
}

Test(text, bytes_of_a_string)
{
    unsigned char out[4];
    cJSON *v = json("\"a\\u0000b\"");
    cr_assert_eq(cfg_text_bytes(out, sizeof out, v->valuestring), 3U);
    cr_assert_eq(memcmp(out, "a\0b", 3), 0);
    cr_assert_eq(cfg_text_bytes(out, 1, v->valuestring), 3U, "tells how many there are");
    cJSON_Delete(v);
}

/* --- what a request may say --- */

static int read_ask(struct cfg_ask *a, const char *text, struct cfg_error *err)
{
    cJSON *v = json(text);
    *err = (struct cfg_error)CFG_ERROR_INIT;
    int rc = cfg_ask_read(a, v, err);
    cJSON_Delete(v);
    return rc;
}

Test(ask, everything_that_means_something)
{
    struct cfg_ask a;
    struct cfg_error err;
    cr_assert_eq(
        read_ask(&a,
                 "{\"model\":\"m\",\"prompt\":[\"p\\u0000q\"],\"max_tokens\":5,\"temperature\":0.5,\"top_p\":1,"
                 "\"top_k\":3,\"stop\":\"x\",\"seed\":-1,\"stream\":true,\"stream_options\":{\"include_usage\":"
                 "true,\"include_obfuscation\":false},\"user\":\"u\",\"context\":{\"a\":1},\"n\":1,\"best_of\":1,"
                 "\"logprobs\":null,\"echo\":false,\"suffix\":null,\"logit_bias\":{},\"presence_penalty\":0,"
                 "\"frequency_penalty\":0.0}",
                 &err),
        0, "%s", err.text);
    cr_assert_str_eq(a.model, "m");
    cr_assert_eq(a.prompt_len, 3U);
    cr_assert(a.stream && a.include_usage && a.has_seed && a.has_stop);
    cr_assert_eq(a.seed, UINT64_MAX);
    cr_assert(a.knobs[CFG_KNOB_TEMPERATURE].set && a.knobs[CFG_KNOB_TOP_K].set);
    cr_assert_float_eq(a.knobs[CFG_KNOB_MAX_TOKENS].value, 5, 0);
    cfg_ask_finish(&a);
}

Test(ask, null_counts_as_absent)
{
    struct cfg_ask a;
    struct cfg_error err;
    cr_assert_eq(
        read_ask(&a, "{\"prompt\":\"p\",\"temperature\":null,\"stop\":null,\"stream_options\":null,\"n\":null}", &err),
        0);
    cr_assert(!a.knobs[CFG_KNOB_TEMPERATURE].set && !a.has_stop && !a.stream);
    cfg_ask_finish(&a);
}

Test(ask, each_wrong_parameter_is_named)
{
    static const struct {
        const char *text, *param, *says;
    } cases[] = {
        {"{}", "prompt", "required"},
        {"{\"prompt\":\"\"}", "prompt", "empty"},
        {"{\"prompt\":7}", "prompt", "string"},
        {"{\"prompt\":[\"a\",\"b\"]}", "prompt", "arrays"},
        {"{\"prompt\":[1,2]}", "prompt", "tokens"},
        {"{\"prompt\":\"a\",\"max_tokens\":0}", "max_tokens", "1 to 4096"},
        {"{\"prompt\":\"a\",\"max_tokens\":4097}", "max_tokens", "1 to 4096"},
        {"{\"prompt\":\"a\",\"max_tokens\":1.5}", "max_tokens", "integer"},
        {"{\"prompt\":\"a\",\"max_tokens\":\"5\"}", "max_tokens", "integer"},
        {"{\"prompt\":\"a\",\"temperature\":2.1}", "temperature", "0 to 2"},
        {"{\"prompt\":\"a\",\"temperature\":-0.1}", "temperature", "0 to 2"},
        {"{\"prompt\":\"a\",\"top_p\":1.1}", "top_p", "0 to 1"},
        {"{\"prompt\":\"a\",\"top_k\":257}", "top_k", "256"},
        {"{\"prompt\":\"a\",\"stop\":[1]}", "stop", "string"},
        {"{\"prompt\":\"a\",\"seed\":0.5}", "seed", "integer"},
        {"{\"prompt\":\"a\",\"stream\":1}", "stream", "true or false"},
        {"{\"prompt\":\"a\",\"stream_options\":{\"include_usage\":true}}", "stream_options", "stream"},
        {"{\"prompt\":\"a\",\"stream\":true,\"stream_options\":{\"x\":true}}", "stream_options", "include_usage"},
        {"{\"prompt\":\"a\",\"user\":\"\"}", "user", "not empty"},
        {"{\"prompt\":\"a\",\"context\":[]}", "context", "object"},
        {"{\"prompt\":\"a\",\"context\":{\"targetingKey\":1}}", "context", "targetingKey"},
        {"{\"prompt\":\"a\",\"user\":\"u\",\"context\":{\"targetingKey\":\"v\"}}", "context", "targetingKey"},
        {"{\"prompt\":\"a\",\"n\":2}", "n", "not supported"},
        {"{\"prompt\":\"a\",\"best_of\":3}", "best_of", "not supported"},
        {"{\"prompt\":\"a\",\"logprobs\":1}", "logprobs", "not supported"},
        {"{\"prompt\":\"a\",\"echo\":true}", "echo", "not supported"},
        {"{\"prompt\":\"a\",\"suffix\":\"x\"}", "suffix", "not supported"},
        {"{\"prompt\":\"a\",\"logit_bias\":{\"5\":1}}", "logit_bias", "not supported"},
        {"{\"prompt\":\"a\",\"presence_penalty\":0.1}", "presence_penalty", "not supported"},
        {"{\"prompt\":\"a\",\"max_tokns\":1}", "max_tokns", "no such"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cfg_ask a;
        struct cfg_error err;
        cr_expect_eq(read_ask(&a, cases[i].text, &err), CFG_E_INVALID, "%s", cases[i].text);
        cr_expect_str_eq(err.path, cases[i].param, "%s: %s", cases[i].text, err.path);
        cr_expect(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].text, err.text);
        cr_expect_eq(cfg_openai_status(&err), 400);
    }
    struct cfg_error err;
    struct cfg_ask a;
    cr_assert_eq(read_ask(&a, "{\"prompt\":\"a\",\"max_tokns\":1}", &err), CFG_E_INVALID);
    cr_assert_not_null(strstr(err.hint, "max_tokens"));
    cr_assert_eq(read_ask(&a, "[]", &err), CFG_E_INVALID);
}

Test(ask, a_long_prompt)
{
    for (int more = 0; more < 2; more++) {
        struct cfg_ask a;
        struct cfg_error err = CFG_ERROR_INIT;
        char *prompt = malloc((size_t)CFG_PROMPT_MAX + 2);
        cr_assert_not_null(prompt);
        memset(prompt, 'x', CFG_PROMPT_MAX + 1);
        prompt[CFG_PROMPT_MAX + more] = '\0';
        cJSON *body = cJSON_CreateObject();
        cr_assert_eq(cfg_json_set(body, "prompt", cJSON_CreateString(prompt)), 0);
        cr_assert_eq(cfg_ask_read(&a, body, &err), more ? CFG_E_LIMIT : 0);
        if (more) {
            cr_assert_str_eq(err.path, "prompt");
            cr_assert_eq(cfg_openai_status(&err), 400);
        } else {
            cfg_ask_finish(&a);
        }
        cJSON_Delete(body);
        free(prompt);
    }
}

/* --- who runs next --- */

enum { MANY = 64 };
static struct cfg_sched sched;
static struct cfg_sched_entry entries[MANY];

static void setup(void)
{
    memset(entries, 0, sizeof entries);
    cfg_sched_init(&sched, 16);
}

static void teardown(void)
{
    cfg_sched_finish(&sched);
}

TestSuite(sched, .init = setup, .fini = teardown);

static int submit(unsigned i, const char *tenant)
{
    return cfg_sched_submit(&sched, &entries[i], tenant, 4, 1000, NULL);
}

/* The numbers of those that run, in order. */
static const char *running(unsigned cap)
{
    static char text[256];
    size_t n = 0;
    text[0] = '\0';
    for (struct cfg_sched_entry *e = cfg_sched_plan(&sched, cap); e != NULL; e = e->next) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", n > 0 ? " " : "", (int)(e - entries));
    }
    return text;
}

Test(sched, one_tenant_is_served_in_order)
{
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(submit(i, ""), 0);
    }
    cr_assert_str_eq(running(4), "0 1 2 3");
    cr_assert_eq(sched.n_waiting, 2U);
    cfg_sched_remove(&sched, &entries[1]);
    cr_assert_str_eq(running(4), "0 2 3 4");
    cfg_sched_remove(&sched, &entries[5]); /* one that waits */
    cfg_sched_remove(&sched, &entries[5]); /* and again: not here */
    cfg_sched_remove(&sched, &entries[0]);
    cr_assert_str_eq(running(4), "2 3 4");
    cr_assert_eq(sched.n_running, 3U);
}

Test(sched, a_smaller_cap_drains_and_drops_nobody)
{
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(submit(i, ""), 0);
    }
    cr_assert_str_eq(running(8), "0 1 2 3 4 5 6 7");
    cr_assert_str_eq(running(2), "0 1 2 3 4 5 6 7", "what runs above the new cap finishes");
    cr_assert(cfg_sched_draining(&sched, 2));
    for (unsigned i = 0; i < 6; i++) {
        cfg_sched_remove(&sched, &entries[i]);
    }
    cr_assert_str_eq(running(2), "6 7", "and nobody comes in before there is a place");
    cr_assert(!cfg_sched_draining(&sched, 2));
    cfg_sched_remove(&sched, &entries[6]);
    cr_assert_str_eq(running(2), "7 8");
}

Test(sched, never_above_the_capacity)
{
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(submit(i, ""), 0);
    }
    (void)cfg_sched_plan(&sched, 1000);
    cr_assert_eq(sched.n_running, 16U);
}

Test(sched, a_flood_delays_the_one_who_floods)
{
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(submit(i, "loud"), 0);
    }
    cr_assert_str_eq(running(4), "0 1 2 3");
    cr_assert_eq(submit(20, "quiet"), 0);
    cr_assert_eq(submit(21, "calm"), 0);
    cfg_sched_remove(&sched, &entries[0]);
    cr_assert_str_eq(running(4), "1 2 3 20", "before sixteen that came earlier");
    cfg_sched_remove(&sched, &entries[1]);
    cr_assert_str_eq(running(4), "2 3 20 21");
    cfg_sched_remove(&sched, &entries[2]);
    cr_assert_str_eq(running(4), "3 20 21 4", "nobody else waits: the place is used");
}

/* Of tenants with equally much, the one that was served the longest ago: nobody starves, whatever the order of names.
 */
Test(sched, turns)
{
    static const char *const tenants[] = {"a", "b", "c"};
    for (unsigned i = 0; i < 9; i++) {
        cr_assert_eq(submit(i, tenants[i % 3]), 0);
    }
    unsigned served[9], n = 0;
    while (n < 9) {
        struct cfg_sched_entry *e = cfg_sched_plan(&sched, 1);
        cr_assert_eq(sched.n_running, 1U);
        served[n++] = (unsigned)(e - entries);
        cfg_sched_remove(&sched, e);
    }
    for (unsigned round = 0; round < 3; round++) {
        unsigned seen = 0;
        for (unsigned i = 0; i < 3; i++) {
            seen |= 1U << (served[round * 3 + i] % 3);
            cr_expect_eq(served[round * 3 + i] / 3, round, "oldest first within a tenant");
        }
        cr_expect_eq(seen, 7U, "each tenant once per round");
    }
}

/* Names that were not seen before come all the time, and none of them passes one that waits. */
Test(sched, new_tenants_do_not_pass_one_that_waits)
{
    cr_assert_eq(submit(0, "first"), 0);
    cr_assert_str_eq(running(1), "0");
    for (unsigned i = 1; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "new%u", i);
        cr_assert_eq(submit(i, name), 0);
    }
    cr_assert_eq(submit(20, "first"), 0);
    for (unsigned i = 0; i <= 20; i++) {
        struct cfg_sched_entry *e = cfg_sched_plan(&sched, 1);
        cr_expect_eq(e, &entries[i], "%d in place of %u", (int)(e - entries), i);
        cfg_sched_remove(&sched, e);
    }
}

Test(sched, the_queue_has_a_limit)
{
    struct cfg_error err = CFG_ERROR_INIT;
    for (unsigned i = 0; i < 6; i++) { /* 4 places are free, 2 may wait */
        cr_assert_eq(cfg_sched_submit(&sched, &entries[i], "", 4, 2, &err), 0);
    }
    cr_assert_eq(cfg_sched_submit(&sched, &entries[6], "other", 4, 2, &err), CFG_E_RATE);
    (void)cfg_sched_plan(&sched, 4);
    cr_assert_eq(cfg_sched_submit(&sched, &entries[6], "", 4, 2, &err), CFG_E_RATE);
    cfg_sched_remove(&sched, &entries[0]);
    cr_assert_eq(cfg_sched_submit(&sched, &entries[6], "", 4, 2, &err), 0);
    cr_assert_eq(cfg_sched_submit(&sched, &entries[7], "", 0, 0, &err), CFG_E_RATE);
}

static bool is_odd(const struct cfg_sched_entry *e)
{
    return (e - entries) % 2 != 0;
}

Test(sched, leaving_frees_places_wherever_one_is)
{
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(submit(i, i < 7 ? "a" : "b"), 0);
    }
    (void)cfg_sched_plan(&sched, 3);
    unsigned n = 0;
    for (struct cfg_sched_entry *e = cfg_sched_sweep(&sched, is_odd); e != NULL; e = e->next) {
        n++;
    }
    cr_assert_eq(n, 4U);
    cr_assert_eq(sched.n_running + sched.n_waiting, 4U);
    cr_assert_eq(strlen(running(4)), strlen("0 2 4 6"));
}

Test(sched, buckets)
{
    uint32_t b[16];
    cr_assert_eq(cfg_sched_buckets(b, 16, 1), 1U);
    cr_assert_eq(b[0], 1U);
    cr_assert_eq(cfg_sched_buckets(b, 16, 64), 7U);
    cr_assert_eq(b[6], 64U);
    cr_assert_eq(cfg_sched_buckets(b, 16, 20), 6U);
    cr_assert(b[4] == 16 && b[5] == 20);
    cr_assert_eq(cfg_sched_buckets(b, 3, 64), 3U);
    cr_assert_eq(b[2], 64U, "the capacity is always among them");
}

/* --- options --- */

static int read_options(struct cfg_infer_options *o, struct cfg_error *err, const char *a, const char *b)
{
    char *argv[] = {(char *)(uintptr_t) "cfg-infer", (char *)(uintptr_t)a, (char *)(uintptr_t)b, NULL};
    *err = (struct cfg_error)CFG_ERROR_INIT;
    return cfg_infer_options_read(o, b != NULL ? 3 : 2, argv, err);
}

Test(options, every_form)
{
    struct cfg_infer_options o;
    struct cfg_error err;
    cr_assert_eq(read_options(&o, &err, "--steps", "12"), 0);
    cr_assert_eq(o.steps, 12U);
    cr_assert_eq(o.max_batch, 64);
    cr_assert_eq(read_options(&o, &err, "--listen=127.0.0.1:0", "--quiet"), 0);
    cr_assert_str_eq(o.listen, "127.0.0.1:0");
    cr_assert(o.quiet);
    cr_assert_eq(read_options(&o, &err, "--step", "1"), CFG_E_INVALID);
    cr_assert_not_null(strstr(err.hint, "--step"), "%s", err.hint);
    cr_assert_eq(read_options(&o, &err, "--steps", "x"), CFG_E_INVALID);
    cr_assert_eq(read_options(&o, &err, "--steps", "-1"), CFG_E_INVALID);
    cr_assert_eq(read_options(&o, &err, "--steps", NULL), CFG_E_INVALID);
    cr_assert_eq(read_options(&o, &err, "--max-batch", "0"), CFG_E_INVALID);
    cr_assert_eq(read_options(&o, &err, "--max-batch", "257"), CFG_E_INVALID);
}
