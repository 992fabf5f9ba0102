/* The rollout's machine: every state with every input, and every walk of the graph. */
#include <criterion/criterion.h>

#include "configd/rollout_machine.h"

#include <string.h>

enum { STEPS = 3 };

static struct cfg_rollout_state state(enum cfg_rollout_phase phase, unsigned step)
{
    return (struct cfg_rollout_state){.phase = phase, .step = step};
}

/* Every state that the invariant allows. */
static size_t all_states(struct cfg_rollout_state out[], size_t cap, unsigned n_steps)
{
    size_t n = 0;
    for (unsigned p = 0; p < CFG_ROLLOUT_PHASES; p++)
        for (unsigned resume = 0; resume < CFG_ROLLOUT_PHASES; resume++)
            for (unsigned then = 0; then < CFG_ROLLOUT_PHASES; then++)
                for (unsigned step = 0; step < n_steps; step++) {
                    struct cfg_rollout_state s = {(enum cfg_rollout_phase)p, (enum cfg_rollout_phase)resume,
                                                  (enum cfg_rollout_phase)then, step};
                    if (cfg_rollout_state_check(&s, n_steps, NULL) != 0)
                        continue;
                    cr_assert_lt(n, cap);
                    out[n++] = s;
                }
    return n;
}

Test(machine, every_input_keeps_the_invariant_or_is_refused)
{
    struct cfg_rollout_state states[256];
    size_t n = all_states(states, 256, STEPS), moves = 0;
    /* 1 scheduled, 3 of rolling, baking, gate; paused and frozen over those 10; rolling back 3 × 2; final 3, 3, 1. */
    cr_assert_eq(n, 1 + 9 + 2 * 10 + 6 + 7, "%zu", n);
    for (size_t i = 0; i < n; i++)
        for (unsigned in = 0; in < CFG_ROLLOUT_INPUTS; in++)
            for (int gate = 0; gate < 2; gate++) {
                struct cfg_rollout_state next = states[i];
                enum cfg_rollout_effect effect = CFG_ROLLOUT_KEEP;
                struct cfg_error err = CFG_ERROR_INIT;
                int rc = cfg_rollout_next(&next, &effect, &states[i], (enum cfg_rollout_input)in, STEPS, gate, &err);
                cr_assert(rc == 0 || rc == CFG_E_CONFLICT);
                cr_assert(!cfg_rollout_is_final(&states[i]) || rc == CFG_E_CONFLICT, "a final state moved");
                if (rc != 0) {
                    cr_assert(memcmp(&next, &states[i], sizeof next) == 0 && err.text[0]);
                    continue;
                }
                moves++;
                cr_assert_eq(cfg_rollout_state_check(&next, STEPS, &err), 0, "%s", err.text);
                /* The deployment is told exactly when who may run the release changes, or how many. */
                bool was = cfg_rollout_is_exposed(&states[i]), is = cfg_rollout_is_exposed(&next);
                cr_assert_eq(effect == CFG_ROLLOUT_SHARE, (is && !was) || (is && next.step != states[i].step));
                cr_assert_eq(effect == CFG_ROLLOUT_FINISH, next.phase == CFG_ROLLOUT_FINISHED);
                cr_assert(effect != CFG_ROLLOUT_REVERT || !is);
                cr_assert(!(was && !is) || effect == CFG_ROLLOUT_REVERT || effect == CFG_ROLLOUT_FINISH);
                cr_assert(next.step == states[i].step || next.step == states[i].step + 1, "a step was left out");
            }
    cr_assert_gt(moves, 100);
}

/* From wherever a rollout is, it can still end, and what ended did so by one of the three ways. */
Test(machine, there_is_a_way_out_of_every_state)
{
    struct cfg_rollout_state states[256];
    size_t n = all_states(states, 256, STEPS);
    for (size_t i = 0; i < n; i++) {
        struct cfg_rollout_state s = states[i];
        enum cfg_rollout_effect effect;
        if (cfg_rollout_is_final(&s))
            continue;
        if (s.phase != CFG_ROLLOUT_ROLLING_BACK)
            cr_assert_eq(cfg_rollout_next(&s, &effect, &states[i], CFG_ROLLOUT_ABORT, STEPS, false, NULL), 0);
        if (s.phase == CFG_ROLLOUT_ROLLING_BACK) { /* also where somebody never comes back */
            struct cfg_rollout_state said = s;
            cr_assert_eq(cfg_rollout_next(&s, &effect, &s, CFG_ROLLOUT_SETTLED, STEPS, false, NULL), 0);
            cr_assert_eq(cfg_rollout_next(&said, &effect, &said, CFG_ROLLOUT_ADVANCE, STEPS, false, NULL), 0);
            cr_assert(said.phase == s.phase && effect == CFG_ROLLOUT_KEEP);
        }
        cr_assert(cfg_rollout_is_final(&s));
    }
}

static void walk(struct cfg_rollout_state *s, enum cfg_rollout_input input, bool gate, enum cfg_rollout_phase phase,
                 unsigned step, enum cfg_rollout_effect effect)
{
    enum cfg_rollout_effect does;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_rollout_next(s, &does, s, input, STEPS, gate, &err), 0, "%s", err.text);
    cr_assert(s->phase == phase && s->step == step && does == effect, "%s at %u", cfg_rollout_phase_name(s->phase),
              s->step);
}

Test(machine, a_healthy_rollout_walks_through_its_steps)
{
    struct cfg_rollout_state s = state(CFG_ROLLOUT_SCHEDULED, 0);
    walk(&s, CFG_ROLLOUT_DUE, false, CFG_ROLLOUT_ROLLING, 0, CFG_ROLLOUT_SHARE);
    walk(&s, CFG_ROLLOUT_CONVERGED, false, CFG_ROLLOUT_BAKING, 0, CFG_ROLLOUT_KEEP);
    walk(&s, CFG_ROLLOUT_PAUSE, false, CFG_ROLLOUT_PAUSED, 0, CFG_ROLLOUT_KEEP);
    walk(&s, CFG_ROLLOUT_RESUME, false, CFG_ROLLOUT_BAKING, 0, CFG_ROLLOUT_KEEP);
    walk(&s, CFG_ROLLOUT_PASSED, true, CFG_ROLLOUT_GATE, 0, CFG_ROLLOUT_KEEP);
    walk(&s, CFG_ROLLOUT_FREEZE, false, CFG_ROLLOUT_FROZEN, 0, CFG_ROLLOUT_KEEP);
    walk(&s, CFG_ROLLOUT_PAUSE, false, CFG_ROLLOUT_PAUSED, 0, CFG_ROLLOUT_KEEP);
    walk(&s, CFG_ROLLOUT_RESUME, false, CFG_ROLLOUT_GATE, 0, CFG_ROLLOUT_KEEP);
    walk(&s, CFG_ROLLOUT_APPROVE, false, CFG_ROLLOUT_ROLLING, 1, CFG_ROLLOUT_SHARE);
    walk(&s, CFG_ROLLOUT_ADVANCE, false, CFG_ROLLOUT_ROLLING, 2, CFG_ROLLOUT_SHARE);
    walk(&s, CFG_ROLLOUT_CONVERGED, false, CFG_ROLLOUT_BAKING, 2, CFG_ROLLOUT_KEEP);
    walk(&s, CFG_ROLLOUT_PASSED, false, CFG_ROLLOUT_FINISHED, 2, CFG_ROLLOUT_FINISH);
}

Test(machine, failures_and_aborts_go_back)
{
    struct cfg_rollout_state s = state(CFG_ROLLOUT_BAKING, 1);
    walk(&s, CFG_ROLLOUT_FAILED, false, CFG_ROLLOUT_ROLLING_BACK, 1, CFG_ROLLOUT_REVERT);
    walk(&s, CFG_ROLLOUT_SETTLED, false, CFG_ROLLOUT_ROLLED_BACK, 1, CFG_ROLLOUT_KEEP);
    s = state(CFG_ROLLOUT_GATE, 2);
    walk(&s, CFG_ROLLOUT_ABORT, false, CFG_ROLLOUT_ROLLING_BACK, 2, CFG_ROLLOUT_REVERT);
    walk(&s, CFG_ROLLOUT_SETTLED, false, CFG_ROLLOUT_ABORTED, 2, CFG_ROLLOUT_KEEP);
    s = state(CFG_ROLLOUT_SCHEDULED, 0);
    walk(&s, CFG_ROLLOUT_ABORT, false, CFG_ROLLOUT_ABORTED, 0, CFG_ROLLOUT_REVERT);
}

Test(machine, what_is_refused_says_why)
{
    struct cfg_rollout_state s = state(CFG_ROLLOUT_FINISHED, STEPS - 1), out = s;
    enum cfg_rollout_effect effect;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_rollout_next(&out, &effect, &s, CFG_ROLLOUT_ABORT, STEPS, false, &err), CFG_E_CONFLICT);
    cr_assert(strstr(err.text, "finished") && strstr(err.text, "abort"), "%s", err.text);
    s = (struct cfg_rollout_state){.phase = CFG_ROLLOUT_PAUSED, .resume = CFG_ROLLOUT_SCHEDULED};
    cr_assert_eq(cfg_rollout_next(&out, &effect, &s, CFG_ROLLOUT_FAILED, STEPS, false, &err), CFG_E_CONFLICT,
                 "nobody runs it: nothing can fail");
}

Test(machine, names_are_read_back)
{
    for (unsigned i = 0; i < CFG_ROLLOUT_PHASES; i++) {
        enum cfg_rollout_phase p;
        cr_assert_eq(cfg_rollout_phase_parse(&p, cfg_rollout_phase_name((enum cfg_rollout_phase)i), NULL), 0);
        cr_assert_eq(p, i);
    }
    for (unsigned i = 0; i < CFG_ROLLOUT_INPUTS; i++) {
        enum cfg_rollout_input in;
        cr_assert_eq(cfg_rollout_input_parse(&in, cfg_rollout_input_name((enum cfg_rollout_input)i), NULL), 0);
        cr_assert_eq(in, i);
    }
    enum cfg_rollout_phase p;
    cr_assert_eq(cfg_rollout_phase_parse(&p, "melting", NULL), CFG_E_VALUE);
}
