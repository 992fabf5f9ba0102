#include "configd/rollout_machine.h"

#include <string.h>

static const char *const phases[CFG_ROLLOUT_PHASES] = {
    "scheduled", "rolling", "baking", "gate", "paused", "frozen", "rolling-back", "rolled-back", "aborted", "finished"};
static const char *const inputs[CFG_ROLLOUT_INPUTS] = {"due",     "converged", "passed", "failed",  "freeze",  "thaw",
                                                       "settled", "pause",     "resume", "approve", "advance", "abort"};

/* --- the table --- */

enum move {
    NO,      /* the input has no place here */
    ROLL,    /* the first step */
    BAKE,    /* the step's groups run it */
    NEXT,    /* the next step, or the end after the last one */
    STOP,    /* NEXT, unless the step ends at a gate */
    HALT,    /* PAUSED */
    COOL,    /* FROZEN */
    BACK,    /* where PAUSED or FROZEN came from */
    REVERT,  /* ROLLING_BACK, then ROLLED_BACK */
    GIVE_UP, /* ROLLING_BACK, then ABORTED; where nobody runs the release yet: ABORTED */
    SETTLE,  /* what ROLLING_BACK was for */
};

/* Rows: phases. Columns: due, converged, passed, failed, freeze, thaw, settled, pause, resume, approve, advance, abort.
 * `failed` of PAUSED and FROZEN counts only where the release is out (cfg_rollout_is_exposed). */
static const unsigned char table[CFG_ROLLOUT_PHASES][CFG_ROLLOUT_INPUTS] = {
    /*                due   conv  pass  failed  freeze thaw  settled pause resume appr  adv   abort */
    /* scheduled */ {ROLL, NO, NO, NO, COOL, NO, NO, HALT, NO, NO, ROLL, GIVE_UP},
    /* rolling */ {NO, BAKE, NO, REVERT, COOL, NO, NO, HALT, NO, NO, NEXT, GIVE_UP},
    /* baking */ {NO, NO, STOP, REVERT, COOL, NO, NO, HALT, NO, NO, NEXT, GIVE_UP},
    /* gate */ {NO, NO, NO, REVERT, COOL, NO, NO, HALT, NO, NEXT, NEXT, GIVE_UP},
    /* paused */ {NO, NO, NO, REVERT, NO, NO, NO, NO, BACK, NO, NO, GIVE_UP},
    /* frozen */ {NO, NO, NO, REVERT, NO, BACK, NO, HALT, NO, NO, NO, GIVE_UP},
    /* r.-back */ {NO, NO, NO, NO, NO, NO, SETTLE, NO, NO, NO, SETTLE, NO},
    /* r.-backed */ {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},
    /* aborted */ {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},
    /* finished */ {NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO},
};

/* --- names --- */

const char *cfg_rollout_phase_name(enum cfg_rollout_phase p)
{
    return phases[p];
}

const char *cfg_rollout_input_name(enum cfg_rollout_input i)
{
    return inputs[i];
}

int cfg_rollout_phase_parse(enum cfg_rollout_phase *out, const char *name, struct cfg_error *err)
{
    for (unsigned i = 0; i < CFG_ROLLOUT_PHASES; i++)
        if (strcmp(phases[i], name) == 0) {
            *out = (enum cfg_rollout_phase)i;
            return 0;
        }
    return cfg_fail(err, CFG_E_VALUE, "a rollout has no phase \"%.40s\"", name);
}

int cfg_rollout_input_parse(enum cfg_rollout_input *out, const char *name, struct cfg_error *err)
{
    for (unsigned i = 0; i < CFG_ROLLOUT_INPUTS; i++)
        if (strcmp(inputs[i], name) == 0) {
            *out = (enum cfg_rollout_input)i;
            return 0;
        }
    (void)cfg_fail(err, CFG_E_INVALID, "a rollout knows no \"%.40s\"", name);
    cfg_error_set_hint(err, "pause, resume, approve, advance or abort");
    return CFG_E_INVALID;
}

bool cfg_rollout_input_is_persons(enum cfg_rollout_input i)
{
    return i >= CFG_ROLLOUT_PAUSE;
}

/* --- states --- */

bool cfg_rollout_is_final(const struct cfg_rollout_state *s)
{
    return s->phase == CFG_ROLLOUT_ROLLED_BACK || s->phase == CFG_ROLLOUT_ABORTED || s->phase == CFG_ROLLOUT_FINISHED;
}

static bool is_suspended(enum cfg_rollout_phase p)
{
    return p == CFG_ROLLOUT_PAUSED || p == CFG_ROLLOUT_FROZEN;
}

static bool may_suspend(enum cfg_rollout_phase p)
{
    return p <= CFG_ROLLOUT_GATE;
}

bool cfg_rollout_is_exposed(const struct cfg_rollout_state *s)
{
    enum cfg_rollout_phase p = is_suspended(s->phase) ? s->resume : s->phase;
    return p == CFG_ROLLOUT_ROLLING || p == CFG_ROLLOUT_BAKING || p == CFG_ROLLOUT_GATE;
}

int cfg_rollout_state_check(const struct cfg_rollout_state *s, unsigned n_steps, struct cfg_error *err)
{
    bool suspended = is_suspended(s->phase), back = s->phase == CFG_ROLLOUT_ROLLING_BACK;
    if (n_steps == 0 || n_steps > CFG_ROLLOUT_STEPS_MAX || s->step >= n_steps)
        return cfg_fail(err, CFG_E_VALUE, "step %u of a rollout of %u steps", s->step + 1, n_steps);
    if (suspended ? !may_suspend(s->resume) : s->resume != CFG_ROLLOUT_SCHEDULED)
        return cfg_fail(err, CFG_E_VALUE, "a rollout that is %s cannot go back to %s", phases[s->phase],
                        phases[s->resume]);
    if (back ? s->then != CFG_ROLLOUT_ROLLED_BACK && s->then != CFG_ROLLOUT_ABORTED : s->then != CFG_ROLLOUT_SCHEDULED)
        return cfg_fail(err, CFG_E_VALUE, "a rollout that is %s cannot become %s", phases[s->phase], phases[s->then]);
    bool scheduled = (suspended ? s->resume : s->phase) == CFG_ROLLOUT_SCHEDULED;
    if (scheduled && s->step != 0)
        return cfg_fail(err, CFG_E_VALUE, "a rollout that has not begun is at step %u", s->step + 1);
    if (s->phase == CFG_ROLLOUT_FINISHED && s->step + 1 != n_steps)
        return cfg_fail(err, CFG_E_VALUE, "a rollout finished at step %u of %u", s->step + 1, n_steps);
    return 0;
}

/* --- transitions --- */

static int refuse(struct cfg_error *err, const struct cfg_rollout_state *s, enum cfg_rollout_input input)
{
    const char *now = phases[s->phase];
    if (cfg_rollout_is_final(s))
        (void)cfg_fail(err, CFG_E_CONFLICT, "the rollout is %s: there is nothing left to %s", now, inputs[input]);
    else
        (void)cfg_fail(err, CFG_E_CONFLICT, "a rollout that is %s takes no \"%s\"", now, inputs[input]);
    static const char *const ways[] = {
        [CFG_ROLLOUT_SCHEDULED] = "it has not begun: cfgctl rollout pause and abort are what it takes",
        [CFG_ROLLOUT_ROLLING] = "cfgctl rollout status says what it waits for; advance -m WHY goes on whatever that is",
        [CFG_ROLLOUT_BAKING] = "cfgctl rollout status says what it waits for; advance -m WHY goes on whatever that is",
        [CFG_ROLLOUT_GATE] = "cfgctl rollout approve lets it go on, abort goes back",
        [CFG_ROLLOUT_PAUSED] = "resume it first (cfgctl rollout resume), or go back (abort)",
        [CFG_ROLLOUT_FROZEN] =
            "it goes on when its freeze window ends; cfgctl rollout abort goes back, and start --now "
            "-m WHY past all windows",
        [CFG_ROLLOUT_ROLLING_BACK] = "it is on its way back to the old release; cfgctl rollout advance "
                                     "-m WHY ends the wait for workers that will not come back",
    };
    if (s->phase < sizeof ways / sizeof ways[0] && ways[s->phase])
        cfg_error_set_hint(err, "%s", ways[s->phase]);
    return CFG_E_CONFLICT;
}

static struct cfg_rollout_state in_phase(enum cfg_rollout_phase phase, unsigned step)
{
    return (struct cfg_rollout_state){
        .phase = phase, .resume = CFG_ROLLOUT_SCHEDULED, .then = CFG_ROLLOUT_SCHEDULED, .step = step};
}

static void go_on(struct cfg_rollout_state *out, enum cfg_rollout_effect *effect, unsigned step, unsigned n_steps)
{
    bool last = step + 1 >= n_steps;
    *out = in_phase(last ? CFG_ROLLOUT_FINISHED : CFG_ROLLOUT_ROLLING, last ? step : step + 1);
    *effect = last ? CFG_ROLLOUT_FINISH : CFG_ROLLOUT_SHARE;
}

static void suspend(struct cfg_rollout_state *out, const struct cfg_rollout_state *s, enum cfg_rollout_phase phase)
{
    *out = in_phase(phase, s->step);
    out->resume = is_suspended(s->phase) ? s->resume : s->phase;
}

static void go_back(struct cfg_rollout_state *out, enum cfg_rollout_effect *effect, const struct cfg_rollout_state *s,
                    enum cfg_rollout_phase then)
{
    bool exposed = cfg_rollout_is_exposed(s);
    *out = in_phase(exposed ? CFG_ROLLOUT_ROLLING_BACK : then, s->step);
    out->then = exposed ? then : CFG_ROLLOUT_SCHEDULED;
    *effect = CFG_ROLLOUT_REVERT;
}

int cfg_rollout_next(struct cfg_rollout_state *out, enum cfg_rollout_effect *effect, const struct cfg_rollout_state *s,
                     enum cfg_rollout_input input, unsigned n_steps, bool gate, struct cfg_error *err)
{
    struct cfg_rollout_state next = *s;
    enum cfg_rollout_effect does = CFG_ROLLOUT_KEEP;
    enum move move = (enum move)table[s->phase][input];
    if (move == REVERT && !cfg_rollout_is_exposed(s))
        move = NO;
    switch (move) {
    case NO:
        return refuse(err, s, input);
    case ROLL:
        next = in_phase(CFG_ROLLOUT_ROLLING, 0);
        does = CFG_ROLLOUT_SHARE;
        break;
    case BAKE:
        next = in_phase(CFG_ROLLOUT_BAKING, s->step);
        break;
    case STOP:
        if (gate)
            next = in_phase(CFG_ROLLOUT_GATE, s->step);
        else
            go_on(&next, &does, s->step, n_steps);
        break;
    case NEXT:
        go_on(&next, &does, s->step, n_steps);
        break;
    case HALT:
        suspend(&next, s, CFG_ROLLOUT_PAUSED);
        break;
    case COOL:
        suspend(&next, s, CFG_ROLLOUT_FROZEN);
        break;
    case BACK:
        next = in_phase(s->resume, s->step);
        break;
    case REVERT:
        go_back(&next, &does, s, CFG_ROLLOUT_ROLLED_BACK);
        break;
    case GIVE_UP:
        go_back(&next, &does, s, CFG_ROLLOUT_ABORTED);
        break;
    case SETTLE:
        next = in_phase(s->then, s->step);
        break;
    }
    int rc = cfg_rollout_state_check(&next, n_steps, err);
    if (rc != 0)
        return rc;
    *out = next;
    *effect = does;
    return 0;
}
