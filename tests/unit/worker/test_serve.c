/* One step of serving, against a back end that writes down what it is asked: which rows with which values, under which
 * version, and what happens when it ran with another one. */
#include "worker/cfg-infer/serve.h"
#include "worker/model/model.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* --- the back end: says 'a', 'b', 'c'… to everyone, in turn --- */

static struct cfg_live_params params;
static struct cfg_model_row rows[8];
static uint32_t n_rows, calls, live_calls;
static bool broken;  /* takes no parameters any more */
static uint64_t lie; /* added to the version that it says it ran with */

static int fake_live(struct cfg_model *m, const struct cfg_live_params *p, struct cfg_error *err)
{
    (void)m;
    params = *p;
    live_calls++;
    return broken ? cfg_fail(err, CFG_E_IO, "the device is gone") : 0;
}

static int fake_infer(struct cfg_model *m, struct cfg_model_batch *b, struct cfg_error *err)
{
    (void)m;
    (void)err;
    n_rows = b->n;
    memcpy(rows, b->rows, b->n * sizeof rows[0]);
    memset(b->bytes, (int)('a' + calls++ % 26), b->n);
    b->version = params.version + lie;
    return 0;
}

static const struct cfg_model_ops fake = {.name = "fake", .live = fake_live, .infer = fake_infer};
static struct cfg_model model = {.ops = &fake, .shape = {4, 1, 1, 1}, .n_buckets = 3, .buckets = {1, 2, 4}};

/* --- views by hand --- */

static union cfg_value values[2][CFG_N_PARAMS + 1];
static struct cfg_view views[2];
static struct cfg_live live;
static struct cfg_serve serve;

static void fill(unsigned i, double temperature, int64_t max_tokens, int64_t cap, const char *stop)
{
    union cfg_value *v = values[i];
    v[CFG_P_TEMPERATURE].f64 = temperature;
    v[CFG_P_TOP_P].f64 = 1;
    v[CFG_P_TOP_K].i64 = 40;
    v[CFG_P_MAX_TOKENS].i64 = max_tokens;
    v[CFG_P_BATCH_SIZE].i64 = cap;
    v[CFG_P_QUEUE].i64 = 100;
    v[CFG_P_STOP].string = stop;
    views[i] = (struct cfg_view){.n = CFG_N_PARAMS, .serial = i + 1, .values = v, .revision = i == 0 ? "1-5" : "1-6"};
}

static void setup(void)
{
    for (uint32_t i = 0; i < CFG_N_PARAMS; i++) {
        live.params[i].index = i;
    }
    live.ab = CFG_FLAG_NONE;
    fill(0, 0.5, 5, 4, "[]");
    fill(1, 0.9, 5, 2, "[]");
    cr_assert_eq(cfg_serve_init(&serve, &model, &live, NULL), 0);
}

static void teardown(void)
{
    cfg_serve_finish(&serve);
}

TestSuite(serve, .init = setup, .fini = teardown);

static int owner;

/* A request as the HTTP side makes it. */
static struct cfg_seq *ask(const char *text)
{
    cJSON *body = NULL;
    struct cfg_ask a;
    const struct cfg_caller who = {"acme", ""};
    cr_assert_eq(cfg_json_parse(&body, cfg_slice_str(text), 0, NULL), 0);
    cr_assert_eq(cfg_ask_read(&a, body, NULL), 0);
    struct cfg_seq *s = cfg_seq_new(&a, 7);
    s->owner = &owner;
    cr_assert_eq(cfg_infer_request_new(&s->request, body, &who, NULL), 0);
    cJSON_Delete(body);
    return s;
}

static struct cfg_pieces *step(unsigned view, uint64_t number, struct cfg_seq *in)
{
    struct cfg_pieces *out = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_serve_step(&serve, &out, &views[view], number, in, true, &err), 0, "%s", err.text);
    return out;
}

static void drop(struct cfg_pieces *p)
{
    for (size_t i = 0; p != NULL && i < p->n; i++) {
        if (p->of[i].finish != CFG_GOES_ON) {
            cfg_seq_free(p->of[i].seq);
        }
    }
    free(p);
}

Test(serve, live_parameters_go_to_the_model_once_per_view)
{
    drop(step(0, 1, ask("{\"prompt\":\"x\"}")));
    drop(step(0, 2, NULL));
    cr_assert_eq(live_calls, 1U);
    cr_assert_eq(params.version, 1U);
    cr_assert_float_eq(params.temperature, 0.5F, 0);
    cr_assert_eq(rows[0].own, 0U, "the row follows them");
    drop(step(1, 3, NULL));
    cr_assert_eq(live_calls, 2U);
    cr_assert_eq(params.version, 2U);
    cr_assert_float_eq(params.temperature, 0.9F, 0);
    cr_assert_eq(rows[0].own, 0U);
}

Test(serve, only_what_differs_is_a_row_s_own)
{
    struct cfg_seq *s = ask("{\"prompt\":\"x\",\"temperature\":0.9,\"top_k\":40}");
    s->next = ask("{\"prompt\":\"x\",\"top_p\":0.5}");
    drop(step(0, 1, s));
    cr_assert_eq(n_rows, 2U);
    cr_assert_eq(rows[0].own, (uint32_t)CFG_OWN_TEMPERATURE);
    cr_assert_float_eq(rows[0].temperature, 0.9F, 0);
    cr_assert_eq(rows[1].own, (uint32_t)CFG_OWN_TOP_P);
    drop(step(1, 2, NULL));
    cr_assert_eq(rows[0].own, 0U, "now the view says what it had asked for");
}

Test(serve, a_model_that_ran_with_other_parameters_ends_the_service)
{
    struct cfg_pieces *out = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    drop(step(0, 1, ask("{\"prompt\":\"x\"}")));
    lie = 1;
    cr_assert_eq(cfg_serve_step(&serve, &out, &views[0], 2, NULL, false, &err), CFG_E_INTERNAL);
    cr_assert_not_null(strstr(err.text, "version 2, not 1"), "%s", err.text);
    drop(out);
}

Test(serve, whoever_comes_to_a_step_that_fails_is_told)
{
    struct cfg_pieces *out = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    drop(step(0, 1, ask("{\"prompt\":\"x\",\"stream\":true}")));
    broken = true;
    cr_assert_eq(cfg_serve_step(&serve, &out, &views[1], 2, ask("{\"prompt\":\"y\"}"), false, &err), CFG_E_IO);
    cr_assert(out != NULL && out->n == 2, "the one that runs and the one that came");
    cr_assert(out->of[0].finish == CFG_FINISH_CUT && out->of[1].finish == CFG_FINISH_CUT);
    drop(out);
    cr_assert_null(cfg_serve_cut(&serve, NULL));
}

Test(serve, a_piece_per_step_of_a_stream_and_one_for_a_whole_answer)
{
    struct cfg_seq *s = ask("{\"prompt\":\"x\",\"stream\":true,\"max_tokens\":3}");
    s->next = ask("{\"prompt\":\"y\",\"max_tokens\":2}");
    struct cfg_pieces *p = step(0, 10, s);
    cr_assert_eq(p->n, 1U);
    cr_assert_eq(p->of[0].shown, 1U);
    cr_assert_str_eq(p->of[0].mark->revision, "1-5");
    drop(p);
    p = step(1, 11, NULL);
    cr_assert_eq(p->n, 2U);
    cr_assert_eq(p->of[1].finish, CFG_FINISH_LENGTH);
    cr_assert_eq(p->of[1].seq->first_step, 10U);
    cr_assert_str_eq(p->of[1].seq->first_mark->revision, "1-5");
    cr_assert_str_eq(p->of[1].mark->revision, "1-6");
    cr_assert_eq(p->of[1].mark->from_step, 11U);
    drop(p);
    p = step(1, 12, NULL);
    cr_assert_eq(p->n, 1U);
    cr_assert_eq(p->of[0].finish, CFG_FINISH_LENGTH);
    cr_assert_eq(memcmp(p->of[0].seq->bytes + 1, "abc", 3), 0);
    drop(p);
    cr_assert_eq(cfg_serve_load(&serve), 0U);
    cr_assert_null(step(1, 13, NULL));
    cr_assert_eq(calls, 3U, "nothing runs, so nothing is asked");
}

Test(serve, a_stop_sequence_is_held_back_and_then_cut)
{
    struct cfg_pieces *p = step(0, 1, ask("{\"prompt\":\"x\",\"stream\":true,\"stop\":\"bc\",\"max_tokens\":9}"));
    cr_assert_eq(p->of[0].shown, 1U);
    drop(p);
    p = step(0, 2, NULL);
    cr_assert(p->of[0].len == 2 && p->of[0].shown == 1, "b may begin it");
    drop(p);
    p = step(0, 3, NULL);
    cr_assert(p->of[0].len == 3 && p->of[0].shown == 1 && p->of[0].finish == CFG_FINISH_STOP);
    drop(p);
}

Test(serve, live_stop_sequences_and_limits_hold_from_the_next_step)
{
    fill(1, 0.5, 3, 4, "\"b\"");
    drop(step(0, 1, ask("{\"prompt\":\"x\"}")));
    struct cfg_pieces *p = step(1, 2, NULL);
    cr_assert_eq(p->of[0].finish, CFG_FINISH_STOP);
    cr_assert_eq(p->of[0].shown, 1U);
    drop(p);
}

Test(serve, whoever_left_is_let_go_and_whoever_finds_no_place_is_told)
{
    struct cfg_seq *s = ask("{\"prompt\":\"x\"}");
    values[0][CFG_P_BATCH_SIZE].i64 = 1;
    values[0][CFG_P_QUEUE].i64 = 1;
    s->next = ask("{\"prompt\":\"y\"}");
    s->next->next = ask("{\"prompt\":\"z\"}");
    struct cfg_seq *first = s, *second = s->next;
    struct cfg_pieces *p = step(0, 1, s);
    cr_assert_eq(p->n, 1U);
    cr_assert_eq(p->of[0].finish, CFG_FINISH_REFUSED);
    cr_assert_eq(p->of[0].seq->bytes[0], 'z');
    drop(p);
    atomic_store(&first->gone, true);
    p = step(0, 2, NULL);
    cr_assert_eq(p->of[0].finish, CFG_FINISH_GONE);
    cr_assert_eq(p->of[0].seq, first);
    cr_assert_eq(cfg_seq_produced(second), 1U, "its place was used in this very step");
    drop(p);
    p = cfg_serve_cut(&serve, ask("{\"prompt\":\"w\"}"));
    cr_assert_eq(p->n, 2U);
    cr_assert(p->of[0].finish == CFG_FINISH_CUT && p->of[1].finish == CFG_FINISH_CUT);
    drop(p);
}
