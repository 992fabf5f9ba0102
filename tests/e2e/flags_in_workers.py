"""Flags from a write to the answers they decide: real etcd, configd and cfg-infer.

A worker decides in its own process and must decide as the server does; changes take hold between two steps, which the answers' stamps
prove; and what was served comes back as exposures, to the last request."""
import collections
import os
import subprocess
import sys
import time
import unittest

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
import lab as laboratory  # noqa: E402

INFER = os.path.join(laboratory.BUILD, "worker", "cfg-infer", "cfg-infer")
MERGE = {"Content-Type": "application/merge-patch+json"}
CREATE = {"If-None-Match": "*"}


def flag(targeting=None, default="off", variants=None, **envelope):
    variants = variants or {"on": True, "off": False}
    definition = {"state": "ENABLED", "variants": variants, "defaultVariant": default}
    if targeting is not None:
        definition["targeting"] = targeting
    return {"definition": definition, **envelope}


class Session(unittest.TestCase):
    def setUp(self):
        self.lab = laboratory.Lab()
        self.lab.__enter__()
        self.addCleanup(self.lab.__exit__, None, None, None)
        self.configd = laboratory.Configd(self.lab, "configd", [self.lab.etcd()[0].url]).start().wait_ready()
        self.put("/v1/config/chat", {"sampling": {"temperature": 0.7}, "inference": {"batch_size": 8}})

    def put(self, path, body):
        return self.configd.call("PUT", path, body, CREATE)

    def patch(self, path, body):
        reply = self.configd.call("PATCH", path, body, MERGE)
        return reply["revision"]

    def workers(self, n, options=()):
        self.configd.call("POST", "/v1/deployments", {"name": "blue", "config": "chat", "flags": ["experiment"]})
        self.processes = [laboratory.Process(self.lab, f"w{i}", [
            os.path.abspath(INFER), "--server", self.configd.url, "--deployment", "blue", "--worker", f"w{i}", "--listen", "127.0.0.1:0",
            "--load", "0", "--step-ms", "0", "--cache", "", *options]).start() for i in range(n)]
        self.urls = [laboratory.wait_for("a worker to listen", lambda p=p: self.listening(p)) for p in self.processes]

    @staticmethod
    def listening(process):
        for line in process.output().splitlines():
            if line.startswith("listening on "):
                return line.split()[-1]
        return None

    def converged(self):
        fleet = self.configd.call("GET", "/v1/deployments/blue/workers")
        return fleet["converged"] == fleet["total"] == len(self.urls) and fleet["target"]["revision"]

    def settle(self):
        return laboratory.wait_for("the fleet to converge", self.converged)

    def ask(self, worker, context, user=None):
        body = {"prompt": "The ", "max_tokens": 2, "context": context}
        if user is not None:
            body["user"] = user
        reply, headers = laboratory.call(self.urls[worker], "POST", "/v1/completions", body)
        self.assertEqual(headers["Configd-Revision"], reply["configd"]["revision"])
        return reply["configd"]

    def server_says(self, context):
        """{flag: variant} as configd evaluates, for flags that serve one."""
        reply = self.configd.call("POST", "/ns/experiment/ofrep/v1/evaluate/flags", {"context": context})
        return {f"experiment/{f['key']}": f["variant"] for f in reply["flags"] if f.get("variant")}

    def exposures(self):
        reply = self.configd.call("GET", "/v1/deployments/blue/exposures")
        self.assertFalse(reply["partial"])
        return {(e["flag"], e["variant"]): (e["count"], e["units"]) for e in reply["exposures"]}

    # --- tests ---

    def test_workers_decide_as_the_server_does(self):
        heat = {name: {"sampling.temperature": value} for name, value in (("on", 0.1), ("off", 0.2))}
        third = {"fractional": [["on", 1], ["off", 2]]}
        flags = {
            "ab.flag": flag({"if": [{"$ref": "staff"}, "on", third]}),
            "always": flag(default="on", overrides=heat),
            "killed": flag(third, enabled=False, off_variant="off", overrides=heat),
            "killed-bare": flag(third, enabled=False, overrides=heat),
            "split": flag(third, overrides=heat),
            "split-1": flag(third, hash_version=1, overrides=heat),
            "split-3": flag({"fractional": [{"var": "team"}, ["on", 1], ["off", 1]]}, hash_version=3, overrides=heat),
            "by-team": flag({"fractional": [{"cat": ["salt", {"var": "deep.team"}]}, ["on", 30], ["off", 70]]}, overrides=heat),
            "staff": flag({"if": [{"$ref": "staff"}, "on", "off"]}, overrides=heat),
            "version": flag({"if": [{"sem_ver": [{"var": "client"}, "^", "2.1"]}, "on"]}, overrides=heat),
            "words": flag({"if": [{"or": [{"starts_with": [{"var": "mail"}, "ann"]}, {"in": [{"var": "team"}, ["ops", "ml"]]}]}, "on"]},
                          overrides=heat),
            "numbers": flag({"if": [{">": [{"+": [{"var": "age"}, 1]}, 42]}, "on", {"==": [{"var": "age"}, "41"]}, "off"]}, "on",
                            overrides=heat),
            "lists": flag({"if": [{"some": [{"var": "roles"}, {"==": [{"var": ""}, "admin"]}]}, "on"]}, overrides=heat),
            "wrong": flag({"var": "client"}, overrides=heat),  # names no variant: GENERAL
            "since": flag({"if": [{">=": [{"var": "$flagd.timestamp"}, 1700000000]}, "on"]}, overrides=heat),
            "until": flag({"if": [{"<": [{"var": "$flagd.timestamp"}, 1700000000]}, "on"]}, overrides=heat),
            "needs": flag(third, prerequisites={"split": "on", "staff": ["on", "off"]}, off_variant="off", overrides=heat),
            "group-a": flag(default="on", group={"name": "g", "from": 0, "to": 5000}, off_variant="off", overrides=heat),
            "group-b": flag(default="on", group={"name": "g", "from": 5000, "to": 8000}, off_variant="off", overrides=heat),
            "held": flag(default="on", holdouts=[{"name": "q4", "to": 3000}], off_variant="off", overrides=heat),
            "disabled": {"definition": {"state": "DISABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"},
                         "overrides": heat},
            "bare": {"definition": {"state": "ENABLED", "variants": {"on": True, "off": False}}, "overrides": heat},
        }
        self.put("/v1/evaluators/experiment", {"evaluators": {"staff": {"ends_with": [{"var": "mail"}, "@corp.example"]}}, "metadata": {}})
        for name in ["split", "staff", *sorted(set(flags) - {"split", "staff"})]:  # prerequisites first
            self.put(f"/v1/flags/experiment/{name}", flags[name])
        self.workers(1)
        self.settle()
        contexts = [{"targetingKey": f"u-{i}", "team": ["ops", "web", "ml"][i % 3], "age": 40 + i % 4, "client": ["2.1.4", "3.0.0", "x"][i % 3],
                     "mail": ["ann@x.example", "bob@corp.example"][i % 2], "deep": {"team": f"t{i % 7}"},
                     "roles": [["admin"], [], ["user", "admin"]][i % 3]} for i in range(40)]
        contexts += [{}, {"targetingKey": ""}, {"age": "41"}, {"age": None, "roles": "admin"}, {"targetingKey": "ünïcode ☃"},
                     {"$flagd": {"flagKey": "split"}, "targetingKey": "u"}, {"team": {"a": 1}, "targetingKey": "u-3"}]
        served = collections.Counter()
        for context in contexts:
            mine, theirs = self.ask(0, context)["variants"], self.server_says(context)
            self.assertEqual(mine, theirs, context)
            served.update(mine.items())
        # The table above is worth something: both variants of the splits were seen, and flags that serve none.
        for name in ("split", "split-1", "split-3", "by-team", "group-a", "held", "needs"):
            self.assertTrue(served[f"experiment/{name}", "on"] and served[f"experiment/{name}", "off"], (name, served))
        self.assertFalse(any(name in ("experiment/killed-bare", "experiment/disabled", "experiment/bare") for name, _ in served))

    def test_a_change_between_steps_and_what_was_served(self):
        self.put("/v1/flags/experiment/ab.flag", flag({"fractional": [["on", 0], ["off", 100]]}))
        self.put("/v1/flags/experiment/heat", flag({"fractional": [["cold", 50], ["hot", 50]]}, "cold", {"cold": "c", "hot": "h"},
                                                   overrides={"cold": {"sampling.temperature": 0}, "hot": {"sampling.temperature": 1.5}}))
        self.workers(2)
        before = self.settle()
        users = [f"user-{i}" for i in range(30)]
        asked, units = collections.Counter(), collections.defaultdict(set)

        def round_of_questions(worker):
            replies = [self.ask(worker, {"n": i}, user) for i, user in enumerate(users)]
            for user, reply in zip(users, replies):
                for pair in reply["variants"].items():
                    asked[pair] += 1
                    units[pair].add(user)
            return replies

        first = round_of_questions(0)
        self.assertEqual({r["variants"]["experiment/ab.flag"] for r in first}, {"off"})
        self.assertEqual({r["revision"] for r in first}, {before})
        change = self.patch("/v1/flags/experiment/ab.flag",
                            {"definition": {"targeting": {"fractional": [["on", 100], ["off", 0]]}}})
        after = self.settle()
        self.assertEqual(after, change)
        second = round_of_questions(1) + round_of_questions(0)
        self.assertEqual({r["variants"]["experiment/ab.flag"] for r in second}, {"on"})
        self.assertEqual({r["revision"] for r in second}, {after})
        for a, b in zip(first, second):
            self.assertEqual(a["variants"]["experiment/heat"], b["variants"]["experiment/heat"], "the same user, whoever answers")

        want = {pair: (n, len(units[pair])) for pair, n in asked.items()}
        self.assertEqual(set(want), {("experiment/ab.flag", "off"), ("experiment/ab.flag", "on"), ("experiment/heat", "cold"),
                                     ("experiment/heat", "hot")})
        got = laboratory.wait_for("every exposure", lambda: (e := self.exposures()) and {k: n for k, (n, _) in e.items()} == asked and e)
        for pair, (_, n) in want.items():
            self.assertAlmostEqual(got[pair][1], n, delta=max(1, n / 10), msg=f"{pair}: units seen by both workers count once")
        out = subprocess.run([laboratory.CFGCTL, "flag", "exposures", "blue"], env={**os.environ, "CONFIGD_SERVER": self.configd.url},
                             capture_output=True, text=True, timeout=60, check=True).stdout
        self.assertRegex(out, r"experiment/ab\.flag +on +base +60 +3\d")
        # Another configd counts what is served from now on: nothing counts at both. A worker sends a report when the one before it has been
        # answered, and until then would tell the same exposures again, to whoever follows.
        seen = time.monotonic()

        def heard_again():
            return all(w["heard_ms"] < (time.monotonic() - seen) * 1000 for w in self.configd.call("GET", "/v1/deployments/blue/workers")["workers"])
        laboratory.wait_for("a report after those that told of them", heard_again)
        self.configd.kill()
        self.configd.start().wait_ready()
        again = self.ask(0, {"n": 1}, "u-again")

        def whole():  # until the lease of the one that was killed has ended, its part may be missing
            return not self.configd.call("GET", "/v1/deployments/blue/exposures")["partial"]
        laboratory.wait_for("the exposures since then",
                            lambda: whole() and {k: n for k, (n, _) in self.exposures().items()} == {pair: 1 for pair in again["variants"].items()})

    def test_an_override_that_a_worker_cannot_take(self):
        self.put("/v1/flags/experiment/heat", flag(default="hot", variants={"hot": 1}, overrides={"hot": {"sampling.temperature": 0.9}}))
        self.workers(1)
        good = self.settle()
        hot = {"overrides": {"hot": {"sampling.temperature": 99}}}
        with self.assertRaisesRegex(laboratory.Problem, "409.*sampling.temperature"):
            self.patch("/v1/flags/experiment/heat", hot)
        self.patch("/v1/flags/experiment/heat?force=true", hot)

        def rejected():
            (worker,) = self.configd.call("GET", "/v1/deployments/blue/workers")["workers"]
            return worker["rejects"] and worker
        worker = laboratory.wait_for("the worker to refuse", rejected)
        self.assertEqual(worker["rejects"][0]["path"], "experiment/heat.overrides.hot.sampling.temperature")
        self.assertEqual(worker["applied"]["revision"], good)
        self.assertEqual(self.ask(0, {})["variants"], {"experiment/heat": "hot"})

    def test_a_value_that_a_worker_cannot_take(self):
        """Refused before it is stored; force stores it, and the worker goes on with what it has and says so."""
        self.workers(1)
        good = self.settle()
        tool = [laboratory.CFGCTL, "set", "chat/sampling.temperature=99"]
        environment = {**os.environ, "CONFIGD_SERVER": self.configd.url}
        refused = subprocess.run(tool, env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(refused.returncode, 4, refused.stderr)
        self.assertRegex(refused.stderr, r"sampling.temperature +deployment blue: w0 +\S+ to \S+ +99 ")
        self.assertEqual(self.configd.call("GET", "/v1/config/chat")["version"], 1)
        forced = subprocess.run(tool + ["--force"], env=environment, capture_output=True, text=True, timeout=60, check=True)
        self.assertIn("warning: forced: sampling.temperature", forced.stderr)
        self.assertRegex(self.configd.call("GET", "/v1/config/chat")["message"], "forced past 1 violation")

        def rejected():
            (worker,) = self.configd.call("GET", "/v1/deployments/blue/workers")["workers"]
            return worker["rejects"] and worker
        worker = laboratory.wait_for("the worker to refuse", rejected)
        self.assertEqual((worker["rejects"][0]["path"], worker["applied"]["revision"]), ("sampling.temperature", good))
        check = subprocess.run([laboratory.CFGCTL, "contract", "check", "blue"], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(check.returncode, 4, check.stdout + check.stderr)
        self.assertIn("sampling.temperature", check.stdout)
        shown = subprocess.run([laboratory.CFGCTL, "contract", "show", "blue"], env=environment, capture_output=True, text=True, timeout=60, check=True)
        self.assertRegex(shown.stdout, r"sampling.temperature +f64 +live +0 to")

    def test_a_value_above_what_a_worker_has_room_for(self):
        self.workers(2, ["--max-batch", "16"])
        good = self.settle()
        tool = [laboratory.CFGCTL, "set", "chat/inference.batch_size=17"]
        environment = {**os.environ, "CONFIGD_SERVER": self.configd.url}
        refused = subprocess.run(tool, env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(refused.returncode, 4, refused.stderr)
        self.assertRegex(refused.stderr, r"inference.batch_size +deployment blue: w[01] +\S.*16 +17")
        with self.assertRaisesRegex(laboratory.Problem, "409.*ceiling"):
            self.patch("/v1/config/chat", {"inference": {"batch_size": 17}})
        forced = subprocess.run(tool + ["--force"], env=environment, capture_output=True, text=True, timeout=60, check=True)
        self.assertIn("warning: forced: inference.batch_size", forced.stderr)

        def rejected():
            workers = self.configd.call("GET", "/v1/deployments/blue/workers")["workers"]
            return all(w["rejects"] for w in workers) and workers
        for worker in laboratory.wait_for("the workers to refuse", rejected):
            self.assertEqual((worker["rejects"][0]["path"], worker["applied"]["revision"]), ("inference.batch_size", good))
            self.assertIn("17 is above 16", worker["rejects"][0]["reason"])
        self.patch("/v1/config/chat", {"inference": {"batch_size": 16}})
        self.settle()

    def test_a_flip_in_time(self):
        """Nobody writes: the time at which a step begins decides."""
        flip = int(time.time()) + 3
        self.put("/v1/flags/experiment/ab.flag", flag({"if": [{">=": [{"var": "$flagd.timestamp"}, flip]}, "on", "off"]}))
        self.workers(1)
        self.settle()
        while True:
            reply, now = self.ask(0, {}), time.time()
            variant = reply["variants"]["experiment/ab.flag"]
            if now < flip:
                self.assertEqual(variant, "off")
            if variant == "on":
                self.assertGreaterEqual(now, flip)
                break


if __name__ == "__main__":
    unittest.main()
