"""cfgctl against a real etcd, a real configd and real workers: what an operator types, sees, and gets back in $?."""
import hashlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import unittest

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
import lab as laboratory  # noqa: E402


def start(lab, options=(), name="configd", etcd=None):
    """A configd that is ready, on a store of its own unless one is given."""
    configd = laboratory.Configd(lab, name, [etcd or lab.etcd()[0].url], options).start()

    def ready():
        try:
            return configd.call("GET", "/readyz")
        except laboratory.Problem:
            return None

    laboratory.wait_for("configd to be ready", ready)
    return configd


class Session(unittest.TestCase):
    def setUp(self):
        self.lab = laboratory.Lab()
        self.lab.__enter__()
        self.addCleanup(self.lab.__exit__, None, None, None)
        self.configd = start(self.lab)

    # --- helpers ---

    def environment(self, server=None):
        """Nobody else's configuration."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}
        return {**mine, "CONFIGD_SERVER": server or self.configd.url}

    def run_cfgctl(self, *args, env=None, stdin=None, server=None):
        return subprocess.run([laboratory.CFGCTL, *args], input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True,
                              text=True, env={**self.environment(server), **(env or {})}, timeout=60)

    def at_the_terminal(self, args, until, answer):
        """Runs cfgctl on a terminal; once `until` is shown, types what answer() gives. (exit code, what it showed)."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen([laboratory.CFGCTL, *args], stdin=theirs, stdout=theirs, stderr=theirs, env={**self.environment(), "NO_COLOR": "1"})
        os.close(theirs)
        seen, answered = b"", False
        while True:
            if not select.select([ours], [], [], 60)[0]:
                child.kill()
                self.fail(f"nothing for a minute after {seen}")
            try:
                chunk = os.read(ours, 65536)
            except OSError:
                break  # the terminal is closed at the other end
            if not chunk:
                break
            seen += chunk
            if until in seen and not answered:
                answered = True
                os.write(ours, answer())
        os.close(ours)
        self.assertTrue(answered, seen)
        return child.wait(60), seen.decode().replace("\r\n", "\n")

    def ok(self, *args, **more):
        done = self.run_cfgctl(*args, **more)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout

    def refused(self, code, says, *args, **more):
        """Exit code and reason, and nothing changed."""
        before = self.revision()
        done = self.run_cfgctl(*args, **more)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        self.assertRegex(done.stderr, says, f"{args}")
        self.assertTrue(done.stderr.startswith("cfgctl: "), done.stderr)
        self.assertEqual(self.revision(), before, f"{args} changed something")
        return done

    def revision(self):
        return self.configd.call("GET", "/v1/status")["revision"]

    def json(self, *args):
        return json.loads(self.ok(*args, "-o", "json"))

    def fleet(self, n=2):
        self.ok("set", "chat/counter.w0=1", "chat/distributed.tp=4")
        self.ok("deployment", "create", "blue", "--config", "chat", "--pin", "distributed", "--flags", "experiment")
        self.workers = [laboratory.Worker(self.lab, f"w{i}", [self.configd.url]) for i in range(n)]
        for w in self.workers:
            w.start()
        laboratory.wait_for("workers", lambda: self.json("status", "blue")["converged"] == n)

    # --- the main path ---

    def test_parameters(self):
        out = self.ok("set", "chat/sampling.temperature=0.7", "chat/inference.batch_size=4", "-m", "first values")
        self.assertRegex(out, r"^chat v1: created with ")
        out = self.ok("set", "chat/sampling.temperature=0.2", "chat/inference.batch_size=8")
        self.assertRegex(out, r"^chat v2: .*sampling\.temperature 0\.7 → 0\.2")
        self.assertIn("inference.batch_size 4 → 8", out)
        self.assertEqual(self.ok("get", "chat/sampling.temperature"), "0.2\n")
        self.assertEqual(json.loads(self.ok("get", "chat"))["inference"], {"batch_size": 8})
        self.assertEqual(json.loads(self.ok("get", "chat", "--version", "1"))["sampling"], {"temperature": 0.7})
        self.assertIn("temperature: 0.2", self.ok("get", "chat", "-o", "yaml"))
        self.assertEqual(self.ok("set", "chat/sampling.temperature=0.2").splitlines()[0], "chat v2: unchanged")
        self.assertEqual(self.json("get", "chat")["version"], 2)
        self.assertIn("dry run: chat v3", self.ok("set", "chat/sampling.temperature=0.3", "--dry-run"))
        self.assertEqual(self.json("get", "chat")["version"], 2)
        self.assertIn("first values", self.ok("history", "chat"))
        diff = self.ok("diff", "chat")
        self.assertIn("- sampling.temperature = 0.7\n+ sampling.temperature = 0.2\n", diff)
        self.assertIn("chat v1 → v2", self.ok("diff", "chat", "1", "2"))
        self.assertRegex(self.ok("rollback", "chat", "--to", "1", "-m", "back"), r"^chat v3: .*0\.2 → 0\.7")
        self.ok("unset", "chat/inference.batch_size")
        self.assertNotIn("batch_size", self.ok("get", "chat"))
        self.assertIn("sampling.temperature", self.ok("list", "chat"))
        self.assertIn("chat", self.ok("list"))

    def test_values(self):
        self.ok("set", "v/a=[1,2.5,x]", "v/b={k: v, n: 1}", "v/c='on'", "v/d=null", "v/e=1e-4", "v/f=\"x, y\"", "--string", "v/g=1e4",
                "+v/h=1", "++v/h=2")
        self.assertEqual(self.json("get", "v")["document"],
                         {"a": [1, 2.5, "x"], "b": {"k": "v", "n": 1}, "c": "on", "d": None, "e": 1e-4, "f": "x, y", "g": "1e4", "h": 2})
        self.ok("set", "v", "--file", "-", stdin='{"new": {"whole": true}}')
        self.assertEqual(self.json("get", "v")["document"], {"new": {"whole": True}})
        self.ok("set", "v/new.whole=off")
        self.assertEqual(self.ok("get", "v/new.whole"), "false\n")
        self.ok("set", "v/x=1", "w/y=2")
        self.assertEqual(self.json("get", "v")["revision"], self.json("get", "w")["revision"], "one transaction")

    def test_hydras_words(self):
        self.ok("set", "train", "optimizer.lr=1e-3", "+trainer.epochs=5", "model.dropout=0.1", "data=/a/b", "--wait")
        self.ok("set", "train", "optimizer.lr=1e-4", "~model.dropout")
        self.assertEqual(self.json("get", "train")["document"],
                         {"optimizer": {"lr": 1e-4}, "trainer": {"epochs": 5}, "model": {}, "data": "/a/b"})
        self.refused(2, "config groups", "set", "train", "db/mysql=x")
        self.refused(5, "sweep", "set", "train", "optimizer.lr=1,2")

    def test_schema_rollback(self):
        names = [os.path.join(self.lab.dir, f"{n}.schema.json") for n in ("narrow", "wide")]
        for name, most in zip(names, (1, 9)):
            with open(name, "w", encoding="utf-8") as f:
                json.dump({"properties": {"t": {"maximum": most}}}, f)
            self.ok("schema", "set", "rolled", name)
        out = self.ok("schema", "diff", "rolled")
        self.assertTrue(out.startswith("schema of rolled v1 → v2\n"), out)
        self.assertIn('"maximum": 1', [line for line in out.splitlines() if line.startswith("- ")][0])
        self.assertIn('"maximum": 9', [line for line in out.splitlines() if line.startswith("+ ")][0])
        self.assertNotIn("- {", self.ok("schema", "diff", "rolled", "1", "2"))
        self.assertIn("no difference", self.ok("schema", "diff", "rolled", "2", "2"))
        self.assertEqual(self.json("schema", "diff", "rolled", "0", "1")["after"]["schema"], {"properties": {"t": {"maximum": 1}}})
        self.refused(2, "is no version", "schema", "diff", "rolled", "one")
        self.refused(3, "version 7", "schema", "diff", "rolled", "7")
        self.refused(2, "which version", "schema", "rollback", "rolled")
        self.ok("schema", "rollback", "rolled", "--to", "1", "-n")
        self.ok("set", "rolled/t=5")
        self.refused(5, "at most 1", "schema", "rollback", "rolled", "--to", "1")
        self.ok("set", "rolled/t=1")
        self.assertIn("schema of rolled v3: ", self.ok("schema", "rollback", "rolled", "--to", "1"))
        self.refused(5, "at most 1", "set", "rolled/t=5")

    def test_resolve(self):
        base = os.path.join(self.lab.dir, "base.yaml")
        top = os.path.join(self.lab.dir, "top.json")
        with open(base, "w") as f:
            f.write("lr: 0.001\nbatch: 8\nworld: ???\ntotal: '${eval: batch * world}'\nnote: lr=${lr} ${oc.env:WHO,nobody}\n")
        with open(top, "w") as f:
            f.write('{"world": 4}')
        nowhere = "http://127.0.0.1:1"
        out = self.ok("resolve", base, top, env={"WHO": "me"}, server=nowhere)
        self.assertEqual(json.loads(out), {"lr": 0.001, "batch": 8, "world": 4, "total": 32, "note": "lr=0.001 me"})
        out = json.loads(self.ok("resolve", base, top, "--set", "batch=2", "--set", "~note", "-o", "json", server=nowhere))
        self.assertEqual(out, {"lr": 0.001, "batch": 2, "world": 4, "total": 8})
        self.assertIn("${eval: batch", self.ok("resolve", base, "--no-resolve", "-o", "yaml"))
        why = {e["path"]: e for e in json.loads(self.ok("resolve", base, top, "--set", "batch=2", "--explain", "-o", "json"))}
        self.assertEqual([s["name"] for s in why["world"]["set"]], [base, top])
        self.assertEqual((why["batch"]["layer"], why["total"]["resolved"]), (2, 8))
        table = self.ok("resolve", base, top, "--explain")
        self.assertRegex(table, r"total +32 +\S*base\.yaml")
        self.assertNotIn("\033", table, "no colours into a pipe")
        self.refused(5, r"world.* is missing", "resolve", base)
        self.refused(4, "exists already", "resolve", base, top, "--set", "+batch=2")
        self.refused(5, "did you mean batch", "resolve", base, top, "--set", "x=${bacth}")

    def test_layers(self):
        self.ok("set", "base/sampling.temperature=0.7", "base/seed=1", "base/distributed.tp=4", "-m", "site values")
        self.assertIn("extends base", self.ok("extend", "chat", "base"))
        self.fleet()
        self.assertEqual(self.ok("get", "chat/seed", "--resolved"), "1\n")
        self.assertIn("--resolved", self.run_cfgctl("get", "chat/seed").stderr)
        out = self.ok("set", "base/seed=2", "--wait")
        self.assertIn("base v2: seed 1 → 2 · live on 0 workers, pending restart on 0, read by nobody on 2", out)
        self.ok("set", "base/counter.w1=7", "--wait")
        self.ok("set", "chat/sampling.temperature=0.2", "-m", "for chat")
        out = self.ok("explain", "chat/sampling.temperature")
        self.assertRegex(out, r"^chat/sampling.temperature = 0.2\n")
        self.assertRegex(out, r"(?m)^ +base +1 .* 0\.7$")
        self.assertRegex(out, r"(?m)^\* +chat +\d+ .* 0\.2$")
        self.ok("set", "base/distributed.tp=8")
        self.assertRegex(self.ok("explain", "chat/distributed.tp", "--deployment", "blue"), r"(?m)^\* +pin of blue .* 4$")
        self.assertRegex(self.ok("get", "base", "--dependents"), r"(?m)^chat +directly +blue$")
        version = self.json("get", "base")["version"]
        for code, says, *args in ((4, "extended by chat", "unset", "base", "--force"),
                                  (5, "base extends chat extends base", "extend", "base", "chat"),
                                  (5, "deployment blue", "set", "base/model='???'")):
            done = self.run_cfgctl(*args)  # not refused(): the workers' presence moves the revision
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertIn(says, done.stderr)
        self.assertEqual(self.json("get", "base")["version"], version)
        self.assertIn("(extends)", self.ok("diff", "chat", "0", "1"))
        self.assertIn("extends base", self.ok("history", "chat"))

    def test_locks(self):
        self.ok("set", "base/seed=1", "base/distributed.tp=4", "chat/x=1", "experiment/ab.flag=on")
        self.ok("extend", "chat", "base")
        self.ok("deployment", "create", "blue", "--config", "chat", "--pin", "distributed", "--flags", "experiment")
        lock = self.ok("lock", "blue")
        digest = json.loads(lock)["digest"]
        self.ok("set", "base/seed=2", "chat/x=2", "experiment/ab.flag=off")
        self.assertNotEqual(self.json("deployment", "get", "blue")["view"]["digest"], digest)
        file = os.path.join(self.lab.dir, "run.lock.json")
        with open(file, "w", encoding="utf-8") as f:
            f.write(lock)
        self.ok("deployment", "create", "again", "--from-lock", file)
        again = self.json("deployment", "get", "again")
        self.assertEqual(again["view"]["digest"], digest)
        self.assertEqual(again["arms"]["base"]["release"], {"base": 1, "chat": 2})
        self.assertEqual(json.loads(self.ok("lock", "again"))["digest"], digest)
        out = self.ok("explain", "chat/x", "--deployment", "again")
        self.assertRegex(out, r"(?m)^\* +lock of again .* 1$")
        self.assertRegex(out, r"(?m)^locked from .*config/base v1, config/chat v2$")
        self.assertRegex(self.ok("explain", "chat/distributed.tp", "--deployment", "again"), r"(?m)^\* +pin of again .* 4$")
        self.refused(3, "has no y", "explain", "chat/y", "--deployment", "again")
        self.refused(5, "changed", "deployment", "create", "other", "--from-lock", "-", stdin=lock.replace('"x": 1', '"x": 3'))
        self.refused(2, "--from-lock goes alone", "deployment", "create", "other", "--from-lock", file, "--config", "chat")
        self.ok("deployment", "update", "blue", "--track", "hold")
        self.assertIn("next: cfgctl rollout start blue --to base=3, or at once: cfgctl deployment update blue --to base=3", self.ok("set", "base/seed=3"))
        self.ok("deployment", "update", "blue", "--to", "base=3")
        self.assertEqual(self.json("deployment", "get", "blue")["arms"]["base"]["release"], {"base": 3, "chat": 3})

    def test_flags(self):
        out = self.ok("set", "experiment/ab.flag=on")
        self.assertRegex(out, r"^experiment v1: created flag ab\.flag=on")
        self.assertEqual(self.ok("get", "experiment/ab.flag"), "on\n")
        self.assertRegex(self.ok("set", "experiment/ab.flag=off"), r"^experiment v2: flag ab\.flag=off, was on")
        self.assertRegex(self.ok("flag", "on", "experiment/ab.flag"), r"ab\.flag=on, was off")
        self.assertEqual(self.ok("flag", "get", "experiment/ab.flag"), "on\n")
        self.assertIn("experiment/ab.flag", self.ok("flag", "list"))
        self.assertIn("ab.flag", self.json("flag", "list", "experiment")["flags"])
        self.assertEqual(len(self.json("history", "experiment/ab.flag")["items"]), 3)
        self.ok("rollback", "experiment/ab.flag", "--to", "2")
        self.assertEqual(self.ok("get", "experiment/ab.flag"), "off\n")
        self.refused(3, "ab.flag", "flag", "on", "experiment/ab.flga")
        self.ok("flag", "delete", "experiment/ab.flag")
        self.refused(3, ".", "get", "experiment/ab.flag")

    def test_fleet(self):
        self.fleet()
        out = self.ok("set", "chat/counter.w0=2", "--wait")
        self.assertIn("live on 2 workers, pending restart on 0, read by nobody on 0", out)
        for w in ("w0", "w1"):
            self.assertRegex(out, rf"{w}: applied [0-9.]+ ms after set was sent, at step \d+")
        self.assertIn("clock", out)
        waited = json.loads(self.ok("set", "chat/counter.w0=3", "--wait", "-o", "json"))["wait"]
        self.assertEqual((waited["converged"], waited["total"]), (2, 2))
        done = self.run_cfgctl("set", "chat/cuonter.w0=3")
        self.assertEqual(done.returncode, 0)
        self.assertIn("read by nobody on 2", done.stdout)
        self.assertIn("warning: no worker reads", done.stderr)
        self.assertIn("counter.w0", done.stderr, "the near miss is named")
        self.assertIn("blue keeps distributed.tp=4", self.ok("set", "chat/distributed.tp=8"))
        self.assertIn("live on 2 workers", self.ok("set", "experiment/ab.flag=on", "--wait"))
        status = self.ok("status", "blue")
        self.assertRegex(status, r"^blue  1-\d+  2 workers  \d\d:\d\d:\d\d\n2 (current|idle)\n")
        self.assertRegex(status, r"\nGROUP +ARM +RANKS +STATE .*\nw\d +base +1/1 +(current|idle) ")
        self.assertRegex(self.ok("status", "blue", "-o", "wide"), r"^blue: 2 of 2 workers converged on .*\nWORKER +CONDITION .*\nw0 +(current|idle) ")
        self.assertIn("blue", self.ok("deployment", "list"))
        self.assertIn('"tp": 4', self.ok("deployment", "get", "blue"))
        self.refused(4, "work", "deployment", "delete", "blue")
        self.workers[0].signal(19)  # SIGSTOP: a straggler
        late = self.run_cfgctl("set", "chat/counter.w0=4", "--wait", "--timeout", "4")  # w1 may have to wait for the answer to its last report
        self.workers[0].signal(18)
        self.assertEqual(late.returncode, 8, late.stderr)
        self.assertIn("1 of 2 workers have not applied it: w0", late.stderr)
        self.assertIn("w1: applied", late.stdout)
        for w in self.workers:
            self.assertEqual(w.stop(), 0)

    def test_bases_over_two_configd(self):
        """A base written here reaches workers that another configd serves, also when it returns to what it was."""
        etcd = next(p for p in self.lab.processes if isinstance(p, laboratory.Etcd))
        second = start(self.lab, name="second", etcd=etcd.url)
        self.ok("set", "base/counter.w0=1", "chat/distributed.tp=4")
        self.ok("extend", "chat", "base")
        for name in ("blue", "held"):
            self.ok("deployment", "create", name, "--config", "chat", "--pin", "distributed")
        self.ok("deployment", "update", "held", "--track", "hold")
        follows = laboratory.Worker(self.lab, "w9", [second.url], extra_env={"CONFIGD_SET": "counter.w0=5"}).start()
        plain = laboratory.Worker(self.lab, "w8", [second.url]).start()
        held = laboratory.Worker(self.lab, "w7", [second.url], deployment="held").start()
        laboratory.wait_for("all workers", lambda: follows.last() and plain.last() and held.last())
        first, stays = plain.last()[2], held.views()
        seen = len(plain.views())
        self.ok("set", "base/counter.w0=2")
        laboratory.wait_for("the new value", lambda: plain.last()[2] != first)
        self.ok("set", "base/counter.w0=1")
        laboratory.wait_for("the old value again", lambda: plain.last()[2] == first)
        self.assertEqual(len(plain.views()), seen + 2)
        self.assertEqual({v[2] for v in held.views()}, {stays[-1][2]})
        out = self.ok("explain", "chat/counter.w0", "--deployment", "blue", server=second.url)
        self.assertIn("overridden locally on w9", out)
        self.assertIn("workers of other configds", self.ok("explain", "chat/counter.w0", "--deployment", "blue"))

    def test_two_configd(self):
        """What is asked of one configd is answered for the workers of both."""
        etcd = next(p for p in self.lab.processes if isinstance(p, laboratory.Etcd))
        second = start(self.lab, name="second", etcd=etcd.url)
        self.fleet(1)
        other = laboratory.Worker(self.lab, "w9", [second.url]).start()
        laboratory.wait_for("the worker of the other one", lambda: self.json("status", "blue")["total"] == 2)
        out = self.ok("set", "chat/counter.w0=5", "--wait")
        self.assertRegex(out, r"w0: applied [0-9.]+ ms")
        self.assertRegex(out, r"w9: applied [0-9.]+ ms")
        other.signal(19)  # SIGSTOP
        late = self.run_cfgctl("set", "chat/counter.w0=6", "--wait", "--timeout", "1")
        other.signal(18)
        self.assertEqual(late.returncode, 8, late.stdout + late.stderr)
        self.assertIn("w9", late.stderr)
        second.signal(19)  # a configd that does not answer: its workers are not taken for converged
        late = self.run_cfgctl("set", "chat/counter.w0=7", "--wait", "--timeout", "1")
        second.signal(18)
        self.assertEqual(late.returncode, 8, late.stdout + late.stderr)
        self.assertIn("1 worker of a configd that does not answer", late.stderr)
        self.assertIn("w0: applied", late.stdout)

    def test_held_deployments(self):
        self.ok("set", "chat/a=1")
        self.ok("deploy", "create", "slow", "--config", "chat", "--track", "hold")
        out = self.ok("set", "chat/a=2")
        self.assertIn("stored chat v2; slow holds v1; next: cfgctl rollout start slow --to 2, or at once: cfgctl deployment update slow --to 2\n", out)
        self.ok("deployment", "update", "slow", "--to", "2")
        self.assertEqual(self.json("deployment", "get", "slow")["arms"]["base"]["release"], {"chat": 2})
        self.ok("deployment", "update", "slow", "--track", "head")
        self.assertNotIn("holds", self.ok("set", "chat/a=3"))
        self.assertGreaterEqual(len(self.json("history", "deployment/slow")["items"]), 3)
        self.ok("deployment", "delete", "slow")
        self.refused(3, "slow", "deployment", "get", "slow")

    def test_watch(self):
        self.ok("set", "chat/a=1")
        watching = subprocess.Popen([laboratory.CFGCTL, "watch", "chat", "-o", "json", "--server", self.configd.url],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watching.communicate)
        self.addCleanup(watching.kill)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(watching.stdout.readline, "")), daemon=True)
        reader.start()
        value = [1]

        def heard():
            value[0] += 1
            self.ok("set", f"chat/a={value[0]}")
            return len(lines) >= 3

        laboratory.wait_for("changes", heard)
        versions = [json.loads(line)["version"] for line in lines]
        self.assertEqual(versions, list(range(versions[0], versions[0] + len(versions))), "each once, in order")

    def test_backup_and_restore(self):
        self.ok("set", "chat/a=1")
        self.ok("set", "e/f=on")
        name = os.path.join(self.lab.dir, "b.ndjson")
        self.ok("backup", name)
        self.assertEqual(self.ok("backup", "-").splitlines()[0][:19], '{"configd_backup":1')
        epoch = int(self.revision().split("-")[0])
        self.ok("set", "chat/a=2", "other/x=1")
        self.assertIn("restored", self.ok("restore", name))
        self.assertEqual(self.ok("get", "chat/a"), "1\n")
        self.assertEqual(self.ok("get", "e/f"), "on\n")
        self.refused(3, "other", "get", "other")
        self.assertGreater(int(self.revision().split("-")[0]), epoch)
        with open(name) as f:
            text = f.read()
        with open(name, "w") as f:
            f.write(text.replace('"a":1', '"a":7', 1))
        self.refused(5, "damaged", "restore", name)

    def test_status_and_version(self):
        out = self.ok("status")
        self.assertRegex(out, r"(?m)^state +live$")
        self.assertRegex(out, r"(?m)^etcd +3\.")
        self.assertRegex(self.ok("version"), r"cfgctl +0\.1\.0\nconfigd +0\.1\.0")

    # --- bad input: clear error, right exit code, nothing changed ---

    def test_what_refers_to_nothing_is_bad_content(self):
        self.ok("set", "run/a=1", "run/b=${a}")
        self.ok("deployment", "create", "runs", "--config", "run")
        self.refused(5, "the key 'nope' does not exist", "set", "run/c=${nope}")
        self.refused(5, "the key 'a' does not exist", "unset", "run/a")

    def test_bad_input(self):
        self.ok("set", "chat/sampling.temperature=0.2", "chat/name=x", "e/f=on")
        self.refused(3, "nope", "get", "nope")
        self.refused(3, "sampling.temperature", "get", "chat/sampling.temprature")
        self.refused(3, "sampling.temperature", "unset", "chat/sampling.temprature")
        self.refused(3, "99", "get", "chat", "--version", "99")
        self.refused(3, "99", "rollback", "chat", "--to", "99")
        self.refused(5, "type|string|number", "set", "chat/sampling.temperature=warm")
        self.ok("set", "chat/sampling.temperature=warm", "--change-type")
        self.refused(4, "exist", "set", "+chat/name=y")
        self.refused(4, "flag", "set", "e/f=3")
        self.refused(4, "version", "set", "chat/name=y", "--if-version", "1")
        self.refused(4, ".", "set", "chat/name=y", "--if-version", "0")
        self.refused(5, "key|[.]", "set", "chat", "-f", "-", stdin='{"a.b": 1}')
        self.refused(5, "line 1 column", "set", "chat", "-f", "-", stdin='{"a": 1, "a": 2}')
        self.refused(5, ".", "set", "chat", "-f", "-", stdin='{"a": 9007199254740993}')
        self.refused(5, ".", "set", "chat", "-f", "-", stdin="[" * 65 + "]" * 65)
        self.refused(5, ".", "set", "chat", "-f", "-", stdin='{"a": "%s"}' % ("x" * 512 * 1024))
        self.refused(5, "KiB|long|message", "set", "chat/name=y", "-m", "m" * 4097)
        self.refused(3, "nope", "deployment", "create", "x", "--config", "nope")
        self.refused(3, ".", "status", "nope")
        self.refused(2, "unknown option", "set", "--forze", "chat/name=y")
        self.refused(2, "address", "set", "name=y")

    def test_no_server(self):
        url = f"http://127.0.0.1:{laboratory.free_port()}"
        done = self.run_cfgctl("list", server=url)
        self.assertEqual(done.returncode, 7)
        self.assertIn(url, done.stderr)
        self.assertIn("start one with `configd`", done.stderr)
        self.assertEqual(self.ok("list", server=f"{url},{self.configd.url}"), self.ok("list"))
        etcd = next(p for p in self.lab.processes if isinstance(p, laboratory.Etcd))
        self.assertEqual(self.run_cfgctl("list", server=etcd.url).returncode, 9, "an etcd is no configd")


class Tokens(Session):
    """The same daemon with tokens."""

    def setUp(self):
        self.lab = laboratory.Lab()
        self.lab.__enter__()
        self.addCleanup(self.lab.__exit__, None, None, None)
        self.tokens, entries = {}, []
        for name, options in {"ann": ["--role", "admin"], "wim": ["--role", "writer", "--namespaces", "chat,train-*"],
                              "rae": ["--role", "reader"]}.items():
            secret, entry = self.run_cfgctl("token", "create", "--subject", name, *options, server="http://127.0.0.1:1").stdout.split()
            self.assertEqual(json.loads(entry)["sha256"], hashlib.sha256(secret.encode()).hexdigest())
            self.tokens[name] = secret
            entries.append(json.loads(entry))
        path = os.path.join(self.lab.dir, "tokens.json")
        with open(path, "w") as f:
            json.dump({"tokens": entries}, f)
        os.chmod(path, 0o600)
        self.configd = start(self.lab, ["--tokens", path])

    def code(self, who, *args):
        done = self.run_cfgctl(*args, env={"CONFIGD_TOKEN": self.tokens.get(who, who)})
        return done.returncode, done

    def test_who_may_what(self):
        self.assertEqual(self.code("wim", "set", "chat/a=1")[0], 0)
        self.assertEqual(self.code("wim", "set", "train-big/a=1")[0], 0)
        self.assertEqual(self.code("wim", "set", "other/a=1")[0], 6)
        self.assertEqual(self.code("wim", "set", "chat/a=2", "other/a=1")[0], 6)
        self.assertEqual(self.code("rae", "get", "chat/a")[1].stdout, "1\n")
        self.assertEqual(self.code("rae", "set", "chat/a=2")[0], 6)
        self.assertEqual(self.code("rae", "backup", "-")[0], 6)
        self.assertEqual(self.code("ann", "backup", "-")[0], 0)
        self.assertEqual(self.code("wrong", "get", "chat")[0], 6)
        self.assertEqual(self.run_cfgctl("get", "chat").returncode, 6)
        self.assertRegex(self.code("rae", "history", "chat")[1].stdout, r"\bwim\b")


class Tls(Session):
    """Over TLS, by a certificate of our own making."""

    def setUp(self):
        self.lab = laboratory.Lab()
        self.lab.__enter__()
        self.addCleanup(self.lab.__exit__, None, None, None)
        self.cert, key, tokens = (os.path.join(self.lab.dir, name) for name in ("cert.pem", "key.pem", "tokens.json"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", self.cert, "-days", "2",
                        "-subj", "/CN=configd", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        secret, entry = self.run_cfgctl("token", "create", "--subject", "ann", "--role", "admin", server="http://127.0.0.1:1").stdout.split()
        with open(tokens, "w") as f:
            json.dump({"tokens": [json.loads(entry)]}, f)
        os.chmod(tokens, 0o600)
        os.chmod(key, 0o600)
        self.configd = laboratory.Configd(self.lab, "configd", [self.lab.etcd()[0].url],
                                          ["--tls-cert", self.cert, "--tls-key", key, "--tokens", tokens]).start()
        self.configd.url = self.configd.url.replace("http:", "https:")
        self.trust = {"CONFIGD_TOKEN": secret, "CONFIGD_CA_FILE": self.cert}
        laboratory.wait_for("configd over TLS", lambda: self.run_cfgctl("status", env=self.trust).returncode == 0)

    def test_tls(self):
        self.assertEqual(self.run_cfgctl("set", "chat/a=1", env=self.trust).returncode, 0)
        token = {"CONFIGD_TOKEN": self.trust["CONFIGD_TOKEN"]}
        self.assertEqual(self.run_cfgctl("get", "chat/a", "--ca", self.cert, env=token).stdout, "1\n")
        done = self.run_cfgctl("get", "chat/a", env=token)
        self.assertEqual(done.returncode, 7, "a certificate that nobody vouches for")
        self.assertIn("--ca", done.stderr)
        plain = self.run_cfgctl("get", "chat/a", env=token, server=self.configd.url.replace("https:", "http:"))
        self.assertIn(plain.returncode, (7, 9))


def main(*cases, needs=()):
    """Runs the tests that these classes define themselves: all, or those that the first argument, an expression, names."""
    missing = [p for p in (laboratory.CONFIGD, laboratory.CFGCTL, *needs) if not os.access(p, os.X_OK)]
    if missing:
        sys.exit(f"not built: {', '.join(missing)}")
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else ".")
    own = (case(name) for case in cases for name in vars(case) if name.startswith("test_"))
    tests = [t for t in own if wanted.search(t.id())]
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(tests))
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main(Session, Tokens, Tls, needs=[laboratory.WORKER])
