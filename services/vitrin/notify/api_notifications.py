"""The HTTP door of notifications: the inbox, its kinds, and the channels. `:test` and `:confirm` take no idempotency
key: the one waits for somebody's server, the other counts wrong codes whatever becomes of the call."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request

from vitrin.kit.access.errors import TestKeyOnLiveBrand
from vitrin.kit.access.http import require
from vitrin.kit.access.principal import Principal
from vitrin.kit.errors import FieldError, Malformed
from vitrin.kit.http.paging import CursorInvalid, decode_cursor, encode_cursor
from vitrin.kit.idempotency import IdempotentRoute
from vitrin.notify import schemas_notifications as schemas
from vitrin.notify.api import Cursor, Limit, aware, position_of, text_of
from vitrin.notify.domain.register import REGISTER
from vitrin.notify.service.channels import Channels
from vitrin.notify.service.inbox import Inbox

router = APIRouter(prefix="/v1", tags=["notifications"], route_class=IdempotentRoute)
calling_router = APIRouter(prefix="/v1", tags=["notifications"])


async def _reader(principal: Annotated[Principal, Depends(require("notifications:read"))]) -> Principal:
    if principal.mode == "test" and principal.brand_has_live_connection:
        raise TestKeyOnLiveBrand("Notifications of this brand tell of live connections.")
    return principal


Reader = Annotated[Principal, Depends(_reader)]
Writer = Annotated[Principal, Depends(require("notifications:write"))]
NotificationPath = Annotated[UUID, Path(description="Id of the notification.")]
ChannelPath = Annotated[UUID, Path(description="Id of the channel.")]


def _inbox(request: Request) -> Inbox:
    found: Inbox = request.app.state.inbox
    return found


def _channels(request: Request) -> Channels:
    found: Channels = request.app.state.channels
    return found


UseInbox = Annotated[Inbox, Depends(_inbox)]
UseChannels = Annotated[Channels, Depends(_channels)]


@router.get("/notifications", summary="What a person must decide or know, newest first")
async def list_notifications(
    *,
    principal: Reader,
    use: UseInbox,
    state: Annotated[str | None, Query(pattern="^(open|resolved)$", description="open or resolved.")] = None,
    kind: Annotated[str | None, Query(max_length=100, description="Only this kind.")] = None,
    severity: Annotated[
        str | None, Query(pattern="^(info|warning|critical)$", description="Only this severity.")
    ] = None,
    subject: Annotated[
        str | None, Query(max_length=512, description="Only about this, such as connection:<id>.")
    ] = None,
    unread: Annotated[bool | None, Query(description="true: only unread; false: only read.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.NotificationPage:
    found = await use.page(
        principal,
        state=state,
        kind=text_of(kind),
        severity=severity,
        subject=text_of(subject),
        unread=unread,
        position=position_of(cursor),
        limit=limit + 1,
    )
    last = found[limit - 1].row if len(found) > limit else None
    more = encode_cursor({"at": last.opened_at.isoformat(), "id": str(last.notice_id)}) if last else None
    return schemas.NotificationPage(
        data=[schemas.Notification.of(one) for one in found[:limit]], next_cursor=more
    )


@router.post("/notifications:read_all", summary="Mark everything as read")
async def read_all(
    principal: Writer, use: UseInbox, body: schemas.ReadAll | None = None
) -> schemas.ReadCount:
    asked = body or schemas.ReadAll(kind=None, until=None)
    until: datetime | None = aware(asked.until)
    return schemas.ReadCount(marked=await use.mark_all(principal, kind=text_of(asked.kind), until=until))


@router.get("/notifications/{notification_id}", summary="One notification with its deliveries")
async def get_notification(
    principal: Reader, use: UseInbox, notification_id: NotificationPath
) -> schemas.Notification:
    return schemas.Notification.of(await use.get(principal, notification_id))


@router.post("/notifications/{notification_id}:read", summary="Mark as read, for the whole brand")
async def read_notification(
    principal: Writer, use: UseInbox, notification_id: NotificationPath
) -> schemas.Notification:
    """Who read it first stays in `read_by`."""
    return schemas.Notification.of(await use.mark(principal, notification_id, read=True))


@router.post("/notifications/{notification_id}:unread", summary="Mark as unread again")
async def unread_notification(
    principal: Writer, use: UseInbox, notification_id: NotificationPath
) -> schemas.Notification:
    return schemas.Notification.of(await use.mark(principal, notification_id, read=False))


@router.get("/notification_kinds", summary="The kinds of notifications")
async def list_kinds(principal: Reader) -> schemas.KindList:
    return schemas.KindList(
        data=[schemas.NotificationKind.model_validate(kind) for kind in REGISTER.values()]
    )


@router.post("/notification_channels", status_code=201, summary="Add an e-mail address or a Slack channel")
async def create_channel(principal: Writer, use: UseChannels, body: schemas.ChannelCreate) -> schemas.Channel:
    """An e-mail address gets a code first; nothing else goes there before `:confirm`."""
    return schemas.Channel.of(await use.create(principal, body.model_dump()))


@router.get("/notification_channels", summary="Channels of the brand")
async def list_channels(
    principal: Reader, use: UseChannels, limit: Limit = 100, cursor: Cursor = None
) -> schemas.ChannelPage:
    position = decode_cursor(cursor, ["after"])
    try:
        after = UUID(str(position["after"])) if position else None
    except ValueError:
        raise CursorInvalid("The cursor belongs to another list.", field="cursor") from None
    found = await use.page(principal, after=after, limit=limit + 1)
    more = encode_cursor({"after": str(found[limit - 1].row.channel_id)}) if len(found) > limit else None
    return schemas.ChannelPage(data=[schemas.Channel.of(one) for one in found[:limit]], next_cursor=more)


@router.get("/notification_channels/{notification_channel_id}", summary="One channel")
async def get_channel(
    principal: Reader, use: UseChannels, notification_channel_id: ChannelPath
) -> schemas.Channel:
    return schemas.Channel.of(await use.get(principal, notification_channel_id))


@router.patch(
    "/notification_channels/{notification_channel_id}", summary="Change, disable or enable a channel"
)
async def change_channel(
    principal: Writer, use: UseChannels, notification_channel_id: ChannelPath, body: schemas.ChannelPatch
) -> schemas.Channel:
    changes = body.model_dump(exclude_unset=True)
    nulls = [name for name, value in changes.items() if value is None]
    if nulls:
        errors = [FieldError(name, "null", "This field cannot be null.", "Leave it out.") for name in nulls]
        raise Malformed(f"{nulls[0]} cannot be null.", field=nulls[0], errors=errors)
    return schemas.Channel.of(await use.change(principal, notification_channel_id, changes))


@router.delete(
    "/notification_channels/{notification_channel_id}", status_code=204, summary="Delete a channel"
)
async def delete_channel(principal: Writer, use: UseChannels, notification_channel_id: ChannelPath) -> None:
    """Its address is destroyed and what waits for it is dropped."""
    await use.delete(principal, notification_channel_id)


@router.post(
    "/notification_channels/{notification_channel_id}:send_code",
    status_code=202,
    summary="Send another code to an e-mail address",
)
async def send_code(
    principal: Writer, use: UseChannels, notification_channel_id: ChannelPath
) -> schemas.Channel:
    return schemas.Channel.of(await use.send_code(principal, notification_channel_id))


@calling_router.post(
    "/notification_channels/{notification_channel_id}:confirm",
    summary="Confirm an e-mail address by its code",
)
async def confirm_channel(
    principal: Writer, use: UseChannels, notification_channel_id: ChannelPath, body: schemas.Confirmation
) -> schemas.Channel:
    """Five tries per code, which is good for 24 hours."""
    return schemas.Channel.of(await use.confirm(principal, notification_channel_id, body.code))


@calling_router.post(
    "/notification_channels/{notification_channel_id}:test", summary="Send a test message now"
)
async def test_channel(
    principal: Writer, use: UseChannels, notification_channel_id: ChannelPath
) -> schemas.TestResult:
    """Answers what happened, also when it failed: look at `sent`."""
    return schemas.TestResult.of(*await use.test(principal, notification_channel_id))


@router.get(
    "/notification_channels/{notification_channel_id}/attempts",
    summary="Messages that were tried, newest first",
)
async def list_messages(
    *,
    principal: Reader,
    use: UseChannels,
    notification_channel_id: ChannelPath,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.MessageAttemptPage:
    rows = await use.attempts(
        principal, notification_channel_id, position=position_of(cursor), limit=limit + 1
    )
    last = rows[limit - 1] if len(rows) > limit else None
    more = encode_cursor({"at": last.at.isoformat(), "id": str(last.attempt_id)}) if last else None
    return schemas.MessageAttemptPage(
        data=[schemas.MessageAttempt.model_validate(row) for row in rows[:limit]], next_cursor=more
    )
