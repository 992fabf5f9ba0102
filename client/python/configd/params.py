"""What a program declares: parameters with their class, range and default. The class says when a new value holds."""

from __future__ import annotations

import difflib
import json
from typing import Any, Callable, Generic, TypeVar

from . import _native as native

T = TypeVar("T")

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Declaration:
    """A parameter that is not yet a worker's: default, class and range. The default's type is the parameter's."""

    __slots__ = ("klass", "default", "minimum", "maximum")

    def __init__(self, klass: str, default: Any, minimum: float | None = None, maximum: float | None = None) -> None:
        if (minimum is not None or maximum is not None) and (isinstance(default, bool) or not isinstance(default, (int, float))):
            raise TypeError(f"only numbers have a range, not {default!r}")
        self.klass, self.default, self.minimum, self.maximum = klass, default, minimum, maximum


class Class(str):
    """An apply class. It is its name; called, it declares: `barrier(1e-3, 0, 1)` is a float from 0 to 1."""

    __slots__ = ()

    def __call__(self, default: Any, minimum: float | None = None, maximum: float | None = None) -> Declaration:
        return Declaration(self, default, minimum, maximum)


live, drain, barrier, restart, pinned = (Class(name) for name in ("live", "drain", "barrier", "restart", "pinned"))
_CLASSES = (live, drain, barrier, restart, pinned)  # in the order of enum cfg_class


def class_number(name: str) -> int:
    if name not in _CLASSES:
        raise ValueError(f"unknown class {name!r}: one of " + ", ".join(_CLASSES))
    return _CLASSES.index(name)


class Param(Generic[T]):
    """A handle: `v[param]` reads it."""

    __slots__ = ("path", "index", "read")

    def __init__(self, path: str, index: int, read: Callable[[Any], T]) -> None:
        self.path, self.index, self.read = path, index, read

    def __repr__(self) -> str:
        return f"<configd parameter {self.path}>"


def text(data: bytes) -> str:
    # The library holds U+0000 inside a text as the bytes C0 80, so that C strings stay whole.
    return data.replace(b"\xc0\x80", b"\0").decode("utf-8", "replace")


def read_f64(value: Any) -> float:
    return value.f64  # type: ignore[no-any-return]


def read_i64(value: Any) -> int:
    return value.i64  # type: ignore[no-any-return]


def read_bool(value: Any) -> bool:
    return value.b  # type: ignore[no-any-return]


def read_string(value: Any) -> str:
    return text(value.string or b"")


def read_json(value: Any) -> Any:
    return json.loads(text(value.string or b"null"))


def undeclared(path: str, known: Any) -> KeyError:
    near = difflib.get_close_matches(path, list(known), 1)
    return KeyError(f"{path} was not declared" + (f"; did you mean {near[0]}?" if near else
                    "; declare it before start: Worker(params={" + repr(path) + ": live(DEFAULT)})"))


class Error(Exception):
    """What the library refused. code is a negative number of <cfg/error.h>; path and hint may be empty."""

    def __init__(self, err: native.Error) -> None:
        self.code: int = err.code
        self.text, self.path, self.hint = text(err.text), text(err.path), text(err.hint)
        super().__init__(self.text + (f" ({self.hint})" if self.hint else ""))


class Superseded(Exception):
    """A newer incarnation of this worker has taken over: end the loop."""
