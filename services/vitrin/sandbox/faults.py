"""Misbehaviour on command: which request goes wrong, how, and how often."""

import re
from enum import StrEnum
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

HOLD_MS_MAX = 600_000


class FaultKind(StrEnum):
    """What goes wrong."""

    REFUSE = "refuse"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    SLOW = "slow"


class FaultSpec(BaseModel):
    """Body of ``POST /_sandbox/faults``.

    ``refuse`` answers with ``error`` (a name that the platform knows: throttle, auth, transient, ...) or with
    ``status`` and ``body`` as given. ``timeout_before`` does nothing, ``timeout_after`` does the work; both then
    hold the connection for ``hold_ms`` and close it without an answer. ``slow`` waits ``delay_ms`` first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    platform: str | None = None
    method: str | None = None
    path: str | None = Field(
        default=None, max_length=500, description="Regular expression, searched in the path."
    )
    count: int | None = Field(
        default=1, ge=1, description="How many requests; null for all until it is cleared."
    )
    probability: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    error: str | None = None
    status: int | None = Field(default=None, ge=400, le=599)
    body: Any = None
    hold_ms: int = Field(default=30_000, ge=0, le=HOLD_MS_MAX)
    delay_ms: int = Field(default=0, ge=0, le=HOLD_MS_MAX)

    @field_validator("path")
    @classmethod
    def _is_regex(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _refusal_says_how(self) -> "FaultSpec":
        if self.kind is FaultKind.REFUSE and (self.error is None) == (self.status is None):
            raise ValueError("a refusal needs either error (a name) or status (with body)")
        return self


class ActiveFault:
    """A fault that waits for requests."""

    def __init__(self, *, fault_id: str, spec: FaultSpec) -> None:
        self.fault_id = fault_id
        self.spec = spec
        self.hits = 0
        self._random = Random(spec.seed)  # noqa: S311 - repeatable by design
        self._path = re.compile(spec.path) if spec.path else None

    @property
    def spent(self) -> bool:
        """Whether it has hit as often as it may."""
        return self.spec.count is not None and self.hits >= self.spec.count

    def takes(self, *, platform: str, method: str, path: str) -> bool:
        """Whether this request goes wrong; counts the hit."""
        spec = self.spec
        if self.spent or spec.platform not in (None, platform):
            return False
        if spec.method is not None and spec.method.upper() != method:
            return False
        if self._path is not None and not self._path.search(path):
            return False
        if spec.probability < 1 and self._random.random() >= spec.probability:
            return False
        self.hits += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """The shape of ``GET /_sandbox/faults``."""
        return {
            "id": self.fault_id,
            "hits": self.hits,
            "spent": self.spent,
            **self.spec.model_dump(mode="json"),
        }


class FaultBook:
    """The faults in the order in which they were added; the first that matches a request is the one."""

    def __init__(self, *, faults_max: int) -> None:
        self._faults: list[ActiveFault] = []
        self._faults_max = faults_max
        self._next = 1

    def add(self, spec: FaultSpec) -> ActiveFault:
        """Activate a fault. Spent ones make room; raises ``OverflowError`` beyond the limit."""
        if len(self._faults) >= self._faults_max:
            self._faults = [fault for fault in self._faults if not fault.spent]
        if len(self._faults) >= self._faults_max:
            raise OverflowError(f"at most {self._faults_max} faults can be active")
        fault = ActiveFault(fault_id=f"fault-{self._next}", spec=spec)
        self._next += 1
        self._faults.append(fault)
        return fault

    def match(self, *, platform: str, method: str, path: str) -> ActiveFault | None:
        """The fault that this request meets, if any."""
        for fault in self._faults:
            if fault.takes(platform=platform, method=method, path=path):
                return fault
        return None

    def all(self) -> list[ActiveFault]:
        """Every fault, spent ones too."""
        return list(self._faults)

    def clear(self, fault_id: str | None = None) -> int:
        """Remove one fault or all; the number removed."""
        kept = [] if fault_id is None else [fault for fault in self._faults if fault.fault_id != fault_id]
        removed = len(self._faults) - len(kept)
        self._faults = kept
        return removed
