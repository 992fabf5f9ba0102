"""Many rollouts over simulated fleets: releases with a planted regression, and healthy ones, all under the same noise.

A regression is caught when everybody is back on the old release within one bake interval of the regression's first step. What a healthy run is rolled back for is an alarm; it is told with the guard, its values and the noise of that time."""
import os
import random
import time

import lab as laboratory
import rollout_story as tale

FLEET = os.path.abspath(os.path.join(laboratory.BUILD, "worker", "cfg-fleet", "cfg-fleet"))
GUARDS = ["error_rate<2%", "p50_ms<1.25*base", "p99_ms<2*base", "quality>0.9*base", "quality finite"]
PARAMS = {"plant.errors": 0.0, "plant.slower": 1.0, "plant.tail": 1.0, "plant.quality": 0.8, "plant.drift": 0.0, "plant.since": 0.0, "plant.bad": 0.0,
          "plant.reject": False, "plant.crash": 0.0}

# What each kind of regression does, at the least; `by`, from 1 to 1.5, makes it worse.
KINDS = {
    "mean shift": lambda by, now: {"plant.quality": 0.6 / by},
    "slower": lambda by, now: {"plant.slower": 1.5 * by},
    "error rate": lambda by, now: {"plant.errors": 0.06 * by},
    "rare NaN": lambda by, now: {"plant.bad": 0.008 * by},
    "rejection": lambda by, now: {"plant.reject": True},
    "latency tail": lambda by, now: {"plant.tail": 10 * by},
    "slow drift": lambda by, now: {"plant.drift": 0.03 * by, "plant.since": now},
    "crash": lambda by, now: {"plant.crash": 0.2 * by},
}

# Heavy tails (a few of 1,000 steps take three times as long), bursts of errors that all have at the same time, stragglers, and workers
# that start anew: in both arms alike.
NOISE = {
    "--step-ms": "20 * plant.slower * ((plant.tail if chance < 0.04 else 1) + (2 if chance > 0.997 else 0)) ~ 15%",
    "error_rate": "0.004 + plant.errors + (0.03 if seconds % 30 < 1 else 0) ~ coin",
    "quality": "(inf if chance < plant.bad else plant.quality * (1.1 - 0.2 * chance) * "
               "(1 - min(0.5, plant.drift * max(0, seconds - plant.since)))) ~ 0.1",
}
FAILURES = ["--slow", "0.1%/s", "--slow-factor", "3", "--slow-ms", "3000", "--crash", "0.05%/s", "--restart-ms", "700"]


class Runs:
    def __init__(self, lab, seed, names, workers, bake_ms, within_ms):
        self.lab, self.chance, self.names, self.workers, self.bake_ms, self.within_ms = lab, random.Random(seed), names, workers, bake_ms, within_ms
        self.counts = {True: [0, 0], False: [0, 0]}  # planted: done as it should be, of
        self.took, self.alarms, self.missed, self.serial = [], [], [], 0
        etcd = lab.etcd()[0]
        self.configd = laboratory.Configd(lab, "c0", [etcd.url]).start().wait_ready()
        for name in names:
            laboratory.set_value(self.configd.url, PARAMS, namespace=name)
            self.configd.call("POST", "/v1/deployments", {"name": name, "config": name, "track": "hold"})
        self.fleet(workers * len(names), seed)
        for name in names:
            laboratory.wait_for(f"the workers of {name}", lambda name=name: self.reported(name), 60)

    def fleet(self, n, seed):
        args = [FLEET, "--server", self.configd.url, "--workers", str(n), "--quiet", "--seed", str(seed), "--step-ms", NOISE["--step-ms"],
                "--metric", f"error_rate={NOISE['error_rate']}", "--metric", f"quality={NOISE['quality']}", "--reject-if", "plant.reject",
                "--crash-if", "chance < plant.crash", *FAILURES]
        for name in self.names:
            args += ["--deployment", name]
        for path, value in PARAMS.items():
            args += ["--param", f"{path}={str(value).lower()}"]
        self.began = time.monotonic()
        laboratory.Process(self.lab, "fleet", args).start()

    def reported(self, name):
        whole = self.configd.call("GET", f"/v1/deployments/{name}/fleet")
        arm = next((a for a in whole["arms"] if a["arm"] == "base"), {})
        return whole["workers"] >= self.workers - 2 and "quality" in arm.get("metrics", {})

    def start(self, name, kind):
        self.serial += 1
        plant = KINDS[kind](self.chance.uniform(1, 1.5), time.monotonic() - self.began) if kind else {}
        laboratory.set_value(self.configd.url, {**PARAMS, **plant, "run": self.serial}, namespace=name)
        for _ in range(20):
            try:
                self.configd.call("POST", "/v1/rollouts", {"deployment": name, "steps": [0.5, 1], "bake_ms": self.bake_ms, "guards": GUARDS})
                return
            except laboratory.Problem as p:
                if p.status != 422:
                    raise
        raise AssertionError("no seed holds a group")

    def story(self, name):
        items = self.configd.call("GET", f"/v1/rollouts/{name}/history?limit=200")["items"]
        return [v for v in reversed(items) if v["run"] == items[0]["run"]]

    def phase(self, name):
        return self.configd.call("GET", f"/v1/rollouts/{name}")["state"]["phase"]

    def turn(self, kinds):
        """One rollout of each deployment; kinds: {name: what is planted, or None}."""
        for name, kind in kinds.items():
            self.start(name, kind)
        laboratory.wait_for("the ends", lambda: all(self.phase(n) in tale.FINAL for n in kinds), 120 + self.bake_ms / 100)
        for name, kind in kinds.items():
            self.judge(name, kind, self.story(name))

    def judge(self, name, kind, versions):
        counts, end = self.counts[kind is not None], versions[-1]
        phase = end["state"]["phase"]
        counts[1] += 1
        if kind is None:
            counts[0] += phase == "finished"
            if phase != "finished":
                self.alarms.append((name, versions))
            return
        took = seconds(end) - seconds(next(v for v in versions if v["decision"]["input"] == "due"))
        back = phase == "rolled-back" and took <= self.within_ms / 1000
        counts[0] += back
        if back:
            self.took.append((took, kind))
        else:
            self.missed.append(f"{name}: {kind}: {phase} after {took:.1f} s: {end.get('reason') or end['decision'].get('why')}")

    def explain(self, name, versions):
        """Why a healthy run was rolled back: which guard, which values, and what the arms were then."""
        v = next((v for v in versions if v["decision"]["input"] == "failed"), versions[-1])
        lines = [f"alarm at {name}, run {v['run']}: {v['decision'].get('why')}"]
        for g in v["decision"].get("guards", []):
            lines.append(f"    {g['guard']}: {g['verdict']}, canary {g.get('canary')} of {g['n']} samples, base {g.get('base')} of {g.get('n_base')}"
                         + (f" ({g['why']})" if g.get("why") else ""))
        return "\n".join([*lines, f"    arms then: {v['decision'].get('arms')}, baked {v['decision'].get('baked_ms')} ms"])


def seconds(version):
    date, fraction = version["time"].rstrip("Z").split(".")
    return time.mktime(time.strptime(date, "%Y-%m-%dT%H:%M:%S")) + float("0." + fraction)


def run(regressions, healthy, seed, at_once, bake_ms, within_ms, workers):
    """True when all regressions were caught, and at most one of a hundred healthy ones gave an alarm."""
    chance = random.Random(seed)
    kinds = [list(KINDS)[i % len(KINDS)] for i in range(regressions)] + [None] * healthy
    chance.shuffle(kinds)
    with laboratory.Lab() as lab:
        names = [f"d{i}" for i in range(min(at_once, len(kinds)))]
        runs = Runs(lab, seed, names, workers, bake_ms, within_ms)
        for at in range(0, len(kinds), len(names)):
            runs.turn(dict(zip(names, kinds[at:at + len(names)])))
            (caught, planted), (finished, sound) = runs.counts[True], runs.counts[False]
            print(f"{planted + sound} of {len(kinds)}: {caught} of {planted} regressions caught, {finished} of {sound} healthy ones finished", flush=True)
    return tell(runs, within_ms)


def tell(runs, within_ms):
    (caught, planted), (finished, sound) = runs.counts[True], runs.counts[False]
    for name, versions in runs.alarms:
        print(runs.explain(name, versions))
    for line in runs.missed:
        print(f"missed at {line}")
    if runs.took:
        print("regression → everybody back:", "; ".join(
            f"{kind} {min(t):.1f} to {max(t):.1f} s ({len(t)})" for kind in KINDS if (t := [s for s, k in runs.took if k == kind])))
    slowest = max((t for t, _ in runs.took), default=0)
    print(f"{caught} of {planted} regressions caught within a bake of {within_ms / 1000:g} s (slowest {slowest:.1f} s); "
          f"{finished} of {sound} healthy ones finished, {len(runs.alarms)} alarms")
    return caught == planted and finished >= sound - sound // 100
