/* cfg-train: a worker that learns. Between two steps the newest view takes hold, on all ranks at the same step. This
 * thread steps; the library follows configd on its own. */
#include "worker/cfg-train/options.h"
#include "worker/cfg-train/settings.h"
#include "worker/cfg-train/show.h"
#include "worker/identity.h"
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { JOIN_MS = 300000, BAR_EVERY_MS = 100 };
enum { LOSS, GRAD_NORM, NONFINITE, TOKENS_PER_S, N_METRICS };
static const char *const metric_names[N_METRICS] = {"loss", "grad_norm", "nonfinite", "tokens_per_s"};

struct program {
    struct cfg_train_options o;
    struct cfg_identity identity;
    struct cfg_text text;
    struct cfg_worker *w;
    struct cfg_train_keys keys;
    cfg_metric metrics[N_METRICS];
    struct cfg_trainer *trainer;
    struct cfg_allreduce *reduce;
    struct cfg_show show;
    const struct cfg_view *view; /* the step's */
    cJSON *told;                 /* the values that the last line about a view knew */
    cJSON *ran;                  /* the values of the last step that counts */
    char ran_revision[48];
    uint64_t step, saved_step;
    double last_bar;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(const struct cfg_error *err)
{
    (void)fprintf(stderr, "cfg-train: %s%s%s\n", err->text, err->hint[0] != '\0' ? "; " : "", err->hint);
}

static void on_log(void *arg, int level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info"};
    const struct program *p = arg;
    if (!p->o.quiet || level == 0) {
        (void)fprintf(stderr, "cfg-train: %s: %s\n", names[level >= 0 && level <= 2 ? level : 2], line);
    }
}

/* --- views --- */

/* On the library's thread: a view that training could not run on is refused whole. */
static int on_prepare(void *arg, const struct cfg_view *next, struct cfg_error *err)
{
    const struct program *p = arg;
    return cfg_train_acceptable(&p->keys, next, err);
}

static cJSON *changes(const cJSON *before, const cJSON *after)
{
    cJSON *changed = cJSON_CreateObject();
    for (const cJSON *v = after->child; changed != NULL && v != NULL; v = v->next) {
        const cJSON *was = cfg_json_get(before, v->string);
        cJSON *pair = was != NULL && !cfg_json_equal(was, v) ? cJSON_CreateArray() : NULL;
        if (pair != NULL) {
            (void)cJSON_AddItemToArray(pair, cJSON_Duplicate(was, true));
            (void)cJSON_AddItemToArray(pair, cJSON_Duplicate(v, true));
            cfg_json_forget_key(pair->child);
            cfg_json_forget_key(pair->child->next);
            if (cfg_json_set(changed, v->string, pair) != 0) {
                break; /* out of memory: the line says less */
            }
        }
    }
    return changed;
}

/* Between two steps, just before the view holds; every rank says it. */
static void on_commit(void *arg, const struct cfg_view *now)
{
    struct program *p = arg;
    cJSON *values = cfg_train_values(&p->keys, now);
    cJSON *changed = p->told != NULL && values != NULL ? changes(p->told, values) : NULL;
    cfg_show_applied(&p->show, p->step, now->revision, changed);
    cJSON_Delete(changed);
    cJSON_Delete(p->told);
    p->told = values;
}

static uint64_t number(const struct program *p, enum cfg_train_key k)
{
    return cfg_train_number(&p->keys, p->view, k);
}

/* --- beginning --- */

static const char *env_get(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

static struct cfg_worker_options worker_options(struct program *p)
{
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.servers = p->o.server;
    o.deployment = p->o.deployment;
    o.worker = p->o.worker;
    o.source = p->o.source;
    o.cache = p->o.cache;
    o.overrides = p->o.set;
    o.group = p->o.group;
    o.log = on_log;
    o.log_arg = p;
    return o;
}

static int open_worker(struct program *p, struct cfg_error *err)
{
    const struct cfg_change_hooks hooks = {.prepare = on_prepare, .commit = on_commit, .arg = p};
    const struct cfg_worker_options o = worker_options(p);
    const struct cfg_environment env = {.get = env_get, .host = "localhost"};
    int rc = cfg_identity_resolve(&p->identity, &o, &env, false, err);
    rc = rc == 0 ? cfg_worker_open(&p->w, &o, err) : rc;
    if (rc != 0) {
        return rc;
    }
    cfg_train_declare(&p->keys, p->w, p->identity.world, p->o.max_micro, p->o.backend, p->o.precision);
    for (size_t i = 0; i < N_METRICS; i++) {
        p->metrics[i] = cfg_metric_declare(p->w, metric_names[i]);
    }
    rc = cfg_worker_on_change(p->w, "", &hooks, err);
    return rc == 0 ? cfg_worker_start(p->w, p->o.start_ms, err) : rc;
}

/* Where gradients are added up: as told, else the port after the one where the ranks agree. "" when nobody says. */
static void find_reduce(const struct program *p, char out[CFG_ADDRESS_TEXT])
{
    const char *told = p->o.reduce != NULL ? p->o.reduce : getenv("CONFIGD_ALLREDUCE");
    const char *group = p->o.group != NULL ? p->o.group : getenv("CONFIGD_GROUP");
    if (group != NULL && strncmp(group, "tcp:", 4) == 0) {
        group += 4;
    } else {
        group = p->identity.root;
    }
    const char *colon = strrchr(group, ':');
    (void)snprintf(out, CFG_ADDRESS_TEXT, "%s", told != NULL ? told : "");
    if (told == NULL && colon != NULL) {
        long port = strtol(colon + 1, NULL, 10);
        (void)snprintf(out, CFG_ADDRESS_TEXT, "%.*s:%ld", (int)(colon - group), group,
                       port < 65535 ? port + 1 : port - 1);
    }
}

static int join(struct program *p, struct cfg_error *err)
{
    char address[CFG_ADDRESS_TEXT], name[2 * CFG_ID_TEXT];
    find_reduce(p, address);
    (void)snprintf(name, sizeof name, "%s/%s", p->identity.deployment, p->identity.world > 1 ? "train" : "");
    const struct cfg_allreduce_options o = {
        .kind = p->identity.world > 1 ? p->o.reduce_by : NULL,
        .address = address,
        .name = name,
        .rank = p->identity.rank,
        .world = p->identity.world,
        .join_ms = JOIN_MS,
        .deadline_ms = p->o.deadline_ms,
        .stream = p->trainer->model->stream,
    };
    int rc = cfg_allreduce_new(&p->reduce, &o, err);
    if (rc == 0 && p->reduce->ops->device && !p->trainer->model->on_device) {
        rc = cfg_fail(err, CFG_E_INVALID, "nccl adds up what lies on GPUs; train.backend is %s",
                      p->trainer->pin.backend);
    }
    return rc == 0 ? cfg_trainer_join(p->trainer, p->reduce, err) : rc;
}

/* The step to begin at: that of the checkpoint to go on from, else 0. */
static int find_start(struct program *p, struct cfg_error *err)
{
    if (p->o.checkpoint == NULL || access(p->o.checkpoint, F_OK) != 0) {
        return 0;
    }
    if (p->o.resume) {
        return cfg_checkpoint_step(&p->step, p->o.checkpoint, err);
    }
    if (p->o.overwrite) {
        return 0;
    }
    (void)cfg_fail(err, CFG_E_EXISTS, "%s is there already", p->o.checkpoint);
    cfg_error_set_hint(err, "--resume goes on from it, --overwrite begins anew");
    return CFG_E_EXISTS;
}

static int make_trainer(struct program *p, struct cfg_error *err)
{
    struct cfg_trainer_options o = {
        .text = &p->text, .seed = p->o.seed, .micro_most = p->o.max_micro, .threads = p->o.threads};
    const char *local = getenv("LOCAL_RANK");
    bool resume = p->o.resume && access(p->o.checkpoint, F_OK) == 0;
    o.device = p->o.device != UINT_MAX ? (int)p->o.device : local != NULL ? (int)strtol(local, NULL, 10) : 0;
    int rc = cfg_train_pin_of(&o.pin, &p->keys, p->view, err);
    rc = rc == 0 ? cfg_trainer_new(&p->trainer, &o, err) : rc;
    rc = rc == 0 && resume ? cfg_trainer_resume(p->trainer, p->o.checkpoint, err) : rc;
    p->saved_step = resume ? p->step : UINT64_MAX;
    return rc == 0 ? join(p, err) : rc;
}

static bool leads(const struct program *p)
{
    return p->identity.rank == 0;
}

static int begin(struct program *p, struct cfg_error *err)
{
    int rc = find_start(p, err);
    rc = rc == 0 ? cfg_text_load(&p->text, p->o.texts, p->o.n_texts, err) : rc;
    rc = rc == 0 ? open_worker(p, err) : rc;
    if (rc != 0) {
        return rc;
    }
    p->view = cfg_step_begin(p->w, p->step);
    if (p->view == NULL) {
        return cfg_worker_why(p->w, err);
    }
    rc = make_trainer(p, err);
    if (rc == 0 && leads(p)) {
        const struct cfg_show_figure f[] = {
            {"parameters", (double)cfg_model_n_parameters(&p->trainer->pin.shape)},
            {"text_bytes", (double)p->text.n},
            {"ranks", p->identity.world},
        };
        cfg_show_event(&p->show, p->step > 0 ? "resumed" : "begins", p->step, NULL, f, 3);
    }
    return rc;
}

/* --- checkpoints --- */

static int remember(struct program *p, struct cfg_error *err)
{
    cJSON_Delete(p->ran);
    p->ran = cfg_train_values(&p->keys, p->view);
    (void)snprintf(p->ran_revision, sizeof p->ran_revision, "%s", p->view->revision);
    return p->ran != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* Rank 0 writes; the others wait to hear that the file is there. A failure ends training on all of them. */
static int save(struct program *p, const char *path, bool weights_only, struct cfg_error *err)
{
    struct cfg_buf done;
    const struct cfg_train_snapshot s = {p->ran_revision, p->ran};
    double started = now_s();
    int rc = leads(p) ? cfg_trainer_save(p->trainer, path, &s, weights_only, err) : 0;
    if (rc != 0) {
        char reason[512];
        (void)snprintf(reason, sizeof reason, "the checkpoint cannot be written: %s", err->text);
        p->reduce->ops->leave(p->reduce, reason);
        (void)cfg_error_wrap(err, "the checkpoint of step %llu cannot be written", (unsigned long long)p->step);
        cfg_error_set_hint(err,
                           p->saved_step != UINT64_MAX ? "the one of step %llu is whole: make room and --resume"
                                                       : "there is none before it",
                           (unsigned long long)p->saved_step);
        return rc;
    }
    cfg_buf_init(&done, 16);
    cfg_buf_puts(&done, "written");
    rc = p->reduce->ops->broadcast(p->reduce, 0, &done, err);
    cfg_buf_finish(&done);
    if (rc == 0 && leads(p)) {
        const struct cfg_show_figure f[] = {{"seconds", now_s() - started}};
        cfg_show_event(&p->show, weights_only ? "exported" : "checkpoint", p->step, path, f, 1);
    }
    return rc;
}

static int checkpoint(struct program *p, struct cfg_error *err)
{
    if (p->o.checkpoint == NULL || p->ran == NULL || p->saved_step == p->step) {
        return 0;
    }
    int rc = save(p, p->o.checkpoint, false, err);
    p->saved_step = rc == 0 ? p->step : p->saved_step;
    return rc;
}

/* --- steps --- */

/* What guardrails look at, on every rank; what is not finite counts as a bad sample. */
static void report(struct program *p, const struct cfg_trained *r, double seconds)
{
    double rate = (double)cfg_train_settings_of(&p->keys, p->view).global_batch / seconds;
    cfg_worker_metric(p->w, p->metrics[LOSS], r->loss);
    cfg_worker_metric(p->w, p->metrics[GRAD_NORM], r->grad_norm);
    cfg_worker_metric(p->w, p->metrics[NONFINITE], (double)r->nonfinite);
    cfg_worker_metric(p->w, p->metrics[TOKENS_PER_S], rate);
    cfg_step_end(p->w, NULL);
    if (!leads(p)) {
        return;
    }
    if (p->step % number(p, CFG_TRAIN_LOG_EVERY) == 0) {
        const struct cfg_show_figure f[] = {{"loss", r->loss},
                                            {"grad_norm", r->grad_norm},
                                            {"lr", cfg_train_settings_of(&p->keys, p->view).lr},
                                            {"tokens_per_s", round(rate)}};
        cfg_show_event(&p->show, "trained", p->step, NULL, f, 4);
    }
    if (now_s() - p->last_bar >= BAR_EVERY_MS / 1000.0) {
        p->last_bar = now_s();
        cfg_show_bar(&p->show, p->step, number(p, CFG_TRAIN_STOP_AT), r->loss, rate);
    }
}

static int evaluate(struct program *p, struct cfg_error *err)
{
    double loss = 0;
    int rc = cfg_trainer_evaluate(p->trainer, p->o.eval_rows, &loss, err);
    if (rc == 0) {
        const struct cfg_show_figure f[] = {{"eval_loss", loss}, {"bits_per_byte", loss / log(2)}};
        cfg_show_event(&p->show, "evaluated", p->step, NULL, f, 2);
    }
    return rc;
}

static bool due(uint64_t step, uint64_t every)
{
    return every > 0 && step % every == 0;
}

/* One step on the view at hand and what is due after it. *stop: all ranks agree that this was the last. */
static int do_step(struct program *p, bool *stop, struct cfg_error *err)
{
    struct cfg_trained r = {0};
    const struct cfg_train_settings s = cfg_train_settings_of(&p->keys, p->view);
    double started = now_s();
    int rc = cfg_trainer_step(p->trainer, &s, stopping != 0, &r, err);
    if (rc != 0) {
        if (rc == CFG_E_VALUE) {
            report(p, &r, now_s() - started); /* guardrails see what ended it */
        }
        return rc;
    }
    p->step = p->trainer->step;
    rc = remember(p, err);
    report(p, &r, now_s() - started);
    *stop = r.stops > 0;
    if (rc == 0 && leads(p) && due(p->step, number(p, CFG_TRAIN_EVAL_EVERY))) {
        rc = evaluate(p, err);
    }
    if (rc == 0 && due(p->step, number(p, CFG_TRAIN_CHECKPOINT_EVERY))) {
        rc = checkpoint(p, err);
    }
    return rc;
}

static int next_view(struct program *p, struct cfg_error *err)
{
    p->view = cfg_step_begin(p->w, p->step);
    if (p->view == NULL) {
        (void)cfg_worker_why(p->w, err);
        if (p->saved_step != UINT64_MAX) {
            cfg_error_set_hint(err, "start all ranks again with --resume: the checkpoint of step %llu is whole",
                               (unsigned long long)p->saved_step);
        }
        return err->code;
    }
    return 0;
}

static int run(struct program *p, struct cfg_error *err)
{
    bool stop = false;
    int rc = 0;
    while (rc == 0 && !stop) {
        uint64_t end = number(p, CFG_TRAIN_STOP_AT);
        if (end > 0 && p->step >= end) {
            break;
        }
        rc = do_step(p, &stop, err);
        rc = rc == 0 && !stop ? next_view(p, err) : rc;
    }
    rc = rc == 0 ? checkpoint(p, err) : rc;
    if (rc == 0 && p->o.export != NULL && p->ran != NULL) {
        rc = save(p, p->o.export, true, err);
    }
    if (rc == 0 && leads(p)) {
        cfg_show_event(&p->show, "ends", p->step, stop ? "as asked by a signal" : "as train.stop_at says", NULL, 0);
    }
    return rc;
}

/* --- the program --- */

static void end(struct program *p)
{
    cfg_show_end(&p->show);
    cfg_worker_close(p->w);
    cfg_allreduce_free(p->reduce);
    cfg_trainer_free(p->trainer);
    cfg_text_finish(&p->text);
    cfg_identity_finish(&p->identity);
    cJSON_Delete(p->told);
    cJSON_Delete(p->ran);
}

static void install_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &a, NULL);
    (void)sigaction(SIGINT, &a, NULL);
    a.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &a, NULL);
    (void)sigaction(SIGXFSZ, &a, NULL); /* a file that may not grow is an error of its write */
}

static enum cfg_show_mode mode_of(const struct cfg_train_options *o)
{
    if (o->quiet) {
        return CFG_SHOW_NOTHING;
    }
    if (o->json) {
        return CFG_SHOW_JSON;
    }
    return isatty(STDOUT_FILENO) ? CFG_SHOW_BAR : CFG_SHOW_LINES;
}

int main(int argc, char **argv)
{
    static struct program p;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_train_options_read(&p.o, argc, argv, &err) != 0) {
        say(&err);
        return 2;
    }
    if (p.o.help) {
        cfg_train_options_help();
        return 0;
    }
    if (p.o.version) {
        (void)puts("cfg-train " CFG_VERSION);
        return 0;
    }
    p.show = (struct cfg_show){.out = stdout, .mode = mode_of(&p.o)};
    int rc = begin(&p, &err);
    if (rc == 0) {
        install_signals(); /* before, there is nothing to end in order */
        rc = run(&p, &err);
    }
    cfg_show_end(&p.show);
    if (rc != 0) {
        say(&err);
    }
    end(&p);
    return rc != 0 ? cfg_code_exit(rc) : 0;
}
