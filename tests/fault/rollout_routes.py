"""How a test brings a rollout to each transition of the machine (rollout_table prints them): one way each.

A route stays where it was led to until the test makes the transition happen: what waits for a time has its start far away, what rolls has
workers that stand still, what bakes has long to bake. So each transition is met when it is meant to be."""
import collections

LONG_MS, SHORT_MS = 600000, 1200

# steps, gate, bake: of the plan. later: it is scheduled for a time far away. prelude: what happens before. trigger: what makes the transition
# happen. reject, errors: the release is refused by workers, or brings errors once the flag is on.
Route = collections.namedtuple("Route", "steps gate bake later prelude trigger reject errors", defaults=([0.5, 1], False, LONG_MS, False, (), None, False, False))

# Words of preludes and triggers:
#   a person's input                pause, resume, approve, advance, abort
#   the clock                       into-window, past-window, start-time
#   the workers                     halt (before the start), hold (some of them), go
#   the regression                  break
#   nothing                         None: it happens by itself


def routes():
    two, one = [0.5, 1], [1]
    scheduled = dict(later=True)
    rolling = dict(prelude=("halt", "wait rolling"))
    baking = dict(prelude=("wait baking",))
    gate = dict(prelude=("wait gate",), gate=True, bake=SHORT_MS)
    out = {
        ("scheduled", "due", "rolling"): Route(later=True, trigger="start-time"),
        ("rolling", "converged", "baking"): Route(**rolling, trigger="go"),
        ("rolling", "failed", "rolling-back"): Route(reject=True),
        ("baking", "passed", "rolling"): Route(bake=SHORT_MS),
        ("baking", "passed", "gate"): Route(bake=SHORT_MS, gate=True),
        ("baking", "passed", "finished"): Route(bake=SHORT_MS, steps=one),
        ("baking", "failed", "rolling-back"): Route(**baking, errors=True, trigger="break"),
        ("gate", "failed", "rolling-back"): Route(**gate, errors=True, trigger="break"),
        ("gate", "approve", "rolling"): Route(**gate, trigger="approve"),
        ("gate", "approve", "finished"): Route(**gate, steps=one, trigger="approve"),
        ("paused", "failed", "rolling-back"): Route(prelude=("wait baking", "pause"), errors=True, trigger="break"),
        ("frozen", "failed", "rolling-back"): Route(prelude=("wait baking", "into-window", "wait frozen"), errors=True, trigger="break"),
        ("frozen", "pause", "paused"): Route(prelude=("wait baking", "into-window", "wait frozen"), trigger="pause"),
        ("paused", "abort", "aborted"): Route(later=True, prelude=("pause",), trigger="abort"),
        ("paused", "abort", "rolling-back"): Route(prelude=("wait baking", "pause"), trigger="abort"),
        ("frozen", "abort", "aborted"): Route(later=True, prelude=("into-window", "wait frozen"), trigger="abort"),
        ("frozen", "abort", "rolling-back"): Route(prelude=("wait baking", "into-window", "wait frozen"), trigger="abort"),
        ("rolling-back", "settled", "aborted"): Route(**baking, trigger="abort"),
        ("rolling-back", "settled", "rolled-back"): Route(**baking, errors=True, trigger="break"),
        ("rolling-back", "advance", "aborted"): Route(prelude=("wait baking", "hold", "abort", "wait rolling-back"), trigger="advance"),
        ("rolling-back", "advance", "rolled-back"): Route(prelude=("wait baking", "hold", "break", "wait rolling-back"), errors=True,
                                                          trigger="advance"),
        ("scheduled", "abort", "aborted"): Route(**scheduled, trigger="abort"),
    }
    for phase, way in (("scheduled", scheduled), ("rolling", rolling), ("baking", baking), ("gate", gate)):
        out[phase, "freeze", "frozen"] = Route(**way, trigger="into-window")
        out[phase, "pause", "paused"] = Route(**way, trigger="pause")
        out[phase, "advance", "rolling"] = Route(**way, steps=two, trigger="advance")
        before = way.get("prelude", ())
        out["paused", "resume", phase] = Route(**{**way, "prelude": (*before, "pause")}, trigger="resume")
        out["frozen", "thaw", phase] = Route(**{**way, "prelude": (*before, "into-window", "wait frozen")}, trigger="past-window")
        if phase != "scheduled":
            out[phase, "advance", "finished"] = Route(**way, steps=one, trigger="advance")
            out[phase, "abort", "rolling-back"] = Route(**way, trigger="abort")
    return out
