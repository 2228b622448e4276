"""What every network's customer lists have in common: people in, hashed rows out, one verdict per person.

The way of a member: `render` (pure: normalise, lint, hash) -> `add` or `remove` in batches -> `size` much later, with
its age. The uploader sends exactly the difference of memberships, removals of buyers first; both calls are idempotent,
so an unknown outcome is repeated and never looked up (no network shows who is in an audience).

Failures are those of `base.PlatformFailure`. These codes ask for something else than a repeat or a hunt:

    AUDIENCE_GONE       the network does not have the audience any more (deleted there, or aged out): make it anew
    AUDIENCE_TOO_SMALL  it would shrink below what the network allows, and nobody was removed. The removals stay due.
                        Send the additions of the same difference first; where that does not help, create another
                        audience with the members that are left, put it into the ad sets, then `delete` this one
    AUDIENCE_FLAGGED    the network has blocked it for its content: stop, a person must look
    AUDIENCE_BUSY       it is being updated: again after `retry_after_s`
    TERMS_MISSING       somebody must accept the network's terms for customer lists, once per account
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from vitrin.kit.http_client import PlatformHttp, Priority, Rate
from vitrin.platforms.base import Problem
from vitrin.platforms.personal.model import Field, Person
from vitrin.platforms.records import Limits, RecordVerdict

AUDIENCE_GONE: Final = "audience_gone"
AUDIENCE_TOO_SMALL: Final = "audience_too_small"
AUDIENCE_FLAGGED: Final = "audience_flagged"
AUDIENCE_BUSY: Final = "audience_busy"
TERMS_MISSING: Final = "terms_missing"


class AudienceEndpoint(StrEnum):
    """Classes of calls; each has its own rate per ad account. MANAGE: create, find, delete."""

    MANAGE = "manage"
    MEMBERS = "members"
    SIZE = "size"


class AudienceState(StrEnum):
    """What a network says of an audience. READY can be targeted; TOO_SMALL holds too few people whom the network
    knows; PROCESSING is being matched; FLAGGED is blocked."""

    READY = "ready"
    PROCESSING = "processing"
    TOO_SMALL = "too_small"
    FLAGGED = "flagged"


@dataclass(frozen=True, slots=True)
class Member:
    """`member_id`: ours, the same for a person for ever; verdicts name it."""

    member_id: str
    person: Person


@dataclass(frozen=True, slots=True)
class RenderedMember:
    """`rows`: what is sent of the person, hashes and nothing else; several addresses make several rows of one person.
    With `problems` nothing is left that the network could match: do not send. `left_out`: values that are not sent;
    `warnings`: sent all the same. All three belong into the match report."""

    member_id: str
    rows: tuple[tuple[str, ...], ...] = field(repr=False)
    size_bytes: int
    problems: tuple[Problem, ...] = ()
    left_out: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class AudienceSpec:
    """`name`: must be unique among the brand's audiences at the network (put our id into it): `find` goes by it."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class RemoteAudience:
    """The network's ids, to be stored before anything is sent: Meta `audience_id`; Pinterest `customer_list_id` and
    `audience_id`."""

    ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Created:
    """`verdicts`: of the members that the audience was created with, where the network wants some."""

    audience: RemoteAudience
    verdicts: tuple[RecordVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class MembersResult:
    """`verdicts`: exactly one per member sent. `rows_received` and `rows_invalid`: the network's own counts of this
    call, None where it gives none (Pinterest counts over the life of the list)."""

    verdicts: tuple[RecordVerdict, ...]
    rows_received: int | None = None
    rows_invalid: int | None = None


@dataclass(frozen=True, slots=True)
class AudienceSize:
    """What the network says now. `people_*`: whom it matched, an estimate with bounds; None where it does not say.
    `rows_*`: counted by the network since the audience was made (Pinterest counts repeats and strangers too).
    `as_of`: the network's own time of its last change of content, aware; None: unknown. No figure is newer.
    """

    state: AudienceState
    people_min: int | None = None
    people_max: int | None = None
    rows_received: int | None = None
    rows_removed: int | None = None
    as_of: datetime | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class ReplaceStep:
    """One call of a full replace: `session_id` is random and the same for all, `batch_seq` counts from 1, `rows_total`
    is an estimate. The old members go when the last batch is in."""

    session_id: int
    batch_seq: int
    is_last: bool
    rows_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceCapabilities:
    """`fields`: what the network matches by, best first. `limits`: rows and bytes of one call.
    `ids`: those that a whole `RemoteAudience` has; with fewer its creation was broken off (`AudienceChannel.create`).

    `created_with_members`: an audience cannot be empty, the first members go with `create`.
    `replaces`: `replace` works. `usable_min`: matched people below which nobody can be targeted.
    `shrinks_to_min`: matched people below which the network refuses removals (AUDIENCE_TOO_SMALL), None where it never
    does. `shows_within_s`: by then a change has been matched and `size` shows it; not an error before.
    `unused_expires`: after so long without use in an ad set the network deletes the audience by itself (a receipt of an
    erasure needs it where a removal was refused); None where it says nothing."""

    platform: str
    ids: tuple[str, ...]
    fields: tuple[Field, ...]
    limits: Limits
    created_with_members: bool
    replaces: bool
    usable_min: int
    shrinks_to_min: int | None
    shows_within_s: float
    concurrency_max: int
    audiences_max: int | None = None
    unused_expires: timedelta | None = None
    rates: Mapping[AudienceEndpoint, Rate] = field(default_factory=dict)


class AudienceChannel(Protocol):
    """The customer lists of one ad account. I/O methods raise PlatformFailure and nothing else; never call them with a
    database transaction open: they wait for the network's rate."""

    @property
    def capabilities(self) -> AudienceCapabilities: ...

    def render(self, members: Sequence[Member]) -> list[RenderedMember]:
        """Normalised and hashed by the network's rule, in the order given. Pure. Store none of it: hashes of personal
        data are personal data; render again from the sealed profile when it is to be sent."""
        ...

    def ready_in_s(self, endpoint: AudienceEndpoint, *, priority: Priority = Priority.SLOW) -> float:
        """Seconds that a call would now wait for the network's rate; 0 when it could go at once."""
        ...

    async def create(
        self,
        spec: AudienceSpec,
        members: Sequence[RenderedMember] = (),
        *,
        begun: RemoteAudience | None = None,
    ) -> Created:
        """NOT idempotent: after any failure, `find` before creating again. `members`: at least one where
        `created_with_members`, else none. A network may need two calls: what `find` returned without all of
        `capabilities.ids` is given as `begun`, and only the rest is made (without members)."""
        ...

    async def find(self, name: str) -> RemoteAudience | None:
        """The account's audience of exactly this name; the newest where there are several. Pages through all."""
        ...

    async def add(
        self,
        audience: RemoteAudience,
        members: Sequence[RenderedMember],
        *,
        priority: Priority = Priority.SLOW,
    ) -> MembersResult:
        """One call within `limits`, each member once and without `problems`."""
        ...

    async def remove(
        self,
        audience: RemoteAudience,
        members: Sequence[RenderedMember],
        *,
        priority: Priority = Priority.FAST,
    ) -> MembersResult:
        """One call, as `add`. ACCEPTED means that the network took the removal; it never says whether the person had
        been in. Rendered from the same identifiers as when they were added; an address that was changed since must be
        removed by its old value."""
        ...

    async def replace(
        self, audience: RemoteAudience, members: Sequence[RenderedMember], *, step: ReplaceStep
    ) -> MembersResult:
        """One call of a full replace. Without `replaces`: INVALID_REQUEST with the code `cannot_replace`."""
        ...

    async def size(self, audience: RemoteAudience) -> AudienceSize: ...

    async def delete(self, audience: RemoteAudience) -> None:
        """Idempotent: gone already is gone. At Pinterest the audience goes and its customer list stays: remove the
        members first where they must go (an erasure)."""
        ...


class OpenAudienceChannel(Protocol):
    """Makes a channel; no I/O. Raises ChannelMisconfigured."""

    def __call__(
        self,
        *,
        http: PlatformHttp,
        access_token: str,
        external_ids: Mapping[str, str],
        base_url: str | None = None,
        rates: Mapping[AudienceEndpoint, Rate] | None = None,
        brand: str = "",
    ) -> AudienceChannel: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceNetwork:
    """What the services must know of a network before they open a channel on it."""

    name: str
    title: str
    capabilities: AudienceCapabilities
    required_external_ids: tuple[str, ...]
    required_scopes: tuple[str, ...]
    default_base_url: str
    open_channel: OpenAudienceChannel
