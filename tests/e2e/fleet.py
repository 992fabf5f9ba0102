"""cfg-fleet, 300 simulated workers of one process, against a real etcd and a real configd: what it says of itself, and what configd says of it."""
import json
import os
import signal
import subprocess
import sys
import time

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as laboratory  # noqa: E402
from cfgctl import Session as Base, main  # noqa: E402

FLEET = os.path.join(laboratory.BUILD, "worker", "cfg-fleet", "cfg-fleet")
WORKERS = 300
FEW = 100


class Fleet:
    """A cfg-fleet whose events are read line by line."""

    def __init__(self, test, *args, workers=WORKERS):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}
        environment["CONFIGD_SERVER"] = test.configd.url
        self.child = subprocess.Popen([FLEET, "--workers", str(workers), "-o", "ndjson", *args], stdout=subprocess.PIPE, text=True, env=environment)
        self.test = test
        test.addCleanup(self.end)

    def event(self, name):
        for line in self.child.stdout:
            event = json.loads(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"cfg-fleet ended without {name}: {self.child.wait()}")

    def stop(self, number=signal.SIGTERM):
        """Its summary."""
        self.child.send_signal(number)
        summary = self.event("summary")
        self.test.assertEqual(self.child.wait(20), 0)
        return summary

    def end(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))


class Simulated(Base):
    def setUp(self):
        super().setUp()
        self.ok("set", "chat/sampling.temperature=0.7")
        self.ok("deployment", "create", "blue", "--config", "chat")

    def workers(self, deployment="blue"):
        """A list of hundreds costs configd more than what is being tested: not to be asked for fifty times a second."""
        time.sleep(0.2)
        return self.configd.call("GET", f"/v1/deployments/{deployment}/workers")["workers"]

    def test_all_apply_a_change(self):
        fleet = Fleet(self, "--deployment", "blue", "--step-ms", "20~10%", "--label", "region=eu:0.3,us:0.7", "--label", "gpu=H200",
                      "--metric", "error_rate=0.25 if sampling.temperature > 1.0 else 0.125")
        self.assertEqual(fleet.event("ready")["workers"], WORKERS)
        self.ok("set", "chat/sampling.temperature=1.5")
        applied = fleet.event("applied")
        self.assertEqual((applied["workers"], applied["ms"]["n"]), (WORKERS, WORKERS))
        self.assertLess(fleet.descriptors(), WORKERS + 256 + 64, "one descriptor each, those of 256 requests at once, and a few for all")

        def told():
            here = [w for w in self.workers() if (w.get("applied") or {}).get("revision") == applied["revision"]]
            return here if len(here) == WORKERS else None

        here = laboratory.wait_for("the reports", told)
        regions = [w["labels"]["region"] for w in here]
        self.assertEqual({w["labels"]["gpu"] for w in here}, {"H200"})
        self.assertGreater(regions.count("us"), regions.count("eu"))
        self.assertGreater(regions.count("eu"), WORKERS / 10)
        self.assertTrue(all(w["step"] > 0 for w in here))
        summary = fleet.stop()
        self.assertEqual((summary["up"], summary["changes"], summary["rejects"], summary["crashes"]), (WORKERS, 1, 0, 0))
        self.assertEqual(summary["applied_ms"]["n"], WORKERS)
        self.assertEqual(summary["deployments"][0]["on"], WORKERS)
        self.assertGreater(summary["steps"], WORKERS)

    def test_failures_show(self):
        """Crashes come back as new incarnations, rejects are listed, cut connections heal, a hang holds only its own worker up."""
        self.ok("deployment", "create", "green", "--config", "chat")
        fleet = Fleet(self, "--deployment", "blue", "--deployment", "green", "--group-size", "2", "--step-ms", "10", "--reject", "10%",
                      "--crash", "20%@1s", "--restart-ms", "200", "--disconnect", "20%@1s", "--hang", "5%@1s", "--hang-ms", "500", workers=FEW)
        fleet.event("ready")
        before = {w["worker"]: w["incarnation"] for name in ("blue", "green") for w in self.workers(name)}
        self.assertEqual(len(before), FEW)

        def refused():
            """Some of the workers have listed the refusal; which, chance of the seed decides."""
            self.ok("set", f"chat/sampling.temperature=0.{len(seen) + 1}")
            seen.extend(w["worker"] for name in ("blue", "green") for w in self.workers(name) if w.get("rejects"))
            return seen

        seen = []
        laboratory.wait_for("rejects", refused)

        def back():
            now = {w["worker"]: w["incarnation"] for name in ("blue", "green") for w in self.workers(name) if w["connected"]}
            return now if len(now) == FEW and sum(before[w] != i for w, i in now.items()) >= FEW / 10 else None

        now = laboratory.wait_for("the crashed to be back", back)
        groups = {}
        for name in ("blue", "green"):
            for w in self.workers(name):
                groups.setdefault(w["group"], []).append((name, w["rank"], w["world"]))
        self.assertEqual(len(groups), FEW / 2)
        self.assertTrue(all(sorted(rank for _, rank, _ in ranks) == [0, 1] and len({name for name, _, _ in ranks}) == 1 for ranks in groups.values()))
        summary = fleet.stop(signal.SIGINT)
        self.assertEqual(summary["crashes"], FEW / 5)
        self.assertEqual(summary["hangs"], FEW / 20)
        self.assertGreater(summary["disconnects"], 0)
        self.assertGreater(summary["rejects"], 0)
        self.assertEqual(summary["superseded"], 0)
        self.assertLessEqual(sum(before[w] != i for w, i in now.items()), FEW / 5)

    def test_what_it_says_when_it_cannot(self):
        def run(*args):
            done = subprocess.run([FLEET, "--server", self.configd.url, *args], capture_output=True, text=True, timeout=30)
            return done.returncode, done.stderr

        code, says = run("--deployment", "nosuch", "--workers", "3", "--start-ms", "500")
        self.assertEqual(code, 3, says)
        self.assertIn("nosuch", says)
        code, says = run("--deployment", "blue", "--workres", "3")
        self.assertEqual(code, 2)
        self.assertIn("did you mean --workers", says)
        code, says = run()
        self.assertEqual(code, 2)
        self.assertIn("--deployment", says)
        done = subprocess.run([FLEET, "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Examples", done.stdout)
        done = subprocess.run([FLEET, "--server", self.configd.url, "--deployment", "blue", "--workers", "4", "--steps", "5", "--step-ms", "5", "-o", "json"],
                              capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, json.loads(done.stdout)["up"]), (0, 4), done.stderr)


if __name__ == "__main__":
    main(Simulated, needs=[FLEET])
