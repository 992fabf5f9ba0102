"""Live parameters for a loop of steps. Six lines of your own:

    from configd import Worker, live
    w = Worker(deployment="chat-blue")
    t = w.f64("sampling.temperature", live, 0, 2, 0.7)
    w.start()
    while True:
        with w.step() as v: work(v[t])

The words are those of <cfg/worker.h>; see docs/worker.md. Nothing is compiled: this is ctypes over libcfgworker.so.
"""

from ._native import LibraryNotFound
from .worker import Answer, Context, Error, Flag, Request, Status, Superseded, View, Worker, barrier, drain, live, pinned, restart

__all__ = [
    "Answer", "Context", "Error", "Flag", "LibraryNotFound", "Request", "Status", "Superseded", "View", "Worker", "barrier", "drain", "live", "pinned", "restart",
]
