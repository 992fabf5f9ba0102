"""Totals of experiments over two configd on one etcd, to the sample: what is told is counted once, whoever is killed or silent when; a stop
freezes it in the record, and leaves no key behind."""
import base64
import json
import os
import signal
import subprocess
import sys

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as laboratory  # noqa: E402
from cfgctl import Session as Base, main  # noqa: E402

WORKER = os.path.join(laboratory.BUILD, "tests", "e2e", "outcome_worker")
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
TALLY = b"/configd/v1/tally/"


def sketch(first, n):
    """Registers of n units (of 1,024 or fewer, each in a register of its own)."""
    return "".join("B" if first <= i < first + n else "A" for i in range(1024))


class Teller:
    """A worker that tells exactly what it is asked to."""

    def __init__(self, name):
        self.name, self.seq, self.incarnation = name, 0, f"{abs(hash(name)) % 2**60:016x}"

    def register(self, configd):
        configd.call("POST", "/v1/deployments/blue/workers", {"worker": self.name, "incarnation": self.incarnation, "contract": {}})
        return self

    def tell(self, configd, off, on, flag="exp/warm", again=False, units=(200, 200)):
        """So many samples of 10 and 12, one apart, of either variant."""
        def side(variant, n, mean, first, keys):
            m2 = float(n - n % 2)
            each = [n // 64 + (i < n % 64) for i in range(64)]
            parts = [v for i in range(64) for v in (each[i], (mean + (1 if i % 2 else -1)) if each[i] else 0)]
            return {"flag": flag, "variant": variant, "units": sketch(first, keys), "parts": {"latency_ms": parts},
                    "metrics": {"latency_ms": {"n": n, "mean": mean, "m2": m2, "min": mean - 1, "max": mean + 1, "last": mean, "bad": 0}}}

        self.seq += 0 if again else 1
        sides = [side("off", off, 10.0, 0, units[0]), side("on", on, 12.0, 500, units[1])]
        configd.call("POST", f"/v1/deployments/blue/workers/{self.name}/report",
                     {"incarnation": self.incarnation, "applied": None, "step": 1, "state": "running", "age_ms": 0,
                      "outcomes": {"seq": self.seq, "sides": sides}})


class Totals(Base):
    def setUp(self):
        super().setUp()
        self.etcd = next(p for p in self.lab.processes if isinstance(p, laboratory.Etcd))
        self.other = laboratory.Configd(self.lab, "other", [self.etcd.url]).start().wait_ready()
        self.ok("set", "chat/sampling.temperature=0.7")
        self.ok("deployment", "create", "blue", "--config", "chat", "--flags", "exp")
        for name in ("warm", "cold", "presence"):
            split = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                     "targeting": {"fractional": [["on", 50], ["off", 50]]}}
            self.configd.call("PUT", f"/v1/flags/exp/{name}", {"definition": split}, headers={"If-None-Match": "*"})
        for configd in (self.configd, self.other):  # so that presence names both
            environment = {k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}
            environment["CONFIGD_SERVER"] = configd.url
            child = subprocess.Popen([WORKER, "blue", "p-" + configd.name, "exp/presence", "0", "0"], stdin=subprocess.PIPE, env=environment)
            self.addCleanup(child.wait, 20)
            self.addCleanup(child.stdin.close)
        for configd in (self.configd, self.other):
            laboratory.wait_for("both seen", lambda c=configd: c.call("GET", "/v1/deployments/blue")["workers"] == 2)
        self.a, self.b = Teller("a").register(self.configd), Teller("b").register(self.other)

    def start(self, name="warm"):
        self.ok("experiment", "start", name, "blue", "exp/" + name, "latency_ms:decrease", "control=off", "--force")
        run = self.configd.call("GET", f"/v1/experiments/{name}")["run"]
        laboratory.wait_for("both follow it", lambda: all(any(e["name"] == name and e["run"] == run for e in c.call(
            "GET", "/v1/deployments/blue/outcomes?local=true")["experiments"]) for c in (self.configd, self.other)))
        return run

    def report(self, configd, name="warm"):
        return configd.call("GET", f"/v1/experiments/{name}/report")

    def still_there(self, says, *words):
        """Refused as a conflict, and nothing is gone; totals are written all the while, so the store's revision says nothing."""
        def heads():
            return [self.configd.call("GET", path) for path in ("/v1/flags/exp/warm", "/v1/deployments/blue")]
        before, done = heads(), self.run_cfgctl(*words)
        self.assertEqual(done.returncode, 4, done)
        self.assertRegex(done.stderr, says)
        self.assertEqual(heads(), before)

    def samples(self, report):
        return report["treatments"][0]["metrics"][0]["n"]

    def complete(self, *words):
        """What bash offers for the last word."""
        script = f"source <({laboratory.CFGCTL} completion bash); COMP_WORDS=({laboratory.CFGCTL} {' '.join(words)}); COMP_CWORD={len(words)}; " \
                 "_cfgctl; echo ${COMPREPLY[@]}"
        done = subprocess.run(["bash", "-c", script], env={**os.environ, "CONFIGD_SERVER": self.configd.url}, capture_output=True, text=True, timeout=20,
                              check=True)
        return done.stdout.split()

    def keys(self):
        def code(b):
            return base64.b64encode(b).decode()
        found = self.etcd.gateway("kv/range", {"key": code(TALLY), "range_end": code(TALLY[:-1] + b"0"), "keys_only": True})
        return [base64.b64decode(kv["key"])[len(TALLY):].decode() for kv in found.get("kvs", [])]

    def put(self, key, value=b"{}"):
        self.etcd.gateway("kv/put", {"key": base64.b64encode(TALLY + key).decode(), "value": base64.b64encode(value).decode()})

    def kept(self, n, name="warm"):
        """Until so many keys hold totals of it."""
        return laboratory.wait_for(f"{n} keys", lambda: len([k for k in self.keys() if k.startswith(name + "/")]) == n)

    def test_every_sample_counts_once(self):
        self.start()
        self.a.tell(self.configd, 150, 160)
        self.b.tell(self.other, 170, 180)
        for configd in (self.configd, self.other):  # at once: the other is asked
            seen = self.report(configd)
            self.assertEqual((self.samples(seen), seen["tallies"]), (340, 2))
            self.assertFalse(seen["partial"])
            self.assertEqual((seen["control"]["units"], seen["treatments"][0]["units"]), (self.report(configd)["control"]["units"],) * 2)
        self.a.tell(self.configd, 150, 160, again=True)  # an answer was lost
        self.assertEqual(self.samples(self.report(self.other)), 340)
        self.kept(2)
        self.b.tell(self.other, 10, 10)  # what lies in etcd is older than what is told
        self.assertEqual(self.samples(self.report(self.configd)), 350)

        # --- offered to whoever presses tab ---
        self.assertEqual(self.ok("completion", "names", "experiment", "experiment-running", "outcome:blue").split(),
                         ["warm", "warm", "latency_ms:decrease", "latency_ms:increase"])
        self.assertEqual(self.complete("experiment", "stop", "w"), ["warm"])
        self.assertEqual(self.complete("experiment", "start", "new", "bl"), ["blue"])
        self.assertEqual(self.complete("experiment", "start", "new", "blue", "exp/w"), ["exp/warm"])
        self.assertEqual(self.complete("experiment", "plan", "blue", "ar"), ["arms"])
        self.assertEqual(self.complete("experiment", "start", "new", "blue", "exp/warm", "lat"), ["latency_ms:decrease", "latency_ms:increase"])
        self.assertEqual(self.complete("experiment", "plan", "blue", "exp/warm", "eff"), ["effect="])

        # --- watched on a terminal until q ---
        code, shown = self.at_the_terminal(["experiment", "report", "warm", "-w"], b"units:", lambda: b"q")
        self.assertEqual(code, 0, shown)
        self.assertIn("warm: exp/warm of blue, running", shown if isinstance(shown, str) else shown.decode())

        # --- one dies: what it had written counts, and it is named ---
        self.configd.kill()
        seen = self.report(self.other)
        self.assertEqual(self.samples(seen), 350)
        self.assertEqual([s["replica"] for s in seen["silent"]], [self.configd.name])
        self.configd.start().wait_ready()
        self.a.register(self.configd)
        self.a.seq = 0
        self.a.incarnation = "00000000000000aa"
        self.a.register(self.configd)
        self.a.tell(self.configd, 7, 7)
        laboratory.wait_for("three processes", lambda: self.samples(self.report(self.other)) == 357 and self.report(self.other)["tallies"] == 3)

        # --- a plan is made of what any of them was told ---
        plan = json.loads(self.ok("experiment", "plan", "blue", "exp/warm", "latency_ms:decrease", "control=off", "effect=1", "-o", "json"))
        self.assertTrue(plan["baseline"]["measured"])
        self.assertEqual(plan["baseline"]["mean"], 10)

        # --- what it counts on stays there while it runs ---
        for gone in (["flag", "delete", "exp/warm"], ["unset", "exp/warm"]):
            self.still_there("experiment warm runs on flag exp/warm: it cannot be deleted", *gone)
        self.still_there("experiment warm runs on deployment blue: it cannot be deleted", "deployment", "delete", "blue", "--force")

        # --- stopped: frozen, and no key is left ---
        self.ok("experiment", "stop", "warm", "-m", "enough")
        for configd in (self.configd, self.other):
            self.assertEqual((self.samples(self.report(configd)), self.report(configd)["state"]), (357, "stopped"))
        laboratory.wait_for("no keys", lambda: not self.keys())
        self.ok("unset", "exp/warm", "--dry-run")
        self.b.tell(self.other, 1000, 1000)  # too late
        backup = os.path.join(self.lab.dir, "backup")
        self.ok("backup", backup)
        with open(backup, "rb") as f:
            self.assertIn(b'"tallies":3', f.read().replace(b" ", b""))

        # --- another run of that name begins from nothing ---
        self.start()
        self.assertEqual(self.samples(self.report(self.other)), 0)
        self.b.tell(self.other, 3, 3)
        self.assertEqual(self.samples(self.report(self.configd)), 3)
        self.kept(1)
        self.assertEqual(self.samples(self.report(self.configd)), 3, "the sweep leaves a running one alone")

    def test_a_stop_survives_whoever_is_silent_or_dies(self):
        run = self.start()
        self.a.tell(self.configd, 100, 100)
        self.b.tell(self.other, 200, 200)
        self.kept(2)
        self.a.tell(self.configd, 5, 5)  # in its memory alone
        self.configd.signal(signal.SIGSTOP)
        self.other.call("POST", "/v1/experiments/warm/stop", {"why": "now"}, headers={"Idempotency-Key": "x1"})
        self.other.kill()  # before anything was deleted
        self.configd.signal(signal.SIGCONT)  # it would write what it has: no more
        result = laboratory.wait_for("the result", lambda: self.report(self.configd) if self.report(self.configd)["state"] == "stopped" else None)
        self.assertEqual(self.samples(result), 300)
        self.assertEqual([s["replica"] for s in result["silent"]], [self.configd.name])
        self.assertEqual(result["run"], run)
        laboratory.wait_for("no keys", lambda: not self.keys())

        # --- everybody dies at once, after the stop: whoever starts sweeps, what is running stays ---
        self.other.start().wait_ready()
        self.start("cold")
        self.a.tell(self.configd, 9, 9, flag="exp/cold")
        self.kept(1, "cold")
        self.configd.kill()
        self.other.kill()
        self.put(f"warm/{run}/gone.1".encode())
        self.put(b"never-was/3/gone.1")
        self.put(b"no key of ours")
        self.configd.start().wait_ready()
        laboratory.wait_for("swept", lambda: [k for k in self.keys() if not k.startswith("cold/")] == ["no key of ours"])
        self.assertEqual(self.samples(self.report(self.configd, "cold")), 9)

    def test_what_voids_once_voids_for_good(self):
        self.start()
        self.a.tell(self.configd, 600, 600, units=(500, 150))
        self.assertEqual(self.report(self.configd)["verdict"], "void")
        laboratory.wait_for("it is written", lambda: self.keys())
        self.configd.kill()
        self.b.tell(self.other, 600, 600, units=(500, 500))
        self.assertEqual(self.report(self.other)["verdict"], "void")
        stopped = json.loads(self.ok("experiment", "stop", "warm", "-o", "json", server=self.other.url))
        self.assertTrue(stopped)
        self.assertEqual(self.report(self.other)["verdict"], "void")


if __name__ == "__main__":
    main(Totals, needs=[WORKER])
