/* Command lines by table: what is taken, what is refused and how it is said. */
#include "worker/args.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const char *text;
    unsigned few, any;
    uint64_t many;
    int64_t within;
    bool on;
    char said[64];
};

static int take_word(void *options, const char *value, struct cfg_error *err)
{
    struct options *o = options;
    if (strlen(o->said) + strlen(value) >= sizeof o->said)
        return cfg_fail(err, CFG_E_LIMIT, "\"%s\" is too much", value);
    memcpy(o->said + strlen(o->said), value, strlen(value) + 1);
    return 0;
}

static const struct cfg_arg rows[] = {
    {"--text", "TEXT…", CFG_ARG(struct options, text), "a text"},
    {"--few", "N", CFG_ARG_WITHIN(struct options, few, 2, 9), "few"},
    {"--any", "N", CFG_ARG(struct options, any), "any"},
    {"--many", "N", CFG_ARG(struct options, many), "many"},
    {"--within", "N", CFG_ARG_WITHIN(struct options, within, 1, 1000), "bounded"},
    {"--on", NULL, CFG_ARG(struct options, on), "on"},
    {"--word", "WORD", CFG_ARG_CALL(take_word), "a word more"},
};
static const struct cfg_args table = {"prog", "does it", "That is all.\n", rows, sizeof rows / sizeof rows[0]};

static int read_words(struct options *o, struct cfg_error *err, size_t n, const char *const *words)
{
    char *argv[16] = {(char *)(uintptr_t) "prog"};
    for (size_t i = 0; i < n; i++)
        argv[i + 1] = (char *)(uintptr_t)words[i];
    *o = (struct options){.any = 7};
    *err = (struct cfg_error)CFG_ERROR_INIT;
    return cfg_args_read(o, &table, (int)n + 1, argv, err);
}
#define READ(o, err, ...) \
    read_words(o, err, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

Test(args, every_kind_in_both_forms)
{
    struct options o;
    struct cfg_error err;
    cr_assert_eq(READ(&o, &err, "--text", "--few", "--few=9", "--many", "9223372036854775807", "--within=1", "--on",
                      "--word", "a", "--word=b=c"),
                 0, "%s", err.text);
    cr_expect_str_eq(o.text, "--few", "whatever follows is the value");
    cr_expect(o.few == 9 && o.any == 7 && o.many == INT64_MAX && o.within == 1 && o.on);
    cr_expect_str_eq(o.said, "ab=c");
    cr_assert_eq(READ(&o, &err, "--text=", "--few", "2", "--few", "3"), 0);
    cr_expect_str_eq(o.text, "");
    cr_expect_eq(o.few, 3U, "the last holds");
    cr_expect(!o.on);
}

Test(args, what_is_wrong_is_said)
{
    static const struct {
        const char *words[2], *text, *hint;
    } cases[] = {
        {{"--fwe", "3"}, "unknown option --fwe", "did you mean --few?"},
        {{"zzzzzz"}, "unknown option zzzzzz", "see prog --help"},
        {{""}, "unknown option ", "see prog --help"},
        {{"--few"}, "--few needs a value: --few N", ""},
        {{"--on=yes"}, "--on takes no value", ""},
        {{"--few", "1"}, "--few 1: expected a number from 2 to 9", ""},
        {{"--few", "10"}, "--few 10: expected a number from 2 to 9", ""},
        {{"--within=1001"}, "--within 1001: expected a number from 1 to 1000", ""},
        {{"--any", "4294968"}, "--any 4294968: expected a number from 0 to 4294967", ""},
        {{"--many=9223372036854775808"},
         "--many 9223372036854775808: expected a number from 0 to 9223372036854775807",
         ""},
        {{"--many", "99999999999999999999"},
         "--many 99999999999999999999: expected a number from 0 to 9223372036854775807",
         ""},
        {{"--few", "-3"}, "--few -3: expected a number from 2 to 9", ""},
        {{"--few", " 3"}, "--few  3: expected a number from 2 to 9", ""},
        {{"--few", "3x"}, "--few 3x: expected a number from 2 to 9", ""},
        {{"--few="}, "--few : expected a number from 2 to 9", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options o;
        struct cfg_error err;
        cr_expect_eq(read_words(&o, &err, cases[i].words[1] != NULL ? 2 : 1, cases[i].words), CFG_E_INVALID);
        cr_expect_str_eq(err.text, cases[i].text);
        cr_expect_str_eq(err.hint, cases[i].hint);
    }
}

Test(args, a_function_says_why_behind_the_options_name)
{
    char longer[80] = "";
    memset(longer, 'x', sizeof longer - 1);
    struct options o;
    struct cfg_error err;
    cr_assert_eq(READ(&o, &err, "--on", "--word", longer), CFG_E_LIMIT);
    cr_expect_not_null(strstr(err.text, "--word: \"xxx"), "%s", err.text);
    cr_expect(o.on, "what came before is there to be finished");
    cr_assert_eq(READ(&o, &err, longer), CFG_E_INVALID, "longer than any name");
}

Test(args, help_is_aligned_by_characters)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    cr_assert_not_null(out);
    cfg_args_help(out, &table);
    (void)fclose(out);
    cr_expect_str_eq(text, "prog: does it\n\n"
                           "  --text TEXT…  a text\n"
                           "  --few N       few\n"
                           "  --any N       any\n"
                           "  --many N      many\n"
                           "  --within N    bounded\n"
                           "  --on          on\n"
                           "  --word WORD   a word more\n"
                           "\nThat is all.\n");
    free(text);
}
