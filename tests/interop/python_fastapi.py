"""examples/serve_fastapi.py under uvicorn: requests are answered in batches, and a saved file changes the next one."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SOURCE = os.path.abspath(os.environ.get("CFG_SOURCE_DIR", "."))


def save(path, temperature, loud):
    with open(path + ".new", "w") as f:
        json.dump({"parameters": {"sampling": {"temperature": temperature}}, "flags": {"experiment": {"loud": loud}}}, f)
    os.rename(path + ".new", path)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "chat.json")
        save(path, 0, False)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        environment = {**os.environ, "CONFIGD_SOURCE": "file:" + path, "CONFIGD_LIB": os.path.abspath(os.path.join(os.environ["CFG_BUILD_DIR"], "worker")),
                       "PYTHONPATH": os.path.join(SOURCE, "client", "python") + ":" + os.path.join(SOURCE, "client", "python", "examples")}
        server = subprocess.Popen([sys.executable, "-B", "-m", "uvicorn", "serve_fastapi:app", "--port", str(port), "--log-level", "warning"], env=environment)

        def ask(body=None):
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/" + ("status" if body is None else "generate"), data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=10) as reply:
                return json.load(reply)

        try:
            end = time.monotonic() + 30
            while True:
                try:
                    ask()
                    break
                except urllib.error.URLError:
                    assert server.poll() is None and time.monotonic() < end, "uvicorn does not answer"
                    time.sleep(0.05)
            calm = ask({"prompt": "abcdefgh", "user": "u-1"})
            assert calm == {"text": "abcdefgh", "revision": "0-1"}, calm
            save(path, 2, True)
            while ask({"prompt": "x"})["revision"] != "0-2":
                assert time.monotonic() < end
            loud = ask({"prompt": "abcdefgh", "user": "u-1"})["text"]
            assert sorted(loud) == sorted("ABCDEFGH") and loud != "ABCDEFGH", loud
        finally:
            server.terminate()
            assert server.wait(20) in (0, -signal.SIGTERM), "a clean end: newer ones pass the signal on when they have shut down"
    print("fastapi: ok")


main()
