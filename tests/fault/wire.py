"""The wire between one configd and etcd, which understands what it carries: whole requests, and the reply to each.

A transaction that is about to be sent can be held, dropped, let through with its reply kept back, or let through. So a process is killed just
before, while, or after it writes what a test waits for, not about then."""
import base64
import contextlib
import http.client
import json
import socket
import threading
import time

import lab as laboratory


def puts(body):
    """{key: value} of a transaction's success branch."""
    with contextlib.suppress(ValueError, KeyError, AttributeError):
        found = {}
        for op in json.loads(body).get("success", []):
            put = op.get("requestPut") or op.get("request_put")
            if put:
                found[base64.b64decode(put["key"]).decode()] = base64.b64decode(put.get("value", "")).decode(errors="replace")
        return found
    return {}


class Gone(Exception):
    """The connection ends here."""


class Wire:
    """judge(wire, {key: value}) sees every transaction that writes: None lets it through, else what has sending, answering and answered (see
    rollout_attacks.Attack). sent({key: value}) is told just before it goes out."""

    def __init__(self, lab, etcd_url):
        self.target = int(etcd_url.rsplit(":", 1)[1])
        self.port, self.judge, self.sent = laboratory.free_port(), None, None
        self.open, self.flows = True, threading.Event()
        self.flows.set()
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
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        pair, reply = [near], {"verdict": None}
        with contextlib.suppress(OSError, Gone):
            if not self.open:
                raise Gone
            self.flows.wait()
            far = socket.create_connection(("127.0.0.1", self.target))
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair.append(far)
            with self.lock:
                self.pairs.add(tuple(pair))
            threading.Thread(target=self._answer, args=(pair, reply), daemon=True).start()
            rest = b""
            while True:
                request, rest = self._request(near, rest)
                self._send(far, request, reply)
        self._end(pair)

    @staticmethod
    def _request(near, rest):
        """One whole request (head and body), and what came after it."""
        def more(data):
            got = near.recv(65536)
            if not got:
                raise Gone
            return data + got

        while b"\r\n\r\n" not in rest:
            rest = more(rest)
        head = rest.index(b"\r\n\r\n") + 4
        length = next((int(line.split(b":")[1]) for line in rest[:head].split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(rest) < head + length:
            rest = more(rest)
        return rest[:head + length], rest[head + length:]

    def _send(self, far, request, reply):
        head, body = request.split(b"\r\n\r\n", 1)
        verdict, written = None, {}
        if self.judge and b"/kv/txn" in head.split(b"\r\n", 1)[0]:
            written = puts(body)
            verdict = self.judge(self, written) if written else None
        if verdict:
            if not verdict.sending(self):
                raise Gone
            reply["verdict"] = verdict
        self.flows.wait()
        if self.sent and written:
            self.sent(written)
        far.sendall(request)

    def _answer(self, pair, reply):
        near, far = pair
        with contextlib.suppress(OSError, Gone):
            while True:
                data = far.recv(65536)
                if not data:
                    raise Gone
                self.flows.wait()
                verdict, reply["verdict"] = reply["verdict"], None
                if verdict and not verdict.answering(self):
                    raise Gone
                near.sendall(data)
                if verdict:
                    verdict.answered(self)
        self._end(pair)

    def _end(self, pair):
        for s in pair:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        with self.lock:
            self.pairs.discard(tuple(pair))

    def cut(self, silently):
        """Nothing passes any more: connections end, or (silently) stay and say nothing."""
        if silently:
            self.flows.clear()
            return
        self.open = False
        with self.lock:
            pairs = list(self.pairs)
        for pair in pairs:
            self._end(pair)

    def mend(self):
        self.open = True
        self.flows.set()

    def close(self):
        self.judge = None
        self.cut(silently=False)
        self.flows.set()
        self.server.close()


class Eye(threading.Thread):
    """Follows keys in etcd itself: (monotonic seconds when it was heard, key, value or None), in order, none left out."""

    def __init__(self, etcd_url, prefixes):
        super().__init__(daemon=True)
        self.port, self.prefixes = int(etcd_url.rsplit(":", 1)[1]), prefixes
        self.events, self.at, self.stopping = [], 0, False
        self.changed = threading.Condition()

    def run(self):
        while not self.stopping:
            with contextlib.suppress(OSError, ValueError, KeyError, AttributeError):
                self._follow()
            time.sleep(0.02)

    def _follow(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        encode = lambda text: base64.b64encode(text.encode()).decode()  # noqa: E731
        first, last = min(self.prefixes), max(self.prefixes)
        request = {"key": encode(first), "range_end": encode(last + "\x7f"), "start_revision": str(self.at + 1)}
        connection.request("POST", "/v3/watch", json.dumps({"create_request": request}), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        for line in iter(reply.readline, b""):
            result = json.loads(line)["result"]
            self._take(result.get("events", []))
        connection.close()

    def _take(self, events):
        now = time.monotonic()
        with self.changed:
            for e in events:
                kv, gone = e["kv"], e.get("type") == "DELETE"
                key = base64.b64decode(kv["key"]).decode()
                self.at = max(self.at, int(kv["mod_revision"]))
                if any(key.startswith(p) for p in self.prefixes):
                    self.events.append((now, key, None if gone else base64.b64decode(kv.get("value", "")).decode()))
            self.changed.notify_all()

    def last(self, key):
        """The key's value as it was last heard; None: none."""
        with self.changed:
            return next((v for _, k, v in reversed(self.events) if k == key), None)

    def wait(self, what, condition, timeout=60.0):
        """The first true value of condition(events)."""
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                found = condition(self.events)
                if found:
                    return found
                if time.monotonic() >= end:
                    raise AssertionError(f"waited {timeout} s for {what}; last: {self.events[-1] if self.events else None}")
                self.changed.wait(0.2)
