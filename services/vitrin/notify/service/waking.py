"""After a commit of this process that left deliveries, its dispatcher looks at once; others look each second."""

from collections.abc import Callable

from vitrin.kit.db.session import WriteSession


class Waker:
    def __init__(self) -> None:
        self._wake: Callable[[], None] | None = None

    def listen(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def after(self, tx: WriteSession) -> None:
        if self._wake is not None:
            tx.after_commit(self._wake)
