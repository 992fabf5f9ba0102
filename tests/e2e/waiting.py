"""cfgctl set --wait, and who is waited for: workers that were not let in, that come in while it waits, that there are none of."""
import json
import subprocess

from cfgctl import Session as Base, laboratory, main


class Waiting(Base):
    def setUp(self):
        super().setUp()
        self.ok("set", "chat/value=1")
        self.ok("deployment", "create", "blue", "--config", "chat", "--requires", "fast")

    def knock(self, worker):
        """A worker that lacks what the deployment requires comes to the door."""
        with self.assertRaises(laboratory.Problem) as caught:
            self.configd.call("POST", "/v1/deployments/blue/workers", {"worker": worker, "incarnation": "a" * 32, "contract": {}})
        self.assertEqual(caught.exception.status, 409)

    def test_nobody_was_let_in(self):
        self.knock("w9")
        done = self.run_cfgctl("set", "chat/value=2", "--wait", "--timeout", "1")
        self.assertEqual(done.returncode, 12, done)
        self.assertRegex(done.stdout, r"w9: not applied, not let in: .*fast")
        self.assertRegex(done.stderr, "nobody runs it: w9 .not let in.")
        self.assertIn("the change is made", done.stderr)
        done = self.run_cfgctl("set", "chat/value=3", "--wait", "--timeout", "1", "-o", "json")
        wait = json.loads(done.stdout)["wait"]
        self.assertEqual((done.returncode, wait["converged"], wait["total"], wait["refused"]), (12, 0, 0, 1))
        self.assertTrue(wait["workers"][0]["refused"])
        self.assertEqual(self.ok("get", "chat/value").strip(), "3")
        self.assertRegex(self.ok("help", "exit-codes"), r"(?m)^  12 .*let in.*\n +not_let_in")

    def test_who_comes_in_is_waited_for(self):
        self.knock("w0")
        waiting = subprocess.Popen([laboratory.CFGCTL, "set", "chat/value=2", "--wait"], env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertTrue(any(line.startswith("0/0 workers converged; behind: w0") for line in iter(waiting.stderr.readline, "")))
        self.ok("deployment", "update", "blue", "--requires", "")
        laboratory.Worker(self.lab, "w0", [self.configd.url]).start()
        out, err = waiting.communicate(timeout=60)
        self.assertEqual(waiting.returncode, 0, err)
        self.assertIn("1/1 workers converged", err)
        self.assertRegex(out, "w0: applied")
        # One at the door holds nobody up who is in.
        self.ok("deployment", "update", "blue", "--requires", "fast", "--force")
        self.knock("w9")
        done = self.run_cfgctl("set", "chat/value=3", "--wait")
        self.assertEqual(done.returncode, 0, done)
        self.assertRegex(done.stdout, "(?s)w0: applied.*w9: not applied, not let in|w9: not applied, not let in.*w0: applied")

    def test_a_flag_that_a_worker_lacks_something_for(self):
        """Made, or switched on, past those who lack what it requires only with --force; they are named."""
        self.ok("deployment", "update", "blue", "--requires", "", "--flags", "experiment")
        laboratory.Worker(self.lab, "w0", [self.configd.url]).start()
        laboratory.wait_for("the worker", lambda: self.json("status", "blue")["converged"] == 1)
        self.ok("flag", "create", "experiment/fast", "--requires", "fast")
        self.refused(4, "w0", "flag", "on", "experiment/fast")
        self.refused(4, "w0", "flag", "create", "experiment/faster", "--requires", "fast", "--default", "on")
        self.assertIn("forced past", self.json("flag", "on", "experiment/fast", "--force")["results"][0].get("message", "") + self.ok("history", "experiment/fast"))
        self.ok("flag", "create", "experiment/faster", "--requires", "fast", "--default", "on", "--force")

    def test_nobody_is_there(self):
        done = self.run_cfgctl("set", "chat/value=2", "--wait")
        self.assertEqual((done.returncode, done.stderr.count("nobody to wait for")), (0, 1), done)


if __name__ == "__main__":
    main(Waiting, needs=[laboratory.WORKER])
