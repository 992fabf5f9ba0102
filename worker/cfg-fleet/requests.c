#include "worker/cfg-fleet/requests.h"
#include "worker/cfg-fleet/chance.h"
#include "worker/cfg-fleet/names.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct request {
    struct cfg_context who;
    struct cfg_overlay overlay;
    struct cfg_reading reading;
    struct cfg_flag_answer answers[CFG_DECLARED_MAX]; /* of the flags that are declared and not in the overlay */
    size_t n_answers;
};

void cfg_requests_declare(struct cfg_fleet *f, struct cfg_worker *w)
{
    for (size_t i = 0; f->o->requests > 0 && i < f->declared->n; i++) {
        f->flags[i] =
            f->declared->items[i].type == CFG_FLAG ? cfg_flag_declare(w, f->declared->items[i].path) : CFG_FLAG_NONE;
    }
}

/* --- what a request is served --- */

/* Of whatever type it is: true or false, a text, a number. A default is what the flag was declared with. */
static struct cfg_flag_answer ask(struct cfg_expr_value *out, const struct cfg_view *v, cfg_flag flag, bool def,
                                  const struct cfg_context *who)
{
    static const enum cfg_flag_type types[] = {CFG_FLAG_BOOL, CFG_FLAG_STRING, CFG_FLAG_NUMBER};
    struct cfg_flag_answer a = {.error = "TYPE_MISMATCH"};
    size_t i = 0;
    while (i < 3 && a.error != NULL && strcmp(a.error, "TYPE_MISMATCH") == 0) {
        a = cfg_flag_evaluate(v, flag, types[i], who, (union cfg_value){.b = types[i] == CFG_FLAG_BOOL && def});
        i++;
    }
    if (i == 1) {
        *out = (struct cfg_expr_value){.type = CFG_EXPR_BOOL, .boolean = a.value.b};
    } else if (a.error != NULL) { /* an object */
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NULL};
    } else if (i == 2) {
        *out = (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = cfg_slice_str(a.value.string)};
    } else {
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = true, .number = a.value.f64};
    }
    return a;
}

static bool in_overlay(const struct cfg_overlay *o, const char *address)
{
    for (uint32_t i = 0; i < o->n_served; i++) {
        if (strcmp(o->served[i].flag, address) == 0) {
            return true;
        }
    }
    return false;
}

static bool lays(const struct cfg_overlay *o, cfg_param p)
{
    for (uint32_t i = 0; i < o->n_values; i++) {
        if (o->values[i].index == p.index) {
            return true;
        }
    }
    return false;
}

/* r->who is there. */
static int decide(struct request *r, const struct cfg_sim *s)
{
    const struct cfg_declared *d = s->fleet->declared;
    int rc = cfg_reading_copy(&r->reading, &s->reading, d->n);
    cfg_overlay_begin(&r->overlay, s->view, &r->who);
    r->n_answers = 0;
    for (size_t i = 0; rc == 0 && i < d->n; i++) {
        const struct cfg_declared_item *item = &d->items[i];
        if (item->type == CFG_FLAG) {
            struct cfg_flag_answer a = ask(&r->reading.values[i], s->view, s->fleet->flags[i], item->def.b, &r->who);
            if (!in_overlay(&r->overlay, item->path)) { /* else the overlay tells for it */
                r->answers[r->n_answers++] = a;
            }
        } else if (lays(&r->overlay, item->param)) {
            cfg_reading_put(&r->reading, d, i, cfg_overlay_at(&r->overlay, item->param));
        }
    }
    return rc;
}

/* --- what came of it --- */

static void tell(struct cfg_sim *s, const struct request *r)
{
    struct cfg_fleet *f = s->fleet;
    for (size_t i = 0; i < f->o->n_metrics; i++) {
        const struct cfg_signal *signal = &f->o->metrics[i].signal;
        if (!f->o->metrics[i].of_requests) {
            continue;
        }
        double x = cfg_signal_sample(signal, cfg_sim_base(s, &r->reading, signal), &s->chance);
        if (!isfinite(x)) {
            continue;
        }
        cfg_worker_metric(s->w, f->handles[i], x);
        for (size_t k = 0; k < r->n_answers; k++) {
            cfg_flag_metric(&r->answers[k], &r->who, f->handles[i], x);
        }
        cfg_overlay_metric(&r->overlay, f->handles[i], x);
    }
}

static bool gets_lost(struct cfg_sim *s, const struct request *r)
{
    const struct cfg_signal *lose = &s->fleet->o->lose;
    return lose->expr != NULL && cfg_signal_sample(lose, cfg_sim_base(s, &r->reading, lose), &s->chance) > 0;
}

static void serve(struct cfg_sim *s)
{
    const struct cfg_fleet_options *o = s->fleet->o;
    struct request r = {.n_answers = 0};
    char user[128];
    if (o->users > 0) {
        (void)snprintf(user, sizeof user, "user-%llu", (unsigned long long)(cfg_chance_next(&s->chance) % o->users));
    } else {
        (void)snprintf(user, sizeof user, "%s-%04u-%llu", o->prefix, s->index, (unsigned long long)s->requests);
    }
    s->requests++;
    s->fleet->counts.requests++;
    cfg_context_init(&r.who, user);
    if (decide(&r, s) == 0) {
        if (gets_lost(s, &r)) {
            s->fleet->counts.lost++;
        } else {
            tell(s, &r);
        }
    }
    cfg_reading_finish(&r.reading, s->fleet->declared->n);
}

void cfg_requests_serve(struct cfg_sim *s)
{
    for (unsigned i = 0; i < s->fleet->o->requests; i++) {
        serve(s);
    }
}
