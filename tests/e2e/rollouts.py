"""cfgctl rollout …, and set --rollout, over simulated workers of a real etcd and a real configd."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as laboratory  # noqa: E402
from cfgctl import Session as Base  # noqa: E402

FLEET = os.path.abspath(os.path.join(laboratory.BUILD, "worker", "cfg-fleet", "cfg-fleet"))
HEALTHY = ["--guard", "error_rate<5%", "--guard", "p50_ms<2*base", "--min-samples", "20"]


class Terminal:
    """A cfgctl on a terminal of 30 lines."""
    LEFT = r"\x1b\[\?7h\x1b\[\?25h\x1b\[\?1049l"

    def __init__(self, test, *args):
        self.test, self.seen = test, ""
        self.ours, theirs = pty.openpty()
        self.resize(30, 120)
        self.before = termios.tcgetattr(self.ours)
        self.child = subprocess.Popen([laboratory.CFGCTL, *args], stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=self.lead,
                                      env={**test.environment(), "NO_COLOR": "1"})
        os.close(theirs)

    @staticmethod
    def lead():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        os.close(self.ours)

    def resize(self, lines, columns):
        """From here on only what is shown then counts."""
        self.seen = ""
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text):
        os.write(self.ours, text.encode())

    def read(self, timeout):
        if not select.select([self.ours], [], [], timeout)[0]:
            return False
        try:
            chunk = os.read(self.ours, 65536)
        except OSError:
            return False  # closed at the other end
        self.seen += chunk.decode(errors="replace")
        return bool(chunk)

    def expect(self, pattern):
        end = time.monotonic() + 30
        while not re.search(pattern, self.seen, re.DOTALL):
            self.test.assertLess(time.monotonic(), end, f"{pattern} is not in {self.seen!r}")
            self.read(1)

    def stopped(self):
        laboratory.wait_for("it to stop", lambda: open(f"/proc/{self.child.pid}/stat").read().rpartition(")")[2].split()[0] == "T")

    def end(self, timeout=30):
        """Its exit code; the terminal is as it was."""
        status = self.child.wait(timeout)
        while self.read(0.2):
            pass
        self.test.assertEqual(termios.tcgetattr(self.ours), self.before)
        return status


class Rollouts(Base):
    def setUp(self):
        super().setUp()
        self.ok("set", "chat/sampling.temperature=0.7", "chat/distributed.tp=4")
        self.ok("set", "experiment/ab.flag=off")
        self.ok("deployment", "create", "blue", "--config", "chat", "--flags", "experiment", "--pin", "distributed")

    def workers(self, n=8):
        laboratory.Process(self.lab, "fleet", [
            FLEET, "--server", self.configd.url, "--deployment", "blue", "--workers", str(n), "--quiet", "--step-ms", "20 ~ 10%",
            "--param", "sampling.temperature=1.0", "--label", "region=eu:0.5,us:0.5",
            "--metric", "error_rate=0.002 + (0.3 if sampling.temperature > 1 else 0) ~ coin"]).start()
        laboratory.wait_for("the workers", lambda: self.knows("error_rate", n))

    def knows(self, metric, n):
        whole = self.configd.call("GET", "/v1/deployments/blue/fleet")
        return whole["workers"] == n and any(metric in a["metrics"] for a in whole["arms"])

    def rollout(self):
        return self.json("rollout", "status", "blue")

    def revision(self):
        """What people write: a rollout that is under way moves on beside it."""
        return [[(c["namespace"], c["version"]) for c in self.configd.call("GET", "/v1/config")["items"]],
                [(r["deployment"], r["run"]) for r in self.configd.call("GET", "/v1/rollouts")["items"]]]

    def phase(self, *wanted):
        laboratory.wait_for(f"{wanted}", lambda: self.rollout()["state"]["phase"] in wanted)
        return self.rollout()

    def test_one_that_is_healthy_and_one_that_is_not(self):
        self.workers()
        self.refused(5, "would hold none of the 8 rank groups(.|\n)*smallest share that holds one is 12.5 %", "rollout", "start", "blue", "--to", "1",
                     "--steps", "12%,100%")
        done = self.run_cfgctl("set", "chat/sampling.temperature=0.9", "--rollout", "60%!,100%", "--bake", "1s", *HEALTHY, "-m", "warmer")
        self.assertEqual(done.returncode, 0, done.stderr)
        out = done.stdout
        self.assertIn("cfgctl rollout status blue -w", out)
        deployment = self.json("deployment", "get", "blue")
        self.assertEqual((deployment["track"], deployment["arms"]["base"]["release"]), ("hold", {"chat": 1}))
        self.ok("set", "chat/late=1")  # waits
        self.phase("gate")  # where it writes nothing of itself
        self.refused(4, "has a rollout already", "rollout", "start", "blue", "--steps", "99.9%,100%")
        self.refused(4, "under way", "deployment", "update", "blue", "--track", "head")
        self.assertRegex(self.ok("rollout", "status", "blue"), r"chat v1 → v2 · gate · \[60%!\] ▸ 100%")
        self.check_metrics_at_gate()
        self.ok("rollout", "pause", "blue", "-m", "coffee")
        self.refused(4, "paused takes no \"approve\"", "rollout", "approve", "blue")
        self.ok("rollout", "resume", "blue")
        self.ok("rollout", "approve", "blue")
        self.phase("finished")
        self.refused(4, "finished: there is nothing left to abort", "rollout", "abort", "blue")
        arms = self.json("deployment", "get", "blue")["arms"]
        self.assertEqual(arms["base"]["release"], {"chat": 2})
        bad = self.run_cfgctl("set", "chat/sampling.temperature=1.5", "--rollout", "60%,100%", "--bake", "20s", *HEALTHY, "--wait")
        self.assertEqual(bad.returncode, 4, bad.stdout + bad.stderr)
        self.assertRegex(bad.stdout, r"rolled back from 60 %: guard error_rate<5% fails: canary 0\.\d+")
        self.assertRegex(bad.stderr, r"the rollout was rolled back: guard error_rate<5% fails")
        self.assertEqual(self.json("deployment", "get", "blue")["arms"]["base"]["release"], {"chat": 2})
        self.assertRegex(self.ok("history", "deployment/blue"), r"rolled back from 60 %: guard error_rate<5% fails")
        self.check_log()
        self.check_metrics_at_end()
        told = self.ok("rollout", "history", "blue")
        self.assertRegex(told, r"pause: coffee")
        self.assertRegex(told, r"error_rate<5% passes: canary 0")
        self.assertRegex(self.ok("rollout", "list"), r"blue +chat +rolled-back")

    def metrics(self, pattern):
        """Label values, in order, and the value, of the lines of /metrics that match."""
        text = laboratory.call(self.configd.url, "GET", "/metrics")[0].decode()
        return [(*re.findall(r'="((?:[^"\\]|\\.)*)"', line), float(line.rpartition(" ")[2])) for line in text.splitlines() if re.match(pattern, line)]

    def check_metrics_at_gate(self):
        self.assertEqual(self.metrics("configd_rollout_phase{"), [("blue", "gate", 1)])
        self.assertEqual(self.metrics("configd_rollout_share{"), [("blue", 0.6)])
        self.assertEqual(self.metrics("configd_rollout_waits{"), [("blue", "gate", 1)])
        passing = [("blue", "1", "error_rate<5%", "passes", 1), ("blue", "2", "p50_ms<2*base", "passes", 1)]
        laboratory.wait_for("what is seen of this step", lambda: self.metrics("configd_rollout_guard{") == passing)
        self.assertEqual(self.metrics("configd_lock_held{"), [("rollouts", 1)])
        moves = {cause: n for _, cause, n in self.metrics("configd_rollout_transitions_total")}
        self.assertEqual({c: n for c, n in moves.items() if n}, {"start": 1, "due": 1, "converged": 1, "passed": 1})
        (_, replica, age), = self.metrics("configd_rollout_observed_age_seconds")
        self.assertEqual((replica, age < 10), ("configd", True))
        self.assertLess(self.metrics("configd_rollout_phase_seconds")[0][1], 60)

    def check_metrics_at_end(self):
        self.assertEqual(self.metrics("configd_rollout_phase{"), [("blue", "rolled-back", 1)])
        self.assertEqual(self.metrics("configd_rollout_(waits|guard|observed_age_seconds){"), [])
        self.assertEqual(self.metrics("configd_rollout_share{"), [("blue", 0)])
        self.assertEqual({outcome: n for _, outcome, n in self.metrics("configd_rollouts_ended_total")}, {"finished": 1, "rolled-back": 1, "aborted": 0})

    def check_log(self):
        """The deployment's log tells the rollouts, names them beside the versions they wrote, and what was adopted."""
        items = self.json("log", "blue")["items"]
        told = [i["what"] for i in reversed(items) if i["why"] == "rollout"]
        for line in [r"started: chat v1 → v2, 60%! ▸ 100%: warmer", r"step 1 of 2: 60 % of the groups", r"step 1 of 2: all run it, bakes 1 s",
                     r"step 1 of 2: waits for an approval", r"step 1 of 2: paused: coffee", r"step 1 of 2: resumed",
                     r"approved, step 2 of 2: 100 % of the groups", r"finished: everybody runs it", r"started: chat v2 → v4, 60% ▸ 100%",
                     r"goes back from 60 %: guard error_rate<5% fails: canary 0\.\d+ \(\d+ samples\)",
                     r"rolled-back: everybody runs the old release again"]:
            rest = [i for i, text in enumerate(told) if re.fullmatch(line, text)]
            self.assertTrue(rest, f"{line} is not, in this order, in {told}")
            told = told[rest[0] + 1:]
        self.assertEqual({i["by"] for i in items if i["why"] == "deployment" and i["version"] == 3}, {"rollout/blue v2"})
        self.assertNotIn("by", [i for i in items if i["why"] == "deployment" and i["version"] == 1][0])
        table = self.ok("log", "blue")
        self.assertRegex(table, r"deployment/blue +3 +by rollout/blue v2 *\n")
        self.assertRegex(table, r"first to adopt deployment/blue v3 \(1-\d+\), at step")
        self.assertEqual(self.ok("history", "rollout/blue"), self.ok("rollout", "history", "blue"))
        self.assertRegex(self.ok("history"), r"rollout/blue +\d+")

    def test_a_flags_version_and_an_emergency(self):
        self.workers()
        self.ok("set", "experiment/ab.flag=on", "--rollout", "90%,100%", "--bake", "500ms", "--deployment", "blue")
        arms = self.json("deployment", "get", "blue")["arms"]
        self.assertEqual((arms["base"]["flags"], arms["canary"]["flags"]), ({"experiment/ab.flag": 1}, {"experiment/ab.flag": 2}))
        self.phase("finished")
        self.assertEqual(self.json("deployment", "get", "blue")["track"], "head")
        self.ok("set", "chat/sampling.temperature=0.8")
        self.refused(2, "say why", "rollout", "start", "blue", "--to", "1", "--now")
        self.ok("rollout", "start", "blue", "--to", "1", "--now", "-m", "it leaks", "--wait")
        start = self.json("rollout", "history", "blue")["items"]
        self.assertTrue(any(v["decision"].get("why") == "it leaks" and v["decision"]["input"] == "start" for v in start), start)

    def completed(self, line):
        """What bash offers for the last word of a line."""
        script = f"""source <(cfgctl completion bash); COMP_WORDS=({line}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); _cfgctl; printf '%s\\n' "${{COMPREPLY[@]}}\""""
        path = os.path.dirname(os.path.abspath(laboratory.CFGCTL)) + ":" + os.environ["PATH"]
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, env={**self.environment(), "PATH": path})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()

    def completes(self):
        self.assertIn("approve", self.completed("cfgctl rollout ''"))
        self.assertEqual(self.completed("cfgctl rollout appr"), ["approve"])
        self.assertEqual(self.completed("cfgctl rollout pause b"), ["blue"])
        self.assertEqual(self.completed("cfgctl rollout start b"), ["blue"])
        self.assertEqual(self.completed("cfgctl rollout start blue --to ''"), ["3", "2", "1"])
        self.assertEqual(self.completed("cfgctl deployment update blue --to ''"), ["3", "2", "1"])
        self.assertEqual(self.completed("cfgctl rollback chat --to ''"), ["3", "2", "1"])
        self.assertEqual(self.completed("cfgctl flag rollback experiment/ab.flag --to ''"), ["1"])
        self.assertEqual(self.completed("cfgctl rollout start blue --guard err"), ["error_rate"])
        self.assertIn("p99_ms", self.completed("cfgctl rollout start blue --guard ''"))
        self.assertEqual(self.ok("completion", "names", "rollout", "rollout-under-way"), "blue\nblue\n")

    def test_on_a_terminal(self):
        """Followed on a screen of its own, which is left as it was found: whatever ends it, and after it was stopped."""
        self.workers()
        self.run_cfgctl("set", "chat/sampling.temperature=0.9", "--rollout", "60%!,100%", "--bake", "500ms")
        self.ok("set", "chat/late=1")
        self.phase("gate")
        self.assertRegex(self.ok("status", "blue"), r"rollout chat v1 → v2 · gate · \[60%!\] ▸ 100%\n"
                         r"next: waits for an approval: cfgctl rollout approve blue · driven by configd\n"
                         r"stored chat v3 waits; afterwards: cfgctl rollout start blue --to 3\n")
        self.assertRegex(self.ok("status"), r"rollout +blue: gate, step 1, since \d+s: cfgctl rollout status blue")
        self.completes()
        self.assertRegex(self.ok("doctor"), r"info +blue: its rollout waits for an approval: .*\n.*\n +next: cfgctl rollout approve blue, or abort")
        with Terminal(self, "rollout", "status", "blue", "-w") as t:
            t.expect(r"waits for an approval: cfgctl rollout approve blue")
            self.assertTrue(t.seen.startswith("\x1b[?1049h\x1b[?25l\x1b[?7l"), t.seen)
            t.resize(3, 20)
            t.expect("\x1b\\[H[^\n]*\r\n[^\n]*\r\n[^\n]*\x1b\\[K\x1b\\[J$")  # three lines are drawn, of any length
            t.resize(40, 100)
            t.expect("GROUPS")
            t.type("\x1a")  # ^Z, then fg
            t.stopped()
            t.expect(Terminal.LEFT)
            t.child.send_signal(signal.SIGCONT)
            t.expect("\x1b\\[\\?1049h.*cfgctl rollout approve blue")
            t.type("\x03")
            self.assertEqual(t.end(), 0)
            self.assertRegex(t.seen, Terminal.LEFT + r"blue: chat v1 → v2 · gate[^\x1b]*$")
            self.assertNotRegex(t.seen, r"\x1b\[2J|\x1b\[H\x1b\[J", "it would flicker")
        with Terminal(self, "status", "blue", "-w") as t:
            t.expect(r"rollout chat v1 → v2 · gate")
            self.ok("rollout", "approve", "blue")
            t.expect(r"\[100%\]")
            t.child.send_signal(signal.SIGTERM)
            self.assertEqual(t.end(), 0)
            self.assertRegex(t.seen, Terminal.LEFT + "$")
        with Terminal(self, "rollout", "status", "blue", "-w") as t:  # that has ended, or soon will
            self.assertEqual(t.end(), 0)
            self.assertRegex(t.seen, r"chat v1 → v2 · finished[^\x1b]*$")
        self.assertEqual(self.ok("completion", "names", "rollout", "rollout-under-way"), "blue\n")
        with Terminal(self, "status", "blue", "-w") as t:
            t.expect("16 current|8 current")
            self.configd.signal(signal.SIGSTOP)  # a request that takes long does not hold ^C up
            try:
                time.sleep(1.5)
                t.type("\x03")
                self.assertEqual(t.end(5), 0)
            finally:
                self.configd.signal(signal.SIGCONT)
            self.assertRegex(t.seen, Terminal.LEFT + "$")

    def test_a_share_of_one_group_always_holds_one(self):
        self.workers()
        self.ok("set", "chat/sampling.temperature=0.9")
        for _ in range(10):  # of any seed, every third gives nobody to the first step
            self.ok("rollout", "start", "blue", "--to", "1", "--steps", "12.5%,100%", "--dry-run")
        self.refused(5, "smallest share that holds one is 50 %: they move by region, which has 2 values", "rollout", "start", "blue", "--to", "1",
                     "--steps", "12.5%,100%", "--by", "region")
        self.refused(4, "has a label rack", "rollout", "start", "blue", "--to", "1", "--by", "rack")

    def test_restored_while_it_bakes(self):
        """A backup of a rollout that bakes brings it back paused: whatever came after the backup, nobody moves on by itself."""
        saved = os.path.join(self.lab.dir, "saved.jsonl")
        self.workers()
        watch = laboratory.Process(self.lab, "watch", [os.path.abspath(laboratory.CFGCTL), "watch", "--server", self.configd.url]).start()
        laboratory.wait_for("it to listen", lambda: self.configd.call("GET", "/v1/status")["streams"] == 9)
        self.ok("set", "chat/sampling.temperature=0.9", "--rollout", "60%,100%", "--bake", "4s")
        self.phase("baking")
        laboratory.wait_for("bake time", lambda: self.rollout()["live"]["baked_ms"] > 2500)  # which is kept as it grows
        share = self.json("deployment", "get", "blue")["split"]["share"]
        self.ok("backup", saved)
        self.ok("rollout", "abort", "blue", "-m", "it is bad")
        self.phase("aborted")
        watch.stop()
        for line in [r"rollout/blue v1: started: chat v1 → v2, 60% ▸ 100%  by ", r"deployment/blue v2: ", r"rollout/blue v2: step 1 of 2: 60 % of the groups  by configd",
                     r"rollout/blue v3: step 1 of 2: all run it, bakes 4 s  by configd", r"rollout/blue v4: aborted, goes back from 60 %: it is bad  by "]:
            self.assertRegex(watch.output(), line)
        self.assertIn("the rollout of blue is paused; next: cfgctl rollout status blue, then resume or abort\n", self.ok("restore", saved))
        record = self.rollout()
        self.assertEqual(record["state"], {"phase": "paused", "step": 0, "resume": "baking"})
        self.assertRegex(record["decision"]["why"], r"^a backup of 20\S+Z was restored: look at it, then resume or abort$")
        self.assertRegex(record["author"], r"\(unverified\)$")
        self.assertEqual(self.json("deployment", "get", "blue")["split"]["share"], share)
        self.assertEqual(record["live"]["baked_ms"], 0, "it bakes anew")
        told = self.ok("rollout", "history", "blue")
        self.assertRegex(told, r"baking +configd: .*\n.*paused +\S+ \(unverified\): (rollout: )?pause: a backup of")
        newest = next(i for i in self.json("log", "blue")["items"] if i["why"] == "rollout")
        self.assertRegex(newest["what"], r"^step 1 of 2: paused: a backup of ")
        self.ok("rollout", "resume", "blue", "-m", "looked at")
        self.phase("finished")
        baked = [v["decision"]["baked_ms"] for v in self.json("rollout", "history", "blue")["items"] if v["decision"]["input"] == "passed"]
        self.assertGreaterEqual(min(baked), 4000)

    def test_bad_starts_change_nothing(self):
        self.refused(4, "no rank group of deployment blue is connected", "rollout", "start", "blue", "--to", "1", "--steps", "50%,100%")
        self.workers()
        self.ok("set", "chat/sampling.temperature=0.9", "chat/distributed.tp=8")
        start = ["rollout", "start", "blue", "--to", "1"]
        self.refused(5, "shares rise", *start, "--steps", "60%,50%,100%")
        self.refused(5, "more than all", *start, "--steps", "60%,150%")
        self.refused(3, "reported a metric eror_rate.*\n.*\n.*did you mean error_rate", *start, "--steps", "99%,100%", "--guard", "eror_rate<1%")
        self.refused(5, "guard 'p99_ms<'", *start, "--steps", "99%,100%", "--guard", "p99_ms<")
        self.refused(3, "no version 9", "rollout", "start", "blue", "--to", "9", "--steps", "99%,100%")
        self.refused(4, "runs chat v2 already", "rollout", "start", "blue", "--steps", "99%,100%")
        self.refused(4, "distributed.tp, which deployment blue has pinned", "set", "chat/distributed.tp=16", "--rollout", "99%,100%")
        self.refused(4, "no rank group of deployment blue with these labels", *start, "--steps", "99%,100%", "--where", "region=ap")
        self.refused(3, "blue has had no rollout", "rollout", "abort", "blue")
        self.refused(3, "blue has had no rollout", "rollout", "status", "blue")
        self.refused(3, "deployment bleu(.|\n)*did you mean blue|no deployment bleu", "rollout", "status", "bleu")
        self.refused(3, "no deployment bleu|deployment bleu", "rollout", "history", "bleu")
        self.refused(5, "guard 'error_rate': ", *start, "--steps", "99%,100%", "--guard", "error_rate")
        self.refused(2, "no plan", *start, "--plan", "cubic")
        self.refused(2, "--guard is of a rollout, and there is no --rollout", "set", "chat/sampling.temperature=0.9", "--guard", "error_rate<1%")
        self.refused(2, "--plan and --steps both", *start, "--plan", "linear:4", "--steps", "50%,100%")
        self.refused(2, "--guard would not count", *start, "--now", "-m", "it leaks", "--guard", "error_rate<1%")
        self.refused(2, "--to names chat twice", *start, "--to", "chat=2")
        self.refused(2, "--start-at: '2h ago' is over", *start, "--start-at", "2h ago")


if __name__ == "__main__":
    tests = [Rollouts(name) for name in vars(Rollouts) if name.startswith("test_")]
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(tests))
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
