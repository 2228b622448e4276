"""Which inner loop runs: compiled where it can be, plain numpy otherwise.

`interpreted` is the loop as it is written, a hundred times slower: for a debugger, and for the test that compares all.
"""

from typing import Literal

from vitrin.retargeting.audiences.engine import loop as interpreted
from vitrin.retargeting.audiences.engine import vectors
from vitrin.retargeting.audiences.engine.compiled import compiled_kernel
from vitrin.retargeting.audiences.engine.work import Kernel

Loop = Literal["auto", "compiled", "numpy", "interpreted"]


class NotCompiled(RuntimeError):
    """The compiled loop was asked for and numba is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "numba is not installed: install vitrin with the extra `compiled`, or set the loop to auto"
        )


def kernel(loop: Loop = "auto") -> Kernel:
    """Raises NotCompiled."""
    if loop == "numpy":
        return vectors.run
    if loop == "interpreted":
        return interpreted.run
    found = compiled_kernel()
    if found is None and loop == "compiled":
        raise NotCompiled
    return found or vectors.run
