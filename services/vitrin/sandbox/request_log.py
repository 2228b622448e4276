"""The log of every platform request: bounded, without tokens and bodies."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vitrin.sandbox.timing import iso

SECRET_PARAMETERS = frozenset(
    {
        *("access_token", "appsecret_proof", "appsecret_time", "client_secret", "input_token"),
        *("consumer_key", "consumer_secret", "hmac"),
        *("code", "code_verifier", "fb_exchange_token", "refresh_token"),
        # Members of an audience, which Meta's SDK puts into the address of a removal.
        "payload",
    }
)


def without_secrets(query: Mapping[str, str]) -> dict[str, str]:
    """The query as it may be shown."""
    return {name: value for name, value in query.items() if name not in SECRET_PARAMETERS}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request. ``status`` is None when the connection was closed without an answer.

    ``item_count`` and ``item_ids`` (the first ``SANDBOX_LOG_ITEM_IDS_MAX``) are the items that the request named,
    whether or not anything was done; ``accepted_count`` and ``operations`` tell what the platform took over.
    ``injected`` are the faults that it met, each with the culprits named; ``readable`` is false for a spoiled body.
    """

    seq: int
    received_ms: int
    duration_ms: float
    platform: str
    account: str | None
    endpoint: str
    method: str
    path: str
    query: dict[str, str]
    status: int | None
    outcome: str
    error_code: int | None
    item_count: int
    accepted_count: int
    item_ids: list[str]
    operations: dict[str, int]
    handle: str | None
    readable: bool
    injected: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """The shape of ``GET /_sandbox/log``."""
        return {
            "seq": self.seq,
            "received_at": iso(self.received_ms),
            "duration_ms": round(self.duration_ms, 3),
            "platform": self.platform,
            "account": self.account,
            "endpoint": self.endpoint,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "outcome": self.outcome,
            "error_code": self.error_code,
            "item_count": self.item_count,
            "accepted_count": self.accepted_count,
            "item_ids": self.item_ids,
            "operations": self.operations,
            "handle": self.handle,
            "readable": self.readable,
            "fault": "+".join(f"{one['id']}:{one['kind']}" for one in self.injected) or None,
            "injected": self.injected,
        }


class RequestLog:
    """The last requests, numbered from 1; the number is the cursor of a reader."""

    def __init__(self, *, entries_max: int) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=entries_max)
        self._next_seq = 1

    def next_seq(self) -> int:
        """Take the next number."""
        seq = self._next_seq
        self._next_seq += 1
        return seq

    def add(self, entry: LogEntry) -> None:
        """Remember the entry, forget the oldest beyond the limit."""
        self._entries.append(entry)

    def read(
        self, *, platform: str | None, since: int, limit: int, item_id: str | None = None
    ) -> list[LogEntry]:
        """Up to ``limit`` entries numbered above ``since``, the oldest first; with ``item_id`` those that name it."""
        found = (
            entry
            for entry in self._entries
            if entry.seq > since
            and (platform is None or entry.platform == platform)
            and (item_id is None or item_id in entry.item_ids)
        )
        return list(islice(found, limit))

    def tail(self, limit: int) -> list[LogEntry]:
        """The last entries, the newest first."""
        return list(islice(reversed(self._entries), limit))

    def clear(self) -> None:
        """Forget the entries; numbers go on."""
        self._entries.clear()
