"""What passes between the HTTP side and a platform: a parsed call in, a reply out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from vitrin.sandbox.accounts import Account
from vitrin.sandbox.ads.desk import AdsDesk
from vitrin.sandbox.effects import NO_EFFECTS, Effects
from vitrin.sandbox.quotas import Limits
from vitrin.sandbox.state import CatalogState


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a platform. ``path`` is relative to the platform's host, with a leading slash.

    ``body`` is None when it was larger than the platform takes (``body_bytes`` then counts what came);
    ``form`` is set for form-encoded and multipart bodies.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None
    body_bytes: int
    form: Mapping[str, str] | None
    base_url: str
    received_ms: int
    effects: Effects = NO_EFFECTS


@dataclass(slots=True)
class Reply:
    """A platform's answer, with what the request log says about it.

    ``item_ids`` are the items that the call named, ``accepted_count`` those of a write that the platform took over.
    """

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    outcome: str = "ok"
    error_code: int | None = None
    account: str | None = None
    item_ids: Sequence[str] = ()
    operations: dict[str, int] = field(default_factory=dict)
    handle: str | None = None
    accepted_count: int = 0


class KeptBatches(Protocol):
    """The batches of one platform, as far as a restart must not forget them; see ``Desk``."""

    def snapshot(self, *, since_ms: int, finished_max: int) -> Sequence[Any]:
        """Copies of the batches to keep."""
        ...

    def restore(self, encoded: bytes | msgspec.Raw) -> Any:
        """Take back a copy that was encoded as JSON."""
        ...


class Door(Protocol):
    """What the gate asks of whoever stands behind it."""

    name: str
    host: str
    body_bytes_max: int

    def handle(self, call: Call) -> Reply:
        """Answer the call; every error is a reply in the platform's own shape."""
        ...

    def named_error(self, name: str, call: Call) -> Reply | None:
        """The platform's error of that name (throttle, auth, transient, ...), or None if it has none."""
        ...

    def error_names(self) -> Sequence[str]:
        """The names that ``named_error`` knows."""
        ...

    def throttle_codes(self) -> Sequence[int]:
        """The codes that ``throttled`` knows."""
        ...

    def throttled(self, call: Call, *, code: int | None, regain_s: int) -> Reply:
        """The refusal of one call too many, with headers that say when calls are taken again.

        ``code`` is one of ``throttle_codes``; None is that of the call's endpoint.
        """
        ...

    def batch_refused(self, call: Call) -> Reply:
        """The refusal of a whole batch that names nothing."""
        ...

    def endpoint_of(self, call: Call) -> str:
        """``send``, ``poll``, ``read``, ``audience``, ``events`` or ``other``; see ``fault_kinds.ENDPOINTS``."""
        ...

    def items_of(self, call: Call) -> Sequence[str]:
        """The ids of the items that the request names, as far as it can be read."""
        ...

    def account_of(self, call: Call) -> Account | None:
        """The account of the call's token, whatever the token's state."""
        ...


class Platform(Door, Protocol):
    """One platform of the sandbox."""

    catalogs: dict[str, CatalogState]
    limits: Limits
    ads: AdsDesk

    @property
    def batches(self) -> KeptBatches:
        """What was accepted and not forgotten yet."""
        ...

    def open_account(self, account: Account) -> None:
        """Give a new account its catalog."""
        ...

    def add_catalog(self, catalog_id: str, *, name: str) -> CatalogState:
        """An empty catalog of that id."""
        ...

    def settle(self, *, now_ms: int) -> None:
        """Carry out every batch that is due; called before anybody looks."""
        ...

    def clear(self) -> None:
        """Forget items, batches and counted calls."""
        ...

    def item_key(self, item_id: str, *, catalog_id: str) -> str | None:
        """The storage key of an item of one of ``catalogs``, or None."""
        ...

    def described(self, key: str) -> dict[str, str]:
        """What identifies a stored item to a reader."""
        ...
