/* See live.h. */
#include "worker/cfg-infer/live.h"
#include "worker/cfg-infer/sched.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE = 256, QUEUE_MAX = 65536, BATCH = 4 };

/* kind: f, i, b; s and j are texts, t a text too long to tell. */
static const struct {
    const char *path;
    char kind;
} described[CFG_N_PARAMS] = {
    [CFG_P_TEMPERATURE] = {"sampling.temperature", 'f'},
    [CFG_P_TOP_K] = {"sampling.top_k", 'i'},
    [CFG_P_TOP_P] = {"sampling.top_p", 'f'},
    [CFG_P_MAX_TOKENS] = {"sampling.max_tokens", 'i'},
    [CFG_P_STOP] = {"sampling.stop", 's'},
    [CFG_P_BATCH_SIZE] = {"inference.batch_size", 'i'},
    [CFG_P_QUEUE] = {"inference.queue", 'i'},
    [CFG_P_POLICY] = {"policy", 't'},
    [CFG_P_AB_FLAG] = {"experiment/ab.flag", 'b'},
    [CFG_P_TP] = {"distributed.tp", 'i'},
    [CFG_P_WORLD_SIZE] = {"distributed.world_size", 'i'},
    [CFG_P_CONTEXT] = {"model.context", 'i'},
    [CFG_P_EMBED] = {"model.embed", 'i'},
    [CFG_P_HIDDEN] = {"model.hidden", 'i'},
    [CFG_P_LAYERS] = {"model.layers", 'i'},
    [CFG_P_PRECISION] = {"model.precision", 's'},
    [CFG_P_BACKEND] = {"model.backend", 's'},
};

static const char *const measured[CFG_N_METRICS] = {[CFG_M_READABLE] = "readable",
                                                    [CFG_M_LATENCY] = "latency_ms",
                                                    [CFG_M_FIRST_TOKEN] = "first_token_ms",
                                                    [CFG_M_TOKENS] = "tokens",
                                                    [CFG_M_ERROR] = "error"};

const char *cfg_live_path(enum cfg_live_param p)
{
    return described[p].path;
}

/* --- settings --- */

struct cfg_settings *cfg_settings_ref(struct cfg_settings *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void cfg_settings_unref(struct cfg_settings *s)
{
    if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
        cfg_policy_free(s->policy);
        free(s);
    }
}

static int check_stop(const struct cfg_view *next, cfg_param p, struct cfg_error *err)
{
    struct cfg_stops stops;
    cJSON *v = NULL;
    int rc = cfg_json_parse(&v, cfg_slice_str(cfg_get_string(next, p)), 0, err);
    rc = rc != 0 ? rc : cfg_stops_read(&stops, v, described[CFG_P_STOP].path, err);
    cJSON_Delete(v);
    return rc;
}

/* On the library's thread: the view holds only if what it carries can be worked with. */
static int on_prepare(void *arg, const struct cfg_view *next, struct cfg_error *err)
{
    struct cfg_live *l = arg;
    struct cfg_settings *s = calloc(1, sizeof *s);
    int rc = s != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    rc = rc != 0 ? rc : check_stop(next, l->params[CFG_P_STOP], err);
    rc = rc != 0 ? rc : cfg_policy_compile(&s->policy, cfg_get_string(next, l->params[CFG_P_POLICY]), err);
    if (rc != 0) {
        free(s);
        return rc;
    }
    atomic_init(&s->refs, 1U);
    s->view = next;
    (void)snprintf(s->revision, sizeof s->revision, "%s", next->revision);
    (void)pthread_mutex_lock(&l->lock);
    s->next = l->prepared;
    l->prepared = s;
    (void)pthread_mutex_unlock(&l->lock);
    return 0;
}

static struct cfg_settings *take(struct cfg_live *l, const struct cfg_view *v)
{
    struct cfg_settings *s = NULL;
    (void)pthread_mutex_lock(&l->lock);
    for (struct cfg_settings **at = &l->prepared; *at != NULL && s == NULL; at = &(*at)->next) {
        if ((*at)->view == v) {
            s = *at;
            *at = s->next;
            break;
        }
    }
    (void)pthread_mutex_unlock(&l->lock);
    return s;
}

static void on_abort(void *arg, const struct cfg_view *dropped)
{
    cfg_settings_unref(take(arg, dropped));
}

/* --- saying what changed --- */

static bool is_text(char kind)
{
    return kind == 's' || kind == 't';
}

static bool same(const struct cfg_live *l, unsigned i, const union cfg_value *v)
{
    const union cfg_value *old = &l->told[i];
    switch (described[i].kind) {
    case 'b':
        return old->b == v->b;
    case 'i':
        return old->i64 == v->i64;
    case 'f':
        return !(old->f64 < v->f64) && !(old->f64 > v->f64);
    default:
        return l->told_text[i] != NULL && strcmp(l->told_text[i], v->string) == 0;
    }
}

static void print_value(struct cfg_buf *out, char kind, const union cfg_value *v, const char *text)
{
    if (kind == 'b') {
        cfg_buf_puts(out, v->b ? "on" : "off");
    } else if (kind == 'i') {
        cfg_buf_printf(out, "%lld", (long long)v->i64);
    } else if (kind == 'f') {
        cfg_json_put_number(out, v->f64);
    } else {
        cfg_buf_puts(out, text != NULL ? text : "");
    }
}

static void print_change(struct cfg_buf *line, const struct cfg_live *l, unsigned i, const union cfg_value *v)
{
    char kind = described[i].kind;
    cfg_buf_printf(line, "%s ", described[i].path);
    if (kind == 't') {
        cfg_buf_puts(line, "changed");
        return;
    }
    print_value(line, kind, &l->told[i], l->told_text[i]);
    cfg_buf_puts(line, " → ");
    print_value(line, kind, v, is_text(kind) ? v->string : NULL);
}

static void remember(struct cfg_live *l, unsigned i, const union cfg_value *v)
{
    l->told[i] = *v;
    if (is_text(described[i].kind)) {
        free(l->told_text[i]);
        l->told_text[i] = strdup(v->string); /* without memory the next change is told twice */
    }
}

static void tell(struct cfg_live *l, const struct cfg_view *now)
{
    struct cfg_buf line;
    bool any = false;
    cfg_buf_init(&line, 8192);
    cfg_buf_printf(&line, "step %llu: applied %s", (unsigned long long)*l->step, now->revision);
    for (unsigned i = 0; i < CFG_N_PARAMS; i++) {
        const union cfg_value *v = cfg_value_at(now, l->params[i]);
        if (same(l, i, v)) {
            continue;
        }
        if (l->told_any) {
            cfg_buf_puts(&line, any ? ", " : " (");
            print_change(&line, l, i, v);
            any = true;
        }
        remember(l, i, v);
    }
    cfg_buf_puts(&line, any ? ")" : l->told_any ? " (nothing this worker reads)" : " (first view)");
    l->told_any = true;
    if (!l->quiet && cfg_buf_status(&line) == 0) {
        (void)printf("%s\n", line.data);
        (void)fflush(stdout);
    }
    cfg_buf_finish(&line);
}

/* Between two steps, just before the view holds. */
static void on_commit(void *arg, const struct cfg_view *now)
{
    struct cfg_live *l = arg;
    struct cfg_settings *s = take(l, now);
    if (s != NULL) {
        l->hold(l->arg, s, now);
        cfg_settings_unref(s);
    }
    tell(l, now);
}

static void on_log(void *arg, int level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info"};
    const struct cfg_live *l = arg;
    if (!l->quiet || level == 0) {
        (void)fprintf(stderr, "cfg-infer: %s: %s\n", names[level >= 0 && level <= 2 ? level : 2], line);
    }
}

/* --- the contract --- */

/* What a process is built for is a range of one value: a deployment pinned to another refuses it. 0: not said, the
 * deployment decides. */
static cfg_param built_for(struct cfg_worker *w, enum cfg_live_param p, int64_t value, int64_t most)
{
    return cfg_param_i64(w, described[p].path, CFG_PINNED, value > 0 ? value : 1, value > 0 ? value : most,
                         value > 0 ? value : 1);
}

/* The weights' shape holds where the deployment says nothing; what it says is compared when the first view is there. */
static cfg_param shaped(struct cfg_worker *w, enum cfg_live_param p, uint32_t value, int64_t most)
{
    return cfg_param_i64(w, described[p].path, CFG_PINNED, 1, most, value);
}

static void declare(struct cfg_live *l, const struct cfg_infer_options *o, const struct cfg_model_shape *shape)
{
    struct cfg_worker *w = l->w;
    cfg_param *p = l->params;
    int64_t batch = o->max_batch < BATCH ? o->max_batch : BATCH;
    p[CFG_P_TEMPERATURE] = cfg_param_f64(w, described[CFG_P_TEMPERATURE].path, CFG_LIVE, 0, 2, 0.7);
    p[CFG_P_TOP_K] = cfg_param_i64(w, described[CFG_P_TOP_K].path, CFG_LIVE, 0, CFG_TOP_K_MAX, 0);
    p[CFG_P_TOP_P] = cfg_param_f64(w, described[CFG_P_TOP_P].path, CFG_LIVE, 0, 1, 1);
    p[CFG_P_MAX_TOKENS] = cfg_param_i64(w, described[CFG_P_MAX_TOKENS].path, CFG_LIVE, 1, CFG_TOKENS_MAX, 64);
    p[CFG_P_STOP] = cfg_param_json(w, described[CFG_P_STOP].path, CFG_LIVE, "[]");
    p[CFG_P_BATCH_SIZE] = cfg_param_i64(w, described[CFG_P_BATCH_SIZE].path, CFG_DRAIN, 1, CFG_BATCH_MAX, batch);
    p[CFG_P_QUEUE] = cfg_param_i64(w, described[CFG_P_QUEUE].path, CFG_LIVE, 0, QUEUE_MAX, QUEUE);
    p[CFG_P_POLICY] = cfg_param_json(w, described[CFG_P_POLICY].path, CFG_LIVE, "{}");
    p[CFG_P_AB_FLAG] = cfg_param_flag(w, described[CFG_P_AB_FLAG].path, false);
    l->ab = cfg_flag_declare(w, described[CFG_P_AB_FLAG].path);
    p[CFG_P_TP] = built_for(w, CFG_P_TP, o->tp, 1024);
    p[CFG_P_WORLD_SIZE] = built_for(w, CFG_P_WORLD_SIZE, o->world_size, 65536);
    p[CFG_P_CONTEXT] = shaped(w, CFG_P_CONTEXT, shape->context, CFG_MODEL_CONTEXT_MAX);
    p[CFG_P_EMBED] = shaped(w, CFG_P_EMBED, shape->embed, CFG_MODEL_EMBED_MAX);
    p[CFG_P_HIDDEN] = shaped(w, CFG_P_HIDDEN, shape->hidden, CFG_MODEL_HIDDEN_MAX);
    p[CFG_P_LAYERS] = shaped(w, CFG_P_LAYERS, shape->layers, CFG_MODEL_LAYERS_MAX);
    p[CFG_P_PRECISION] = cfg_param_string(w, described[CFG_P_PRECISION].path, CFG_PINNED,
                                          o->precision != NULL ? o->precision : "float32");
    p[CFG_P_BACKEND] =
        cfg_param_string(w, described[CFG_P_BACKEND].path, CFG_PINNED, o->backend != NULL ? o->backend : "auto");
}

int cfg_live_open(struct cfg_live *l, const struct cfg_infer_options *o, const struct cfg_model_shape *shape,
                  struct cfg_error *err)
{
    const struct cfg_change_hooks hooks = {on_prepare, on_commit, on_abort, l};
    struct cfg_worker_options wo = CFG_WORKER_OPTIONS_INIT;
    wo.servers = o->server;
    wo.deployment = o->deployment;
    wo.worker = o->worker;
    wo.source = o->source;
    wo.cache = o->cache;
    wo.overrides = o->set;
    wo.log = on_log;
    wo.log_arg = l;
    (void)pthread_mutex_init(&l->lock, NULL);
    int rc = cfg_worker_open(&l->w, &wo, err);
    if (rc != 0) {
        return rc;
    }
    declare(l, o, shape);
    for (unsigned i = 0; i < CFG_N_METRICS; i++) {
        l->metrics[i] = cfg_metric_declare(l->w, measured[i]);
    }
    rc = cfg_worker_on_change(l->w, "", &hooks, err);
    return rc != 0 ? rc : cfg_worker_ceiling(l->w, described[CFG_P_BATCH_SIZE].path, (double)o->max_batch, err);
}

void cfg_live_finish(struct cfg_live *l)
{
    cfg_worker_close(l->w); /* aborts what was prepared and never held */
    l->w = NULL;
    for (unsigned i = 0; i < CFG_N_PARAMS; i++) {
        free(l->told_text[i]);
    }
    (void)pthread_mutex_destroy(&l->lock);
}
