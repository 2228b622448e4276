"""`loop` compiled by numba, where numba is installed (the extra `compiled`)."""

import hashlib
import importlib
import types
from functools import cache
from pathlib import Path
from typing import Any, Final

from vitrin.retargeting.audiences.engine import loop
from vitrin.retargeting.audiences.engine.work import Kernel

HELPERS: Final = ("join", "find_anchors", "mark", "evaluate", "collect", "forget", "keep", "run")
"""Callees before callers."""
HERE: Final = Path(__file__).parent


@cache
def compiled_kernel() -> Kernel | None:
    """None without numba. Compiles at its first call (some seconds), later processes load it from numba's cache.

    The cache lies in a folder named by the sources that the loop is made of: numba itself would look at loop.py only,
    and take old code for new tuples. It releases the interpreter's lock while it runs.
    """
    try:
        numba: Any = importlib.import_module("numba")
    except ImportError:
        return None
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = before or str(HERE / "__pycache__" / f"loop-{_digest()}")
    try:
        return _compile(numba)
    finally:
        numba.config.CACHE_DIR = before


def _compile(numba: Any) -> Kernel:
    names = dict(vars(loop))
    for name in HELPERS:
        plain = getattr(loop, name)
        copy = types.FunctionType(plain.__code__, names, name)
        copy.__qualname__, copy.__module__ = plain.__qualname__, plain.__module__
        # Inlined before compiling: without, each call passes a dozen arrays (10 % slower, and slower to compile).
        options = {"nogil": True, "no_cfunc_wrapper": True} | (
            {} if name == HELPERS[-1] else {"inline": "always"}
        )
        try:
            names[name] = numba.njit(cache=True, **options)(copy)
        except RuntimeError:  # nowhere to write the cache
            names[name] = numba.njit(**options)(copy)
    kernel: Kernel = names["run"]
    return kernel


def _digest() -> str:
    read = hashlib.sha256()
    for name in ("arrays", "columns", "filters", "graph", "loop", "plan", "state", "work"):
        read.update((HERE / f"{name}.py").read_bytes())
    return read.hexdigest()[:16]
