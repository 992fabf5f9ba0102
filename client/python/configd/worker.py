"""Worker: <cfg/worker.h> in Python, with the same words and the same rules.

Inside a step every read gives the same view; a view changes only between steps. One thread steps (the "stepper"); the
library follows configd on a thread of its own.
"""

from __future__ import annotations

import ctypes
import json
import weakref
from typing import Any, Callable, Iterable, Mapping, NamedTuple, NoReturn

from . import _native as native
from .params import (INT64_MAX, INT64_MIN, Declaration, Error, Param, Superseded, class_number, live, read_bool, read_f64, read_i64,
                     read_json, read_string, text)
from .view import Answer, Flag, Request, Served, View

bool_ = bool  # the class has a method of that name

_SUPERSEDED = -54  # CFG_E_SUPERSEDED
_REJECTED = -13  # CFG_E_VALUE


class Status(NamedTuple):
    """state: connected, connecting, stale, foreign, refused, superseded or file. age_ms: since configd last confirmed
    that the view is the newest. draining: parameters of which more is in use than their value; the first of them."""

    state: str
    revision: str
    digest: str
    store: str
    newest: str
    age_ms: int
    changes: int
    rejects: int
    last_reject: str
    draining: int
    draining_path: str
    draining_now: float
    draining_target: float


class Run(NamedTuple):
    """A stretch of steps under one revision; adopted_at is in seconds since 1970."""

    revision: str
    from_step: int
    adopted_at: float


class Metric:
    """A handle: `w.sample(metric, x)`."""

    __slots__ = ("name", "handle")

    def __init__(self, name: str, handle: native.Metric) -> None:
        self.name, self.handle = name, handle


def _bytes(value: object) -> bytes | None:
    return None if value is None else str(value).encode()


def _during(function: Callable[[View], Any], address: int, handles: Mapping[str, Param[Any]]) -> None:
    """Calls function with a view that is readable for as long as the call."""
    view = View(address, handles)
    try:
        function(view)
    finally:
        view.end()


def _close(handle: ctypes.c_void_p, keep: list[Any]) -> None:
    native.lib().cfg_worker_close(handle)
    keep.clear()


class Worker:
    """One worker of a deployment.

        with Worker("train", params={"optimizer.lr": barrier(1e-3, 0, 1)}) as w:
            for n in range(steps):
                v = w.step(n)
                lr = v["optimizer.lr"]

    Options left out come from the environment (CONFIGD_SERVER, CONFIGD_DEPLOYMENT, …); source="file:chat.json" follows a
    file instead of a daemon. params declares by path: what a class called gives (`live(0.7, 0, 2)`), or a bare default,
    which is live. log is called as log(level, line) on the library's thread: 0 error, 1 warning, 2 info. One thread
    declares, starts and steps; ceiling, wake and status may be called from any.
    """

    def __init__(self, deployment: str | None = None, worker: str | None = None, servers: str | None = None,
                 token: str | None = None, ca_file: str | None = None, source: str | None = None, cache: str | None = None,
                 overrides: str | None = None, labels: Mapping[str, Any] | None = None, external_loop: bool = False,
                 log: Callable[[int, str], Any] | None = None, *, params: Mapping[str, Any] | None = None,
                 rank: int = 0, world: int = 0, group: str | None = None, group_every: int = 0,
                 group_deadline_ms: int = 0, group_join_ms: int = 0, group_id: str | None = None,
                 capabilities: Iterable[str] | None = None) -> None:
        self._keep: list[Any] = []  # what the library calls back must outlive it
        callback = native.LOG(lambda _, level, line: log(level, text(line))) if log else native.LOG()
        self._keep.append(callback)
        options = native.Options(
            size=ctypes.sizeof(native.Options), servers=_bytes(servers), token=_bytes(token), ca_file=_bytes(ca_file),
            deployment=_bytes(deployment), worker=_bytes(worker), source=_bytes(source), cache=_bytes(cache),
            overrides=_bytes(overrides), labels=_bytes(json.dumps(labels)) if labels is not None else None,
            external_loop=external_loop, log=callback, rank=rank, world=world, group=_bytes(group),
            group_every=group_every, group_deadline_ms=group_deadline_ms, group_join_ms=group_join_ms,
            group_id=_bytes(group_id), capabilities=_bytes(json.dumps(list(capabilities))) if capabilities is not None else None)
        handle, err = ctypes.c_void_p(), native.Error()
        if native.lib().cfg_worker_open(ctypes.byref(handle), ctypes.byref(options), ctypes.byref(err)) != 0:
            raise Error(err)
        self._w = handle
        self._begin, self._end = native.lib().cfg_step_begin, native.lib().cfg_step_end
        self._step = -1
        self._open = False  # a step has begun and nobody has said that it is over
        self._view: View | None = None
        self._handles: dict[str, Param[Any]] = {}
        self._started = False
        self._finalizer = weakref.finalize(self, _close, handle, self._keep)
        for path, declared in (params or {}).items():
            self.declare(path, declared)

    # --- the contract: before start ---

    def declare(self, path: str, declared: Any) -> Param[Any]:
        """Declares a parameter by its default (live), or by what a class called gives: `barrier(1e-3, 0, 1)`."""
        d = declared if isinstance(declared, Declaration) else Declaration(live, declared)
        if isinstance(d.default, bool):
            return self.bool(path, d.klass, d.default)
        if isinstance(d.default, int):
            low, high = (int(default if bound is None else bound)
                         for bound, default in ((d.minimum, INT64_MIN), (d.maximum, INT64_MAX)))
            return self.i64(path, d.klass, low, high, d.default)
        if isinstance(d.default, float):
            return self.f64(path, d.klass, float("-inf") if d.minimum is None else d.minimum,
                            float("inf") if d.maximum is None else d.maximum, d.default)
        return self.string(path, d.klass, d.default) if isinstance(d.default, str) else self.json(path, d.klass, d.default)

    def _declared(self, path: str, handle: native.Param, read: Callable[[Any], Any]) -> Param[Any]:
        param: Param[Any] = Param(path, handle.index, read)
        self._handles[path] = param
        return param

    def f64(self, path: str, klass: str, minimum: float, maximum: float, default: float) -> Param[float]:
        handle = native.lib().cfg_param_f64(self._w, _bytes(path), class_number(klass), minimum, maximum, default)
        return self._declared(path, handle, read_f64)

    def i64(self, path: str, klass: str, minimum: int = INT64_MIN, maximum: int = INT64_MAX, default: int = 0) -> Param[int]:
        handle = native.lib().cfg_param_i64(self._w, _bytes(path), class_number(klass), minimum, maximum, default)
        return self._declared(path, handle, read_i64)

    def bool(self, path: str, klass: str, default: bool_) -> Param[bool_]:
        handle = native.lib().cfg_param_bool(self._w, _bytes(path), class_number(klass), default)
        return self._declared(path, handle, read_bool)

    def string(self, path: str, klass: str, default: str) -> Param[str]:
        handle = native.lib().cfg_param_string(self._w, _bytes(path), class_number(klass), _bytes(default))
        return self._declared(path, handle, read_string)

    def json(self, path: str, klass: str, default: Any = None) -> Param[Any]:
        handle = native.lib().cfg_param_json(self._w, _bytes(path), class_number(klass), json.dumps(default).encode())
        return self._declared(path, handle, read_json)

    def flag(self, address: str, default: Any = False) -> Flag:
        """A flag by address. The default says its type: bool, str, int (whole numbers only), float, or dict. An on/off flag can
        also be read as `v[handle]`, and be overridden at the worker like a parameter."""
        f = native.lib().cfg_flag_declare(self._w, _bytes(address))
        switch = None
        if isinstance(default, bool_):
            switch = native.lib().cfg_param_flag(self._w, _bytes(address), default).index
        flag = Flag(address, f.index, default, switch)
        self._handles[address] = flag
        return flag

    def metric(self, name: str) -> Metric:
        """A metric by handle: the cheap way to give samples."""
        return Metric(name, native.lib().cfg_metric_declare(self._w, _bytes(name)))


    def on_change(self, prefix: str, prepare: Callable[[View], Any] | None = None, commit: Callable[[View], Any] | None = None,
                  abort: Callable[[View], Any] | None = None) -> None:
        """prepare(view) runs on the library's thread and refuses the view by raising; commit(view) runs on the
        stepper's just before the view holds; abort(view) when a prepared view is dropped."""
        handles = self._handles

        def call_prepare(_: Any, view: int, err: Any) -> int:
            try:
                _during(prepare, view, handles)  # type: ignore[arg-type]
                return 0
            except Exception as e:  # the reason is reported with the refusal
                err.contents.code = _REJECTED
                err.contents.text = f"{prefix or 'view'}: {e}".encode()[:383]
                return _REJECTED

        def told(function: Callable[[View], Any] | None) -> Any:
            return native.COMMIT(lambda _, view: _during(function, view, handles)) if function else native.COMMIT()

        hooks = native.Hooks(native.PREPARE(call_prepare) if prepare else native.PREPARE(), told(commit), told(abort), None)
        self._keep.append(hooks)
        err = native.Error()
        if native.lib().cfg_worker_on_change(self._w, _bytes(prefix), ctypes.byref(hooks), ctypes.byref(err)) != 0:
            raise Error(err)

    def ceiling(self, path: str | Param[Any], value: float) -> "Worker":
        """The most that this process can take of a number: configd refuses more, and so does this worker. Any time."""
        err = native.Error()
        if native.lib().cfg_worker_ceiling(self._w, _bytes(getattr(path, "path", path)), value, ctypes.byref(err)) != 0:
            raise Error(err)
        return self

    def start(self, timeout_ms: int = 10000) -> "Worker":
        """Registers the contract, checks the pin, takes the first view (or the saved one). In a group: waits for all
        ranks."""
        err = native.Error()
        if native.lib().cfg_worker_start(self._w, timeout_ms, ctypes.byref(err)) != 0:
            raise Error(err)
        self._started = True
        return self

    def form(self) -> "Worker":
        """After an Error of step(): forms the rank group again, together with all other ranks."""
        err = native.Error()
        if native.lib().cfg_worker_form(self._w, ctypes.byref(err)) != 0:
            raise Error(err)
        return self

    # --- the loop ---

    def step(self, step: int | None = None) -> View:
        """Begins a step, by default the next number: the safe point, and the only place where values change. A step
        before it that nobody has ended is over. Error: the rank group has ended (see form)."""
        if self._open:
            self._end(self._w, None)
        self._step = step = self._step + 1 if step is None else step
        address = self._begin(self._w, step)
        self._open = address is not None
        view = self._view
        if view is not None and address == view.address and view.serial == view._view.serial:
            return view
        return self._adopt(address)

    step_begin = step

    def _adopt(self, address: int | None) -> View:
        if address is None:
            self._refused()
        if self._view is not None:
            self._view.end()
        self._view = View(address, self._handles, self.step_end)
        return self._view

    def _refused(self) -> NoReturn:
        err = native.Error()
        if native.lib().cfg_worker_why(self._w, ctypes.byref(err)) not in (0, _SUPERSEDED):
            raise Error(err)
        raise Superseded("a newer incarnation of this worker has taken over")

    def step_end(self, metrics: Mapping[str, float] | None = None, **more: float) -> None:
        """The step is over; what it did, as numbers by name: `w.step_end(loss=0.7)`. Sent with the next report. NaN and
        infinities are counted as bad samples. Without it a step ends where the next begins, and with a `with` block."""
        self._open = False
        samples = {**(metrics or {}), **more}
        self._end(self._w, json.dumps(samples).encode() if samples else None)

    def sample(self, metric: Metric, value: float) -> None:
        """One sample of a declared metric, in a step or after it."""
        native.lib().cfg_worker_metric(self._w, metric.handle, value)

    def outcome(self, request: Request | Answer, metric: Metric, value: float) -> None:
        """What came of a request, in its step or later: a sample for each variant that it was served. request: what
        view.request() returned, or, where a flag was asked by itself, what view.evaluate() answered."""
        if not self._finalizer.alive:
            raise RuntimeError("this worker is closed")
        home = request._view._handles if isinstance(request, Request) else request.home if isinstance(request, Served) else None
        if home is not None and home is not self._handles:
            raise ValueError("an outcome is told to the worker that served the request")
        if isinstance(request, Request):
            native.lib().cfg_overlay_metric(ctypes.byref(request._overlay), metric.handle, value)
        elif isinstance(request, Served):
            answer, who = native.Answer(exposed=request.exposed), request.who
            native.lib().cfg_flag_metric(ctypes.byref(answer), ctypes.byref(who._native) if who else None, metric.handle, value)
        else:
            raise TypeError(f"an outcome is of what request() or evaluate() returned, not of {request!r}")

    def draining(self, param: Param[Any], now: float) -> None:
        """How much of a drain parameter is in use now; while that is more than its value, the fleet sees it draining."""
        if native.lib().cfg_worker_draining(self._w, native.Param(param.index), now) != 0:
            raise ValueError(f"{param.path}: only a number declared drain can drain, and {now!r} must be finite and not negative")

    def revision_at(self, step: int) -> Run:
        """Which revision a step ran under; the latest 64 runs are known. Any thread."""
        run, err = native.Run(), native.Error()
        if native.lib().cfg_worker_revision_at(self._w, step, ctypes.byref(run), ctypes.byref(err)) != 0:
            raise Error(err)
        return Run(run.revision.decode(), run.from_step, run.adopted_at_us / 1e6)

    def idle(self, max_wait_ms: int = 1000) -> bool_:
        """Nothing to do for now. True when a new view is ready for the next step."""
        if self._open:
            self.step_end()
        return native.lib().cfg_worker_idle(self._w, max_wait_ms)  # type: ignore[no-any-return]

    def wake(self) -> None:
        native.lib().cfg_worker_wake(self._w)

    # --- being watched ---

    @property
    def status(self) -> Status:
        s = native.Status()
        native.lib().cfg_worker_status(self._w, ctypes.byref(s))
        return Status._make(v.decode("utf-8", "replace") if isinstance(v, bytes) else v
                            for v in (getattr(s, name) for name in Status._fields))

    # --- driven by the caller's loop (external_loop=True) ---

    def fileno(self) -> int:
        return native.lib().cfg_worker_poll_fd(self._w)  # type: ignore[no-any-return]

    def timeout_ms(self) -> int:
        return native.lib().cfg_worker_timeout_ms(self._w)  # type: ignore[no-any-return]

    def process(self) -> None:
        native.lib().cfg_worker_process(self._w)

    # --- the end ---

    def close(self) -> None:
        """Leaves the fleet. Views of this worker are unreadable afterwards."""
        if self._view is not None:
            self._view.end()
        self._finalizer()

    def __enter__(self) -> "Worker":
        try:
            return self if self._started else self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        self.close()
