"""OpenFeature's Python SDK with its OFREP provider against a running configd (with a real etcd), and flagd's form of the same flags read back
by cfgctl: every type, reason, default and error, and the same answers by both ways."""
import json
import os
import subprocess
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration", "http"))
from daemon import BUILD, Daemon, finish  # noqa: E402

ON_OFF = {"variants": {"on": True, "off": False}}
FLAGS = {
    "bool": {**ON_OFF, "defaultVariant": "on", "metadata": {"team": "search"}},
    "string": {"variants": {"a": "A ünïcode \" \\", "b": ""}, "defaultVariant": "a"},
    "integer": {"variants": {"few": 3, "many": 9007199254740991}, "defaultVariant": "many"},
    "float": {"variants": {"low": 0.5, "whole": 2}, "defaultVariant": "whole"},
    "object": {"variants": {"a": {"list": [1, "x", None], "deep": {"er": True}}}, "defaultVariant": "a"},
    "disabled": {"state": "DISABLED", **ON_OFF, "defaultVariant": "on"},
    "open": {**ON_OFF},
    "target": {**ON_OFF, "defaultVariant": "off", "targeting": {"if": [{"in": [{"var": "team"}, ["infra", "research"]]}, "on"]}},
    "version": {"variants": {"new": "n", "old": "o"}, "defaultVariant": "old", "targeting": {"if": [{"sem_ver": [{"var": "client"}, ">=", "2.0.0"]}, "new"]}},
    "split": {"variants": {"a": "A", "b": "B", "c": "C"}, "defaultVariant": "a", "targeting": {"fractional": [["a", 10], ["b", 60], ["c", 30]]}},
    "wrong": {**ON_OFF, "defaultVariant": "off", "targeting": {"cat": ["nei", "ther"]}},
}
checks, failures = 0, []


def equal(got, want, what):
    global checks
    checks += 1
    if got != want:
        failures.append(f"{what}: {want!r} expected, got {got!r}")


def create(d):
    for name, definition in FLAGS.items():
        d.expect(201, "PUT", f"/v1/flags/experiment/{name}", {"definition": {"state": "ENABLED", **definition}}, {"If-None-Match": "*"})


def ask(client, kind, flag, default, context):
    r = getattr(client, f"get_{kind}_details")(flag, default, context)
    return r.value, r.reason, r.variant, r.error_code


def sdk(client):
    who = EvaluationContext("u-1", {"team": "infra", "client": "2.1", "nested": {"a": [1, None]}})
    nobody = EvaluationContext()
    static, match, unknown = Reason.STATIC, Reason.TARGETING_MATCH, Reason.UNKNOWN
    for kind, flag, default, context, want in (
            ("boolean", "bool", False, who, (True, static, "on", None)),
            ("string", "string", "-", who, (FLAGS["string"]["variants"]["a"], static, "a", None)),
            ("integer", "integer", 0, who, (9007199254740991, static, "many", None)),
            ("float", "float", 0.1, who, (2.0, static, "whole", None)),
            ("object", "object", {}, who, (FLAGS["object"]["variants"]["a"], static, "a", None)),
            ("boolean", "disabled", False, who, (False, Reason.DISABLED, "", None)),
            ("boolean", "disabled", True, who, (True, Reason.DISABLED, "", None)),
            ("boolean", "open", True, nobody, (True, unknown, "", None)),
            ("boolean", "target", False, who, (True, match, "on", None)),
            ("boolean", "target", True, EvaluationContext("u-1", {"team": "sales"}), (False, unknown, "off", None)),
            ("boolean", "target", True, nobody, (False, unknown, "off", None)),
            ("string", "version", "-", who, ("n", match, "new", None)),
            ("boolean", "nobody", True, who, (True, Reason.ERROR, None, ErrorCode.FLAG_NOT_FOUND)),
            ("boolean", "string", True, who, (True, Reason.ERROR, None, ErrorCode.TYPE_MISMATCH)),
            ("integer", "float", 7, who, (7, Reason.ERROR, None, ErrorCode.TYPE_MISMATCH)),
            ("boolean", "wrong", True, who, (True, Reason.ERROR, None, ErrorCode.GENERAL)),
            ("string", "split", "-", nobody, ("-", Reason.ERROR, None, ErrorCode.TARGETING_KEY_MISSING))):
        equal(ask(client, kind, flag, default, context), want, f"{kind} {flag}")
    equal(dict(client.get_boolean_details("bool", False, who).flag_metadata), {"team": "search"}, "metadata")


def flagd_form(d, client):
    """GET /v1/flags/{ns} is what flagd's HTTP sync reads; evaluated from it, flags answer as over OFREP."""
    document = d.expect(200, "GET", "/v1/flags/experiment").json
    equal(sorted(document["flags"]), sorted(FLAGS), "flagd's document")
    units = [f"user-{i}" for i in range(40)]
    lines = "".join(json.dumps({**document, "flag": "split", "type": "string", "default": "-", "context": {"targetingKey": u}}) + "\n" for u in units)
    out = subprocess.run([os.path.join(BUILD, "client", "cfgctl", "cfgctl"), "flag", "eval", "--batch"], input=lines, capture_output=True, text=True)
    local = [json.loads(line)["value"] for line in out.stdout.splitlines()]
    equal(local, [client.get_string_value("split", "-", EvaluationContext(u)) for u in units], "the split by both ways")
    equal(len(set(local)), 3, "every variant of the split is met")


def follows(d, client):
    """A change is what the next evaluation answers."""
    for value in ("off", "on", "off"):
        d.expect(200, "PATCH", "/v1/flags/experiment/bool", {"definition": {"defaultVariant": value}}, {"Content-Type": "application/merge-patch+json"})
        equal(client.get_boolean_value("bool", None), value == "on", f"bool after it became {value}")


def main():
    with Daemon("--default-namespace", "experiment") as d:
        create(d)
        base = f"http://127.0.0.1:{d.port}"
        for url in (base, f"{base}/ns/experiment", f"{base}/ns/experiment/"):
            api.set_provider(OFREPProvider(url))
            sdk(api.get_client())
        flagd_form(d, api.get_client())
        follows(d, api.get_client())
        api.set_provider(OFREPProvider(f"{base}/ns/nobody"))
        equal(ask(api.get_client(), "boolean", "bool", True, None)[3], ErrorCode.FLAG_NOT_FOUND, "another namespace")
        failures.extend(d.failures)
    finish("openfeature", failures, checks)


if __name__ == "__main__":
    main()
