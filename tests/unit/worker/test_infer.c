/* cfg-infer's pure parts: sampling, the model, the batch. */
#include "worker/cfg-infer/batch.h"
#include "worker/cfg-infer/corpus.h"
#include "worker/cfg-infer/options.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double sum(const double p[CFG_SYMBOLS])
{
    double s = 0;
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        s += p[i];
    }
    return s;
}

/* --- the model --- */

static struct cfg_lm *learn(const char *text, unsigned order)
{
    struct cfg_lm *lm = NULL;
    cr_assert_eq(cfg_lm_new(&lm, text, strlen(text), order, NULL), 0);
    return lm;
}

Test(lm, probabilities_sum_to_one_in_every_context)
{
    struct cfg_lm *lm = NULL;
    cr_assert_eq(cfg_lm_new(&lm, cfg_infer_corpus, cfg_infer_corpus_len, 8, NULL), 0);
    static const char *const contexts[] = {"", "A", "\xff", "th", "Alice was ", "zqzqzqzq", "the waters", "earth.\n\n"};
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        double p[CFG_SYMBOLS];
        cfg_lm_next(lm, (const unsigned char *)contexts[i], strlen(contexts[i]), p);
        cr_expect_float_eq(sum(p), 1, 1e-9, "\"%s\": %.12f", contexts[i], sum(p));
        for (unsigned b = 0; b < CFG_SYMBOLS; b++) {
            bool occurs = memchr(cfg_infer_corpus, (int)b, cfg_infer_corpus_len) != NULL;
            cr_assert(occurs ? p[b] > 0 : !(p[b] > 0), "byte %u after \"%s\"", b, contexts[i]);
        }
    }
    cfg_lm_free(lm);
}

Test(lm, it_knows_its_text)
{
    struct cfg_lm *lm = NULL;
    double p[CFG_SYMBOLS];
    cr_assert_eq(cfg_lm_new(&lm, cfg_infer_corpus, cfg_infer_corpus_len, 8, NULL), 0);
    cfg_lm_next(lm, (const unsigned char *)"the White Rabbi", 15, p);
    cr_assert_gt(p['t'], 0.5);
    cfg_lm_next(lm, (const unsigned char *)"q", 1, p);
    cr_assert_gt(p['u'], 0.5);
    cfg_lm_free(lm);
}

/* Worked by hand for "abab": after "a" always "b". N(ab) = 2 and order 1 counts occurrences; below, the distinct bytes
 * in front: one for each of a (b; the text's beginning counts as a byte of its own) and b. */
Test(lm, a_case_by_hand)
{
    struct cfg_lm *lm = learn("abab", 1);
    double p[CFG_SYMBOLS];
    cfg_lm_next(lm, (const unsigned char *)"", 0, p);
    /* a: fronts {start, b} = 2; b: fronts {a} = 1; total 3, types 2, base 1/2 each. */
    double rest = 0.75 * 2 / 3;
    double a0 = (2 - 0.75) / 3 + rest / 2;
    double b0 = (1 - 0.75) / 3 + rest / 2;
    cr_assert_float_eq(p['a'], a0, 1e-12);
    cr_assert_float_eq(p['b'], b0, 1e-12);
    cfg_lm_next(lm, (const unsigned char *)"a", 1, p);
    cr_assert_float_eq(p['b'], (2 - 0.75) / 2 + 0.75 * 1 / 2 * b0, 1e-12);
    cr_assert_float_eq(p['a'], 0.75 * 1 / 2 * a0, 1e-12);
    cfg_lm_free(lm);
}

Test(lm, bounds)
{
    struct cfg_lm *lm = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_lm_new(&lm, "", 0, 3, &err), CFG_E_INVALID);
    cr_assert_eq(cfg_lm_new(&lm, "a", 1, 0, &err), CFG_E_INVALID);
    cr_assert_eq(cfg_lm_new(&lm, "a", 1, 16, &err), CFG_E_INVALID);
    lm = learn("a", 15);
    double p[CFG_SYMBOLS];
    cfg_lm_next(lm, (const unsigned char *)"aaaaaaaaaaaaaaaaaaaa", 20, p);
    cr_assert_float_eq(p['a'], 1, 1e-12);
    cfg_lm_free(lm);
    cfg_lm_free(NULL);
}

/* --- the batch --- */

static struct cfg_lm *small;
static struct cfg_batch batch;
static const struct cfg_sampling greedy = {.temperature = 0, .top_p = 1, .top_k = 0, .max_tokens = 4};

static void setup(void)
{
    small = learn("the cat sat on the mat. the cat sat on the mat.", 4);
    cfg_batch_init(&batch, small);
}

static void teardown(void)
{
    cfg_batch_finish(&batch);
    cfg_lm_free(small);
}

TestSuite(batch, .init = setup, .fini = teardown);

static struct cfg_seq *step(const struct cfg_sampling *s, unsigned size, uint64_t number)
{
    struct cfg_stamp stamp = {number, "1-5"};
    return cfg_batch_step(&batch, s, size, &stamp);
}

static void submit(const char *prompt, unsigned max_tokens)
{
    cfg_batch_submit(&batch, cfg_seq_new(prompt, strlen(prompt), max_tokens, 1, NULL));
}

Test(batch, one_byte_per_step_and_stamps)
{
    submit("the c", 0);
    for (uint64_t i = 10; i < 13; i++) {
        cr_assert_null(step(&greedy, 4, i));
    }
    struct cfg_seq *done = step(&greedy, 4, 13);
    cr_assert_not_null(done);
    cr_assert_eq(memcmp(done->bytes, "the cat s", 9), 0, "%.9s", (const char *)done->bytes);
    cr_assert_eq(done->first.step, 10U);
    cr_assert_eq(done->last.step, 13U);
    cr_assert_str_eq(done->last.revision, "1-5");
    cr_assert_eq(batch.tokens, 4U);
    cfg_seq_free_list(done);
}

Test(batch, sequences_come_and_go_between_steps)
{
    submit("the ", 2);
    submit("on ", 5);
    submit("sat ", 1);
    cr_assert_null(step(&greedy, 2, 1));
    cr_assert_eq(batch.n_running, 2U);
    cr_assert_eq(batch.n_waiting, 1U);
    struct cfg_seq *first = step(&greedy, 2, 2);
    cr_assert_eq(first->prompt_len, 4U);
    struct cfg_seq *second = step(&greedy, 2, 3);
    cr_assert_not_null(second, "the third took the free place at once");
    cr_assert_eq(second->len - second->prompt_len, 1U);
    cr_assert_eq(batch.n_running, 1U);
    cfg_seq_free_list(first);
    cfg_seq_free_list(second);
}

Test(batch, a_smaller_batch_drains)
{
    for (int i = 0; i < 6; i++) {
        submit("the ", 3);
    }
    cr_assert_null(step(&greedy, 4, 1));
    cr_assert_eq(batch.n_running, 4U);
    cr_assert_null(step(&greedy, 2, 2));
    cr_assert_eq(batch.n_running, 4U, "what runs above the new size finishes");
    struct cfg_seq *done = step(&greedy, 2, 3);
    cfg_seq_free_list(done);
    cr_assert_null(step(&greedy, 2, 4));
    cr_assert_eq(batch.n_running, 2U);
    cr_assert_eq(batch.n_waiting, 0U);
}

Test(batch, parameters_count_from_the_next_step)
{
    struct cfg_sampling s = greedy;
    submit("the cat", 0);
    cr_assert_null(step(&s, 1, 1));
    s.max_tokens = 2;
    struct cfg_seq *done = step(&s, 1, 2);
    cr_assert_not_null(done);
    cfg_seq_free_list(done);
}

Test(batch, a_greedy_start_is_greedy_and_then_free)
{
    const struct cfg_sampling s = {.temperature = 2, .top_p = 1, .max_tokens = 200, .greedy_start = true};
    char start[CFG_GREEDY_START + 1] = "";
    bool differ = false;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        char rest[256] = "";
        struct cfg_seq *done = NULL;
        cfg_batch_submit(&batch, cfg_seq_new("the ", 4, 64, seed, NULL));
        while (done == NULL) {
            done = step(&s, 1, seed);
        }
        if (seed == 1) {
            memcpy(start, done->bytes + 4, CFG_GREEDY_START);
        }
        cr_assert_eq(memcmp(start, done->bytes + 4, CFG_GREEDY_START), 0);
        memcpy(rest, done->bytes + 4 + CFG_GREEDY_START, 40);
        differ = differ || (seed > 1 && memcmp(rest, start, 10) != 0);
        cfg_seq_free_list(done);
    }
    cr_assert(differ);
}

Test(batch, prompts_have_a_limit)
{
    char *long_prompt = calloc(1, CFG_PROMPT_MAX + 1);
    cr_assert_not_null(long_prompt);
    cr_assert_null(cfg_seq_new(long_prompt, CFG_PROMPT_MAX + 1, 1, 1, NULL));
    struct cfg_seq *s = cfg_seq_new(long_prompt, CFG_PROMPT_MAX, CFG_TOKENS_MAX + 100, 1, NULL);
    cr_assert_not_null(s);
    cfg_batch_submit(&batch, s);
    struct cfg_seq *done = NULL;
    for (uint64_t i = 0; done == NULL; i++) {
        done = step(&greedy, 1, i);
    }
    cr_assert_eq(done->len - done->prompt_len, (size_t)CFG_TOKENS_MAX);
    cfg_seq_free_list(done);
    free(long_prompt);
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
    cr_assert_eq(o.step_ms, 5U);
    cr_assert_eq(read_options(&o, &err, "--listen=127.0.0.1:0", "--quiet"), 0);
    cr_assert_str_eq(o.listen, "127.0.0.1:0");
    cr_assert(o.quiet);
    cr_assert_eq(read_options(&o, &err, "--step", "1"), CFG_E_INVALID);
    cr_assert_not_null(strstr(err.hint, "--step"), "%s", err.hint);
    cr_assert_eq(read_options(&o, &err, "--steps", "x"), CFG_E_INVALID);
    cr_assert_eq(read_options(&o, &err, "--steps", "-1"), CFG_E_INVALID);
    cr_assert_eq(read_options(&o, &err, "--steps", NULL), CFG_E_INVALID);
}
