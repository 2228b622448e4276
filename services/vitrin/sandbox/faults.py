"""Misbehaviour on command: which request goes wrong, how, and how often. The kinds stand in ``fault_kinds``."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vitrin.sandbox.effects import DRIFTS, PRICE
from vitrin.sandbox.fault_kinds import ENDPOINTS, KINDS, SELECTORS, FaultKind, KindDoc, Stage

HOLD_MS_MAX = 600_000
HOLD_MS_DEFAULT = 30_000
PERIOD_MS_MAX = 7 * 24 * 3_600_000
ITEM_IDS_MAX = 10_000
SHARE_DEFAULT = 0.5

Period = Field(default=None, ge=1, le=PERIOD_MS_MAX)


class FaultSpec(BaseModel):
    """Body of ``POST /_sandbox/faults``: a kind, selectors that choose requests and items, and the kind's own fields.

    ``GET /_sandbox/faults/kinds`` explains every field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    platform: str | None = None
    account: str | None = None
    endpoint: Literal["send", "poll", "read", "audience", "events", "other"] | None = None
    method: str | None = None
    path: str | None = Field(default=None, max_length=500)
    item_ids: frozenset[str] | None = Field(default=None, min_length=1, max_length=ITEM_IDS_MAX)
    item_share: float | None = Field(default=None, gt=0, le=1)
    probability: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    skip: int = Field(default=0, ge=0)
    count: int | None = Field(default=None, ge=1)
    after_ms: int = Field(default=0, ge=0, le=PERIOD_MS_MAX)
    duration_ms: int | None = Period
    delay_ms: int = Field(default=0, ge=0, le=HOLD_MS_MAX)

    error: str | None = None
    status: int | None = Field(default=None, ge=200, le=599)
    body: Any = None
    code: int | None = None
    regain_s: int = Field(default=60, ge=0, le=86_400)
    drop: bool = False
    at: Literal["answer", "result"] = "result"
    message: str | None = Field(default=None, max_length=1_000)
    attribute: str = "item_id"
    hold_ms: int | None = Field(default=None, ge=0, le=HOLD_MS_MAX)
    works: bool | None = None
    content_type: str = "text/html; charset=utf-8"
    stuck_ms: int | None = Period
    final_status: Literal["error", "canceled"] = "error"
    changes: tuple[Literal["price", "availability", "delete"], ...] = Field(default=(PRICE,), min_length=1)
    drift_ms: int = Field(default=0, ge=0, le=PERIOD_MS_MAX)
    stale_ms: int = Field(default=5_000, ge=1, le=PERIOD_MS_MAX)
    match_share: float = Field(default=0.0, ge=0, le=1)
    jitter_ms: int = Field(default=0, ge=0, le=HOLD_MS_MAX)

    @field_validator("path")
    @classmethod
    def _is_regex(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_kind(cls, given: Any) -> Any:
        """A kind about items or periods goes on until it is cleared; the others meet one request."""
        if not isinstance(given, dict) or given.get("kind") not in set(FaultKind):
            return given
        kind = FaultKind(given["kind"])
        wanted: dict[str, Any] = {"count": KINDS[kind].count}
        if kind is FaultKind.HALF_BATCH and not given.get("item_ids"):
            wanted["item_share"] = SHARE_DEFAULT
        return wanted | given

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "FaultSpec":
        doc = KINDS[self.kind]
        strange = sorted(self.model_fields_set - set(SELECTORS) - set(doc.fields) - {"kind"})
        if strange:
            own = ", ".join(doc.fields) or "no fields of its own"
            raise ValueError(
                f"{self.kind} does not take {', '.join(strange)}; beside the selectors it takes {own}"
            )
        if self.item_ids is not None and self.item_share is not None:
            raise ValueError("give either item_ids or item_share, not both")
        if doc.needs_items and self.item_ids is None and self.item_share is None:
            raise ValueError(f"{self.kind} needs the culprits: item_ids, or item_share with seed")
        if self.endpoint is not None and doc.endpoints is not None and self.endpoint not in doc.endpoints:
            raise ValueError(f"{self.kind} happens on endpoint {', '.join(sorted(doc.endpoints))} only")
        if self.kind is FaultKind.REFUSE:
            self._refusal_says_how()
        if self.kind is FaultKind.GARBAGE and not isinstance(self.body, str | None):
            raise ValueError("body must be a string: it is sent as it stands")
        return self

    def _refusal_says_how(self) -> None:
        if self.error is None and self.status is None:
            raise ValueError("a refusal needs error (a name of the platform's) or status (with body)")
        if self.error is not None and self.body is not None:
            raise ValueError("a refusal takes either error or body: an error has its own body")

    @property
    def doc(self) -> KindDoc:
        """The kind's entry."""
        return KINDS[self.kind]

    @property
    def does_work(self) -> bool:
        """Whether the platform does the work all the same."""
        return self.doc.works if self.works is None else self.works

    @property
    def stage(self) -> Stage:
        """When it acts; a hang that works acts on the answer."""
        if self.kind is FaultKind.HANG and self.does_work:
            return Stage.ANSWER
        return self.doc.stage

    @property
    def held_ms(self) -> int:
        """How long a connection is held before it is closed."""
        if self.hold_ms is not None:
            return self.hold_ms
        return HOLD_MS_MAX if self.kind is FaultKind.HANG else HOLD_MS_DEFAULT

    def shown(self) -> dict[str, Any]:
        """The fields that mean something for this kind."""
        names = {"kind", *SELECTORS, *self.doc.fields}
        shown = self.model_dump(mode="json", include=names)
        if self.item_ids is not None:
            shown["item_ids"] = sorted(self.item_ids)
        if "works" in names:
            shown["works"] = self.does_work
        if "hold_ms" in names:
            shown["hold_ms"] = self.held_ms
        return shown


def kinds_json(errors: dict[str, Sequence[str]], codes: dict[str, Sequence[int]]) -> dict[str, Any]:
    """Body of ``GET /_sandbox/faults/kinds``; ``errors`` and ``codes`` are those of each platform."""
    return {
        "selectors": SELECTORS,
        "endpoints": ENDPOINTS,
        "errors": errors,
        "throttle_codes": codes,
        "changes": list(DRIFTS),
        "kinds": [
            {
                "kind": kind,
                "does": doc.summary,
                "acts": doc.stage,
                "fields": dict(doc.fields),
                "endpoints": sorted(doc.endpoints) if doc.endpoints is not None else sorted(ENDPOINTS),
                "count_default": doc.count,
                "needs_items": doc.needs_items,
                "example": dict(doc.example),
            }
            for kind, doc in KINDS.items()
        ],
    }
