"""Real Python processes as ranks of one job: they change at the same step, and form again when one of them has been killed."""
import os
import sys
import unittest

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))
import lab as laboratory  # noqa: E402

WORLD, CHANGES = 3, 12
MERGE = {"Content-Type": "application/merge-patch+json"}


class Rank(laboratory.Process):
    def __init__(self, lab, rank, group, server, first=0):
        super().__init__(lab, f"rank-{rank}", [sys.executable, "-B", os.path.join(SOURCE, "tests", "e2e", "python_rank.py"), str(rank), str(WORLD), str(first)], {
            "GROUP": group, "CONFIGD_SERVER": server, "PYTHONPATH": os.path.join(SOURCE, "client", "python"),
            "CONFIGD_LIB": os.path.abspath(os.path.join(laboratory.BUILD, "worker"))})

    def lines(self, word):
        return [line.split(" ", 1)[1] for line in self.output().splitlines() if line.startswith(word + " ")]


class PythonRanks(unittest.TestCase):
    def setUp(self):
        self.lab = laboratory.Lab()
        self.lab.__enter__()
        self.addCleanup(lambda: self.lab.__exit__(*sys.exc_info()))
        self.configd = laboratory.Configd(self.lab, "configd", [self.lab.etcd()[0].url]).start().wait_ready()
        self.configd.call("PUT", "/v1/config/train", {"optimizer": {"lr": 0.25}, "log": {"every": 5}}, {"If-None-Match": "*"})
        self.configd.call("POST", "/v1/deployments", {"name": "job", "config": "train"})
        self.group = f"tcp:127.0.0.1:{laboratory.free_port()}"
        self.ranks = [Rank(self.lab, i, self.group, self.configd.url).start() for i in range(WORLD)]

    def change(self, lr):
        return self.configd.call("PATCH", "/v1/config/train", {"optimizer": {"lr": lr}}, MERGE)["revision"]

    def end(self):
        """All leave their loops at the same step."""
        self.configd.call("PATCH", "/v1/config/train", {"stop": True}, MERGE)
        self.assertEqual([r.child.wait(20) for r in self.ranks], [0] * WORLD, self.ranks[0].output())
        self.assertEqual(len({tuple(r.lines("done")) for r in self.ranks}), 1)

    def until(self, what, ready):
        return laboratory.wait_while_alive(self.ranks, what, ready)

    def same_views(self):
        views = [r.lines("view") for r in self.ranks]
        self.assertEqual(views, [views[0]] * WORLD)
        revisions = [tuple(map(int, line.split()[1].split("-"))) for line in views[0]]
        self.assertEqual(revisions, sorted(set(revisions)), "it never falls")
        return views[0]

    def test_they_change_at_the_same_step(self):
        self.until("the first view", lambda: all(r.lines("view") for r in self.ranks))
        for i in range(CHANGES):
            self.change(i / 16)
        last = self.change(3.5)
        self.until("the last change", lambda: all(r.lines("view")[-1].split()[1:3] == [last, "3.5"] for r in self.ranks))
        self.end()
        self.assertGreater(len(self.same_views()), 1)

    def test_a_killed_rank_is_named_and_they_form_again(self):
        self.until("the first view", lambda: all(r.lines("view") for r in self.ranks))
        self.ranks[2].kill()
        survivors = self.ranks[:2]
        laboratory.wait_for("both to say so", lambda: all(r.lines("ended") for r in survivors))
        for r in survivors:
            self.assertIn("rank 2", r.lines("ended")[0])
        back = Rank(self.lab, 2, self.group, self.configd.url, 1000000).start()
        self.ranks[2] = back
        want = self.change(2.5)
        self.until("all three to have it", lambda: all(r.lines("view")[-1].split()[1:3] == [want, "2.5"] for r in self.ranks))
        at = {tuple(r.lines("view")[-1].split()[:2]) for r in self.ranks}
        self.assertEqual(len(at), 1, f"the same step: {at}")
        self.assertGreaterEqual(int(at.pop()[0]), 1000000)
        self.end()


if __name__ == "__main__":
    unittest.main()
