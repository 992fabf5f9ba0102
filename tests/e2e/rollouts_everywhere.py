"""Rollouts over workers of two configds: what a start asks of both, and who may move one on."""
import http.client
import os
import signal
import sys
import unittest

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as laboratory  # noqa: E402
from cfgctl import Session as Base, start  # noqa: E402

FLEET = os.path.abspath(os.path.join(laboratory.BUILD, "worker", "cfg-fleet", "cfg-fleet"))


class Everywhere(Base):
    def setUp(self):
        super().setUp()
        etcd = next(p for p in self.lab.processes if isinstance(p, laboratory.Etcd))
        self.second = start(self.lab, name="second", etcd=etcd.url)
        self.ok("set", "chat/sampling.temperature=0.7")
        self.ok("set", "chat/sampling.temperature=0.9")
        self.ok("deployment", "create", "blue", "--config", "chat", "--track", "hold")
        self.ok("set", "chat/sampling.temperature=0.8")

    def revision(self):
        """What people write: presence is written beside it."""
        return [(c["namespace"], c["version"]) for c in self.configd.call("GET", "/v1/config")["items"]], self.configd.call("GET", "/v1/rollouts")["items"]

    def fleets(self, n=4):
        """As many at each."""
        for i, configd in enumerate((self.configd, self.second)):
            laboratory.Process(self.lab, f"fleet{i}", [FLEET, "--server", configd.url, "--deployment", "blue", "--workers", str(n), "--quiet",
                                                       "--prefix", f"f{i}", "--step-ms", "20", "--param", "sampling.temperature=1.0",
                                                       "--metric", f"errors_{i}=0"]).start()
        self.wait_for_workers(2 * n)

    def wait_for_workers(self, n):
        def there(configd):
            return sum(w["connected"] for w in configd.call("GET", "/v1/deployments/blue/workers")["workers"]) == n
        laboratory.wait_for(f"{n} workers", lambda: there(self.configd) and there(self.second))

    def worker(self, configd, name, group, rank, labels):
        """One that is connected, and says nothing else."""
        incarnation = os.urandom(16).hex()
        configd.call("POST", "/v1/deployments/blue/workers", {"worker": name, "incarnation": incarnation, "contract": {}, "group": group,
                                                              "rank": rank, "world": 2, "labels": labels})
        stream = http.client.HTTPConnection(configd.url.split("//")[1])
        stream.request("GET", f"/v1/deployments/blue/stream?worker={name}&incarnation={incarnation}", headers={"Accept": "text/event-stream"})
        answer = stream.getresponse()
        self.assertEqual(answer.status, 200)
        self.addCleanup(answer.close)

    def test_a_start_asks_all_replicas(self):
        self.fleets()
        begin = ["rollout", "start", "blue", "--to", "3"]
        self.refused(5, "would hold none of the 8 rank groups(.|\n)*smallest share that holds one is 12.5 %", *begin, "--steps", "0.01%,100%")
        self.refused(5, "would hold all of the 8 rank groups: no base to compare with", *begin, "--steps", "99.9999999%,100%",
                     "--guard", "p50_ms<2*base")
        self.refused(4, "no rank group of deployment blue with these labels", *begin, "--steps", "50%,100%", "--where", "region=ap")
        laboratory.wait_for("what both report", lambda: set(self.configd.call("GET", "/v1/deployments/blue/workers")["metrics"]) == {"errors_0", "errors_1"})
        for guard in ("errors_2<1", "errors_0+eror<1"):
            self.refused(3, "no worker of deployment blue has reported a metric (errors_2|eror) lately", *begin, "--steps", "50%,100%", "--guard", guard)
        self.ok(*begin, "--steps", "50%,100%", "--guard", "errors_0<1", "--guard", "errors_1<1", "--dry-run")
        self.second.signal(signal.SIGSTOP)
        done = self.run_cfgctl(*begin, "--steps", "0.000001%,100%")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning: replica second did not answer", done.stderr)
        self.second.signal(signal.SIGCONT)
        self.ok("rollout", "abort", "blue")
        laboratory.wait_for("its end", lambda: self.json("rollout", "status", "blue")["state"]["phase"] == "aborted")
        done = self.run_cfgctl(*begin, "--steps", "12.5%,100%")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("did not answer", done.stderr)

    def test_ranks_that_carry_different_labels(self):
        for rank, configd in enumerate((self.configd, self.second)):
            self.worker(configd, f"job-{rank}", "job", rank, {"rack": f"r{rank}", "region": "eu"})
        self.wait_for_workers(2)
        begin = ["rollout", "start", "blue", "--to", "3", "--steps", "100%"]
        self.refused(4, "the ranks of group job of deployment blue carry different labels", *begin, "--by", "rack")
        self.refused(4, "the ranks of group job of deployment blue carry different labels", *begin, "--where", "rack=r0")
        self.ok(*begin, "--by", "region")


if __name__ == "__main__":
    tests = [Everywhere(name) for name in vars(Everywhere) if name.startswith("test_")]
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(tests))
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
