"""The advertising side of one network: its audiences, its events and whom it knows."""

from collections.abc import Callable
from dataclasses import dataclass

from vitrin.sandbox.ads.audiences import AudienceBook
from vitrin.sandbox.ads.conversions import ConversionBook
from vitrin.sandbox.ads.matching import Matching
from vitrin.sandbox.changes import Changes
from vitrin.sandbox.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class AdsDesk:
    """What ``/_sandbox/audiences`` and ``/_sandbox/conversions`` show."""

    matching: Matching
    audiences: AudienceBook
    conversions: ConversionBook

    def clear(self) -> None:
        """Forget audiences, events and named people."""
        self.matching.people.clear()
        self.audiences.clear()
        self.conversions.clear()


def build_desk(
    settings: SandboxSettings,
    *,
    changes: Changes,
    now_ms: Callable[[], int],
    dedupe_ms: int,
    by_order: frozenset[str] = frozenset(),
    undeduped_sources: frozenset[str] = frozenset(),
) -> AdsDesk:
    """An empty desk; see ``ConversionBook`` for what differs between networks."""
    matching = Matching(settings.match_share)
    return AdsDesk(
        matching,
        AudienceBook(
            matching=matching, changes=changes, latency_ms=settings.audience_latency_ms, now_ms=now_ms
        ),
        ConversionBook(
            matching=matching,
            changes=changes,
            kept_max=settings.conversions_kept_max,
            latency_ms=settings.conversion_latency_ms,
            dedupe_ms=dedupe_ms,
            by_order=by_order,
            undeduped_sources=undeduped_sources,
            now_ms=now_ms,
        ),
    )
