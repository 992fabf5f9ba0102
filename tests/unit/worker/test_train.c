/* cfg-train's parts: a run is a function of seed, text, pin and the history of its settings; checkpoints; what ends it.
 */
#include "worker/cfg-train/options.h"
#include "worker/cfg-train/show.h"
#include "worker/cfg-train/trainer.h"
#include "worker/model/weights.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STEPS = 60, MIDDLE = 27, MICRO = 64 };

static char dir[64], text_path[96], file[96];
static struct cfg_text text;
static const struct cfg_train_pin pin = {{8, 4, 32, 2}, 1, CFG_FLOAT32, "cpu"};

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/cfg-train-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(text_path, sizeof text_path, "%s/text", dir);
    (void)snprintf(file, sizeof file, "%s/run.safetensors", dir);
    FILE *f = fopen(text_path, "w");
    cr_assert_not_null(f);
    for (int i = 0; i < 400; i++) {
        (void)fprintf(f, "line %d says that %d and %d are %d.\n", i, i % 7, i % 5, i % 7 + i % 5);
    }
    (void)fclose(f);
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_text_load(&text, (const char *[]){text_path}, 1, &err), 0, "%s", err.text);
}

static void drop_dir(void)
{
    cfg_text_finish(&text);
    (void)unlink(text_path);
    (void)unlink(file);
    (void)rmdir(dir);
}

static struct cfg_allreduce *solo(void)
{
    struct cfg_allreduce *a = NULL;
    const struct cfg_allreduce_options o = {.world = 1};
    cr_assert_eq(cfg_allreduce_new(&a, &o, NULL), 0);
    return a;
}

static struct cfg_trainer *trainer(struct cfg_allreduce *a, const struct cfg_train_pin *p)
{
    struct cfg_trainer *t = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_trainer_options o = {.pin = *p, .text = &text, .seed = 5, .micro_most = MICRO};
    cr_assert_eq(cfg_trainer_new(&t, &o, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_trainer_join(t, a, &err), 0, "%s", err.text);
    return t;
}

/* A history of changes, as a daemon would have sent it: everything that may change does. */
static struct cfg_train_settings history(uint64_t step)
{
    struct cfg_train_settings s = {.lr = 0.01, .clip = 1, .global_batch = 64, .accumulation = 1};
    s.lr = step >= 20 ? 0.003 : s.lr;
    s.clip = step >= 31 ? 0.2 : s.clip;
    s.global_batch = step >= 35 ? 96 : s.global_batch;
    s.accumulation = step >= 25 ? 2 : 1;
    return s;
}

static void steps(struct cfg_trainer *t, uint64_t until)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_trained r;
    while (t->step < until) {
        const struct cfg_train_settings s = history(t->step);
        cr_assert_eq(cfg_trainer_step(t, &s, false, &r, &err), 0, "%s", err.text);
    }
}

static float *weights(struct cfg_trainer *t)
{
    float *w = calloc(cfg_model_n_parameters(&t->pin.shape), sizeof *w);
    cr_assert(w != NULL && cfg_model_store(t->model, w, NULL) == 0);
    return w;
}

static const struct cfg_train_snapshot snapshot = {"1-20", NULL};
static int save(struct cfg_trainer *t, bool only, struct cfg_error *err)
{
    cJSON *parameters = cJSON_CreateObject();
    struct cfg_train_snapshot s = snapshot;
    s.parameters = parameters;
    int rc = cfg_trainer_save(t, file, &s, only, err);
    cJSON_Delete(parameters);
    return rc;
}

Test(train, resuming_in_the_middle_gives_the_same_bits, .init = make_dir, .fini = drop_dir)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_allreduce *a = solo();
    struct cfg_trainer *whole = trainer(a, &pin), *first = trainer(a, &pin), *second = trainer(a, &pin);
    steps(whole, STEPS);
    steps(first, MIDDLE);
    cr_assert_eq(save(first, false, &err), 0, "%s", err.text);
    uint64_t at = 0;
    cr_assert_eq(cfg_checkpoint_step(&at, file, &err), 0);
    cr_expect_eq(at, (uint64_t)MIDDLE);
    second->seed = 999; /* the checkpoint's counts */
    cr_assert_eq(cfg_trainer_resume(second, file, &err), 0, "%s", err.text);
    cr_expect_eq(second->step, (uint64_t)MIDDLE);
    steps(second, STEPS);
    float *x = weights(whole), *y = weights(second), *z = weights(first);
    size_t bytes = cfg_model_n_parameters(&pin.shape) * sizeof *x;
    cr_expect_eq(memcmp(x, y, bytes), 0, "the same bits as without the break");
    cr_expect_neq(memcmp(x, z, bytes), 0);
    cr_expect_eq(whole->samples, second->samples);
    struct cfg_weights w = {0};
    cr_assert_eq(cfg_weights_load(&w, file, &err), 0, "a checkpoint can be served: %s", err.text);
    cr_expect_eq(w.step, (uint64_t)MIDDLE);
    cr_expect_str_eq(w.text_digest, text.digest);
    cfg_weights_finish(&w);
    free(x), free(y), free(z);
    cfg_trainer_free(whole), cfg_trainer_free(first), cfg_trainer_free(second);
    cfg_allreduce_free(a);
}

Test(train, it_learns, .init = make_dir, .fini = drop_dir)
{
    struct cfg_allreduce *a = solo();
    struct cfg_trainer *t = trainer(a, &pin);
    double before = 0, after = 0;
    cr_assert_eq(cfg_trainer_evaluate(t, 200, &before, NULL), 0);
    cr_expect_float_eq(before, log(256), 0.3);
    steps(t, 3 * STEPS);
    cr_assert_eq(cfg_trainer_evaluate(t, 200, &after, NULL), 0);
    cr_expect_lt(after, before / 2, "from %g to %g", before, after);
    cfg_trainer_free(t);
    cfg_allreduce_free(a);
}

static void mismatch(const struct cfg_train_pin *p, const char *key, const char *says)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_allreduce *a = solo();
    struct cfg_trainer *t = trainer(a, p);
    cr_expect_eq(cfg_trainer_resume(t, file, &err), CFG_E_PIN_MISMATCH, "%s", err.text);
    cr_expect_str_eq(err.path, key);
    cr_expect(strstr(err.text, says) != NULL, "%s", err.text);
    cr_expect_eq(t->step, 0U);
    cfg_trainer_free(t);
    cfg_allreduce_free(a);
}

Test(train, another_pin_is_named_by_its_key, .init = make_dir, .fini = drop_dir)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_allreduce *a = solo();
    struct cfg_trainer *t = trainer(a, &pin);
    steps(t, 2);
    cr_assert_eq(save(t, false, &err), 0);
    struct cfg_train_pin p = pin;
    p.shape.hidden = 48;
    mismatch(&p, "model.hidden", "model.hidden=32; this run is pinned to 48");
    p = pin;
    p.shape.layers = 1;
    mismatch(&p, "model.layers", "model.layers=2");
    p = pin;
    p.world = 2;
    mismatch(&p, "distributed.world_size", "distributed.world_size=1; this run is pinned to 2");
    /* Another text, and a file that is no checkpoint. */
    text.digest[10] ^= 1;
    cr_expect_eq(cfg_trainer_resume(t, file, &err), CFG_E_VALUE);
    cr_expect(strstr(err.text, "another text") != NULL, "%s", err.text);
    text.digest[10] ^= 1;
    cr_assert_eq(save(t, true, &err), 0);
    cr_expect_eq(cfg_trainer_resume(t, file, &err), CFG_E_VALUE);
    cr_expect(strstr(err.text, "optimizer.first is missing") != NULL, "%s", err.text);
    cr_expect_eq(cfg_trainer_resume(t, "/nonexistent", &err), CFG_E_NOT_FOUND);
    cr_expect_eq(cfg_trainer_resume(t, text_path, &err), CFG_E_VALUE);
    cfg_trainer_free(t);
    cfg_allreduce_free(a);
}

Test(train, a_loss_that_is_no_number_ends_it_before_the_weights_change, .init = make_dir, .fini = drop_dir)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_allreduce *a = solo();
    struct cfg_trainer *t = trainer(a, &pin);
    const struct cfg_train_settings s = history(0);
    struct cfg_trained r = {0};
    steps(t, 5);
    cr_assert_eq(save(t, false, &err), 0);
    float *w = weights(t);
    w[cfg_model_at_head(&pin.shape)] = NAN;
    cr_assert_eq(cfg_model_load(t->model, w, &err), 0);
    cr_expect_eq(cfg_trainer_step(t, &s, false, &r, &err), CFG_E_VALUE);
    cr_expect(strstr(err.text, "step 5: the loss is nan") != NULL, "%s", err.text);
    cr_expect_gt(r.nonfinite, 0U);
    cr_expect_eq(t->step, 5U);
    struct cfg_weights last = {0};
    cr_assert_eq(cfg_weights_load(&last, file, &err), 0, "the last checkpoint is whole");
    cfg_weights_finish(&last);
    free(w);
    cfg_trainer_free(t);
    cfg_allreduce_free(a);
}

Test(train, a_checkpoint_with_damaged_moments_is_refused, .init = make_dir, .fini = drop_dir)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_allreduce *a = solo();
    struct cfg_trainer *t = trainer(a, &pin);
    size_t n = cfg_model_n_parameters(&pin.shape);
    float *first = calloc(n, sizeof *first), *second = calloc(n, sizeof *second);
    cr_assert(first != NULL && second != NULL);
    steps(t, 2);
    second[7] = INFINITY;
    cr_assert_eq(cfg_model_moments_write(t->model, first, second, &err), 0);
    cr_assert_eq(save(t, false, &err), 0);
    cr_expect_eq(cfg_trainer_resume(t, file, &err), CFG_E_VALUE);
    cr_expect(strstr(err.text, "optimizer.second holds 1 values that are not finite") != NULL, "%s", err.text);
    free(first);
    free(second);
    cfg_trainer_free(t);
    cfg_allreduce_free(a);
}

Test(train, a_full_disk_leaves_the_last_checkpoint, .init = make_dir, .fini = drop_dir)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_allreduce *a = solo();
    struct cfg_trainer *t = trainer(a, &pin);
    steps(t, 3);
    cr_assert_eq(save(t, false, &err), 0);
    steps(t, 6);
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){30000, RLIM_INFINITY}), 0);
    cr_expect_eq(save(t, false, &err), CFG_E_IO);
    cr_expect(strstr(err.text, "File too large") != NULL, "%s", err.text);
    cr_assert_eq(cfg_trainer_resume(t, file, &err), 0, "%s", err.text);
    cr_expect_eq(t->step, 3U);
    cfg_trainer_free(t);
    cfg_allreduce_free(a);
}

Test(train, batches_must_divide)
{
    uint32_t micro = 0;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_train_settings s = {.global_batch = 96, .accumulation = 3};
    cr_expect_eq(cfg_train_micro(&micro, &s, 4, 64, &err), 0);
    cr_expect_eq(micro, 8U);
    cr_expect_eq(cfg_train_micro(&micro, &s, 5, 64, &err), CFG_E_VALUE);
    cr_expect(strstr(err.text, "train.global_batch=96 cannot be divided by 5 ranks") != NULL, "%s", err.text);
    s.accumulation = 1;
    cr_expect_eq(cfg_train_micro(&micro, &s, 1, 64, &err), CFG_E_VALUE);
    cr_expect(strstr(err.text, "room for 64") != NULL, "%s", err.text);
}

/* --- two ranks --- */

struct rank {
    pthread_t thread;
    uint32_t rank;
    char *address;
    float *weights;
    double loss;
    uint32_t stops;
    uint64_t seed;
    int rc;
    struct cfg_error err;
};

static void *train_rank(void *arg)
{
    struct rank *r = arg;
    struct cfg_allreduce *a = NULL;
    struct cfg_trainer *t = NULL;
    struct cfg_train_pin p = pin;
    struct cfg_trained done = {0};
    p.world = 2;
    const struct cfg_allreduce_options ao = {
        .address = r->address, .name = "job", .rank = r->rank, .world = 2, .join_ms = 20000, .deadline_ms = 20000};
    const struct cfg_trainer_options to = {.pin = p, .text = &text, .seed = r->seed, .micro_most = MICRO};
    r->rc = cfg_allreduce_new(&a, &ao, &r->err);
    r->rc = r->rc == 0 ? cfg_trainer_new(&t, &to, &r->err) : r->rc;
    r->rc = r->rc == 0 ? cfg_trainer_join(t, a, &r->err) : r->rc;
    while (r->rc == 0 && t->step < STEPS) {
        const struct cfg_train_settings s = history(t->step);
        r->rc = cfg_trainer_step(t, &s, t->step == STEPS - 1 && r->rank == 1, &done, &r->err);
    }
    if (r->rc == 0) {
        r->weights = weights(t);
        r->loss = done.loss;
        r->stops = done.stops;
    }
    cfg_trainer_free(t);
    cfg_allreduce_free(a);
    return NULL;
}

static void train_two(struct rank *both, uint64_t other_seed)
{
    static char address[64];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    (void)close(fd);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
    for (uint32_t i = 0; i < 2; i++) {
        both[i] = (struct rank){.rank = i, .address = address, .seed = i == 0 ? 5 : other_seed};
        cr_assert_eq(pthread_create(&both[i].thread, NULL, train_rank, &both[i]), 0);
    }
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(pthread_join(both[i].thread, NULL), 0);
    }
}

Test(train, two_ranks_give_the_same_bits_every_time_and_what_one_gives_up_to_rounding, .init = make_dir,
     .fini = drop_dir)
{
    struct rank both[2], again[2];
    struct cfg_allreduce *a = solo();
    struct cfg_trainer *t = trainer(a, &pin);
    size_t n = cfg_model_n_parameters(&pin.shape);
    train_two(both, 5);
    train_two(again, 5);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(both[i].rc, 0, "%s", both[i].err.text);
        cr_assert_eq(again[i].rc, 0, "%s", again[i].err.text);
        cr_expect_eq(memcmp(both[i].weights, both[0].weights, n * sizeof(float)), 0, "ranks agree");
        cr_expect_eq(memcmp(again[i].weights, both[0].weights, n * sizeof(float)), 0, "runs agree");
        cr_expect_eq(both[i].stops, 1U, "who wants to stop is known to both");
    }
    steps(t, STEPS);
    float *w = weights(t);
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)w[i] - (double)both[0].weights[i]));
    }
    cr_expect_lt(worst, 5e-3, "the same samples, added up in another order: %g", worst);
    free(w);
    for (uint32_t i = 0; i < 2; i++) {
        free(both[i].weights);
        free(again[i].weights);
    }
    cfg_trainer_free(t);
    cfg_allreduce_free(a);
}

Test(train, ranks_that_begin_differently_are_told, .init = make_dir, .fini = drop_dir)
{
    struct rank both[2];
    train_two(both, 6);
    cr_expect_eq(both[1].rc, CFG_E_AGREEMENT);
    cr_expect(strstr(both[1].err.text, "rank 1 begins at step 0, seed 6") != NULL, "%s", both[1].err.text);
    cr_expect_eq(both[0].rc, CFG_E_AGREEMENT);
    cr_expect(strstr(both[0].err.text, "rank 1 begins at step 0, seed 6") != NULL, "%s", both[0].err.text);
}

/* --- what it prints and takes --- */

Test(train, the_bar_fits_its_terminal)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1000);
    cfg_show_bar_text(&b, 50, 200, 2.5, 12345, 80);
    cr_expect_str_eq(b.data, "step 50/200 [######...................] loss 2.500, 12345 bytes/s");
    cfg_buf_clear(&b);
    cfg_show_bar_text(&b, 50, 0, 2.5, 12345, 80);
    cr_expect_str_eq(b.data, "step 50 loss 2.500, 12345 bytes/s");
    cfg_buf_clear(&b);
    cfg_show_bar_text(&b, 7, 9, 2.5, 1, 20);
    cr_expect_str_eq(b.data, "step 7/9 loss 2.500, 1 bytes/s");
    cfg_buf_finish(&b);
}

static int read_options(struct cfg_train_options *o, struct cfg_error *err, const char *a, const char *b, const char *c)
{
    char copies[4][64] = {"cfg-train"};
    char *argv[5] = {copies[0]};
    const char *given[] = {a, b, c};
    int argc = 1;
    for (int i = 0; i < 3 && given[i] != NULL; i++) {
        (void)snprintf(copies[argc], sizeof copies[argc], "%s", given[i]);
        argv[argc] = copies[argc];
        argc++;
    }
    return cfg_train_options_read(o, argc, argv, err);
}

Test(train, the_command_line_is_checked)
{
    struct cfg_train_options o;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_expect_eq(read_options(&o, &err, "--text=a", "--text", "b"), 0);
    cr_expect_eq(o.n_texts, 2U);
    cr_expect_eq(read_options(&o, &err, NULL, NULL, NULL), CFG_E_INVALID);
    cr_expect_str_eq(err.text, "nothing to learn from");
    cr_expect_eq(read_options(&o, &err, "--txt", "a", NULL), CFG_E_INVALID);
    cr_expect_str_eq(err.hint, "did you mean --text?");
    cr_expect_eq(read_options(&o, &err, "--text=a", "--resume", NULL), CFG_E_INVALID);
    cr_expect_str_eq(err.text, "--resume needs --checkpoint");
    cr_expect_eq(read_options(&o, &err, "--text=a", "--seed", "x"), CFG_E_INVALID);
    cr_expect_eq(read_options(&o, &err, "--text=a", "-o", "xml"), CFG_E_INVALID);
}
