"""A laboratory of real processes: etcd members, configd replicas, workers, and a proxy that can cut the wire.

Everything is started in a temporary folder on free ports of the loopback interface, waited for by what it prints or answers, and
gone when the laboratory closes: `Lab.close` fails if a process is left.
"""
import base64
import contextlib
import http.client
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import uuid

BUILD = os.environ.get("CFG_BUILD_DIR", "build/asan")
SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
CONFIGD = os.path.join(BUILD, "configd", "configd")
CFGCTL = os.path.join(BUILD, "client", "cfgctl", "cfgctl")
WORKER = os.path.join(BUILD, "tests", "fault", "fault_worker")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, timeout=30.0):
    """The first true value of condition(); its last exception or falsehood is told when time runs out."""
    end, last = time.monotonic() + timeout, None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, http.client.HTTPException, Problem, ValueError, KeyError) as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout} s for {what}; last: {last!r}")


def wait_while_alive(processes, what, condition):
    """wait_for, which fails at once when one of the processes has ended."""
    def check():
        for p in processes:
            assert p.alive(), f"{p.name} has ended:\n{p.output()}"
        return condition()
    return wait_for(what, check)


def part_of(tests):
    """Every N-th of a module's tests, from the I-th on, as CFG_PART=I/N says: parts run side by side, and none is forgotten."""
    def flat(suite):
        for t in suite:
            yield from flat(t) if isinstance(t, unittest.TestSuite) else (t,)

    part, parts = map(int, os.environ.get("CFG_PART", "1/1").split("/"))
    return unittest.TestSuite(list(flat(tests))[part - 1::parts])


class Problem(Exception):
    """An error reply: status and the problem document."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body.get('code')}: {body.get('detail')}")
        self.status, self.body, self.code = status, body, body.get("code")


def call(url, method, path, body=None, headers=None, timeout=10.0):
    """One request to one server; (reply JSON, headers) or Problem. OSError when nobody answers."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if raw is not None else {}
        sent.update(headers or {})
        connection.request(method, path, raw, sent)
        reply = connection.getresponse()
        data = reply.read()
        parsed = json.loads(data) if data and "json" in reply.headers.get("Content-Type", "") else data
        if reply.status >= 400:
            raise Problem(reply.status, parsed if isinstance(parsed, dict) else {"detail": repr(data[:200])})
        return parsed, reply.headers
    finally:
        connection.close()


class Process:
    """A child whose output goes to a file; kill −9, stop and continue; restarted with the same arguments."""

    def __init__(self, lab, name, args, env=None):
        self.lab, self.name, self.args = lab, name, args
        self.env = {**os.environ, **lab.environment, **(env or {})}
        self.log = os.path.join(lab.dir, name + ".log")
        self.child = None
        lab.processes.append(self)

    def start(self):
        assert self.child is None, f"{self.name} runs already"
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env, cwd=self.lab.dir)
        return self

    def signal(self, number):
        if self.child:
            self.child.send_signal(number)

    def kill(self):
        """kill −9, reaped."""
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None

    def stop(self, timeout=20.0):
        """SIGTERM, reaped; the exit status."""
        if not self.child:
            return None
        self.child.send_signal(signal.SIGCONT)
        self.child.terminate()
        try:
            status = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {timeout} s of SIGTERM") from None
        self.child = None
        return status

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()


class Etcd(Process):
    """One member, alone or of a cluster of n; keeps its data across kills."""

    def __init__(self, lab, index=0, ports=None):
        self.ports = ports or [(free_port(), free_port())]
        client, peer = self.ports[index]
        self.url = f"http://127.0.0.1:{client}"
        self.data = os.path.join(lab.dir, f"etcd-{index}.data")
        cluster = ",".join(f"m{i}=http://127.0.0.1:{p}" for i, (_, p) in enumerate(self.ports))
        super().__init__(lab, f"etcd-{index}", [
            lab.etcd_binary, "--name", f"m{index}", "--data-dir", self.data, "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", cluster,
            "--heartbeat-interval", "50", "--election-timeout", "500", "--logger", "zap"])

    def gateway(self, path, body, timeout=5.0):
        return call(self.url, "POST", "/v3/" + path, body, timeout=timeout)[0]

    def wait_ready(self):
        wait_for(f"{self.name} to serve", lambda: self.gateway("kv/range", {"key": base64.b64encode(b"x").decode()}))
        return self

    def is_leader(self):
        status = self.gateway("maintenance/status", {}, timeout=1.0)
        return status.get("leader") == status["header"]["member_id"]


class Configd(Process):
    def __init__(self, lab, name, etcd_urls, extra=()):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(lab, name, [os.path.abspath(CONFIGD), "--etcd", ",".join(etcd_urls), "--listen", f"127.0.0.1:{self.port}",
                                     "--replica-id", name, *extra])

    def call(self, method, path, body=None, headers=None, timeout=10.0):
        return call(self.url, method, path, body, headers, timeout)[0]

    def wait_ready(self):
        wait_for(f"{self.name} to be ready", lambda: self.call("GET", "/readyz"))
        return self


class Worker(Process):
    """fault_worker: appends one line per adopted view to its journal, which survives every kill."""

    def __init__(self, lab, name, servers, deployment="blue", extra_env=None):
        self.journal = os.path.join(lab.dir, name + ".journal")
        self.cache = os.path.join(lab.dir, name + ".view")
        super().__init__(lab, name, [os.path.abspath(WORKER), self.journal], {
            "CONFIGD_SERVER": ",".join(servers), "CONFIGD_DEPLOYMENT": deployment, "CONFIGD_WORKER": name,
            "CONFIGD_CACHE": self.cache, **(extra_env or {})})

    def views(self):
        """[(epoch, revision, digest, value), …] in the order of adoption, over all incarnations."""
        try:
            with open(self.journal) as f:
                rows = [line.split() for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [(*map(int, row[1].split("-")), row[2], row[3]) for row in rows if row[0] == "view"]

    def last(self):
        views = self.views()
        return views[-1] if views else None


class Proxy:
    """TCP in front of one port. cut(): no connection lives or begins; limit(…): connections end in the middle of replies."""

    def __init__(self, lab, target_port):
        self.target, self.port = target_port, free_port()
        self.open, self.limited = True, (b"", 0, 0)
        self.pairs, self.lock = set(), threading.Lock()
        self.server = socket.create_server(("127.0.0.1", self.port))
        self.url = f"http://127.0.0.1:{self.port}"
        lab.proxies.append(self)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            if not self.open:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            with self.lock:
                self.pairs.add((near, far))
            threading.Thread(target=self._pump, args=(near, far), daemon=True).start()

    def limit(self, of, size, times):
        """The next so many requests that hold `of` are answered by no more than `size` bytes, then their connection ends."""
        with self.lock:
            self.limited = (of, size, times)

    def _limit_of(self, request):
        """Bytes that may answer it; None: all."""
        with self.lock:
            of, size, times = self.limited
            if times == 0 or of not in request:
                return None
            self.limited = (of, size, times - 1)
            return size

    def _pump(self, near, far):
        selector, left = selectors.DefaultSelector(), None
        with contextlib.suppress(OSError, ValueError):
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)
                    if not data:
                        raise OSError
                    if key.fileobj is near:
                        left = self._limit_of(data)
                    elif left is not None:
                        data = data[:left]
                        left -= len(data)
                    key.data.sendall(data)
                    if key.fileobj is far and left == 0:
                        raise OSError
        for s in (near, far):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        with self.lock:
            self.pairs.discard((near, far))

    def cut(self):
        self.open = False
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            for s in pair:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def mend(self):
        self.open = True

    def close(self):
        self.cut()
        self.server.close()


class Lab:
    """with Lab() as lab: …; everything started in it is stopped at its end."""

    def __init__(self, etcd_binary=None):
        self.dir = tempfile.mkdtemp(prefix="configd-lab.")
        self.etcd_binary = etcd_binary or os.environ.get("CFG_ETCD_BINARY", "etcd")
        self.environment = {"CONFIGD_TOKEN": "", "ETCD_UNSUPPORTED_ARCH": "", "CONFIGD_LAB": self.dir}
        for name in ("CONFIGD_SERVER", "CONFIGD_CACHE", "CONFIGD_SOURCE", "CONFIGD_SET"):
            os.environ.pop(name, None)
        self.processes, self.proxies = [], []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        failed = kind is not None
        try:
            self.close()
        finally:
            if failed:
                for p in self.processes:
                    print(f"--- {p.name}: last lines of {p.log}\n" + "\n".join(p.output().splitlines()[-15:]) if os.path.exists(p.log) else "")
            shutil.rmtree(self.dir, ignore_errors=True)

    def close(self):
        for kind in (Worker, Configd, Etcd, Process):
            for p in self.processes:
                if isinstance(p, kind) and p.child:
                    p.signal(signal.SIGCONT)
                    p.kill() if isinstance(p, Etcd) else p.stop()
        for proxy in self.proxies:
            proxy.close()
        left = self.survivors()
        assert not left, f"processes left behind: {left}"

    def survivors(self):
        """Processes whose environment names this laboratory, whoever started them."""
        mark, found = f"CONFIGD_LAB={self.dir}".encode(), []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as f:
                    environment = f.read().split(b"\0")
                with open(f"/proc/{pid}/stat") as f:
                    state = f.read().rsplit(")", 1)[1].split()[0]
                if mark in environment and state != "Z":
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        found.append((int(pid), f.read().replace(b"\0", b" ").decode()))
        return found

    def etcd(self, members=1):
        ports = [(free_port(), free_port()) for _ in range(members)]
        started = [Etcd(self, i, ports).start() for i in range(members)]
        for e in started:
            e.wait_ready()
        return started


def set_value(server, assignments, message="", key=None, namespace="chat", timeout=10.0):
    """One POST /v1/changes that sets parameters; the reply. key: its idempotency key."""
    items = [{"name": name, "mode": "set", "value": value} for name, value in assignments.items()]
    return call(server, "POST", "/v1/changes?message=" + urllib.parse.quote(message), [{"namespace": namespace, "set": items}],
                {"Idempotency-Key": key or uuid.uuid4().hex}, timeout)[0]


def history(server, kind="config", name="chat"):
    """Every version, oldest first."""
    items, before = [], None
    while True:
        page = call(server, "GET", f"/v1/{kind}/{name}/versions?limit=200" + (f"&before={before}" if before else ""))[0]
        items += page["items"]
        before = page.get("next")
        if not before:
            return items[::-1]


def fleet(server, deployment="blue"):
    return call(server, "GET", f"/v1/deployments/{deployment}/workers")[0]


def make_deployment(server, name="blue", config="chat", **more):
    return call(server, "POST", "/v1/deployments", {"name": name, "config": config, "pin": [], "flags": [], "track": "head", **more})[0]


def assert_forward(worker):
    """Guarantee 4: a worker never goes back in (epoch, revision)."""
    views = worker.views()
    for before, after in zip(views, views[1:]):
        assert after[:2] >= before[:2], f"{worker.name} went back from {before} to {after}"


def wait_converged(workers, server, deployment="blue", timeout=60.0):
    """All workers on the view that configd would give now; its digest."""

    def same():
        digest = call(server, "GET", f"/v1/deployments/{deployment}/view")[0]["digest"]
        return digest if all((w.last() or (0, 0, ""))[2] == digest for w in workers) else None

    return wait_for("all workers on the same, newest view", same, timeout)
