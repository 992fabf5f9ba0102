"""What the reference programs measure, used as their users would: variants of flags compared on a cfg-infer that serves over HTTP, arms on
a simulated fleet, with effects that are planted and so known."""
import collections
import concurrent.futures
import http.client
import json
import os
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cfgctl  # noqa: E402
from cfgctl import laboratory  # noqa: E402

FLEET = os.path.abspath(os.path.join(laboratory.BUILD, "worker", "cfg-fleet", "cfg-fleet"))
INFER = os.path.abspath(os.path.join(laboratory.BUILD, "worker", "cfg-infer", "cfg-infer"))
CLIENTS = 8


class Client:
    """One connection that is kept."""

    def __init__(self, url):
        self.http = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)

    def post(self, path, body):
        self.http.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = self.http.getresponse()
        text = reply.read()
        assert reply.status == 200, (reply.status, text)
        return json.loads(text), reply.headers


def split(overrides, default=None):
    """A flag that splits its users evenly between variants that carry these parameters."""
    definition = {"state": "ENABLED", "variants": {v: v for v in overrides}, "defaultVariant": default or next(iter(overrides))}
    if default is None:
        definition["targeting"] = {"fractional": [[v, 50] for v in overrides]}
    return {"definition": definition, "overrides": overrides}


class Reports(cfgctl.Session):
    def flag(self, name, overrides, default=None):
        self.configd.call("PUT", f"/v1/flags/experiment/{name}", split(overrides, default), headers={"If-None-Match": "*"})

    def deployment(self, *settings):
        self.ok("set", "chat/sampling.temperature=0.3", "chat/sampling.max_tokens=8", "chat/inference.batch_size=8", *settings)
        self.ok("deployment", "create", "blue", "--config", "chat", "--flags", "experiment")

    def report(self, name):
        return self.json("experiment", "report", name)

    def metric(self, name, metric):
        return next(m for m in self.report(name)["treatments"][0]["metrics"] if m["name"] == metric)

    def verdict(self, name, wanted):
        def reached():
            reports.append(self.report(name))
            return reports[-1]["verdict"] == wanted

        reports = []
        try:
            laboratory.wait_for(f"{name} to be {wanted}", reached)
        except AssertionError as error:
            raise AssertionError(f"{error}: {reports[-1:]}") from None
        return reports[-1]["treatments"][0]["metrics"][0]


class OnServers(Reports):
    def server(self, name):
        worker = laboratory.Process(self.lab, name, [
            INFER, "--server", self.configd.url, "--deployment", "blue", "--worker", name, "--listen", "127.0.0.1:0", "--cache", ""]).start()
        return laboratory.wait_for("the worker to listen", lambda: next(
            (line.split()[-1] for line in worker.output().splitlines() if line.startswith("listening on ")), None))

    def assigned(self, client, flag, key):
        """As configd decides."""
        return client.post(f"/ns/experiment/ofrep/v1/evaluate/flags/{flag}", {"context": {"targetingKey": key}})[0]["variant"]

    def load(self, url):
        """560 users, less those whom a gateway drops: half of those with one variant of `lossy`. One in four says itself how much it
        wants, so that what is +4 bytes for the others is +3 for all. How many got each variant."""
        def client(n):
            server, assigns, served = Client(url), Client(self.configd.url), collections.Counter()
            for i in range(n, 560, CLIENTS):
                variant = self.assigned(assigns, "lossy", f"user-{i}")
                if variant == "lost" and i // CLIENTS % 2:
                    continue
                own = {"max_tokens": 4} if i // CLIENTS // 2 % 4 == 0 else {}
                answer, _ = server.post("/v1/completions", {"prompt": "A worker ", "user": f"user-{i}", "seed": i, **own})
                variants = answer["configd"]["variants"]
                assert variants["experiment/lossy"] == variant, (answer, variant)  # near and far decide alike
                served.update(variants.items())
            server.post("/v1/completions", {"prompt": "A worker "})  # nobody's
            return served

        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            return sum(pool.map(client, range(CLIENTS)), collections.Counter())

    def stream(self, url, key, tokens):
        """A stream whose first byte is there."""
        http = Client(url).http
        http.request("POST", "/v1/completions", json.dumps({"prompt": "A worker ", "user": key, "stream": True, "max_tokens": tokens}),
                     {"Content-Type": "application/json"})
        reply = http.getresponse()
        return http, reply, json.loads(reply.readline().removeprefix(b"data: "))

    def test_variants_under_load(self):
        self.flag("long", {"short": {"sampling.max_tokens": 8}, "long": {"sampling.max_tokens": 12}})
        self.flag("hot", {"calm": {"sampling.temperature": 0.3}, "hot": {"sampling.temperature": 2}})
        self.flag("same", {"a": {"sampling.top_k": 0}, "b": {"sampling.top_k": 0}})
        self.flag("lossy", {"kept": {"sampling.top_p": 1}, "lost": {"sampling.top_p": 1}})
        self.flag("moved", {"x": {"inference.queue": 9}, "y": {"inference.queue": 9}}, "x")
        self.deployment()
        url = self.server("w0")
        for name, metric, control in (("long", "tokens:increase", "short"), ("hot", "readable:increase", "calm"), ("same", "tokens:increase", "a"),
                                      ("lossy", "tokens:increase", "kept")):
            self.ok("experiment", "start", name, "blue", f"experiment/{name}", metric, "error:decrease", "latency_ms:decrease",
                    f"control={control}", "alpha=0.01", "units=400")
        served = self.load(url)

        # --- who leaves before the end is no sample of anything but that; who was served two variants tells of none ---
        configd = Client(self.configd.url)
        leaving = [k for k in (f"leaves-{i}" for i in range(40)) if self.assigned(configd, "same", k) == "b"][:4]
        for key in leaving:
            self.stream(url, key, 4096)[0].close()
        _, reply, first = self.stream(url, leaving[0], 1500)
        self.configd.call("PUT", "/v1/flags/experiment/moved", split({"x": {"inference.queue": 9}, "y": {"inference.queue": 9}}, "y"),
                          headers={"If-Match": '"1"'})
        last = json.loads(reply.read().decode().split("\n\n")[-3].removeprefix("data: "))
        self.assertEqual([c["configd"]["variants"]["experiment/moved"] for c in (first, last)], ["x", "y"])
        answer, _ = Client(url).post("/v1/completions", {"prompt": "A worker ", "user": leaving[0]})
        served.update(answer["configd"]["variants"].items())
        n = {name: served[f"experiment/{name}", treatment] for name, treatment in (("long", "long"), ("same", "b"))}
        error = laboratory.wait_for("all outcomes", lambda: (lambda m: m if m["n"] == n["same"] + 4 else None)(self.metric("same", "error")))
        self.assertAlmostEqual(error["treatment"], 4 / (n["same"] + 4))
        self.assertEqual({name: self.metric(name, "tokens")["n"] for name in n}, n)

        # --- what was planted is found, what was not is not, and a split that was broken voids ---
        found = self.verdict("long", "better")
        self.assertTrue(0 < found["low"] < 3 < found["high"], found)
        self.assertLess(self.verdict("hot", "worse")["high"], 0)
        same = self.verdict("same", "none")
        self.assertTrue(same["low"] < 0 < same["high"], same)
        self.verdict("lossy", "void")
        self.assertGreater(self.metric("long", "latency_ms")["control"], 0)

    def test_a_flag_that_ruins_answers_comes_back(self):
        self.configd.call("PUT", "/v1/flags/experiment/tone", {"enabled": False, "off_variant": "calm", **split(
            {"calm": {"sampling.temperature": 0.3}, "hot": {"sampling.temperature": 2}}, "hot")}, headers={"If-None-Match": "*"})
        self.deployment()
        urls = [self.server(f"w{n}") for n in range(4)]
        stop, served = threading.Event(), []

        def client(url):
            server = Client(url)
            while not stop.is_set():
                answer, _ = server.post("/v1/completions", {"prompt": "A worker ", "max_tokens": 20})
                served.append(answer["configd"]["variants"]["experiment/tone"])

        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(client, url) for url in urls * 2]
            try:
                laboratory.wait_for("their metrics", lambda: any(
                    {"readable", "error"} <= set(a["metrics"]) for a in self.configd.call("GET", "/v1/deployments/blue/fleet")["arms"]))
                for _ in range(20):  # four groups may by chance all, or none, lie below the share
                    done = self.run_cfgctl("set", "experiment/tone=on", "--deployment", "blue", "--rollout", "50%,100%", "--bake", "60s", "--wait",
                                           "--min-samples", "100", "--guard", "error<1%", "--guard", "readable>0.98*base")
                    if done.returncode != 5:
                        break
                self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
                self.assertRegex(done.stderr, r"rolled back: guard readable>0.98\*base fails: canary 0\.\d+, base 0\.9")
                self.assertIn("hot", served)
                laboratory.wait_for("calm", lambda: set(served[-40:]) == {"calm"})
            finally:
                stop.set()
            for c in clients:
                c.result()
        self.assertEqual(self.json("deployment", "get", "blue")["arms"]["base"]["flags"], {"experiment/tone": 1})


class OnAFleet(Reports):
    def fleet(self, *options):
        fleet = laboratory.Process(self.lab, "fleet", [
            FLEET, "--server", self.configd.url, "--deployment", "blue", "--quiet", "--workers", "100", *options]).start()
        laboratory.wait_while_alive([fleet], "its metrics", lambda: any(
            a["metrics"] for a in self.configd.call("GET", "/v1/deployments/blue/fleet")["arms"]))

    def test_variants(self):
        for name in ("warm", "lossy"):
            self.configd.call("PUT", f"/v1/flags/experiment/{name}", {"definition": {
                "state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                "targeting": {"fractional": [["on", 50], ["off", 50]]}}}, headers={"If-None-Match": "*"})
        self.flag("carries", {"a": {"sampling.temperature": 0.3}, "b": {"sampling.temperature": 0.9}})
        self.deployment()
        self.fleet("--step-ms", "50", "--requests", "3", "--users", "20000", "--outcome", "latency_ms=40 + (2 if ${experiment/warm} else 0) ~ 5",
                   "--outcome", "reward=1 - (0.1 if sampling.temperature > 0.8 else 0) ~ 0.2", "--lose", "0.5 if ${experiment/lossy} else 0")
        for name, metric, control in (("warm", "latency_ms:decrease", "off"), ("lossy", "latency_ms:decrease", "off"), ("carries", "reward:increase", "a")):
            self.ok("experiment", "start", name, "blue", f"experiment/{name}", metric, f"control={control}", "alpha=0.01", "units=5000")
        warm, carries = self.verdict("warm", "worse"), self.verdict("carries", "worse")
        self.assertTrue(0 < warm["low"] < 2 < warm["high"], warm)
        self.assertTrue(carries["low"] < -0.1 < carries["high"] < 0, carries)
        self.verdict("lossy", "void")

    def test_arms(self):
        self.deployment("chat/distributed.tp=1")
        self.ok("deployment", "create", "red", "--config", "chat", "--pin", "distributed")
        for name in ("blue", "red"):
            self.ok("deployment", "update", name, "--track", "hold")
        self.ok("set", "chat/sampling.temperature=0.9")
        warm = "sampling.temperature > 0.8"
        # Red's workers hang on the new release: its groups do not come as they were assigned.
        self.fleet("--deployment", "red", "--workers", "300", "--step-ms", f"100000 if {warm} and deployment == 'red' else 100",
                   "--metric", f"reward=0.6 + (0.2 if {warm} else 0) ~ 0.1", "--metric", "cost=3 ~ 0.5")
        for name in ("blue", "red"):
            self.ok("rollout", "start", name, "--to", "2", "--steps", "50%!,100%", "--bake", "100ms")
        for name in ("blue", "red"):
            laboratory.wait_for("the gate", lambda n=name: self.json("rollout", "status", n)["state"]["phase"] == "gate")
        # Groups whose last report was of the base would have had both.
        laboratory.wait_for("blue's canary to have reported", lambda: any(
            a["arm"] == "canary" and a["metrics"].get("reward", {}).get("n", 0) > 25 * a["groups"]
            for a in self.configd.call("GET", "/v1/deployments/blue/fleet")["arms"]))
        for name in ("blue", "red"):
            self.ok("experiment", "start", name, name, "arms", "reward:increase", "control=base", "alpha=0.01")
        found = self.verdict("blue", "better")
        self.assertTrue(0 < found["low"] < 0.2 < found["high"], found)
        self.verdict("red", "void")
        self.ok("experiment", "stop", "blue")
        self.ok("experiment", "start", "blue", "blue", "arms", "cost:decrease", "control=base", "alpha=0.01")
        same = self.verdict("blue", "none")
        self.assertTrue(same["low"] < 0 < same["high"], same)


if __name__ == "__main__":
    cfgctl.main(OnServers, OnAFleet, needs=[INFER, FLEET])
