/* See serve.h. */
#include "worker/cfg-infer/serve.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const enum cfg_live_param knob_params[CFG_KNOBS] = {CFG_P_TEMPERATURE, CFG_P_TOP_P, CFG_P_TOP_K,
                                                           CFG_P_MAX_TOKENS};

int cfg_serve_init(struct cfg_serve *s, struct cfg_model *model, const struct cfg_live *live, struct cfg_error *err)
{
    memset(s, 0, sizeof *s);
    size_t rows = model->n_buckets > 0 ? model->buckets[model->n_buckets - 1] : 0;
    cfg_sched_init(&s->sched, (unsigned)rows);
    s->model = model;
    s->live = live;
    s->contexts = calloc(rows, model->shape.context);
    s->bytes = calloc(rows, 1);
    s->rows = calloc(rows, sizeof *s->rows);
    if (rows == 0 || s->contexts == NULL || s->bytes == NULL || s->rows == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    return 0;
}

static bool always(const struct cfg_sched_entry *e)
{
    (void)e;
    return true;
}

void cfg_serve_finish(struct cfg_serve *s)
{
    struct cfg_sched_entry *all = cfg_sched_sweep(&s->sched, always);
    while (all != NULL) {
        struct cfg_sched_entry *next = all->next;
        cfg_seq_free((struct cfg_seq *)all);
        all = next;
    }
    cfg_sched_finish(&s->sched);
    free(s->contexts);
    free(s->bytes);
    free(s->rows);
    memset(s, 0, sizeof *s);
}

/* --- what the view says --- */

static double number(const struct cfg_view *v, const struct cfg_overlay *o, cfg_param p, bool whole)
{
    const union cfg_value *x = o != NULL ? cfg_overlay_at(o, p) : cfg_value_at(v, p);
    return whole ? (double)x->i64 : x->f64;
}

static double view_knob(const struct cfg_serve *s, const struct cfg_overlay *o, unsigned k)
{
    return number(s->view, o, s->live->params[knob_params[k]], k == CFG_KNOB_TOP_K || k == CFG_KNOB_MAX_TOKENS);
}

/* What is no list of stop sequences (a variant may say anything) stops nothing. */
static struct cfg_stops read_stops(const char *text)
{
    struct cfg_stops stops = {0};
    cJSON *v = NULL;
    if (cfg_json_parse(&v, cfg_slice_str(text), 0, NULL) == 0 && cfg_stops_read(&stops, v, "stop", NULL) != 0) {
        stops.n = 0;
    }
    cJSON_Delete(v);
    return stops;
}

static int begin(struct cfg_serve *s, const struct cfg_view *v, struct cfg_error *err)
{
    const cfg_param *p = s->live->params;
    bool other = s->view != v || s->params.version != v->serial;
    s->view = v;
    s->greedy_start = cfg_get_bool(v, p[CFG_P_AB_FLAG]); /* a time rule moves it between views */
    if (!other) {
        return 0;
    }
    for (unsigned k = 0; k < CFG_KNOBS; k++) {
        s->knobs[k] = view_knob(s, NULL, k);
    }
    s->cap = (unsigned)cfg_get_i64(v, p[CFG_P_BATCH_SIZE]);
    s->queue = (unsigned)cfg_get_i64(v, p[CFG_P_QUEUE]);
    s->stops = read_stops(cfg_get_string(v, p[CFG_P_STOP]));
    s->params = (struct cfg_live_params){
        .version = v->serial,
        .temperature = (float)s->knobs[CFG_KNOB_TEMPERATURE],
        .top_p = (float)s->knobs[CFG_KNOB_TOP_P],
        .top_k = (uint32_t)s->knobs[CFG_KNOB_TOP_K],
    };
    return cfg_model_live(s->model, &s->params, err);
}

/* --- what holds for one sequence --- */

/* Without memory the sequence keeps the mark that it has. */
static void put_mark(struct cfg_serve *s, struct cfg_seq *q, uint64_t step)
{
    struct cfg_mark *m = calloc(1, sizeof *m);
    struct cfg_buf json, header;
    if (m == NULL) {
        return;
    }
    cfg_buf_init(&json, 16384);
    cfg_buf_init(&header, 8192);
    cfg_infer_request_print(&json, q->request);
    cfg_infer_request_header(&header, q->request);
    m->from_step = step;
    (void)snprintf(m->revision, sizeof m->revision, "%s", s->view->revision);
    m->variants = cfg_buf_steal(&json);
    m->header = header.len > 0 ? cfg_buf_steal(&header) : NULL;
    cfg_buf_finish(&json);
    cfg_buf_finish(&header);
    m->next = q->marks;
    q->marks = m;
}

/* Lowest first: the live parameter, the variant's, the request's own (which the policy may have given); within what the
 * policy allows. */
static void decide(struct cfg_serve *s, struct cfg_seq *q)
{
    const struct cfg_overlay *o = q->request != NULL ? &q->request->overlay : NULL;
    q->how.own = 0;
    for (unsigned k = 0; k < CFG_KNOBS; k++) {
        const struct cfg_knob_ask *asked = &q->ask.knobs[k];
        double x = asked->set ? asked->value : view_knob(s, o, k);
        x = x < asked->low ? asked->low : x > asked->high ? asked->high : x;
        q->how.knobs[k] = x;
        q->how.own |= x < s->knobs[k] || x > s->knobs[k] ? 1U << k : 0U;
    }
    q->how.stops = q->ask.has_stop ? q->ask.stop
                   : o != NULL     ? read_stops(cfg_overlay_string(o, s->live->params[CFG_P_STOP]))
                                   : s->stops;
    q->how.greedy_start = q->request != NULL ? q->request->greedy_start : s->greedy_start;
    q->decided = true;
}

static void renew(struct cfg_serve *s, struct cfg_seq *q, uint64_t step)
{
    bool moved = !q->decided || q->serial != s->view->serial;
    if (q->request != NULL) {
        moved =
            cfg_infer_request_decide(q->request, s->view, s->live->ab, cfg_live_path(CFG_P_AB_FLAG), s->greedy_start) ||
            moved;
    }
    if (!moved) {
        return;
    }
    q->serial = s->view->serial;
    decide(s, q);
    if (q->request != NULL) {
        put_mark(s, q, step);
    }
}

static void fill_row(struct cfg_serve *s, size_t i, const struct cfg_seq *q)
{
    static const unsigned bits[] = {[CFG_KNOB_TEMPERATURE] = CFG_OWN_TEMPERATURE,
                                    [CFG_KNOB_TOP_P] = CFG_OWN_TOP_P,
                                    [CFG_KNOB_TOP_K] = CFG_OWN_TOP_K};
    const struct cfg_model_shape *shape = &s->model->shape;
    size_t produced = cfg_seq_produced(q);
    struct cfg_model_row *r = &s->rows[i];
    cfg_model_context(s->contexts + i * shape->context, shape, q->bytes, q->len);
    *r = (struct cfg_model_row){
        .uniform = cfg_sample_uniform_at(q->seed, produced),
        .temperature = (float)q->how.knobs[CFG_KNOB_TEMPERATURE],
        .top_p = (float)q->how.knobs[CFG_KNOB_TOP_P],
        .top_k = (uint32_t)q->how.knobs[CFG_KNOB_TOP_K],
    };
    for (unsigned k = 0; k <= CFG_KNOB_TOP_K; k++) {
        r->own |= (q->how.own >> k & 1U) != 0 ? bits[k] : 0U;
    }
    if (q->how.greedy_start && produced < CFG_GREEDY_START) {
        r->own |= CFG_OWN_TEMPERATURE;
        r->temperature = 0;
    }
}

/* --- a byte more --- */

static void tell(struct cfg_pieces *out, struct cfg_seq *q, size_t shown, uint64_t step, enum cfg_finish finish)
{
    out->of[out->n++] = (struct cfg_piece){q, cfg_seq_produced(q), shown, step, q->marks, finish};
}

/* Letters, digits, spaces and what stands between words: what a sampler that has lost its mind produces less of. */
static bool is_readable(unsigned char byte)
{
    static const char between[] = " \n.,;:!?'\"()-";
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           (byte != 0 && strchr(between, byte) != NULL);
}

static void extend(struct cfg_serve *s, struct cfg_seq *q, unsigned char byte, uint64_t step, struct cfg_pieces *out)
{
    if (q->len == q->prompt_len) {
        q->first_step = step;
        q->first_mark = q->marks;
    }
    q->last_step = step;
    q->bytes[q->len++] = byte;
    s->tokens++;
    bool readable = is_readable(byte);
    s->readable += readable;
    q->readable += readable;
    const unsigned char *text = q->bytes + q->prompt_len;
    size_t produced = cfg_seq_produced(q);
    unsigned stopped = cfg_stops_match(&q->how.stops, text, produced);
    enum cfg_finish finish = stopped > 0                                             ? CFG_FINISH_STOP
                             : (double)produced >= q->how.knobs[CFG_KNOB_MAX_TOKENS] ? CFG_FINISH_LENGTH
                                                                                     : CFG_GOES_ON;
    if (finish != CFG_GOES_ON) {
        cfg_sched_remove(&s->sched, &q->entry);
        s->finished++;
        if (q->owner == NULL) {
            s->n_own--;
            cfg_seq_free(q);
            return;
        }
    }
    if (q->owner != NULL && (q->ask.stream || finish != CFG_GOES_ON)) {
        size_t held = finish == CFG_GOES_ON ? cfg_stops_hold(&q->how.stops, text, produced) : stopped;
        tell(out, q, produced - held, step, finish);
    }
}

/* --- the step --- */

static bool has_left(const struct cfg_sched_entry *e)
{
    return atomic_load_explicit(&((const struct cfg_seq *)e)->gone, memory_order_relaxed);
}

static size_t list_length(const struct cfg_seq *s)
{
    size_t n = 0;
    for (; s != NULL; s = s->next) {
        n++;
    }
    return n;
}

/* Those who leave, and those for whom there is no place. */
static void come_and_go(struct cfg_serve *s, struct cfg_seq *in, bool sweep, uint64_t step, struct cfg_pieces *out)
{
    struct cfg_sched_entry *gone = sweep ? cfg_sched_sweep(&s->sched, has_left) : NULL;
    while (gone != NULL) {
        struct cfg_sched_entry *next = gone->next;
        tell(out, (struct cfg_seq *)gone, 0, step, CFG_FINISH_GONE);
        gone = next;
    }
    while (in != NULL) {
        struct cfg_seq *q = in;
        in = q->next;
        q->next = NULL;
        const char *tenant = q->owner == NULL ? " load" : q->caller.tenant; /* no tenant has a blank */
        unsigned limit = q->owner == NULL ? UINT32_MAX : s->queue;
        if (q->owner != NULL && has_left(&q->entry)) {
            tell(out, q, 0, step, CFG_FINISH_GONE);
        } else if (cfg_sched_submit(&s->sched, &q->entry, tenant, s->cap, limit, NULL) == 0) {
            s->n_own += q->owner == NULL;
        } else if (q->owner == NULL) {
            cfg_seq_free(q);
        } else {
            tell(out, q, 0, step, CFG_FINISH_REFUSED);
        }
    }
}

static int run(struct cfg_serve *s, uint64_t step, struct cfg_pieces *out, struct cfg_error *err)
{
    struct cfg_sched_entry *first = cfg_sched_plan(&s->sched, s->cap);
    struct cfg_model_batch b = {.contexts = s->contexts, .rows = s->rows, .bytes = s->bytes};
    for (struct cfg_sched_entry *e = first; e != NULL; e = e->next) {
        renew(s, (struct cfg_seq *)e, step);
        fill_row(s, b.n++, (struct cfg_seq *)e);
    }
    int rc = b.n > 0 ? cfg_model_infer(s->model, &b, err) : 0;
    if (rc != 0 || b.n == 0) {
        return rc;
    }
    if (b.version != s->params.version) {
        return cfg_fail(err, CFG_E_INTERNAL, "step %llu ran with parameters of version %llu, not %llu",
                        (unsigned long long)step, (unsigned long long)b.version, (unsigned long long)s->params.version);
    }
    size_t i = 0;
    for (struct cfg_sched_entry *e = first, *next; e != NULL; e = next) {
        next = e->next; /* a finished one leaves the list */
        extend(s, (struct cfg_seq *)e, s->bytes[i++], step, out);
    }
    return 0;
}

int cfg_serve_step(struct cfg_serve *s, struct cfg_pieces **out, const struct cfg_view *v, uint64_t step,
                   struct cfg_seq *in, bool sweep, struct cfg_error *err)
{
    struct cfg_pieces *p = cfg_pieces_new(list_length(in) + cfg_serve_load(s));
    int rc = p != NULL ? begin(s, v, err) : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (rc != 0) {
        free(p);
        *out = cfg_serve_cut(s, in); /* the HTTP side waits for each and must not be left with what is gone */
        return rc;
    }
    come_and_go(s, in, sweep, step, p);
    rc = run(s, step, p, err);
    if (p->n == 0) {
        free(p);
        p = NULL;
    }
    *out = p;
    return rc;
}

struct cfg_pieces *cfg_serve_cut(struct cfg_serve *s, struct cfg_seq *in)
{
    struct cfg_pieces *p = cfg_pieces_new(list_length(in) + cfg_serve_load(s));
    struct cfg_sched_entry *all = cfg_sched_sweep(&s->sched, always);
    while (all != NULL) {
        struct cfg_seq *q = (struct cfg_seq *)all;
        all = all->next;
        q->next = in;
        in = q;
    }
    while (in != NULL) {
        struct cfg_seq *q = in;
        in = q->next;
        if (q->owner == NULL || p == NULL) {
            cfg_seq_free(q);
        } else {
            tell(p, q, cfg_seq_produced(q), q->last_step, CFG_FINISH_CUT);
        }
    }
    if (p != NULL && p->n == 0) {
        free(p);
        p = NULL;
    }
    return p;
}
