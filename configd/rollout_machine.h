/* The life of a rollout as a machine over values: (state, input) → state and what to do to the deployment. Pure.
 *
 *                    ┌───────────────────────── passed (more steps, no gate) / approve / advance ─┐
 *                    ▼                                                                             │
 *   SCHEDULED ─due► ROLLING ─converged► BAKING ─passed (gate)► GATE ─approve────────────────────────┤
 *       │              │                   │                     │                                 │
 *       │              ├───── failed ──────┼────── failed ───────┤          last step: ► FINISHED ◄┘
 *       │              ▼                   ▼                     ▼
 *       │           ROLLING_BACK ◄──────── abort ────────────────┘ ─settled► ROLLED_BACK or ABORTED
 *       └─abort► ABORTED
 *
 *   PAUSED (pause … resume) and FROZEN (freeze … thaw) can be entered from SCHEDULED, ROLLING, BAKING and GATE and go
 *   back to where they came from; a guard that fails, and abort, leave them as they leave that place.
 *
 * The table of transitions is in rollout_machine.c; cfg_rollout_state_check is what holds after every one. */
#ifndef CFG_CONFIGD_ROLLOUT_MACHINE_H
#define CFG_CONFIGD_ROLLOUT_MACHINE_H

#include <cfg/error.h>

enum cfg_rollout_phase {
    CFG_ROLLOUT_SCHEDULED,    /* nobody runs the new release yet: it waits for its time */
    CFG_ROLLOUT_ROLLING,      /* the step's share is set; its groups are on their way */
    CFG_ROLLOUT_BAKING,       /* they run it, and are watched */
    CFG_ROLLOUT_GATE,         /* baked; a person has to approve */
    CFG_ROLLOUT_PAUSED,       /* a person said so */
    CFG_ROLLOUT_FROZEN,       /* a freeze window */
    CFG_ROLLOUT_ROLLING_BACK, /* everybody is told the old release; not all run it yet */
    CFG_ROLLOUT_ROLLED_BACK,  /* final, by a guard */
    CFG_ROLLOUT_ABORTED,      /* final, by a person */
    CFG_ROLLOUT_FINISHED,     /* final: everybody runs the new release */
};
enum { CFG_ROLLOUT_PHASES = CFG_ROLLOUT_FINISHED + 1 };

enum cfg_rollout_input {
    CFG_ROLLOUT_DUE,       /* the start time has come, no freeze window */
    CFG_ROLLOUT_CONVERGED, /* all of the arm's groups run the new release */
    CFG_ROLLOUT_PASSED,    /* baked long enough, and every guard passes */
    CFG_ROLLOUT_FAILED,    /* a guard is clearly violated, or workers reject the release */
    CFG_ROLLOUT_FREEZE,
    CFG_ROLLOUT_THAW,
    CFG_ROLLOUT_SETTLED, /* everybody runs the old release again */
    /* people */
    CFG_ROLLOUT_PAUSE,
    CFG_ROLLOUT_RESUME,
    CFG_ROLLOUT_APPROVE,
    CFG_ROLLOUT_ADVANCE, /* the next step now, whatever the guards know; going back: it has ended, whoever is missing */
    CFG_ROLLOUT_ABORT,
};
enum { CFG_ROLLOUT_INPUTS = CFG_ROLLOUT_ABORT + 1, CFG_ROLLOUT_STEPS_MAX = 32 };

/* What the deployment's record becomes with the transition. */
enum cfg_rollout_effect {
    CFG_ROLLOUT_KEEP,
    CFG_ROLLOUT_SHARE,  /* the split gets the share of state.step */
    CFG_ROLLOUT_FINISH, /* the new release for all; no split any more */
    CFG_ROLLOUT_REVERT, /* the old release for all; no split any more */
};

struct cfg_rollout_state {
    enum cfg_rollout_phase phase;
    enum cfg_rollout_phase resume; /* of PAUSED and FROZEN: where to go back to; else SCHEDULED */
    enum cfg_rollout_phase then;   /* of ROLLING_BACK: ROLLED_BACK or ABORTED; else SCHEDULED */
    unsigned step;                 /* of the plan, from 0; SCHEDULED: 0 */
};

const char *cfg_rollout_phase_name(enum cfg_rollout_phase p); /* "rolling-back" */
CFG_MUST_CHECK int cfg_rollout_phase_parse(enum cfg_rollout_phase *out, const char *name, struct cfg_error *err);
const char *cfg_rollout_input_name(enum cfg_rollout_input i); /* "converged", "pause", … */
CFG_MUST_CHECK int cfg_rollout_input_parse(enum cfg_rollout_input *out, const char *name, struct cfg_error *err);
bool cfg_rollout_input_is_persons(enum cfg_rollout_input i); /* a command, not something that the driver saw */

/* n_steps: of the plan; gate: does the step that is at stake end at a gate? *out and *effect are untouched on failure.
 * CFG_E_CONFLICT: the input has no place in this state, the text says why. */
CFG_MUST_CHECK int cfg_rollout_next(struct cfg_rollout_state *out, enum cfg_rollout_effect *effect,
                                    const struct cfg_rollout_state *s, enum cfg_rollout_input input, unsigned n_steps,
                                    bool gate, struct cfg_error *err);
bool cfg_rollout_is_final(const struct cfg_rollout_state *s);
/* Does the deployment have a split with a share, so that groups may run the new release? */
bool cfg_rollout_is_exposed(const struct cfg_rollout_state *s);
/* The invariant. CFG_E_VALUE says what is wrong. */
CFG_MUST_CHECK int cfg_rollout_state_check(const struct cfg_rollout_state *s, unsigned n_steps, struct cfg_error *err);

#endif
