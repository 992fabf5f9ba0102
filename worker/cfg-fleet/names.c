#include "worker/cfg-fleet/names.h"
#include "worker/cfg-fleet/chance.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_expr_value number(double v)
{
    return (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = floor(v) != v, .number = v};
}

double cfg_revision_number(const char *revision)
{
    const char *dash = strchr(revision, '-');
    return dash != NULL ? strtod(dash + 1, NULL) : 0;
}

/* [0, 1): another number in each of its steps, the same wherever the step asks. */
static double chance_of_step(const struct cfg_sim *s)
{
    uint64_t chance = cfg_chance_mix(cfg_chance_mix(~s->fleet->o->seed, s->index), s->step);
    return cfg_chance_share(&chance);
}

static bool look_up_own(struct cfg_expr_value *out, const struct cfg_asking *a, struct cfg_slice path)
{
    const struct cfg_fleet *f = a->s->fleet;
    const struct cfg_sim *s = a->s;
    if (cfg_slice_eq_str(path, "step")) {
        *out = number((double)s->step);
    } else if (cfg_slice_eq_str(path, "seconds")) {
        *out = number((double)(cfg_fleet_now_us() - f->started_us) / 1e6);
    } else if (cfg_slice_eq_str(path, "worker")) {
        *out = number(s->index);
    } else if (cfg_slice_eq_str(path, "rank")) {
        *out = number(s->index % f->o->group_size);
    } else if (cfg_slice_eq_str(path, "revision")) {
        *out = number(cfg_revision_number(a->revision));
    } else if (cfg_slice_eq_str(path, "chance")) {
        *out = number(chance_of_step(s));
    } else if (cfg_slice_eq_str(path, "inf")) {
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = true, .number = INFINITY};
    } else if (cfg_slice_eq_str(path, "deployment")) {
        *out =
            (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = cfg_slice_str(f->deployments[s->deployment].name)};
    } else {
        return false;
    }
    return true;
}

const char *cfg_sim_label(const struct cfg_sim *s, size_t label)
{
    const struct cfg_fleet_options *o = s->fleet->o;
    uint64_t chance = cfg_chance_mix(cfg_chance_mix(o->seed, s->index / o->group_size), label);
    return cfg_label_value(&o->labels[label], cfg_chance_share(&chance));
}

static int look_up(struct cfg_expr_value *out, void *arg, struct cfg_slice path, struct cfg_arena *arena,
                   struct cfg_error *err)
{
    const struct cfg_asking *a = arg;
    const struct cfg_fleet *f = a->s->fleet;
    const struct cfg_expr_value *found = cfg_reading_find(a->reading, f->declared, path);
    (void)arena;
    if (found != NULL) {
        *out = *found;
        return 0;
    }
    if (look_up_own(out, a, path)) {
        return 0;
    }
    for (size_t i = 0; path.len > 6 && i < f->o->n_labels; i++) {
        if (cfg_slice_eq_str((struct cfg_slice){path.ptr + 6, path.len - 6}, f->o->labels[i].key)) {
            *out = (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = cfg_slice_str(cfg_sim_label(a->s, i))};
            return 0;
        }
    }
    return cfg_fail(err, CFG_E_UNKNOWN_KEY, "%.*s: no such name", (int)path.len, path.ptr);
}

struct cfg_expr_names cfg_asking_names(struct cfg_asking *a)
{
    return (struct cfg_expr_names){look_up, NULL, a};
}

double cfg_sim_base(struct cfg_sim *s, const struct cfg_reading *reading, const struct cfg_signal *signal)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_asking a = {s, reading, s->view->revision};
    const struct cfg_expr_names names = cfg_asking_names(&a);
    double base = NAN;
    if (cfg_signal_base(&base, signal, &names, &err) != 0 && !s->fleet->warned) {
        s->fleet->warned = true;
        struct cfg_slice text = cfg_expr_text(signal->expr);
        (void)fprintf(stderr, "cfg-fleet: %.*s: %s (no sample then)\n", (int)text.len, text.ptr, err.text);
    }
    return base;
}
