"""Every operation of proto/openapi.yaml against a real configd: each reply must be as described, and none is left out."""
import json

from daemon import Daemon, Spec, finish

MERGE = {"Content-Type": "application/merge-patch+json"}
PATCH = {"Content-Type": "application/json-patch+json"}


def configs(d):
    d.expect(200, "GET", "/v1/config")
    d.expect(201, "PUT", "/v1/config/chat?message=first", {"sampling": {"temperature": 0.7}, "distributed": {"tp": 4}},
             {"If-None-Match": "*", "Configd-User": "alice@desk"})
    r = d.expect(200, "GET", "/v1/config/chat")
    assert r.headers["ETag"] == '"1"' and r.json["author"] == "alice@desk (unverified)" and r.json["message"] == "first", r
    assert "Configd-Revision" in r.headers and "Configd-Store" in r.headers
    d.expect(304, "GET", "/v1/config/chat", headers={"If-None-Match": '"1"'})
    head = d.expect(200, "HEAD", "/v1/config/chat")
    assert head.body == b"" and head.headers["Content-Length"] == r.headers["Content-Length"]
    d.expect(200, "PUT", "/v1/config/chat", {"sampling": {"temperature": 0.5}, "distributed": {"tp": 4}}, {"If-Match": '"1"'})
    r = d.expect(200, "PATCH", "/v1/config/chat", {"sampling": {"temperature": 0.2}}, MERGE)
    assert r.json["visible"] is True and r.headers["Configd-Visible"] == "true" and r.json["results"][0]["version"] == 3, r
    r = d.expect(200, "PATCH", "/v1/config/chat?dry_run=true", [{"op": "add", "path": "/inference", "value": {"batch_size": 8}}], PATCH)
    assert r.json["dry_run"] is True
    r = d.expect(200, "PATCH", "/v1/config/chat", [{"op": "add", "path": "/inference", "value": {"batch_size": 8}}], PATCH)
    revision = r.json["revision"]
    assert d.expect(200, "GET", f"/v1/config/chat?min_revision={revision}").json["version"] == 4
    r = d.expect(200, "PATCH", "/v1/config/chat", {"inference": {"batch_size": 8}}, MERGE)
    assert r.json["results"][0]["unchanged"] is True and r.json["results"][0]["version"] == 4, r
    once = {"Idempotency-Key": "k1", **MERGE}
    a = d.expect(200, "PATCH", "/v1/config/chat", {"n": 1}, once)
    b = d.expect(200, "PATCH", "/v1/config/chat", {"n": 1}, once)
    assert a.json["results"][0]["version"] == b.json["results"][0]["version"] == 5, (a, b)
    assert d.expect(200, "GET", "/v1/config/chat?version=1").json["document"]["sampling"]["temperature"] == 0.7
    r = d.expect(200, "GET", "/v1/config/chat/versions?limit=2")
    assert [v["version"] for v in r.json["items"]] == [5, 4] and r.json["next"] == 4, r
    r = d.expect(200, "GET", "/v1/config/chat/versions?before=4")
    assert [v["version"] for v in r.json["items"]] == [3, 2, 1] and r.json["next"] is None, r
    d.expect(200, "GET", "/v1/config/chat/versions/2")
    r = d.expect(200, "GET", "/v1/config/chat/diff?from=1&to=3")
    assert r.json["changes"] == [{"op": "replace", "path": "sampling.temperature", "from": 0.7, "to": 0.2}], r
    assert d.expect(200, "GET", "/v1/config/chat/diff").json["from"] == 4
    assert d.expect(200, "GET", "/v1/config/chat/diff?to=1").json["from"] == 0
    r = d.expect(200, "POST", "/v1/config/chat/rollback", {"to": 1})
    assert r.json["results"][0]["version"] == 6, r
    d.expect(201, "PUT", "/v1/config/gone", {"a": 1}, {"If-None-Match": "*"})
    d.expect(200, "DELETE", "/v1/config/gone?message=bye", headers={"If-Match": '"1"'})
    d.expect(404, "GET", "/v1/config/gone", code="not_found", says="deleted at version 2 .*rollback gone --to 1")
    assert d.expect(200, "GET", "/v1/config/gone/versions/2").json["deleted"] is True
    d.expect(201, "POST", "/v1/config/gone/rollback", {"to": 1})
    d.expect(200, "DELETE", "/v1/config/gone")


def layers(d):
    d.expect(201, "PUT", "/v1/config/low", {"a": 1, "b": "${a}", "deep": {"x": 1}}, {"If-None-Match": "*"})
    d.expect(201, "PUT", "/v1/config/high/extends", ["low"], {"If-None-Match": "*"})
    d.expect(428, "PUT", "/v1/config/high/extends", [], code="precondition_required")
    d.expect(404, "PUT", "/v1/config/high/extends", ["lwo"], {"If-Match": '"1"'}, code="not_found", says="lwo, which high extends.*low")
    d.expect(422, "PUT", "/v1/config/low/extends", ["high"], {"If-Match": '"1"'}, code="bad_value", says="low extends high extends low")
    d.expect(409, "DELETE", "/v1/config/low", code="in_use", says="extended by high")
    d.expect(200, "PATCH", "/v1/config/high", {"a": 5, "must": "???"}, MERGE)
    r = d.expect(200, "GET", "/v1/config/high?resolved=true")
    assert r.json["document"] == {"a": 5, "b": 5, "deep": {"x": 1}, "must": "???"} and r.json["release"] == {"low": 1, "high": 2}, r
    assert r.json["unresolved"][0]["path"] == "must" and r.json["extends"] == ["low"], r
    d.expect(400, "GET", "/v1/config/high?resolved=true&version=1", code="invalid_argument")
    d.expect(422, "POST", "/v1/deployments", {"name": "layered", "config": "high"}, code="bad_value", says="must is required")
    d.expect(200, "PATCH", "/v1/config/high", {"must": 1}, MERGE)
    d.expect(201, "POST", "/v1/deployments", {"name": "layered", "config": "high", "pin": ["deep.x"]})
    r = d.expect(200, "GET", "/v1/config/high/explain?path=a")
    assert [(l["layer"], l["value"], l["wins"], l["since"]["version"]) for l in r.json["layers"]] == [("low", 1, False, 1), ("high", 5, True, 2)], r
    r = d.expect(200, "GET", "/v1/config/high/explain?path=b")
    assert (r.json["value"], r.json["text"]) == (5, "${a}"), r
    d.expect(200, "PATCH", "/v1/config/low", {"deep": {"x": 2}}, MERGE)
    r = d.expect(200, "GET", "/v1/config/high/explain?path=deep.x&deployment=layered")
    assert r.json["value"] == 1 and [l["kind"] for l in r.json["layers"]][-1] == "pin" and r.json["layers"][-1]["wins"], r
    d.expect(404, "GET", "/v1/config/high/explain?path=nothing", code="unknown_key")
    d.expect(400, "GET", "/v1/config/high/explain", code="invalid_argument")
    d.expect(400, "GET", "/v1/config/low/explain?path=a&deployment=layered", code="invalid_argument", says="runs high")
    r = d.expect(200, "GET", "/v1/config/low/dependents")
    assert r.json["dependents"] == [{"namespace": "high", "direct": True, "deployments": ["layered"]}], r
    r = d.expect(200, "PATCH", "/v1/config/low", {"a": 7, "c": 1}, MERGE)
    assert r.json["results"][0]["affected"] == [{"deployment": "layered", "namespace": "high", "paths": ["c"]}], r
    assert r.json["results"][0]["reach"]["deployments"] == ["layered"], r
    r = d.expect(200, "GET", "/v1/deployments/layered")
    assert r.json["arms"]["base"]["release"] == {"low": 3, "high": 3}, r
    lock = d.expect(200, "GET", "/v1/deployments/layered/lock").json
    assert [i["object"] for i in lock["inputs"]] == ["config/low", "config/high"], lock
    d.expect(200, "PATCH", "/v1/config/low", {"a": 8, "c": 2}, MERGE)
    d.expect(201, "POST", "/v1/deployments", {"name": "again", "lock": lock})
    again, view = (d.expect(200, "GET", f"/v1/deployments/again{x}").json for x in ("", "/view"))
    assert again["view"]["digest"] == view["digest"] == lock["digest"] and view["versions"] == lock["release"], (again, lock)
    assert d.expect(200, "GET", f"/v1/deployments/again/view?revision={view['revision']}").json["digest"] == lock["digest"]
    relocked = d.expect(200, "GET", "/v1/deployments/again/lock").json
    assert relocked["inputs"] == lock["inputs"] and relocked["view"] == lock["view"], relocked
    r = d.expect(200, "GET", "/v1/config/high/explain?path=a&deployment=again")
    assert [(l["layer"], l["kind"], l["value"], l["wins"]) for l in r.json["layers"]] == [("again", "lock", 5, True)], r
    assert (r.json["deployment"], r.json["value"], r.json["inputs"]) == ("again", 5, lock["inputs"]), r
    lock["view"]["parameters"]["a"] = 6
    d.expect(422, "POST", "/v1/deployments", {"name": "other", "lock": lock}, code="bad_value", says="changed since it was made")
    r = d.expect(200, "POST", "/v1/config/high/rollback", {"to": 1})
    r = d.expect(200, "PATCH", "/v1/config/high", {"own": 1}, MERGE)
    for name in ("again", "layered"):
        d.expect(200, "DELETE", f"/v1/deployments/{name}")
    d.expect(200, "POST", "/v1/changes", [{"object": "config/high", "extends": []}, {"object": "config/low", "delete": True}])
    assert d.expect(200, "GET", "/v1/config/high/diff").json["extends"] == {"from": ["low"], "to": []}


def flags(d):
    flag = {"enabled": True, "off_variant": "off",
            "definition": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}}
    d.expect(201, "PUT", "/v1/flags/experiment/ab.flag", flag, {"If-None-Match": "*"})
    r = d.expect(200, "GET", "/v1/flags/experiment/ab.flag")
    assert r.json["value"] is True and r.headers["ETag"] == '"1"', r
    d.expect(200, "PATCH", "/v1/flags/experiment/ab.flag", {"enabled": False}, MERGE)
    assert d.expect(200, "GET", "/v1/flags/experiment/ab.flag").json["value"] is False
    d.expect(200, "GET", "/v1/flags")
    assert "ab.flag" in d.expect(200, "GET", "/v1/flags/experiment").json["flags"]
    d.expect(200, "GET", "/v1/flags/experiment/ab.flag/versions")
    d.expect(200, "GET", "/v1/flags/experiment/ab.flag/versions/1")
    d.expect(200, "POST", "/v1/flags/experiment/ab.flag/rollback", {"to": 1})
    d.expect(201, "PUT", "/v1/flags/experiment/gone", flag, {"If-None-Match": "*"})
    d.expect(200, "DELETE", "/v1/flags/experiment/gone")
    d.expect(404, "GET", "/v1/flags/experiment/ab.flg", code="not_found", says="ab\\.flag")
    d.expect(404, "GET", "/v1/flags/experiment/gone", code="not_found")
    d.expect(200, "GET", "/v1/flags/experiment/gone/versions/2")


def evaluators(d):
    body = {"evaluators": {"staff": {"==": [{"var": "team"}, "infra"]}}, "metadata": {"owner": "sampling"}}
    d.expect(201, "PUT", "/v1/evaluators/rules", body, {"If-None-Match": "*"})
    r = d.expect(200, "GET", "/v1/evaluators/rules")
    assert r.headers["ETag"] == '"1"' and r.json["metadata"] == body["metadata"], r
    d.expect(200, "GET", "/v1/evaluators/rules", headers={"If-None-Match": '"1"'})
    d.expect(200, "PATCH", "/v1/evaluators/rules", {"evaluators": {"none": False}}, MERGE)
    members = {"enabled": True, "off_variant": "off", "hash_version": 3, "group": {"name": "g", "to": 5000, "by": "user"},
               "holdouts": [{"name": "q", "to": 5}], "overrides": {"on": {"sampling.temperature": 0.9}},
               "definition": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                              "targeting": {"if": [{"$ref": "staff"}, "on"]}}}
    d.expect(201, "PUT", "/v1/flags/rules/base", members, {"If-None-Match": "*"})
    d.expect(201, "PUT", "/v1/flags/rules/top", {"prerequisites": {"base": ["on", "off"]}, "definition": members["definition"]},
             {"If-None-Match": "*"})
    r = d.expect(200, "GET", "/v1/flags/rules/base")
    assert r.json["required_by"] == ["top"] and r.json["value"] is False, r
    assert all(r.json[k] == v for k, v in members.items()), r
    assert d.expect(200, "GET", "/v1/evaluators/rules").json["used_by"] == {"none": [], "staff": ["base", "top"]}
    r = d.expect(200, "GET", "/v1/flags/rules")
    assert r.json["$evaluators"]["staff"] and r.json["metadata"] == {"owner": "sampling"} and "overrides" not in r.json["flags"]["base"], r
    tag = r.headers["ETag"]
    d.expect(304, "GET", "/v1/flags/rules", headers={"If-None-Match": f'W/"x", {tag}'})
    r = d.expect(200, "GET", "/v1/flags/rules?format=envelopes", headers={"If-None-Match": tag})
    assert r.json["flags"]["base"] == {**members, "version": 1} and r.json["evaluators"]["none"] is False, r
    d.expect(304, "GET", "/v1/flags/rules?format=envelopes", headers={"If-None-Match": r.headers["ETag"]})
    d.expect(200, "PATCH", "/v1/evaluators/rules", {"metadata": {"owner": "infra"}}, MERGE)
    assert d.expect(200, "GET", "/v1/flags/rules", headers={"If-None-Match": tag}).headers["ETag"] != tag
    d.expect(200, "PATCH", "/v1/evaluators/rules", {"metadata": {"owner": "sampling"}}, MERGE)
    d.expect(400, "GET", "/v1/flags/rules?format=yaml", code="invalid_argument", says="envelopes")
    assert d.expect(200, "GET", "/v1/flags/nothing").json == {"flags": {}}
    d.expect(409, "DELETE", "/v1/flags/rules/base", code="in_use", says="required by top")
    d.expect(409, "DELETE", "/v1/evaluators/rules", code="in_use", says="used by flags base, top")
    d.expect(200, "DELETE", "/v1/flags/rules/top")
    d.expect(200, "DELETE", "/v1/flags/rules/base")
    assert set(d.expect(200, "GET", "/v1/evaluators/rules").json["evaluators"]) == {"staff", "none"}
    assert d.expect(200, "GET", "/v1/evaluators/rules?version=1").json["evaluators"] == body["evaluators"]
    d.expect(200, "GET", "/v1/evaluators/rules/versions")
    d.expect(200, "GET", "/v1/evaluators/rules/versions/2")
    d.expect(200, "POST", "/v1/evaluators/rules/rollback", {"to": 1})
    d.expect(200, "DELETE", "/v1/evaluators/rules")
    d.expect(404, "GET", "/v1/evaluators/rules", code="not_found", says="deleted at version 6")
    assert d.expect(200, "GET", "/v1/evaluators/rules/versions/6").json["evaluators"] is None
    log = d.expect(200, "GET", "/v1/log?namespace=rules").json["items"]
    assert [i["kind"] for i in log].count("evaluators") == 6, log


def schemas(d):
    """Schemas, and what they and connected workers refuse."""
    schema = {"type": "object", "properties": {"lr": {"type": "number", "maximum": 1, "x-apply": "live"}, "tp": {"x-apply": "pinned"}}}
    d.expect(201, "PUT", "/v1/config/typed", {"lr": 0.5, "tp": 4}, {"If-None-Match": "*"})
    d.expect(201, "POST", "/v1/deployments", {"name": "typed-blue", "config": "typed"})
    r = d.expect(201, "PUT", "/v1/schemas/typed", schema, {"If-None-Match": "*"})
    assert r.headers["ETag"] == '"1"' and r.json["results"][1]["object"] == "deployment/typed-blue", r
    r = d.expect(200, "GET", "/v1/deployments/typed-blue")
    assert r.json["pin"] == {"tp": 4} and r.json["generation"] == 1, r
    r = d.expect(200, "GET", "/v1/schemas/typed")
    assert r.json["schema"] == schema and r.headers["ETag"] == '"1"', r
    d.expect(304, "GET", "/v1/schemas/typed", headers={"If-None-Match": '"1"'})
    d.expect(428, "PUT", "/v1/schemas/typed", schema, code="precondition_required")
    d.expect(412, "PUT", "/v1/schemas/typed", schema, {"If-Match": '"7"'}, code="precondition_failed")
    r = d.expect(422, "PUT", "/v1/schemas/typed", {"propertys": {}}, {"If-Match": '"1"'}, code="bad_value", says="propertys")
    r = d.expect(422, "PATCH", "/v1/config/typed", {"lr": 2, "tp": 8}, MERGE, code="schema", says="lr")
    assert [(v["path"], v["keyword"], v["expected"], v["got"]) for v in r.json["violations"]] == [("lr", "maximum", "<= 1", "2")], r
    r = d.expect(200, "PATCH", "/v1/config/typed", {"tp": 8}, MERGE)
    assert r.json["results"][0]["kept"] == [{"path": "tp", "value": 4, "deployment": "typed-blue"}], r
    d.expect(422, "PUT", "/v1/schemas/typed", {"properties": {"lr": {"minimum": 0.9}}}, {"If-Match": '"1"'}, code="schema", says="lr")
    d.expect(200, "PUT", "/v1/schemas/typed?dry_run=true", True, {"If-Match": '"1"'})
    plan = [{"namespace": "typed", "set": [{"name": "lr", "value": 3}]}]
    r = d.expect(200, "POST", "/v1/changes?dry_run=true&plan=true", plan)
    assert [p["action"] for p in r.json["results"][0]["plan"]] == ["live", "pinned"] or [p["action"] for p in r.json["results"][0]["plan"]] == ["live"], r
    assert r.json["results"][0]["violations"][0]["path"] == "lr", r
    d.expect(400, "POST", "/v1/changes?plan=true", plan, code="invalid_argument", says="dry_run")
    worker = {"worker": "w0", "incarnation": "00112233445566aa", "contract": {
        "lr": {"type": "f64", "class": "live", "max": 0.1}, "tp": {"type": "string", "class": "pinned"}, "seed": {"type": "i64", "class": "restart", "required": True}}}
    r = d.expect(409, "POST", "/v1/deployments/typed-blue/workers", worker, code="contract", says="lr")
    assert sorted((v["path"], v["keyword"]) for v in r.json["violations"]) == [("lr", "maximum"), ("seed", "missing"), ("tp", "type")], r
    r = d.expect(409, "POST", "/v1/deployments/typed-blue/workers", {**worker, "contract": {}, "ceilings": {"lr": 0.1}}, code="ceiling", says="lr")
    d.expect(400, "POST", "/v1/deployments/typed-blue/workers", {**worker, "ceilings": {"lr": "x"}}, code="invalid_argument", says="ceilings")
    r = d.expect(200, "GET", "/v1/deployments/typed-blue/contract")
    assert r.json["contracts"] == [] and r.json["unknown"] == 0, r
    r = d.expect(200, "POST", "/v1/deployments/typed-blue/contract/check", {"lr": 0.05})
    assert r.json["violations"] == [], r
    d.expect(404, "POST", "/v1/deployments/typed-bleu/contract/check", {}, code="not_found", says="typed-blue")
    d.expect(200, "DELETE", "/v1/schemas/typed")
    d.expect(404, "GET", "/v1/schemas/typed", code="not_found", says="deleted at version 2")
    d.expect(201, "POST", "/v1/schemas/typed/rollback", {"to": 1})
    d.expect(200, "GET", "/v1/schemas/typed/versions")
    assert d.expect(200, "GET", "/v1/schemas/typed/versions/2").json["schema"] is None


def ofrep(d):
    bare = {"context": {"targetingKey": "u-1"}}
    for base in ("/ns/experiment", ""):
        d.expect(404 if not base else 200, "POST", f"{base}/ofrep/v1/evaluate/flags/ab.flag", bare)
        d.expect(400, "POST", f"{base}/ofrep/v1/evaluate/flags/ab.flag", {"context": 7})
        d.expect(400, "POST", f"{base}/ofrep/v1/evaluate/flags", {})
        r = d.expect(200, "POST", f"{base}/ofrep/v1/evaluate/flags", bare)
        d.expect(304, "POST", f"{base}/ofrep/v1/evaluate/flags", bare, {"If-None-Match": r.headers["ETag"]})
    _, text = d.stream("/ns/experiment/ofrep/v1/events?since=1-1", "data: ")
    for block in (b for b in text.split("\n\n") if "\ndata: " in b):
        for wrong in d.spec.schema_errors({"$ref": "#/components/schemas/OfrepEvent"}, json.loads(block.split("\ndata: ")[1])):
            d.failures.append(f"event: {wrong}: {block}")
    d.expect(400, "GET", "/ofrep/v1/events?since=soon", code="invalid_argument")
    d.spec.used.update({("ofrepEvents", 200), ("ofrepDefaultEvents", 200)})


def changes(d):
    r = d.expect(200, "POST", "/v1/changes?message=two", [
        {"namespace": "chat", "set": [{"name": "sampling.temperature", "value": 0.3}, {"name": "sampling.top_k", "value": 40}]},
        {"object": "flag/experiment/ab.flag", "patch": {"enabled": False}}])
    assert [x["object"] for x in r.json["results"]] == ["config/chat", "flag/experiment/ab.flag"], r
    r = d.expect(200, "POST", "/v1/changes", [{"namespace": "experiment", "set": [{"name": "new.flag", "on_off": "on", "value": True}]}])
    assert r.json["results"][0]["created"] is True, r


def deployments(d):
    new = {"name": "chat-blue", "config": "chat", "pin": ["distributed"], "flags": ["experiment"], "track": "head"}
    d.expect(201, "POST", "/v1/deployments", new)
    d.expect(409, "POST", "/v1/deployments", new, code="exists")
    r = d.expect(200, "GET", "/v1/deployments/chat-blue")
    assert r.json["pin"] == {"distributed": {"tp": 4}} and r.json["arms"]["base"]["follows"] == "head", r
    d.expect(200, "GET", "/v1/deployments")
    d.expect(200, "PATCH", "/v1/deployments/chat-blue", {"track": "hold"}, MERGE)
    r = d.expect(200, "PATCH", "/v1/config/chat", {"sampling": {"temperature": 0.9}}, MERGE)
    assert r.json["results"][0]["held"][0]["deployment"] == "chat-blue", r
    d.expect(200, "PATCH", "/v1/deployments/chat-blue", {"track": "head"}, MERGE)
    d.expect(200, "GET", "/v1/deployments/chat-blue/versions")
    d.expect(200, "GET", "/v1/deployments/chat-blue/versions/1")
    view = d.expect(200, "GET", "/v1/deployments/chat-blue/view").json
    before = view["revision"]
    r = d.expect(200, "PATCH", "/v1/config/chat", {"distributed": {"tp": 8}}, MERGE)
    assert r.json["results"][0]["kept"] == [{"deployment": "chat-blue", "path": "distributed.tp", "value": 4}], r
    old = d.expect(200, "GET", f"/v1/deployments/chat-blue/view?revision={before}").json
    assert old["digest"] == view["digest"], (old, view)
    past(d)
    workers(d)
    d.expect(201, "POST", "/v1/deployments", {"name": "chat-gone", "config": "chat"})
    d.expect(200, "DELETE", "/v1/deployments/chat-gone")
    d.expect(404, "GET", "/v1/deployments/chat-gone", code="not_found")


def past(d):
    log = d.expect(200, "GET", "/v1/deployments/chat-blue/log?limit=1000").json["items"]
    assert {"config/chat", "deployment/chat-blue"} <= {i["object"] for i in log}, log
    r = d.expect(200, "GET", "/v1/deployments/chat-blue/log?limit=1&object=chat&author=anonymous")
    assert len(r.json["items"]) <= 1, r
    d.expect(400, "GET", "/v1/deployments/chat-blue/log?since=yesterday", code="invalid_argument", says="since: .*is no time")
    d.expect(404, "GET", "/v1/deployments/chat-bleu/log", code="not_found", says="chat-bleu")
    made = next(i["time"] for i in log if i["object"] == "deployment/chat-blue" and i["version"] == 1)
    r = d.expect(200, "GET", f"/v1/deployments/chat-blue/past?at={made}")
    assert r.json["then"] == 1 and r.json["held"] is None and "config/chat" in [o["object"] for o in r.json["objects"]], r
    d.expect(400, "GET", "/v1/deployments/chat-blue/past", code="invalid_argument", says="which time")
    d.expect(404, "GET", "/v1/deployments/chat-blue/past?at=2001-01-01T00:00:00Z", code="not_found", says="there was no deployment chat-blue")


def workers(d):
    registration = {"worker": "w0", "incarnation": "00112233445566778899aabbccddeeff", "host": "desk", "pid": 7, "rank": 0, "world": 1,
                    "labels": {}, "pin": {"distributed": {"tp": 4}},
                    "contract": {"sampling.temperature": {"type": "f64", "class": "live", "min": 0, "max": 2, "default": 1.0}}}
    r = d.expect(200, "POST", "/v1/deployments/chat-blue/workers", registration)
    d.expect(200, "GET", "/v1/deployments/chat-blue/workers")
    report = {"incarnation": registration["incarnation"], "step": 3, "state": "running", "age_ms": 0, "pending": [], "rejects": [],
              "overrides": [], "metrics": {},
              "applied": {"revision": r.json["revision"], "digest": "sha256:" + "0" * 64, "step": 2, "at": "2026-01-01T00:00:00.000000Z"}}
    d.expect(204, "POST", "/v1/deployments/chat-blue/workers/w0/report", report)
    d.expect(204, "POST", "/v1/deployments/chat-blue/workers/w0/report", {
        **report, "draining": [{"path": "batch", "now": 8, "target": 4}], "group": {"incarnation": "1", "formed": True},
        "windows": [{"seq": 1, "revision": r.json["revision"], "arm": "base", "from_step": 1, "to_step": 3, "steps": 3, "ms": 30, "latency": {"99": 3},
                     "metrics": {"loss": {"n": 3, "mean": 1, "m2": 0, "min": 1, "max": 1, "last": 1, "bad": 0}}}],
        "runs": [{"from_step": 1, "revision": r.json["revision"], "at": "2026-01-01T00:00:00.000000Z"}]})
    for local in ("false", "true"):
        d.expect(200, "GET", f"/v1/deployments/chat-blue/workers?local={local}")
        fleet = d.expect(200, "GET", f"/v1/deployments/chat-blue/fleet?local={local}").json
        assert fleet["arms"][0]["metrics"]["loss"]["n"] == 3 and not fleet["partial"], fleet
        d.expect(200, "GET", f"/v1/deployments/chat-blue/exposures?local={local}")
    ran = d.expect(200, "GET", "/v1/deployments/chat-blue/at?step=2").json["runs"]
    assert [(i["group"], i["from_step"], i["to_step"]) for i in ran] == [("w0", 1, None)], ran
    d.expect(400, "GET", "/v1/deployments/chat-blue/at", code="invalid_argument", says="which step")
    d.expect(404, "GET", "/v1/deployments/chat-bleu/fleet", code="not_found", says="chat-bl")
    r = d.expect(200, "GET", "/v1/deployments/chat-blue/groups/g0?wait_ms=1")
    assert r.json["ranks"] == [] and r.json["root"] is None, r.json
    d.expect(200, "POST", "/v1/deployments/chat-blue/workers", {**registration, "worker": "rank-0", "incarnation": "0123456789abcdef",
                                                               "group": "g0", "rank": 0, "world": 2, "address": "127.0.0.1:7"})
    r = d.expect(200, "GET", "/v1/deployments/chat-blue/groups/g0?wait_ms=30000")
    assert r.json["root"] == {"worker": "rank-0", "address": "127.0.0.1:7"} and r.json["world"] == 2, r.json
    d.expect(400, "GET", "/v1/deployments/chat-blue/groups/a%20b", code="bad_address")
    r = d.expect(200, "GET", "/v1/deployments/chat-blue/exposures")
    assert (r.json["exposures"], r.json["partial"]) == ([], False), r
    served = {"flag": "experiment/ab.flag", "variant": "on", "count": 3, "units": "A" * 1000 + "B" * 24}
    d.expect(204, "POST", "/v1/deployments/chat-blue/workers/w0/report", {**report, "exposures": [served]})
    r = d.expect(200, "GET", "/v1/deployments/chat-blue/exposures")
    assert [(e["flag"], e["variant"], e["arm"], e["count"], e["units"]) for e in r.json["exposures"]] == [
        ("experiment/ab.flag", "on", "base", 3, 24)], r
    r = d.expect(400, "POST", "/v1/deployments/chat-blue/workers/w0/report",
                 {**report, "exposures": [{**served, "count": -1}]}, code="invalid_argument")
    assert r.json["path"] == "exposures[0].count", r
    d.expect(404, "GET", "/v1/deployments/chat-bleu/exposures", code="not_found", says="chat-blue")
    d.expect(404, "POST", "/v1/deployments/chat-blue/workers/w9/report", report, code="unknown_worker")
    d.expect(200, "GET", "/v1/deployments/chat-blue/workers")
    other = {**registration, "worker": "w1", "pin": {"distributed": {"tp": 2}}}
    r = d.expect(409, "POST", "/v1/deployments/chat-blue/workers", other, code="pin_mismatch")
    assert r.json["differences"] == [{"path": "distributed.tp", "deployment": 4, "worker": 2}], r
    d.expect(404, "POST", "/v1/deployments/chat-bleu/workers", registration, code="not_found", says="chat-blue")


def rollouts(d):
    """Without workers only an empty rollout can be shown: what it decides is tested elsewhere."""
    d.expect(201, "PUT", "/v1/config/roll", {"lr": 1}, {"If-None-Match": "*"})
    d.expect(201, "POST", "/v1/deployments", {"name": "roll-blue", "config": "roll", "track": "hold"})
    d.expect(200, "PATCH", "/v1/config/roll", {"lr": 2}, MERGE)
    new = {"deployment": "roll-blue", "steps": [0.5, {"share": 1, "bake_ms": 1000, "gate": True}], "guards": ["p99_ms<1.1*base", "loss finite"],
           "start_at": 4102444800, "why": "try"}
    d.expect(404, "GET", "/v1/rollouts/roll-blue", code="not_found")
    d.expect(422, "POST", "/v1/rollouts", {**new, "steps": [0.5, 0.1, 1]}, code="bad_value")
    d.expect(200, "POST", "/v1/rollouts?dry_run=true&force=true", new)
    d.expect(201, "POST", "/v1/rollouts?force=true", new)
    d.expect(409, "POST", "/v1/rollouts?force=true", new)
    r = d.expect(200, "GET", "/v1/rollouts/roll-blue")
    assert r.json["state"] == {"phase": "scheduled", "step": 0} and r.json["to"]["release"] == {"roll": 2}, r
    d.expect(409, "POST", "/v1/rollouts/roll-blue/approve", {})
    d.expect(200, "POST", "/v1/rollouts/roll-blue/pause", {"why": "lunch"})
    d.expect(200, "POST", "/v1/rollouts/roll-blue/resume")
    d.expect(409, "POST", "/v1/rollouts/roll-blue/approve")
    d.expect(400, "POST", "/v1/rollouts/roll-blue/pause", ["no object"])
    d.expect(200, "POST", "/v1/rollouts/roll-blue/advance", {"why": "now"})
    d.expect(200, "POST", "/v1/rollouts/roll-blue/abort", {"why": "enough"})
    r = d.expect(200, "GET", "/v1/rollouts/roll-blue/history")
    assert r.json["items"][-1]["decision"]["input"] == "start", r
    r = d.expect(200, "GET", "/v1/rollouts")
    d.expect(404, "POST", "/v1/rollouts/roll-red/pause", {}, code="not_found")


def check_events(d, text, schemas):
    """Each event's data against its schema in the description."""
    seen = set()
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if fields.get("event") in schemas:
            seen.add(fields["event"])
            for wrong in d.spec.schema_errors({"$ref": f"#/components/schemas/{schemas[fields['event']]}"}, json.loads(fields["data"])):
                d.failures.append(f"event {fields['event']}: {wrong}: {fields['data'][:300]}")
    return seen


def experiments(d):
    split = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
             "targeting": {"fractional": [["on", 50], ["off", 50]]}}
    d.expect(201, "PUT", "/v1/flags/experiment/warm", {"definition": split}, {"If-None-Match": "*"})
    d.expect(201, "POST", "/v1/deployments", {"name": "measured", "config": "chat", "flags": ["experiment"]})
    ask = {"name": "warm", "deployment": "measured", "flag": "experiment/warm", "control": "off",
           "metrics": [{"name": "latency_ms", "want": "decrease"}]}
    for wrong, says in (({"control": "of"}, "no variant of"), ({"metrics": []}, "at least one"), ({"shares": {"on": 1}}, "off has no share"),
                        ({"alpha": 2}, "between 0 and 1")):
        d.expect(422, "POST", "/v1/experiments", {**ask, **wrong}, code="bad_value", says=says)
    d.expect(400, "POST", "/v1/experiments", {**ask, "arms": True}, code="invalid_argument")
    d.expect(404, "POST", "/v1/experiments", {**ask, "deployment": "nosuch"}, code="not_found")
    d.expect(404, "GET", "/v1/experiments/warm", code="not_found")
    r = d.expect(201, "POST", "/v1/experiments?message=why", ask)
    assert "nothing is measured yet" in r.json["results"][0]["hint"], r
    d.expect(409, "POST", "/v1/experiments", ask, code="conflict", says="running already")
    d.expect(409, "POST", "/v1/experiments", {**ask, "name": "again"}, code="conflict", says="warm runs on flag experiment/warm")
    d.expect(422, "POST", "/v1/changes", [{"object": "experiment/warm", "patch": {"result": {"verdict": "better"}}}], code="unsupported")
    worker = {"worker": "w", "incarnation": "00000000000000e1", "contract": {}}
    d.expect(200, "POST", "/v1/deployments/measured/workers", worker)
    moments = {"n": 200, "mean": 40.0, "m2": 5000.0, "min": 30.0, "max": 50.0, "last": 40.0, "bad": 0}
    side = {"flag": "experiment/warm", "variant": "off", "units": "A" * 1023 + "B", "metrics": {"latency_ms": moments},
            "parts": {"latency_ms": [200, 40.0] + 126 * [0]}}
    told = {"incarnation": "00000000000000e1", "applied": None, "step": 1, "state": "running", "age_ms": 0, "outcomes": {"seq": 1, "sides": [side]}}
    for status, wrong in ((400, {"units": "x"}), (400, {"variant": ""}), (400, {"metrics": {"a b": moments}}), (422, {"metrics": {"x": {**moments, "m2": -1}}}),
                          (422, {"parts": {}}), (422, {"parts": {"latency_ms": [199, 40.0] + 126 * [0]}})):
        bad = {**told, "outcomes": {"seq": 1, "sides": [{**side, **wrong}]}}
        d.expect(status, "POST", "/v1/deployments/measured/workers/w/report", bad)
    for _ in range(2):  # sent twice, counted once
        d.expect(204, "POST", "/v1/deployments/measured/workers/w/report", told)
    assert d.expect(200, "GET", "/v1/experiments").json["items"][0]["state"] == "running"
    assert d.expect(200, "GET", "/v1/experiments/warm").json["sides"] == [{"name": "off", "share": 50}, {"name": "on", "share": 50}]
    r = d.expect(200, "GET", "/v1/experiments/warm/report")
    assert r.json["verdict"] == "early" and r.json["control"]["units"] == 1, r
    part = d.expect(200, "GET", "/v1/deployments/measured/outcomes?local=true").json
    assert part["experiments"][0]["name"] == "warm" and part["seen"][0]["metrics"]["latency_ms"]["n"] == 200, part
    d.expect(400, "GET", "/v1/deployments/measured/outcomes", code="invalid_argument")
    plan = d.expect(200, "POST", "/v1/experiments/plan", {**ask, "relative_effect": 0.05})
    assert plan.json["baseline"]["measured"] and plan.json["baseline"]["mean"] == 40 and plan.json["effect"] == 2, plan
    d.expect(422, "POST", "/v1/experiments/plan", ask, code="bad_value", says="smallest difference")
    d.expect(400, "POST", "/v1/experiments/warm/stop", {"result": 1}, code="invalid_argument")
    d.expect(200, "POST", "/v1/experiments/warm/stop", {"why": "enough"})
    assert d.expect(200, "GET", "/v1/experiments/warm/report").json["state"] == "stopped"
    assert d.expect(200, "GET", "/v1/experiments/warm").json["result"]["verdict"] == "early"
    d.expect(409, "POST", "/v1/experiments/warm/stop", {}, code="conflict", says="ended already")
    d.expect(200, "POST", "/v1/experiments", ask)
    assert d.expect(200, "GET", "/v1/experiments/warm/report").json["control"]["units"] == 0, "another run begins from nothing"
    d.expect(200, "POST", "/v1/experiments/warm/stop", {})


def streams(d):
    head, text = d.stream("/v1/deployments/chat-blue/stream", "data: ")
    assert "Configd-Revision:" in head and "text/event-stream" in head, head
    assert check_events(d, text, {"view": "View"}) == {"view"}, text
    d.spec.used.add(("streamDeployment", 200))
    head, text = d.stream("/v1/watch?namespace=chat", "event: change", {"Last-Event-ID": d.started_at})
    d.spec.used.add(("watch", 200))
    check_events(d, text, {"change": "ChangeEvent", "mark": "WatchMarkEvent"})


def meta(d):
    d.expect(200, "GET", "/healthz")
    d.expect(200, "GET", "/readyz")
    assert d.expect(200, "GET", "/v1/status").json["state"] == "live"
    r = d.expect(200, "GET", "/v1/health")
    assert r.json["etcd"]["endpoints"][0]["ok"] and r.json["etcd"]["quota"] >= 2 << 30 and len(r.json["etcd"]["members"]) == 1, r
    r = d.expect(200, "GET", "/v1/log?limit=3")
    assert len(r.json["items"]) == 3, r
    assert all(i["namespace"] == "experiment" for i in d.expect(200, "GET", "/v1/log?namespace=experiment").json["items"])
    assert json.loads(d.expect(200, "GET", "/openapi.json").body) == json.loads(json.dumps(d.spec.document, default=str))
    text = d.expect(200, "GET", "/metrics").body.decode()
    for name in ("configd_http_requests_total", "configd_replica_state", "configd_streams", "configd_objects", "configd_revision",
                 "configd_etcd_up", "configd_etcd_db_size_bytes", "configd_etcd_db_quota_bytes", "configd_etcd_alarms", "configd_views_total", "configd_frames_total", "configd_frame_bytes_total", "configd_skipped_total", "configd_etcd_requests_total"):
        assert f"\n{name}" in text, f"no {name} in /metrics"
    backup = d.expect(200, "GET", "/v1/backup").body
    r = d.expect(200, "POST", "/v1/restore", raw=backup, headers={"Content-Type": "application/x-ndjson"})
    assert r.json["epoch"] == 2, r
    d.expect(200, "GET", "/v1/config/chat")


def main():
    spec = Spec()
    with Daemon(spec=spec) as d:
        for part in (configs, layers, flags, ofrep, evaluators, schemas, changes, deployments, rollouts, experiments, streams, meta):
            try:
                part(d)
            except AssertionError as e:
                d.failures.append(f"{part.__name__}: line {e.__traceback__.tb_lineno} … {e}")
    used = {operation for operation, _ in spec.used}
    for template, item in spec.document["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and operation["operationId"] not in used:
                d.failures.append(f"{method.upper()} {template} was never asked")
    finish("openapi", d.failures, len(spec.used))


if __name__ == "__main__":
    main()
