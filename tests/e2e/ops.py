"""The operator at three in the morning: log, rollback --at, status, at, doctor, against a real etcd, configd and workers."""
import base64
import json
import os
import re
import subprocess

from cfgctl import Session, laboratory, main, start  # also finds the laboratory


class Past(Session):
    """What was written, by whom, and the way back."""

    def now(self):
        """The time of the newest write, to the microsecond."""
        return self.configd.call("GET", "/v1/log?limit=1")["items"][0]["time"]

    def build(self):
        """chat over base, a deployment with flags; then a night of changes. Times of the states on the way."""
        self.ok("set", "base/limits.rate=10", "chat/temperature=0.7", "chat/counter.w0=1")
        self.ok("extend", "chat", "base")
        self.ok("set", "experiment/ab.flag=on")
        self.ok("deployment", "create", "blue", "--config", "chat", "--flags", "experiment")
        good = self.now()
        self.ok("set", "base/limits.rate=1000", "-m", "more traffic", env={"CONFIGD_USER": "eve"})
        self.ok("set", "chat/temperature=1.9", "-m", "try this")
        self.ok("flag", "off", "experiment/ab.flag")
        self.ok("set", "experiment/new.flag=on")
        self.ok("set", "other/x=1", "experiment/unrelated=1")
        return good

    def test_log_is_of_all_that_concerned_it_and_nothing_else(self):
        good = self.build()
        items = self.json("log", "blue", "--since", "1h")["items"]
        self.assertEqual([i["object"] for i in items],
                         ["flag/experiment/new.flag", "flag/experiment/ab.flag", "config/chat", "config/base", "deployment/blue"])
        self.assertEqual([i["why"] for i in items], ["flags", "flags", "namespace", "base", "deployment"])
        self.assertEqual(items[2]["changes"], [{"op": "replace", "path": "temperature", "from": 0.7, "to": 1.9}])
        self.assertEqual(items[3]["message"], "more traffic")
        self.assertIn({"op": "replace", "path": "enabled", "from": True, "to": False}, items[1]["changes"])
        out = self.ok("log", "blue", "--since", "1h")
        self.assertRegex(out, r"^TIME +AUTHOR +OBJECT +VERSION +WHAT +MESSAGE")
        self.assertRegex(out, r"config/base +2 +limits\.rate 10 → 1000 +more traffic")
        self.assertNotIn("other", out)
        self.assertNotIn("unrelated", out)
        since = self.json("log", "blue", "--since", good, "--until", items[3]["time"])["items"]
        self.assertEqual([i["object"] for i in since], ["config/base", "deployment/blue"])
        self.assertEqual([i["object"] for i in self.json("log", "blue", "--object", "chat")["items"]], ["config/chat"])
        self.assertEqual(self.json("log", "blue", "--author", "nobody-of-that-name")["items"], [])
        first = self.json("log", "blue", "--limit", "1")
        self.assertEqual((len(first["items"]), first["more"]), (1, True))
        self.assertIn("nothing since", self.ok("log", "blue", "--since", "now"))
        self.refused(3, "did you mean blue", "log", "bleu")
        self.refused(2, "--since: 'sometime' is no time", "log", "blue", "--since", "sometime")

    def test_bases_come_and_go(self):
        self.build()
        self.ok("extend", "chat")
        self.ok("set", "base/limits.rate=5", "-m", "nobody's any more")
        self.ok("extend", "chat", "other")
        self.ok("set", "other/x=2", "-m", "ours now")
        items = self.json("log", "blue", "--since", "1h")["items"]
        self.assertEqual([(i["object"], i["message"]) for i in items[:3]],
                         [("config/other", "ours now"), ("config/chat", "extends other"), ("config/chat", "extends nothing")])
        self.assertIn({"op": "add", "path": "(extends)", "to": ["other"]}, items[1]["changes"])
        self.assertNotIn("nobody's any more", json.dumps(items))
        forced = self.configd.call("GET", "/v1/deployments/blue/log")
        self.assertFalse(any(i["forced"] for i in forced["items"]))

    def test_rollback_to_a_time(self):
        good = self.build()
        before = self.revision()
        out = self.ok("rollback", "blue", "--at", good, "--dry-run")
        for line in ("chat v3 → v4", "- temperature = 1.9", "+ temperature = 0.7", "base v2 → v3", "- limits.rate = 1000",
                     "+ limits.rate = 10", "experiment/ab.flag", "experiment/new.flag"):
            self.assertIn(line, out)
        self.assertEqual(self.revision(), before, "a dry run writes nothing")
        self.refused(2, "asks before it writes", "rollback", "blue", "--at", good)
        self.ok("rollback", "blue", "--at", good, "--yes", "-m", "worse answers")
        log = self.json("log", "blue", "--limit", "4")["items"]
        self.assertEqual(len({i["revision"] for i in log}), 1, "one transaction")
        self.assertRegex(log[0]["message"], r"^worse answers \(blue as at 20.*: .*chat v2, base v1|base v1, .*chat v2")
        self.assertEqual(self.json("get", "chat")["document"]["temperature"], 0.7)
        self.assertEqual(self.json("get", "base")["document"]["limits"]["rate"], 10)
        self.assertTrue(self.json("flag", "get", "experiment/ab.flag")["enabled"])
        self.refused(3, "deleted at version 2", "flag", "get", "experiment/new.flag")
        self.assertIn("is told what it was told at", self.ok("rollback", "blue", "--at", good, "--yes"))
        # and back again: what is rolled back is history too
        self.ok("rollback", "blue", "--at", log[0]["time"], "--yes")

    def test_rollback_of_a_deployment_that_holds_moves_its_release(self):
        good = self.build()
        self.ok("deployment", "create", "slow", "--config", "chat", "--track", "hold")
        held = self.now()
        self.ok("set", "chat/temperature=1.5")
        self.ok("deployment", "update", "slow", "--to", "4")
        self.assertEqual(self.json("deployment", "get", "slow")["arms"]["base"]["release"]["chat"], 4)
        self.ok("rollback", "slow", "--at", held, "--yes")
        self.assertEqual(self.json("deployment", "get", "slow")["arms"]["base"]["release"], {"base": 2, "chat": 3})
        self.assertEqual(self.json("get", "chat")["version"], 4, "no namespace was written")
        self.refused(3, "there was no deployment slow at", "rollback", "slow", "--at", good)

    def test_rollback_refuses_what_cannot_be(self):
        good = self.build()
        self.refused(2, "has not come yet", "rollback", "blue", "--at", "2199-01-01T00:00:00Z")
        self.refused(2, "goes without --to", "rollback", "blue", "--at", good, "--to", "1")
        self.refused(3, "a namespace goes back with --to", "rollback", "chat", "--at", good)
        self.ok("schema", "set", "chat", self.file({"properties": {"temperature": {"minimum": 1}}}))
        done = self.refused(5, "blocked", "rollback", "blue", "--at", good, "--yes")
        self.assertIn("temperature", done.stdout)
        self.ok("schema", "delete", "chat")
        self.ok("rollback", "blue", "--at", good, "--yes", "--except", "base,experiment/new.flag")
        self.assertEqual(self.json("get", "base")["document"]["limits"]["rate"], 1000)
        self.assertEqual(self.json("get", "chat")["document"]["temperature"], 0.7)
        self.ok("flag", "get", "experiment/new.flag")
        # history that is gone is said, not guessed
        self.etcd("kv/deleterange", {"key": base64.b64encode(b"/configd/v1/history/config/base/0000000001").decode()})
        self.refused(4, "what config/base was at .* no longer in history", "rollback", "blue", "--at", good, "--yes")
        reply = self.json("log", "blue", "--since", "1h")
        self.assertTrue(reply["incomplete"])
        self.assertIn("no longer in history", self.ok("log", "blue", "--since", "1h"))

    # --- helpers ---

    def etcd(self, path, body):
        url = self.configd.args[self.configd.args.index("--etcd") + 1]
        return laboratory.call(url, "POST", "/v3/" + path, body)[0]

    def file(self, tree):
        path = os.path.join(self.lab.dir, "file.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(tree, f)
        return path


class Present(Session):
    """What runs now, and what is wrong."""

    def metrics(self):
        return laboratory.call(self.configd.url, "GET", "/metrics")[0].decode()

    def test_status_live_and_doctor(self):
        self.fleet(2)
        laboratory.wait_for("steps", lambda: re.search(r"steps/s=\d", self.line("status", "blue", "-w")))
        # at a terminal: the alternate screen, until q
        code, shown = self.at_the_terminal(["status", "blue", "-w"], b"GROUP", lambda: b"q")
        self.assertEqual(code, 0, shown)
        self.assertTrue(shown.startswith("\x1b[?1049h") and shown.endswith("\x1b[?25h\x1b[?1049l"), shown)
        self.assertRegex(shown, r"blue  1-\d+  2 workers")
        self.assertNotIn("\x1b[31m", shown, "NO_COLOR")
        summary = self.json("status", "blue")["summary"]
        self.assertEqual((summary["partial"], summary["unknown"], summary["workers"]), (False, 0, 2))
        self.alerts_name_metrics_that_are_there()
        # nothing is wrong but that one member is one member
        report = self.json("doctor")
        self.assertEqual([f["severity"] for f in report["findings"]], ["info"])
        self.assertIn("one voting member", self.ok("doctor", "--deep"))
        # an alarm, and a peer that does not answer
        second = start(self.lab, name="second", etcd=self.etcd_url())
        self.assertEqual([s["health"]["replica"] for s in self.json("doctor", "--server", f"{self.configd.url},{second.url}")["servers"]],
                         ["configd", "second"])
        second.stop()
        self.etcd("maintenance/alarm", {"action": "ACTIVATE", "alarm": "NOSPACE"})
        done = self.run_cfgctl("doctor", "--server", f"{self.configd.url},{second.url}")
        self.etcd("maintenance/alarm", {"action": "DEACTIVATE", "alarm": "NOSPACE"})
        self.assertEqual(done.returncode, 11, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"error +configd: etcd member \w+ has raised NOSPACE\n +every write is refused")
        self.assertRegex(done.stdout, r"error +http\S+: the configd at \S+ does not answer")
        self.refused(7, ".", "doctor", server="http://127.0.0.1:1")

    def test_a_restart_forgets_no_workers(self):
        """Right after a restart only those that are back are known; the others are unknown, not nobody."""
        self.fleet(2)
        key = {"key": base64.b64encode(b"/configd/v1/live/presence/blue/configd").decode()}
        laboratory.wait_for("presence", lambda: b'"workers":2' in base64.b64decode(self.etcd("kv/range", key)["kvs"][0]["value"]))
        for w in self.workers:
            w.signal(19)  # SIGSTOP: they will not come back by themselves
        self.configd.kill()
        self.configd.start()
        laboratory.wait_for("configd", lambda: self.configd.call("GET", "/readyz"))
        late = self.run_cfgctl("set", "chat/counter.w0=7", "--wait", "--timeout", "1")
        self.assertIn("2 workers of a configd", self.ok_of(late, 8))
        summary = self.json("status", "blue")["summary"]
        self.assertEqual((summary["partial"], summary["unknown"]), (True, 2))
        self.workers[0].signal(18)
        laboratory.wait_for("one of them", lambda: self.json("status", "blue")["summary"]["unknown"] == 1)

    def test_the_values_of_a_step(self):
        self.fleet(1)
        laboratory.wait_for("a record", lambda: self.run_cfgctl("at", "blue", "--step", "1").returncode == 0)
        self.ok("set", "chat/counter.w0=2", "--wait")
        runs = laboratory.wait_for("the adoption", lambda: self.later_run())
        out = self.ok("at", "blue", "--step", str(runs["runs"][0]["from_step"]))
        self.assertRegex(out, r"^GROUP +REVISION +FROM +TO +SINCE")
        self.assertIn("w0: 2\n", out)
        view = self.json("at", "blue", "--step", "1")["views"]
        self.assertEqual([v["view"]["parameters"]["counter"]["w0"] for v in view.values()], [1])
        events = [i for i in self.json("log", "blue")["items"] if i["why"] == "run"]
        self.assertEqual([(i["object"], i["version"]) for i in events], [("group/w0", 0)] * 2)
        self.assertRegex(events[0]["what"], r"^first to adopt \S+ v\d+ \(1-\d+\), at step \d+; 1 in all$")
        self.assertRegex(self.ok("log", "blue"), r"(?m) - +group/w0 +- +first to adopt \S+ v\d+ \(1-")
        self.refused(3, "no run of blue is known", "at", "blue", "--step", "1", "--group", "nobody")
        self.refused(2, "at which step", "at", "blue")

    def alerts_name_metrics_that_are_there(self):
        """What rules ask for is what a running configd prints: metric names, and the labels with their values."""
        text = laboratory.wait_for("etcd to be looked at", lambda: (m := self.metrics()) if "configd_etcd_up{" in (m := self.metrics()) else None)
        with open(os.path.join(laboratory.SOURCE, "compose", "alerts", "configd.rules.yml"), encoding="utf-8") as f:
            exprs = " ".join(re.findall(r"^ +expr: (.*)$", f.read(), re.M))
        helped = set(re.findall(r"^# HELP (\w+) ", text, re.M))
        for name, labels in re.findall(r"\b((?:configd|process)_\w+)(?:\{([^}]*)\})?", exprs):
            self.assertIn(name, helped)
            for label in re.findall(r"(\w+)=~?\"", labels or ""):
                if label != "job" and not name.startswith(("configd_rollout", "configd_experiment")):  # see e2e.rollouts
                    self.assertTrue(re.search(rf"(?m)^{name}\{{[^}}]*\b{label}=\"", text), f"{name} has no label {label}")
        self.assertTrue(re.search(r'configd_deployment_workers\{deployment="blue",state="(current|idle)"\} 2', text))

    # --- helpers ---

    def later_run(self):
        """The newest adoption, once it is recorded."""
        for step in (10, 50, 100, 500, 1000, 5000, 20000, 100000):
            reply = self.run_cfgctl("at", "blue", "--step", str(step), "-o", "json")
            found = json.loads(reply.stdout) if reply.returncode == 0 else {"runs": []}
            if any(r["from_step"] > 1 for r in found["runs"]):
                return found
        return None

    def ok_of(self, done, code):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def etcd_url(self):
        return self.configd.args[self.configd.args.index("--etcd") + 1]

    def etcd(self, path, body):
        return laboratory.call(self.etcd_url(), "POST", "/v3/" + path, body)[0]

    def line(self, *args):
        """The first line of a command that goes on."""
        child = subprocess.Popen([laboratory.CFGCTL, *args], stdout=subprocess.PIPE, text=True, env=self.environment())
        try:
            return child.stdout.readline()
        finally:
            child.kill()
            child.wait()
            child.stdout.close()


if __name__ == "__main__":
    main(Past, Present)
