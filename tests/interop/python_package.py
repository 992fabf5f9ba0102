"""The Python package as others take it: a wheel that builds, installs and is typed (mypy --strict, on itself and on a program of its user's)."""
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

SOURCE = os.path.abspath(os.environ.get("CFG_SOURCE_DIR", "."))
LIBRARY = os.path.abspath(os.path.join(os.environ["CFG_BUILD_DIR"], "worker"))

PROGRAM = """
import configd
with configd.Worker("blue", source="file:chat.json", params={"optimizer.lr": configd.barrier(1e-3, 0, 1)}, cache="") as w:
    for n in range(3):
        v = w.step(n)
        lr: float = v["optimizer.lr"]
        w.step_end({"loss": 1.5})
print(lr)
"""
TYPED = PROGRAM + """
w = configd.Worker()
t = w.f64("sampling.temperature", configd.live, 0, 2, 0.7)
batch = w.i64("n", configd.drain)
reveal_type(w.step()[t])
reveal_type(w.step()[batch])
"""
WRONG = """
import configd
w = configd.Worker(deployment=7)
s: str = w.step()[w.f64("t", configd.live, 0, 2, 0.7)]
"""


def run(args, **options):
    done = subprocess.run(args, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def main():
    with tempfile.TemporaryDirectory() as folder:
        package = os.path.join(folder, "python")
        shutil.copytree(os.path.join(SOURCE, "client", "python"), package)
        run([sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", folder, package])
        wheel, = [name for name in os.listdir(folder) if name.endswith("-py3-none-any.whl")]
        names = set(zipfile.ZipFile(os.path.join(folder, wheel)).namelist())
        want = {f"configd/{name}" for name in os.listdir(os.path.join(package, "configd")) if name.endswith((".py", ".typed"))}
        assert want <= names and "configd/py.typed" in names, names

        site = os.path.join(folder, "site")
        run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, os.path.join(folder, wheel)])
        with open(os.path.join(folder, "chat.json"), "w") as f:
            f.write('{"optimizer": {"lr": 0.25}}')
        environment = {**os.environ, "PYTHONPATH": site, "CONFIGD_LIB": LIBRARY}
        assert run([sys.executable, "-c", PROGRAM], cwd=folder, env=environment) == "0.25\n"
        lost = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, env={**environment, "CONFIGD_LIB": folder}, capture_output=True, text=True)
        assert lost.returncode == 1 and "set CONFIGD_LIB to it. Looked at: " + folder in lost.stderr, lost.stderr

        strict = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.path.join(folder, "mypy")]
        run([*strict, os.path.join(package, "configd")], cwd=package)
        for name, text in (("typed.py", TYPED), ("wrong.py", WRONG)):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        told = run([*strict, "typed.py"], cwd=folder, env=environment)
        assert 'Revealed type is "float"' in told and 'Revealed type is "int"' in told, told
        wrong = subprocess.run([*strict, "wrong.py"], cwd=folder, env=environment, capture_output=True, text=True)
        assert wrong.returncode == 1 and "Found 2 errors" in wrong.stdout, wrong.stdout
    print("python package: ok")


main()
