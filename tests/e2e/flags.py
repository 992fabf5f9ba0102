"""Flags as an operator edits, tests and explains them, against a real etcd and a real configd."""
import json
import os
import re
import subprocess

from cfgctl import Session, laboratory, main  # also finds the laboratory


class Flags(Session):
    def flag(self, name="ab.flag"):
        return self.json("get", f"experiment/{name}")

    def targeting(self):
        return self.flag()["definition"].get("targeting")

    def test_create(self):
        out = self.ok("flag", "create", "experiment/ab.flag", "--description", "the new sampler")
        self.assertIn("+ variant on: true\n", out)
        self.assertIn("created flag ab.flag=off", out)
        self.assertIn("next: cfgctl flag on experiment/ab.flag", out)
        self.assertEqual(self.flag()["definition"]["metadata"], {"description": "the new sampler"})
        self.ok("flag", "create", "experiment/mode", "--variants", "fast=0.2", "slow=0.9", "--default", "slow", "--off", "fast")
        mode = self.flag("mode")
        self.assertEqual((mode["definition"]["variants"], mode["definition"]["defaultVariant"], mode["off_variant"], mode["enabled"]),
                         ({"fast": 0.2, "slow": 0.9}, "slow", "fast", True))
        self.ok("flag", "create", "experiment/text", "--type", "string", "--variants", "a=1", "b=true", "--dry-run")
        self.refused(3, "text", "flag", "get", "experiment/text")
        self.refused(4, "already", "flag", "create", "experiment/mode")
        self.refused(5, "variant", "flag", "create", "experiment/x", "--default", "onn")
        self.refused(5, "type", "flag", "create", "experiment/x", "a=1", "b=text")
        self.refused(2, "variants", "flag", "create", "experiment/x", "--type", "string")
        self.refused(2, "address|NAMESPACE", "flag", "create", "x")
        self.ok("flag", "create", "experiment/fp8", "--requires", "fp8,bf16")
        self.assertEqual(self.flag("fp8")["requires"], ["fp8", "bf16"])
        self.refused(5, "requires|capabilit", "flag", "create", "experiment/odd", "--requires", "b f")
        self.ok("set", "experiment/taken=1")
        self.refused(4, "taken", "flag", "create", "experiment/taken")

    def test_update(self):
        self.ok("flag", "create", "experiment/mode", "fast=0.2", "slow=0.9", "--default", "slow", "--off", "fast", "--description", "old")
        out = self.ok("flag", "update", "experiment/mode", "mid=0.5", "fast=0.1", "--default", "mid", "--description", "how it decodes",
                      "--meta", "owner=search", "--meta", "tier=2", "--state", "DISABLED")
        for line in ('+ state: "DISABLED"', "- variant fast: 0.2", "+ variant fast: 0.1", "+ variant mid: 0.5", '- default: "slow"', '+ default: "mid"',
                     '- metadata description: "old"', '+ metadata description: "how it decodes"', '+ metadata owner: "search"', "+ metadata tier: 2"):
            self.assertIn(line + "\n", out)
        mode = self.flag("mode")
        self.assertEqual(mode["definition"], {"state": "DISABLED", "variants": {"fast": 0.1, "slow": 0.9, "mid": 0.5}, "defaultVariant": "mid",
                                              "metadata": {"description": "how it decodes", "owner": "search", "tier": 2}})
        self.ok("flag", "update", "experiment/mode", "--off", "", "--remove-meta", "tier", "--state", "ENABLED", "--hash-version", "3")
        mode = self.flag("mode")
        self.assertEqual((mode.get("off_variant"), mode["hash_version"], mode["definition"]["state"]), (None, 3, "ENABLED"))
        self.refused(2, "nothing to change", "flag", "update", "experiment/mode")
        self.refused(5, "slow", "flag", "update", "experiment/mode", "--default", "slwo")
        self.refused(5, "type|mixed|boolean|string", "flag", "update", "experiment/mode", "loud=yell")
        self.refused(3, "experiment/mode", "flag", "update", "experiment/moed", "--default", "slow")
        self.refused(4, "version", "flag", "update", "experiment/mode", "--default", "slow", "--if-version", "1")
        before = self.flag("mode")["version"]
        self.assertIn('+ default: "slow"', self.ok("flag", "update", "experiment/mode", "--default", "slow", "--dry-run"))
        self.assertEqual(self.flag("mode")["version"], before)

    def test_variants_in_use_stay(self):
        """Refused here with what uses them, and by the server for whoever asks it directly."""
        self.ok("flag", "create", "experiment/v", "--type", "string", *(f"{n}=1" for n in ("none", "off", "rule", "arm", "over", "pre", "free")),
                "--default", "none", "--off", "off")
        self.ok("flag", "target", "experiment/v", "--if", "x = 1", "--serve", "rule")
        self.ok("flag", "split", "experiment/v", "arm=1", "none=9", "--by", "user.id")
        self.ok("flag", "override", "experiment/v", "over", "sampling.temperature=0.9")
        self.ok("flag", "create", "experiment/other")
        self.ok("flag", "require", "experiment/other", "v=free,pre")
        for variant, why in (("none", "default"), ("off", "while the flag is off"), ("rule", "rule 1"), ("arm", "no rule catches"),
                             ("over", "overrides"), ("pre", "flag other requires it")):
            self.refused(4, why, "flag", "update", "experiment/v", "--remove-variant", variant)
            with self.assertRaises(laboratory.Problem, msg=variant) as refusal:
                self.configd.call("PATCH", "/v1/flags/experiment/v", {"definition": {"variants": {variant: None}}},
                                  {"Content-Type": "application/merge-patch+json"})
            self.assertIn(refusal.exception.status, (409, 422), variant)
        self.assertIn("- variant rule", self.ok("flag", "target", "experiment/v", "--clear") + self.ok("flag", "update", "experiment/v", "--remove-variant", "rule"))
        self.ok("flag", "update", "experiment/v", "--default", "arm", "--off", "arm", "--remove-variant", "off")
        self.assertEqual(sorted(self.flag("v")["definition"]["variants"]), ["arm", "free", "none", "over", "pre"])

    def test_split(self):
        self.ok("flag", "create", "experiment/ab.flag", "--default", "off")
        out = self.ok("flag", "split", "experiment/ab.flag", "on=10", "off=90", "--by", "user.id")
        self.assertIn("+ serve on 10 %, off 90 % by user.id\nmoves 10 % of the units from off to on\n", out)
        self.ok("flag", "target", "experiment/ab.flag", "--if", 'email ends_with "@x.com"', "--serve", "on")
        out = self.ok("flag", "split", "experiment/ab.flag", "on=25%")
        self.assertIn("- else serve on 10 %, off 90 % by user.id\n+ else serve on 25 %, off 75 % by user.id\n", out)
        self.assertIn("raising on from 10 % to 25 % moves nobody out\n", out)
        self.assertEqual(self.targeting(), {"if": [
            {"ends_with": [{"var": "email"}, "@x.com"]}, "on",
            {"if": [{"!=": [{"var": "user.id"}, None]},
                    {"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "user.id"}]}, ["on", 25], ["off", 75]]}]}]})
        before = self.flag()["version"]
        out = self.ok("flag", "split", "experiment/ab.flag", "on=50%", "--dry-run")
        self.assertIn("+ else serve on 50 %", out)
        self.assertIn("dry run: experiment v", out)
        self.assertEqual(self.flag()["version"], before)
        self.assertIn("unchanged", self.ok("flag", "split", "experiment/ab.flag", "on=25%"))
        self.assertEqual(self.json("flag", "split", "experiment/ab.flag", "on=26")["results"][0]["name"], "ab.flag")
        self.refused(5, "onn", "flag", "split", "experiment/ab.flag", "onn=1", "off=2")
        self.refused(2, "share", "flag", "split", "experiment/ab.flag", "on=x")
        self.refused(5, "weights", "flag", "split", "experiment/ab.flag", "on=0", "off=0")
        self.refused(3, "ab[.]flag", "flag", "split", "experiment/ab.flga", "on=1", "off=2")
        self.refused(4, "version", "flag", "split", "experiment/ab.flag", "on=1", "off=2", "--if-version", "1")
        self.ok("flag", "split", "experiment/ab.flag", "--clear")
        self.assertEqual(len(self.targeting()["if"]), 2)
        self.assertIn('rule 1: if email ends_with "@x.com" serve on\n', self.ok("flag", "get", "experiment/ab.flag", "-o", "wide"))

    def test_split_and_whom_no_attribute_names(self):
        """A new flag's default is `on`: nobody may get that for having no user.id without being told."""
        self.ok("flag", "create", "experiment/ab.flag")
        self.ok("flag", "on", "experiment/ab.flag")
        out = self.ok("flag", "split", "experiment/ab.flag", "on=10", "--by", "user.id", "--dry-run")
        self.assertIn("units without user.id get on, the default variant; --default off gives them off\n", out)
        out = self.ok("flag", "split", "experiment/ab.flag", "on=10", "--by", "user.id", "--default", "off")
        self.assertIn('- default: "on"\n+ default: "off"\n+ serve on 10 %, off 90 % by user.id\n', out)
        self.assertIn("units without user.id get off, the default variant\n", out)
        for context, reason in (({"targetingKey": "u-1"}, ("UNKNOWN", "DEFAULT")), ({}, ("UNKNOWN", "DEFAULT")),
                                ({"user": {"id": "u-1"}}, ("TARGETING_MATCH", "TARGETING_MATCH"))):
            served = self.configd.call("POST", "/ns/experiment/ofrep/v1/evaluate/flags/ab.flag", {"context": context})
            self.assertEqual((served["variant"], served["reason"]), ("off", reason[0]), context)
            answer = self.json("flag", "eval", "experiment/ab.flag", "--context", json.dumps(context))
            self.assertEqual((answer["variant"], answer["reason"]), ("off", reason[1]), context)
        self.assertIn("split: the context has no user.id → the default", self.ok("flag", "explain", "experiment/ab.flag"))
        out = self.ok("flag", "target", "experiment/ab.flag", "--if", "plan = pro", "--serve", "on=50,off=50", "--by", "org")
        self.assertIn("units without org get off, the default variant\n", out)
        self.assertEqual(self.ok("flag", "target", "experiment/ab.flag", "--list").splitlines(), [
            'rule 1: if plan == "pro" serve on 50 %, off 50 % by org', "else serve on 10 %, off 90 % by user.id"])
        self.ok("flag", "target", "experiment/ab.flag", "--clear")
        self.assertEqual(self.ok("flag", "target", "experiment/ab.flag", "--list"), "serve on 10 %, off 90 % by user.id\n")

    def test_nobody_leaves_when_a_share_grows(self):
        """Not only said: asked of a thousand units before and after."""
        self.ok("flag", "create", "experiment/ab.flag", "--default", "off")

        def served(percent):
            self.ok("flag", "split", "experiment/ab.flag", f"on={percent}%", "--by", "user.id")
            document = json.loads(self.ok("flag", "export", "experiment"))
            lines = "".join(json.dumps({"flags": document, "flag": "ab.flag", "type": "bool", "default": False,
                                        "context": {"user": {"id": f"u-{i}"}}}) + "\n" for i in range(1000))
            return [json.loads(a)["value"] for a in self.ok("flag", "eval", "--batch", stdin=lines).splitlines()]

        ten, more = served(10), served(25)
        self.assertTrue(60 < sum(ten) < 140 and 190 < sum(more) < 310, (sum(ten), sum(more)))
        self.assertFalse([i for i in range(1000) if ten[i] and not more[i]])

    def test_rules(self):
        self.ok("flag", "create", "experiment/ab.flag", "--default", "off")
        self.ok("flag", "segment", "set", "experiment/staff", "team in [infra, research]")
        self.ok("flag", "target", "experiment/ab.flag", "--if", "segment staff", "--serve", "on")
        self.ok("flag", "target", "experiment/ab.flag", "--if", "plan = pro and not (country in [de, fr])", "--serve", "on=50,off=50", "--first")
        self.ok("flag", "target", "experiment/ab.flag", "--rule", '{"==": [{"var": "x"}, 1]}', "--serve", "off", "--before", "2")
        self.assertEqual(self.ok("flag", "target", "experiment/ab.flag", "--list").splitlines(), [
            'rule 1: if plan == "pro" and not country in ["de", "fr"] serve on 50 %, off 50 % by targetingKey',
            "rule 2: if x == 1 serve off",
            "rule 3: if segment staff serve on"])
        self.refused(5, "ends_with", "flag", "target", "experiment/ab.flag", "--if", "email endswith x", "--serve", "on")
        self.refused(5, "staff|stafff", "flag", "target", "experiment/ab.flag", "--if", "segment stafff", "--serve", "on")
        self.refused(5, "operator|supported", "flag", "target", "experiment/ab.flag", "--rule", '{"nonsense": [1]}', "--serve", "on")
        self.refused(5, "rule 9", "flag", "target", "experiment/ab.flag", "--remove", "9")
        self.refused(2, "one thing", "flag", "target", "experiment/ab.flag", "--list", "--clear")
        self.refused(4, "used by flag ab[.]flag", "flag", "segment", "delete", "experiment/staff")
        self.assertIn('- if x == 1 serve off\n', self.ok("flag", "target", "experiment/ab.flag", "--remove", "2"))
        self.ok("flag", "target", "experiment/ab.flag", "--clear")
        self.assertIsNone(self.targeting())
        self.assertIn("staff", self.ok("flag", "segment", "list", "experiment"))
        self.refused(3, "staff", "flag", "segment", "get", "experiment/staf")
        self.ok("flag", "segment", "delete", "experiment/staff")

    def test_versions_compared(self):
        self.ok("flag", "create", "experiment/versions", "--default", "off")
        self.ok("flag", "split", "experiment/versions", "on=10")
        self.ok("flag", "off", "experiment/versions")
        self.assertEqual(self.ok("diff", "experiment/versions"), "experiment/versions v2 → v3\n- on\n+ off\n")
        self.assertEqual(self.ok("diff", "experiment/versions", "1", "2"),
                         "experiment/versions v1 → v2\n+ serve on 10 %, off 90 % by targetingKey\n")
        self.assertIn("no difference", self.ok("diff", "experiment/versions", "3"))
        self.assertIn("+ variant on: true\n", self.ok("diff", "experiment/versions", "0", "1"))
        tree = self.json("diff", "experiment/versions", "2")
        self.assertEqual((tree["from"], tree["to"], tree["before"]["enabled"], tree["after"]["enabled"]), (2, 3, True, False))
        self.refused(3, "no version 9", "diff", "experiment/versions", "9")
        self.assertTrue(self.json("flag", "get", "experiment/versions", "--version", "2")["enabled"])

    def test_history_and_rollback_say_what_changes(self):
        name = "experiment/ab.flag"
        self.ok("flag", "create", name, "--default", "off")
        self.ok("flag", "split", name, "on=10")
        self.ok("flag", "update", name, "--default", "on", "--meta", "owner=a")
        self.ok("flag", "off", name, "-m", "errors")
        self.ok("flag", "delete", name)
        self.ok("flag", "create", name)
        for command in (("flag", "history"), ("history",)):
            rows = [re.split(r"  +", line)[:1] + re.split(r"  +", line)[2:4] for line in self.ok(*command, name).splitlines()]
            self.assertEqual(rows, [["VERSION", "STATE", "CHANGED"], ["6", "off", "created"], ["5", "deleted", "deleted"], ["4", "off", "switched off"],
                                    ["3", "on", "default, metadata"], ["2", "on", "rules"], ["1", "on", "created"]])
        self.assertEqual(len(self.ok("flag", "history", name, "--limit", "2").splitlines()), 4)
        self.refused(2, "limit", "flag", "history", name, "--limit", "0")
        self.refused(2, "limit", "history", "--limit", "0")
        out = self.ok("flag", "rollback", name, "--to", "2", "-n")
        self.assertIn("- off\n+ on\n", out)
        self.assertIn("+ serve on 10 %, off 90 % by targetingKey\n", out)
        self.assertIn("dry run", out)
        self.assertEqual(self.flag()["version"], 6)
        self.assertIn("+ serve on 10 %", self.ok("flag", "rollback", name, "--to", "2"))
        self.refused(3, "9", "flag", "rollback", name, "--to", "9")

    def test_around_the_definition(self):
        for name in ("a", "b", "c"):
            self.ok("flag", "create", f"experiment/{name}", "--default", "on")
        self.ok("flag", "require", "experiment/a", "b=on")
        self.refused(5, "circle", "flag", "require", "experiment/b", "a=on")
        self.refused(5, "there is no flag", "flag", "require", "experiment/a", "zzz=on")
        self.ok("flag", "group", "experiment/a", "checkout=25%", "--by", "user.id")
        self.ok("flag", "group", "experiment/b", "checkout=50%")
        self.refused(5, "25 % is free", "flag", "group", "experiment/c", "checkout=30%")
        groups = [(g["from"], g["to"], g["by"]) for g in (self.flag(n)["group"] for n in "ab")]
        self.assertEqual(groups, [(0, 2500, "user.id"), (2500, 7500, "user.id")])
        rows = [re.split(r"  +", line.strip()) for line in self.ok("flag", "group", "experiment", "--list").splitlines()]
        self.assertEqual(rows, [["GROUP", "FLAG", "SHARE", "BY"], ["checkout", "a", "25 %", "user.id"], ["checkout", "b", "50 %", "user.id"],
                                ["checkout", "(free)", "25 %", "-"]])
        self.ok("flag", "holdout", "experiment/a", "q4=5%", "--by", "user.id")
        self.assertNotIn("note:", self.ok("flag", "holdout", "experiment/b", "q4=5%", "--by", "user.id", "--dry-run"))
        self.assertIn("note: a holds out 5 % by user.id for q4", self.ok("flag", "holdout", "experiment/b", "q4=5%"))
        self.assertIn("by its rules, else on", self.ok("list", "experiment"))
        self.ok("flag", "override", "experiment/a", "on", "sampling.temperature=0.9")
        self.assertEqual(self.flag("a")["overrides"], {"on": {"sampling.temperature": 0.9}})
        self.refused(5, "variant", "flag", "override", "experiment/a", "onn", "sampling.temperature=0.9")
        out = self.run_cfgctl("flag", "export", "experiment")
        self.assertIn("a: prerequisites: flagd has none", out.stderr)
        self.assertIn("note: b: its group and holdouts are written as rules", out.stderr)
        self.assertEqual(set(json.loads(out.stdout)["flags"]), {"a", "b", "c"})
        for what in (("require", "--remove", "b"), ("group", "--clear"), ("holdout", "--remove", "q4"), ("override", "--clear")):
            self.ok("flag", what[0], "experiment/a", *what[1:])
        self.assertFalse({"prerequisites", "group", "holdouts", "overrides"} & {k for k, v in self.flag("a").items() if v})

    def test_explain_and_eval(self):
        self.ok("flag", "create", "experiment/base", "--default", "off")
        self.ok("flag", "target", "experiment/base", "--if", "user.id = ann", "--serve", "on")
        self.ok("flag", "create", "experiment/ab.flag", "--default", "off")
        self.ok("flag", "require", "experiment/ab.flag", "base=on")
        self.ok("flag", "target", "experiment/ab.flag", "--if", "plan = pro", "--serve", "on")
        self.ok("flag", "split", "experiment/ab.flag", "on=0", "off=100", "--by", "user.id")
        ann = '{"user": {"id": "ann"}, "plan": "pro"}'
        out = self.ok("flag", "explain", "experiment/ab.flag", "--context", ann)
        self.assertEqual(out.splitlines(), [
            "experiment/ab.flag = true (variant on, TARGETING_MATCH)",
            '├─ prerequisite base: serves on, "on" is required: holds',
            '│  ├─ rule 1 holds: user.id == "ann" → on',
            "│  └─ targeting names on",
            '├─ rule 1 holds: plan == "pro" → on',
            "└─ targeting names on"])
        steps = self.json("flag", "explain", "experiment/ab.flag", "--context", '{"user": {"id": "ann"}}')["steps"]
        self.assertEqual([s["step"] for s in steps], ["prerequisite", "rule", "else", "split", "variant"])
        self.assertRegex(steps[3]["text"], r"bucket \d+ of 100 is off")
        answer = self.json("flag", "eval", "experiment/ab.flag", "--type", "bool", "--default", "false", "--context", ann)
        self.assertEqual(answer, {"value": True, "variant": "on", "reason": "TARGETING_MATCH", "errorCode": None})
        served = self.configd.call("POST", "/ns/experiment/ofrep/v1/evaluate/flags/ab.flag", {"context": json.loads(ann)})
        self.assertEqual((served["value"], served["variant"], served["reason"]), (True, "on", "TARGETING_MATCH"), "as the server answers")
        answer = self.json("flag", "eval", "experiment/none", "--type", "string", "--default", "x")
        self.assertEqual((answer["value"], answer["errorCode"]), ("x", "FLAG_NOT_FOUND"))
        self.refused(3, "ab[.]flag", "flag", "explain", "experiment/ab.flg")
        self.refused(2, "type", "flag", "eval", "experiment/ab.flag", "--type", "bool", "--default", "7")
        self.refused(5, "context", "flag", "eval", "experiment/ab.flag", "--context", "{")

    def test_no_targeting_key(self):
        """Served flags answer as OFREP does, flags of a file as flagd does, and then what OFREP would say is named."""
        self.ok("flag", "create", "experiment/ab.flag", "--default", "off")
        self.ok("flag", "split", "experiment/ab.flag", "on=10")
        with self.assertRaises(laboratory.Problem) as refusal:
            self.configd.call("POST", "/ns/experiment/ofrep/v1/evaluate/flags/ab.flag", {"context": {"plan": "pro"}})
        self.assertEqual(refusal.exception.body["errorCode"], "TARGETING_KEY_MISSING")
        asked = ("flag", "eval", "experiment/ab.flag", "--type", "bool", "--default", "true", "--context", '{"plan": "pro"}')
        self.assertEqual(self.json(*asked), {"value": True, "variant": None, "reason": "ERROR", "errorCode": "TARGETING_KEY_MISSING"})
        out = self.ok("flag", "explain", "experiment/ab.flag")
        self.assertIn("= the caller's default (ERROR TARGETING_KEY_MISSING)\n", out)
        self.assertIn("the context has no targetingKey to hash", out)
        self.assertIsNone(self.json("flag", "eval", "experiment/ab.flag", "--context", '{"targetingKey": "u-1"}')["errorCode"])
        name = os.path.join(self.lab.dir, "flags.json")
        with open(name, "w") as f:
            f.write(self.ok("flag", "export", "experiment"))
        done = self.run_cfgctl("flag", "eval", "--file", name, "--flag", "ab.flag", "-o", "json")
        self.assertEqual((json.loads(done.stdout)["variant"], json.loads(done.stdout)["errorCode"]), ("off", None))
        self.assertIn("TARGETING_KEY_MISSING", done.stderr)

    def test_list_shows_rules(self):
        for name in ("plain", "split", "rules", "dark", "json"):
            self.ok("flag", "create", f"experiment/{name}", "--default", "off")
        for name in ("split", "rules", "dark"):
            self.ok("flag", "split", f"experiment/{name}", "on=10", "--by", "user.id")
        self.ok("flag", "target", "experiment/rules", "--if", "plan = pro", "--serve", "on")
        self.ok("flag", "target", "experiment/json", "--if", "plan = pro", "--serve", "on")
        self.ok("flag", "off", "experiment/dark")
        rows = {row[0]: row[1:3] for row in (re.split(r"  +", line) for line in self.ok("flag", "list", "experiment", "-o", "wide").splitlines())}
        self.assertEqual(rows, {"FLAG": ["STATE", "VALUE"], "experiment/plain": ["on", "false"], "experiment/dark": ["off", "false"],
                                "experiment/split": ["on", "on 10 %, off 90 % by user.id"], "experiment/json": ["on", "1 rule, else false"],
                                "experiment/rules": ["on", "1 rule, else on 10 %, off 90 % by user.id"]})

    def test_hints(self):
        self.ok("flag", "create", "experiment/ab.flag", "--default", "off")
        self.refused(5, "--rule '{", "flag", "target", "experiment/ab.flag", "--rule", "{bad", "--serve", "on")
        self.refused(5, "--rule '{", "flag", "segment", "set", "experiment/s", "--rule", "{bad")
        self.refused(5, "--default true or false", "flag", "eval", "experiment/ab.flag", "--type", "bool", "--default", "xyz")
        self.refused(2, "nobody", "flag", "group", "experiment/ab.flag", "g=0%")
        self.refused(5, "it has ab.flag", "flag", "require", "experiment/ab.flag", "nope=on")
        self.refused(5, "beta == true", "flag", "target", "experiment/ab.flag", "--if", "plan = pro and (beta or x = 1)", "--serve", "on")

    def test_files(self):
        name = os.path.join(self.lab.dir, "flags.json")
        on = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}
        rule = {"if": [{"$ref": "staff"}, "off"]}
        with open(name, "w") as f:
            json.dump({"flags": {"one": dict(on, targeting=rule), "two": on}, "$evaluators": {"staff": {"==": [{"var": "x"}, 1]}}}, f)
        self.assertEqual(self.json("flag", "eval", "--file", name, "--flag", "one", "--type", "bool", "--context", '{"x": 1}')["variant"], "off")
        self.refused(5, "line 1", "flag", "import", "-", "experiment", stdin="{nonsense")
        self.refused(5, "duplicate key", "flag", "import", "-", "experiment", stdin='{"flags": {}, "flags": {}}')
        self.refused(5, "no flagd document", "flag", "import", "-", "experiment", stdin="{}")
        self.refused(5, "experiment/bad|bad", "flag", "import", "-", "experiment", stdin='{"flags": {"good": %s, "bad": {"state": "ENABLED"}}}' % json.dumps(on))
        self.assertIn("2 new, 1 changed", self.ok("flag", "import", name, "experiment", "--dry-run"))
        self.refused(3, ".", "flag", "get", "experiment/one")
        self.ok("flag", "import", name, "experiment", "-m", "from git")
        self.assertEqual(self.json("flag", "history", "experiment/one")["items"][0]["message"], "from git")
        self.assertEqual(self.flag("one")["revision"], self.flag("two")["revision"], "one transaction")
        exported = json.loads(self.ok("flag", "export", "experiment"))
        with open(name) as f:
            self.assertEqual({k: v for k, v in exported.items() if k != "$schema"}, json.load(f))
        self.assertIn("0 new, 0 changed, 0 gone, 2 as they are", self.ok("flag", "import", name, "experiment"))
        self.ok("flag", "off", "experiment/two")
        self.assertIn("note: two: it is off", self.run_cfgctl("flag", "export", "experiment").stderr)
        with open(name.replace(".json", ".yaml"), "w") as f:
            f.write(self.ok("flag", "export", "experiment", "-o", "yaml").replace("  two:", "  three:", 1))
        out = self.refused(2, "delete 1 flags", "flag", "import", name.replace(".json", ".yaml"), "experiment", "--prune").stdout
        self.assertIn("- experiment/two\n", out)
        self.ok("flag", "import", name.replace(".json", ".yaml"), "experiment", "--prune", "--yes")
        self.assertEqual({f["name"] for f in self.json("flag", "list")["items"]}, {"one", "three"})
        many = json.dumps({"flags": {f"f{i}": on for i in range(70)}})
        self.refused(5, "non-atomic", "flag", "import", "-", "many", stdin=many)
        self.ok("flag", "import", "-", "many", "--non-atomic", stdin=many)
        self.assertEqual(len(self.json("flag", "list", "many")["flags"]), 70)
        self.ok("flag", "rollback", "experiment/one", "--to", "1")
        self.refused(2, "address|NAMESPACE", "flag", "history", "experiment")

    def test_nothing_is_lost_in_envelopes(self):
        """Everything around definitions goes out and comes back, in the form of `export -f` and in the API's own."""
        for name in ("a", "b", "c"):
            self.ok("flag", "create", f"experiment/{name}", "--default", "on", "--description", name)
        self.ok("flag", "segment", "set", "experiment/staff", "team in [infra]")
        self.ok("flag", "target", "experiment/a", "--if", "segment staff", "--serve", "on")
        self.ok("flag", "require", "experiment/a", "b=on")
        self.ok("flag", "group", "experiment/a", "checkout=25%", "--by", "user.id")
        self.ok("flag", "holdout", "experiment/a", "q4=5%", "--by", "user.id")
        self.ok("flag", "override", "experiment/a", "on", "sampling.temperature=0.9")
        self.ok("flag", "update", "experiment/a", "--hash-version", "3")
        self.ok("flag", "off", "experiment/c")

        def kept(ns):
            space = self.configd.call("GET", f"/v1/flags/{ns}?format=envelopes")
            own = ("version", "revision", "time", "author", "message", "required_by", "digest", "namespace", "name")
            return {n: {k: v for k, v in f.items() if k not in own} for n, f in space["flags"].items()}, space["evaluators"], space["metadata"]

        wanted = kept("experiment")
        self.assertEqual(set(wanted[0]["a"]) & {"prerequisites", "group", "holdouts", "overrides", "hash_version"},
                         {"prerequisites", "group", "holdouts", "overrides", "hash_version"})
        whole = self.ok("flag", "export", "experiment", "--envelopes")
        self.ok("flag", "import", "-", "copy", stdin=whole)
        self.assertEqual(kept("copy"), wanted)
        self.ok("flag", "import", "-", "again", stdin=json.dumps(self.configd.call("GET", "/v1/flags/experiment?format=envelopes")))
        self.assertEqual(kept("again"), wanted)
        self.assertIn("0 new, 0 changed, 0 gone, 3 as they are", self.ok("flag", "import", "-", "copy", stdin=whole))
        self.ok("flag", "on", "copy/c")
        self.ok("flag", "require", "copy/a", "--clear")
        self.ok("flag", "group", "copy/b", "checkout=5%", "--by", "user.id")
        self.ok("flag", "import", "-", "copy", stdin=whole)
        self.assertEqual(kept("copy"), wanted, "also what had been put around a flag since")
        name = os.path.join(self.lab.dir, "all.json")
        with open(name, "w") as f:
            f.write(whole)
        self.assertEqual(self.json("flag", "eval", "--file", name, "--flag", "c")["reason"], "DISABLED")
        self.refused(5, "off_variant", "flag", "import", "-", "copy", stdin=whole.replace("off_variant", "off_varaint"))

    def test_batch_answers_line_by_line(self):
        """Whoever asks one question and waits gets its answer; lines that are none keep their place."""
        asking = subprocess.Popen([laboratory.CFGCTL, "flag", "eval", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(asking.kill)
        for line, value in (('{"flags": {}, "flag": "x", "default": 1}', 1), ("nonsense", None), ("", None), ('{"flags": {}, "flag": "x", "default": 2}', 2)):
            asking.stdin.write(line + "\n")
            asking.stdin.flush()
            self.assertEqual(json.loads(asking.stdout.readline())["value"], value)
        out, err = asking.communicate('{"flags": {}, "flag": "x", "default": 3}')  # no newline at the end
        self.assertEqual((json.loads(out)["value"], asking.returncode), (3, 0))
        self.assertIn("line 2", err)

    def test_two_hands_at_once(self):
        """An edit that was overtaken is made again on what the other one left."""
        self.ok("flag", "create", "experiment/ab.flag", "--default", "off")
        hands = [subprocess.Popen([laboratory.CFGCTL, "flag", "target", "experiment/ab.flag", "--if", f"n = {i}", "--serve", "on", "--server",
                                   self.configd.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for i in range(4)]
        codes = [(h.communicate()[1], h.returncode) for h in hands]
        done = sum(code == 0 for _, code in codes)
        self.assertGreaterEqual(done, 1)
        self.assertTrue(all(code in (0, 4) for _, code in codes), codes)
        self.assertEqual(len(self.targeting()["if"]), 2 * done, "nobody's rule is lost")

    def test_completion_offers_names(self):
        self.ok("set", "chat/a=1", "experiment/ab.flag=on")
        self.ok("deployment", "create", "blue", "--config", "chat")
        self.assertEqual(self.ok("completion", "names", "namespace", "flag", "deployment").split(), ["chat", "experiment/ab.flag", "blue"])
        self.assertEqual(self.ok("completion", "names", "flag", server=f"http://127.0.0.1:{laboratory.free_port()}"), "")
        self.assertRegex(self.ok("deployment", "update", "blue", "--track", "hold"), r'^blue v2: track "head" → "hold"\n')
        self.assertRegex(self.ok("deployment", "update", "blue", "--flags", "experiment"), r"^blue v3: sees the flags of experiment\n")


if __name__ == "__main__":
    main(Flags)
