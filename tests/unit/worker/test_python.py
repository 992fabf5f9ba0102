"""The Python module against a file source: same words, same rules."""

import json
import os
import tempfile
import threading
import unittest

import configd
from configd import Worker, drain, live, pinned


class PythonWorker(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, "chat.json")
        self.put('{"t":0.5,"n":3,"name":"a\\u0000\u00e9","tree":{"x":[1,null]},"on":true}')

    def tearDown(self):
        self.dir.cleanup()

    def put(self, text):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(self.path + ".new", self.path)

    def worker(self, **options):
        w = Worker(source="file:" + self.path, **options)
        self.addCleanup(w.close)
        return w

    def until(self, w, revision):
        while True:
            with w.step() as v:
                if v.revision == revision:
                    return v
            w.idle(1000)

    def test_six_lines(self):
        os.environ["CONFIGD_SOURCE"] = "file:" + self.path
        self.addCleanup(os.environ.pop, "CONFIGD_SOURCE")
        w = Worker()
        t = w.f64("t", live, 0, 2, 0.7)
        w.start()
        for _ in range(3):
            with w.step() as v:
                self.assertEqual(v[t], 0.5)
        w.close()

    def test_declared_at_once_and_read_by_path(self):
        params = {"t": configd.barrier(0.7, 0, 2), "n": configd.drain(1, 0, 9), "name": "x", "tree": {}, "on": False, "more": 2.5}
        with Worker(source="file:" + self.path, params=params) as w:
            for n in range(3):
                v = w.step(n)
                self.assertEqual([v[path] for path in params], [0.5, 3, "a\0\u00e9", {"x": [1, None]}, True, 2.5])
        with self.assertRaises(RuntimeError):
            v["t"]
        with self.assertRaisesRegex(TypeError, "only numbers"):
            configd.live("x", 0, 1)
        with self.assertRaisesRegex(configd.Error, "n: 3 lies outside"):
            Worker(source="file:" + self.path, params={"n": configd.live(1, 0, 2)}).__enter__()
        with self.assertRaisesRegex(ValueError, "unknown class 'quick'"):
            self.worker().f64("t", "quick", 0, 2, 0.7)

    def test_every_type(self):
        w = self.worker()
        handles = [w.f64("t", live, 0, 2, 0.7), w.i64("n", drain, 0, 9, 1), w.string("name", live, "x"),
                   w.json("tree", live, {}), w.bool("on", live, False), w.flag("exp/ab.flag", True),
                   w.i64("distributed.tp", pinned, 1, 8, 2)]
        w.start()
        with w.step() as v:
            self.assertEqual([v[h] for h in handles], [0.5, 3, "a\0\u00e9", {"x": [1, None]}, True, True, 2])

    def test_a_change_between_steps(self):
        w = self.worker()
        t = w.f64("t", live, 0, 2, 0.7)
        w.start()
        first = self.until(w, "0-1")
        self.put('{"t":1.5}')
        second = self.until(w, "0-2")
        self.assertEqual(second[t], 1.5)
        with self.assertRaises(RuntimeError):
            first[t]
        self.assertEqual(second["t"], 1.5)
        with self.assertRaisesRegex(KeyError, "did you mean t"):
            second["tt"]
        with self.assertRaisesRegex(TypeError, "7"):
            second[7]
        self.assertGreater(second.serial, 1)
        self.assertEqual(w.status.state, "file")
        self.assertEqual(w.status.changes, 2)

    def test_bad_is_refused_and_said(self):
        lines = []
        w = self.worker(log=lambda level, line: lines.append((level, line)))
        w.f64("t", live, 0, 2, 0.7)
        w.start()
        self.put('{"t":9}')
        while w.status.rejects < 1:
            w.idle(50)
        self.assertIn("outside", w.status.last_reject)
        self.assertEqual(w.status.newest, "0-1")
        w.close()
        self.assertTrue(any(level == 1 and "refused" in line for level, line in lines), lines)

    def test_a_ceiling(self):
        w = self.worker()
        n = w.i64("n", drain, 0, 9, 1)
        w.ceiling(n, 3).start()
        with w.step() as v:
            self.assertEqual(v[n], 3)
        with self.assertRaisesRegex(configd.Error, "n: 3 is above 2"):
            w.ceiling("n", 2)
        self.put('{"n":4}')
        while w.status.rejects < 1:
            w.idle(50)
        self.assertIn("n: 4 is above 3", w.status.last_reject)

    def test_what_steps_did(self):
        w = self.worker(capabilities=["bf16", "lora"])
        n = w.i64("n", drain, 0, 9, 1)
        loss = w.metric("loss")
        self.until(w.start(), "0-1")
        with w.step(10):
            w.sample(loss, 0.5)
            w.draining(n, 5)
            self.assertTrue(w._open)
        self.assertFalse(w._open, "the block ends the step")
        status = w.status
        self.assertEqual((status.draining, status.draining_path, status.draining_now, status.draining_target), (1, "n", 5, 3))
        w.step(11)
        w.draining(n, 3)
        self.assertEqual(w.status.draining, 0)
        w.step(12)  # ends the one before
        w.step_end({"loss": float("nan")}, tokens=7)
        run = w.revision_at(11)
        self.assertEqual((run.revision, run.from_step <= 10), ("0-1", True))
        with self.assertRaises(configd.Error):
            w.revision_at(99)
        with self.assertRaisesRegex(ValueError, "n: only a number declared drain"):
            w.draining(n, -1)
        with self.assertRaisesRegex(configd.Error, "capabilit"):
            self.worker(capabilities=["a b"])

    def test_hooks(self):
        told = []
        w = self.worker()
        t = w.f64("t", live, 0, 2, 0.7)

        def prepare(v):
            told.append(("prepare", v[t]))
            if v[t] > 1:
                raise ValueError("too hot")

        w.on_change("t", prepare=prepare, commit=lambda v: told.append(("commit", v[t])))
        w.start()
        self.until(w, "0-1")
        self.put('{"t":1.5}')
        while w.status.rejects < 1:
            w.idle(50)
        self.assertIn("too hot", w.status.last_reject)
        self.put('{"t":0.25}')
        self.until(w, "0-3")
        self.assertEqual(told, [("prepare", 0.5), ("commit", 0.5), ("prepare", 1.5), ("prepare", 0.25), ("commit", 0.25)])

    def test_errors_have_text_path_and_hint(self):
        w = self.worker(overrides="tt=1")
        w.f64("t", live, 0, 2, 0.7)
        with self.assertRaises(configd.Error) as caught:
            w.start()
        self.assertEqual(caught.exception.path, "tt")
        with self.assertRaises(configd.Error):
            Worker(source="ftp:x")
        with self.assertRaises(configd.Error):
            Worker(source="file:" + self.path + ".none").start()

    FLAGS = {
        "parameters": {"t": 0.5, "n": 3},
        "flags": {"experiment": {
            "ab.flag": {"definition": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                                       "targeting": {"if": [{"==": [{"var": "plan"}, "gold"]}, "on"]}}},
            "model": {"definition": {"state": "ENABLED", "variants": {"small": {"layers": [1, 2]}}, "defaultVariant": "small"}},
            "text": {"definition": {"state": "ENABLED", "variants": {"a": "x\u0000y"}, "defaultVariant": "a"}},
            "ratio": {"definition": {"state": "ENABLED", "variants": {"r": 1.5}, "defaultVariant": "r"}},
            "heat": {"overrides": {"hot": {"t": 0.9}},
                     "definition": {"state": "ENABLED", "variants": {"hot": 1, "plain": 2}, "defaultVariant": "plain",
                                    "targeting": {"fractional": [["hot", 50], ["plain", 50]]}}}}}}

    def test_flags_per_request(self):
        self.put(json.dumps(self.FLAGS))
        w = self.worker()
        ab, model = w.flag("experiment/ab.flag", default=False), w.flag("experiment/model", default={})
        text, ratio = w.flag("experiment/text", "none"), w.flag("experiment/ratio", 0.0)
        missing = w.flag("experiment/none", default=7)
        with self.assertRaises(TypeError):
            w.flag("experiment/x", default=b"bytes")
        w.start()
        with w.step() as v:
            self.assertFalse(v[ab])
            self.assertFalse(v.flag(ab))
            self.assertTrue(v.flag(ab, {"plan": "gold"}))
            gold = configd.Context("u-1", plan="gold", deep={"x": [1]})
            self.assertEqual(v.evaluate(ab, gold), (True, "on", "TARGETING_MATCH", None, "0-1"))
            self.assertEqual(v.flag(model), {"layers": [1, 2]})
            self.assertEqual(v[model], {"layers": [1, 2]})
            self.assertEqual(v.flag(text), "x\0y")
            self.assertEqual(v.flag(ratio), 1.5)
            self.assertEqual(v.evaluate(ratio, default=4)[:4], (4, None, "ERROR", "TYPE_MISMATCH"))
            self.assertEqual(v.evaluate(ab, default="s")[:4], ("s", None, "ERROR", "TYPE_MISMATCH"))
            self.assertEqual(v.evaluate(missing)[:4], (7, None, "ERROR", "FLAG_NOT_FOUND"))
            with self.assertRaises(configd.Error):
                configd.Context(targetingKey=7)
            with self.assertRaises(TypeError):
                v.flag("experiment/ab.flag")
            with self.assertRaisesRegex(TypeError, "a dict of attributes"):
                v.flag(ab, ["plan", "gold"])
        w.close()
        with self.assertRaises(RuntimeError):
            v.flag(ab)

    def test_parameters_per_request(self):
        self.put(json.dumps(self.FLAGS))
        w = self.worker()
        t, n = w.f64("t", live, 0, 2, 0.7), w.i64("n", drain, 0, 9, 1)
        ab, ms = w.flag("experiment/ab.flag", default=False), w.metric("ms")
        w.start()
        with w.step() as v:
            seen = {}
            for i in range(40):
                r = v.request({"targetingKey": f"u-{i}"})
                self.assertEqual(r[n], 3)
                seen.setdefault(r.variants["experiment/heat"], set()).add(r[t])
            self.assertEqual(seen, {"hot": {0.9}, "plain": {0.5}})
            self.assertEqual(v.request().variants, {}, "a split needs somebody to split by")
            answer = v.evaluate(ab, {"targetingKey": "u-1", "plan": "gold"})
            self.assertEqual(answer, (True, *answer[1:]), "it stays the tuple that it was")
            nobody = v.evaluate(ab)
        w.outcome(r, ms, 12.5)  # the step is over, the worker is not
        w.outcome(answer, ms, 12.5)
        w.outcome(nobody, ms, 12.5)  # of no unit: left out
        with self.assertRaisesRegex(TypeError, "request\\(\\) or evaluate"):
            w.outcome(True, ms, 12.5)
        w.close()
        with self.assertRaises(RuntimeError):
            r[t]
        with self.assertRaises(RuntimeError):
            w.outcome(r, ms, 12.5)
        other = self.worker()
        for served in (r, answer):
            with self.assertRaisesRegex(ValueError, "the worker that served"):
                other.outcome(served, other.metric("ms"), 12.5)
        other.close()

    def test_a_flag_set_at_the_worker(self):
        self.put(json.dumps(self.FLAGS))
        w = self.worker(overrides="experiment/ab.flag=off")
        ab = w.flag("experiment/ab.flag", default=True)
        w.start()
        with w.step() as v:
            self.assertEqual(v.evaluate(ab, {"plan": "gold"})[:2], (False, None))

    def test_wake_from_another_thread(self):
        w = self.worker()
        w.start()
        with w.step():
            pass
        threading.Thread(target=w.wake).start()
        self.assertFalse(w.idle(600000))

    def test_the_callers_loop(self):
        import select
        w = self.worker(external_loop=True)
        t = w.f64("t", live, 0, 2, 0.7)
        w.start()
        with w.step() as v:
            self.assertEqual(v[t], 0.5)
        self.put('{"t":1}')
        while w.status.newest == "0-1":
            select.select([w], [], [], 1)
            w.process()
        with w.step() as v:
            self.assertEqual(v[t], 1)
            w.step_end({"loss": 1.5})


if __name__ == "__main__":
    unittest.main()
