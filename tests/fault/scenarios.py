"""Faults with a plan: one scenario a test. Run all, or name some:  scenarios.py [ScenarioTest.test_name …]"""
import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import unittest

import lab as laboratory
from lab import Configd, Lab, Problem, Proxy, Worker


def compact(etcd):
    revision = int(etcd.gateway("kv/range", {"key": "eA=="})["header"]["revision"])
    etcd.gateway("kv/compaction", {"revision": str(revision), "physical": True})
    return revision


class ScenarioTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.__exit__, None, None, None)

    def daemon(self, name="configd-0", urls=None, extra=()):
        return Configd(self.lab, name, urls or [self.etcd.url], extra).start().wait_ready()

    def begin(self, workers=2):
        """One etcd, one configd, a deployment, workers on their first view."""
        self.etcd = self.lab.etcd()[0]
        self.configd = self.daemon()
        laboratory.set_value(self.configd.url, {"counter.w0": 1}, "first")
        laboratory.make_deployment(self.configd.url)
        self.workers = [Worker(self.lab, f"worker-{i}", [self.configd.url]).start() for i in range(workers)]
        laboratory.wait_converged(self.workers, self.configd.url)

    def value_at_workers(self, value):
        laboratory.wait_for(f"the workers on counter.w0={value}", lambda: all((w.last() or (0,) * 4)[3] == str(value) for w in self.workers))

    def test_cut_off_and_back_after_compaction(self):
        """What was deleted and written meanwhile, and compacted away, is there after the return."""
        self.etcd = self.lab.etcd()[0]
        proxy = Proxy(self.lab, self.etcd.ports[0][0])
        near = self.daemon("configd-near", [proxy.url])
        far = self.daemon("configd-far")
        laboratory.set_value(near.url, {"counter.w0": 1})
        laboratory.set_value(near.url, {"x": 1}, namespace="doomed")
        laboratory.make_deployment(near.url)
        self.workers = [Worker(self.lab, "worker-0", [near.url]).start()]
        laboratory.wait_converged(self.workers, near.url)
        proxy.cut()
        for n in range(2, 30):
            laboratory.set_value(far.url, {"counter.w0": n})
        far.call("DELETE", "/v1/config/doomed")
        compact(self.etcd)
        self.assertEqual(self.workers[0].last()[3], "1")  # cut off: stale, not wrong
        proxy.mend()
        self.value_at_workers(29)
        with self.assertRaises(Problem) as gone:
            laboratory.wait_for("near to have caught up", lambda: near.call("GET", "/v1/config/chat")["version"] == 29)
            near.call("GET", "/v1/config/doomed")
        self.assertEqual(gone.exception.status, 404)
        laboratory.assert_forward(self.workers[0])

    def test_stale_is_said(self):
        """With etcd gone reads go on, writes are refused at once and clearly, and the daemon says that it is stale."""
        self.begin(workers=1)
        self.etcd.kill()
        laboratory.wait_for("a stale daemon", lambda: self.configd.call("GET", "/readyz").get("status") == "stale")
        self.assertEqual(self.configd.call("GET", "/v1/config/chat")["document"]["counter"]["w0"], 1)
        with self.assertRaises(Problem) as refused:
            laboratory.set_value(self.configd.url, {"counter.w0": 2}, timeout=20)
        self.assertIn(refused.exception.status, (503, 504))
        self.assertTrue(refused.exception.body.get("hint"))
        self.etcd.start().wait_ready()
        laboratory.wait_for("a live daemon", lambda: self.configd.call("GET", "/readyz").get("status") == "ready")
        # The refused write may have been settled either way; what counts is that the next one holds.
        laboratory.wait_for("a write", lambda: laboratory.set_value(self.configd.url, {"counter.w0": 3}))
        self.value_at_workers(3)

    def test_a_b_a_while_away(self):
        """A worker that was away during A→B→A ends on the newest revision, not merely on equal values."""
        self.begin()
        away = self.workers[0]
        before = away.last()
        away.kill()
        laboratory.set_value(self.configd.url, {"counter.w0": 2})
        laboratory.set_value(self.configd.url, {"counter.w0": 1})
        away.start()
        laboratory.wait_for("the newer revision of the same values", lambda: away.last()[:2] > before[:2] and away.last()[3] == "1")
        laboratory.assert_forward(away)

    def test_thrown_between_replicas_while_one_lags(self):
        """A worker moved to a replica that lags waits for it; it never goes back."""
        self.etcd = self.lab.etcd()[0]
        proxy = Proxy(self.lab, self.etcd.ports[0][0])
        lagging, current = self.daemon("configd-lags", [proxy.url]), self.daemon("configd-current")
        laboratory.set_value(current.url, {"counter.w0": 1})
        laboratory.make_deployment(current.url)
        self.workers = [Worker(self.lab, "worker-0", [current.url, lagging.url]).start()]
        self.value_at_workers(1)
        for n in range(2, 8):
            proxy.cut()
            laboratory.set_value(current.url, {"counter.w0": n})
            self.value_at_workers(n)
            current.kill()
            laboratory.wait_for("the worker at the lagging replica", lambda: [w for w in laboratory.fleet(lagging.url)["workers"] if w["connected"]])
            self.assertEqual(self.workers[0].last()[3], str(n))
            proxy.mend()
            current.start().wait_ready()
            lagging.kill()
            laboratory.wait_for("the worker back", lambda: [w for w in laboratory.fleet(current.url)["workers"] if w["connected"]])
            lagging.start().wait_ready()
        laboratory.assert_forward(self.workers[0])

    def test_old_backup_restored_under_live_workers(self):
        """etcd restored from an old snapshot under running workers: the epoch rises, everyone takes the restored state, nobody goes back."""
        self.begin()
        snapshot = os.path.join(self.lab.dir, "snapshot.db")
        etcdctl = {**os.environ, "ETCDCTL_API": "3"}
        subprocess.run(["etcdctl", "--endpoints", self.etcd.url, "snapshot", "save", snapshot], check=True, env=etcdctl, capture_output=True)
        for n in range(2, 12):
            laboratory.set_value(self.configd.url, {"counter.w0": n})
        self.value_at_workers(11)
        self.etcd.kill()
        shutil.rmtree(self.etcd.data)
        client, peer = self.etcd.ports[0]
        subprocess.run(["etcdctl", "snapshot", "restore", snapshot, "--name", "m0", "--data-dir", self.etcd.data,
                        "--initial-cluster", f"m0=http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"],
                       check=True, env=etcdctl, capture_output=True)
        self.etcd.start().wait_ready()
        self.value_at_workers(1)
        for w in self.workers:
            laboratory.assert_forward(w)
            self.assertGreater(w.last()[0], w.views()[0][0], "the epoch did not rise")

    def test_own_backup_and_restore(self):
        """cfgctl backup and restore under live workers."""
        self.begin()
        backup = os.path.join(self.lab.dir, "backup.ndjson")
        environment = {**os.environ, "CONFIGD_SERVER": self.configd.url}
        subprocess.run([laboratory.CFGCTL, "backup", backup], check=True, env=environment, capture_output=True)
        for n in range(2, 8):
            laboratory.set_value(self.configd.url, {"counter.w0": n})
        self.value_at_workers(7)
        subprocess.run([laboratory.CFGCTL, "restore", backup], check=True, env=environment, capture_output=True, stdin=subprocess.DEVNULL)
        self.value_at_workers(1)
        for w in self.workers:
            laboratory.assert_forward(w)
        self.assertEqual(laboratory.set_value(self.configd.url, {"counter.w0": 50})["results"][0]["version"], 2)
        self.value_at_workers(50)
        # A file that was cut or changed is refused and changes nothing.
        with open(backup) as f:
            text = f.read()
        for broken in (text[: len(text) // 2], text.replace('"w0":1', '"w0":9', 1)):
            with open(backup, "w") as f:
                f.write(broken)
            done = subprocess.run([laboratory.CFGCTL, "restore", backup], env=environment, capture_output=True, stdin=subprocess.DEVNULL)
            self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.configd.call("GET", "/v1/config/chat")["document"]["counter"]["w0"], 50)

    def test_wiped_store_is_foreign(self):
        """An emptied store never replaces good: workers keep their view; a new store is foreign until an operator adopts it."""
        self.begin()
        old = self.configd.call("GET", "/v1/status")["store"]
        last = [w.last() for w in self.workers]
        self.etcd.kill()
        shutil.rmtree(self.etcd.data)
        self.etcd.start().wait_ready()
        laboratory.wait_for("a daemon that calls the store foreign", lambda: self.configd.call("GET", "/v1/status")["state"] == "foreign")
        with self.assertRaises(Problem):
            laboratory.set_value(self.configd.url, {"counter.w0": 2})
        self.assertEqual([w.last() for w in self.workers], last)
        self.configd.kill()
        self.configd.start().wait_ready()
        self.assertNotEqual(self.configd.call("GET", "/v1/status")["store"], old)
        laboratory.set_value(self.configd.url, {"counter.w0": 77})
        laboratory.make_deployment(self.configd.url)
        self.workers[0].kill()
        self.workers[0].start()
        laboratory.wait_for("a worker that says foreign", lambda: "foreign" in self.workers[0].output())
        self.assertEqual([w.last()[2:] for w in self.workers], [view[2:] for view in last])
        self.configd.call("PATCH", "/v1/deployments/blue", {"adopt_store": old}, {"Content-Type": "application/merge-patch+json"})
        self.value_at_workers(77)

    def test_worker_restarts_without_configd(self):
        """With configd and etcd gone, a restarted worker runs on its last good view; a broken cache is never taken for one."""
        self.begin(workers=1)
        worker = self.workers[0]
        last = worker.last()
        self.configd.kill()
        self.etcd.kill()
        worker.kill()
        worker.start()
        laboratory.wait_for("the cached view", lambda: len(worker.views()) > 1 and worker.last() == last)
        with open(worker.cache, "rb") as f:
            good = f.read()
        for broken in (b"", good[: len(good) // 2], good.replace(b"w0", b"w1", 1), os.urandom(len(good))):
            worker.kill()
            with open(worker.cache, "wb") as f:
                f.write(broken)
            seen = len(worker.views())
            log = len(worker.output())
            worker.start()
            laboratory.wait_for("a word about the broken cache", lambda: "saved view is ignored" in worker.output()[log:])
            self.assertEqual(len(worker.views()), seen, "a broken cache was taken for a view")
        self.etcd.start().wait_ready()
        self.configd.start().wait_ready()
        laboratory.set_value(self.configd.url, {"counter.w0": 5})
        self.value_at_workers(5)
        laboratory.assert_forward(worker)

    def test_full_disk_for_the_cache(self):
        """A cache that cannot be written costs a warning, nothing else, and leaves the older good file alone."""
        mount = os.path.join(self.lab.dir, "full")
        os.mkdir(mount)
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], capture_output=True).returncode != 0:
            self.skipTest("no right to mount a small tmpfs")
        self.addCleanup(subprocess.run, ["umount", "-l", mount])
        self.begin(workers=0)
        cache = os.path.join(mount, "w.view")
        worker = Worker(self.lab, "worker-0", [self.configd.url], extra_env={"CONFIGD_CACHE": cache}).start()
        self.workers = [worker]
        self.value_at_workers(1)
        laboratory.wait_for("a cache", lambda: os.path.getsize(cache) > 0)
        with open(os.path.join(mount, "filler"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 1024)
            except OSError:
                pass
        laboratory.set_value(self.configd.url, {"counter.w0": 2, "ballast": "x" * 20000})
        self.value_at_workers(2)
        laboratory.wait_for("a warning", lambda: "could not be saved" in worker.output())
        self.assertTrue(worker.alive())
        self.configd.kill()
        self.etcd.kill()
        worker.kill()
        os.remove(os.path.join(mount, "filler"))
        worker.start()
        laboratory.wait_for("a good view from the cache", lambda: len(worker.views()) > 2)

    def test_two_writers_race(self):
        """Writers with preconditions on one namespace through two replicas: every success is one version, the others are told 412."""
        self.begin(workers=1)
        other = self.daemon("configd-1")
        wins, losses = [], []

        def write(server, name):
            for n in range(40):
                version = call_version(server)
                try:
                    reply = laboratory.call(server, "PATCH", "/v1/config/chat", {"race": f"{name}-{n}"},
                                            {"Content-Type": "application/merge-patch+json", "If-Match": f'"{version}"'})[0]
                    wins.append((reply["results"][0]["version"], f"{name}-{n}"))
                except Problem as problem:
                    self.assertEqual(problem.status, 412)
                    losses.append(problem.body["detail"])

        def call_version(server):
            return laboratory.call(server, "GET", "/v1/config/chat")[0]["version"]

        threads = [threading.Thread(target=write, args=(s.url, n)) for s, n in ((self.configd, "a"), (other, "b"), (self.configd, "c"))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        versions = [v for v, _ in wins]
        self.assertEqual(len(set(versions)), len(versions), "two writers were told the same version")
        for version, value in wins:
            document = self.configd.call("GET", f"/v1/config/chat/versions/{version}")["document"]
            self.assertEqual(document["race"], value)
        self.assertTrue(losses, "no writer ever lost: this test raced nobody")

    def test_reply_cut_at_every_byte(self):
        """configd's connection to etcd is cut after each number of reply bytes during a write: done once, and never twice."""
        self.etcd = self.lab.etcd()[0]
        proxy = Proxy(self.lab, self.etcd.ports[0][0])
        configd = self.daemon("configd-0", [proxy.url])
        laboratory.set_value(configd.url, {"n": 0}, "start")
        acknowledged, cut = [], 0
        for size in [*range(0, 400, 7), *range(400, 1000, 41)]:
            proxy.limit(b"/v3/kv/txn", size, 2)  # also of what settles the first lost reply
            key, message = f"cut-{size}", f"cut-{size}"
            for _ in range(50):
                try:
                    reply = laboratory.set_value(configd.url, {"n": size + 1}, message, key, timeout=20)
                    acknowledged.append((message, reply["results"][0]["version"]))
                    break
                except Problem as problem:
                    self.assertGreaterEqual(problem.status, 500)
            else:
                self.fail(f"no definite answer with replies cut after {size} bytes")
            cut += size < 400 and proxy.limited[2] == 0
        self.assertGreater(cut, 50, "replies were not cut")
        versions = laboratory.history(configd.url)
        messages = [v["message"] for v in versions]
        for message, version in acknowledged:
            self.assertEqual(messages.count(message), 1, message)
            self.assertEqual(versions[version - 1]["message"], message)

    def test_reader_that_stops_reading(self):
        """A stream nobody drains is skipped ahead: the daemon's memory stays bounded and others are served at once."""
        # Freed memory waits in AddressSanitizer's quarantine: that must be full before the first look at what the daemon holds.
        self.lab.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
        self.begin(workers=1)
        sleepy = socket.socket()
        sleepy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleepy.connect(("127.0.0.1", self.configd.port))
        sleepy.sendall(b"GET /v1/deployments/blue/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")

        def rss():
            with open(f"/proc/{self.configd.child.pid}/smaps_rollup") as f:
                return next(int(line.split()[1]) for line in f if line.startswith("Anonymous:"))

        for n in range(60):
            laboratory.set_value(self.configd.url, {"ballast": os.urandom(50_000).hex(), "counter.w0": n})
        before = rss()
        for n in range(60, 180):
            laboratory.set_value(self.configd.url, {"ballast": os.urandom(50_000).hex(), "counter.w0": n})
        self.value_at_workers(179)
        grown = rss() - before
        # 120 changes of 100 KiB each were sent to nobody; queueing them would take 12 MiB.
        self.assertLess(grown, 6 * 1024, f"the daemon grew by {grown} KiB")
        received = b""
        sleepy.settimeout(10)
        newest = self.configd.call("GET", "/v1/deployments/blue/view")["revision"].encode()
        while newest not in received:
            chunk = sleepy.recv(1 << 20)
            self.assertTrue(chunk, "the slow reader was dropped instead of skipped ahead")
            received = received[-(1 << 20):] + chunk
        sleepy.close()

    def test_three_members_lose_their_leader(self):
        members = self.lab.etcd(3)
        self.etcd = members[0]
        configd = self.daemon("configd-0", [m.url for m in members])
        self.configd = configd
        laboratory.set_value(configd.url, {"counter.w0": 0})
        laboratory.make_deployment(configd.url)
        self.workers = [Worker(self.lab, "worker-0", [configd.url]).start()]
        for n in range(1, 4):
            leader = laboratory.wait_for("a leader", lambda: next((m for m in members if m.alive() and m.is_leader()), None))
            leader.kill()
            laboratory.wait_for("a write without the old leader", lambda n=n: self.try_set(n))
            self.value_at_workers(n)
            leader.start().wait_ready()
        laboratory.assert_forward(self.workers[0])

    def try_set(self, n):
        try:
            return laboratory.set_value(self.configd.url, {"counter.w0": n}, key=f"leader-{n}")
        except Problem as problem:
            self.assertGreaterEqual(problem.status, 500)
            return None

    def test_embedded_etcd_leaves_no_orphan(self):
        """kill −9 of configd takes its etcd along; the data is there at the next start; one directory has one owner."""
        directory = os.path.join(self.lab.dir, "embedded")
        args = [os.path.abspath(laboratory.CONFIGD), "--embedded-etcd", directory, "--listen", f"127.0.0.1:{laboratory.free_port()}"]
        daemon = laboratory.Process(self.lab, "embedded-configd", args)
        url = "http://" + args[-1]
        for n in range(1, 4):
            daemon.start()
            laboratory.wait_for("readiness", lambda: laboratory.call(url, "GET", "/readyz"))
            self.assertEqual(laboratory.set_value(url, {"n": n})["results"][0]["version"], n)
            second = subprocess.run([*args[:-1], f"127.0.0.1:{laboratory.free_port()}"], capture_output=True, text=True, timeout=30,
                                    env={**os.environ, **self.lab.environment})
            self.assertNotEqual(second.returncode, 0, "a second owner of the same directory was let in")
            self.assertIn(str(daemon.child.pid), second.stderr)
            daemon.kill()
            laboratory.wait_for("the orphan to go", lambda: not self.lab.survivors())

    def test_plain_etcdctl_can_read_the_store(self):
        """What lies in etcd is JSON under readable keys."""
        self.begin(workers=0)
        key = base64.b64encode(b"/configd/v1/live/config/chat").decode()
        kv = self.etcd.gateway("kv/range", {"key": key})["kvs"][0]
        head = json.loads(base64.b64decode(kv["value"]))
        self.assertEqual((head["version"], head["document"]), (1, {"counter": {"w0": 1}}))


def load_tests(loader, tests, pattern):
    return laboratory.part_of(tests)


if __name__ == "__main__":
    unittest.main(verbosity=2)
