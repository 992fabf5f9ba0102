"""What one rollout did, as etcd told it while it happened, and what must be true of it whoever was killed when.

Times are the test's own monotonic ones: when a version was sent (the earliest it can have come into force) and when it was heard of."""
import json

FINAL = ("finished", "rolled-back", "aborted")
STEPS = ("due", "passed", "approve", "advance")
OF_PERSONS = ("start", "pause", "resume", "approve", "advance", "abort")


class Version:
    def __init__(self, heard, value):
        self.heard, self.body = heard, json.loads(value)
        self.number, self.state, self.decision = self.body["version"], self.body["state"], self.body["decision"]
        self.input, self.phase, self.step = self.decision["input"], self.state["phase"], self.state["step"]

    def __repr__(self):
        return f"v{self.number} {self.input} → {self.phase} at step {self.step + 1} ({self.decision.get('actor')}: {self.decision.get('why')})"


def versions_of(events, key, run=None):
    """The versions of the newest run (or that one), oldest first."""
    found = [Version(heard, value) for heard, k, value in events if k == key and value]
    run = run or (found[-1].body["run"] if found else 0)
    return [v for v in found if v.body["run"] == run]


def transitions(versions):
    return [(a.phase, b.input, b.phase) for a, b in zip(versions, versions[1:])]


def tell(versions):
    t0 = versions[0].heard if versions else 0
    return "\n".join(f"  {v.heard - t0:7.2f} s  {v}" for v in versions)


class Broken(AssertionError):
    """An invariant does not hold."""


def demand(truth, text):
    if not truth:
        raise Broken(text)


def check_order(versions, table):
    """No version missing, no transition that the table lacks, no step twice or left out, one end."""
    demand(versions[0].input == "start" and versions[0].phase == "scheduled", f"it began with {versions[0]}")
    for a, b in zip(versions, versions[1:]):
        demand(b.number == a.number + 1 and b.body["parent"] == a.number, f"a version is missing between {a} and {b}")
        demand((a.phase, b.input, b.phase) in table, f"{a} became {b}: the machine has no such transition")
        demand(b.step - a.step in (0, 1), f"from {a} to {b}")
        demand(b.step == a.step or b.input in ("passed", "approve", "advance"), f"{b.input} took a step: {b}")
    ends = [v for v in versions if v.phase in FINAL]
    demand(len(ends) == 1 and ends[0] is versions[-1], f"ends: {ends}")
    steps = [v.step for v in versions if v.phase == "rolling" and v.input in STEPS]
    demand(steps == list(range(len(steps))), f"steps were begun in the order {steps}")
    if versions[-1].phase == "finished":
        demand(len(steps) == len(versions[0].body["steps"]), f"it finished after steps {steps}")


def check_bakes(versions, sent):
    """A bake that passed lasted as long as demanded, measured from outside; sent: {version: when it was sent}."""
    baked = {}
    for a, b in zip(versions, versions[1:]):
        if a.phase == "baking":
            began = max((t for t in sent.get(a.number, []) if t <= a.heard), default=a.heard)
            baked[a.step] = baked.get(a.step, 0) + b.heard - began
        if b.input == "passed":
            want = versions[0].body["steps"][a.step]["bake_ms"]
            demand(b.decision["baked_ms"] >= want, f"{b}: baked {b.decision['baked_ms']} of {want} ms")
            demand(baked[a.step] >= want / 1000, f"{b}: {want} ms of baking took {baked[a.step]:.3f} s")


def check_decisions(versions):
    """Who, and on which values; what passed or converged had done so."""
    for v in versions:
        demand(v.decision.get("actor"), f"{v}: nobody decided it")
        if v.input == "start":
            continue
        told = v.decision.get("guards")
        demand(told is not None and [g["guard"] for g in told] == versions[0].body["guards"], f"{v}: guards are {told}")
        demand(all("verdict" in g and "n" in g for g in told), f"{v}: {told}")
        demand("arms" in v.decision and "baked_ms" in v.decision, f"{v}: {v.decision}")
        if v.input == "passed":
            demand(all(g["verdict"] == "passes" for g in told), f"{v}: {told}")
            demand(v.decision["arms"]["unknown"] == 0, f"{v}: {v.decision['arms']}")
        if v.input == "converged":
            canary = v.decision["arms"]["canary"]
            demand(canary["converged"] == canary["workers"] > 0, f"{v}: {canary}")


def check_shares(versions, deployments):
    """The share is the plan's, never falls while the split is there; the split ends with the rollout's end or way back."""
    plan, last, over = [s["share"] for s in versions[0].body["steps"]], 0, False
    for d in deployments:
        split = d.get("split")
        if split is None:
            over = True
            continue
        demand(not over, f"the split came back: {split}")
        demand(split["share"] >= last, f"the share fell from {last} to {split['share']}")
        demand(split["share"] == 0 or split["share"] in plan, f"a share of {split['share']}")
        last = split["share"]
    demand(over, "the split is still there")


def check_said(versions, said):
    """What a person was told is done was done once; said: {why: (input, acknowledged)}."""
    for why, (word, acknowledged) in said.items():
        n = sum(v.decision.get("why") == why and v.input == word for v in versions)
        demand(n <= 1, f"{word} ({why}) was done {n} times")
        demand(n == 1 or not acknowledged, f"{word} ({why}) was acknowledged and is lost")


def check_views(name, values, old, new, back):
    """A group's views: old, then new, then old again only where the rollout went back."""
    seen = [v for i, v in enumerate(values) if i == 0 or values[i - 1] != v]
    allowed = ([], [old], [new], [old, new], *([[old, new, old], [new, old]] if back else []))
    demand(seen in allowed, f"{name} went {seen}, from {old} to {new}")
