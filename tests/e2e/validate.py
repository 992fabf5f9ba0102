"""cfgctl validate: verdicts, reasons and exit codes, without a server."""
import json
import os
import subprocess
import tempfile
import unittest

CFGCTL = os.path.join(os.environ["CFG_BUILD_DIR"], "client", "cfgctl", "cfgctl")
SCHEMA = {
    "type": "object",
    "properties": {"temperature": {"type": "number", "maximum": 2, "x-unit": "K"}, "key": {"x-secret": True},
                   "at": {"format": "date-time"}},
    "required": ["model"],
    "additionalProperties": False,
    "x-invariants": [{"expr": "temperature < 1 or model == 'hot'", "message": "only the hot model is hot"}],
}
SCHEMA["properties"]["model"] = {"enum": ["hot", "cold"]}


class Validate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.schema = self.file("s.json", json.dumps(SCHEMA))

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def run_cfgctl(self, code, *args, stdin=""):
        done = subprocess.run([CFGCTL, "validate", *args], input=stdin, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done

    def test_valid_documents(self):
        good = self.file("good.json", '{"model": "cold", "temperature": 0.5}')
        yaml = self.file("good.yaml", "model: hot\ntemperature: 1.5  # K\nkey: secret:env:KEY\n")
        done = self.run_cfgctl(0, "--schema", self.schema, good, yaml)
        self.assertEqual(done.stdout, f"{good}: valid\n{yaml}: valid\n")
        self.run_cfgctl(0, "--schema", self.schema, "-", stdin='{"model": "cold"}')
        self.assertIn("a valid schema", self.run_cfgctl(0, "--schema", self.schema).stdout)

    def test_all_violations_are_listed(self):
        bad = self.file("bad.json", '{"temprature": 1, "temperature": 3, "key": "hunter2", "model": "col"}')
        good = self.file("good.json", '{"model": "cold"}')
        done = self.run_cfgctl(5, "--schema", self.schema, bad, good)
        for part in ("temprature", "did you mean `temperature`?", "must be at most 2 K", "key: is a secret", 'did you mean "cold"?',
                     "only the hot model is hot", f"{good}: valid"):
            self.assertIn(part, done.stdout)
        self.assertNotIn("hunter2", done.stdout + done.stderr)
        self.assertIn("1 of 2 documents is not valid", done.stderr)
        out = json.loads(self.run_cfgctl(5, "--schema", self.schema, "-o", "json", bad, good).stdout)
        self.assertEqual([d["valid"] for d in out], [False, True])
        self.assertEqual({v["path"] for v in out[0]["violations"]}, {"temprature", "temperature", "key", "model", ""})

    def test_formats_on_request(self):
        document = self.file("d.json", '{"model": "cold", "at": "yesterday"}')
        self.run_cfgctl(0, "--schema", self.schema, document)
        self.assertIn("date-time", self.run_cfgctl(5, "--schema", self.schema, "--format", document).stdout)

    def test_schemas_that_are_refused(self):
        typo = self.file("typo.json", '{"properties": {"a": {"minimun": 1}}}')
        done = self.run_cfgctl(5, "--schema", typo)
        self.assertIn("#/properties/a/minimun", done.stderr)
        self.assertIn("did you mean minimum?", done.stderr)
        self.run_cfgctl(0, "--schema", typo, "--lenient")
        self.assertIn("nothing is fetched", self.run_cfgctl(5, "--schema", self.file("r.json", '{"$ref": "http://a/b"}')).stderr)
        self.run_cfgctl(2, "--schema", os.path.join(self.folder, "absent.json"))
        self.run_cfgctl(2, "doc.json")
        self.run_cfgctl(2, "--batch", "--schema", typo)

    def test_batch(self):
        lines = ['{"schema": {"type": "string"}, "document": 1}', '{"schema": {"format": "date"}, "document": "x", "format": true}',
                 '{"schema": {"format": "date"}, "document": "x"}', '{"schema": {"qwertz": 1}, "document": 1, "lenient": true}',
                 '{"schema": {"qwertz": 1}, "document": 1}', "{", '{"schema": true}']
        done = self.run_cfgctl(0, "--batch", stdin="\n".join(lines) + "\n")
        self.assertEqual([json.loads(line)["valid"] for line in done.stdout.splitlines()], [False, False, True, True, None, None, None])


unittest.main()
