"""``/_sandbox/audiences``, ``conversions`` and ``people``: look into the networks' advertising side, and name whom they
know."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from vitrin.sandbox.ads.audiences import Audience
from vitrin.sandbox.ads.conversions import per_day
from vitrin.sandbox.ads.desk import AdsDesk
from vitrin.sandbox.commands import ControlRefusal, Endpoint, PlatformName, answer, number, read_body
from vitrin.sandbox.timing import iso
from vitrin.sandbox.world import World

ROWS_DEFAULT, ROWS_MAX = 100, 10_000
EVENTS_DEFAULT, EVENTS_MAX = 100, 5_000
PEOPLE_MAX = 10_000


class People(BaseModel):
    """Body of ``POST /_sandbox/people``: the network knows these and nobody else, until a reset."""

    model_config = ConfigDict(extra="forbid")

    platform: PlatformName
    emails: list[str] = Field(default_factory=list, max_length=PEOPLE_MAX)
    phones: list[str] = Field(default_factory=list, max_length=PEOPLE_MAX)


class AudienceCommand(BaseModel):
    """Body of ``PATCH /_sandbox/audiences/{platform}/{audience_id}``: block an audience as Meta does (471), or not."""

    model_config = ConfigDict(extra="forbid")

    flagged: bool


class AdsControl:
    """The commands on one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def table(self) -> list[tuple[str, str, Endpoint]]:
        """Path, method and endpoint of each."""
        return [
            ("/_sandbox/audiences", "GET", self.list_audiences),
            ("/_sandbox/audiences/{platform}/{audience_id}", "GET", self.read_audience),
            ("/_sandbox/audiences/{platform}/{audience_id}", "PATCH", self.flag_audience),
            ("/_sandbox/conversions/{platform}", "GET", self.read_conversions),
            ("/_sandbox/conversions/{platform}/counts", "GET", self.read_counts),
            ("/_sandbox/people", "POST", self.name_people),
        ]

    async def list_audiences(self, request: Request) -> Response:
        """Every audience of every network, deleted ones too, with the true number of rows and matched people."""
        shown = {
            name: [
                _audience(platform.ads, audience) for audience in platform.ads.audiences.audiences.values()
            ]
            for name, platform in self.world.platforms.items()
        }
        return answer(shown)

    async def read_audience(self, request: Request) -> Response:
        """One audience with a page of its rows: hashes, as they were sent, the oldest first."""
        desk, audience = self._audience(request)
        offset = number(request, "offset", default=0)
        limit = number(request, "limit", default=ROWS_DEFAULT, max_value=ROWS_MAX)
        rows = list(audience.rows.values())[offset : offset + limit]
        body = {
            **_audience(desk, audience),
            "members": [{"cells": row.cells, "added_at": iso(row.added_ms)} for row in rows],
        }
        return answer(body)

    async def flag_audience(self, request: Request) -> Response:
        """Block the audience, or let it go."""
        desk, audience = self._audience(request)
        command = await read_body(request, AudienceCommand)
        audience.flagged = command.flagged
        desk.audiences.note()
        return answer(_audience(desk, audience))

    async def read_conversions(self, request: Request) -> Response:
        """Events numbered above ``since``, the oldest first; ``next_since`` goes on from there."""
        desk = self._desk(request.path_params["platform"])
        since = number(request, "since", default=0)
        limit = number(request, "limit", default=EVENTS_DEFAULT, max_value=EVENTS_MAX)
        events = desk.conversions.list(since=since, limit=limit)
        body = {
            "events": [event.shown() for event in events],
            "next_since": events[-1].number if events else since,
        }
        return answer(body)

    async def read_counts(self, request: Request) -> Response:
        """Per day and event name what was received, matched and merged, at once; of one pixel or tag."""
        desk = self._desk(request.path_params["platform"])
        source_id = request.query_params.get("source_id", "")
        if not source_id:
            raise ControlRefusal(400, "invalid", "give the id of a pixel or tag", field="source_id")
        counts = per_day(desk.conversions.counts(source_id, late=False))
        rows: list[dict[str, Any]] = [
            {
                "day": iso(day_ms)[:10],
                "event_name": name,
                "received": one.received,
                "browser": one.browser,
                "server": one.server,
                "matched": one.matched,
                "merged": one.merged,
            }
            for (day_ms, name), one in sorted(counts.items())
        ]
        return answer({"source_id": source_id, "counts": rows})

    async def name_people(self, request: Request) -> Response:
        """Name people whom the network knows; what is in audiences already keeps its match."""
        command = await read_body(request, People)
        desk = self._desk(command.platform)
        known = desk.matching.name(emails=command.emails, phones=command.phones)
        return answer({"platform": command.platform, "known": known}, 201)

    def _desk(self, name: str) -> AdsDesk:
        platform = self.world.platforms.get(name)
        if platform is None:
            raise ControlRefusal(404, "unknown_platform", "no such platform", field="platform")
        return platform.ads

    def _audience(self, request: Request) -> tuple[AdsDesk, Audience]:
        desk = self._desk(request.path_params["platform"])
        audience = desk.audiences.audiences.get(request.path_params["audience_id"])
        if audience is None:
            raise ControlRefusal(404, "unknown_audience", "no such audience", field="audience_id")
        return desk, audience


def _audience(desk: AdsDesk, audience: Audience) -> dict[str, Any]:
    return {
        "audience_id": audience.audience_id,
        "account": audience.account,
        "name": audience.name,
        "rows": len(audience.rows),
        "people_matched": desk.audiences.people(audience),
        "uploaded": audience.uploaded,
        "removed": audience.removed,
        "flagged": audience.flagged,
        "deleted": audience.deleted,
        "changed_at": iso(audience.changed_ms),
    }
