"""What a request must not reach: other namespaces' deployments, the epoch, half a refusal, a daemon being taken apart."""
import hashlib
import json
import os
import signal
import tempfile

from daemon import Daemon, Spec, finish

CREATE = {"If-None-Match": "*"}
MERGE = {"Content-Type": "application/merge-patch+json"}


def deleted_deployments(spec):
    """Nobody who is confined to namespaces sees a deleted deployment's past, or brings it back."""
    def entry(name, **rest):
        return {"subject": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), **rest}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"tokens": [entry("root", role="admin"), entry("writer", role="writer", namespaces=["mine"]),
                              entry("reader", role="reader", namespaces=["mine"])]}, file)
        file.flush()
        with Daemon("--tokens", file.name, spec=spec) as d:
            root, writer, reader = ({"Authorization": f"Bearer {name}"} for name in ("root", "writer", "reader"))
            d.expect(201, "PUT", "/v1/config/theirs", {"key": "hidden"}, {**root, **CREATE})
            d.expect(201, "POST", "/v1/deployments", {"name": "blue", "config": "theirs", "pin": ["key"]}, root)
            d.expect(200, "DELETE", "/v1/deployments/blue", headers=root)
            back = [{"object": "deployment/blue", "rollback_to": 1}]
            d.expect(403, "POST", "/v1/changes", back, writer, code="forbidden", says="blue is deleted")
            d.expect(403, "GET", "/v1/deployments/blue/versions", headers=reader, code="forbidden")
            d.expect(403, "GET", "/v1/deployments/blue/versions/1", headers=reader, code="forbidden")
            d.expect(404, "GET", "/v1/deployments/green", headers=reader, code="not_found")
            d.expect(200, "POST", "/v1/changes", back, root)
    return d.failures


def epoch(d):
    """A revision in a link moves nothing; with its store's name it shows that the store went back."""
    before = d.ask("GET", "/v1/status").json
    number, revision = (int(n) for n in before["revision"].split("-"))
    target = f"/v1/config?min_revision={number}-{revision + 1000000}"
    d.expect(504, "GET", target, code="timeout")
    d.expect(504, "GET", target, headers={"Configd-Store": "0123"}, code="timeout")
    now = d.ask("GET", "/v1/status").json["revision"]
    if now.split("-")[0] != str(number):
        d.failures.append(f"a link has raised the epoch: {before['revision']} → {now}")
    raised = d.expect(200, "GET", target, headers={"Configd-Store": before["store"]}).json
    if raised["revision"].split("-")[0] != str(number + 1):
        d.failures.append(f"a token of this very store has not raised the epoch: {raised}")


def large_results(d):
    """A reply too large for the record of its Idempotency-Key is no reason to say no and write all the same."""
    d.expect(201, "PUT", "/v1/config/wide", {"big": "a" * 100000}, CREATE)
    d.expect(201, "POST", "/v1/deployments", {"name": "wide-blue", "config": "wide", "pin": ["big"]})
    once = {**MERGE, "Idempotency-Key": "wide-1"}
    first = d.expect(200, "PATCH", "/v1/config/wide", {"big": "b"}, once).json["results"][0]
    again = d.expect(200, "PATCH", "/v1/config/wide", {"big": "b"}, once).json["results"][0]
    if len(first["kept"]) != 1 or first["version"] != 2 or again["version"] != 2 or again["unchanged"]:
        d.failures.append(f"repeated: {str(again)[:400]}")


def stopping(spec, target, status):
    """A request that waits for an etcd that hangs, and another one that comes while configd stops."""
    with Daemon(spec=spec) as d, d.connect(20) as idle, d.connect(20) as waiting:
        def ask(s, path):
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        ask(idle, "/healthz")
        idle.recv(65536)
        with open(f"/proc/{d.process.pid}/task/{d.process.pid}/children", encoding="ascii") as f:
            children = [int(pid) for pid in f.read().split()]
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        ask(waiting, "/v1/status")
        d.expect(200, "GET", "/healthz")  # sent later, so the one before it has been taken up
        d.process.send_signal(signal.SIGTERM)
        while True:  # until it stops
            ask(idle, "/readyz")
            if b"stopping" in idle.recv(65536):
                break
        ask(idle, target)
        got = idle.recv(65536).decode()
        if f"HTTP/1.1 {status} " not in got:
            d.failures.append(f"while stopping, {target}: {got[:300]!r}")
    return d.failures


def main():
    spec = Spec()
    failures = deleted_deployments(spec)
    failures += stopping(spec, "/v1/watch", 503) + stopping(spec, "/v1/deployments/none/stream", 503)
    with Daemon(spec=spec) as d:
        epoch(d)
        large_results(d)
    finish("trust", failures + d.failures, 5)


if __name__ == "__main__":
    main()
