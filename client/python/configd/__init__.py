"""Live parameters for a loop of steps:

    import configd
    with configd.Worker("train", params={"optimizer.lr": configd.barrier(1e-3, 0, 1)}) as w:
        for n in range(steps):
            v = w.step(n)
            lr = v["optimizer.lr"]

The words are those of <cfg/worker.h>; see docs/worker.md. Nothing is compiled: this is ctypes over libcfgworker.so.
"""

from ._native import LibraryNotFound
from .params import Class, Declaration, Error, Param, Superseded, barrier, drain, live, pinned, restart
from .view import Answer, Context, Flag, Request, View
from .worker import Metric, Run, Status, Worker

__all__ = [
    "Answer", "Class", "Context", "Declaration", "Error", "Flag", "LibraryNotFound", "Metric", "Param", "Request", "Run", "Status", "Superseded", "View",
    "Worker", "barrier", "drain", "live", "pinned", "restart",
]
