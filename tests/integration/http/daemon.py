"""A configd with an etcd of its own, and requests to it whose replies are held against proto/openapi.yaml."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.parse

try:
    import jsonschema
    import yaml
except ImportError:
    print("SKIP: no python venv (scripts/setup --tests makes build/venv)")
    sys.exit(77)

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
BUILD = os.environ.get("CFG_BUILD_DIR", os.path.join(SOURCE, "build", "dev"))
CONFIGD = os.path.join(BUILD, "configd", "configd")


class Spec:
    """proto/openapi.yaml: finds operations and checks replies."""

    def __init__(self):
        with open(os.path.join(SOURCE, "proto", "openapi.yaml"), encoding="utf-8") as f:
            self.document = yaml.safe_load(f)
        self.used = set()  # (operationId, status)

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def operation(self, method, path):
        """The operation of a real path: literal segments win over parameters."""
        best = None
        for template, item in self.document["paths"].items():
            pattern = re.sub(r"\{[^}]*\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method.lower() in item:
                if best is None or template.count("{") < best[0].count("{"):
                    best = (template, item[method.lower()])
        return best[1] if best else None

    def schema_errors(self, schema, value):
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "components": self.document["components"]}
        validator = jsonschema.Draft202012Validator(whole)
        return [f"{'/'.join(str(p) for p in e.absolute_path)}: {e.message}" for e in validator.iter_errors(value)]

    def check(self, method, path, status, headers, body):
        """What is wrong with a reply; [] when it is as described."""
        operation = self.operation(method, path)
        if operation is None:
            return [f"{method} {path} is not described"]
        self.used.add((operation["operationId"], status))
        described = operation["responses"].get(str(status), operation["responses"].get("default"))
        if described is None:
            return [f"status {status} is not described"]
        described = self.resolve(described)
        content = described.get("content")
        if not content:
            return [f"a body where none is described: {body[:80]!r}"] if body else []
        kind = headers.get("Content-Type", "").split(";")[0]
        if kind not in content:
            return [f"content type {kind!r} is not one of {list(content)}"]
        wrong = [f"header {name} is missing" for name in described.get("headers", {}) if name not in headers and name != "Configd-Visible"]
        if kind == "application/json" or kind.endswith("+json"):
            wrong += self.schema_errors(content[kind]["schema"], json.loads(body))
        return wrong


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class Daemon:
    """`with Daemon() as d:`; extra are further options of configd, tls a directory with cert.pem and key.pem."""

    def __init__(self, *extra, spec=None, tls=None, preexec=None):
        self.extra, self.spec, self.tls, self.preexec = extra, spec, tls, preexec
        self.failures = []

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="cfg-http-")
        env = {k: v for k, v in os.environ.items() if not k.startswith("CONFIGD_")}
        self.log = open(os.path.join(self.dir, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [CONFIGD, "--embedded-etcd", os.path.join(self.dir, "etcd"), "--listen", "127.0.0.1:0", *self.extra],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env=env, preexec_fn=self.preexec)
        self.lines = []
        while not (self.lines and self.lines[-1].startswith("ready:")):
            line = self.process.stdout.readline()
            if not line:
                self.log.seek(0)
                raise RuntimeError(f"configd ended: {self.lines} {self.log.read()}")
            self.lines.append(line)
        self.port = int(re.search(r"listening on https?://127\.0\.0\.1:(\d+)", self.lines[0]).group(1))
        self.started_at = re.search(r"revision (\d+-\d+)", self.lines[-1]).group(1)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process.stdout.close()
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        if code != 0 or "runtime error" in text or "ERROR: " in text:
            self.failures.append(f"configd exited {code}: {text[-4000:]}")

    def connect(self, timeout=10):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        if not self.tls:
            return s
        context = ssl.create_default_context(cafile=os.path.join(self.tls, "cert.pem"))
        return context.wrap_socket(s, server_hostname="localhost")

    def ask(self, method, target, body=None, headers=None, raw=None):
        """One request; body is sent as JSON unless headers name another type. The reply is checked against the spec."""
        headers = dict(headers or {})
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        connection.sock = self.connect(15)
        headers.setdefault("Host", "localhost" if self.tls else f"127.0.0.1:{self.port}")
        try:
            connection.request(method, target, body=data, headers=headers)
            got = connection.getresponse()
            reply = Reply(got.status, dict(got.getheaders()), got.read())
        finally:
            connection.close()
        path = urllib.parse.urlsplit(target).path
        if self.spec and method not in ("HEAD", "OPTIONS"):
            for wrong in self.spec.check(method, path, reply.status, reply.headers, reply.body):
                self.failures.append(f"{method} {target} → {reply.status}: {wrong}")
        return reply

    def expect(self, status, method, target, body=None, headers=None, raw=None, code=None, says=None):
        reply = self.ask(method, target, body, headers, raw)
        text = reply.body.decode("utf-8", "replace")
        if reply.status != status:
            self.failures.append(f"{method} {target}: {status} expected, got {reply!r}")
        elif code and reply.json.get("code") != code:
            self.failures.append(f"{method} {target}: code {code} expected, got {text}")
        elif says and not re.search(says, text):
            self.failures.append(f"{method} {target}: /{says}/ expected in {text}")
        return reply

    def raw(self, data, timeout=15):
        """Sends bytes as they are and reads until the server closes."""
        with self.connect(timeout) as s:
            s.sendall(data)
            got = b""
            while chunk := s.recv(65536):
                got += chunk
        return got

    def stream(self, target, until, headers=None):
        """Reads an event stream until a line starts with `until`; returns (head, text)."""
        lines = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
        with self.connect() as s:
            s.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode())
            got = b""
            while f"\n{until}".encode() not in got or not got.endswith(b"\n\n"):
                chunk = s.recv(65536)
                if not chunk:
                    break
                got += chunk
        head, _, text = got.decode().partition("\r\n\r\n")
        return head, text


def finish(name, failures, checks):
    for f in failures:
        print(f"FAILED {f}")
    print(f"{name}: {checks} checks, {len(failures)} failed")
    sys.exit(1 if failures else 0)
