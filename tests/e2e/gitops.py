"""plan, promote, apply and export -f, against a real etcd and a real configd: files in git and what is served, kept together."""
import json
import os
import re

from cfgctl import Session, laboratory, main  # also finds the laboratory


class Plan(Session):
    def test_plan_says_who_does_what(self):
        self.fleet()
        self.ok("deployment", "create", "slow", "--config", "chat", "--track", "hold")
        before = self.revision()
        out = self.ok("plan", "chat/counter.w0=2", "chat/distributed.tp=8", "chat/new=1")
        self.assertIn("chat v1 → v2\n", out)
        self.assertIn("  - counter.w0 = 1\n  + counter.w0 = 2\n", out)
        self.assertRegex(out, r"blue +live at the next step +2 ")
        self.assertRegex(out, r"blue +pinned, keeps its value .*distributed\.tp")
        self.assertRegex(out, r"slow +held, stays where it is .*v1")
        self.assertEqual(self.revision(), before, "a plan writes nothing")
        reply = self.json("plan", "chat", "counter.w0=2")
        self.assertFalse(reply["blocked"])
        self.assertIn(("blue", "live"), [(o["deployment"], o["action"]) for o in reply["results"][0]["plan"]])
        self.assertIn("stays as it is", self.ok("plan", "chat/counter.w0=1"))
        self.assertIn("experiment/ab.flag v1, new", self.ok("plan", "experiment/ab.flag=on"))
        self.ok("plan", "chat", "--file", "-", stdin="{}")

    def test_what_is_refused_blocks(self):
        self.ok("set", "chat/a=1")
        self.refused(5, "blocked: .*number", "plan", "chat/a=text")
        self.refused(5, "blocked: .*version 9 was expected", "plan", "chat/a=2", "--if-version", "9")
        done = self.refused(5, "blocked: .*number", "plan", "chat/a=text", "-o", "json")
        self.assertEqual({k: v for k, v in json.loads(done.stdout).items() if k != "refused"}, {"results": [], "blocked": True})
        self.assertEqual(json.loads(done.stdout)["refused"]["code"], "type_change")
        self.refused(2, "nothing to set", "plan")
        self.refused(2, "address|NAMESPACE", "plan", "chat")

    def test_workers_that_would_reject_it_block_unless_forced(self):
        self.fleet()
        line = ("chat/counter.w0=text", "--change-type")
        done = self.refused_plan(*line)
        self.assertRegex(done.stdout, r"blue +refused +2 ")
        self.assertNotIn("live at the next step", done.stdout)
        self.assertRegex(done.stdout, r"blocked: .*counter\.w0: .*integer.*, deployment blue, worker w\d and 1 more")
        out = self.ok("plan", *line, "--force")
        self.assertRegex(out, r"forced: .*counter\.w0: .*integer")
        self.assertFalse(self.json("plan", *line, "--force")["blocked"])
        self.ok("set", "other/counter.w0=text")
        promote = ("promote", "other", "chat", "counter.w0", "--change-type", "--yes")
        self.refused(5, "blocked by 1 violation", *promote)
        self.assertIn("chat v2: ", self.ok(*promote, "--force"))

    def refused_plan(self, *line):
        done = self.run_cfgctl("plan", *line)
        self.assertEqual(done.returncode, 5, done.stdout + done.stderr)
        self.assertIn("blocked by 1 violation", done.stderr)
        return done


class Promote(Session):
    def setUp(self):
        super().setUp()
        self.ok("set", "chat-staging/sampling.temperature=0.2", "chat-staging/sampling.top_k=50", "chat-staging/url=staging",
                "chat-prod/sampling.temperature=0.7", "chat-prod/url=prod", "chat-prod/old.knob=1")

    def test_values_move(self):
        out = self.ok("promote", "chat-staging", "chat-prod", "--except", "url", "--dry-run")
        self.assertIn("  - sampling.temperature = 0.7\n  + sampling.temperature = 0.2\n", out)
        self.assertEqual(self.json("get", "chat-prod")["version"], 1)
        self.refused(2, "terminal", "promote", "chat-staging", "chat-prod", "sampling")
        out = self.ok("promote", "chat-staging", "chat-prod", "sampling.temperature", "--yes", "-m", "proved")
        self.assertIn("chat-prod v2: sampling.temperature 0.7 → 0.2", out)
        head = self.json("get", "chat-prod")
        self.assertEqual(head["message"], "proved (promoted from chat-staging v1: sampling.temperature)")
        self.assertEqual(head["document"], {"sampling": {"temperature": 0.2}, "url": "prod", "old": {"knob": 1}})
        self.ok("promote", "chat-staging", "chat-prod", "--except", "url", "--prune", "--yes")
        self.assertEqual(self.json("get", "chat-prod")["document"], {"sampling": {"temperature": 0.2, "top_k": 50}, "url": "prod"})
        self.assertIn("stays as it is", self.ok("promote", "chat-staging", "chat-prod", "sampling", "--yes"))
        reply = json.loads(self.ok("promote", "chat-staging", "chat-new", "--yes", "-o", "json"))
        self.assertTrue(reply["results"][0]["created"])
        self.assertEqual(self.json("get", "chat-new")["document"], self.json("get", "chat-staging")["document"])

    def test_bad_input_changes_nothing(self):
        self.refused(3, "did you mean sampling", "promote", "chat-staging", "chat-prod", "samplnig", "--yes")
        self.refused(3, "did you mean url", "promote", "chat-staging", "chat-prod", "--except", "ulr", "--yes")
        self.refused(2, "source and target", "promote", "chat-prod", "chat-prod")
        self.refused(3, "chat-stagin", "promote", "chat-stagin", "chat-prod", "--yes")
        self.ok("set", "chat-staging/url=[1]", "--change-type")
        self.refused(5, "--change-type", "promote", "chat-staging", "chat-prod", "url", "--yes")
        self.ok("promote", "chat-staging", "chat-prod", "url", "--yes", "--change-type")
        self.refused(4, "version 1 was expected", "promote", "chat-staging", "chat-prod", "sampling", "--if-version", "1", "--yes")


class Folder(Session):
    def setUp(self):
        super().setUp()
        self.dir = os.path.join(self.lab.dir, "configs")
        os.mkdir(self.dir)

    # --- helpers ---

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))

    def read(self, name):
        with open(os.path.join(self.dir, name)) as f:
            return f.read()

    def files(self):
        return {name: self.read(name) for name in sorted(os.listdir(self.dir))}

    def apply(self, *args, **more):
        return self.ok("apply", "-f", self.dir, "--yes", *args, **more)

    def stopped(self, code, says, *args, **more):
        return self.refused(code, says, *args, "-f", self.dir, **more)

    def document(self, ns):
        return self.json("get", ns)["document"]

    def asked(self, args, before_answer=lambda: None, answer="y"):
        """Runs cfgctl on a terminal; does something between its question and the answer. (exit code, what it showed)."""
        def answered():
            before_answer()
            return answer.encode() + b"\n"
        return self.at_the_terminal(args, b"[y/N] ", answered)

    # --- the main path ---

    def test_a_folder_becomes_what_is_served(self):
        self.write("base.yaml", "lr: 1.0e-4\nmode: 'no'\n")
        self.write("chat.yaml", "# the sampler\nsampling:\n  temperature: 0.7\nlr: ${sampling.temperature}\n")
        self.write("chat.meta.yaml", "extends: [base]\n")
        self.write("exp.json", {"a": [1, "x", None]})
        self.write("exp.flags.yaml", {"flags": {
            "ab.flag": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
                        "targeting": {"if": [{"$ref": "staff"}, "on", None]}},
            "killed": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on",
                       "configd": {"enabled": False, "off_variant": "off", "prerequisites": {"ab.flag": "on"}}}},
            "$evaluators": {"staff": {"in": [{"var": "team"}, ["infra"]]}}})
        self.write("README.md", "not ours")
        os.mkdir(os.path.join(self.dir, "more"))
        before = self.revision()
        out = self.ok("plan", "-f", self.dir)
        self.assertIn("+ chat (chat.yaml)\n", out)
        self.assertIn("configs: 6 new, 0 changed, 0 gone, 0 as they are\n", out)
        self.assertIn("(extends)", out)
        self.assertIn("segments of exp", out)
        self.ok("apply", "-f", self.dir, "--dry-run")
        self.stopped(2, "terminal", "apply")
        self.assertEqual(self.revision(), before, "nothing is written before it is agreed to")
        self.apply("-m", "first")
        chat = self.json("get", "chat")
        self.assertEqual((chat["document"]["sampling"], chat["extends"], chat["message"]), ({"temperature": 0.7}, ["base"], "first [apply configs]"))
        revisions = {self.json("get", name)["revision"] for name in ("base", "chat", "exp", "exp/ab.flag", "exp/killed")}
        self.assertEqual(len(revisions), 1, "one transaction")
        self.assertFalse(self.json("get", "exp/killed")["enabled"])
        before = self.revision()
        self.assertIn("configs: 0 new, 0 changed, 0 gone, 6 as they are\n", self.apply())
        self.assertEqual(self.revision(), before, "unchanged files write nothing")
        self.write("chat.yaml", "sampling: {temperature: 0.2}\n")
        out = self.apply()
        self.assertIn("~ chat (chat.yaml)\n", out)
        self.assertIn("chat v2: ", out)
        self.assertEqual([self.json("get", ns)["version"] for ns in ("base", "chat", "exp")], [1, 2, 1], "one version of what changed")
        tree = json.loads(self.ok("plan", "-f", self.dir, "-o", "json"))
        self.assertEqual((tree["source"], tree["conflicts"], tree["blocked"], {o["action"] for o in tree["objects"]}), ("configs", 0, False, {"same"}))

    def test_export_and_apply_are_a_round_trip(self):
        self.ok("set", "chat/text='no'", "chat/a=[1,{b: null}]", "chat/tiny=1e-7", "chat/big=9007199254740991", "chat/s=\"x: 'y' # z\"", "exp/n=1")
        self.ok("set", "--string", "chat/num=1e3", "--string", "chat/date=2026-01-02")
        self.ok("set", "base/x=1")
        self.ok("extend", "chat", "base")
        self.ok("flag", "create", "exp/ab.flag", "--description", "the new sampler")
        self.ok("flag", "create", "exp/mode", "--variants", "fast=0.2", "slow=0.9", "--default", "slow", "--off", "fast")
        self.ok("flag", "require", "exp/ab.flag", "mode=fast,slow")
        self.ok("flag", "holdout", "exp/ab.flag", "q4=5%")
        self.ok("flag", "segment", "set", "exp/staff", "team in [infra]")
        self.ok("flag", "create", "flagsonly/x", "--default", "on")
        self.write("foreign.txt", "keep me")
        out = self.ok("export", "-f", self.dir)
        self.assertIn("chat.yaml", out)
        self.assertEqual(set(self.files()), {".cfgctl.yaml", "base.yaml", "chat.yaml", "chat.meta.yaml", "exp.yaml", "exp.flags.yaml",
                                             "flagsonly.flags.yaml", "foreign.txt"})
        before = self.revision()
        self.assertIn(" 0 new, 0 changed, 0 gone, 7 as they are", self.apply("--prune"))
        self.assertEqual(self.revision(), before, "export, then apply: nothing to do")
        files = self.files()
        self.assertIn("0 files written", self.ok("export", "-f", self.dir))
        self.write("chat.yaml", "# why\n" + files["chat.yaml"])
        self.ok("export", "-f", self.dir)
        self.assertTrue(self.read("chat.yaml").startswith("# why\n"), "a file that says so already keeps its comments")
        other = os.path.join(self.lab.dir, "new", "")
        self.assertNotIn("//", self.ok("export", "-f", other, "exp", "--format", "json"))
        self.assertEqual(sorted(os.listdir(other)), [".cfgctl.yaml", "exp.flags.json", "exp.json"])
        self.refused(3, "nobody", "export", "-f", other, "nobody")
        self.refused(2, "folder", "export")
        self.refused(2, "export yaml", "export", "yml", "blue")
        self.write("base.yaml", "x: [\n")  # may hold what nobody else has
        self.ok("set", "exp/n=7")
        self.refused(5, r"base\.yaml:2:1: ", "export", "-f", self.dir)
        self.assertEqual(self.read("exp.yaml"), files["exp.yaml"], "nothing is written unless all can be")
        self.ok("export", "-f", self.dir, "exp")
        self.assertEqual(self.read("exp.yaml"), '"n": 7\n')
        # what was exported may be edited and applied without --take, for it is known what it was
        self.write("base.yaml", "x: 2\n")
        self.apply()
        self.assertEqual(self.document("base"), {"x": 2})
        # an object of another store is not known by its number
        settings = self.read(".cfgctl.yaml")
        self.write(".cfgctl.yaml", re.sub("store: .*", "store: another", settings))
        self.write("exp.yaml", "n: 2\n")
        self.stopped(4, "not what the files left", "apply", "--yes")

    # --- what others did ---

    def test_drift_is_refused_and_told(self):
        self.write("chat.yaml", "t: 1\nu: 1\n")
        self.write("flags.flags.yaml", {"flags": {"f": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}}})
        self.apply()
        self.ok("set", "chat/t=5", "-m", "hotfix at night")
        self.ok("flag", "off", "flags/f", "-m", "errors")
        done = self.stopped(4, "2 objects are not what the files left", "apply", "--yes")
        self.assertIn("! chat (chat.yaml): changed outside the files since v1\n    v2 by ", done.stdout)
        self.assertIn(": hotfix at night\n  - t = 1\n  + t = 5\n", done.stdout)
        self.assertRegex(done.stdout, r"! flags/f \(flags.flags.yaml\): changed outside .*\n    v2 by .*: errors\n  - enabled = true\n  \+ enabled = false\n")
        self.stopped(5, "blocked: 2 objects", "plan")
        self.assertEqual(json.loads(self.run_cfgctl("plan", "-f", self.dir, "-o", "json").stdout)["blocked"], True)
        self.write("chat.yaml", "t: 1\nu: 2\n")
        self.assertIn("changed in the file, and outside of it since v1", self.stopped(4, "not what", "apply", "--yes").stdout)
        self.write("chat.yaml", "t: 5\nu: 1\n")
        done = self.stopped(4, "1 object is", "apply", "--yes")
        self.assertNotIn("chat", done.stdout, "a change that was taken into the file is none any more")
        self.apply("--take")
        self.assertTrue(self.json("get", "flags/f")["enabled"])
        self.write("chat.yaml", "t: 6\nu: 1\n")
        self.stopped(4, "1 object is", "apply", "--yes")  # v2 was never written from the files
        self.apply("--take")
        self.write("chat.yaml", "t: 7\nu: 1\n")
        self.apply()
        self.assertEqual(self.document("chat"), {"t": 7, "u": 1})
        self.ok("unset", "chat", "--force")
        self.assertIn("deleted outside the files since v4", self.stopped(4, "1 object is", "apply", "--yes").stdout)
        self.apply("--take")
        self.assertEqual(self.document("chat"), {"t": 7, "u": 1})

    def test_a_foreign_object_is_left_alone(self):
        self.ok("set", "chat/t=1")
        self.write("chat.yaml", "t: 2\n")
        done = self.stopped(4, "1 object is", "apply", "--yes")
        self.assertIn("! chat (chat.yaml): is there already, at v1, and was not made from these files\n", done.stdout)
        self.assertIn("  - t = 1\n  + t = 2\n", done.stdout)
        self.apply("--take", "--source", "git@example.com:ops/configs")
        self.assertEqual(self.json("get", "chat")["message"], "[apply git@example.com:ops/configs]")
        self.write("chat.yaml", "t: 3\n")
        self.stopped(4, "1 object is", "apply", "--yes")  # another source made it
        self.apply("--source", "git@example.com:ops/configs")

    def test_prune_deletes_what_the_files_made(self):
        self.ok("set", "hand/made=1", "hand/f=on", "exp/byhand=on")
        flags = {"flags": {n: {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"} for n in ("a", "b")}}
        self.write("chat.yaml", "t: 1\n")
        self.write("gone.yaml", "t: 1\n")
        self.write("exp.flags.json", flags)
        self.apply()
        os.remove(os.path.join(self.dir, "gone.yaml"))
        del flags["flags"]["b"]
        self.write("exp.flags.json", flags)
        before = self.revision()
        self.apply()
        self.assertEqual(self.revision(), before, "without --prune nothing goes")
        self.ok("set", "gone/t=2")
        done = self.stopped(4, "1 object is", "apply", "--prune", "--yes")
        self.assertIn("! gone: changed outside the files since v1\n", done.stdout)
        out = self.apply("--prune", "--take")
        self.assertIn("- gone: no file has it any more\n", out)
        self.assertIn("- exp/b: no file has it any more\n", out)
        self.refused(3, ".", "get", "gone")
        self.assertEqual(sorted(self.json("flag", "list", "exp")["flags"]), ["a", "byhand"], "what hands made stays")
        self.assertEqual(self.document("hand"), {"made": 1})
        self.ok("set", "gone/t=9")  # made again, by hand: theirs
        self.apply("--prune")
        self.assertEqual(self.document("gone"), {"t": 9})
        self.write("gone.yaml", "t: 1\n")
        self.assertIn("was not made from these files", self.stopped(4, "1 object is", "apply", "--yes").stdout)
        for name in list(self.files()):
            os.remove(os.path.join(self.dir, name))
        self.stopped(2, "holds no namespace", "apply", "--prune", "--yes")

    # --- bad input, and others in between ---

    def test_one_bad_file_blocks_all(self):
        self.write("good.yaml", "a: 1\n")
        for name, text, says in (("bad.yaml", "a: 1\nb: [1,\n", r"bad\.yaml:3:1: "),
                                 ("bad.yaml", "a: 1\na: 2\n", r"bad\.yaml:2:1: .*a"),
                                 ("bad.yaml", "a:\n\tb: 1\n", r"bad\.yaml:2:1: .*tab"),
                                 ("bad.json", '{"a": 1,\n "a": 2}', r"bad\.json:2:2: .*duplicate"),
                                 ("bad.yaml", "- 1\n", r"bad\.yaml: a document is an object"),
                                 ("bad.yaml", "a.b: 1\n", r"bad\.yaml: .*a\.b"),
                                 ("good.flag.yaml", "{}", r"good\.flag\.yaml: .*good\.flags\.yaml"),
                                 ("Bad.yaml", "{}", r"Bad\.yaml: .*namespace"),
                                 ("good.json", "{}", r"good\.yaml: good\.json says the same"),
                                 ("lone.meta.yaml", "extends: [good]", r"lone\.meta\.yaml: there is no lone\.yaml"),
                                 ("good.meta.yaml", "extend: [x]", r"good\.meta\.yaml: \"extend\""),
                                 ("good.flags.yaml", "flags: {x: {configd: {enable: true}}}", r"good\.flags\.yaml: flag \"x\": configd\.enable .*enabled"),
                                 ("good.flags.yaml", "{}", r"good\.flags\.yaml: no flagd document"),
                                 (".cfgctl.yaml", "sauce: x", r"\.cfgctl\.yaml: \"sauce\"")):
            self.write(name, text)
            self.stopped(5, says, "apply", "--yes")
            self.stopped(5, "1 file of .* cannot be taken", "plan")
            os.remove(os.path.join(self.dir, name))
        # what only the server can know
        self.write("exp.flags.json", {"flags": {"x": {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "onn"}}})
        self.stopped(5, r"exp\.flags\.json: .*onn", "apply", "--yes")
        self.stopped(5, "blocked: exp", "plan")
        os.remove(os.path.join(self.dir, "exp.flags.json"))
        self.write("good.meta.yaml", "extends: [nobody]")
        self.stopped(3, r"nobody", "apply", "--yes")
        os.remove(os.path.join(self.dir, "good.meta.yaml"))
        self.refused(2, "cannot name a source", "apply", "-f", self.dir, "--source", "a b", "--yes")
        self.write("odd.yaml", "answer: no\n")
        done = self.run_cfgctl("apply", "-f", self.dir, "--yes")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"warning: odd\.yaml:1:9: .*no reads as false")
        self.refused(2, "no folder", "apply", "-f", os.path.join(self.lab.dir, "nowhere"), "--yes")
        self.refused(2, "-f DIR", "apply")
        self.refused(2, "no folder", "plan", "-f", os.path.join(self.dir, "good.yaml"))
        self.refused(2, "is a folder", "plan", "good", "-f", self.dir)
        self.refused(2, "for a folder", "plan", "good/a=1", "--prune")

    def test_schemas_judge_the_files_beside_them(self):
        schema = {"type": "object", "properties": {"t": {"type": "number", "maximum": 2}, "tp": {"type": "integer", "x-apply": "pinned"}},
                  "additionalProperties": False}
        self.write("chat.yaml", "t: 3\ntp: 4\n")
        self.write("chat.schema.json", schema)
        done = self.stopped(5, "blocked by 1 violation", "apply", "--yes")
        self.assertRegex(done.stdout, r"blocked: chat/t: .*2")
        self.stopped(5, "blocked by 1 violation", "plan")
        self.assertTrue(json.loads(self.run_cfgctl("plan", "-f", self.dir, "-o", "json").stdout)["blocked"])
        self.write("chat.yaml", "t: 1\ntp: 4\n")
        self.apply()
        schema["properties"]["t"]["maximum"] = 0.5  # the document and its schema, together
        self.write("chat.schema.json", schema)
        self.stopped(5, "blocked by", "apply", "--yes")
        self.write("chat.yaml", "t: 0.5\ntp: 4\n")
        self.apply()
        self.assertIn("2 as they are", self.apply("--prune"))
        other = os.path.join(self.lab.dir, "other")
        self.ok("export", "-f", other)
        self.assertEqual(sorted(os.listdir(other)), [".cfgctl.yaml", "chat.schema.json", "chat.yaml"])
        with open(os.path.join(other, "chat.schema.json")) as f:
            self.assertEqual(json.load(f), schema)
        done = self.run_cfgctl("plan", "chat/t=9", "chat/x=1")
        self.assertEqual(done.returncode, 5, done.stdout)
        self.assertRegex(done.stdout, r"(?s)blocked: chat/t: .*blocked: chat/?x?: ")
        os.remove(os.path.join(self.dir, "chat.schema.json"))
        self.assertIn("- schema of chat: no file has it any more\n", self.apply("--prune"))
        self.ok("set", "chat/x=1")

    def test_somebody_writes_between_plan_and_apply(self):
        self.ok("set", "base/x=1")
        self.write("chat.yaml", "t: 1\n")
        self.write("other.yaml", "t: 1\n")
        self.apply()
        self.write("chat.yaml", "t: 2\n")
        self.write("other.yaml", "t: 2\n")
        code, seen = self.asked(["apply", "-f", self.dir], lambda: self.ok("set", "chat/t=9"))
        self.assertEqual(code, 4, seen)
        self.assertIn("somebody wrote since the plan was made", seen)
        self.assertIn("nothing was written", seen)
        self.assertEqual((self.document("chat"), self.document("other")), ({"t": 9}, {"t": 1}), "all or nothing")
        code, seen = self.asked(["apply", "-f", self.dir, "--take"], answer="n")
        self.assertEqual((code, self.document("other")), (1, {"t": 1}), seen)
        code, seen = self.asked(["apply", "-f", self.dir, "--take"])
        self.assertEqual((code, self.document("chat"), self.document("other")), (0, {"t": 2}, {"t": 2}), seen)
        code, seen = self.asked(["promote", "chat", "base", "t"], lambda: self.ok("set", "base/x=2"))
        self.assertEqual(code, 4, seen)
        self.assertIn("somebody was faster", seen)
        self.assertEqual(self.document("base"), {"x": 2})

    def test_more_than_a_transaction_takes(self):
        for i in range(70):
            self.write(f"ns-{i}.yaml", f"v: {i}\n")
            if i % 2:
                self.write(f"ns-{i}.meta.yaml", "extends: [ns-0]\n")
        done = self.run_cfgctl("apply", "-f", self.dir, "--yes")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertRegex(done.stderr, r"this needs 2 transactions: .*\n  hint: --non-atomic")
        self.refused(3, ".", "get", "ns-0")
        done = self.run_cfgctl("apply", "-f", self.dir, "--yes", "--non-atomic")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("reading what is served: ", done.stderr, "a long way is told in lines where there is no terminal")
        self.assertEqual(self.document("ns-69"), {"v": 69})
        self.assertIn("70 as they are", self.apply())
        for i in range(70):
            os.remove(os.path.join(self.dir, f"ns-{i}.yaml"))
            if i % 2:
                os.remove(os.path.join(self.dir, f"ns-{i}.meta.yaml"))
        self.write("last.yaml", "{}")
        self.apply("--prune", "--non-atomic")
        self.assertEqual([o["namespace"] for o in self.configd.call("GET", "/v1/config")["items"]], ["last"])


if __name__ == "__main__":
    main(Plan, Promote, Folder)
