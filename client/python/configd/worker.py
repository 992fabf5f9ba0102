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

Answer = namedtuple("Answer", "value variant reason error revision")
Answer.__doc__ = """What a flag says. variant is None where the default holds; reason and error are OpenFeature's words (error None:
none); revision is the view's."""

Status = namedtuple("Status", "state revision digest store newest age_ms changes rejects last_reject")


_UNSET = object()
_SUPERSEDED = -54  # CFG_E_SUPERSEDED


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


class Flag(Param):
    """A handle to a flag: `v.flag(handle, context)` asks it for one request, `v[handle]` for nobody in particular."""

    __slots__ = ("flag", "default")

    def __init__(self, address, index, read, flag, default):
        super().__init__(address, index, read)
        self.flag, self.default = flag, default
        _flag_type(default)  # refuses what no flag can be, where it is declared

    def __repr__(self):
        return f"<configd flag {self.path}>"


class Context:
    """Who is asking: a targeting key and attributes (whatever JSON holds). Made once, it may be used for many flags,
    steps and threads; a plain dict does where it is used once."""

    __slots__ = ("_native", "_finalizer", "__weakref__")

    def __init__(self, targeting_key=None, attributes=None, **more):
        attributes = {**(attributes or {}), **more}
        if targeting_key is not None:
            attributes["targetingKey"] = targeting_key
        text = json.dumps(attributes, ensure_ascii=False, allow_nan=False).encode()
        self._native, err = native.Context(), native.Error()
        if native.lib().cfg_context_json(ctypes.byref(self._native), text, len(text), ctypes.byref(err)) != 0:
            raise Error(err)
        self._finalizer = weakref.finalize(self, native.lib().cfg_context_finish, self._native)


def _context(context):
    """A Context of what evaluate() and the like were given; None for nobody."""
    if context is None or isinstance(context, Context):
        return context
    if not isinstance(context, dict):
        raise TypeError(f"a context is a Context or a dict of attributes, not {context!r}")
    return Context(attributes=context)


class Request:
    """What one request runs on: the step's view, with what its variants override laid over it. `r[param]` reads it;
    `variants` names them by flag. As readable as the view."""

    __slots__ = ("_view", "_values", "variants")

    def __init__(self, view, overlay):
        self._view = view
        self._values = {item.index: item.value.contents for item in overlay.values[:overlay.n_values]}
        self.variants = {_text(s.flag): _text(s.variant) for s in overlay.served[:overlay.n_served]}

    def __getitem__(self, param):
        value = self._values.get(param.index) if type(param) is Param and self._view._view is not None else None
        return self._view[param] if value is None else param.read(value)


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
        if param.index is None:
            return self.flag(param)
        return param.read(view.values[param.index if param.index < view.n else view.n])

    def evaluate(self, flag, context=None, default=_UNSET):
        """Asks a flag for one request, in this process: an Answer. context: a Context, a dict, or None for nobody."""
        view = self._view
        if view is None:
            raise RuntimeError("this view belongs to a step that is over")
        if not isinstance(flag, Flag):
            raise TypeError(f"a flag is asked with what flag() returned, not with {flag!r}")
        context = _context(context)
        default = flag.default if default is _UNSET else default
        kind = _flag_type(default)
        fallback = native.Value(b=default) if kind == 0 else native.Value()
        answer = native.lib().cfg_flag_evaluate(ctypes.byref(view), native.Flag(flag.flag), kind,
                                                ctypes.byref(context._native) if context else None, fallback)
        # An on/off flag may be set at the worker, which no variant stands for.
        value = _FLAG_READERS[kind](answer.value) if kind == 0 or answer.variant is not None else default
        return Answer(value, _text(answer.variant) if answer.variant is not None else None,
                      native.lib().cfg_flag_reason_text(answer.reason).decode(),
                      answer.error.decode() if answer.error is not None else None, answer.revision.decode())

    def flag(self, flag, context=None, default=_UNSET):
        """The same, but for the value alone."""
        return self.evaluate(flag, context, default).value

    def request(self, context=None):
        """Decides the parameters of one request: a Request."""
        if self._view is None:
            raise RuntimeError("this view belongs to a step that is over")
        context = _context(context)
        overlay = native.Overlay()
        native.lib().cfg_overlay_begin(ctypes.byref(overlay), ctypes.byref(self._view),
                                       ctypes.byref(context._native) if context else None)
        return Request(self, overlay)


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


# In the order of enum cfg_flag_type: bool, string, number, object, integer.
_FLAG_READERS = (_boolean, _string, _number, _json, _integer)


def _flag_type(default):
    for kind, types in ((0, bool), (1, str), (4, int), (2, float), (3, (dict, list, type(None)))):
        if isinstance(default, types):
            return kind
    raise TypeError(f"a flag is bool, str, int, float or dict, not {type(default).__name__}")


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
        """A flag by address. The default says its type: bool, str, int (whole numbers only), float, or dict. An on/off flag can
        also be read as `v[handle]`, and be overridden at the worker like a parameter."""
        f = native.lib().cfg_flag_declare(self._w, _bytes(address))
        if not isinstance(default, bool):
            return Flag(address, None, None, f.index, default)
        p = native.lib().cfg_param_flag(self._w, _bytes(address), default)
        return Flag(address, p.index, _boolean, f.index, default)

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

    def ceiling(self, path, value):
        """The most that this process can take of a number: configd refuses more, and so does this worker. Any time."""
        err = native.Error()
        if native.lib().cfg_worker_ceiling(self._w, _bytes(getattr(path, "path", path)), value, ctypes.byref(err)) != 0:
            raise Error(err)
        return self

    def start(self, timeout_ms=10000):
        """Registers the contract, checks the pin, takes the first view (or the saved one)."""
        err = native.Error()
        if native.lib().cfg_worker_start(self._w, timeout_ms, ctypes.byref(err)) != 0:
            raise Error(err)
        return self

    def form(self):
        """After an Error of step(): forms the rank group again, together with all other ranks."""
        err = native.Error()
        if native.lib().cfg_worker_form(self._w, ctypes.byref(err)) != 0:
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
            err = native.Error()
            if native.lib().cfg_worker_why(self._w, ctypes.byref(err)) not in (0, _SUPERSEDED):
                raise Error(err)
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
