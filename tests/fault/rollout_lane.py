"""Two configd on one etcd, each behind a wire that understands what it carries, with workers of one deployment whose rollouts are attacked.

The wall clocks of both configd are the test's (libfaketime, which leaves the monotonic clock alone): a file each, read at every look."""
import base64
import contextlib
import json
import os
import threading
import time
import uuid

import lab as laboratory
import rollout_story as tale
import wire as wires

FLEET = os.path.abspath(os.path.join(laboratory.BUILD, "worker", "cfg-fleet", "cfg-fleet"))
LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
ROOT = "/configd/v1/live/"
ROLLOUT, DEPLOYMENT, LOCK = ROOT + "rollout/blue", ROOT + "deployment/blue", ROOT + "lock/rollouts"
GUARDS = ["error_rate<20%", "quality>0.5", "quality finite"]
DAY_S = 86400
# The window in which nothing may step, and the start of rollouts that wait, as the offset of the test's clock from the machine's.
WINDOW_S, IN_WINDOW_S, PAST_WINDOW_S, START_S = (6 * 3600, 10 * 3600), 8 * 3600, 11 * 3600, 14 * 3600


class Clock:
    """What one process takes for the time: the machine's, and an offset that may change at any moment."""

    def __init__(self, lab, name):
        self.path = os.path.join(lab.dir, name + ".clock")
        self.set(0)
        if not os.path.exists(LIBRARY):
            raise AssertionError(f"{LIBRARY} is missing: scripts/setup --tests installs it (Debian: faketime)")
        self.env = {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                    "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "FAKETIME_DISABLE_SHM": "1",
                    "ASAN_OPTIONS": ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))}

    def set(self, offset_s):
        self.offset_s = offset_s
        with open(self.path + ".new", "w") as f:
            f.write(f"{offset_s:+d}\n")
        os.replace(self.path + ".new", self.path)


class Replica(laboratory.Configd):
    def __init__(self, lab, name, etcd_url):
        self.clock, self.wire = Clock(lab, name), wires.Wire(lab, etcd_url)
        super().__init__(lab, name, [self.wire.url])
        self.env.update(self.clock.env)
        self.wire.name = name
        self.front = laboratory.Proxy(lab, self.port)  # between its workers and it


class Lane:
    def __init__(self, lab):
        self.lab, self.serial = lab, 0
        self.etcd = lab.etcd()[0]
        self.replicas = [Replica(lab, f"c{i}", self.etcd.url) for i in range(2)]
        self.eye = wires.Eye(self.etcd.url, (ROLLOUT, DEPLOYMENT, LOCK))
        self.eye.start()
        for r in self.replicas:
            r.start()
        for r in self.replicas:
            r.wait_ready()
        url = self.replicas[0].url
        laboratory.set_value(url, self.parameters(), namespace="blue")
        off = {"variants": {"on": True, "off": False}, "defaultVariant": "off", "state": "ENABLED"}
        laboratory.call(url, "PUT", "/v1/flags/blue/broken", {"definition": off}, {"If-None-Match": "*"})
        laboratory.call(url, "POST", "/v1/deployments", {"name": "blue", "config": "blue", "track": "hold", "flags": ["blue"]})
        fronts = [r.front.url for r in self.replicas]
        self.fleets = [self.fleet(i, ",".join(fronts[i:] + fronts[:i])) for i in range(2)]
        self.workers = [laboratory.Worker(lab, f"w{i}", fronts[i % 2:] + fronts[:i % 2], "blue").start() for i in range(3)]
        laboratory.wait_for("all workers", lambda: all(self.all_there(r) for r in self.replicas), 60)

    def parameters(self, reject=False, errors=False):
        self.serial += 1
        return {"plant.errors": 0.9 if errors else 0.0, "plant.reject": reject, "counter.w0": self.serial}

    def fleet(self, index, servers):
        args = [FLEET, "--server", servers, "--workers", "5", "--prefix", f"f{index}", "--deployment", "blue", "--quiet", "--step-ms", "25~10%",
                "--param", "plant.errors=0.0", "--param", "plant.reject=false", "--flag", "blue/broken=off", "--reject-if", "plant.reject",
                "--metric", "error_rate=0.005 + (plant.errors if ${blue/broken} else 0) ~ coin", "--metric", "quality=0.8 ~ 0.1"]
        return laboratory.Process(self.lab, f"fleet{index}", args).start()

    def all_there(self, replica):
        whole = replica.call("GET", "/v1/deployments/blue/fleet")
        arm = next((a for a in whole["arms"] if a["arm"] == "base"), {})
        return whole["workers"] == 13 and not whole["partial"] and "quality" in arm.get("metrics", {})

    # --- etcd and who drives ---

    def holder(self):
        """The replica that holds the lock now, asked of etcd; None: nobody."""
        key = base64.b64encode(LOCK.encode()).decode()
        with contextlib.suppress(OSError, KeyError, IndexError, laboratory.Problem):
            kv = self.etcd.gateway("kv/range", {"key": key})["kvs"][0]
            name = json.loads(base64.b64decode(kv["value"]))["holder"]
            return next(r for r in self.replicas if r.name == name)
        return None

    def other(self, replica):
        return next(r for r in self.replicas if r is not replica)

    def versions(self, run=None):
        return tale.versions_of(self.eye.events, ROLLOUT, run)

    def phase(self):
        """Of the newest version that was heard of."""
        value = self.eye.last(ROLLOUT)
        return json.loads(value)["state"]["phase"] if value else None

    def wait_phase(self, *phases, timeout=60.0):
        self.eye.wait(" or ".join(phases), lambda _: self.phase() in phases, timeout)

    # --- people ---

    def living(self):
        return next(r for r in self.replicas if r.alive() and not getattr(r, "stopped", False))

    def say(self, word, replica=None, timeout=60.0):
        """An input, tried until there is a definite answer, as a careful person does: first at `replica`, then at whichever answers.

        (why, acknowledged): a refusal (the rollout is somewhere else by now) is an answer, too."""
        why, end, first = f"{word} {uuid.uuid4().hex[:8]}", time.monotonic() + timeout, replica
        while time.monotonic() < end:
            with contextlib.suppress(OSError, StopIteration, laboratory.http.client.HTTPException):
                try:
                    target = first or self.living()
                    target.call("POST", f"/v1/rollouts/blue/{word}", {"why": why}, {"Idempotency-Key": why}, timeout=5)
                    return why, True
                except laboratory.Problem as p:
                    if p.status == 409 and p.code == "conflict":
                        return why, False
                    if p.status < 500 and p.status not in (409, 412, 429):
                        raise
            first = None
            time.sleep(0.1)
        raise AssertionError(f"nobody answered {word} for {timeout} s")

    def flag(self, on):
        """All arms see it; what it does, it does to the release that has errors planted."""
        def tried():
            laboratory.call(self.living().url, "PATCH", "/v1/flags/blue/broken", {"definition": {"defaultVariant": "on" if on else "off"}},
                            {"Content-Type": "application/merge-patch+json"})
            return True
        laboratory.wait_for("the flag", tried)

    def set_clocks(self, offset_s):
        for r in self.replicas:
            r.clock.set(offset_s)

    def each_worker(self, signal_number):
        for p in (*self.fleets, *self.workers):
            p.signal(signal_number)


class InBackground(threading.Thread):
    """A call that may take long; result() gives what it gave, or raises."""

    def __init__(self, fn, *args):
        super().__init__(daemon=True)
        self.fn, self.args, self.value, self.error = fn, args, None, None
        self.start()

    def run(self):
        try:
            self.value = self.fn(*self.args)
        except Exception as error:  # told by whoever asks for the result
            self.error = error

    def result(self, timeout=90.0):
        self.join(timeout)
        assert not self.is_alive(), f"{self.fn.__name__} {self.args} has not returned"
        if self.error:
            raise self.error
        return self.value
