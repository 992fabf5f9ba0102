"""Rollouts that stop themselves, over simulated workers (cfg-fleet) of a real etcd and real configds.

    rollouts.py --runs 200 --seed 7        planted regressions go back within one bake interval; healthy ones finish
    rollouts.py --attacks all --seed 7     the driver is killed or stopped at every transition, etcd stops, a replica falls silent

Every run's story is read from its history afterwards: no step repeated or left out, no bake cut short."""
import argparse
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as laboratory  # noqa: E402

FLEET = os.path.abspath(os.path.join(laboratory.BUILD, "worker", "cfg-fleet", "cfg-fleet"))
FINAL = ("finished", "rolled-back", "aborted")
GUARDS = ["error_rate<2%", "p50_ms<1.25*base", "quality>0.9*base", "quality finite"]
PARAMS = {"plant.errors": 0.0, "plant.slower": 1.0, "plant.quality": 0.8}
# What a regression does to which parameter, at least; a seed makes it worse.
REGRESSIONS = {"plant.errors": 0.05, "plant.slower": 1.5, "plant.quality": 0.6}
TICK_S = 0.5


def fleet(lab, name, server, deployments, workers, prefix="sim"):
    args = [FLEET, "--server", server, "--workers", str(workers), "--prefix", prefix, "--quiet",
            "--step-ms", "20 * plant.slower ~ 10%", "--metric", "error_rate=0.005 + plant.errors ~ coin", "--metric", "quality=plant.quality ~ 0.1"]
    for d in deployments:
        args += ["--deployment", d]
    for path, value in PARAMS.items():
        args += ["--param", f"{path}={value}"]
    return laboratory.Process(lab, name, args).start()


def make(configd, name):
    """A namespace and a deployment that holds it."""
    laboratory.set_value(configd.url, PARAMS, namespace=name)
    configd.call("POST", "/v1/deployments", {"name": name, "config": name, "track": "hold"})


def reported(configd, name, n):
    """n workers are there and have told of themselves, metrics included."""
    whole = configd.call("GET", f"/v1/deployments/{name}/fleet")
    arm = next((a for a in whole["arms"] if a["arm"] == "base"), {})
    return whole["workers"] >= n and "quality" in arm.get("metrics", {})


def start(configd, name, steps, bake_ms, guards=GUARDS):
    """Ten groups may all lie above one half: another seed, then."""
    for _ in range(20):
        try:
            return configd.call("POST", "/v1/rollouts", {"deployment": name, "steps": steps, "bake_ms": bake_ms, "guards": guards})
        except laboratory.Problem as p:
            if p.status != 422:
                raise
    raise AssertionError("no seed holds a group")


def story(configd, name):
    """The newest run's versions, oldest first."""
    items = configd.call("GET", f"/v1/rollouts/{name}/history?limit=200")["items"]
    return [v for v in reversed(items) if v["run"] == items[0]["run"]]


def seconds(version):
    date, fraction = version["time"].rstrip("Z").split(".")
    return time.mktime(time.strptime(date, "%Y-%m-%dT%H:%M:%S")) + float("0." + fraction)


def check(versions, slack_s=0.05):
    """What holds of every story, whoever was killed when."""
    share = None
    for a, b in zip(versions, versions[1:]):
        assert b["version"] == a["version"] + 1 and b["parent"] == a["version"], f"a version is missing: {a['version']}, {b['version']}"
        was, now, said = a["state"], b["state"], b["decision"]["input"]
        assert a["state"]["phase"] not in FINAL, f"{was} moved on"
        step = now["step"] - was["step"]
        assert step in (0, 1), f"from step {was['step']} to {now['step']}"
        assert (step == 1) <= (said in ("passed", "approve", "advance")), f"{said} took a step"
        if said == "passed":
            bake = versions[0]["steps"][was["step"]]["bake_ms"]
            assert was["phase"] == "baking" and b["decision"]["baked_ms"] >= bake, f"baked {b['decision']['baked_ms']} of {bake} ms"
            assert seconds(b) - seconds(a) >= bake / 1000 - slack_s, f"{bake} ms of baking took {seconds(b) - seconds(a)} s"
            assert all(g["verdict"] == "passes" for g in b["decision"]["guards"]), b["decision"]
            assert b["decision"]["arms"]["unknown"] == 0, b["decision"]["arms"]
        if said == "converged":
            canary = b["decision"]["arms"]["canary"]
            assert canary["converged"] == canary["workers"] > 0, canary
        share = now["step"]
    return share


def over(configd, name):
    return configd.call("GET", f"/v1/rollouts/{name}")["state"]["phase"] in FINAL


# --- many runs ---


def plant(chance):
    path = chance.choice(sorted(REGRESSIONS))
    by = chance.uniform(1.0, 1.5)
    return {path: REGRESSIONS[path] / by if path == "plant.quality" else REGRESSIONS[path] * by}


def runs(n, seed, at_once, bake_ms, within_ms, workers):
    """Half of them planted. (planted caught, planted, healthy finished, healthy, what went wrong, slowest rollback)."""
    chance = random.Random(seed)
    caught = finished = planted = healthy = 0
    slowest, wrong = 0.0, []
    with laboratory.Lab() as lab:
        etcd = lab.etcd()
        configd = laboratory.Configd(lab, "c0", [etcd[0].url]).start().wait_ready()
        names = [f"d{i}" for i in range(min(at_once, n))]
        for name in names:
            make(configd, name)
        fleet(lab, "fleet", configd.url, names, workers * len(names))
        for name in names:
            laboratory.wait_for(f"the workers of {name}", lambda name=name: reported(configd, name, workers))
        done = 0
        while done < n:
            turn = names[:n - done]
            plants = {name: plant(chance) if chance.random() < 0.5 else {} for name in turn}
            for i, name in enumerate(turn):
                laboratory.set_value(configd.url, {**PARAMS, **plants[name], "run": seed * 100000 + done + i}, namespace=name)
                start(configd, name, [0.5, 1], bake_ms)
            laboratory.wait_for("the ends", lambda: all(over(configd, name) for name in turn), 60 + bake_ms / 100)
            for name in turn:
                versions = story(configd, name)
                check(versions)
                end, by = versions[-1], {v["decision"]["input"]: v for v in versions}
                if plants[name]:
                    planted += 1
                    back = end["state"]["phase"] == "rolled-back"
                    took = seconds(end) - seconds(by["due"])
                    slowest = max(slowest, took if back else 0)
                    caught += back and took <= within_ms / 1000
                    if not back or took > within_ms / 1000:
                        wrong.append(f"{name}: {plants[name]} {end['state']['phase']} after {took:.1f} s")
                else:
                    healthy += 1
                    finished += end["state"]["phase"] == "finished"
                    if end["state"]["phase"] != "finished":
                        wrong.append(f"{name}: healthy, but {end.get('reason')}")
            done += len(turn)
            print(f"{done} of {n}: {caught} of {planted} regressions back within {within_ms / 1000:g} s, {finished} of {healthy} healthy ones finished", flush=True)
    return caught, planted, finished, healthy, wrong, slowest


# --- attacks ---


class Attack:
    """Two configds with workers of one deployment each; one rollout, attacked when its history shows a transition."""

    def __init__(self, lab, seed, bake_ms):
        self.lab, self.bake_ms = lab, bake_ms
        self.chance = random.Random(seed)
        self.etcd = lab.etcd()[0]
        self.configds = [laboratory.Configd(lab, f"c{i}", [self.etcd.url]).start().wait_ready() for i in range(2)]
        make(self.configds[0], "blue")
        # Each fleet knows both, so that its workers move when one dies.
        urls = [c.url for c in self.configds]
        for i in range(2):
            fleet(lab, f"fleet{i}", ",".join(urls[i:] + urls[:i]), ["blue"], 10, f"f{i}")
        laboratory.wait_for("both fleets", lambda: all(reported(c, "blue", 20) for c in self.configds))

    def living(self):
        return next(c for c in self.configds if c.alive() and c.child and not getattr(c, "stopped", False))

    def driver(self):
        name = self.living().call("GET", "/v1/rollouts/blue").get("live", {}).get("driver", "")
        return next((c for c in self.configds if c.name == name), None)

    def wait_for_input(self, word, nth):
        def there():
            return [v["decision"]["input"] for v in story(self.living(), "blue")].count(word) >= nth
        laboratory.wait_for(f"{word} ({nth})", there, 90)

    def kill(self):
        driver = self.driver()
        if driver is None:
            return "nobody drove"
        driver.kill()
        time.sleep(self.chance.uniform(0, 2))
        driver.start().wait_ready()
        return f"killed {driver.name}"

    def freeze(self):
        driver = self.driver()
        if driver is None:
            return "nobody drove"
        driver.signal(signal.SIGSTOP)
        driver.stopped = True
        time.sleep(7)
        driver.signal(signal.SIGCONT)
        driver.stopped = False
        return f"stopped {driver.name} for 7 s"

    def cut(self):
        before = len(story(self.living(), "blue"))
        self.etcd.signal(signal.SIGSTOP)
        time.sleep(3)
        self.etcd.signal(signal.SIGCONT)
        laboratory.wait_for("etcd", lambda: self.living().call("GET", "/v1/rollouts/blue"))
        return f"etcd away for 3 s, {len(story(self.living(), 'blue')) - before} versions since"

    def roll(self, kinds):
        """A healthy rollout, attacked at each of its transitions in turn."""
        laboratory.set_value(self.living().url, {"run": self.chance.random()}, namespace="blue")
        start(self.living(), "blue", [0.5, 1], self.bake_ms)
        for (word, nth), kind in kinds:
            self.wait_for_input(word, nth)
            print(f"at {word} {nth}: {getattr(self, kind)()}", flush=True)
        laboratory.wait_for("the end", lambda: over(self.living(), "blue"), 120)
        versions = story(self.living(), "blue")
        check(versions)
        assert versions[-1]["state"]["phase"] == "finished", versions[-1]
        said = [v["decision"]["input"] for v in versions]
        assert said == ["start", "due", "converged", "passed", "converged", "passed"], said

    def silent_replica(self):
        """While a replica with workers is silent nothing passes; when it is back everything does."""
        bake_ms = max(self.bake_ms, 8000)  # long enough to find out who drives
        laboratory.set_value(self.living().url, {"run": self.chance.random()}, namespace="blue")
        start(self.living(), "blue", [0.5, 1], bake_ms)
        self.wait_for_input("converged", 1)
        laboratory.wait_for("a driver", lambda: self.driver() is not None)
        other = next(c for c in self.configds if c is not self.driver())
        other.signal(signal.SIGSTOP)
        other.stopped = True
        time.sleep(bake_ms / 1000 + 3)
        now = self.living().call("GET", "/v1/rollouts/blue")
        assert now["state"] == {"phase": "baking", "step": 0}, f"it passed without {other.name}: {now['state']}"
        assert other.name in now["live"]["waits"], now["live"]["waits"]
        print(f"without {other.name} it waits: {now['live']['waits']}", flush=True)
        other.signal(signal.SIGCONT)
        other.stopped = False
        laboratory.wait_for("the end", lambda: over(self.living(), "blue"), 120)
        versions = story(self.living(), "blue")
        check(versions)
        assert versions[-1]["state"]["phase"] == "finished", versions[-1]


TRANSITIONS = [("start", 1), ("due", 1), ("converged", 1), ("passed", 1), ("converged", 2)]


def attacks(which, seed, bake_ms):
    with laboratory.Lab() as lab:
        attack = Attack(lab, seed, bake_ms)
        if which == "all":
            for kind in ("kill", "freeze", "cut"):
                attack.roll([(t, kind) for t in TRANSITIONS])
        elif which == "one":
            attack.roll([(attack.chance.choice(TRANSITIONS), "kill")])
        else:
            attack.roll(sorted(zip(attack.chance.sample(TRANSITIONS, 2), ["kill", "cut"]), key=lambda a: TRANSITIONS.index(a[0])))
        if which != "one":
            attack.silent_replica()
    print("every story holds")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--runs", type=int, default=0)
    p.add_argument("--attacks", choices=["one", "few", "all"])
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--at-once", type=int, default=16, help="deployments that roll out at the same time")
    p.add_argument("--workers", type=int, default=10, help="of each deployment")
    p.add_argument("--bake-ms", type=int, default=15000)
    p.add_argument("--within-ms", type=int, help="how long a complete rollback may take (as long as a step bakes)")
    o = p.parse_args()
    if o.attacks:
        attacks(o.attacks, o.seed, o.bake_ms)
    within_ms = o.within_ms or o.bake_ms
    if o.runs:
        caught, planted, finished, healthy, wrong, slowest = runs(o.runs, o.seed, o.at_once, o.bake_ms, within_ms, o.workers)
        print("\n".join(wrong))
        print(f"{caught} of {planted} regressions went back within {within_ms / 1000:g} s (slowest {slowest:.1f} s), {finished} of {healthy} healthy ones finished")
        if caught < planted or finished < healthy - healthy // 100:
            sys.exit(1)


main()
