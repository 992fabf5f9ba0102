"""Experiments over two configd and real workers: a planted effect is found, a killed configd loses little, a broken split voids."""
import base64
import json
import os
import re
import subprocess
import sys

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as laboratory  # noqa: E402
from cfgctl import Session as Base, main  # noqa: E402

WORKER = os.path.join(laboratory.BUILD, "tests", "e2e", "outcome_worker")


class Experiment(Base):
    def setUp(self):
        super().setUp()
        etcd = next(p for p in self.lab.processes if isinstance(p, laboratory.Etcd))
        self.other = laboratory.Configd(self.lab, "other", [etcd.url]).start().wait_ready()
        self.ok("set", "chat/sampling.temperature=0.7")
        self.ok("deployment", "create", "blue", "--config", "chat", "--flags", "exp")
        for name in ("warm", "lossy"):
            split = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                     "targeting": {"fractional": [["on", 50], ["off", 50]]}}
            self.configd.call("PUT", f"/v1/flags/exp/{name}", {"definition": split}, headers={"If-None-Match": "*"})

    def worker(self, name, flag, configd, effect=0.0, lose=0.0):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}
        environment["CONFIGD_SERVER"] = configd.url
        child = subprocess.Popen([WORKER, "blue", name, flag, str(effect), str(lose)], stdin=subprocess.PIPE, env=environment)

        def end():
            if child.stdin:
                child.stdin.close()
            child.wait(20)

        self.addCleanup(end)

    def report(self, name, configd=None):
        return json.loads(self.ok("experiment", "report", name, "-o", "json", server=(configd or self.configd).url))

    def says_no(self, code, says, *args):
        """As refused, while workers come and go: presence moves the store's revision."""
        done = self.run_cfgctl(*args)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        self.assertRegex(done.stderr, says)

    def samples(self, name, configd=None):
        return self.report(name, configd)["treatments"][0]["metrics"][0]["n"]

    def stored(self, name):
        """The treatment's samples that each process has written to etcd."""
        etcd = next(p for p in self.lab.processes if isinstance(p, laboratory.Etcd))
        first = base64.b64encode(f"/configd/v1/tally/{name}/".encode()).decode()
        last = base64.b64encode(f"/configd/v1/tally/{name}0".encode()).decode()
        kept = [json.loads(base64.b64decode(kv["value"])) for kv in etcd.gateway("kv/range", {"key": first, "range_end": last}).get("kvs", [])]
        return [totals["sides"][1]["metrics"][0]["n"] for totals in kept]

    def test_a_planted_effect_is_found_and_outlives_a_configd(self):
        # --- refused, and nothing changed ---
        start = ("experiment", "start", "warm", "blue", "exp/warm", "latency_ms:decrease")
        self.refused(5, "no variant of", *start, "control=of")
        self.refused(3, "nosuch", "experiment", "start", "warm", "nosuch", "exp/warm", "latency_ms:decrease", "control=off")
        self.refused(3, "exp/nosuch", "experiment", "start", "warm", "blue", "exp/nosuch", "latency_ms:decrease", "control=off")
        self.refused(2, "did you mean control", *start, "contrl=off")
        self.refused(5, "does not run two arms", "experiment", "start", "warm", "blue", "arms", "latency_ms:decrease")
        self.refused(2, "control= is said twice", *start, "control=off", "control=on")
        self.refused(2, "alpha= is said twice", *start, "control=off", "alpha=0.1", "alpha=0.1")
        self.refused(2, "effect= is said twice", "experiment", "plan", "blue", "exp/warm", "latency_ms:decrease", "control=off", "effect=5%", "effect=2")
        for word, says in (("effect=5%", "like effect=2.5"), ("rate=900", "rate= is for a plan"), ("baseline=4:1", "baseline= is for a plan")):
            self.refused(2, says, *start, "control=off", word)
        plan = ("experiment", "plan", "blue", "exp/warm", "latency_ms:decrease", "control=off", "effect=2", "baseline=40:5")
        self.refused(5, "power must be above alpha", *plan, "power=0.1", "alpha=0.5")
        self.assertIn("duration: more than 1000 years, at 1e-300", self.ok(*plan, "rate=1e-300"))
        self.assertIn("nothing is measured yet", self.run_cfgctl(*start, "control=off", "--dry-run").stderr)

        # --- one worker at each configd ---
        self.worker("w0", "exp/warm", self.configd, effect=2.0)
        self.worker("w1", "exp/warm", self.other, effect=2.0)
        self.worker("w2", "exp/lossy", self.configd, lose=0.5)
        laboratory.wait_for("workers", lambda: self.configd.call("GET", "/v1/deployments/blue")["workers"] == 3)
        self.ok(*start, "control=off", "effect=1", "-m", "does warm cost time?")
        self.ok("experiment", "start", "lossy", "blue", "exp/lossy", "latency_ms:decrease", "control=off", "--force")
        self.says_no(4, "running already", *start, "control=off", "--force")
        self.says_no(4, "experiment warm runs on flag exp/warm", "experiment", "start", "again", "blue", "exp/warm", "latency_ms:decrease",
                     "control=off", "--force")

        # --- both are counted, whoever is asked, once the other's totals lie in etcd ---
        found = laboratory.wait_for("the planted effect", lambda: (lambda r: r if r["verdict"] == "worse" and r["tallies"] == 2 else None)(self.report("warm")))
        metric = found["treatments"][0]["metrics"][0]
        self.assertTrue(metric["significant"])
        self.assertLess(metric["low"], 2.0)
        self.assertGreater(metric["high"], 2.0)
        self.assertGreater(metric["low"], 1.0)
        self.assertFalse(found["mismatch"]["void"])

        # --- a broken split is void, and stays so ---
        self.assertEqual(laboratory.wait_for("the broken split", lambda: (lambda r: r if r["verdict"] == "void" else None)(self.report("lossy")))["mismatch"]["void"], True)

        # --- and both show in the metrics, as of the scrape before ---
        def verdicts():
            text = laboratory.call(self.configd.url, "GET", "/metrics")[0].decode()
            self.assertIn('configd_experiments{state="running"} 2\n', text)
            return set(re.findall(r'configd_experiment_verdict\{experiment="(\w+)",deployment="blue",verdict="(\w+)"\} 1\n', text))
        laboratory.wait_for("their verdicts", lambda: verdicts() == {("warm", "worse"), ("lossy", "void")})

        # --- the one that is asked dies: what it had kept is still there, and at the other configd ---
        n = laboratory.wait_for("both have written", lambda: (lambda kept: sum(kept) if len(kept) == 2 else None)(self.stored("warm")))
        self.configd.kill()
        self.assertGreaterEqual(self.samples("warm", self.other), n)
        self.configd.start().wait_ready()
        after = laboratory.wait_for("the restarted one", lambda: (lambda r: r if r["treatments"][0]["metrics"][0]["n"] >= n else None)(self.report("warm")))
        self.assertFalse(after["mismatch"]["void"])

        # --- all that was kept is in a backup ---
        saved = os.path.join(self.lab.dir, "saved.jsonl")

        def kept_totals():
            """The samples of `warm`'s treatment in the backup, as each process of configd has kept them."""
            self.ok("backup", saved)
            with open(saved, encoding="utf-8") as f:
                records = [json.loads(line) for line in f]
            return [r["value"]["sides"][1]["metrics"][0]["n"] for r in records if r.get("key", "").startswith("tally/warm/")]
        totals = laboratory.wait_for("kept totals", lambda: (lambda t: t if len(t) >= 3 and min(t) > 0 else None)(kept_totals()))

        # --- stopped, with its result ---
        self.assertIn("would stop it", self.ok("experiment", "stop", "warm", "-n"))
        self.assertEqual(self.report("warm")["state"], "running")
        page = self.ok("experiment", "stop", "warm", "-m", "it does")
        self.assertIn("worse: ", page)
        self.assertIn("●", page)
        kept = self.report("warm")
        self.assertEqual((kept["state"], kept["verdict"]), ("stopped", "worse"))
        self.assertRegex(self.ok("experiment", "report", "warm", "-w"), r"^warm: worse · off [\d,]+ · on [\d,]+ latency_ms .*\n$")
        self.assertEqual(json.loads(self.ok("experiment", "report", "warm", "-w", "-o", "json"))["verdict"], "worse")
        self.says_no(4, "ended already", "experiment", "stop", "warm")
        listed = {e["name"]: e["state"] for e in self.json("experiment", "list")["items"]}
        self.assertEqual(listed, {"warm": "stopped", "lossy": "running"})
        plan = self.json("experiment", "plan", "blue", "exp/warm", "latency_ms:decrease", "control=off", "effect=5%", "baseline=40:5", "rate=1000")
        self.assertGreater(plan["units"], 100)
        self.assertAlmostEqual(plan["seconds"], plan["units"] * 3.6, delta=5)

        # --- restored: it runs again, on what was kept, also by the configds that had forgotten it ---
        self.ok("restore", saved, "--force")
        again = laboratory.wait_for("the restored one", lambda: (lambda r: r if r["state"] == "running" else None)(self.report("warm")))
        self.assertGreaterEqual(again["treatments"][0]["metrics"][0]["n"], sum(totals))


if __name__ == "__main__":
    main(Experiment, needs=[WORKER])
