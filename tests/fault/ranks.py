"""A rank group under attack: real ranks, half of them at each of two real configds over a real etcd, stepping all the while.

What is judged are the ranks' own journals: at every step all ranks of the group ran the same revision, and it never fell.
    ranks.py [--faults N] [--seed N] [--storm SECONDS] [--outage SECONDS] [RankTest.test_name …]
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import lab as laboratory
from lab import Configd, Lab, Problem, Process, Proxy

RANK = os.path.join(laboratory.BUILD, "tests", "fault", "fault_rank")
DEADLINE_MS = 1000  # of a round; a rank made late by SIGUSR1 comes 500 ms behind it
OPTIONS = argparse.Namespace(faults=4, seed=1, outage=1.0, storm=1.0)


class Rank(Process):
    def __init__(self, lab, rank, world, group, server, env=None):
        self.rank, self.journal = rank, os.path.join(lab.dir, f"rank-{rank}.journal")
        self.cache = os.path.join(lab.dir, f"rank-{rank}.view")
        super().__init__(lab, f"rank-{rank}", [os.path.abspath(RANK), lab.dir, str(rank)], {
            "CONFIGD_SERVER": server, "CONFIGD_DEPLOYMENT": "blue", "CONFIGD_WORKER": f"w{rank}", "CONFIGD_CACHE": self.cache,
            "CONFIGD_GROUP": group, "CONFIGD_GROUP_ID": "g", "CONFIGD_RANK": str(rank), "CONFIGD_WORLD": str(world),
            "CONFIGD_GROUP_DEADLINE_MS": str(DEADLINE_MS), "CONFIGD_GROUP_JOIN_MS": "20000", **(env or {})})

    def leave(self):
        """SIGTERM; one that waits for the others hears of it only then."""
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(2.0)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def steps(self):
        """{step: ((epoch, revision), value)}; a step is begun once, and the steps of a journal rise."""
        try:
            with open(self.journal) as f:
                rows = [line.split() for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return {}
        steps = [int(row[1]) for row in rows]
        assert all(a < b for a, b in zip(steps, steps[1:])), f"{self.name} went back in steps"
        return {int(row[1]): (tuple(map(int, row[2].split("-"))), int(row[3])) for row in rows}

    def last(self):
        """(step, value) of the newest whole line. Asked again and again while others work: it reads no more than the end."""
        try:
            with open(self.journal, "rb") as f:
                f.seek(max(0, os.fstat(f.fileno()).st_size - 400))
                row = f.read().rpartition(b"\n")[0].rpartition(b"\n")[2].split()
        except FileNotFoundError:
            row = []
        return (int(row[1]), int(row[3])) if row else (0, None)


class RankTest(unittest.TestCase):
    world = 4

    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.__exit__, None, None, None)
        self.addCleanup(lambda: [p.kill() for p in self.lab.processes if isinstance(p, Rank)])
        self.etcd = self.lab.etcd()[0]
        self.daemons = [Configd(self.lab, f"configd-{i}", [self.etcd.url]).start() for i in range(2)]
        for d in self.daemons:
            d.wait_ready()
        self.value = 0
        self.write()
        laboratory.make_deployment(self.daemons[0].url)

    def write(self, at=0, timeout=10.0):
        laboratory.set_value(self.daemons[at].url, {"counter.w0": self.value + 1}, timeout=timeout)
        self.value += 1

    def start(self, group="configd", env=None, servers=None):
        """env: by rank; servers: by rank, else half at each configd."""
        self.launch(group, env, servers)
        self.wait_for_value()

    def launch(self, group, env=None, servers=None):
        self.ranks = [Rank(self.lab, i, self.world, group, (servers or {}).get(i) or self.daemons[i % 2].url, (env or {}).get(i))
                      for i in range(self.world)]
        for r in self.ranks:
            r.start()

    def wait_for_value(self, timeout=15.0):
        """All ranks run steps on the newest value."""
        laboratory.wait_for(f"all ranks on {self.value}", lambda: all(r.last()[1] == self.value for r in self.ranks), timeout)

    def wait_for_steps(self, n=20, ranks=None):
        ranks = ranks or self.ranks
        before = [r.last()[0] for r in ranks]
        laboratory.wait_for("steps", lambda: all(r.last()[0] >= b + n for r, b in zip(ranks, before)), 15.0)

    def judge(self):
        ran, at = {}, {}
        for r in self.ranks:
            last = (0, 0)
            for step, (revision, value) in r.steps().items():
                self.assertGreaterEqual(revision, last, f"rank {r.rank} fell at step {step}")
                last = revision
                self.assertEqual(ran.setdefault(step, (revision, value)), (revision, value),
                                 f"step {step}: rank {r.rank} ran {revision}, rank {at.get(step)} ran {ran[step]}")
                at[step] = r.rank
        revisions = [ran[step][0] for step in sorted(ran)]
        self.assertEqual(revisions, sorted(revisions), "the group fell")
        return len(ran)

    def said(self, text):
        return [r.rank for r in self.ranks if text in r.output()]

    def test_killed_stopped_and_slowed_at_random(self):
        """Faults at random instants under constant writes; each time all ranks come together again."""
        self.start()
        draw, stop = random.Random(OPTIONS.seed), threading.Event()

        def write_on():
            while not stop.wait(0.01):
                try:
                    self.write(at=self.value % 2)
                except (Problem, OSError):
                    pass

        writer = threading.Thread(target=write_on)
        writer.start()
        try:
            for n in range(OPTIONS.faults):
                victim = self.ranks[draw.randrange(self.world)]
                fault = ("kill", "stop", "slow", "leave")[n % 4]
                time.sleep(draw.uniform(0.05, 0.4))
                if fault in ("kill", "leave"):
                    victim.kill() if fault == "kill" else victim.leave()
                    time.sleep(draw.uniform(0, 0.2))
                    victim.start()
                elif fault == "stop":
                    victim.signal(signal.SIGSTOP)
                    time.sleep(DEADLINE_MS / 1000 * 1.2)
                    victim.signal(signal.SIGCONT)
                else:
                    victim.signal(signal.SIGUSR1)
                    survivors = [r for r in self.ranks if r is not victim]
                    laboratory.wait_for("the late rank to be named",
                                        lambda: any(f"rank {victim.rank}" in r.output() for r in survivors) or victim.rank == 0)
                self.wait_for_steps()
        finally:
            stop.set()
            writer.join()
        self.wait_for_value()
        self.assertGreater(self.judge(), 20 * OPTIONS.faults)

    def test_dies_at_a_point_of_the_protocol(self):
        """While it prepares; between the decision and its step; a rank 0 that has answered one rank and not the others."""
        self.start(env={1: {"FAULT": "prepare:2"}, 2: {"FAULT": "commit:3"}, 0: {"FAULT": "send:901", "FAULT_PACE_US": "0"}})
        for victim in (1, 2):
            self.write()
            laboratory.wait_for(f"rank {victim} to die", lambda v=self.ranks[victim]: not v.alive())
            self.revive(victim)
            self.wait_for_value()
        for n in range(400):
            if not self.ranks[0].alive():
                break
            self.write()
        laboratory.wait_for("rank 0 to die", lambda: not self.ranks[0].alive())
        self.revive(0)
        self.write()
        self.wait_for_value()
        self.judge()

    def revive(self, rank):
        """Started again without its fault."""
        self.ranks[rank].kill()
        self.ranks[rank].env.pop("FAULT", None)
        self.ranks[rank].start()

    def test_everything_away_and_an_older_cache(self):
        """configd and etcd gone: steps go on, a rank may die and come back, even with the cache of an older view."""
        self.start(group=f"tcp:127.0.0.1:{laboratory.free_port()}")
        old = self.ranks[2].cache + ".old"
        laboratory.wait_for("a cache", lambda: os.path.exists(self.ranks[2].cache))
        shutil.copy(self.ranks[2].cache, old)
        self.write()
        self.wait_for_value()
        for p in (*self.daemons, self.etcd):
            p.kill()
        end = time.monotonic() + OPTIONS.outage
        self.wait_for_steps()
        self.ranks[2].kill()
        shutil.copy(old, self.ranks[2].cache)
        self.ranks[2].start()
        self.wait_for_steps()
        while time.monotonic() < end:
            self.wait_for_steps()
        self.etcd.start().wait_ready()
        for d in self.daemons:
            d.start()
        for d in self.daemons:
            d.wait_ready()
        self.write()
        self.wait_for_value()
        self.judge()

    def test_a_rank_that_hears_nothing_and_one_that_is_wrong(self):
        """Cut off from configd, a rank holds the candidate up until it can fetch it; a corrupted digest drops one revision only."""
        proxy = Proxy(self.lab, self.daemons[1].port)
        self.start(servers={3: proxy.url}, env={1: {"FAULT": "corrupt:1"}})
        self.write()  # dropped by all, or, where this very candidate was replaced by a newer one, the newer one
        laboratory.wait_for("the digest to be missed", lambda: self.said("hold different views under this revision"))
        self.write()
        self.wait_for_value()
        proxy.cut()
        self.write()
        before = self.value
        self.wait_for_steps(100)
        self.assertTrue(all(r.last()[1] < before for r in self.ranks), "a rank ran what another could not have")
        for _ in range(20):
            self.write()
        proxy.mend()
        self.wait_for_value()
        self.judge()

    def test_a_storm_of_writes(self):
        """As many writes in a second as the store takes, through both configds, while ranks step."""
        self.start()
        lock, end = threading.Lock(), time.monotonic() + OPTIONS.storm
        written = [self.value]

        def write_on(at):
            while time.monotonic() < end:
                with lock:
                    written[0] += 1
                    value = written[0]
                laboratory.set_value(self.daemons[at].url, {"counter.w0": value})

        threads = [threading.Thread(target=write_on, args=(i % 2,)) for i in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        print(f"storm: {written[0] - self.value} writes in {OPTIONS.storm} s", flush=True)
        self.value = written[0]
        self.write()
        self.wait_for_value(60.0)
        self.wait_for_steps()
        self.judge()
        # Each configd has half of the group, and both know where it meets.
        def told():
            groups = [d.call("GET", "/v1/deployments/blue/groups/g") for d in self.daemons]
            return groups if all(g["incarnation"] for g in groups) else None

        groups = laboratory.wait_for("reports of a formed group", told)
        self.assertEqual(groups[0]["root"]["worker"], "w0")
        self.assertEqual(groups[0]["root"], groups[1]["root"])
        self.assertEqual(groups[0]["incarnation"], groups[1]["incarnation"])
        self.assertEqual([[r["rank"] for r in g["ranks"]] for g in groups], [[0, 2], [1, 3]])
        self.assertTrue(all(g["partial"] and g["world"] == self.world for g in groups))

    def test_ranks_that_do_not_belong_are_told_why(self):
        """A wrong world size, another declaration, a barrier parameter without a group: an error, and no step is harmed."""
        self.world = 2
        group = f"tcp:127.0.0.1:{laboratory.free_port()}"
        self.start(group=group)
        wrong = Rank(self.lab, 1, 3, group, self.daemons[0].url, {"CONFIGD_WORKER": "stranger"})
        wrong.name, wrong.log = "stranger", os.path.join(self.lab.dir, "stranger.log")
        alone = Rank(self.lab, 1, 2, "", self.daemons[0].url, {"CONFIGD_WORKER": "alone"})
        alone.log = os.path.join(self.lab.dir, "alone.log")
        outside = Rank(self.lab, 2, 2, group, self.daemons[0].url, {"CONFIGD_WORKER": "outside"})
        outside.log = os.path.join(self.lab.dir, "outside.log")
        for r in (alone, outside, wrong):
            r.start()
        laboratory.wait_for("the barrier to be refused", lambda: "counter.w0: a barrier parameter on one of 2 ranks needs a rank group" in alone.output())
        laboratory.wait_for("rank 2 of 2 to be refused", lambda: "CONFIGD_RANK=2 is no rank of a world of CONFIGD_WORLD=2" in outside.output())
        self.wait_for_steps()
        self.ranks[1].kill()  # the group forms anew: only now does rank 0 look at who has come
        laboratory.wait_for("the wrong world to be refused", lambda: "rank 1 of a world of 3, this group is a world of 2" in wrong.output())
        wrong.kill()
        self.ranks[1].env["FAULT_MOST"] = "1000000"
        self.ranks[1].start()
        laboratory.wait_for("the difference to be named", lambda: "counter.w0 (max): rank 0 has" in self.ranks[0].output()
                            and "rank 1 has 1000000" in self.ranks[0].output())
        self.judge()

    def test_a_pin_that_differs_on_one_rank(self):
        """A deployment is made anew with another pin while its ranks run: who boots into that joins nobody that booted before."""
        url, group = self.daemons[0].url, f"tcp:127.0.0.1:{laboratory.free_port()}"
        self.world = 2
        laboratory.set_value(url, {"tp": 4})
        laboratory.make_deployment(url, "pinned", pin=["tp"])
        self.start(group, env={i: {"CONFIGD_DEPLOYMENT": "pinned"} for i in range(2)})
        self.daemons[0].call("DELETE", "/v1/deployments/pinned?force=true")
        laboratory.set_value(url, {"tp": 8})
        laboratory.make_deployment(url, "pinned", pin=["tp"])
        self.wait_for_steps()

        def boot(*ranks):
            for r in ranks:
                r.kill()
                if os.path.exists(r.cache):
                    os.remove(r.cache)
            for r in ranks:
                r.start()

        boot(self.ranks[1])
        laboratory.wait_for("the pins to be compared", lambda: "tp: rank 0 has 4; rank 1 has 8" in self.ranks[0].output())
        ahead = self.ranks[0].last()[0] - self.ranks[1].last()[0]
        self.assertIn(ahead, (0, 1), "one rank went on alone")  # 1: killed before it could write down the last step they took together
        boot(*self.ranks)
        self.wait_for_steps()
        self.judge()

    def test_a_batch_that_does_not_divide(self):
        """The schema's invariant refuses the write; what one rank cannot prepare, none runs, and the steps go on."""
        url = self.daemons[0].url
        schema = {"x-invariants": [{"expr": f"global_batch % {self.world} == 0", "message": "ranks share the batch evenly"}]}
        self.daemons[0].call("PUT", "/v1/schemas/chat", schema, {"If-None-Match": "*"})
        self.value = self.world
        laboratory.set_value(url, {"counter.w0": self.value, "global_batch": self.value})
        self.start(env={2: {"FAULT": f"divide:{self.world}"}})
        with self.assertRaises(Problem) as refused:
            laboratory.set_value(url, {"global_batch": 6})
        self.assertEqual(refused.exception.code, "schema")
        self.assertIn("share the batch evenly", str(refused.exception.body))
        before = self.value
        laboratory.set_value(url, {"counter.w0": before + 1})  # which no invariant speaks of
        laboratory.wait_for("the rank that cannot", lambda: self.said(f"a batch of {before + 1} does not divide by {self.world}"))
        self.wait_for_steps(50)
        self.assertEqual({r.last()[1] for r in self.ranks}, {before}, "a batch that does not divide was run")
        self.value = before + self.world
        laboratory.set_value(url, {"counter.w0": self.value})
        self.wait_for_value()
        self.judge()


def load_tests(loader, tests, pattern):
    return laboratory.part_of(tests)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=OPTIONS.faults)
    parser.add_argument("--seed", type=int, default=OPTIONS.seed)
    parser.add_argument("--storm", type=float, default=OPTIONS.storm)
    parser.add_argument("--outage", type=float, default=OPTIONS.outage)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(verbosity=2, argv=[sys.argv[0], *rest])
