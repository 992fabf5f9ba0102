/* Prints every transition of the rollout's machine, so that a test can attack each of them and misses none:
 *
 *     scheduled due rolling        FROM INPUT TO
 *
 * Each once, over plans of two steps with and without a gate. */
#include "configd/rollout_machine.h"

#include <stdio.h>

enum { STEPS = 2 };

static bool seen[CFG_ROLLOUT_PHASES][CFG_ROLLOUT_INPUTS][CFG_ROLLOUT_PHASES];

static void try_input(const struct cfg_rollout_state *s, enum cfg_rollout_input input, bool gate)
{
    struct cfg_rollout_state next;
    enum cfg_rollout_effect effect;
    if (cfg_rollout_next(&next, &effect, s, input, STEPS, gate, NULL) != 0 || seen[s->phase][input][next.phase])
        return;
    seen[s->phase][input][next.phase] = true;
    (void)printf("%s %s %s\n", cfg_rollout_phase_name(s->phase), cfg_rollout_input_name(input),
                 cfg_rollout_phase_name(next.phase));
}

static void try_state(const struct cfg_rollout_state *s)
{
    if (cfg_rollout_state_check(s, STEPS, NULL) != 0)
        return;
    for (unsigned input = 0; input < CFG_ROLLOUT_INPUTS; input++)
        for (unsigned gate = 0; gate < 2; gate++)
            try_input(s, (enum cfg_rollout_input)input, gate == 1);
}

int main(void)
{
    for (unsigned phase = 0; phase < CFG_ROLLOUT_PHASES; phase++)
        for (unsigned resume = 0; resume < CFG_ROLLOUT_PHASES; resume++)
            for (unsigned then = 0; then < CFG_ROLLOUT_PHASES; then++)
                for (unsigned step = 0; step < STEPS; step++) {
                    const struct cfg_rollout_state s = {(enum cfg_rollout_phase)phase, (enum cfg_rollout_phase)resume,
                                                        (enum cfg_rollout_phase)then, step};
                    try_state(&s);
                }
    return 0;
}
