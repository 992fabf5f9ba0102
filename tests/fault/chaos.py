"""Random kill −9 of etcd, configd and workers, in turn and together, under a steady stream of writes.

    chaos.py [--members 1|3] [--faults N] [--seed S]

Afterwards: no acknowledged write is missing, none is doubled, versions are contiguous, no worker ever went back, all converge to the same
digest, no process is left behind. Prints how many faults were injected; the seed repeats the schedule of faults.
"""
import argparse
import collections
import random
import signal
import sys
import threading
import time

import lab as laboratory
from lab import Configd, Lab, Problem, Worker


class Writer(threading.Thread):
    """Writes counter.wN = 1, 2, 3, … each with an idempotency key of its own, and tries each until it has a definite answer."""

    def __init__(self, index, servers):
        super().__init__(daemon=True)
        self.index, self.servers = index, servers
        self.acknowledged, self.retries, self.error = [], 0, None
        self.stopping = threading.Event()

    def run(self):
        try:
            n = 0
            while not self.stopping.is_set():
                n += 1
                self.write(n)
        except Exception as error:  # told by the main thread
            self.error = error

    def write(self, n):
        server = (self.index + n) % len(self.servers)
        key, deadline = f"chaos-{self.index}-{n}", time.monotonic() + 90
        while True:
            try:
                reply = laboratory.set_value(self.servers[server], {f"counter.w{self.index}": n}, f"w{self.index}-{n}", key, timeout=15)
                self.acknowledged.append((n, reply["results"][0]["version"]))
                return
            except Problem as problem:
                if problem.status < 500 and problem.status != 429:
                    raise
            except (OSError, laboratory.http.client.HTTPException):
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"write {key} had no definite answer in 90 s")
            self.retries += 1
            server = (server + 1) % len(self.servers)
            time.sleep(0.02)  # a server that refuses at once must not be asked ten thousand times


class Faults:
    """One fault at a time, or several together; each is undone before the next, after a random while."""

    def __init__(self, rng, etcd, configds, workers):
        self.rng, self.etcd, self.configds, self.workers = rng, etcd, configds, workers
        self.counts = collections.Counter()

    def pause(self, most):
        time.sleep(self.rng.uniform(0, most))

    def kill(self, victims, name, down=1.0):
        for v in victims:
            v.kill()
        self.counts[name] += 1
        self.pause(down)
        for v in victims:
            v.start()

    def freeze(self, victim, name):
        victim.signal(signal.SIGSTOP)
        self.counts[name] += 1
        self.pause(1.5)
        victim.signal(signal.SIGCONT)

    def leader(self):
        for e in self.etcd:
            try:
                if e.is_leader():
                    return e
            except (OSError, Problem, ValueError):
                continue
        return self.rng.choice(self.etcd)

    def one(self):
        rng = self.rng
        choice = rng.randrange(9)
        if choice == 0:
            self.kill([self.leader()], "etcd leader killed")
        elif choice == 1:
            self.kill(self.etcd, "all etcd killed")
        elif choice == 2:
            self.kill([rng.choice(self.configds)], "configd killed")
        elif choice == 3:
            self.kill(self.configds, "all configd killed")
        elif choice == 4:
            self.kill([rng.choice(self.workers)], "worker killed")
        elif choice == 5:
            self.kill(self.workers, "all workers killed")
        elif choice == 6:
            self.freeze(rng.choice(self.configds), "configd frozen")
        elif choice == 7:
            self.freeze(self.leader(), "etcd leader frozen")
        else:
            self.kill([*self.etcd, *self.configds, *self.workers], "everything killed")
        self.pause(0.6)


def check_writes(server, writers):
    versions = laboratory.history(server)
    numbers = [v["version"] for v in versions]
    assert numbers == list(range(1, len(numbers) + 1)), f"versions are not contiguous: {numbers[:5]}…{numbers[-5:]}"
    by_message = collections.defaultdict(list)
    for v in versions:
        by_message[v["message"]].append(v["version"])
    total = 0
    for w in writers:
        for n, version in w.acknowledged:
            got = by_message.get(f"w{w.index}-{n}", [])
            assert got, f"acknowledged write w{w.index}-{n} (version {version}) is missing"
            assert len(got) == 1, f"write w{w.index}-{n} was done {len(got)} times: versions {got}"
            assert got[0] == version, f"write w{w.index}-{n} was acknowledged as version {version} but is {got[0]}"
            total += 1
    return total, len(versions)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--faults", type=int, default=25)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    args = parser.parse_args()
    print(f"chaos: seed {args.seed}, {args.members} etcd member(s), {args.faults} faults", flush=True)
    with Lab() as lab:
        etcd = lab.etcd(args.members)
        configds = [Configd(lab, f"configd-{i}", [e.url for e in etcd]).start().wait_ready() for i in range(2)]
        servers = [c.url for c in configds]
        laboratory.set_value(servers[0], {"counter.w0": 0}, "first")
        laboratory.make_deployment(servers[0])
        workers = [Worker(lab, f"worker-{i}", servers[i % 2:] + servers[:i % 2]).start() for i in range(4)]
        laboratory.wait_for("the first views", lambda: all(w.last() for w in workers))
        writers = [Writer(i, servers) for i in range(3)]
        for w in writers:
            w.start()
        faults = Faults(random.Random(args.seed), etcd, configds, workers)
        for _ in range(args.faults):
            faults.one()
        for w in writers:
            w.stopping.set()
        for w in writers:
            w.join(120)
            assert not w.is_alive(), f"writer {w.index} is stuck"
            if w.error:
                raise w.error
        for c in configds:
            c.wait_ready()
        digest = laboratory.wait_converged(workers, servers[0])
        other = laboratory.wait_for("both replicas alike", lambda: configds[1].call("GET", "/v1/deployments/blue/view")["digest"] == digest)
        assert other
        total, versions = check_writes(servers[1], writers)
        for w in workers:
            laboratory.assert_forward(w)
    adopted = "lab closed: no process left"
    print("chaos: faults injected: %d (%s)" % (sum(faults.counts.values()), ", ".join(f"{n} × {k}" for k, n in sorted(faults.counts.items()))))
    print(f"chaos: {total} acknowledged writes all there once, {versions} versions, {sum(w.retries for w in writers)} retries; {adopted}")
    assert total > 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
