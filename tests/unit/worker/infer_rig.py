"""cfg-infer as a process, on a file source, for tests: started with a view and a tiny model, and asked over HTTP."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tiny_model  # noqa: E402

PROGRAM = sys.argv.pop()  # each test program is called with it


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.json["choices"][0]["text"]

    @property
    def events(self):
        """A stream's chunks, which must end with [DONE]."""
        lines = [e.removeprefix("data: ") for e in self.body.decode().split("\n\n") if e]
        assert lines[-1] == "[DONE]", lines[-1]
        return [json.loads(line) for line in lines[:-1]]


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = os.path.join(self.dir.name, "chat.json")

    def model(self, **shape):
        """A model of its own: the tests do not depend on what the trained one has learnt."""
        path = os.path.join(self.dir.name, "tiny.safetensors")
        with open(path, "wb") as f:
            f.write(tiny_model.make(**shape))
        return path

    def put(self, flags=None, policy=None, batch_size=4, queue=None, **sampling):
        view = {"parameters": {"sampling": sampling, "inference": {"batch_size": batch_size}}, "flags": {"experiment": flags or {}}}
        if queue is not None:
            view["parameters"]["inference"]["queue"] = queue
        if policy is not None:
            view["parameters"]["policy"] = policy
        self.put_view(view)

    def put_view(self, view):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump(view, f)
        os.rename(self.path + ".new", self.path)

    def start(self, *options, model=None, stderr=None):
        p = subprocess.Popen([PROGRAM, "--source", "file:" + self.path, "--listen", "127.0.0.1:0", "--model", model or self.model(), *options],
                             stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8")  # a sanitizer's words go where ctest looks
        self.addCleanup(self.stop, p)
        self.first = p.stdout.readline()
        self.url = re.match(r"listening on (http://\S+)", p.stdout.readline()).group(1)
        self.address = urllib.parse.urlparse(self.url).netloc
        return p

    @staticmethod
    def stop(p):
        if p.poll() is None:
            p.kill()
        p.communicate()

    @staticmethod
    def line(p, pattern):
        for line in p.stdout:
            found = re.search(pattern, line)
            if found:
                return found
        raise AssertionError(f"no line matches {pattern}")

    def call(self, method, path, body=None, **headers):
        c = http.client.HTTPConnection(self.address, timeout=60)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            c.request(method, path, data, {"Content-Type": "application/json", **headers})
            return Reply(c.getresponse())
        finally:
            c.close()

    def ask(self, prompt="The Fox ", headers=None, **more):
        r = self.call("POST", "/v1/completions", {"prompt": prompt, **more}, **(headers or {}))
        self.assertEqual(r.status, 200, r.body)
        return r

    def refused(self, status, code, param=None, says="", method="POST", path="/v1/completions", body=None, headers=None, **more):
        r = self.call(method, path, {"prompt": "a", **more} if body is None else body, **(headers or {}))
        self.assertEqual(r.status, status, r.body)
        e = r.json["error"]
        self.assertEqual((e["code"], e["param"]), (code, param), e)
        self.assertIn(says, e["message"])
        return r

    def together(self, asks):
        """All of them at once; the replies in order."""
        replies = [None] * len(asks)

        def one(i):
            replies[i] = self.ask(**asks[i])

        threads = [threading.Thread(target=one, args=(i,)) for i in range(len(asks))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return replies

    def status(self):
        return self.call("GET", "/status").json

    def wait_status(self, wanted):
        while not wanted(self.status()):
            time.sleep(0.005)
