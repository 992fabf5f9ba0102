"""cfg-infer as a process, to its clients: bad input, its pages as described, and an end in order."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_model  # noqa: E402
from infer_rig import Case, PROGRAM  # noqa: E402


class BadInput(Case):
    def test_requests(self):
        self.put(temperature=0, max_tokens=5)
        self.start()
        good = self.ask().text
        self.refused(400, "bad_json", body=b"{")
        self.refused(400, "bad_json", body=b'{"prompt":"\xff"}', says="UTF-8")
        self.refused(400, "bad_json", body=b'{"prompt":"\\ud800"}')
        self.refused(400, "bad_json", body=b'{"prompt":"a","prompt":"b"}')
        self.refused(400, "invalid_argument", body=b"[]")
        self.refused(400, "invalid_argument", "prompt", body=b"{}")
        self.refused(400, "invalid_argument", "prompt", prompt="")
        self.refused(400, "context_length_exceeded", "prompt", prompt="x" * 8193)
        self.refused(400, "invalid_argument", "max_tokns", "did you mean max_tokens", max_tokns=1)
        self.refused(400, "invalid_argument", "n", n=2)
        self.refused(400, "invalid_argument", "best_of", best_of=2)
        self.refused(400, "invalid_argument", "logprobs", logprobs=1)
        self.refused(400, "invalid_argument", "temperature", temperature="hot")
        self.refused(400, "invalid_argument", "stream_options", stream_options={"include_usage": True})
        self.refused(404, "model_not_found", "model", "configd-byte-lm", model="gpt-4")
        self.refused(405, "method_not_allowed", method="GET")
        self.refused(405, "method_not_allowed", method="POST", path="/status")
        self.refused(404, "not_found", method="GET", path="/nothing")
        self.refused(404, "model_not_found", "model", method="GET", path="/v1/models/none")
        self.refused(415, "unsupported_media_type", headers={"Content-Type": "text/plain"})
        self.refused(413, "too_large", body=b" " * (128 * 1024 + 1))
        deep = b'{"prompt":"a","context":' + b'{"a":' * 80 + b"1" + b"}" * 80 + b"}"
        self.assertEqual(self.call("POST", "/v1/completions", deep).status, 400)
        self.refused(400, "invalid_argument", headers={"Configd-Tenant": "x" * 64})
        self.assertEqual(self.ask().text, good)

    def test_bad_requests_harm_nobody_else(self):
        self.put(temperature=0, batch_size=8)
        self.start()
        alone = self.ask(max_tokens=300).text
        stop = threading.Event()

        def pester():
            while not stop.is_set():
                self.call("POST", "/v1/completions", b'{"prompt":')
                self.call("POST", "/v1/completions", {"prompt": "x", "temperature": 9})
                s = socket.create_connection(self.address.split(":"))
                s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
                          b'{"prompt":"gone","max_tokens":4000     }')
                s.close()

        threads = [threading.Thread(target=pester) for _ in range(2)]
        for t in threads:
            t.start()
        replies = self.together([{"max_tokens": 300, "stream": i % 2 == 0} for i in range(6)])
        stop.set()
        for t in threads:
            t.join()
        for i, r in enumerate(replies):
            text = "".join(c["choices"][0]["text"] for c in r.events) if i % 2 == 0 else r.text
            self.assertEqual(text, alone)

    def test_a_client_that_leaves_frees_its_place(self):
        self.put(temperature=1, batch_size=1)
        self.start("--step-ms", "2")
        for stream in (False, True):
            c = http.client.HTTPConnection(self.address)
            c.request("POST", "/v1/completions", json.dumps({"prompt": "a", "max_tokens": 4096, "stream": stream}), {"Content-Type": "application/json"})
            self.wait_status(lambda s: s["running"] == 1)
            waiting = threading.Thread(target=lambda: self.ask(max_tokens=2))
            waiting.start()
            self.wait_status(lambda s: s["waiting"] == 1)
            c.close()
            waiting.join()
        self.assertIn("cfg_infer_clients_gone_total 2\n", self.call("GET", "/metrics").body.decode())

    def test_more_connections_than_descriptors(self):
        self.put()
        with open(os.path.join(self.dir.name, "stderr"), "w+", encoding="utf-8") as said:
            p = self.start(stderr=said)
            limit = max(int(fd) for fd in os.listdir(f"/proc/{p.pid}/fd")) + 9
            resource.prlimit(p.pid, resource.RLIMIT_NOFILE, (limit, limit))
            host, port = self.address.split(":")
            flood = [socket.create_connection((host, int(port))) for _ in range(40)]
            flood[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b" 200 ", flood[0].recv(4096), "those who are in are served")
            for s in flood:
                s.close()
            self.assertEqual(self.call("GET", "/healthz").status, 200, "and so is who comes when there is room again")
            said.seek(0)
            self.assertNotIn("accept", said.read(), "it does not spin on those who wait")

    def test_a_full_queue(self):
        self.put(temperature=1, batch_size=1, queue=2)
        self.start("--step-ms", "3")
        results = []

        def one():
            r = self.call("POST", "/v1/completions", {"prompt": "a", "max_tokens": 60})
            results.append((r.status, r.headers["Retry-After"], r.json.get("error", {}).get("code")))

        threads = [threading.Thread(target=one) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        refused = [r for r in results if r[0] == 429]
        self.assertEqual(len([r for r in results if r[0] == 200]) + len(refused), 8)
        self.assertGreaterEqual(len(refused), 4, results)
        for _, after, code in refused:
            self.assertEqual(code, "rate_limit_exceeded")
            self.assertGreaterEqual(int(after), 1)

    def test_weights_and_pins(self):
        self.put(temperature=0.5)
        good = tiny_model.make()
        path = os.path.join(self.dir.name, "bad.safetensors")
        for what, data in (("truncated", good[:-7]), ("header", good[:60]), ("empty", b""), ("foreign", b"PK\x03\x04" + b"x" * 400),
                           ("tensor", good.replace(b"head.bias", b"head.byas")), ("type", good.replace(b"F32", b"I32"))):
            with open(path, "wb") as f:
                f.write(data)
            p = subprocess.run([PROGRAM, "--source", "file:" + self.path, "--model", path], capture_output=True, text=True, timeout=30, check=False)
            self.assertGreater(p.returncode, 0, what)
            self.assertRegex(p.stderr, r"^cfg-infer: .*bad\.safetensors", what)
            self.assertEqual(p.stderr.count("\n"), 1, p.stderr)
        shape = {"context": 8, "embed": 4, "hidden": 16, "layers": 2}
        for pinned, option, says in (({**shape, "hidden": 32}, [], r"model\.hidden"), ({"precision": "bf16"}, [], "bf16"),
                                     ({"precision": "float13"}, [], "float13"), ({"backend": "tpu"}, [], "tpu"),
                                     ({"backend": "cpu"}, ["--backend", "cuda"], r"--backend is cuda.*model\.backend = cpu")):
            self.put_view({"parameters": {}, "pinned": {"model": pinned}})
            p = subprocess.run([PROGRAM, "--source", "file:" + self.path, "--model", self.model(), *option], capture_output=True, text=True,
                               timeout=30, check=False)
            self.assertGreater(p.returncode, 0, pinned)
            self.assertRegex(p.stderr, says)
        self.put_view({"parameters": {}, "pinned": {"model": {**shape, "precision": "float32", "backend": "cpu"}}})
        self.start()
        self.assertEqual(self.status()["backend"], "cpu")


class Pages(Case):
    def test_each_reply_is_as_described(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("no jsonschema here")
        self.put(temperature=0, max_tokens=5)
        self.start()
        spec = self.call("GET", "/openapi.json").json

        def check(schema, value):
            jsonschema.validate(value, {**schema, "components": spec["components"]}, jsonschema.Draft202012Validator)

        def schema_of(path, method="get", status="200", kind="application/json"):
            described = spec["paths"][path][method]["responses"][status]
            if "$ref" in described:
                described = spec["components"]["responses"][described["$ref"].split("/")[-1]]
            return described["content"][kind]["schema"]

        seen = {"/openapi.json", "/metrics"}
        for path in ("/v1/models", "/healthz", "/readyz", "/status"):
            check(schema_of(path), self.call("GET", path).json)
            seen.add(path)
        check(schema_of("/v1/models/{model}"), self.call("GET", "/v1/models/configd-byte-lm").json)
        completion = self.ask()
        check(schema_of("/v1/completions", "post"), completion.json)
        for usage in (False, True):
            more = {"stream_options": {"include_usage": True}} if usage else {}
            for chunk in self.ask(stream=True, **more).events:
                check(schema_of("/v1/completions", "post", kind="text/event-stream"), chunk)
        check(schema_of("/v1/completions", "post", "400"), self.call("POST", "/v1/completions", b"{").json)
        seen |= {"/v1/models/{model}", "/v1/completions"}
        self.assertEqual(seen, set(spec["paths"]))
        body = {"prompt": ["a"], "stop": ["x"], "temperature": 1, "n": 1, "logprobs": None, "context": {"a": 1}}
        check(spec["components"]["schemas"]["CompletionRequest"], body)

    def test_a_stream(self):
        self.put(temperature=0)
        self.start()
        whole = self.ask(max_tokens=40)
        r = self.ask(max_tokens=40, stream=True, stream_options={"include_usage": True})
        self.assertEqual(r.headers["Content-Type"], "text/event-stream")
        *chunks, last = r.events
        self.assertEqual("".join(c["choices"][0]["text"] for c in chunks), whole.text)
        self.assertEqual({c["usage"] for c in chunks}, {None})
        self.assertEqual((last["choices"], last["usage"]), ([], whole.json["usage"]))
        self.assertEqual([c["choices"][0]["finish_reason"] for c in chunks], [None] * (len(chunks) - 1) + ["length"])
        self.assertEqual({c["id"] for c in [*chunks, last]}, {r.headers["X-Request-Id"]})

    def test_a_chunk_that_had_to_wait_says_since_when(self):
        self.put(temperature=1)
        self.start()
        whole = self.ask(max_tokens=400, seed=5).text
        # A character that might begin the stop sequence waits for the next one, which shows that it does not.
        i = next(i for i in range(1, len(whole) - 1) if whole[i].isalnum() and whole[i].isascii() and "\ufffd" not in whole[i - 1:i + 2]
                 and whole[i + 1].isascii() and whole[i + 1] != whole[i])
        stop = whole[i] + next(c for c in "#$%&" if whole[i] + c not in whole)
        r = self.ask(max_tokens=400, seed=5, stream=True, stop=stop)
        self.assertEqual("".join(c["choices"][0]["text"] for c in r.events), whole)
        waited = [c for c in r.events if c["choices"][0]["text"] == whole[i:i + 2]]
        self.assertNotEqual(waited, [])
        for c in waited:
            self.assertEqual(c["configd"]["first"], {"step": c["configd"]["step"] - 1, "revision": c["configd"]["revision"]})

    def test_metrics(self):
        self.put(temperature=0)
        self.start()
        self.ask(max_tokens=7, stream=True)
        self.refused(400, "bad_json", body=b"{")
        self.wait_status(lambda s: s["running"] == 0)
        text = self.call("GET", "/metrics").body.decode()
        for line in ('cfg_infer_requests_total{code="200"} 1', 'cfg_infer_requests_total{code="400"} 1', "cfg_infer_generated_tokens_total 7",
                     "cfg_infer_time_to_first_token_seconds_count 1", "cfg_infer_captures_total 7", "cfg_infer_batch_capacity 64",
                     "cfg_infer_prompt_tokens_total 8"):
            self.assertIn(line + "\n", text)
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) cfg_infer_\w+ .+|cfg_infer_\w+(\{[^}]*\})? [0-9.e+-]+)$')

    def test_many_at_once(self):
        self.put(temperature=0.5, batch_size=2)
        self.start()
        self.assertEqual([r.json["usage"]["completion_tokens"] for r in self.together([{"max_tokens": 8}] * 12)], [8] * 12)


class Ending(Case):
    def test_requests_under_way_are_finished(self):
        self.put(temperature=0.5)
        p = self.start("--step-ms", "2", "--load", "1")
        replies = []
        t = threading.Thread(target=lambda: replies.append(self.ask(max_tokens=150)))
        t.start()
        self.wait_status(lambda s: s["running"] == 2)
        p.send_signal(signal.SIGTERM)
        t.join()
        self.assertEqual(p.wait(30), 0)
        self.assertEqual(replies[0].json["usage"]["completion_tokens"], 150)

    def test_but_not_waited_for_without_end(self):
        self.put(temperature=0.5)
        p = self.start("--step-ms", "5", "--drain-ms", "50")
        replies = []

        def one(stream):
            replies.append((stream, self.call("POST", "/v1/completions", {"prompt": "A ", "max_tokens": 4000, "stream": stream})))

        threads = [threading.Thread(target=one, args=(s,)) for s in (False, True)]
        for t in threads:
            t.start()
        self.wait_status(lambda s: s["running"] == 2)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(30), 0)
        for t in threads:
            t.join()
        for stream, r in replies:
            if stream:
                last = r.body.decode().split("\n\n")[-2].removeprefix("data: ")
                self.assertEqual(json.loads(last)["error"]["code"], "not_ready")
            else:
                self.assertEqual((r.status, r.json["error"]["code"]), (503, "not_ready"))

    def test_a_number_of_steps(self):
        self.put(temperature=0.5)
        p = self.start("--steps", "5", "--log-steps", "--load", "2")
        out, _ = p.communicate(timeout=30)
        self.assertEqual(len(re.findall(r"(?m)^step \d+: 0-1 running", out)), 5)
        self.assertEqual(p.returncode, 0)

    def test_wrong_use(self):
        for options, code, says in ((["--stepz", "1"], 2, "did you mean --steps"), (["--listen", "x"], 2, "HOST:PORT"),
                                    (["--source", "file:/none.json"], 1, "none.json"), (["--max-batch", "300"], 2, "1 to 256"),
                                    (["--model", "/none.safetensors"], 3, "none.safetensors")):
            self.put(temperature=0.5)
            base = [] if "--source" in options else ["--source", "file:" + self.path]
            p = subprocess.run([PROGRAM, *base, *options], capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(p.returncode, code, p.stderr)
            self.assertIn(says, p.stderr)


if __name__ == "__main__":
    unittest.main()
