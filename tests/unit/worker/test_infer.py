"""cfg-infer as a process, on a file source: it follows the file between steps, answers as OpenAI's clients expect, and ends in order."""

import collections
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_model  # noqa: E402

PROGRAM = sys.argv.pop()


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.json["choices"][0]["text"]

    @property
    def events(self):
        """A stream's chunks, which must end with [DONE]."""
        lines = [e.removeprefix("data: ") for e in self.body.decode().split("\n\n") if e]
        assert lines[-1] == "[DONE]", lines[-1]
        return [json.loads(line) for line in lines[:-1]]


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = os.path.join(self.dir.name, "chat.json")

    def model(self, **shape):
        """A model of its own: the tests do not depend on what the trained one has learnt."""
        path = os.path.join(self.dir.name, "tiny.safetensors")
        with open(path, "wb") as f:
            f.write(tiny_model.make(**shape))
        return path

    def put(self, flags=None, policy=None, batch_size=4, queue=None, **sampling):
        view = {"parameters": {"sampling": sampling, "inference": {"batch_size": batch_size}}, "flags": {"experiment": flags or {}}}
        if queue is not None:
            view["parameters"]["inference"]["queue"] = queue
        if policy is not None:
            view["parameters"]["policy"] = policy
        self.put_view(view)

    def put_view(self, view):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(view, f)
        os.rename(self.path + ".new", self.path)

    def start(self, *options, model=None, stderr=None):
        p = subprocess.Popen([PROGRAM, "--source", "file:" + self.path, "--listen", "127.0.0.1:0", "--model", model or self.model(), *options],
                             stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8")  # a sanitizer's words go where ctest looks
        self.addCleanup(self.stop, p)
        self.first = p.stdout.readline()
        self.url = re.match(r"listening on (http://\S+)", p.stdout.readline()).group(1)
        self.address = urllib.parse.urlparse(self.url).netloc
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

    def call(self, method, path, body=None, **headers):
        c = http.client.HTTPConnection(self.address, timeout=60)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            c.request(method, path, data, {"Content-Type": "application/json", **headers})
            return Reply(c.getresponse())
        finally:
            c.close()

    def ask(self, prompt="The Fox ", headers=None, **more):
        r = self.call("POST", "/v1/completions", {"prompt": prompt, **more}, **(headers or {}))
        self.assertEqual(r.status, 200, r.body)
        return r

    def refused(self, status, code, param=None, says="", method="POST", path="/v1/completions", body=None, headers=None, **more):
        r = self.call(method, path, {"prompt": "a", **more} if body is None else body, **(headers or {}))
        self.assertEqual(r.status, status, r.body)
        e = r.json["error"]
        self.assertEqual((e["code"], e["param"]), (code, param), e)
        self.assertIn(says, e["message"])
        return r

    def together(self, asks):
        """All of them at once; the replies in order."""
        replies = [None] * len(asks)

        def one(i):
            replies[i] = self.ask(**asks[i])

        threads = [threading.Thread(target=one, args=(i,)) for i in range(len(asks))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return replies

    def status(self):
        return self.call("GET", "/status").json

    def wait_status(self, wanted):
        while not wanted(self.status()):
            time.sleep(0.005)


class Following(Case):
    def test_applies_between_steps_and_says_so(self):
        self.put(temperature=0.7)
        p = self.start("--step-ms", "1", "--load", "2")
        self.assertEqual(self.first, "step 0: applied 0-1 (first view)\n")
        self.put(temperature=0.2, batch_size=8)
        self.line(p, r"^step \d+: applied 0-2 \(sampling.temperature 0.7 → 0.2, inference.batch_size 4 → 8\)")
        self.put(temperature=0.2, batch_size=8, flags={"ab.flag": True}, stop=["\n"], policy={"all": {}})
        self.line(p, r'^step \d+: applied 0-3 \(sampling.stop \[\] → \["\\n"\], policy changed, experiment/ab.flag off → on\)')
        self.wait_status(lambda now: (now["revision"], now["state"]) == ("0-3", "file"))  # told at the end of the step that began with it
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(30), 0)

    def test_a_change_while_streams_run_takes_effect_between_two_steps(self):
        """Eight streams, greedy; in the middle temperature becomes 2. By the stamps no step ran under two revisions; up to its last step
        under the old one every stream is what greedy decoding gives, and what comes behind is not; and no graph was captured for it."""
        self.put(temperature=0, batch_size=8, max_tokens=400)
        self.start("--step-ms", "1")
        captures = self.status()["captures"]
        prompts = [f"prompt {i} " for i in range(8)]
        greedy = [r.json["choices"][0]["text"] for r in self.together([{"prompt": q} for q in prompts])]
        done = threading.Event()

        def change():
            self.wait_status(lambda s: s["running"] == 8 and s["tokens"] > 8 * 400 + 400)
            self.put(temperature=2, batch_size=8, max_tokens=400)
            done.set()

        threading.Thread(target=change).start()
        replies = self.together([{"prompt": q, "stream": True, "seed": i} for i, q in enumerate(prompts)])
        self.assertTrue(done.is_set())
        under, crossed = {}, 0
        for want, reply in zip(greedy, replies):
            chunks = reply.events
            old = ""
            for c in chunks:
                stamp = c["configd"]
                for point in (stamp, stamp.get("first", stamp)):
                    under.setdefault(point["step"], set()).add(point["revision"])
                if stamp["revision"] == "0-1":
                    old += c["choices"][0]["text"]
            steps = [c["configd"]["step"] for c in chunks]
            self.assertEqual(steps, sorted(set(steps)), "no step twice, none backwards")
            whole = "".join(c["choices"][0]["text"] for c in chunks)
            self.assertEqual(old, want[:len(old)])
            crossed += chunks[0]["configd"]["revision"] == "0-1" and chunks[-1]["configd"]["revision"] == "0-2" and whole != want
        self.assertEqual(crossed, 8)
        self.assertEqual({len(r) for r in under.values()}, {1}, "one step, one revision")
        last_old = max(s for s, r in under.items() if r == {"0-1"})
        self.assertLess(last_old, min(s for s, r in under.items() if r == {"0-2"}))
        self.assertEqual(self.status()["captures"], captures)

    def test_lowering_the_batch_drains_and_drops_nobody(self):
        """By the stamps: what ran above the new cap went on under it, nobody came in before there was a place, all got all their bytes."""
        self.put(temperature=1, batch_size=8)
        self.start("--step-ms", "2")

        def lower():
            self.wait_status(lambda s: s["running"] == 8)
            self.put(temperature=1, batch_size=2)

        t = threading.Thread(target=lower)
        t.start()
        replies = [r.json for r in self.together([{"max_tokens": 150, "seed": i} for i in range(14)])]
        t.join()
        self.assertEqual([r["usage"]["completion_tokens"] for r in replies], [150] * 14)
        spans = [(r["configd"]["first"], r["configd"]["last"]) for r in replies]
        running = lambda step: sum(first["step"] <= step <= last["step"] for first, last in spans)  # noqa: E731
        crossed = [last["step"] for first, last in spans if first["revision"] == "0-1" and last["revision"] == "0-2"]
        self.assertGreater(running(min(crossed)), 2, "work above the new cap went on")
        admitted = [first["step"] for first, _ in spans if first["revision"] == "0-2"]
        self.assertGreaterEqual(len(admitted), 6)
        self.assertEqual({running(step) <= 2 for step in admitted}, {True}, "nobody came in above it")

    def test_a_view_that_cannot_be_worked_with_is_refused_whole(self):
        self.put(temperature=0.5)
        self.start()
        for path, more in (("policy.tiers.free.clamp.top_p", {"policy": {"tiers": {"free": {"clamp": {"top_p": {"max": 7}}}}}}),
                           ("policy.al", {"policy": {"al": {}}}), ("sampling.stop", {"stop": [""]}), ("inference.batch_size", {"batch_size": 65})):
            before = self.status()["rejects"]
            self.put(**{"temperature": 0.9, **more})
            self.wait_status(lambda s: s["rejects"] > before)
            s = self.status()
            self.assertIn(path, s["last_reject"])
            self.assertEqual((s["revision"], s["temperature"]), ("0-1", 0.5))
        self.put(temperature=0.4)
        self.wait_status(lambda s: s["temperature"] == 0.4)


class Sampling(Case):
    def test_temperature_zero_is_greedy_and_deterministic(self):
        self.put(temperature=0)
        p = self.start()
        same = {self.ask(max_tokens=60, seed=s).text for s in range(4)} | {self.ask(max_tokens=60).text}
        self.assertEqual(len(same), 1, "the seed does not matter")
        self.put(temperature=1.5)
        self.line(p, "temperature 0 → 1.5")
        self.assertEqual(len({self.ask(max_tokens=60, seed=s).text for s in range(4)}), 4)
        self.assertEqual(len({self.ask(max_tokens=60, seed=1).text for s in range(3)}), 1, "a seed repeats its text")
        self.assertEqual({self.ask(max_tokens=60, seed=9, temperature=0).text}, same, "asked for")
        self.assertEqual({self.ask(max_tokens=60, seed=9, top_k=1).text}, same, "of one candidate there is no choice")
        self.assertEqual({self.ask(max_tokens=60, seed=9, top_p=0).text}, same)
        self.put(temperature=1.5, top_k=1)
        self.line(p, "top_k 0 → 1")
        reply = self.ask(max_tokens=60, seed=9)
        self.assertEqual({reply.text}, same)
        stamp = reply.json["configd"]
        self.assertEqual((stamp["last"]["step"] - stamp["first"]["step"], stamp["revision"]), (59, "0-3"))

    def test_frequencies_follow_the_softmax(self):
        """Through HTTP: the first bytes of many requests, at three temperatures, against each other. If p is the softmax at 1, then at t it
        is p^(1/t), normalised: what was counted at 1 predicts what is counted at 0.5 and 2."""
        self.put(temperature=1, batch_size=64)
        self.start("--max-batch", "64", model=self.model(hidden=8, layers=1, scale=0.9))
        draws, counts = 1200, {}
        c = http.client.HTTPConnection(self.address, timeout=60)
        for t in (1, 0.6, 1.6):
            counts[t] = collections.Counter()
            for i in range(draws):
                c.request("POST", "/v1/completions", json.dumps({"prompt": "x", "max_tokens": 1, "temperature": t, "top_k": 6, "seed": i * 7 + 1}),
                          {"Content-Type": "application/json"})
                counts[t][json.loads(c.getresponse().read())["choices"][0]["text"]] += 1
        c.close()
        seen = sorted(counts[1])
        self.assertLessEqual(len(seen), 6, "top_k keeps no more")
        for t in (0.6, 1.6):
            power = {s: counts[1][s] ** (1 / t) for s in seen}
            total = sum(power.values())
            # Both sides are counted, so the variance of the prediction (delta method: (n_t/n_1)² · var of the power) adds to that of the count.
            chi = 0.0
            for s in seen:
                want = draws * power[s] / total
                chi += (counts[t][s] - want) ** 2 / (want * (1 + 1 / t ** 2 * want / counts[1][s]))
            self.assertLess(chi, 30, f"at {t}: {counts}")  # 5 degrees of freedom: beyond 30 once in 70,000 (the seeds are fixed)
            self.assertLessEqual(set(counts[t]), set(seen))
        self.assertGreater(counts[0.6].most_common(1)[0][1], counts[1.6].most_common(1)[0][1])

    def test_a_text_does_not_depend_on_its_neighbours(self):
        """Greedy and seeded, alone and in batches of changing company: the same bytes, always."""
        self.put(temperature=0, batch_size=16)
        self.start()
        asks = [{"prompt": f"{i} once upon", "max_tokens": 30 + 3 * i, "seed": i, "temperature": 0 if i % 2 else 1.2} for i in range(16)]
        alone = [self.ask(**a).text for a in asks]
        for company in (16, 5, 11):
            mixed = [asks[(7 * i) % 16] for i in range(company)]
            self.assertEqual([r.text for r in self.together(mixed)], [alone[(7 * i) % 16] for i in range(company)])

    def test_stop_sequences(self):
        self.put(temperature=0)
        p = self.start()
        whole = self.ask(max_tokens=200).text
        printable = [c for c in whole[20:150] if c != "�"]
        stop = printable[0]
        want = whole[:whole.index(stop)]
        r = self.ask(max_tokens=200, stop=stop)
        self.assertEqual((r.text, r.json["choices"][0]["finish_reason"]), (want, "stop"))
        streamed = self.ask(max_tokens=200, stop=[stop], stream=True).events
        self.assertEqual("".join(c["choices"][0]["text"] for c in streamed), want)
        self.assertEqual([c["choices"][0]["finish_reason"] for c in streamed][-1], "stop")
        self.put(temperature=0, stop=[stop])
        self.line(p, "sampling.stop")
        self.assertEqual(self.ask(max_tokens=200).text, want, "the live parameter")
        self.assertEqual(self.ask(max_tokens=200, stop=[]).text, whole, "the request's own wins")


class Flags(Case):
    def test_variants_of_one_batch(self):
        """Requests run side by side on their own parameters, and say which variant gave them that."""
        ab = {"definition": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                             "targeting": {"if": [{"==": [{"var": "plan"}, "gold"]}, "on"]}}}
        heat = {"overrides": {"cold": {"sampling.temperature": 0}, "hot": {"sampling.temperature": 1.9, "sampling.max_tokens": 30}},
                "definition": {"state": "ENABLED", "variants": {"cold": 1, "hot": 2, "as, is": 3}, "defaultVariant": "as, is",
                               "targeting": {"var": "deep.heat"}}}
        self.put_view({"parameters": {"sampling": {"temperature": 0.7}, "inference": {"batch_size": 8}},
                       "flags": {"experiment": {"ab.flag": ab, "heat": heat}}})
        self.start()
        asked = [(name, {"deep": {"heat": name}, "plan": "gold" if name == "hot" else "free"}) for name in ("cold", "hot") for _ in range(4)]
        replies = self.together([{"seed": i, "user": f"u-{i}", "context": c} for i, (_, c) in enumerate(asked)])
        cold, hot = replies[:4], replies[4:]
        self.assertEqual(len({r.text for r in cold}), 1, "temperature 0")
        self.assertEqual(len({r.text for r in hot}), 4)
        self.assertEqual({r.json["usage"]["completion_tokens"] for r in hot}, {30}, "max_tokens is the variant's too")
        self.assertEqual(hot[0].json["configd"]["variants"], {"experiment/ab.flag": "on", "experiment/heat": "hot"})
        self.assertEqual(cold[0].json["configd"]["variants"], {"experiment/ab.flag": "off", "experiment/heat": "cold"})
        greedy = self.ask(temperature=0, max_tokens=16).text[:8]
        self.assertEqual({r.text[:8] for r in hot}, {greedy}, "ab.flag: the gold plan begins greedily")
        r = self.ask(prompt="a", max_tokens=1)
        self.assertEqual(r.headers["Configd-Variants"], "experiment/ab.flag=off, experiment/heat=as%2C%20is")
        self.assertEqual((r.headers["Configd-Revision"], r.headers["Configd-Step"]), ("0-1", str(r.json["configd"]["step"])))
        mine = self.ask(temperature=0, context={"deep": {"heat": "hot"}})
        self.assertEqual(mine.json["usage"]["completion_tokens"], 30)
        mine = self.ask(max_tokens=20, context={"deep": {"heat": "hot"}})
        self.assertEqual(mine.json["usage"]["completion_tokens"], 20, "what is asked for wins over a variant")

    def test_tenant_and_tier_are_attributes_that_nobody_can_claim(self):
        who = {"definition": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                              "targeting": {"if": [{"and": [{"==": [{"var": "tenant"}, "acme"]}, {"==": [{"var": "tier"}, "gold"]}]}, "on"]}}}
        self.put(flags={"ab.flag": who}, policy={"tenants": {"acme": {"tier": "gold"}}})
        self.start()
        served = lambda r: r.json["configd"]["variants"]["experiment/ab.flag"]  # noqa: E731
        self.assertEqual(served(self.ask(max_tokens=1, headers={"Configd-Tenant": "acme"})), "on")
        self.assertEqual(served(self.ask(max_tokens=1, context={"tenant": "acme", "tier": "gold"})), "off")


class Policy(Case):
    RULES = {"all": {"rename": {"max_new_tokens": "max_tokens"}, "drop": ["logit_bias"], "default": {"temperature": 0}, "clamp": {"max_tokens": {"max": 12}}},
             "tiers": {"gold": {"clamp": {"max_tokens": {"max": 30}}, "force": {"seed": 4}}},
             "tenants": {"acme": {"tier": "gold"}, "strict": {"validate": {"properties": {"stream": {"const": False}}}}}}

    def test_applied_explained_and_followed(self):
        self.put(temperature=1, max_tokens=64, policy=self.RULES)
        p = self.start()
        self.assertEqual(self.ask().json["usage"]["completion_tokens"], 12, "a clamp holds what is left to the live parameters")
        r = self.ask(max_new_tokens=50, logit_bias={"5": 1}, headers={"Configd-Tenant": "acme", "Configd-Explain": "1"})
        self.assertEqual(r.json["usage"]["completion_tokens"], 30)
        told = json.loads(r.headers["Configd-Policy"])
        self.assertEqual((told["revision"], told["tenant"], told["tier"]), ("0-1", "acme", "gold"))
        self.assertEqual([(a["do"], a["param"]) for a in told["applied"]],
                         [("rename", "max_new_tokens"), ("drop", "logit_bias"), ("default", "temperature"), ("force", "seed"), ("clamp", "max_tokens")])
        self.assertNotIn("Configd-Policy", self.ask().headers)
        r = self.refused(400, "invalid_argument", "stream", "policy", stream=True, headers={"Configd-Tenant": "strict", "Configd-Explain": "1"})
        self.assertEqual(json.loads(r.headers["Configd-Policy"])["tenant"], "strict")
        self.put(temperature=1, max_tokens=64)
        self.line(p, "policy changed")
        self.assertEqual(self.ask().json["usage"]["completion_tokens"], 64)
        self.refused(400, "invalid_argument", "max_new_tokens", max_new_tokens=5)

    def test_keys(self):
        key = "sha256:41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb"
        self.put(policy={"identify": "keys", "keys": {key: {"tenant": "acme", "tier": "gold"}}})
        self.start()
        self.refused(401, "invalid_api_key")
        self.refused(401, "invalid_api_key", headers={"Authorization": "Bearer wrong"})
        self.refused(401, "invalid_api_key", method="GET", path="/v1/models")
        r = self.ask(max_tokens=1, headers={"Authorization": "Bearer open sesame", "Configd-Explain": "1"})
        self.assertEqual(json.loads(r.headers["Configd-Policy"])["tenant"], "acme")


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
