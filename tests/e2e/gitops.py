"""plan, promote, apply and export -f, against a real etcd and a real configd: files in git and what is served, kept together."""
import json
import re
import sys
import unittest

from cfgctl import Session, own  # also finds the laboratory


class Plan(Session):
    def test_plan_says_who_does_what(self):
        self.fleet()
        self.ok("deployment", "create", "slow", "--config", "chat", "--track", "hold")
        before = self.revision()
        out = self.ok("plan", "chat/counter.w0=2", "chat/distributed.tp=8", "chat/new=1")
        self.assertIn("chat v1 → v2\n", out)
        self.assertIn("  - counter.w0 = 1\n  + counter.w0 = 2\n", out)
        self.assertRegex(out, r"blue +live at the next step +2 ")
        self.assertRegex(out, r"blue +pinned, keeps its value .*distributed\.tp")
        self.assertRegex(out, r"slow +held, stays where it is .*v1")
        self.assertEqual(self.revision(), before, "a plan writes nothing")
        reply = self.json("plan", "chat", "counter.w0=2")
        self.assertFalse(reply["blocked"])
        self.assertIn(("blue", "live"), [(o["deployment"], o["action"]) for o in reply["results"][0]["plan"]])
        self.assertIn("stays as it is", self.ok("plan", "chat/counter.w0=1"))
        self.assertIn("experiment/ab.flag v1, new", self.ok("plan", "experiment/ab.flag=on"))
        self.ok("plan", "chat", "--file", "-", stdin="{}")

    def test_what_is_refused_blocks(self):
        self.ok("set", "chat/a=1")
        self.refused(5, "blocked: .*number", "plan", "chat/a=text")
        self.refused(5, "blocked: .*version 9 was expected", "plan", "chat/a=2", "--if-version", "9")
        self.refused(2, "nothing to set", "plan")
        self.refused(2, "address|NAMESPACE", "plan", "chat")


class Promote(Session):
    def setUp(self):
        super().setUp()
        self.ok("set", "chat-staging/sampling.temperature=0.2", "chat-staging/sampling.top_k=50", "chat-staging/url=staging",
                "chat-prod/sampling.temperature=0.7", "chat-prod/url=prod", "chat-prod/old.knob=1")

    def test_values_move(self):
        out = self.ok("promote", "chat-staging", "chat-prod", "--except", "url", "--dry-run")
        self.assertIn("  - sampling.temperature = 0.7\n  + sampling.temperature = 0.2\n", out)
        self.assertEqual(self.json("get", "chat-prod")["version"], 1)
        self.refused(2, "terminal", "promote", "chat-staging", "chat-prod", "sampling")
        out = self.ok("promote", "chat-staging", "chat-prod", "sampling.temperature", "--yes", "-m", "proved")
        self.assertIn("chat-prod v2: sampling.temperature 0.7 → 0.2", out)
        head = self.json("get", "chat-prod")
        self.assertEqual(head["message"], "proved (promoted from chat-staging v1: sampling.temperature)")
        self.assertEqual(head["document"], {"sampling": {"temperature": 0.2}, "url": "prod", "old": {"knob": 1}})
        self.ok("promote", "chat-staging", "chat-prod", "--except", "url", "--prune", "--yes")
        self.assertEqual(self.json("get", "chat-prod")["document"], {"sampling": {"temperature": 0.2, "top_k": 50}, "url": "prod"})
        self.assertIn("stays as it is", self.ok("promote", "chat-staging", "chat-prod", "sampling", "--yes"))
        reply = json.loads(self.ok("promote", "chat-staging", "chat-new", "--yes", "-o", "json"))
        self.assertTrue(reply["results"][0]["created"])
        self.assertEqual(self.json("get", "chat-new")["document"], self.json("get", "chat-staging")["document"])

    def test_bad_input_changes_nothing(self):
        self.refused(3, "did you mean sampling", "promote", "chat-staging", "chat-prod", "samplnig", "--yes")
        self.refused(3, "did you mean url", "promote", "chat-staging", "chat-prod", "--except", "ulr", "--yes")
        self.refused(2, "source and target", "promote", "chat-prod", "chat-prod")
        self.refused(3, "chat-stagin", "promote", "chat-stagin", "chat-prod", "--yes")
        self.ok("set", "chat-staging/url=[1]", "--change-type")
        self.refused(5, "--change-type", "promote", "chat-staging", "chat-prod", "url", "--yes")
        self.ok("promote", "chat-staging", "chat-prod", "url", "--yes", "--change-type")
        self.refused(4, "version 1 was expected", "promote", "chat-staging", "chat-prod", "sampling", "--if-version", "1", "--yes")


if __name__ == "__main__":
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else ".")
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(t for t in own(Plan) + own(Promote) if wanted.search(t.id())))
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
