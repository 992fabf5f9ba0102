"""libcfgworker.so as ctypes sees it: where it is found, and the structs and prototypes of <cfg/worker.h> and
<cfg/flags.h>."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from pathlib import Path
from typing import Any, Iterator

SONAME = "libcfgworker.so.0"


class LibraryNotFound(ImportError):
    """libcfgworker.so is nowhere; the message lists where it was looked for."""


class Error(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_int), ("retryable", ctypes.c_bool), ("text", ctypes.c_char * 384),
        ("path", ctypes.c_char * 160), ("hint", ctypes.c_char * 256),
    ]


class Param(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint32)]


class Value(ctypes.Union):
    _fields_ = [("b", ctypes.c_bool), ("i64", ctypes.c_int64), ("f64", ctypes.c_double), ("string", ctypes.c_char_p)]


class View(ctypes.Structure):
    _fields_ = [
        ("n", ctypes.c_uint32), ("serial", ctypes.c_uint32), ("values", ctypes.POINTER(Value)),
        ("revision", ctypes.c_char_p), ("digest", ctypes.c_char_p), ("flags", ctypes.c_void_p),
    ]


class Flag(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint32)]


class Context(ctypes.Structure):
    _fields_ = [
        ("n", ctypes.c_uint32), ("bad", ctypes.c_bool), ("unit", ctypes.c_uint64), ("parsed", ctypes.c_void_p),
        ("n_parsed", ctypes.c_uint32), ("memory", ctypes.c_void_p), ("own", ctypes.c_uint64 * (4 * 32)),
    ]


class Answer(ctypes.Structure):
    _fields_ = [
        ("value", Value), ("reason", ctypes.c_int), ("variant", ctypes.c_char_p), ("error", ctypes.c_char_p),
        ("revision", ctypes.c_char_p), ("exposed", ctypes.c_void_p),
    ]


class Metric(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint32)]


class OverlayValue(ctypes.Structure):
    _fields_ = [("index", ctypes.c_uint32), ("value", ctypes.POINTER(Value))]


class OverlayServed(ctypes.Structure):
    _fields_ = [("flag", ctypes.c_char_p), ("variant", ctypes.c_char_p), ("exposed", ctypes.c_void_p)]


class Overlay(ctypes.Structure):
    _fields_ = [
        ("view", ctypes.POINTER(View)), ("context", ctypes.POINTER(Context)), ("serial", ctypes.c_uint32),
        ("n_values", ctypes.c_uint32), ("n_served", ctypes.c_uint32), ("values", OverlayValue * 64),
        ("served", OverlayServed * 32),
    ]


LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
# Views come as addresses: turning each into an object of ctypes would cost more than the step itself.
PREPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(Error))
COMMIT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class Hooks(ctypes.Structure):
    _fields_ = [("prepare", PREPARE), ("commit", COMMIT), ("abort", COMMIT), ("arg", ctypes.c_void_p)]


class Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t), ("servers", ctypes.c_char_p), ("token", ctypes.c_char_p), ("ca_file", ctypes.c_char_p),
        ("deployment", ctypes.c_char_p), ("worker", ctypes.c_char_p), ("source", ctypes.c_char_p),
        ("cache", ctypes.c_char_p), ("overrides", ctypes.c_char_p), ("labels", ctypes.c_char_p),
        ("external_loop", ctypes.c_bool), ("log", LOG), ("log_arg", ctypes.c_void_p), ("rank", ctypes.c_uint32),
        ("world", ctypes.c_uint32), ("group", ctypes.c_char_p), ("group_every", ctypes.c_uint),
        ("group_deadline_ms", ctypes.c_uint), ("group_join_ms", ctypes.c_uint), ("group_id", ctypes.c_char_p),
        ("capabilities", ctypes.c_char_p), ("loop", ctypes.c_void_p),
    ]


class Status(ctypes.Structure):
    _fields_ = [
        ("state", ctypes.c_char * 24), ("revision", ctypes.c_char * 48), ("digest", ctypes.c_char * 80),
        ("store", ctypes.c_char * 64), ("newest", ctypes.c_char * 48), ("age_ms", ctypes.c_uint64),
        ("changes", ctypes.c_uint64), ("rejects", ctypes.c_uint64), ("last_reject", ctypes.c_char * 384),
        ("draining", ctypes.c_uint32), ("draining_path", ctypes.c_char * 160), ("draining_now", ctypes.c_double),
        ("draining_target", ctypes.c_double),
    ]


class Run(ctypes.Structure):
    _fields_ = [("revision", ctypes.c_char * 48), ("from_step", ctypes.c_uint64), ("adopted_at_us", ctypes.c_int64)]


def _candidates() -> Iterator[Path | str | None]:
    """CONFIGD_LIB (a file or a folder), beside this package, the builds of the source tree, the prefix that this
    package was installed to, the system."""
    given = os.environ.get("CONFIGD_LIB")
    if given:
        path = Path(given)
        yield path / "libcfgworker.so" if path.is_dir() else path
        return
    here = Path(__file__).resolve().parent
    yield here / "libcfgworker.so"
    yield here / SONAME
    if len(here.parents) > 2:
        # Sanitizer builds want their runtime loaded before Python itself, so only these:
        for preset in ("release", "dev"):
            yield here.parents[2] / "build" / preset / "worker" / "libcfgworker.so"
        # PREFIX/share/configd/python/configd, with the library under PREFIX/lib or PREFIX/lib/TRIPLET
        if here.parents[2].name == "share":
            yield from sorted(here.parents[3].glob("lib*/" + SONAME)) + sorted(here.parents[3].glob("lib/*/" + SONAME))
    yield SONAME
    yield ctypes.util.find_library("cfgworker")


def _open() -> ctypes.CDLL:
    tried: list[str] = []
    for candidate in _candidates():
        if candidate is None or (isinstance(candidate, Path) and not candidate.exists()):
            tried.append(str(candidate or "the linker's cache"))
            continue
        try:
            return ctypes.CDLL(str(candidate))
        except OSError as e:
            tried.append(f"{candidate} ({e})")
    raise LibraryNotFound("libcfgworker.so was not found; set CONFIGD_LIB to it. Looked at: " + "; ".join(tried))


def _declare(lib: Any) -> Any:
    worker, param, error = ctypes.c_void_p, Param, ctypes.POINTER(Error)
    text, klass, flag, i64, f64 = ctypes.c_char_p, ctypes.c_int, ctypes.c_bool, ctypes.c_int64, ctypes.c_double
    prototypes = {
        "cfg_worker_open": (ctypes.c_int, [ctypes.POINTER(worker), ctypes.POINTER(Options), error]),
        "cfg_worker_close": (None, [worker]),
        "cfg_param_bool": (param, [worker, text, klass, flag]),
        "cfg_param_i64": (param, [worker, text, klass, i64, i64, i64]),
        "cfg_param_f64": (param, [worker, text, klass, f64, f64, f64]),
        "cfg_param_string": (param, [worker, text, klass, text]),
        "cfg_param_json": (param, [worker, text, klass, text]),
        "cfg_param_flag": (param, [worker, text, flag]),
        "cfg_flag_declare": (Flag, [worker, text]),
        "cfg_flag_evaluate": (Answer, [ctypes.POINTER(View), Flag, ctypes.c_int, ctypes.POINTER(Context), Value]),
        "cfg_flag_reason_text": (text, [ctypes.c_int]),
        "cfg_context_json": (ctypes.c_int, [ctypes.POINTER(Context), text, ctypes.c_size_t, error]),
        "cfg_context_finish": (None, [ctypes.POINTER(Context)]),
        "cfg_overlay_begin": (None, [ctypes.POINTER(Overlay), ctypes.POINTER(View), ctypes.POINTER(Context)]),
        "cfg_metric_declare": (Metric, [worker, text]),
        "cfg_flag_metric": (None, [ctypes.POINTER(Answer), ctypes.POINTER(Context), Metric, f64]),
        "cfg_overlay_metric": (None, [ctypes.POINTER(Overlay), Metric, f64]),
        "cfg_worker_on_change": (ctypes.c_int, [worker, text, ctypes.POINTER(Hooks), error]),
        "cfg_worker_ceiling": (ctypes.c_int, [worker, text, f64, error]),
        "cfg_worker_start": (ctypes.c_int, [worker, ctypes.c_uint, error]),
        "cfg_step_begin": (worker, [worker, ctypes.c_uint64]),
        "cfg_step_end": (None, [worker, text]),
        "cfg_worker_why": (ctypes.c_int, [worker, error]),
        "cfg_worker_form": (ctypes.c_int, [worker, error]),
        "cfg_worker_metric": (None, [worker, Metric, f64]),
        "cfg_worker_draining": (ctypes.c_int, [worker, param, f64]),
        "cfg_worker_revision_at": (ctypes.c_int, [worker, ctypes.c_uint64, ctypes.POINTER(Run), error]),
        "cfg_worker_idle": (flag, [worker, ctypes.c_uint]),
        "cfg_worker_wake": (None, [worker]),
        "cfg_worker_status": (None, [worker, ctypes.POINTER(Status)]),
        "cfg_worker_poll_fd": (ctypes.c_int, [worker]),
        "cfg_worker_timeout_ms": (ctypes.c_int, [worker]),
        "cfg_worker_process": (None, [worker]),
    }
    for name, (restype, argtypes) in prototypes.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = restype, argtypes
    return lib


_lib: Any = None


def lib() -> Any:
    """The library, loaded at the first use, so that importing this module works without it."""
    global _lib
    if _lib is None:
        _lib = _declare(_open())
    return _lib
