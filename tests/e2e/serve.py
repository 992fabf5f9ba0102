"""Serving under a real configd: a policy written with cfgctl, one that no worker can take, changes while streams run, and a batch that
drains in front of the fleet's eyes."""
import http.client
import json
import os
import subprocess
import sys
import threading
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fault"))
import lab as laboratory  # noqa: E402

INFER = os.path.join(laboratory.BUILD, "worker", "cfg-infer", "cfg-infer")


class Session(unittest.TestCase):
    def setUp(self):
        self.lab = laboratory.Lab()
        self.lab.__enter__()
        self.addCleanup(self.lab.__exit__, None, None, None)
        self.configd = laboratory.Configd(self.lab, "configd", [self.lab.etcd()[0].url]).start().wait_ready()
        self.tool("set", "chat/sampling.temperature=0", "chat/inference.batch_size=8", "chat/sampling.max_tokens=32")
        self.tool("deployment", "create", "blue", "--config", "chat")
        worker = laboratory.Process(self.lab, "w0", [
            os.path.abspath(INFER), "--server", self.configd.url, "--deployment", "blue", "--worker", "w0", "--listen", "127.0.0.1:0",
            "--step-ms", "2", "--cache", ""]).start()
        self.url = laboratory.wait_for("the worker to listen", lambda: next(
            (line.split()[-1] for line in worker.output().splitlines() if line.startswith("listening on ")), None))

    def tool(self, *arguments):
        return subprocess.run([laboratory.CFGCTL, *arguments], env={**os.environ, "CONFIGD_SERVER": self.configd.url}, capture_output=True,
                              text=True, timeout=60, check=True)

    def worker(self):
        (worker,) = self.configd.call("GET", "/v1/deployments/blue/workers")["workers"]
        return worker

    def status(self):
        return laboratory.call(self.url, "GET", "/status")[0]

    def ask(self, **more):
        return laboratory.call(self.url, "POST", "/v1/completions", {"prompt": "A worker ", **more}, {"Configd-Tenant": "acme", "Configd-Explain": "1"},
                               timeout=60)

    def stream(self, **more):
        c = http.client.HTTPConnection(urllib.parse.urlsplit(self.url).netloc, timeout=60)
        c.request("POST", "/v1/completions", json.dumps({"prompt": "A worker ", "stream": True, **more}), {"Content-Type": "application/json"})
        events = c.getresponse().read().decode().split("\n\n")
        c.close()
        assert events[-2] == "data: [DONE]", events[-2:]
        return [json.loads(e.removeprefix("data: ")) for e in events[:-2]]

    def test_a_policy_reaches_the_workers_and_a_wrong_one_does_not_hold(self):
        self.tool("set", "chat/policy={tenants: {acme: {tier: free}}, tiers: {free: {clamp: {max_tokens: {max: 5}}}}}", "--wait")
        good = self.worker()["applied"]["revision"]
        reply, headers = self.ask()
        self.assertEqual(reply["usage"]["completion_tokens"], 5)
        told = json.loads(headers["Configd-Policy"])
        self.assertEqual((told["revision"], told["tier"]), (good, "free"))
        self.tool("set", "chat/policy.tiers.free.clamp.max_tokens.max=7", "--wait")  # its parts have addresses
        good = self.worker()["applied"]["revision"]
        self.assertEqual(self.ask()[0]["usage"]["completion_tokens"], 7)
        self.tool("set", "chat/policy.tiers.free.clamp.max_tokens.max=9000")
        worker = laboratory.wait_for("the worker to refuse", lambda: (w := self.worker())["rejects"] and w)
        self.assertEqual(worker["rejects"][0]["path"], "policy.tiers.free.clamp.max_tokens")
        self.assertEqual(worker["applied"]["revision"], good)
        self.assertEqual(self.ask()[0]["configd"]["revision"], good)
        self.tool("rollback", "chat", "--to", "3")
        laboratory.wait_for("the worker to follow again", lambda: self.worker()["applied"]["revision"] != good)
        self.assertEqual(self.ask()[0]["usage"]["completion_tokens"], 7)

    def test_a_change_while_streams_run(self):
        captures, before, streams = self.status()["captures"], self.worker()["applied"]["revision"], []
        threads = [threading.Thread(target=lambda: streams.append(self.stream(max_tokens=300))) for _ in range(4)]
        for t in threads:
            t.start()
        laboratory.wait_for("four streams", lambda: self.status()["running"] == 4)
        self.tool("set", "chat/sampling.temperature=1.5", "--wait")
        after = self.worker()["applied"]
        for t in threads:
            t.join()
        under = {}
        for chunk in (c for s in streams for c in s):
            under.setdefault(chunk["configd"]["step"], set()).add(chunk["configd"]["revision"])
        self.assertEqual({r for revisions in under.values() for r in revisions}, {before, after["revision"]})
        self.assertEqual({len(r) for r in under.values()}, {1})
        first = min(step for step, revisions in under.items() if revisions == {after["revision"]})
        self.assertLessEqual(abs(first - after["step"]), 3, "what the worker reported is what the answers say (half characters may wait)")
        self.assertEqual(self.status()["captures"], captures)

    def test_a_batch_that_drains(self):
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(self.ask(max_tokens=400)[0])) for _ in range(6)]
        for t in threads:
            t.start()
        laboratory.wait_for("six to run", lambda: self.status()["running"] == 6)
        self.tool("set", "chat/inference.batch_size=2")
        worker = laboratory.wait_for("the fleet to show it", lambda: (w := self.worker()).get("draining") and w)
        self.assertEqual([(d["path"], d["now"], d["target"]) for d in worker["draining"]], [("inference.batch_size", 6, 2)])
        for t in threads:
            t.join()
        self.assertEqual([r["usage"]["completion_tokens"] for r in replies], [400] * 6)
        laboratory.wait_for("nothing to drain", lambda: not self.worker().get("draining"))


if __name__ == "__main__":
    unittest.main()
