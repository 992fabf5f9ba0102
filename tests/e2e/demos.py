"""The demos, short: they run to their end, what they promise happens, and through a pipe they are plain text."""
import os
import subprocess
import sys
import unittest

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
BUILD = os.path.abspath(os.environ.get("CFG_BUILD_DIR", "build/asan"))


def start(name, *options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}
    return subprocess.Popen([os.path.join(SOURCE, "scripts", name), *options], env={**environment, "CFG_DEMO_BUILD": BUILD},
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Demos(unittest.TestCase):
    def test_they_tell_their_stories(self):
        running = [start("demo-rollout", "--seconds", "1"), start("demo-experiment", "--seconds", "1", "--daring", "1.6")]
        rollout, experiment = (p.communicate(timeout=110)[0] for p in running)
        self.assertEqual([p.returncode for p in running], [0, 0], rollout + experiment)
        self.assertNotIn("\033", rollout + experiment)
        self.assertIn("(new setting): The worker ", rollout)
        self.assertRegex(rollout, r"rolled back from 50 %: guard readable>0.98\*base fails: canary 0\.\d+, base 0\.\d+")
        self.assertEqual(rollout.rstrip().rsplit("4. Everybody writes as before", 1)[1].count("(old setting): The worker "), 6, rollout)
        self.assertRegex(experiment, r"\d+ targeting keys of all sides find a difference of 0\.\d+ with probability 0\.8")
        self.assertRegex(experiment, r"worse: the interval of readable excludes no difference")
        self.assertRegex(experiment, r"placebo: stopped\nnone: readable may be the same")
        for plotted in rollout, experiment:
            self.assertIn("●", plotted)

    def test_an_option_that_is_not_there(self):
        failed = start("demo-rollout", "--nonsense")
        self.assertIn("unknown option", failed.communicate(timeout=60)[0])
        self.assertEqual(failed.returncode, 2)


if __name__ == "__main__":
    result = unittest.main(verbosity=2, exit=False).result
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
