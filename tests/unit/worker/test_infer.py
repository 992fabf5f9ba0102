"""cfg-infer as a process: it follows its view between steps, samples as told, and obeys flags and policies."""

import collections
import http.client
import json
import os
import signal
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from infer_rig import Case  # noqa: E402


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


if __name__ == "__main__":
    unittest.main()
