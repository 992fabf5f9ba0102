#!/usr/bin/env python3
"""What a step costs a Python loop when nothing has changed, beside the cheapest call into the same library that ctypes can make."""
import ctypes
import json
import os
import statistics
import sys
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("CFG_BUILD_DIR", "build/release"))
os.environ.setdefault("CONFIGD_LIB", os.path.join(BUILD, "worker"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "client", "python"))
import configd  # noqa: E402
from configd import _native  # noqa: E402

LOOPS, ROUNDS = 200000, 9


def timed(loop):
    start = time.perf_counter_ns()
    loop()
    return (time.perf_counter_ns() - start) / LOOPS


def line(name, rounds, more=""):
    print(f"{name:<42} {statistics.median(rounds):.0f} ns ({min(rounds):.0f} … {max(rounds):.0f}, {ROUNDS} rounds){more}")


def main():
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump({"optimizer": {"lr": 0.5}}, f)
        f.flush()
        with configd.Worker(source="file:" + f.name, params={"optimizer.lr": configd.barrier(1e-3, 0, 1)}) as w:
            v, floor = w.step(0), _native.lib().cfg_worker_timeout_ms
            lr = w._handles["optimizer.lr"]
            ours = {"step": [], "path": [], "handle": [], "call": []}

            def call():
                for _ in range(LOOPS):
                    floor(w._w)

            def step():
                for n in range(LOOPS):
                    w.step(n)

            def path():
                for _ in range(LOOPS):
                    v["optimizer.lr"]

            def handle():
                for _ in range(LOOPS):
                    v[lr]

            for _ in range(ROUNDS):
                for name, loop in (("call", call), ("step", step), ("path", path), ("handle", handle)):
                    ours[name].append(timed(loop))
    ratios = [a / b for a, b in zip(ours["step"], ours["call"])]
    line("an empty call through ctypes", ours["call"])
    line("w.step(n) without a change", ours["step"], "   goal ≤ 2000")
    print(f"{'their ratio':<42} {statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})")
    line('v["optimizer.lr"]', ours["path"])
    line("v[handle]", ours["handle"])


main()
