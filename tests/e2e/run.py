"""cfgctl run, sync, import and export against a real etcd, a real configd and real child processes."""
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as laboratory  # noqa: E402
from cfgctl import Session as Base, main  # noqa: E402

# A child that writes what it was told, then waits; `end` in its folder tells it to end, USR1 and TERM are journalled.
CHILD = """
import os, signal, sys, time
folder = sys.argv[1]
def note(line):
    with open(os.path.join(folder, "journal"), "a") as f:
        f.write(line + "\\n")
def on(number, frame):
    note(f"signal {number}")
    if number == signal.SIGTERM and len(sys.argv) < 3:
        sys.exit(3)
for s in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
    signal.signal(s, on)
note("start " + os.environ.get("CHAT_SAMPLING_TEMPERATURE", "-") + " " + os.environ.get("CONFIGD_DEPLOYMENT", "-"))
while True:
    signal.pause()
"""


class Program(laboratory.Process):
    """A cfgctl that keeps running."""

    def __init__(self, lab, name, args, server, env=None):
        super().__init__(lab, name, [os.path.abspath(laboratory.CFGCTL), *args], {"CONFIGD_SERVER": server, **(env or {})})

    def end(self):
        """Its exit code, once it has ended."""
        code, self.child = self.child.wait(20), None
        return code


class Session(Base):
    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.lab.dir, "work")
        os.mkdir(self.folder)
        self.child = os.path.join(self.folder, "child.py")
        with open(self.child, "w") as f:
            f.write(CHILD)
        self.ok("set", "chat/sampling.temperature=0.7", "chat/name=x")
        self.ok("deployment", "create", "blue", "--config", "chat")

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        try:
            with open(self.path(name)) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def journal(self):
        return self.read("journal").splitlines()

    def wait(self, what, condition):
        laboratory.wait_for(what, condition)

    def supervise(self, *options, args=(), env=None, name="run"):
        p = Program(self.lab, name, ["run", "blue", *options, "--", sys.executable, self.child, self.folder, *args], self.configd.url, env)
        p.start()
        self.wait("the child", lambda: any(line.startswith("start") for line in self.journal()))
        return p

    def child_of(self, p):
        with open(f"/proc/{p.child.pid}/task/{p.child.pid}/children") as f:
            return int(f.read().split()[0])

    def state(self, pid):
        """As ps shows it; None when there is no such process."""
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return None

    def workers(self, role):
        return [w for w in self.json("status", "blue").get("workers", []) if w["worker"].endswith("." + role)]

    def revision(self):
        """What a refusal must not change. The store's own revision moves with the workers that come and go here."""
        return {item["namespace"]: item["version"] for item in self.configd.call("GET", "/v1/config")["items"]}

    # --- run ---

    def test_exit_codes(self):
        for command, code in (("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)):
            self.assertEqual(self.run_cfgctl("run", "blue", "--", "sh", "-c", command).returncode, code, command)
        done = self.run_cfgctl("run", "blue", "--", "no-such-program")
        self.assertEqual(done.returncode, 127, done.stderr)
        self.assertIn("no-such-program", done.stderr)
        self.assertEqual(self.run_cfgctl("run", "blue", "--", self.write("plain", "x")).returncode, 126)
        self.refused(3, "nope", "run", "nope", "--", "true")
        self.assertEqual(self.run_cfgctl("run", "blue", "--", "true", server="http://127.0.0.1:1").returncode, 7)

    def test_environment(self):
        self.ok("set", "chat/list=[1,x]", "chat/none=null", "chat/text='it is'")
        out = self.ok("run", "blue", "--", "env", env={"CHAT_NAME": "old", "KEPT": "1"})
        for line in ("CHAT_SAMPLING_TEMPERATURE=0.7", "CHAT_NAME=x", 'CHAT_LIST=[1,"x"]', "CHAT_TEXT=it is", "KEPT=1", "CONFIGD_DEPLOYMENT=blue",
                     f"CONFIGD_SERVER={self.configd.url}", f"CONFIGD_WORKER={os.uname().nodename}"):
            self.assertIn(line + "\n", out)
        self.assertNotIn("CHAT_NONE", out)
        self.assertNotIn("CHAT_NAME=old", out)
        # what configd leaves to the reader
        self.ok("set", "chat/cache='${oc.env:CACHE_ROOT}/x'", "chat/shards='${cache}/shards'", "chat/shell='\\${HOME} stays'")
        with_root = {"CACHE_ROOT": "/fast"}
        out = self.ok("run", "blue", "--", "env", env=with_root)
        for line in ("CHAT_CACHE=/fast/x", "CHAT_SHARDS=/fast/x/shards", "CHAT_SHELL=${HOME} stays"):
            self.assertIn(line + "\n", out)
        self.assertIn("CHAT_SHARDS=/fast/x/shards\n", self.ok("export", "dotenv", "blue", env=with_root))
        self.assertEqual(json.loads(self.ok("export", "json", "blue", env=with_root))["cache"], "${oc.env:CACHE_ROOT}/x")
        self.refused(5, "CACHE_ROOT is not set", "run", "blue", "--", "true")
        self.refused(5, "CACHE_ROOT is not set", "export", "env", "blue")
        self.ok("set", "chat", "~cache", "~shards", "~shell")
        self.ok("set", "chat/a.b=1", "chat/a-b=2")
        self.refused(4, "a.b and a-b would both be the variable CHAT_A_B", "run", "blue", "--", "true")
        self.refused(4, "CHAT_A_B", "export", "env", "blue")

    def test_signals(self):
        p = self.supervise()
        p.signal(signal.SIGUSR1)
        self.wait("USR1", lambda: f"signal {int(signal.SIGUSR1)}" in self.journal())
        p.signal(signal.SIGHUP)
        self.wait("HUP", lambda: f"signal {int(signal.SIGHUP)}" in self.journal())
        self.assertTrue(p.alive())
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 3, "the child's own code")

    def test_second_signal_kills(self):
        p = self.supervise(args=("stubborn",))
        p.signal(signal.SIGTERM)
        self.wait("TERM", lambda: f"signal {int(signal.SIGTERM)}" in self.journal())
        self.assertTrue(p.alive())
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 137)

    def test_killed_supervisor_takes_the_child_along(self):
        p = self.supervise()
        child = self.child_of(p)
        p.kill()
        self.wait("TERM", lambda: f"signal {int(signal.SIGTERM)}" in self.journal())
        self.wait("the child's end", lambda: self.state(child) in (None, "Z"))

    def test_restart_on_change(self):
        p = self.supervise("--restart-on-change")
        self.wait("the fleet", lambda: self.workers("run") and self.json("status", "blue")["converged"] == 1)
        self.ok("set", "chat/sampling.temperature=0.9")
        self.wait("a restart", lambda: "start 0.9 blue" in self.journal())
        self.assertEqual(self.journal(), ["start 0.7 blue", f"signal {int(signal.SIGTERM)}", "start 0.9 blue"])
        self.configd.kill()  # configd gone: the child runs on; a change made meanwhile arrives afterwards
        self.configd.start()
        self.wait("configd", lambda: self.run_cfgctl("set", "chat/sampling.temperature=0.1").returncode == 0)
        self.wait("another restart", lambda: "start 0.1 blue" in self.journal())
        self.assertTrue(p.alive())
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 3)

    def test_grace(self):
        p = self.supervise("--restart-on-change", "--grace", "1", args=("stubborn",))
        self.ok("set", "chat/sampling.temperature=0.9")
        self.wait("a restart by force", lambda: "start 0.9 blue" in self.journal())
        p.signal(signal.SIGTERM)
        self.wait("TERM", lambda: self.journal()[-1] == f"signal {int(signal.SIGTERM)}")
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 137)

    def test_jitter_and_a_change_that_is_taken_back(self):
        p = self.supervise("--restart-on-change", "--jitter", "1000")
        self.ok("set", "chat/sampling.temperature=0.9")
        self.wait("pending", lambda: [w["pending"] for w in self.workers("run")] == [["sampling.temperature"]])
        self.assertRegex(p.output(), r"sampling.temperature changed: restart in [0-9.]+ s")
        self.ok("set", "chat/sampling.temperature=0.7")
        self.wait("nothing pending", lambda: [w["pending"] for w in self.workers("run")] == [[]])
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 3)
        self.assertEqual(self.journal()[0], "start 0.7 blue")
        self.assertEqual(len([line for line in self.journal() if line.startswith("start")]), 1)

    def test_pending_without_restart(self):
        p = self.supervise()
        self.wait("the fleet", lambda: self.json("status", "blue")["converged"] == 1)
        out = self.ok("set", "chat/sampling.temperature=0.9")
        self.assertIn("pending restart on 1", out)
        self.wait("pending", lambda: [w["pending"] for w in self.workers("run")] == [["sampling.temperature"]])
        self.configd.kill()
        self.configd.start()
        self.wait("pending again, at a configd that starts with nothing",
                  lambda: self.run_cfgctl("status", "blue").returncode == 0 and [w["pending"] for w in self.workers("run")] == [["sampling.temperature"]])
        self.assertTrue(p.alive())
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 3)

    def test_stops_and_continues_with_the_child(self):
        p = self.supervise()
        child, state = self.child_of(p), self.state
        self.assertEqual(os.getpgid(child), child, "a process group of its own")
        p.signal(signal.SIGTSTP)
        self.wait("both stopped", lambda: state(child) == "T" and state(p.child.pid) == "T")
        p.signal(signal.SIGCONT)
        self.wait("both running", lambda: state(child) != "T" and state(p.child.pid) != "T")
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 3)

    def test_no_descriptor_reaches_the_program(self):
        """Not on the first start, nor once a session is open."""
        name = self.write("list.sh", f"ls -l /proc/$$/fd > {self.path('fds')}.new; mv {self.path('fds')}.new {self.path('fds')}; sleep 1000 & wait\n")
        p = Program(self.lab, "run", ["run", "blue", "--restart-on-change", "--", "sh", name], self.configd.url).start()
        self.wait("the first start", lambda: self.read("fds"))
        first = self.read("fds")
        self.wait("the fleet", lambda: self.json("status", "blue")["converged"] == 1)
        os.unlink(self.path("fds"))
        self.ok("set", "chat/sampling.temperature=0.9")
        self.wait("the second", lambda: self.read("fds"))
        for listing in (first, self.read("fds")):
            self.assertNotIn("socket:", listing)
            self.assertNotIn("anon_inode:", listing)
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 143)

    def test_ignored_child_signals(self):
        """Started by somebody who ignores SIGCHLD, as some init programs do."""
        done = subprocess.run([laboratory.CFGCTL, "run", "blue", "-s", self.configd.url, "--", "sh", "-c", "exit 7"], timeout=20,
                              preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(done.returncode, 7)

    def test_terminal(self):
        """^C on a terminal reaches the program, which is in the foreground; its end is ours."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}
        pid, master = pty.fork()
        if pid == 0:
            os.execve(laboratory.CFGCTL, [laboratory.CFGCTL, "run", "blue", "-s", self.configd.url, "--", "sh", "-c",
                                          "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done"], environment)
        seen = b""
        while b"ready" not in seen:
            seen += os.read(master, 1000)
        os.write(master, b"\x03")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 5)
        os.close(master)

    def test_terminal_of_sync(self):
        """^C ends sync, not only the command that it runs."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}
        pid, master = pty.fork()
        if pid == 0:
            os.execve(laboratory.CFGCTL, [laboratory.CFGCTL, "sync", "blue", "-s", self.configd.url, "--out", self.path("view.json"),
                                          "--exec", "echo ready; while :; do sleep 0.1; done"], environment)
        seen = b""
        while b"ready" not in seen:
            seen += os.read(master, 1000)
        os.write(master, b"\x03")
        self.wait("its end", lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
        os.close(master)

    # --- accelerate ---

    LAUNCH = """compute_environment: LOCAL_MACHINE
distributed_type: FSDP
mixed_precision: no
fsdp_config: {fsdp_version: 2}
machine_rank: 0
num_machines: 2
num_processes: 16
rdzv_backend: c10d
same_network: true
"""

    def accelerate(self):
        done = self.run_cfgctl("import", "accelerate", self.write("launch.yaml", self.LAUNCH), "train")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("mixed_precision: no is taken as the text", done.stderr)
        self.ok("deployment", "create", "llama", "--config", "train", "--pin", "accelerate")

    def test_accelerate(self):
        self.accelerate()
        self.assertEqual(self.json("get", "train")["document"]["accelerate"]["mixed_precision"], "no")
        out = self.ok("export", "accelerate", "llama")
        self.assertIn("give it also: --rdzv_backend c10d --same_network\n", out)
        self.assertIn('mixed_precision: "no"\n', out)
        both = self.json("export", "accelerate", "llama", "--machine-rank", "1")
        self.assertEqual((both["file"]["machine_rank"], both["flags"]), (1, ["--rdzv_backend", "c10d", "--same_network"]))
        self.ok("export", "accelerate", "llama", "--all-ranks", self.path("all"))
        self.assertEqual(sorted(os.listdir(self.path("all"))), ["machine-0.yaml", "machine-1.yaml"])
        self.assertIn("machine_rank: 1\n", self.read("all/machine-1.yaml"))
        self.ok("set", "train/accelerate.mixed_precision=bf16")
        self.assertIn('mixed_precision: "no"\n', self.ok("export", "accelerate", "llama"), "pinned stays pinned")
        self.refused(2, "no machine 2", "export", "accelerate", "llama", "--machine-rank", "2")
        self.refused(3, "nothing under `accelerate`", "export", "accelerate", "blue")
        name = self.write("odd.yaml", self.LAUNCH + "tpu_config: {}\n")
        self.refused(5, "tpu_config", "import", "accelerate", name, "train")
        self.assertIn("dropped", self.run_cfgctl("import", "accelerate", name, "train", "--drop-unknown", "--dry-run").stderr)
        self.ok("import", "accelerate", name, "kept", "--keep-unknown")
        self.assertIn("tpu_config", self.json("get", "kept")["document"]["accelerate"])
        self.ok("deployment", "create", "kept", "--config", "kept")
        done = self.run_cfgctl("export", "accelerate", "kept")
        self.assertNotIn("tpu_config", done.stdout)
        self.assertIn("tpu_config is left out", done.stderr)
        self.assertIn("not pinned", done.stderr)
        bad = self.run_cfgctl("import", "accelerate", self.write("bad.yaml", self.LAUNCH + "main_process_port: '1'\n"), "train")
        self.assertEqual(bad.returncode, 5, bad.stderr)
        self.assertIn("accelerate.main_process_port", bad.stderr)
        json.loads(self.ok("export", "accelerate-schema"))

    def test_launch_file(self):
        self.accelerate()
        fake = self.write("accelerate", "#!/bin/sh\necho \"$@\"\ncat \"$3\"\nstat -c '%a' \"$3\"\nstat -c '%a' \"$(dirname \"$3\")\"\n")
        os.chmod(fake, 0o755)
        out = self.ok("run", "llama", "--machine-rank", "1", "--", fake, "launch", "train.py", "--x", env={"TMPDIR": self.folder})
        launch = re.match(r"launch --config_file (\S+) --rdzv_backend c10d --same_network train.py --x\n", out)
        self.assertTrue(launch, out)
        self.assertIn("machine_rank: 1\n", out)
        self.assertTrue(out.endswith("600\n700\n"), out)
        self.assertFalse(os.path.exists(os.path.dirname(launch.group(1))), "removed at the end")
        out = self.ok("run", "llama", "--", "sh", "-c", "cat {launch_file}; echo $TRAIN_ACCELERATE_NUM_PROCESSES", env={"SLURM_NODEID": "1"})
        self.assertIn("machine_rank: 1\n", out)
        self.assertTrue(out.endswith("\n16\n"), out)
        self.refused(3, "nothing under `accelerate`", "run", "blue", "--", fake, "launch", "train.py")

    # --- other formats ---

    def test_exports_and_dotenv(self):
        self.ok("set", "chat/text=\"it's \\\"x\\\"\"")
        shell = subprocess.run(["sh", "-c", 'eval "$1"; printf %s "$CHAT_TEXT"', "sh", self.ok("export", "env", "blue")], capture_output=True, text=True)
        self.assertEqual(shell.stdout, "it's \"x\"")
        self.assertEqual(json.loads(self.ok("export", "json", "blue"))["sampling"], {"temperature": 0.7})
        self.assertIn("temperature: 0.7\n", self.ok("export", "yaml", "blue"))
        name = self.write("env", self.ok("export", "dotenv", "blue").replace("0.7", "0.3") + "CHAT_NEW__KEY=5\n")
        self.ok("import", "dotenv", name, "chat")
        document = self.json("get", "chat")["document"]
        self.assertEqual((document["sampling"], document["new"], document["text"]), ({"temperature": 0.3}, {"key": 5}, "it's \"x\""))
        self.ok("import", "dotenv", self.write("env", "CHAT_TEXT='${name} \\${x}'\n"), "chat")
        self.assertEqual(json.loads(self.ok("export", "json", "blue"))["text"], "${name} \\${x}", "text, no interpolation")
        self.refused(5, "line 1.*expanded", "import", "dotenv", self.write("env", "A=$HOME\n"), "chat")
        self.refused(5, "number", "import", "dotenv", self.write("env", "SAMPLING_TEMPERATURE=warm\n"), "chat")

    def test_yaml_documents(self):
        done = self.run_cfgctl("set", "y", "--file", self.write("y.yaml", "lr: 1e-4\nmode: no\nl: &l [1, 2]\nm: *l\n"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.json("get", "y")["document"], {"lr": 1e-4, "mode": False, "l": [1, 2], "m": [1, 2]})
        self.assertIn("line 2: no reads as false, to YAML 1.2 as \"no\"; write false or 'no'", done.stderr)
        self.refused(5, "line 2 column 1.*tab", "set", "y", "--file", self.write("y.yaml", "a:\n\tb: 1\n"))
        self.refused(5, "twice", "set", "y", "-f", "-", stdin="a: 1\na: 2\n")

    # --- sync ---

    def test_sync(self):
        out = self.path("view.json")
        p = Program(self.lab, "sync", ["sync", "blue", "--out", out, "--exec", f"test ! -e {self.path('broken')} && cp $CONFIGD_FILE {self.path('applied')}"],
                    self.configd.url).start()
        self.wait("the first file", lambda: '"temperature": 0.7' in self.read("applied"))
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o644)
        self.wait("the fleet", lambda: self.json("status", "blue")["converged"] == 1)
        self.write("broken", "")
        self.assertIn("live on 1 worker, ", self.ok("set", "chat/sampling.temperature=0.9"))
        self.wait("a rejection", lambda: [r["reason"] for w in self.workers("sync") for r in w["rejects"]] == ["the command ended with 1"])
        self.assertEqual(self.json("status", "blue")["converged"], 0, "never applied before the command has succeeded")
        self.assertNotIn("0.9", self.read("applied"))
        os.unlink(self.path("broken"))
        self.wait("a retry", lambda: self.json("status", "blue")["converged"] == 1)
        self.assertIn('"temperature": 0.9', self.read("applied"))
        self.assertEqual([r for w in self.workers("sync") for r in w["rejects"]], [])
        self.configd.kill()
        self.assertIn("0.9", self.read("view.json"))
        self.configd.start()
        self.wait("the next view", lambda: self.run_cfgctl("set", "chat/sampling.temperature=0.4").returncode == 0)
        self.wait("it applied", lambda: '"temperature": 0.4' in self.read("applied"))
        self.assertEqual([n for n in os.listdir(self.folder) if n.startswith("view.json.")], [], "no temporary file is left")
        p.signal(signal.SIGTERM)
        self.assertEqual(p.end(), 0)

    def test_sync_once(self):
        hidden = os.umask(0o077)
        try:
            self.ok("sync", "blue", "--out", self.path("chat.env"), "--format", "dotenv", "--once")
        finally:
            os.umask(hidden)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("chat.env")).st_mode), 0o600, "the umask holds")
        self.assertIn("CHAT_SAMPLING_TEMPERATURE=0.7\n", self.read("chat.env"))
        done = self.run_cfgctl("sync", "blue", "--out", self.path("v"), "--exec", f"echo x >> {self.path('tries')}; exit 9", "--once", "--retry", "2")
        self.assertEqual(done.returncode, 9, done.stderr)
        self.assertEqual(self.read("tries"), "x\n" * 3)
        self.assertEqual(self.run_cfgctl("sync", "blue", "--out", self.path("v"), "--exec", "sleep 60", "--once", "--timeout", "1").returncode, 137)
        before = self.read("chat.env")
        self.assertEqual(self.run_cfgctl("sync", "blue", "--out", self.path("chat.env"), "--once", server="http://127.0.0.1:1").returncode, 7)
        self.assertEqual(self.read("chat.env"), before)
        self.ok("set", "chat/secret='${oc.env:SECRET}'")
        for name, form, mode in ("s.env", "env", 0o600), ("s.json", "json", 0o644 & ~hidden):
            self.ok("sync", "blue", "--out", self.path(name), "--format", form, "--once", env={"SECRET": "s3"})
            self.assertEqual(stat.S_IMODE(os.stat(self.path(name)).st_mode), mode, "what the environment holds is for its owner")
        self.assertIn("s3", self.read("s.env"))
        self.refused(2, "which file", "sync", "blue")
        self.refused(3, "no deployment", "sync", "nosuch", "--out", self.path("v"))


if __name__ == "__main__":
    main(Session)
