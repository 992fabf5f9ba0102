/* cfg-infer: a worker that does real work. Each step gives every running sequence its next byte; between two steps the
 * newest view takes hold. This thread steps; the library follows configd on its own; HTTP has a third. */
#include "worker/cfg-infer/engine.h"
#include "worker/cfg-infer/http.h"
#include "worker/cfg-infer/outcome.h"
#include "worker/cfg-infer/serve.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IDLE_MS = 1000, FIGURES_EVERY_MS = 100 };
static const char model_id[] = "configd-byte-lm";

struct program {
    struct cfg_infer_options o;
    struct cfg_live live;
    struct cfg_weights weights;
    struct cfg_model *model;
    struct cfg_serve serve;
    struct cfg_http *http;
    struct cfg_settings *settings; /* that hold; a reference */
    uint64_t step, own_seed;
    struct timespec next_step, last_figures;
    uint64_t last_tokens;
    double rate, temperature; /* the latter and cap: of the view that holds, also while nothing runs */
    unsigned cap;
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

static int complain(const struct cfg_error *err)
{
    (void)fprintf(stderr, "cfg-infer: %s%s%s\n", err->text, err->hint[0] != '\0' ? "; " : "", err->hint);
    return cfg_code_exit(err->code);
}

/* --- the work --- */

static const char *const prompts[] = {"Alice was ",     "The Fox ", "It was the ", "Once, when ",
                                      "And God said, ", "Call me ", "A step ",     "We are met "};
enum { N_PROMPTS = sizeof prompts / sizeof prompts[0] };

/* Keeps --load sequences of our own in the batch: behind `in`, of which nobody is told. */
static void top_up(struct program *p, struct cfg_seq **in)
{
    uint64_t n = p->serve.n_own;
    while (*in != NULL) {
        in = &(*in)->next;
    }
    for (; n < p->o.load; n++) {
        struct cfg_ask ask;
        cJSON *body = cJSON_CreateObject();
        int rc = body != NULL ? cfg_json_set(body, "prompt", cJSON_CreateString(prompts[p->own_seed % N_PROMPTS]))
                              : CFG_E_NOMEM;
        rc = rc != 0 ? rc : cfg_ask_read(&ask, body, NULL);
        cJSON_Delete(body);
        *in = rc == 0 ? cfg_seq_new(&ask, p->own_seed++) : NULL;
        if (*in == NULL) {
            return;
        }
        in = &(*in)->next;
    }
}

static double seconds_between(const struct timespec *a, const struct timespec *b)
{
    return (double)(b->tv_sec - a->tv_sec) + (double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

static void tell_http(struct program *p)
{
    const struct cfg_serve *s = &p->serve;
    const struct cfg_http_figures f = {
        .step = p->step,
        .tokens = s->tokens,
        .finished = s->finished,
        .captures = p->model->figures.captures,
        .launches = p->model->figures.launches,
        .params_version = s->params.version,
        .running = s->sched.n_running,
        .waiting = s->sched.n_waiting,
        .batch_size = p->cap,
        .capacity = s->sched.capacity,
        .draining = cfg_sched_draining(&s->sched, p->cap),
        .temperature = p->temperature,
        .tokens_per_s = p->rate,
    };
    if (p->http != NULL) {
        cfg_http_publish(p->http, &f);
    }
}

/* Now and then; metrics is empty in between. */
static void publish(struct program *p, char metrics[128])
{
    const struct cfg_serve *s = &p->serve;
    struct timespec now;
    metrics[0] = '\0';
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    double passed = seconds_between(&p->last_figures, &now);
    if (passed * 1000 < FIGURES_EVERY_MS) {
        return;
    }
    p->rate = (double)(s->tokens - p->last_tokens) / passed;
    p->last_figures = now;
    p->last_tokens = s->tokens;
    (void)snprintf(metrics, 128, "{\"running\":%u,\"waiting\":%u,\"tokens_per_s\":%.0f}", s->sched.n_running,
                   s->sched.n_waiting, p->rate);
    tell_http(p);
}

/* in is consumed. 0, or the exit status. */
static int do_step(struct program *p, struct cfg_seq *in, bool left)
{
    char metrics[128];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_pieces *out = NULL;
    const struct cfg_view *v = cfg_step_begin(p->live.w, p->step);
    if (v == NULL) {
        (void)fprintf(stderr, "cfg-infer: a newer incarnation of this worker has taken over\n");
        out = cfg_serve_cut(&p->serve, in); /* whoever has just come is told, too */
        cfg_infer_outcomes(&p->live, out);
        if (p->http != NULL) {
            cfg_http_send(p->http, out);
        }
        return 4;
    }
    uint64_t tokens = p->serve.tokens, readable = p->serve.readable;
    int rc = cfg_serve_step(&p->serve, &out, v, p->step, in, left, &err);
    if (p->serve.tokens > tokens) {
        cfg_worker_metric(p->live.w, p->live.metrics[CFG_M_READABLE],
                          (double)(p->serve.readable - readable) / (double)(p->serve.tokens - tokens));
    }
    if (p->http != NULL) {
        cfg_infer_outcomes(&p->live, out);
        cfg_http_send(p->http, out);
    }
    /* Ours is a drain parameter, and a count is never negative: it cannot be refused. */
    (void)cfg_worker_draining(p->live.w, p->live.params[CFG_P_BATCH_SIZE], p->serve.sched.n_running);
    publish(p, metrics);
    cfg_step_end(p->live.w, metrics[0] != '\0' ? metrics : NULL);
    if (p->o.log_steps) {
        (void)printf("step %llu: %s running %u waiting %u tokens %llu\n", (unsigned long long)p->step, v->revision,
                     p->serve.sched.n_running, p->serve.sched.n_waiting, (unsigned long long)p->serve.tokens);
    }
    p->step++;
    return rc != 0 ? complain(&err) : 0;
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

/* Nothing to do: waits for news. False when a newer incarnation has taken over. */
static bool rest(struct program *p)
{
    char metrics[128];
    struct cfg_worker_status s;
    publish(p, metrics);
    tell_http(p); /* what holds until there is work again */
    (void)cfg_worker_idle(p->live.w, IDLE_MS);
    cfg_worker_status(p->live.w, &s);
    return strcmp(s.state, "superseded") != 0;
}

static struct cfg_seq *take(struct program *p, bool *left)
{
    *left = false;
    return p->http != NULL ? cfg_http_take(p->http, left) : NULL;
}

static int run(struct program *p)
{
    int status = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &p->next_step);
    while (status == 0 && !stopping && (p->o.steps == 0 || p->step < p->o.steps)) {
        bool left;
        struct cfg_seq *in = take(p, &left);
        top_up(p, &in);
        if (in == NULL && cfg_serve_load(&p->serve) == 0 && rest(p)) {
            continue;
        }
        status = do_step(p, in, left);
        pace(p);
    }
    return status;
}

/* No new requests, no load of our own: steps until those under way are done, but not for ever. */
static int drain(struct program *p)
{
    struct timespec begun, now;
    int status = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    cfg_http_close(p->http);
    do {
        bool left;
        struct cfg_seq *in = take(p, &left);
        if (in == NULL && cfg_serve_load(&p->serve) == p->serve.n_own) {
            break;
        }
        status = do_step(p, in, left);
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
    } while (status == 0 && seconds_between(&begun, &now) * 1000 < p->o.drain_ms);
    return status;
}

/* --- beginning and end --- */

static void on_hold(void *arg, struct cfg_settings *now, const struct cfg_view *view)
{
    struct program *p = arg;
    p->cap = (unsigned)cfg_get_i64(view, p->live.params[CFG_P_BATCH_SIZE]);
    p->temperature = cfg_get_f64(view, p->live.params[CFG_P_TEMPERATURE]);
    cfg_settings_unref(p->settings);
    p->settings = cfg_settings_ref(now);
    if (p->http != NULL) {
        cfg_http_settings(p->http, now);
    }
}

static int listen_on(struct program *p, const char *precision, struct cfg_error *err)
{
    const struct cfg_http_options ho = {
        .listen = p->o.listen,
        .model = model_id,
        .backend = p->model->ops->name,
        .precision = precision,
        .weights = p->weights.digest,
        .created = (int64_t)time(NULL),
    };
    int rc = cfg_http_open(&p->http, &ho, p->live.w, err);
    if (rc == 0) {
        cfg_http_settings(p->http, p->settings);
        rc = cfg_http_run(p->http, err);
    }
    if (rc == 0) {
        (void)printf("listening on http://%s:%u\n", cfg_http_host(p->http), cfg_http_port(p->http));
        (void)fflush(stdout);
    }
    return rc;
}

static int begin(struct program *p, struct cfg_error *err)
{
    p->live.step = &p->step;
    p->live.hold = on_hold;
    p->live.arg = p;
    p->live.quiet = p->o.quiet;
    int rc = cfg_engine_weights(&p->weights, p->o.model, err);
    rc = rc != 0 ? rc : cfg_live_open(&p->live, &p->o, &p->weights.shape, err);
    signalled = p->live.w;
    rc = rc != 0 ? rc : cfg_worker_start(p->live.w, p->o.start_ms, err);
    if (rc != 0) {
        return rc;
    }
    const struct cfg_view *v =
        cfg_step_begin(p->live.w, p->step); /* the view that requests are judged by from the first */
    if (v == NULL) {
        return cfg_worker_why(p->live.w, err);
    }
    rc = cfg_engine_new(&p->model, &p->weights, &p->live, v, &p->o, err);
    rc = rc != 0 ? rc : cfg_serve_init(&p->serve, p->model, &p->live, err);
    if (rc == 0 && p->o.listen != NULL) {
        rc = listen_on(p, cfg_model_precision_name(p->model->precision), err);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &p->last_figures);
    return rc;
}

static void end(struct program *p)
{
    bool left;
    struct cfg_pieces *rest_of = cfg_serve_cut(&p->serve, take(p, &left));
    if (p->http != NULL) {
        cfg_infer_outcomes(&p->live, rest_of);
        cfg_http_send(p->http, rest_of);
    } else {
        free(rest_of);
    }
    cfg_http_stop(p->http);
    signalled = NULL;
    cfg_serve_finish(&p->serve);
    cfg_live_finish(&p->live);
    cfg_settings_unref(p->settings);
    cfg_model_free(p->model);
    cfg_weights_finish(&p->weights);
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
        (void)complain(&err);
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
        status = complain(&err);
    } else {
        install_signals(); /* before, there is nothing to end in order */
        status = run(&p);
        if (status == 0 && p.http != NULL) {
            status = drain(&p);
        }
    }
    end(&p);
    return status;
}
