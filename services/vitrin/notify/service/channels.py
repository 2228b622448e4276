"""Use cases of channels of notifications."""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import available_timezones

import orjson

from vitrin.kit.access import Principal
from vitrin.kit.clock import Clock
from vitrin.kit.db.database import AppDatabase
from vitrin.kit.db.session import WriteSession
from vitrin.kit.errors import FieldError
from vitrin.kit.ids import new_uuid
from vitrin.notify.domain.posting import (
    CODE_KEEP,
    CODE_TRIES_MAX,
    RATE_WINDOW,
    Posted,
    free_at,
)
from vitrin.notify.domain.register import CHANNEL_DISABLED, REGISTER
from vitrin.notify.errors import (
    AlreadyConfirmed,
    ChannelInvalid,
    ChannelNotFound,
    ChannelsTooMany,
    CodeExpired,
    CodeTooSoon,
    CodeWrong,
    MailNotConfigured,
    MessagesTooMany,
    NotConfirmed,
)
from vitrin.notify.repository import channels, posts
from vitrin.notify.service import wording
from vitrin.notify.service.mail import Mailer
from vitrin.notify.service.notices import Notices
from vitrin.notify.service.planning import Planner
from vitrin.notify.service.posting import Sender
from vitrin.notify.service.targets import Targets, hint_of

CHANNELS_MAX: Final = 20
CODE_PAUSE: Final = timedelta(minutes=1)
CHOICES: Final = (
    "name",
    "rules",
    "digest",
    "digest_at",
    "quiet_from",
    "quiet_until",
    "time_zone",
    "resolved",
)


class ShownChannel(NamedTuple):
    """`target`: in full only for who may change channels."""

    row: Any
    target: str


class Channels:
    def __init__(
        self,
        *,
        database: AppDatabase,
        clock: Clock,
        targets: Targets,
        mailer: Mailer,
        sender: Sender,
        planner: Planner,
        notices: Notices,
        messages_max: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._targets = targets
        self._mailer = mailer
        self._sender = sender
        self._planner = planner
        self._notices = notices
        self._messages_max = messages_max

    async def create(self, caller: Principal, wanted: Mapping[str, Any]) -> ShownChannel:
        """An e-mail address gets a code and nothing else until it is confirmed; whoever has a Slack URL may use it.
        ChannelInvalid, MailNotConfigured, ChannelsTooMany."""
        type_, target = self._target_of(wanted)
        check(wanted)
        now, channel_id = self._clock(), new_uuid()
        values = {
            **_columns(wanted),
            **self._targets.seal(channel_id, target),
            "channel_id": channel_id,
            "type": type_,
            "target_hint": hint_of(type_, target),
            "confirmed_at": None if type_ == "email" else now,
            "by": caller.actor,
            "now": now,
        }
        async with self._database.write(caller.brand_id) as tx:
            await channels.lock_brand(tx, caller.brand_id)
            if await channels.count(tx, caller.brand_id) >= CHANNELS_MAX:
                raise ChannelsTooMany(f"A brand has at most {CHANNELS_MAX} channels of notifications.")
            await channels.insert(tx, caller.brand_id, values)
            if type_ == "email":
                await self._send_code(tx, caller, channel_id, now)
            return await self._shown(tx, caller, channel_id)

    async def page(self, caller: Principal, *, after: UUID | None, limit: int) -> list[ShownChannel]:
        async with self._database.read(caller.brand_id) as tx:
            rows = await channels.page(tx, caller.brand_id, after=after, limit=limit)
        return [self._of(caller, row) for row in rows]

    async def get(self, caller: Principal, channel_id: UUID) -> ShownChannel:
        async with self._database.read(caller.brand_id) as tx:
            return await self._shown(tx, caller, channel_id)

    async def change(self, caller: Principal, channel_id: UUID, changes: Mapping[str, Any]) -> ShownChannel:
        """What waits goes by the new rules and times. Disabling drops it; enabling begins with what opens next."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            row = await channels.lock(tx, caller.brand_id, channel_id)
            if row is None:
                raise ChannelNotFound
            wanted = {name: changes.get(name, getattr(row, name)) for name in CHOICES}
            check(wanted)
            enabled = bool(changes.get("enabled", row.enabled))
            switch = {
                name: getattr(row, name)
                for name in ("enabled", "disabled_code", "disabled_reason", "disabled_at")
            }
            if enabled != row.enabled:
                switch = _switch(enabled=enabled, by=caller.actor, now=now)
                if not enabled:
                    await posts.drop(tx, caller.brand_id, channel_id, outcome="channel_disabled", now=now)
            await channels.change(tx, caller.brand_id, channel_id, {**_columns(wanted), **switch, "now": now})
            if enabled and not row.enabled:
                await self._notices.resolve(tx, caller.brand_id, CHANNEL_DISABLED, str(channel_id))
            after = await channels.get(tx, caller.brand_id, channel_id)
            await self._planner.again(tx, after)
            return await self._shown(tx, caller, channel_id)

    async def delete(self, caller: Principal, channel_id: UUID) -> None:
        """Its address is destroyed with it, and what waits is dropped. Again: ChannelNotFound."""
        async with self._database.write(caller.brand_id) as tx:
            if await channels.lock(tx, caller.brand_id, channel_id) is None:
                raise ChannelNotFound
            await channels.delete(tx, caller.brand_id, channel_id)
            await self._notices.resolve(tx, caller.brand_id, CHANNEL_DISABLED, str(channel_id))

    async def send_code(self, caller: Principal, channel_id: UUID) -> ShownChannel:
        """Another code; the one before is not good any more. AlreadyConfirmed, CodeTooSoon, MailNotConfigured."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            row = await channels.lock(tx, caller.brand_id, channel_id)
            if row is None:
                raise ChannelNotFound
            if row.confirmed_at is not None:
                raise AlreadyConfirmed
            if not self._mailer.configured:
                raise MailNotConfigured
            if row.code_expires_at is not None and now < row.code_expires_at - CODE_KEEP + CODE_PAUSE:
                raise CodeTooSoon
            await self._send_code(tx, caller, channel_id, now)
            return await self._shown(tx, caller, channel_id)

    async def confirm(self, caller: Principal, channel_id: UUID, code: str) -> ShownChannel:
        """CodeWrong, CodeExpired, AlreadyConfirmed. Tries are counted in a transaction of their own: a wrong code is
        refused, and what a refusal changed would be rolled back."""
        now = self._clock()
        async with self._database.write(caller.brand_id) as tx:
            row = await channels.try_code(tx, caller.brand_id, channel_id)
        if row is None:
            raise ChannelNotFound
        if row.confirmed_at is not None:
            raise AlreadyConfirmed
        right = self._targets.code_of(row)
        if right is None or now >= row.code_expires_at or row.code_tries > CODE_TRIES_MAX:
            raise CodeExpired
        if not hmac.compare_digest(right.encode(), code.encode()):
            left = CODE_TRIES_MAX - row.code_tries
            again = "Look at the newest message; each code replaces the one before."
            raise CodeWrong(
                f"{left} more {'try' if left == 1 else 'tries'} with this code.", field="code", fix=again
            )
        async with self._database.write(caller.brand_id) as tx:
            await channels.confirm(tx, caller.brand_id, channel_id, now)
            return await self._shown(tx, caller, channel_id)

    async def test(self, caller: Principal, channel_id: UUID) -> tuple[Posted, int]:
        """Sends at once, without a transaction, and tells what happened; it is in the channel's log too. NotConfirmed,
        MessagesTooMany."""
        now = self._clock()
        async with self._database.read(caller.brand_id) as tx:
            row = await channels.get(tx, caller.brand_id, channel_id)
            sent = await posts.sent_since(tx, caller.brand_id, now - RATE_WINDOW)
        if row is None:
            raise ChannelNotFound
        if row.confirmed_at is None:
            raise NotConfirmed
        wait_until = free_at(sent, limit=self._messages_max, now=now)
        if wait_until is not None:
            wait_s = max(1, round((wait_until - now).total_seconds()))
            raise MessagesTooMany(retry_after_s=wait_s)
        letter = wording.of_test(row.name, brand=str(caller.brand_id))
        posted, latency_ms = await self._sender.send(row, letter, new_uuid())
        line = {
            "at": now,
            "brand_id": caller.brand_id,
            "channel_id": channel_id,
            "purpose": "test",
            "notice_ids": [],
            "outcome": posted.code,
            "detail": posted.detail,
            "fix": posted.fix,
            "status": posted.status,
            "latency_ms": latency_ms,
            "next_try_at": None,
        }
        async with self._database.write(caller.brand_id) as writing:
            await posts.log(writing, line)
        return posted, latency_ms

    async def attempts(
        self, caller: Principal, channel_id: UUID, *, position: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[Any]:
        """The log of messages, the newest first."""
        async with self._database.read(caller.brand_id) as tx:
            if await channels.get(tx, caller.brand_id, channel_id) is None:
                raise ChannelNotFound
            return await channels.attempts(tx, caller.brand_id, channel_id, position=position, limit=limit)

    def _target_of(self, wanted: Mapping[str, Any]) -> tuple[str, str]:
        if wanted["type"] == "email":
            address = self._targets.check_address(wanted["email"])
            if not self._mailer.configured:
                raise MailNotConfigured("NOTIFY_SMTP_HOST is not set.")
            return "email", address
        return "slack", self._targets.check_slack(wanted["slack_url"])

    async def _send_code(self, tx: WriteSession, caller: Principal, channel_id: UUID, now: datetime) -> None:
        columns = {**self._targets.new_code(channel_id), "expires_at": now + CODE_KEEP}
        await channels.new_code(tx, caller.brand_id, channel_id, columns)
        await self._planner.code(tx, caller.brand_id, channel_id)

    async def _shown(self, tx: Any, caller: Principal, channel_id: UUID) -> ShownChannel:
        row = await channels.get(tx, caller.brand_id, channel_id)
        if row is None:
            raise ChannelNotFound
        return self._of(caller, row)

    def _of(self, caller: Principal, row: Any) -> ShownChannel:
        full = row.type == "email" and "notifications:write" in caller.scopes
        return ShownChannel(row, self._targets.open(row) if full else row.target_hint)


def check(wanted: Mapping[str, Any]) -> None:
    """What a channel may choose. Raises ChannelInvalid, which names the field."""
    found = []
    unknown = sorted({kind for rule in wanted["rules"] for kind in rule["kinds"]} - set(REGISTER))
    if unknown:
        fix = f"Choose from: {', '.join(REGISTER)}; an empty list takes every kind."
        found.append(FieldError("rules", "kind_unknown", f"There is no kind {unknown[0][:100]!r}.", fix))
    if (wanted["digest"] == "daily") != bool(wanted["digest_at"]):
        fix = 'Give "digest": "daily" with "digest_at": "08:00", or neither.'
        found.append(FieldError("digest_at", "digest_time", "A daily digest, and only it, has a time.", fix))
    if bool(wanted["quiet_from"]) != bool(wanted["quiet_until"]) or (
        wanted["quiet_from"] and wanted["quiet_from"] == wanted["quiet_until"]
    ):
        fix = 'Give both, such as "quiet_from": "22:00", "quiet_until": "07:00", or both as "".'
        found.append(
            FieldError("quiet_from", "quiet_hours", "Quiet hours begin and end, at different times.", fix)
        )
    if wanted["time_zone"] not in available_timezones():
        fix = "Use a name of the IANA data base, such as Europe/Berlin."
        found.append(FieldError("time_zone", "time_zone_unknown", "There is no such time zone.", fix))
    if found:
        raise ChannelInvalid(found[0].message, field=found[0].field, fix=found[0].fix, errors=found)


def _columns(wanted: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: wanted[name] for name in CHOICES}
    return {**values, "rules": orjson.dumps(values["rules"]).decode()}


def _switch(*, enabled: bool, by: str, now: datetime) -> dict[str, Any]:
    if enabled:
        return {"enabled": True, "disabled_code": "", "disabled_reason": "", "disabled_at": None}
    return {
        "enabled": False,
        "disabled_code": "by_hand",
        "disabled_reason": f"Disabled by {by}.",
        "disabled_at": now,
    }
