#include "worker/cfg-fleet/sim.h"
#include "worker/cfg-fleet/chance.h"
#include "worker/cfg-fleet/names.h"
#include "worker/cfg-fleet/requests.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_US = 1000000 };

uint64_t cfg_fleet_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void set_next(struct cfg_sim *s, uint64_t at_us)
{
    cfg_heap_set(&s->fleet->heap, &s->next, at_us);
}

/* --- views --- */

static bool rejects(struct cfg_sim *s, const struct cfg_view *next, struct cfg_error *err)
{
    const struct cfg_fleet_options *o = s->fleet->o;
    uint64_t chance = cfg_chance_mix(cfg_chance_mix(o->seed, s->index), (uint64_t)cfg_revision_number(next->revision));
    bool no = s->state == CFG_SIM_UP && o->reject > 0 && cfg_chance_share(&chance) < o->reject;
    if (no) {
        (void)cfg_fail(err, CFG_E_VALUE, "simulated: refused by chance");
    } else if (o->reject_if != NULL) {
        struct cfg_reading reading = {0};
        struct cfg_asking a = {s, &reading, next->revision};
        const struct cfg_expr_names names = cfg_asking_names(&a);
        struct cfg_error why;
        if (cfg_reading_take(&reading, s->fleet->declared, next, &why) == 0 &&
            cfg_expr_test(&no, o->reject_if, &names, &why) == 0 && no) {
            (void)cfg_fail(err, CFG_E_VALUE, "simulated: refused by --reject-if");
        }
        cfg_reading_finish(&reading, s->fleet->declared->n);
    }
    return no;
}

static void on_fresh(struct cfg_sim *s)
{
    if (!s->fresh) {
        s->fresh = true;
        s->next_fresh = s->fleet->fresh;
        s->fleet->fresh = s;
    }
}

static int on_prepare(void *arg, const struct cfg_view *next, struct cfg_error *err)
{
    struct cfg_sim *s = arg;
    if (s->state == CFG_SIM_UP) {
        (void)cfg_changes_heard(&s->fleet->deployments[s->deployment].changes, next->revision, cfg_fleet_now_us());
    }
    if (rejects(s, next, err)) {
        s->fleet->counts.rejects++;
        return CFG_E_VALUE;
    }
    on_fresh(s);
    return 0;
}

static void note_adoption(struct cfg_sim *s, uint64_t now_us)
{
    struct cfg_fleet *f = s->fleet;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_fleet_deployment *d = &f->deployments[s->deployment];
    bool first = s->serial == 0;
    s->serial = s->view->serial;
    f->counts.adoptions++;
    s->on = cfg_changes_applied(&d->changes, s->on, s->view->revision, now_us, !first);
    if (cfg_reading_take(&s->reading, f->declared, s->view, &err) != 0) {
        return; /* without memory no metric has a value */
    }
    s->bases[0] = cfg_sim_base(s, &s->reading, &f->o->step_ms);
    for (size_t i = 0; i < f->o->n_metrics; i++) {
        if (!f->o->metrics[i].of_requests) {
            s->bases[i + 1] = cfg_sim_base(s, &s->reading, &f->o->metrics[i].signal);
        }
    }
}

/* --- steps --- */

static uint64_t step_us(struct cfg_sim *s, uint64_t now_us)
{
    double base = s->fleet->step_varies ? cfg_sim_base(s, &s->reading, &s->fleet->o->step_ms) : s->bases[0];
    double ms = cfg_signal_sample(&s->fleet->o->step_ms, base, &s->chance);
    if (now_us < s->slow_until_us) {
        ms *= s->fleet->o->slow_factor;
    }
    return ms >= 0.1 && ms < 1e9 ? (uint64_t)(ms * 1000) : ms >= 1e9 ? 1000000000000U : 100; /* NAN too */
}

static void end_step(struct cfg_sim *s)
{
    struct cfg_fleet *f = s->fleet;
    cfg_requests_serve(s);
    for (size_t i = 0; i < f->o->n_metrics; i++) {
        if (f->o->metrics[i].of_requests) {
            continue;
        }
        double base = f->metric_varies[i] ? cfg_sim_base(s, &s->reading, &f->o->metrics[i].signal) : s->bases[i + 1];
        double v = cfg_signal_sample(&f->o->metrics[i].signal, base, &s->chance);
        if (!isnan(v)) { /* none: the expression has no value now */
            cfg_worker_metric(s->w, f->handles[i], v);
        }
    }
    cfg_step_end(s->w, NULL);
    f->counts.steps++;
}

/* False: superseded; nothing will ever run again under this id. */
static bool begin_step(struct cfg_sim *s, uint64_t now_us)
{
    const struct cfg_view *v = cfg_step_begin(s->w, s->step);
    if (v == NULL) {
        s->fleet->counts.superseded++;
        cfg_sim_close(s);
        return false;
    }
    s->view = v;
    if (v->serial != s->serial) {
        note_adoption(s, now_us);
    }
    return true;
}

/* Is this step its last? */
static bool dies(struct cfg_sim *s)
{
    const struct cfg_expr *when = s->fleet->o->crash_if;
    struct cfg_asking a = {s, &s->reading, s->view->revision};
    const struct cfg_expr_names names = cfg_asking_names(&a);
    bool now = false;
    return when != NULL && cfg_expr_test(&now, when, &names, NULL) == 0 && now;
}

static void take_step(struct cfg_sim *s, uint64_t now_us)
{
    if (s->view != NULL) {
        end_step(s);
        s->step++;
    }
    if (!begin_step(s, now_us)) {
        return;
    }
    if (dies(s)) {
        cfg_sim_crash(s, now_us);
        return;
    }
    if (s->fleet->idle) {
        (void)cfg_worker_idle(s->w, 0);
        set_next(s, now_us + LOOK_US); /* a view that changes nothing declared calls no hook */
    } else {
        set_next(s, now_us + step_us(s, now_us));
    }
}

static void come_up(struct cfg_sim *s, uint64_t now_us)
{
    struct cfg_fleet *f = s->fleet;
    s->state = CFG_SIM_UP;
    f->counts.starting--;
    f->counts.up++;
    f->deployments[s->deployment].up++;
    take_step(s, now_us);
    if (!f->idle && s->state == CFG_SIM_UP) { /* out of phase with the others */
        set_next(s, now_us + (uint64_t)(cfg_chance_share(&s->chance) * (double)step_us(s, now_us)));
    }
}

void cfg_sim_fresh(struct cfg_sim *s, uint64_t now_us)
{
    s->fresh = false;
    if (s->state == CFG_SIM_STARTING) {
        come_up(s, now_us);
    } else if (s->state == CFG_SIM_UP && s->fleet->idle && now_us >= s->hung_until_us) {
        take_step(s, now_us);
    }
}

void cfg_sim_run(struct cfg_sim *s, uint64_t now_us)
{
    struct cfg_error err = CFG_ERROR_INIT;
    if (s->state == CFG_SIM_DOWN) {
        if (cfg_sim_open(s, &err) != 0) {
            set_next(s, now_us + LOOK_US);
        }
    } else if (s->state == CFG_SIM_UP && now_us < s->hung_until_us) {
        set_next(s, s->hung_until_us);
    } else if (s->state == CFG_SIM_UP && s->fleet->idle && !cfg_worker_idle(s->w, 0)) {
        set_next(s, now_us + LOOK_US);
    } else if (s->state == CFG_SIM_UP) {
        take_step(s, now_us);
    }
}

void cfg_sim_crash(struct cfg_sim *s, uint64_t now_us)
{
    cfg_sim_close(s);
    s->fleet->counts.crashes++;
    set_next(s, now_us + (uint64_t)s->fleet->o->restart_ms * 1000);
}

void cfg_sim_hang(struct cfg_sim *s, uint64_t now_us)
{
    s->hung_until_us = now_us + (uint64_t)s->fleet->o->hang_ms * 1000;
    s->fleet->counts.hangs++;
    if (s->fleet->idle) {
        set_next(s, s->hung_until_us);
    }
}

void cfg_sim_slow(struct cfg_sim *s, uint64_t now_us)
{
    s->slow_until_us = now_us + (uint64_t)s->fleet->o->slow_ms * 1000;
    s->fleet->counts.slows++;
}

/* --- life --- */

static int print_labels(struct cfg_buf *out, const struct cfg_sim *s)
{
    cfg_buf_putc(out, '{');
    for (size_t i = 0; i < s->fleet->o->n_labels; i++) {
        cfg_buf_puts(out, i > 0 ? "," : "");
        cfg_json_put_string(out, cfg_slice_str(s->fleet->o->labels[i].key));
        cfg_buf_putc(out, ':');
        cfg_json_put_string(out, cfg_slice_str(cfg_sim_label(s, i)));
    }
    cfg_buf_putc(out, '}');
    return cfg_buf_status(out);
}

static int open_worker(struct cfg_sim *s, const char *labels, struct cfg_error *err)
{
    const struct cfg_fleet_options *o = s->fleet->o;
    const struct cfg_change_hooks hooks = {.prepare = on_prepare, .arg = s};
    struct cfg_worker_options wo = CFG_WORKER_OPTIONS_INIT;
    char id[128], group[128];
    (void)snprintf(id, sizeof id, "%s-%04u", o->prefix, s->index);
    (void)snprintf(group, sizeof group, "%s-g%04u", o->prefix, s->index / o->group_size);
    wo.servers = o->server;
    wo.deployment = s->fleet->deployments[s->deployment].name;
    wo.worker = id;
    wo.source = wo.cache = wo.overrides = wo.group = "";
    wo.labels = labels;
    wo.loop = s->fleet->loop;
    wo.rank = s->index % o->group_size;
    wo.world = o->group_size;
    wo.group_id = o->group_size > 1 ? group : id;
    int rc = cfg_worker_open(&s->w, &wo, err);
    if (rc != 0) {
        return rc;
    }
    cfg_declared_declare(s->fleet->declared, s->w);
    for (size_t i = 0; i < o->n_metrics; i++) {
        s->fleet->handles[i] = cfg_metric_declare(s->w, o->metrics[i].name);
    }
    cfg_requests_declare(s->fleet, s->w);
    return cfg_worker_on_change(s->w, "", &hooks, err);
}

int cfg_sim_open(struct cfg_sim *s, struct cfg_error *err)
{
    struct cfg_buf labels;
    cfg_buf_init(&labels, 4096);
    int rc = print_labels(&labels, s);
    rc = rc != 0 ? cfg_fail(err, rc, "the labels do not fit") : open_worker(s, labels.data, err);
    cfg_buf_finish(&labels);
    if (rc == 0 && s->bases == NULL) {
        s->bases = calloc(s->fleet->o->n_metrics + 1, sizeof *s->bases);
        rc = s->bases != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    if (rc == 0) {
        s->state = CFG_SIM_STARTING;
        s->fleet->counts.starting++;
        rc = cfg_worker_start(s->w, 0, err);
        rc = rc == CFG_E_TIMEOUT ? 0 : rc;
    }
    if (rc != 0) {
        cfg_sim_close(s);
    }
    return rc;
}

void cfg_sim_close(struct cfg_sim *s)
{
    struct cfg_fleet *f = s->fleet;
    if (s->state == CFG_SIM_UP) {
        f->counts.up--;
        f->deployments[s->deployment].up--;
        cfg_changes_left(&f->deployments[s->deployment].changes, s->on);
    } else if (s->state == CFG_SIM_STARTING) {
        f->counts.starting--;
    }
    cfg_worker_close(s->w);
    s->w = NULL;
    s->view = NULL;
    s->on = 0;
    s->serial = 0;
    s->step = 0;
    s->hung_until_us = s->slow_until_us = 0;
    s->state = CFG_SIM_DOWN;
    cfg_reading_finish(&s->reading, f->declared->n);
    cfg_heap_remove(&f->heap, &s->next);
}
