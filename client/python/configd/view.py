"""What a step runs on: parameters by handle or path, flags by request."""

from __future__ import annotations

import ctypes
import json
import weakref
from typing import Any, Callable, Mapping, NamedTuple, TypeVar, overload

from . import _native as native
from .params import Error, Param, read_bool, read_f64, read_i64, read_json, read_string, text, undeclared

T = TypeVar("T")
_UNSET: Any = object()
_OVER = "this view belongs to a step that is over"


class Answer(NamedTuple):
    """What a flag says. variant is None where the default holds; reason and error are OpenFeature's words (error None:
    none); revision is the view's."""

    value: Any
    variant: str | None
    reason: str
    error: str | None
    revision: str


class Served(Answer):
    """An answer that remembers whom it was given: `w.outcome(answer, metric, value)` tells what came of it."""

    exposed: int | None = None
    who: "Context | None" = None
    home: Mapping[str, Param[Any]] | None = None  # which worker's it is


class Flag(Param[Any]):
    """A handle to a flag: `v.flag(handle, context)` asks it for one request, `v[handle]` for nobody in particular."""

    __slots__ = ("flag", "default", "switch")

    def __init__(self, address: str, flag: int, default: Any, switch: int | None) -> None:
        super().__init__(address, -1 if switch is None else switch, read_bool)
        self.flag, self.default, self.switch = flag, default, switch
        flag_type(default)  # refuses what no flag can be, where it is declared

    def __repr__(self) -> str:
        return f"<configd flag {self.path}>"


# In the order of enum cfg_flag_type: bool, string, number, object, integer.
_FLAG_READERS: tuple[Any, ...] = (read_bool, read_string, read_f64, read_json, read_i64)


def flag_type(default: Any) -> int:
    for kind, types in ((0, bool), (1, str), (4, int), (2, float), (3, (dict, list, type(None)))):
        if isinstance(default, types):
            return kind
    raise TypeError(f"a flag is bool, str, int, float or dict, not {type(default).__name__}")


class Context:
    """Who is asking: a targeting key and attributes (whatever JSON holds). Made once, it may be used for many flags,
    steps and threads; a plain dict does where it is used once."""

    __slots__ = ("_native", "_finalizer", "__weakref__")

    def __init__(self, targeting_key: str | None = None, attributes: Mapping[str, Any] | None = None, **more: Any) -> None:
        attributes = {**(attributes or {}), **more}
        if targeting_key is not None:
            attributes["targetingKey"] = targeting_key
        data = json.dumps(attributes, ensure_ascii=False, allow_nan=False).encode()
        self._native, err = native.Context(), native.Error()
        if native.lib().cfg_context_json(ctypes.byref(self._native), data, len(data), ctypes.byref(err)) != 0:
            raise Error(err)
        self._finalizer = weakref.finalize(self, native.lib().cfg_context_finish, self._native)


def _context(context: Context | Mapping[str, Any] | None) -> Context | None:
    if context is None or isinstance(context, Context):
        return context
    if not isinstance(context, dict):
        raise TypeError(f"a context is a Context or a dict of attributes, not {context!r}")
    return Context(attributes=context)


class Request:
    """What one request runs on: the step's view, with what its variants override laid over it. `r[param]` reads it;
    `variants` names them by flag. As readable as the view."""

    __slots__ = ("_view", "_overlay", "_who", "_values", "variants")

    def __init__(self, view: "View", overlay: native.Overlay, who: Context | None) -> None:
        self._view = view
        self._overlay, self._who = overlay, who  # the overlay borrows who is asking
        self._values = {item.index: item.value.contents for item in overlay.values[:overlay.n_values]}
        self.variants: dict[str, str] = {text(s.flag): text(s.variant) for s in overlay.served[:overlay.n_served]}

    @overload
    def __getitem__(self, param: Param[T]) -> T: ...
    @overload
    def __getitem__(self, param: str) -> Any: ...
    def __getitem__(self, param: Param[Any] | str) -> Any:
        if isinstance(param, str):
            param = self._view._named(param)
        value = self._values.get(param.index) if type(param) is Param and self._view._view is not None else None
        return self._view[param] if value is None else param.read(value)


class View:
    """What one step runs on, by handle or by path: `v[lr]`, `v["optimizer.lr"]`. Readable until the next step begins;
    then every read raises. `with w.step() as v:` is the same view."""

    __slots__ = ("_view", "_handles", "_over", "address", "revision", "digest", "serial")

    def __init__(self, address: int, handles: Mapping[str, Param[Any]], over: Callable[[], Any] | None = None) -> None:
        self._view: Any = native.View.from_address(address)
        self._handles, self._over, self.address = handles, over, address
        self.revision: str = self._view.revision.decode()
        self.digest: str = self._view.digest.decode()
        self.serial: int = self._view.serial

    def __enter__(self) -> "View":
        return self

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        if self._over is not None:
            self._over()

    def end(self) -> None:
        self._view = None

    def _named(self, path: str) -> Param[Any]:
        try:
            return self._handles[path]
        except KeyError:
            raise undeclared(path, self._handles) from None

    @overload
    def __getitem__(self, param: Param[T]) -> T: ...
    @overload
    def __getitem__(self, param: str) -> Any: ...
    def __getitem__(self, param: Param[Any] | str) -> Any:
        view = self._view
        if view is None:
            raise RuntimeError(_OVER)
        if isinstance(param, str):
            param = self._named(param)
        elif not isinstance(param, Param):
            raise TypeError(f"a view is read by path or with what f64(), flag() and the like returned, not with {param!r}")
        index = param.index
        if index < 0:
            return self.flag(param)  # type: ignore[arg-type]
        return param.read(view.values[index if index < view.n else view.n])

    def evaluate(self, flag: Flag, context: Context | Mapping[str, Any] | None = None, default: Any = _UNSET) -> Answer:
        """Asks a flag for one request, in this process. context: a Context, a dict, or None for nobody."""
        view = self._view
        if view is None:
            raise RuntimeError(_OVER)
        if not isinstance(flag, Flag):
            raise TypeError(f"a flag is asked with what flag() returned, not with {flag!r}")
        who = _context(context)
        default = flag.default if default is _UNSET else default
        kind = flag_type(default)
        fallback = native.Value(b=default) if kind == 0 else native.Value()
        answer = native.lib().cfg_flag_evaluate(ctypes.byref(view), native.Flag(flag.flag), kind,
                                                ctypes.byref(who._native) if who else None, fallback)
        # An on/off flag may be set at the worker, which no variant stands for.
        value = _FLAG_READERS[kind](answer.value) if kind == 0 or answer.variant is not None else default
        served = Served(value, text(answer.variant) if answer.variant is not None else None,
                        native.lib().cfg_flag_reason_text(answer.reason).decode(),
                        answer.error.decode() if answer.error is not None else None, answer.revision.decode())
        served.exposed, served.who, served.home = answer.exposed, who, self._handles
        return served

    def flag(self, flag: Flag, context: Context | Mapping[str, Any] | None = None, default: Any = _UNSET) -> Any:
        """The same, but for the value alone."""
        return self.evaluate(flag, context, default).value

    def request(self, context: Context | Mapping[str, Any] | None = None) -> Request:
        """Decides the parameters of one request."""
        if self._view is None:
            raise RuntimeError(_OVER)
        who = _context(context)
        overlay = native.Overlay()
        native.lib().cfg_overlay_begin(ctypes.byref(overlay), ctypes.byref(self._view), ctypes.byref(who._native) if who else None)
        return Request(self, overlay, who)
