"""Bad input over HTTP: each gets a clear problem with the right status and code, and changes nothing."""
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from daemon import Daemon, Spec, finish

MERGE = {"Content-Type": "application/merge-patch+json"}
PATCH = {"Content-Type": "application/json-patch+json"}
JSON = {"Content-Type": "application/json"}
CREATE = {"If-None-Match": "*"}
checks = 0


def refused(d, status, code, method, target, body=None, headers=None, raw=None, says=None):
    global checks
    checks += 1
    before = d.ask("GET", "/v1/status").json["revision"]
    d.expect(status, method, target, body, headers, raw, code, says)
    if (after := d.ask("GET", "/v1/status").json["revision"]) != before:
        d.failures.append(f"{method} {target} changed something: {before} → {after}")


def documents(d):
    put = ("PUT", "/v1/config/new")
    deep = lambda n: (b'{"a":' * n + b"1" + b"}" * n)
    refused(d, 400, "bad_json", *put, raw=b'{"a":1,\n  "a":2}', headers=CREATE, says="line 2 column 3")
    refused(d, 400, "bad_json", *put, raw=b'{"a":"\xff"}', headers=CREATE, says="line 1 column")
    refused(d, 400, "bad_json", *put, raw=b'{"a":"\\ud800"}', headers=CREATE, says="line 1 column")
    refused(d, 400, "bad_json", *put, raw=b'{"a":9007199254740992}', headers=CREATE, says="line 1 column")
    refused(d, 400, "bad_json", *put, raw=b'{"a":NaN}', headers=CREATE)
    refused(d, 400, "bad_json", *put, raw=b'{"a":1} x', headers=CREATE)
    refused(d, 400, "bad_json", *put, raw=b"", headers={**CREATE, **JSON})
    refused(d, 413, "too_large", *put, raw=deep(65), headers=CREATE, says="deeper than 64")
    d.expect(200, "POST", "/v1/changes?dry_run=true", None, JSON, b'[{"object":"config/new","put":' + deep(64) + b"}]")
    refused(d, 413, "too_large", *put, raw=deep(1000), headers=CREATE, says="nested")
    refused(d, 413, "too_large", *put, raw=json.dumps({"a": "x" * (512 * 1024)}).encode(), headers=CREATE)
    refused(d, 422, "bad_value", *put, raw=b"[1]", headers=CREATE)
    refused(d, 422, "bad_value", *put, raw=b'{"a.b":1}', headers=CREATE)
    refused(d, 413, "too_large", *put, raw=b" " * (2 * 1024 * 1024 + 1), headers=CREATE)
    refused(d, 415, "unsupported_media_type", *put, raw=b"{}", headers={**CREATE, "Content-Type": "text/plain"})
    refused(d, 415, "unsupported_media_type", "PATCH", "/v1/config/chat", raw=b"{}", headers={"Content-Type": "application/xml"})
    refused(d, 400, "invalid_argument", "PATCH", "/v1/config/chat?dry_run=maybe", {}, MERGE)
    refused(d, 400, "invalid_argument", "PATCH", "/v1/config/chat?dry-run=true", {"x": 1}, MERGE, says="dry-run")
    refused(d, 415, "unsupported_media_type", "PATCH", "/v1/config/chat", {"x": 1}, {**MERGE, "Content-Encoding": "gzip"})
    refused(d, 400, "invalid_argument", "PATCH", "/v1/config/chat?message=%FF", {"x": 1}, MERGE)
    refused(d, 413, "too_large", "PATCH", "/v1/config/chat?message=" + "m" * 4097, {"x": 1}, MERGE)


def names(d):
    refused(d, 400, "bad_address", "GET", "/v1/config/Chat")
    refused(d, 400, "bad_address", "GET", "/v1/config/-chat")
    refused(d, 400, "bad_address", "GET", "/v1/config/" + "c" * 64)
    refused(d, 400, "bad_address", "GET", "/v1/flags/experiment/a%5Bb")
    refused(d, 404, "not_found", "GET", "/v1/config/chta", says="did you mean chat")
    refused(d, 404, "not_found", "GET", "/v1/config/chat/versions/99")
    refused(d, 404, "not_found", "GET", "/v1/deployments/nobody")
    refused(d, 404, "unknown_key", "POST", "/v1/changes",
            [{"namespace": "chat", "set": [{"name": "sampling.temperatur", "mode": "delete"}]}], says="sampling.temperature")
    refused(d, 400, "bad_address", "POST", "/v1/changes", [{"object": "config", "put": {}}])
    d.spec, spec = None, d.spec  # not in the description, by their nature
    refused(d, 404, "not_found", "GET", "/v1/confg/chat", says="did you mean /v1/config/chat")
    refused(d, 405, "method_not_allowed", "POST", "/v1/config/chat", {}, says="GET, HEAD, PUT, PATCH, DELETE")
    refused(d, 400, "bad_address", "GET", "/v1/config/%00")
    d.spec = spec


def conflicts(d):
    refused(d, 428, "precondition_required", "PUT", "/v1/config/chat", {}, says="If-Match: ")
    refused(d, 412, "precondition_failed", "PUT", "/v1/config/chat", {}, {"If-Match": '"1"'}, says="version 1.*2|2.*version 1")
    refused(d, 412, "precondition_failed", "PATCH", "/v1/config/chat", {"a": 1}, {"If-Match": '"99"', **MERGE})
    refused(d, 400, "invalid_argument", "PATCH", "/v1/config/chat", {"a": 1}, {"If-Match": "2", **MERGE}, says="ETag")
    refused(d, 422, "patch_failed", "PATCH", "/v1/config/chat",
            [{"op": "add", "path": "/ok", "value": 1}, {"op": "test", "path": "/sampling/temperature", "value": 9}], PATCH)
    refused(d, 422, "type_change", "POST", "/v1/changes",
            [{"namespace": "chat", "set": [{"name": "sampling.temperature", "value": "hot"}]}], says="sampling.temperature")
    refused(d, 409, "exists", "POST", "/v1/changes",
            [{"namespace": "chat", "set": [{"name": "sampling.temperature", "mode": "add", "value": 1}]}])
    refused(d, 409, "pinned", "PATCH", "/v1/deployments/chat-blue", {"pin": {"distributed": {"tp": 8}}}, MERGE)
    refused(d, 409, "pinned", "PATCH", "/v1/deployments/chat-blue", {"config": "other"}, MERGE)
    refused(d, 404, "not_found", "POST", "/v1/config/chat/rollback", {"to": 77})
    # Several objects, one bad: none is written.
    refused(d, 412, "precondition_failed", "POST", "/v1/changes",
            [{"object": "config/fresh", "put": {"a": 1}}, {"object": "config/chat", "if_version": 1, "patch": {"a": 1}}])
    d.expect(404, "GET", "/v1/config/fresh", code="not_found")
    refused(d, 413, "too_large", "POST", "/v1/changes", [{"object": f"config/n{i}", "put": {"a": 1}} for i in range(61)])


def web_pages(d):
    host = f"127.0.0.1:{d.port}"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"https://{host}"):
        refused(d, 403, "cross_origin", "PATCH", "/v1/config/chat", {"a": 1}, {"Origin": origin, **MERGE})
    refused(d, 403, "cross_origin", "GET", "/v1/config/chat", headers={"Host": "evil.example"})
    d.expect(200, "PATCH", "/v1/config/chat", {"own": 1}, {"Origin": f"http://{host}", **MERGE})
    r = d.ask("OPTIONS", "/v1/config/chat", headers={"Origin": f"http://{host}", "Access-Control-Request-Method": "PUT"})
    if any(h.startswith("Access-Control") for h in r.headers):
        d.failures.append(f"OPTIONS grants: {r.headers}")


def says(d, got, status, code):
    global checks
    checks += 1
    head, _, body = got.partition(b"\r\n\r\n")
    if not head.startswith(f"HTTP/1.1 {status} ".encode()) or json.loads(body)["code"] != code:
        d.failures.append(f"{status} {code} expected, got {got[:500]!r}")


def wire(d):
    says(d, d.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40000 + b"\r\n\r\n"), 431, "headers_too_large")
    says(d, d.raw(b"rubbish\r\n\r\n"), 400, "invalid_argument")
    says(d, d.raw(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"), 400, "invalid_argument")
    with d.connect(30) as s:  # a byte a second: neither silent nor ever done
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        s.settimeout(1)
        got, started = b"", time.monotonic()
        while time.monotonic() - started < 25:
            try:
                s.sendall(b"x")
                chunk = s.recv(4096)
                got += chunk
                if not chunk:
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        says(d, got, 408, "request_timeout")


def half_closed(d):
    """A client that has closed its sending half still gets the whole answer."""
    global checks
    checks += 1
    d.expect(201, "PUT", "/v1/config/big", {"text": "x" * 400000}, CREATE)
    for path in ("/v1/config/big", "/v1/backup"):
        with d.connect() as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            s.shutdown(socket.SHUT_WR)
            got = b""
            while chunk := s.recv(65536):
                got += chunk
        if not got.endswith(b"}" if path.endswith("big") else b"0\r\n\r\n") or len(got) < 400000:
            d.failures.append(f"{path}: {len(got)} bytes, ends {got[-40:]!r}")
    old = d.raw(b"GET /v1/backup HTTP/1.0\r\nHost: localhost\r\n\r\n")
    if b'{"end":true' not in old[-200:]:
        d.failures.append(f"a backup over HTTP/1.0 ends {old[-200:]!r}")
    head = d.ask("HEAD", "/v1/watch")
    if head.status != 200 or head.headers["Content-Type"] != "text/event-stream" or head.body:
        d.failures.append(f"HEAD of a stream: {head!r}")


def crowd(d):
    """10,000 connections that send nothing; everybody else is served."""
    global checks
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(10000, hard - 200)
    silent = []
    for i in range(n):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", d.port))
        silent.append(s)
        if i % 1000 == 999:
            d.expect(200, "GET", "/v1/config/chat")
            d.expect(200, "PATCH", "/v1/config/chat", {"crowd": i}, MERGE)
            checks += 2
    print(f"crowd: {n} silent connections")
    for s in silent:
        s.close()
    d.expect(200, "GET", "/healthz")


def few_descriptors(spec):
    """More silent connections than configd may have descriptors."""
    global checks
    with Daemon(spec=spec, preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))) as d:
        d.expect(201, "PUT", "/v1/config/chat", {}, CREATE)
        silent = [socket.create_connection(("127.0.0.1", d.port)) for _ in range(600)]
        with d.connect(5) as first:  # half of the time that silence is given: nobody waits for that to end
            first.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            if not first.recv(64).startswith(b"HTTP/1.1 200"):
                d.failures.append("no answer while descriptors run out")
        for i in range(20):
            d.expect(200, "PATCH", "/v1/config/chat", {"n": i}, MERGE)
            checks += 1
        for s in silent:
            s.close()
    return d.failures


def certificate(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", os.path.join(directory, "key.pem"), "-out", os.path.join(directory, "cert.pem")],
                   check=True, capture_output=True)


def write_tokens(path, *tokens):
    rows = [{"subject": s, "sha256": hashlib.sha256(t.encode()).hexdigest(), **more} for s, t, more in tokens]
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"tokens": rows}, f)


def bearer(token, **more):
    return {"Authorization": f"Bearer {token}", **more}


def tokens(spec):
    """TLS and tokens: who may do what; SIGHUP brings new ones, and keeps the old when the new are bad."""
    directory = tempfile.mkdtemp(prefix="cfg-tls-")
    file = os.path.join(directory, "tokens.json")
    table = [("alice", "ta", {"role": "admin"}), ("wendy", "tw", {"role": "writer", "namespaces": ["chat", "train-*"]}),
             ("rita", "tr", {"role": "reader", "namespaces": ["chat"]}), ("blue", "tb", {"role": "worker", "deployment": "chat-blue"})]
    certificate(directory)
    write_tokens(file, *table)
    options = ["--tls-cert", f"{directory}/cert.pem", "--tls-key", f"{directory}/key.pem", "--tokens", file]
    with Daemon(*options, spec=spec, tls=directory) as d:
        d.expect(200, "GET", "/healthz")
        d.expect(401, "GET", "/v1/config", code="unauthorized")
        d.expect(401, "GET", "/v1/config", headers=bearer("wrong"), code="unauthorized")
        d.expect(201, "PUT", "/v1/config/chat", {"distributed": {"tp": 4}}, bearer("tw", **CREATE, **{"Configd-User": "root"}))
        r = d.expect(200, "GET", "/v1/config/chat", headers=bearer("tr"))
        if r.json["author"] != "wendy":
            d.failures.append(f"the author is the token's subject, not {r.json['author']}")
        d.expect(201, "PUT", "/v1/config/train-llama", {"lr": 0.1}, bearer("tw", **CREATE))
        d.expect(403, "PUT", "/v1/config/other", {}, bearer("tw", **CREATE), code="forbidden")
        d.expect(403, "POST", "/v1/changes", [{"object": "config/other", "put": {}}], bearer("tw"), code="forbidden")
        d.expect(403, "PATCH", "/v1/config/chat", {"a": 1}, bearer("tr", **MERGE), code="forbidden")
        d.expect(403, "GET", "/v1/config/train-llama", headers=bearer("tr"), code="forbidden")
        items = d.expect(200, "GET", "/v1/config", headers=bearer("tr")).json["items"]
        if [i["namespace"] for i in items] != ["chat"]:
            d.failures.append(f"a reader of chat lists {items}")
        d.expect(403, "GET", "/v1/watch", headers=bearer("tr"), code="forbidden")
        d.expect(403, "GET", "/v1/backup", headers=bearer("tw"), code="forbidden")
        d.expect(201, "POST", "/v1/deployments", {"name": "chat-blue", "config": "chat", "pin": ["distributed"]}, bearer("tw"))
        d.expect(403, "POST", "/v1/deployments", {"name": "x", "config": "other"}, bearer("tw"), code="forbidden")
        d.expect(201, "POST", "/v1/deployments", {"name": "train-1", "config": "train-llama"}, bearer("ta"))
        worker = {"worker": "w0", "incarnation": "00" * 16, "contract": {}}
        d.expect(200, "POST", "/v1/deployments/chat-blue/workers", worker, bearer("tb"))
        d.expect(200, "GET", "/v1/deployments/chat-blue/view", headers=bearer("tb"))
        d.expect(403, "POST", "/v1/deployments/train-1/workers", worker, bearer("tb"), code="forbidden")
        d.expect(403, "GET", "/v1/deployments/train-1/view", headers=bearer("tb"), code="forbidden")
        d.expect(403, "GET", "/v1/config/chat", headers=bearer("tb"), code="forbidden")
        reload(d, file, table)
    shutil.rmtree(directory)
    return d.failures


def wait_log(d, text):
    for _ in range(200):
        with open(os.path.join(d.dir, "log"), encoding="utf-8") as f:
            if text in f.read():
                return
        time.sleep(0.05)
    d.failures.append(f"the log never said {text!r}")


def reload(d, file, table):
    with open(file, "w", encoding="utf-8") as f:
        f.write('{"tokens":[{"subject":1}]}')
    d.process.send_signal(signal.SIGHUP)
    wait_log(d, "kept the old tokens")
    d.expect(200, "GET", "/v1/config", headers=bearer("ta"))
    write_tokens(file, table[0], ("nina", "tn", {"role": "reader"}))
    d.process.send_signal(signal.SIGHUP)
    wait_log(d, "reloaded: 2 tokens")
    d.expect(200, "GET", "/v1/config", headers=bearer("tn"))
    d.expect(401, "GET", "/v1/config", headers=bearer("tw"), code="unauthorized")


def refuses_to_start():
    """What configd does not start with: exit code 2, the reason, and what to do."""
    from daemon import CONFIGD
    failures = []
    for args, text in [(["--listen", "0.0.0.0:0"], "--tls-cert FILE --tls-key FILE --tokens FILE"),
                       (["--lisen", "x"], "did you mean --listen"), (["--listen", "nonsense"], "not an address"),
                       (["--heartbeat-s", "0"], "is no number from 1"), (["--log-level", "loud"], "is none of"),
                       (["--tls-cert", "x"], "belong together"), (["--prefix", "/x"], "end with a slash")]:
        done = subprocess.run([CONFIGD, *args], capture_output=True, text=True, timeout=20, env={"HOME": "/nonexistent", "PATH": os.environ["PATH"]})
        if done.returncode != 2 or text not in done.stderr:
            failures.append(f"{args}: exit {done.returncode}: {done.stderr}")
    return failures


def shutdown(spec):
    """SIGTERM: streams are told, a request that is open is answered, exit code 0."""
    with Daemon(spec=spec) as d:
        d.expect(201, "PUT", "/v1/config/chat", {"a": 1}, CREATE)
        d.expect(201, "POST", "/v1/deployments", {"name": "chat-blue", "config": "chat"})
        got = []
        with d.connect(20) as s:
            s.sendall(b"GET /v1/deployments/chat-blue/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while b"event: view" not in b"".join(got):
                got.append(s.recv(65536))
            d.process.send_signal(signal.SIGTERM)
            reader = threading.Thread(target=lambda: [got.append(c) for c in iter(lambda: s.recv(65536), b"")])
            reader.start()
            reader.join(10)
        text = b"".join(got).decode()
        if "event: bye" not in text or '"reason":"shutdown"' not in text:
            d.failures.append(f"no bye at shutdown: {text[-300:]}")
    return d.failures


def main():
    spec = Spec()
    failures = refuses_to_start() + shutdown(spec) + tokens(spec) + few_descriptors(spec)
    with Daemon(spec=spec) as d:
        d.expect(201, "PUT", "/v1/config/chat", {"sampling": {"temperature": 0.7}, "distributed": {"tp": 4}}, CREATE)
        d.expect(200, "PATCH", "/v1/config/chat", {"sampling": {"top_k": 40}}, MERGE)
        d.expect(201, "POST", "/v1/deployments", {"name": "chat-blue", "config": "chat", "pin": ["distributed"]})
        for part in (documents, names, conflicts, web_pages, half_closed, wire, crowd):
            part(d)
    finish("bad input", failures + d.failures, checks)


if __name__ == "__main__":
    main()
