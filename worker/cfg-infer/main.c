/* cfg-infer: a worker that does real work. Each step gives every running sequence its next byte; between two steps the
 * newest view takes hold. This thread steps; the library follows configd on its own; HTTP has a third. */
#include "proto/json.h"
#include "worker/cfg-infer/batch.h"
#include "worker/cfg-infer/corpus.h"
#include "worker/cfg-infer/http.h"
#include "worker/cfg-infer/options.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MODEL_ORDER = 8, IDLE_MS = 1000, FIGURES_EVERY_MS = 100 };

/* What the program reads, in the order in which changes are told. */
enum { TEMPERATURE, TOP_K, TOP_P, MAX_TOKENS, BATCH_SIZE, AB_FLAG, TP, WORLD_SIZE, N_PARAMS };
static const struct {
    const char *path;
    char kind; /* f, i or b */
} described[N_PARAMS] = {
    [TEMPERATURE] = {"sampling.temperature", 'f'},
    [TOP_K] = {"sampling.top_k", 'i'},
    [TOP_P] = {"sampling.top_p", 'f'},
    [MAX_TOKENS] = {"sampling.max_tokens", 'i'},
    [BATCH_SIZE] = {"inference.batch_size", 'i'},
    [AB_FLAG] = {"experiment/ab.flag", 'b'},
    [TP] = {"distributed.tp", 'i'},
    [WORLD_SIZE] = {"distributed.world_size", 'i'},
};

struct program {
    struct cfg_infer_options o;
    struct cfg_worker *w;
    struct cfg_lm *lm;
    struct cfg_batch batch;
    struct cfg_http *http;
    cfg_param params[N_PARAMS];
    cfg_flag ab;                    /* for requests, which have somebody asking; the parameter is for --load */
    const struct cfg_view *view;    /* the step's */
    union cfg_value told[N_PARAMS]; /* the values of the last line printed */
    bool told_any;
    uint64_t step, finished, own_seed;
    unsigned own_running; /* of --load */
    struct cfg_sampling sampling;
    unsigned batch_size;
    struct timespec next_step, last_figures;
    uint64_t last_tokens;
};

static volatile sig_atomic_t stopping;
static struct cfg_worker *signalled; /* for the handler: a wake is safe in it */

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
    if (signalled != NULL) {
        cfg_worker_wake(signalled);
    }
}

/* --- saying what changed --- */

static bool same(char kind, const union cfg_value *a, const union cfg_value *b)
{
    return kind == 'b' ? a->b == b->b : kind == 'i' ? a->i64 == b->i64 : !(a->f64 < b->f64) && !(a->f64 > b->f64);
}

static void print_value(struct cfg_buf *out, char kind, const union cfg_value *v)
{
    if (kind == 'b') {
        cfg_buf_puts(out, v->b ? "on" : "off");
    } else if (kind == 'i') {
        cfg_buf_printf(out, "%lld", (long long)v->i64);
    } else {
        cfg_json_put_number(out, v->f64);
    }
}

/* Runs between two steps, just before the view holds. */
static void on_commit(void *arg, const struct cfg_view *now)
{
    struct program *p = arg;
    struct cfg_buf line;
    bool any = false;
    cfg_buf_init(&line, 4096);
    cfg_buf_printf(&line, "step %llu: applied %s", (unsigned long long)p->step, now->revision);
    for (size_t i = 0; i < N_PARAMS; i++) {
        const union cfg_value *v = cfg_value_at(now, p->params[i]);
        char kind = described[i].kind;
        if (p->told_any && !same(kind, v, &p->told[i])) {
            cfg_buf_printf(&line, "%s%s ", any ? ", " : " (", described[i].path);
            print_value(&line, kind, &p->told[i]);
            cfg_buf_puts(&line, " → ");
            print_value(&line, kind, v);
            any = true;
        }
        p->told[i] = *v;
    }
    cfg_buf_puts(&line, any ? ")" : p->told_any ? " (nothing this worker reads)" : " (first view)");
    p->told_any = true;
    if (!p->o.quiet && cfg_buf_status(&line) == 0) {
        (void)printf("%s\n", line.data);
        (void)fflush(stdout);
    }
    cfg_buf_finish(&line);
}

static void on_log(void *arg, int level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info"};
    const struct program *p = arg;
    if (!p->o.quiet || level == 0) {
        (void)fprintf(stderr, "cfg-infer: %s: %s\n", names[level >= 0 && level <= 2 ? level : 2], line);
    }
}

/* --- the work --- */

static const char *const prompts[] = {"Alice was ",     "The Fox ", "It was the ", "Once, when ",
                                      "And God said, ", "Call me ", "A step ",     "We are met "};
enum { N_PROMPTS = sizeof prompts / sizeof prompts[0] };

/* Keeps --load sequences of our own in the batch. They have no owner. */
static void top_up(struct program *p)
{
    while (p->own_running < p->o.load) {
        const char *prompt = prompts[p->own_seed % N_PROMPTS];
        struct cfg_seq *s = cfg_seq_new(prompt, strlen(prompt), 0, p->own_seed++, NULL);
        if (s == NULL) {
            return;
        }
        cfg_batch_submit(&p->batch, s);
        p->own_running++;
    }
}

static void take_requests(struct program *p)
{
    struct cfg_seq *in = p->http != NULL ? cfg_http_take(p->http) : NULL;
    while (in != NULL) {
        struct cfg_seq *next = in->next;
        cfg_batch_submit(&p->batch, in);
        in = next;
    }
}

static void give_back(struct program *p, struct cfg_seq *done)
{
    while (done != NULL) {
        struct cfg_seq *next = done->next;
        done->next = NULL;
        p->finished++;
        if (done->owner == NULL) {
            p->own_running--;
            cfg_seq_free_list(done);
        } else {
            cfg_http_answer(p->http, done);
        }
        done = next;
    }
}

static double seconds_between(const struct timespec *a, const struct timespec *b)
{
    return (double)(b->tv_sec - a->tv_sec) + (double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

static void publish(struct program *p, char metrics[128])
{
    struct timespec now;
    metrics[0] = '\0';
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    double passed = seconds_between(&p->last_figures, &now);
    if (passed * 1000 < FIGURES_EVERY_MS) {
        return;
    }
    double rate = (double)(p->batch.tokens - p->last_tokens) / passed;
    p->last_figures = now;
    p->last_tokens = p->batch.tokens;
    (void)snprintf(metrics, 128, "{\"running\":%u,\"waiting\":%u,\"tokens_per_s\":%.0f}", p->batch.n_running,
                   p->batch.n_waiting, rate);
    if (p->http != NULL) {
        const struct cfg_http_figures f = {
            p->step,       p->batch.tokens,         p->finished, p->batch.n_running, p->batch.n_waiting,
            p->batch_size, p->sampling.temperature, rate,
        };
        cfg_http_publish(p->http, &f);
    }
}

/* A request's own parameters, where its variants say so. */
static void decide(void *arg, struct cfg_infer_request *request, struct cfg_sampling *how)
{
    const struct program *p = arg;
    const struct cfg_overlay *o = &request->overlay;
    cfg_infer_request_decide(request, p->view, p->ab, described[AB_FLAG].path, how->greedy_start);
    how->temperature = cfg_overlay_f64(o, p->params[TEMPERATURE]);
    how->top_p = cfg_overlay_f64(o, p->params[TOP_P]);
    how->top_k = (unsigned)cfg_overlay_i64(o, p->params[TOP_K]);
    how->max_tokens = (unsigned)cfg_overlay_i64(o, p->params[MAX_TOKENS]);
    how->greedy_start = request->greedy_start;
}

static bool do_step(struct program *p)
{
    char metrics[128];
    struct cfg_stamp stamp = {.step = p->step};
    const struct cfg_view *v = cfg_step_begin(p->w, p->step);
    if (v == NULL) {
        (void)fprintf(stderr, "cfg-infer: a newer incarnation of this worker has taken over\n");
        return false;
    }
    p->sampling = (struct cfg_sampling){
        .temperature = cfg_get_f64(v, p->params[TEMPERATURE]),
        .top_p = cfg_get_f64(v, p->params[TOP_P]),
        .top_k = (unsigned)cfg_get_i64(v, p->params[TOP_K]),
        .max_tokens = (unsigned)cfg_get_i64(v, p->params[MAX_TOKENS]),
        .greedy_start = cfg_get_bool(v, p->params[AB_FLAG]),
    };
    p->view = v;
    p->batch_size = (unsigned)cfg_get_i64(v, p->params[BATCH_SIZE]);
    (void)snprintf(stamp.revision, sizeof stamp.revision, "%s", v->revision);
    give_back(p, cfg_batch_step(&p->batch, &p->sampling, p->batch_size, &stamp));
    publish(p, metrics);
    cfg_step_end(p->w, metrics[0] != '\0' ? metrics : NULL);
    if (p->o.log_steps) {
        (void)printf("step %llu: %s running %u waiting %u tokens %llu\n", (unsigned long long)p->step, stamp.revision,
                     p->batch.n_running, p->batch.n_waiting, (unsigned long long)p->batch.tokens);
    }
    p->step++;
    return true;
}

/* Sleeps until the next step is due; a step that took longer is not made up for. */
static void pace(struct program *p)
{
    struct timespec now;
    if (p->o.step_ms == 0) {
        return;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    p->next_step.tv_nsec += (long)(p->o.step_ms % 1000) * 1000000;
    p->next_step.tv_sec += p->o.step_ms / 1000 + p->next_step.tv_nsec / 1000000000;
    p->next_step.tv_nsec %= 1000000000;
    if (seconds_between(&p->next_step, &now) > 0) {
        p->next_step = now;
        return;
    }
    while (!stopping && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &p->next_step, NULL) == EINTR) {
    }
}

static int run(struct program *p)
{
    (void)clock_gettime(CLOCK_MONOTONIC, &p->next_step);
    p->last_figures = p->next_step;
    while (!stopping && (p->o.steps == 0 || p->step < p->o.steps)) {
        take_requests(p);
        top_up(p);
        if (p->batch.n_running + p->batch.n_waiting == 0) {
            char metrics[128];
            (void)cfg_worker_idle(p->w, IDLE_MS);
            publish(p, metrics);
            struct cfg_worker_status s;
            cfg_worker_status(p->w, &s);
            if (strcmp(s.state, "superseded") != 0) {
                continue;
            }
        }
        if (!do_step(p)) {
            return 4;
        }
        pace(p);
    }
    return 0;
}

/* --- beginning and end --- */

static void declare(struct program *p)
{
    struct cfg_worker *w = p->w;
    int64_t tp = p->o.tp;
    int64_t world = p->o.world_size;
    int64_t batch = p->o.max_batch > 0 && p->o.max_batch < 4 ? p->o.max_batch : 4;
    p->params[TEMPERATURE] = cfg_param_f64(w, described[TEMPERATURE].path, CFG_LIVE, 0, 2, 0.7);
    p->params[TOP_K] = cfg_param_i64(w, described[TOP_K].path, CFG_LIVE, 0, CFG_SYMBOLS, 0);
    p->params[TOP_P] = cfg_param_f64(w, described[TOP_P].path, CFG_LIVE, 0, 1, 1);
    p->params[MAX_TOKENS] = cfg_param_i64(w, described[MAX_TOKENS].path, CFG_LIVE, 1, CFG_TOKENS_MAX, 64);
    p->params[BATCH_SIZE] = cfg_param_i64(w, described[BATCH_SIZE].path, CFG_DRAIN, 1, 256, batch);
    p->params[AB_FLAG] = cfg_param_flag(w, described[AB_FLAG].path, false);
    p->ab = cfg_flag_declare(w, described[AB_FLAG].path);
    /* A value fixed on the command line is what this process is built for; else the deployment decides. */
    p->params[TP] =
        cfg_param_i64(w, described[TP].path, CFG_PINNED, tp > 0 ? tp : 1, tp > 0 ? tp : 1024, tp > 0 ? tp : 1);
    p->params[WORLD_SIZE] = cfg_param_i64(w, described[WORLD_SIZE].path, CFG_PINNED, world > 0 ? world : 1,
                                          world > 0 ? world : 65536, world > 0 ? world : 1);
}

static int open_worker(struct program *p, struct cfg_error *err)
{
    const struct cfg_change_hooks hooks = {.commit = on_commit, .arg = p};
    struct cfg_worker_options wo = CFG_WORKER_OPTIONS_INIT;
    wo.servers = p->o.server;
    wo.deployment = p->o.deployment;
    wo.worker = p->o.worker;
    wo.source = p->o.source;
    wo.cache = p->o.cache;
    wo.overrides = p->o.set;
    wo.log = on_log;
    wo.log_arg = p;
    int rc = cfg_worker_open(&p->w, &wo, err);
    if (rc != 0) {
        return rc;
    }
    declare(p);
    signalled = p->w;
    rc = cfg_worker_on_change(p->w, "", &hooks, err);
    if (rc == 0 && p->o.max_batch > 0) {
        rc = cfg_worker_ceiling(p->w, described[BATCH_SIZE].path, (double)p->o.max_batch, err);
    }
    return rc != 0 ? rc : cfg_worker_start(p->w, p->o.start_ms, err);
}

static int begin(struct program *p, struct cfg_error *err)
{
    int rc = cfg_lm_new(&p->lm, cfg_infer_corpus, cfg_infer_corpus_len, MODEL_ORDER, err);
    if (rc != 0) {
        return rc;
    }
    cfg_batch_init(&p->batch, p->lm);
    p->batch.decide = decide;
    p->batch.arg = p;
    rc = open_worker(p, err);
    if (rc == 0 && p->o.listen != NULL) {
        rc = cfg_http_start(&p->http, p->o.listen, p->w, err);
    }
    if (rc == 0 && p->http != NULL) {
        (void)printf("listening on http://%s:%u\n", cfg_http_host(p->http), cfg_http_port(p->http));
        (void)fflush(stdout);
    }
    return rc;
}

/* What runs and waits goes back to its clients as it is: cut short, but answered. */
static void answer_all(struct program *p)
{
    struct cfg_seq *all[] = {p->batch.running, p->batch.waiting, p->http != NULL ? cfg_http_take(p->http) : NULL};
    p->batch.running = NULL;
    p->batch.waiting = NULL;
    for (size_t i = 0; i < 3; i++) {
        give_back(p, all[i]);
    }
}

static void end(struct program *p)
{
    if (p->lm != NULL) {
        answer_all(p);
    }
    cfg_http_stop(p->http);
    signalled = NULL;
    cfg_worker_close(p->w);
    cfg_lm_free(p->lm);
}

static void install_signals(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    (void)sigaction(SIGTERM, &a, NULL);
    (void)sigaction(SIGINT, &a, NULL);
    a.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &a, NULL);
}

int main(int argc, char **argv)
{
    static struct program p;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_infer_options_read(&p.o, argc, argv, &err) != 0) {
        (void)fprintf(stderr, "cfg-infer: %s%s%s\n", err.text, err.hint[0] != '\0' ? "; " : "", err.hint);
        return 2;
    }
    if (p.o.help) {
        cfg_infer_options_help();
        return 0;
    }
    if (p.o.version) {
        (void)puts("cfg-infer " CFG_VERSION);
        return 0;
    }
    int status = 0;
    if (begin(&p, &err) != 0) {
        (void)fprintf(stderr, "cfg-infer: %s%s%s\n", err.text, err.hint[0] != '\0' ? "; " : "", err.hint);
        status = cfg_code_exit(err.code);
    } else {
        install_signals(); /* before, there is nothing to end in order */
        status = run(&p);
    }
    end(&p);
    return status;
}
