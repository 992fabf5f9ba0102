"""OFREP against a real configd: every status code, tags, events, waiting, rights. Replies are held against our own description and against
the protocol's official one (shared/conformance/ofrep, or $CFG_CONFORMANCE_DIR)."""
import base64
import glob
import hashlib
import http.client
import json
import os
import re
import socket
import sys
import tempfile
import threading
import time

import jsonschema
import yaml

from daemon import SOURCE, Daemon, Spec, finish

FLAGS = "/ns/experiment/ofrep/v1/evaluate/flags"
WHO = {"context": {"targetingKey": "u-1", "email": "ann@example.com"}}
CREATE = {"If-None-Match": "*"}
MERGE = {"Content-Type": "application/merge-patch+json"}
checks = 0


class Official:
    """The protocol's own file. Its `oneOf` over the types of a value can never hold as it is written, because codeDefaultFlag matches every
    object and every integer is a number: it is read as `anyOf`."""

    def __init__(self):
        folder = os.environ.get("CFG_CONFORMANCE_DIR", os.path.join(SOURCE, "..", "shared", "conformance"))
        path = os.path.join(folder, "ofrep", "openapi.yaml")
        self.document = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                self.document = yaml.safe_load(f)
            types = self.document["components"]["schemas"]["evaluationSuccess"]["allOf"][1]
            types["anyOf"] = types.pop("oneOf")

    def errors(self, schema, value):
        if self.document is None:
            return []
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": f"#/components/schemas/{schema}",
                 "components": self.document["components"]}
        return [e.message for e in jsonschema.Draft202012Validator(whole).iter_errors(value)]

    def reply(self, path, reply):
        """What the official file says of a reply of /ofrep/v1/…"""
        if self.document is None:
            return []
        template = "/ofrep/v1/evaluate/flags" + ("/{key}" if re.search(r"/flags/[^/]+$", path) else "")
        described = self.document["paths"][template]["post"]["responses"].get(str(reply.status))
        if described is None:
            return []  # what only our edge says: 413, 415, 503
        content = described.get("content", {}).get("application/json")
        if content and reply.headers.get("Content-Type") == "application/json":
            return self.errors(content["schema"]["$ref"].split("/")[-1], reply.json)
        return [f"{reply.status} with a body of another type"] if content else []


official = Official()


def post(d, status, path, body=WHO, headers=None, raw=None):
    global checks
    checks += 1
    r = d.expect(status, "POST", path, None if raw is not None else body, headers, raw)
    for wrong in official.reply(path.split("?")[0], r):
        d.failures.append(f"POST {path} → {r.status}, the official file: {wrong}: {r.body[:300]!r}")
    return r


def equal(d, got, want, what):
    global checks
    checks += 1
    if got != want:
        d.failures.append(f"{what}: {want!r} expected, got {got!r}")


def put(d, name, definition, ns="experiment", **envelope):
    d.expect(201, "PUT", f"/v1/flags/{ns}/{name}", {**envelope, "definition": {"state": "ENABLED", **definition}}, CREATE)


ON_OFF = {"variants": {"on": True, "off": False}}


def answers(d):
    put(d, "static", {**ON_OFF, "defaultVariant": "on", "metadata": {"team": "search", "n": 1, "x": True}})
    put(d, "text", {"variants": {"a": "A", "b": "B"}, "defaultVariant": "a"})
    put(d, "whole", {"variants": {"a": 1, "b": 2}, "defaultVariant": "a"})
    put(d, "part", {"variants": {"a": 1, "b": 0.5}, "defaultVariant": "a"})
    put(d, "object", {"variants": {"a": {"k": [1, 2]}}, "defaultVariant": "a"})
    put(d, "disabled", {**ON_OFF, "state": "DISABLED", "defaultVariant": "on"})
    put(d, "killed", {**ON_OFF, "defaultVariant": "on"}, enabled=False, off_variant="off")
    put(d, "target", {**ON_OFF, "defaultVariant": "off", "targeting": {"if": [{"ends_with": [{"var": "email"}, "@example.com"]}, "on"]}})
    put(d, "split", {**ON_OFF, "defaultVariant": "off", "targeting": {"fractional": [["on", 50], ["off", 50]]}})
    put(d, "wrong", {**ON_OFF, "defaultVariant": "off", "targeting": {"cat": ["nei", "ther"]}})
    want = {"static": (True, "STATIC", "on"), "text": ("A", "STATIC", "a"), "whole": (1, "STATIC", "a"), "part": (1.0, "STATIC", "a"),
            "object": ({"k": [1, 2]}, "STATIC", "a"), "disabled": (None, "DISABLED", ""), "killed": (False, "DISABLED", "off"),
            "target": (True, "TARGETING_MATCH", "on")}
    for key, (value, reason, variant) in want.items():
        r = post(d, 200, f"{FLAGS}/{key}").json
        equal(d, (r["key"], r.get("value"), r["reason"], r["variant"]), (key, value, reason, variant), key)
        equal(d, "value" in r, value is not None, f"{key} has a value")
    equal(d, type(post(d, 200, f"{FLAGS}/part").json["value"]), float, "a float stays one")
    equal(d, post(d, 200, f"{FLAGS}/static").json["metadata"], {"team": "search", "n": 1, "x": True}, "metadata")
    equal(d, post(d, 200, f"{FLAGS}/target", {"context": {}}).json["reason"], "UNKNOWN", "the default variant's reason")
    equal(d, post(d, 200, "/ofrep/v1/evaluate/flags/static").json["value"], True, "the default namespace")


def refusals(d):
    for key, status, code, body in (
            ("nobody", 404, "FLAG_NOT_FOUND", WHO), ("a%2Fb", 404, "FLAG_NOT_FOUND", WHO), ("split", 400, "TARGETING_KEY_MISSING", {"context": {}}),
            ("wrong", 400, "GENERAL", WHO), ("static", 400, "INVALID_CONTEXT", {"context": [1]}), ("static", 400, "INVALID_CONTEXT", {}),
            ("static", 400, "INVALID_CONTEXT", {"context": {"targetingKey": 7}}), ("static", 400, "PARSE_ERROR", [WHO])):
        r = post(d, status, f"{FLAGS}/{key}", body).json
        equal(d, (r["key"], r["errorCode"]), (key.replace("%2F", "/"), code), key)
    for raw, code in ((b"{", "PARSE_ERROR"), (b"", "PARSE_ERROR"), (b'{"context":null}', "INVALID_CONTEXT"),
                      (b'{"context":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}", "INVALID_CONTEXT")):
        equal(d, post(d, 400, FLAGS, raw=raw).json["errorCode"], code, raw[:40])
        equal(d, post(d, 400, f"{FLAGS}/static", raw=raw).json["errorCode"], code, raw[:40])
    big = json.dumps({"context": {"targetingKey": "u", "x": "y" * (10 << 20)}}).encode()
    equal(d, post(d, 413, FLAGS, raw=big).json["code"], "too_large", "10 MB")
    fits = json.dumps({"context": {"targetingKey": "u", "x": "y" * (1 << 20)}}).encode()
    equal(d, post(d, 200, f"{FLAGS}/split", raw=fits).json["key"], "split", "1 MB")
    equal(d, post(d, 415, FLAGS, raw=b"{}", headers={"Content-Type": "text/plain"}).json["code"], "unsupported_media_type", "text")
    equal(d, post(d, 403, FLAGS, headers={"Origin": "https://evil.example"}).json["code"], "cross_origin", "a page")
    equal(d, post(d, 403, FLAGS, headers={"Host": "evil.example"}).json["code"], "cross_origin", "a rebound name")
    equal(d, post(d, 400, f"{FLAGS}?flagConfigLastModified=soon").json["errorCode"], "GENERAL", "no time")
    equal(d, post(d, 400, "/ns/Nope/ofrep/v1/evaluate/flags").json["errorCode"], "GENERAL", "no namespace")
    equal(d, post(d, 200, "/ns/nobody/ofrep/v1/evaluate/flags").json["flags"], [], "an empty namespace")


def bulk(d):
    r = post(d, 200, FLAGS)
    got = {f["key"]: f for f in r.json["flags"]}
    equal(d, got["static"]["value"], True, "bulk")
    equal(d, (got["wrong"]["errorCode"], "value" in got["wrong"]), ("GENERAL", False), "an error among answers")
    keyless = {f["key"]: f for f in post(d, 200, FLAGS, {"context": {}}).json["flags"]}
    equal(d, (keyless["split"].get("errorCode"), keyless["text"]["value"]), ("TARGETING_KEY_MISSING", "A"), "without a targeting key")
    equal(d, r.json["eventStreams"][0]["url"].split("?")[0], f"http://127.0.0.1:{d.port}/ns/experiment/ofrep/v1/events", "the stream's URL")
    r = post(d, 200, "/ofrep/v1/evaluate/flags", headers={"Host": "localhost:99", "X-Forwarded-Proto": "https"})
    equal(d, r.json["eventStreams"][0]["url"].split("?")[0], "https://localhost:99/ofrep/v1/events", "as the client names us")


def tags(d):
    etag = post(d, 200, FLAGS).headers["ETag"]
    for header in (etag, f"W/{etag}", "*", f'"other", {etag}', f'W/"x",{etag}'):
        r = post(d, 304, FLAGS, headers={"If-None-Match": header})
        equal(d, (r.body, r.headers["ETag"]), (b"", etag), header)
    reordered = json.dumps({"context": dict(reversed(WHO["context"].items()))}, indent=4).encode()
    post(d, 304, FLAGS, raw=reordered, headers={"If-None-Match": etag})
    post(d, 200, FLAGS, {"context": {**WHO["context"], "page": 2}}, {"If-None-Match": etag})
    post(d, 200, FLAGS, {"context": {"targetingKey": "u-2", "email": "ann@example.com"}}, {"If-None-Match": etag})
    changes = (("PATCH", "/v1/flags/experiment/static", {"definition": {"metadata": {"n": 2}}}),
               ("PATCH", "/v1/flags/experiment/text", {"definition": {"variants": {"b": "C"}}}),  # what nobody is served now
               ("PATCH", "/v1/evaluators/experiment", {"metadata": {"owner": "ann"}}),
               ("DELETE", "/v1/flags/experiment/killed", None))
    for method, path, body in changes:
        if path.startswith("/v1/evaluators"):
            d.expect(201, "PUT", path, {"evaluators": {}, "metadata": {"owner": "bob"}}, CREATE)
            etag = post(d, 200, FLAGS).headers["ETag"]
        d.expect(200, method, path, body, MERGE if body else None)
        again = post(d, 200, FLAGS, headers={"If-None-Match": etag}).headers["ETag"]
        equal(d, again != etag, True, f"{path} changes the tag")
        etag = again
    equal(d, post(d, 200, FLAGS).json["metadata"]["owner"], "ann", "the set's metadata")


def flips(d):
    """A time rule that flips changes the tag, whoever notices."""
    at = int(time.time()) + 2
    put(d, "timed", {**ON_OFF, "defaultVariant": "off", "targeting": {"if": [{">=": [{"var": "$flagd.timestamp"}, at]}, "on"]}}, ns="clock")
    target = "/ns/clock/ofrep/v1/evaluate/flags"
    first = post(d, 200, target)
    equal(d, first.json["flags"][0]["value"], False, "before the flip")
    deadline = time.monotonic() + 20
    while (r := d.ask("POST", target, WHO, {"If-None-Match": first.headers["ETag"]})).status == 304 and time.monotonic() < deadline:
        time.sleep(0.05)
    equal(d, (r.status, r.status == 200 and r.json["flags"][0]["value"]), (200, True), "after the flip")


def heads(d):
    """What a flag's own page says of now: no tag of a version keeps it."""
    def get(name, have=None):
        return d.expect(200, "GET", f"/v1/flags/heads/{name}", None, {"If-None-Match": have} if have else {})

    put(d, "base", {**ON_OFF, "defaultVariant": "on"}, ns="heads")
    put(d, "upper", {**ON_OFF, "defaultVariant": "on"}, ns="heads", prerequisites={"base": "on"}, off_variant="off")
    put(d, "past", {**ON_OFF, "defaultVariant": "off", "targeting": {"if": [{">=": [{"var": "$flagd.timestamp"}, 1000000000]}, "on"]}}, ns="heads")
    upper, base = get("upper"), get("base")
    equal(d, (upper.json["value"], base.json["required_by"]), (True, ["upper"]), "with its prerequisite")
    equal(d, get("past").json["value"], True, "the time is now, not 1970")
    d.expect(200, "PATCH", "/v1/flags/heads/base", {"definition": {"defaultVariant": "off"}}, MERGE)
    equal(d, get("upper", upper.headers["ETag"]).json["value"], False, "its prerequisite has changed, it has not")
    base = get("base")
    d.expect(200, "DELETE", "/v1/flags/heads/upper")
    equal(d, get("base", base.headers["ETag"]).json["required_by"], [], "who required it has gone")


class Events:
    """An event stream; next() waits for the next event and returns its fields."""

    def __init__(self, d, target, headers=None):
        lines = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
        self.socket, self.got = d.connect(20), b""
        self.socket.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode())
        while b"\r\n\r\n" not in self.got:
            self.more()
        self.head, _, self.got = self.got.partition(b"\r\n\r\n")

    def more(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise AssertionError(f"the stream ended: {self.got!r}")
        self.got += chunk

    def next(self):
        while True:
            while b"\n\n" not in self.got:
                self.more()
            block, _, self.got = self.got.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line and line[0] != ":")
            if "data" in fields:
                return fields
            if block.startswith(b": hb"):
                raise AssertionError("nothing came before the heartbeat")

    def close(self):
        self.socket.close()


def told(d, fields, ns="experiment"):
    """An event as the protocol has it; returns its data."""
    data = json.loads(fields["data"])
    for wrong in official.errors("sseEvent", fields) + official.errors("sseEventData", data):
        d.failures.append(f"event: {wrong}: {fields}")
    equal(d, (fields["event"], data["type"]), ("message", "refetchEvaluation"), "the event")
    equal(d, abs(data["lastModified"] - time.time()) < 60, True, "lastModified is now")
    return data


def events(d):
    put(d, "live", {**ON_OFF, "defaultVariant": "on"}, ns="stream")
    put(d, "far", {**ON_OFF, "defaultVariant": "on"}, ns="elsewhere")
    target = "/ns/stream/ofrep/v1/evaluate/flags"
    first = post(d, 200, target)
    url = first.json["eventStreams"][0]["url"]
    path = url[url.index("/", 8):]
    change = lambda name, value, ns="stream": d.expect(200, "PATCH", f"/v1/flags/{ns}/{name}", {"definition": {"defaultVariant": value}}, MERGE)
    stream = Events(d, path)
    change("far", "off", "elsewhere")
    change("live", "off")
    data = told(d, fields := stream.next())
    equal(d, fields["id"], d.ask("GET", "/v1/flags/stream/live").json["revision"], "the id is the flag revision: the other namespace was not told")
    again = post(d, 200, f"{target}?flagConfigEtag={data['etag']}&flagConfigLastModified={data['lastModified']}", headers={"If-None-Match": first.headers["ETag"]})
    equal(d, again.json["flags"][0]["value"], False, "what the event told of")
    equal(d, again.json["eventStreams"][0]["url"], url, "the stream that is open keeps its URL")
    for quoted in (f"%22{data['etag']}%22", data["etag"]):
        post(d, 304, f"{target}?flagConfigEtag={quoted}", headers={"If-None-Match": again.headers["ETag"]})
    stream.close()
    change("live", "on")  # while nobody listens
    resumed = Events(d, path, {"Last-Event-ID": fields["id"]})
    missed = told(d, resumed.next())
    equal(d, missed["etag"] != data["etag"], True, "what was missed is told")
    resumed.close()
    late = Events(d, path)  # opened after the reply that named it: what has changed since is told
    equal(d, told(d, late.next())["etag"], missed["etag"], "a late first connection")
    late.close()
    plain = Events(d, "/ns/stream/ofrep/v1/events")  # from now on: nothing to tell yet
    d.expect(200, "DELETE", "/v1/flags/stream/live")
    told(d, deleted := plain.next())
    equal(d, deleted["id"] > fields["id"] or len(deleted["id"]) > len(fields["id"]), True, "a deletion is told")
    put(d, "live", {**ON_OFF, "defaultVariant": "on"}, ns="fresh")
    plain.close()
    ahead = Events(d, "/ns/stream/ofrep/v1/events?since=9-99999999")  # of another store: told where the flags are
    told(d, ahead.next())
    ahead.close()
    equal(d, d.ask("GET", "/v1/status").json["revision"].split("-")[0], "1", "a link moves no epoch")
    d.expect(400, "GET", "/ns/stream/ofrep/v1/events", headers={"Last-Event-ID": "x"}, code="invalid_argument")


def waiting(d):
    """A reply to who was told of a change waits for it."""
    put(d, "awaited", {**ON_OFF, "defaultVariant": "on"}, ns="wait")
    target = "/ns/wait/ofrep/v1/evaluate/flags"
    epoch, revision = (int(n) for n in d.ask("GET", "/v1/status").json["revision"].split("-"))
    got = []
    asking = threading.Thread(target=lambda: got.append(d.ask("POST", f"{target}?flagConfigEtag={epoch}-{revision + 1}", WHO)))
    asking.start()
    d.expect(200, "PATCH", "/v1/flags/wait/awaited", {"definition": {"defaultVariant": "off"}}, MERGE)
    asking.join()
    equal(d, (got[0].status, got[0].json["flags"][0]["value"]), (200, False), "the reply waited")
    r = post(d, 503, f"{target}?flagConfigEtag={epoch}-{revision + 100000}")
    equal(d, (r.json["code"], "Retry-After" in r.headers), ("not_ready", True), "but not for ever")
    post(d, 200, f"{target}?flagConfigEtag=somebody-elses")
    post(d, 200, f"{target}?flagConfigLastModified=99999999999")
    post(d, 200, f"{target}?flagConfigLastModified=2020-01-01T00:00:00Z")


def foreign_hand(d):
    """A record that does not compile, put into etcd past configd, is one flag's fault alone."""
    sockets = [p for p in glob.glob(os.path.join(d.dir, "etcd", "**"), recursive=True) if os.path.exists(p) and os.stat(p).st_mode >> 12 == 0o14]
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(sockets[0])
    whole = d.expect(200, "GET", "/v1/flags/experiment/static").json
    record = {"version": 1, "parent": 0, "digest": whole["digest"], "author": "x", "message": "", "time": "2026-01-01T00:00:00Z", "request_id": "r",
              "definition": {"state": "ENABLED", **ON_OFF, "targeting": {"no-such-operator": [1]}}}
    encode = lambda text: base64.b64encode(text.encode()).decode()
    stream = Events(d, "/ns/experiment/ofrep/v1/events")
    connection.request("POST", "/v3/kv/put", json.dumps({"key": encode("/configd/v1/live/flag/experiment/foreign"), "value": encode(json.dumps(record))}))
    equal(d, connection.getresponse().status, 200, "etcd")
    stream.next()
    stream.close()
    r = post(d, 400, f"{FLAGS}/foreign").json
    equal(d, (r["errorCode"], "no-such-operator" in r["errorDetails"]), ("PARSE_ERROR", True), "a foreign flag")
    got = {f["key"]: f for f in post(d, 200, FLAGS).json["flags"]}
    equal(d, (got["foreign"]["errorCode"], got["static"]["value"]), ("PARSE_ERROR", True), "the others go on")


def rights(spec):
    def entry(name, **rest):
        return {"subject": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), **rest}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"tokens": [entry("root", role="admin"), entry("reader", role="reader", namespaces=["experiment"]),
                              entry("stranger", role="reader", namespaces=["other"]), entry("worker", role="worker", deployment="blue")]}, file)
        file.flush()
        with Daemon("--tokens", file.name, "--default-namespace", "experiment", spec=spec) as d:
            bearer = lambda name: {"Authorization": f"Bearer {name}"}
            d.expect(201, "PUT", "/v1/flags/experiment/a", {"definition": {"state": "ENABLED", **ON_OFF, "defaultVariant": "on"}}, {**CREATE, **bearer("root")})
            for base in ("/ns/experiment", ""):
                for path in (f"{base}/ofrep/v1/evaluate/flags", f"{base}/ofrep/v1/evaluate/flags/a"):
                    post(d, 200, path, headers=bearer("reader"))
                    post(d, 200, path, headers={"X-API-Key": "reader"})
                    equal(d, post(d, 401, path).headers.get("WWW-Authenticate"), "Bearer", "who asks")
                    post(d, 401, path, headers={"X-API-Key": "nobody"})
                    post(d, 401, path, headers={**bearer("nobody"), "X-API-Key": "reader"})
                    post(d, 403, path, headers=bearer("stranger"))
                    post(d, 403, path, headers=bearer("worker"))
                d.expect(401, "GET", f"{base}/ofrep/v1/events", code="unauthorized")
                d.expect(403, "GET", f"{base}/ofrep/v1/events", headers=bearer("stranger"), code="forbidden")
                stream = Events(d, f"{base}/ofrep/v1/events?since=1-1", bearer("reader"))
                told(d, stream.next())
                stream.close()
    return d.failures


def main():
    spec = Spec()
    failures = rights(spec)
    with Daemon("--default-namespace", "experiment", spec=spec) as d:
        for part in (answers, refusals, bulk, tags, flips, heads, events, waiting, foreign_hand):
            try:
                part(d)
            except (AssertionError, OSError, KeyError, IndexError) as e:
                d.failures.append(f"{part.__name__}: {e.__traceback__.tb_next or e.__traceback__} {type(e).__name__} line {e.__traceback__.tb_lineno} {e}")
    failures += d.failures
    if official.document is None and not failures:
        print(f"ofrep: {checks} checks passed\nSKIP: no official OFREP file to hold replies against (shared/conformance/ofrep)")
        sys.exit(77)
    finish("ofrep", failures, checks)


if __name__ == "__main__":
    main()
