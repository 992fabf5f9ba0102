"""Worker: <cfg/worker.h> in Python, with the same words and the same rules.

Inside `with w.step() as v` every read gives the same view; a view changes only between steps. One thread steps (the
"stepper"); the library follows configd on a thread of its own.
"""

import ctypes
import json
import weakref
from collections import namedtuple

from . import _native as native

live, drain, barrier, restart, pinned = "live", "drain", "barrier", "restart", "pinned"
_CLASSES = (live, drain, barrier, restart, pinned)  # in the order of enum cfg_class

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

Status = namedtuple("Status", "state revision digest store newest age_ms changes rejects last_reject")


class Error(Exception):
    """What the library refused. code is a negative number of <cfg/error.h>; path and hint may be empty."""

    def __init__(self, err):
        self.code = err.code
        self.text, self.path, self.hint = (_text(getattr(err, name)) for name in ("text", "path", "hint"))
        super().__init__(self.text + (f" ({self.hint})" if self.hint else ""))


class Superseded(Exception):
    """A newer incarnation of this worker has taken over: end the loop."""


class Param:
    """A handle: `v[param]` reads it."""

    __slots__ = ("path", "index", "read")

    def __init__(self, path, index, read):
        self.path, self.index, self.read = path, index, read

    def __repr__(self):
        return f"<configd parameter {self.path}>"


class View:
    """What one step runs on. Readable until the next step begins; then every read raises."""

    __slots__ = ("_view", "revision", "digest", "serial")

    def __init__(self, pointer):
        self._view = pointer.contents
        self.revision, self.digest = self._view.revision.decode(), self._view.digest.decode()
        self.serial = self._view.serial

    def __getitem__(self, param):
        view = self._view
        if view is None:
            raise RuntimeError("this view belongs to a step that is over")
        if not isinstance(param, Param):
            raise TypeError(f"a view is read with what f64(), flag() and the like returned, not with {param!r}")
        return param.read(view.values[param.index if param.index < view.n else view.n])


class _Step:
    __slots__ = ("_worker",)

    def __init__(self, worker):
        self._worker = worker

    def __enter__(self):
        return self._worker.step_begin()

    def __exit__(self, kind, value, traceback):
        return False


def _text(data):
    # The library holds U+0000 inside a text as the bytes C0 80, so that C strings stay whole.
    return data.replace(b"\xc0\x80", b"\0").decode("utf-8", "replace")


def _bytes(value):
    return None if value is None else str(value).encode()


def _class(name):
    if name not in _CLASSES:
        raise ValueError(f"unknown class {name!r}: one of " + ", ".join(_CLASSES))
    return _CLASSES.index(name)


def _number(value):
    return value.f64


def _integer(value):
    return value.i64


def _boolean(value):
    return value.b


def _string(value):
    return _text(value.string or b"")


def _json(value):
    return json.loads(_text(value.string or b"null"))


def _during(function, pointer):
    """Calls function with a view that is readable for as long as the call."""
    view = View(pointer)
    try:
        function(view)
    finally:
        view._view = None


def _close(handle, keep):
    native.lib().cfg_worker_close(handle)
    keep.clear()


class Worker:
    """One worker of a deployment. Options left out come from the environment (CONFIGD_SERVER, CONFIGD_DEPLOYMENT, …);
    source="file:chat.json" follows a file instead of a daemon. log is called as log(level, line) on the library's
    thread: 0 error, 1 warning, 2 info."""

    def __init__(self, deployment=None, worker=None, servers=None, token=None, ca_file=None, source=None, cache=None,
                 overrides=None, labels=None, external_loop=False, log=None):
        self._keep = []  # what the library calls back must outlive it
        callback = native.LOG(lambda _, level, line: log(level, _text(line))) if log else native.LOG()
        self._keep.append(callback)
        options = native.Options(
            ctypes.sizeof(native.Options), _bytes(servers), _bytes(token), _bytes(ca_file), _bytes(deployment),
            _bytes(worker), _bytes(source), _bytes(cache), _bytes(overrides),
            _bytes(json.dumps(labels)) if labels is not None else None, external_loop, callback, None)
        handle, err = ctypes.c_void_p(), native.Error()
        if native.lib().cfg_worker_open(ctypes.byref(handle), ctypes.byref(options), ctypes.byref(err)) != 0:
            raise Error(err)
        self._w = handle
        self._step = -1
        self._view = None
        self._finalizer = weakref.finalize(self, _close, handle, self._keep)

    # --- the contract: before start ---

    def f64(self, path, klass, minimum, maximum, default):
        p = native.lib().cfg_param_f64(self._w, _bytes(path), _class(klass), minimum, maximum, default)
        return Param(path, p.index, _number)

    def i64(self, path, klass, minimum=INT64_MIN, maximum=INT64_MAX, default=0):
        p = native.lib().cfg_param_i64(self._w, _bytes(path), _class(klass), minimum, maximum, default)
        return Param(path, p.index, _integer)

    def bool(self, path, klass, default):
        p = native.lib().cfg_param_bool(self._w, _bytes(path), _class(klass), default)
        return Param(path, p.index, _boolean)

    def string(self, path, klass, default):
        p = native.lib().cfg_param_string(self._w, _bytes(path), _class(klass), _bytes(default))
        return Param(path, p.index, _string)

    def json(self, path, klass, default=None):
        p = native.lib().cfg_param_json(self._w, _bytes(path), _class(klass), json.dumps(default).encode())
        return Param(path, p.index, _json)

    def flag(self, address, default=False):
        p = native.lib().cfg_param_flag(self._w, _bytes(address), default)
        return Param(address, p.index, _boolean)

    def on_change(self, prefix, prepare=None, commit=None, abort=None):
        """prepare(view) runs on the library's thread and refuses the view by raising; commit(view) runs on the
        stepper's just before the view holds; abort(view) when a prepared view is dropped."""

        def call_prepare(_, view, err):
            try:
                _during(prepare, view)
                return 0
            except Exception as e:  # the reason is reported with the refusal
                err.contents.code = -13
                err.contents.text = f"{prefix or 'view'}: {e}".encode()[:383]
                return -13

        hooks = native.Hooks(
            native.PREPARE(call_prepare) if prepare else native.PREPARE(),
            native.COMMIT(lambda _, view: _during(commit, view)) if commit else native.COMMIT(),
            native.COMMIT(lambda _, view: _during(abort, view)) if abort else native.COMMIT(), None)
        self._keep.append(hooks)
        err = native.Error()
        if native.lib().cfg_worker_on_change(self._w, _bytes(prefix), ctypes.byref(hooks), ctypes.byref(err)) != 0:
            raise Error(err)

    def start(self, timeout_ms=10000):
        """Registers the contract, checks the pin, takes the first view (or the saved one)."""
        err = native.Error()
        if native.lib().cfg_worker_start(self._w, timeout_ms, ctypes.byref(err)) != 0:
            raise Error(err)
        return self

    # --- the loop ---

    def step(self):
        """`with w.step() as v:` one step on one view, numbered by itself."""
        return _Step(self)

    def step_begin(self, step=None):
        self._step = self._step + 1 if step is None else step
        pointer = native.lib().cfg_step_begin(self._w, self._step)
        if not pointer:
            raise Superseded("a newer incarnation of this worker has taken over")
        if self._view is None or self._view.serial != pointer.contents.serial:
            if self._view is not None:
                self._view._view = None
            self._view = View(pointer)
        return self._view

    def step_end(self, metrics=None):
        """What the step did, as numbers by name: sent with the next report."""
        if metrics is not None:
            native.lib().cfg_step_end(self._w, json.dumps(metrics).encode())

    def idle(self, max_wait_ms=1000):
        """Nothing to do for now. True when a new view is ready for the next step."""
        return native.lib().cfg_worker_idle(self._w, max_wait_ms)

    def wake(self):
        native.lib().cfg_worker_wake(self._w)

    # --- being watched ---

    @property
    def status(self):
        s = native.Status()
        native.lib().cfg_worker_status(self._w, ctypes.byref(s))
        return Status(*(v.decode("utf-8", "replace") if isinstance(v, bytes) else v
                        for v in (getattr(s, name) for name in Status._fields)))

    # --- driven by the caller's loop (external_loop=True) ---

    def fileno(self):
        return native.lib().cfg_worker_poll_fd(self._w)

    def timeout_ms(self):
        return native.lib().cfg_worker_timeout_ms(self._w)

    def process(self):
        native.lib().cfg_worker_process(self._w)

    # --- the end ---

    def close(self):
        """Leaves the fleet. Views of this worker are unreadable afterwards."""
        if self._view is not None:
            self._view._view = None
        self._finalizer()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()
        return False
