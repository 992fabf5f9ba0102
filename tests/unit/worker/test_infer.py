"""cfg-infer as a process, on a file source: it follows the file between steps, answers, and ends in order."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

PROGRAM = sys.argv.pop()


class Infer(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = os.path.join(self.dir.name, "chat.json")

    def put(self, flag=False, **sampling):
        batch = sampling.pop("batch_size", 4)
        view = {"parameters": {"sampling": sampling, "inference": {"batch_size": batch}},
                "flags": {"experiment": {"ab.flag": flag}}}
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(view, f)
        os.rename(self.path + ".new", self.path)

    def start(self, *options):
        p = subprocess.Popen([PROGRAM, "--source", "file:" + self.path, "--listen", "127.0.0.1:0", *options],
                             stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.addCleanup(self.stop, p)
        self.url = self.line(p, r"listening on (http://\S+)").group(1)
        return p

    @staticmethod
    def stop(p):
        if p.poll() is None:
            p.kill()
        p.communicate()

    @staticmethod
    def line(p, pattern):
        for line in p.stdout:
            found = re.search(pattern, line)
            if found:
                return found
        raise AssertionError(f"no line matches {pattern}")

    def ask(self, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=30) as r:
            return json.load(r)

    def refused(self, path, data=None):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=30)
        with caught.exception as e:
            return e.code, json.load(e)["code"]

    def test_applies_between_steps_and_says_so(self):
        self.put(temperature=0.7)
        p = self.start("--step-ms", "1")
        self.line(p, r"^step 0: applied 0-1 \(first view\)")
        self.put(temperature=0.2, batch_size=8)
        self.line(p, r"^step \d+: applied 0-2 \(sampling.temperature 0.7 → 0.2, inference.batch_size 4 → 8\)")
        self.put(temperature=0.2, batch_size=8, flag=True)
        self.line(p, r"^step \d+: applied 0-3 \(experiment/ab.flag off → on\)")
        status = self.ask("/status")
        self.assertEqual((status["revision"], status["state"]), ("0-3", "file"))
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(30), 0)

    def test_temperature_shows_in_the_text(self):
        self.put(temperature=0)
        p = self.start("--load", "0", "--step-ms", "0")
        same = {self.ask("/generate", {"prompt": "The Fox ", "max_tokens": 60, "seed": s})["text"] for s in range(4)}
        self.assertEqual(len(same), 1, "greedy: the seed does not matter")
        self.put(temperature=1.2)
        self.line(p, "temperature 0 → 1.2")
        many = {self.ask("/generate", {"prompt": "The Fox ", "max_tokens": 60, "seed": s})["text"] for s in range(4)}
        self.assertEqual(len(many), 4)
        self.put(temperature=1.2, top_k=1)
        self.line(p, "top_k 0 → 1")
        reply = self.ask("/generate", {"prompt": "The Fox ", "max_tokens": 60, "seed": 9})
        self.assertEqual({reply["text"]}, same, "of one candidate there is no choice")
        self.assertEqual(reply["last"]["step"] - reply["first"]["step"], 59)
        self.assertEqual(reply["revision"], "0-3")

    def test_variants_of_one_batch(self):
        """Two requests run side by side on their own temperatures, and say which variant gave them that."""
        ab = {"definition": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                             "targeting": {"if": [{"==": [{"var": "plan"}, "gold"]}, "on"]}}}
        heat = {"overrides": {"cold": {"sampling.temperature": 0}, "hot": {"sampling.temperature": 1.9, "sampling.max_tokens": 30}},
                "definition": {"state": "ENABLED", "variants": {"cold": 1, "hot": 2, "as, is": 3}, "defaultVariant": "as, is",
                               "targeting": {"var": "deep.heat"}}}
        view = {"parameters": {"sampling": {"temperature": 0.7}, "inference": {"batch_size": 8}},
                "flags": {"experiment": {"ab.flag": ab, "heat": heat}}}
        with open(self.path, "w", encoding="utf-8") as f:
            json.dump(view, f)
        self.start("--load", "0", "--step-ms", "1")
        replies = {}

        def ask(name, seed, context):
            replies[name, seed] = self.ask("/generate", {"prompt": "The Fox ", "seed": seed, "user": f"u-{seed}", "context": context})

        asked = [(name, seed, {"deep": {"heat": name}, "plan": "gold" if name == "hot" else "free"})
                 for name in ("cold", "hot") for seed in range(4)]
        threads = [threading.Thread(target=ask, args=a) for a in asked]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        cold = {r["text"] for (name, _), r in replies.items() if name == "cold"}
        hot = {r["text"] for (name, _), r in replies.items() if name == "hot"}
        self.assertEqual(len(cold), 1, "temperature 0")
        self.assertEqual(len(hot), 4)
        self.assertEqual({len(t) for t in hot}, {30}, "max_tokens is the variant's too")
        self.assertEqual(len({t[:16] for t in hot} | {t[:16] for t in cold}), 1, "ab.flag: the gold plan begins greedily")
        self.assertEqual(replies["hot", 0]["variants"], {"experiment/ab.flag": "on", "experiment/heat": "hot"})
        self.assertEqual(replies["cold", 0]["variants"], {"experiment/ab.flag": "off", "experiment/heat": "cold"})
        body = json.dumps({"prompt": "a", "max_tokens": 1}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + "/generate", data=body), timeout=30) as r:
            self.assertEqual(r.headers["Configd-Variants"], "experiment/ab.flag=off, experiment/heat=as%2C%20is")
            self.assertEqual(r.headers["Configd-Revision"], "0-1")

    def test_bad_contexts(self):
        self.put(temperature=0.5)
        self.start("--load", "0")
        for more in ({"context": []}, {"context": 7}, {"context": None}, {"user": 7}, {"user": ""}, {"context": {"targetingKey": 1}},
                     {"user": "a", "context": {"targetingKey": "b"}}):
            body = json.dumps({"prompt": "a", "max_tokens": 1, **more}).encode()
            self.assertEqual(self.refused("/generate", body), (400, "invalid_argument"), more)
        deep = b'{"prompt":"a","context":' + b'{"a":' * 80 + b"1" + b"}" * 80 + b"}"
        self.assertEqual(self.refused("/generate", deep), (413, "too_large"))

    def test_many_at_once(self):
        self.put(temperature=0.5, batch_size=2)
        self.start("--load", "0", "--step-ms", "0")
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(self.ask("/generate", {"prompt": "A ", "max_tokens": 8})))
                   for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([r["tokens"] for r in replies], [8] * 12)

    def test_bad_requests(self):
        self.put(temperature=0.5)
        self.start("--load", "0")
        self.assertEqual(self.refused("/generate", b"{"), (400, "bad_json"))
        self.assertEqual(self.refused("/generate", b"[]"), (422, "bad_value"))
        self.assertEqual(self.refused("/generate", b'{"prompt":1}'), (422, "bad_value"))
        self.assertEqual(self.refused("/generate", b'{"prompt":"a","max_tokens":5000}'), (422, "bad_value"))
        self.assertEqual(self.refused("/generate"), (405, "method_not_allowed"))
        self.assertEqual(self.refused("/nothing"), (404, "not_found"))
        self.assertEqual(self.refused("/generate", json.dumps({"prompt": "x" * 9000}).encode()), (413, "too_large"))

    def test_ends_in_order_under_work(self):
        self.put(temperature=0.5)
        p = self.start("--step-ms", "5")
        replies = []
        t = threading.Thread(target=lambda: replies.append(self.ask("/generate", {"prompt": "A ", "max_tokens": 4000})))
        t.start()
        while self.ask("/status")["running"] < 3:
            pass
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(30), 0)
        t.join()
        self.assertGreater(replies[0]["tokens"], 0, "cut short, but answered")

    def test_a_number_of_steps(self):
        self.put(temperature=0.5)
        p = self.start("--steps", "5", "--step-ms", "0", "--log-steps")
        out, _ = p.communicate(timeout=30)
        self.assertEqual(len(re.findall(r"(?m)^step \d+: 0-1 running", out)), 5)
        self.assertEqual(p.returncode, 0)

    def test_wrong_use(self):
        for options, code, says in ((["--stepz", "1"], 2, "did you mean --steps"), (["--listen", "x"], 2, "HOST:PORT"),
                                    (["--source", "file:/none.json"], 1, "none.json")):
            self.put(temperature=0.5)
            base = [] if "--source" in options else ["--source", "file:" + self.path]
            p = subprocess.run([PROGRAM, *base, *options], capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(p.returncode, code, p.stderr)
            self.assertIn(says, p.stderr)


if __name__ == "__main__":
    unittest.main()
