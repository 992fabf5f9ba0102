"""cfg-train against a real etcd and configd: ranks that change at the same step, ends that leave a whole checkpoint, resuming."""
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import unittest

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
import lab as laboratory  # noqa: E402

TRAIN = os.path.abspath(os.path.join(laboratory.BUILD, "worker", "cfg-train", "cfg-train"))
TEXT = os.path.join(SOURCE, "worker", "model", "text.txt")
MERGE = {"Content-Type": "application/merge-patch+json"}
SMALL = {"model": {"context": 8, "embed": 4, "hidden": 32, "layers": 2}, "optimizer": {"lr": 0.004},
         "train": {"global_batch": 32, "log_every": 50, "eval_every": 0, "checkpoint_every": 20}}


class Rank(laboratory.Process):
    def __init__(self, lab, rank, more=(), env=None):
        super().__init__(lab, f"rank-{rank}", [TRAIN, "--text", TEXT, "--worker", f"rank-{rank}", "--cache", "", "-o", "json", *more], {
            "CONFIGD_DEPLOYMENT": "llm", "CONFIGD_RANK": str(rank), "CONFIGD_WORLD": "2", **(env or {})})

    def events(self, name):
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{") and line.endswith("}")]
        return [e for e in lines if e["event"] == name]


def step_of(checkpoint):
    with open(checkpoint, "rb") as f:
        n = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(n))
        f.seek(0, os.SEEK_END)
        assert f.tell() == 8 + n + max(t["data_offsets"][1] for k, t in header.items() if k != "__metadata__"), "a whole file"
    return int(header["__metadata__"]["step"]), header["__metadata__"]


class TwoRanks(unittest.TestCase):
    def setUp(self):
        self.lab = laboratory.Lab()
        self.lab.__enter__()
        self.addCleanup(lambda: self.lab.__exit__(*sys.exc_info()))
        self.configd = laboratory.Configd(self.lab, "configd", [self.lab.etcd()[0].url]).start().wait_ready()
        self.configd.call("PUT", "/v1/config/llm", SMALL, {"If-None-Match": "*"})
        self.configd.call("POST", "/v1/deployments", {"name": "llm", "config": "llm"})
        self.checkpoint = os.path.join(self.lab.dir, "run.safetensors")
        self.ranks = self.start()

    def start(self, more=()):
        env = {"CONFIGD_SERVER": self.configd.url, "CONFIGD_GROUP": f"tcp:127.0.0.1:{laboratory.free_port()}",
               "CONFIGD_ALLREDUCE": f"127.0.0.1:{laboratory.free_port()}"}
        return [Rank(self.lab, i, ["--checkpoint", self.checkpoint, *more], env).start() for i in range(2)]

    def change(self, document):
        return self.configd.call("PATCH", "/v1/config/llm", document, MERGE)["revision"]

    def until(self, what, ready):
        return laboratory.wait_while_alive(self.ranks, what, ready)

    def ends(self):
        codes = [r.child.wait(30) for r in self.ranks]
        for r in self.ranks:
            r.child = None
        return codes

    def test_a_change_takes_hold_at_one_step_on_all_ranks(self):
        self.until("a first checkpoint", lambda: self.ranks[0].events("checkpoint"))
        for lr in (0.003, 0.002, 0.001):
            revision = self.change({"optimizer": {"lr": lr}})
            self.until("both to have it", lambda: all(r.events("applied")[-1]["revision"] == revision for r in self.ranks))
        # What cannot be divided is refused by every rank, whole; training goes on.
        before = len(self.ranks[0].events("applied"))
        self.change({"train": {"global_batch": 33}})
        self.until("it to be refused", lambda: any("cannot be divided" in json.dumps(w) for w in self.workers()))
        revision = self.change({"train": {"global_batch": 64, "stop_at": 10 ** 6}})
        self.until("the next to hold", lambda: all(r.events("applied")[-1]["revision"] == revision for r in self.ranks))
        self.assertEqual(len(self.ranks[0].events("applied")), before + 1)
        # A stop that lies in the past ends it at the step at hand, on both.
        self.change({"train": {"stop_at": 1}})
        self.assertEqual(self.ends(), [0, 0], self.ranks[1].output())
        applied = [[(e["step"], e["revision"], json.dumps(e["changed"])) for e in r.events("applied")] for r in self.ranks]
        self.assertEqual(applied[0], applied[1])
        self.assertEqual([e["changed"]["optimizer.lr"] for e in self.ranks[0].events("applied")[1:4]], [[0.004, 0.003], [0.003, 0.002], [0.002, 0.001]])
        step, metadata = step_of(self.checkpoint)
        self.assertEqual(step, self.ranks[0].events("ends")[0]["step"])
        self.assertEqual(json.loads(metadata["parameters"])["optimizer.lr"], 0.001)

    def workers(self):
        return self.configd.call("GET", "/v1/deployments/llm/workers")["workers"]

    def test_a_killed_rank_ends_it_and_all_resume(self):
        self.until("a checkpoint", lambda: self.ranks[0].events("checkpoint"))
        self.ranks[1].kill()
        self.assertNotEqual(self.ranks[0].child.wait(30), 0)
        self.ranks[0].child = None
        self.assertRegex(self.ranks[0].output(), r"cfg-train: .*rank 1")
        step, _ = step_of(self.checkpoint)
        self.assertEqual(step % 20, 0)
        # Without a word about what lies there nothing is overwritten.
        self.ranks = self.start()
        self.assertEqual(set(self.ends()), {4})
        self.assertIn("--resume goes on from it", self.ranks[1].output())
        self.ranks = self.start(["--resume"])
        self.until("it to go on", lambda: [e for e in self.ranks[0].events("resumed") if e["step"] == step])
        self.until("another checkpoint", lambda: self.ranks[0].events("checkpoint")[-1]["step"] > step)
        # A signal to one ends both after the same step, with a checkpoint.
        self.ranks[1].signal(signal.SIGTERM)
        self.assertEqual(self.ends(), [0, 0], self.ranks[0].output())
        self.assertEqual(step_of(self.checkpoint)[0], self.ranks[0].events("ends")[-1]["step"])


class Alone(unittest.TestCase):
    """With a file for a daemon."""

    def setUp(self):
        self.lab = laboratory.Lab()
        self.lab.__enter__()
        self.addCleanup(lambda: self.lab.__exit__(*sys.exc_info()))
        self.path = lambda name: os.path.join(self.lab.dir, name)
        self.settings({})

    def settings(self, more):
        document = {k: {**v, **more.get(k, {})} for k, v in SMALL.items()}
        with open(self.path("train.json"), "w") as f:
            json.dump(document, f)

    def run_train(self, *more, **how):
        return subprocess.run([TRAIN, "--source", "file:" + self.path("train.json"), "--worker", "alone", "--text", TEXT, *more],
                              capture_output=True, text=True, timeout=60, cwd=self.lab.dir,
                              env={k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}, **how)

    def test_resuming_gives_the_same_file_and_another_pin_is_refused(self):
        self.settings({"train": {"stop_at": 60}})
        whole = self.run_train("--checkpoint", self.path("whole"), "--export", self.path("whole.weights"))
        self.assertEqual(whole.returncode, 0, whole.stderr)
        self.assertRegex(whole.stdout, r"step 50: trained loss \d")
        self.assertNotIn("\r", whole.stdout)
        self.settings({"train": {"stop_at": 27}})
        self.assertEqual(self.run_train("--checkpoint", self.path("half")).returncode, 0)
        self.settings({"train": {"stop_at": 60}})
        done = self.run_train("--checkpoint", self.path("half"), "--resume", "--export", self.path("half.weights"))
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("whole.weights"), "rb") as a, open(self.path("half.weights"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.settings({"model": {"hidden": 40}})
        refused = self.run_train("--checkpoint", self.path("half"), "--resume")
        self.assertEqual(refused.returncode, 4)
        self.assertIn("the checkpoint was made with model.hidden=32; this run is pinned to 40", refused.stderr)

    def test_a_full_disk_at_a_checkpoint(self):
        limit = 5000  # the first checkpoint goes through before it holds

        self.settings({"train": {"stop_at": 20}})
        self.assertEqual(self.run_train("--checkpoint", self.path("run")).returncode, 0)
        self.settings({"train": {"stop_at": 100}})
        done = self.run_train("--checkpoint", self.path("run"), "--resume",
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"the checkpoint of step 40 cannot be written: .*File too large; the one of step 20 is whole")
        self.assertEqual(step_of(self.path("run"))[0], 20)
        self.assertFalse(os.path.exists(self.path("run.tmp")))

    def test_a_terminal_gets_a_bar(self):
        self.settings({"train": {"stop_at": 60}})
        ours, theirs = pty.openpty()
        child = subprocess.Popen([TRAIN, "--source", "file:" + self.path("train.json"), "--worker", "alone", "--text", TEXT], stdout=theirs,
                                 stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=self.lab.dir)
        os.close(theirs)
        seen = b""
        while True:
            try:
                some = os.read(ours, 65536)
            except OSError:
                break
            if not some:
                break
            seen += some
        self.assertEqual(child.wait(20), 0)
        self.assertRegex(seen.decode(), r"\r\x1b\[Kstep \d+/60 \[#*\.*\] loss \d")
        os.close(ours)

    def test_what_is_wrong_is_said(self):
        for args, code, says in ((["--backend", "tpu"], 5, "no back end is called 'tpu'"), (["--resume"], 2, "--resume needs --checkpoint"),
                                 (["--text", "/nonexistent"], 3, "/nonexistent: No such file"), (["--checkpoint", TEXT, "--resume"], 5, "text.txt")):
            done = self.run_train(*args)
            self.assertEqual(done.returncode, code, f"{args}: {done.stderr}")
            self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()
