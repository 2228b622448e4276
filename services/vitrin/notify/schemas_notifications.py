"""Requests and answers of the doors for notifications and their channels."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from vitrin.notify.domain.posting import Posted
from vitrin.notify.service.channels import ShownChannel
from vitrin.notify.service.inbox import ShownNotice

Severity = Literal["info", "warning", "critical"]
Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^$")]
Name = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f]*$")]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class NotificationDelivery(BaseModel):
    """A notification on its way to one channel."""

    model_config = ConfigDict(from_attributes=True)
    channel_id: UUID
    what: Literal["opened", "resolved"]
    state: Literal["pending", "sent", "failed", "dropped"] = Field(
        description="failed: given up. dropped: over before it was sent, not wanted any more, or the channel is off."
    )
    tries: int
    next_try_at: datetime | None = Field(
        validation_alias="due_at", description="When it goes out: its digest or the end of quiet hours too."
    )
    outcome: str
    detail: str = Field(description="What went wrong at the last try.")
    fix: str
    created_at: datetime
    finished_at: datetime | None


class Notification(BaseModel):
    """Something that a person must decide or know."""

    id: UUID
    kind: str
    cause: str = Field(description="Of a kind and cause at most one notification is open.")
    state: Literal["open", "resolved"]
    severity: Severity
    title: str
    detail: str
    fix: str
    subject: str = Field(description="Such as connection:<id>.")
    look_at: str = Field(description="Path of the API where it can be seen and decided.")
    opened_at: datetime
    seen_at: datetime = Field(description="When its cause was last said.")
    occurrences: int
    resolved_at: datetime | None
    read_at: datetime | None = Field(description="By anybody of the brand; null: unread.")
    read_by: str
    deliveries: list[NotificationDelivery]

    @classmethod
    def of(cls, shown: ShownNotice) -> "Notification":
        names = (
            *("kind", "cause", "state", "severity", "title", "detail", "fix", "subject", "look_at"),
            *("opened_at", "seen_at", "occurrences", "resolved_at", "read_at", "read_by"),
        )
        return cls(
            id=shown.row.notice_id,
            **{name: getattr(shown.row, name) for name in names},
            deliveries=[NotificationDelivery.model_validate(one) for one in shown.deliveries],
        )


class NotificationPage(BaseModel):
    data: list[Notification]
    next_cursor: str | None


class ReadAll(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"kind": "removal.held"}})
    kind: str | None = Field(None, max_length=100, description="Only this kind.")
    until: datetime | None = Field(
        None, description="Only what was opened by then: the newest that you have seen."
    )


class ReadCount(BaseModel):
    marked: int


class NotificationKind(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    kind: str
    severity: Severity
    publisher: str
    says: str


class KindList(BaseModel):
    data: Sequence[NotificationKind]


class RuleModel(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kinds: list[str] = Field(
        default_factory=list, max_length=50, description="Empty: every kind, later ones too."
    )
    severity_min: Severity = "info"


class _Choices(BaseModel):
    name: Name = ""
    rules: list[RuleModel] = Field(
        default_factory=lambda: [RuleModel()],
        min_length=1,
        max_length=20,
        description="What comes here: whatever one of the rules takes.",
    )
    digest: Literal["immediate", "hourly", "daily"] = Field(
        "immediate",
        description="immediate: when it happens; hourly: at the full hour; daily: at digest_at. Critical ones do not"
        " wait.",
    )
    digest_at: Clock = Field("", description="Local time of a daily digest, such as 08:00.")
    quiet_from: Clock = Field("", description="From this local time on only critical ones go out.")
    quiet_until: Clock = Field("", description="Then what was held goes out in one message.")
    time_zone: Zone = Field("UTC", description="IANA name, such as Europe/Berlin.")
    resolved: bool = Field(True, description="Tell too when it is over, where its beginning was told.")


class ChannelCreate(_Choices):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "type": "slack",
                "slack_url": "https://hooks.slack.com/services/T000/B000/XXXX",
                "name": "ops",
                "rules": [{"kinds": [], "severity_min": "warning"}],
                "quiet_from": "22:00",
                "quiet_until": "07:00",
                "time_zone": "Europe/Berlin",
            }
        },
    )
    type: Literal["email", "slack"]
    email: str | None = Field(None, max_length=254, description="With the type email.")
    slack_url: str | None = Field(
        None, max_length=2_048, description="With the type slack: an incoming webhook. It is not shown again."
    )

    @model_validator(mode="after")
    def _one_target(self) -> "ChannelCreate":
        email, slack = self.email is not None, self.slack_url is not None
        if (email, slack) != (self.type == "email", self.type == "slack"):
            raise ValueError(
                "a channel of the type email has an 'email', one of the type slack a 'slack_url'"
            )
        return self


class ChannelPatch(BaseModel):
    """What is left out stays as it is. Another address is another channel."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"digest": "hourly"}})
    name: Name | None = None
    rules: list[RuleModel] | None = Field(None, min_length=1, max_length=20)
    digest: Literal["immediate", "hourly", "daily"] | None = None
    digest_at: Clock | None = None
    quiet_from: Clock | None = None
    quiet_until: Clock | None = None
    time_zone: Zone | None = None
    resolved: bool | None = None
    enabled: bool | None = Field(
        None, description="false drops what waits; true begins with what opens next."
    )


class ChannelDisabled(BaseModel):
    code: Literal["by_hand", "gone"]
    reason: str
    at: datetime


class Channel(BaseModel):
    """A channel of notifications. For webhooks take the types notification.opened and notification.resolved of an
    endpoint."""

    id: UUID
    type: Literal["email", "slack"]
    name: str
    target: str = Field(
        description="The e-mail address, in full for keys with notifications:write; a Slack URL is not shown."
    )
    confirmed: bool = Field(description="false: only the code was sent there.")
    rules: list[RuleModel]
    digest: Literal["immediate", "hourly", "daily"]
    digest_at: str
    quiet_from: str
    quiet_until: str
    time_zone: str
    resolved: bool
    enabled: bool
    disabled: ChannelDisabled | None
    created_at: datetime
    created_by: str
    updated_at: datetime

    @classmethod
    def of(cls, shown: ShownChannel) -> "Channel":
        row = shown.row
        names = (
            *("type", "name", "rules", "digest", "digest_at", "quiet_from", "quiet_until", "time_zone"),
            *("resolved", "enabled", "created_at", "created_by", "updated_at"),
        )
        values: dict[str, Any] = {name: getattr(row, name) for name in names}
        disabled = None
        if not row.enabled:
            disabled = ChannelDisabled(code=row.disabled_code, reason=row.disabled_reason, at=row.disabled_at)
        return cls(
            id=row.channel_id,
            target=shown.target,
            confirmed=row.confirmed_at is not None,
            disabled=disabled,
            **values,
        )


class ChannelPage(BaseModel):
    data: list[Channel]
    next_cursor: str | None


class Confirmation(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"code": "01234567"}})
    code: str = Field(min_length=1, max_length=20)


class TestResult(BaseModel):
    """What happened to the test message."""

    __test__ = False
    sent: bool
    outcome: str
    detail: str
    fix: str
    status: int | None
    latency_ms: int

    @classmethod
    def of(cls, posted: Posted, latency_ms: int) -> "TestResult":
        return cls(
            sent=posted.sent,
            outcome=posted.code,
            detail=posted.detail,
            fix=posted.fix,
            status=posted.status,
            latency_ms=latency_ms,
        )


class MessageAttempt(BaseModel):
    """One message that was tried."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID = Field(validation_alias="attempt_id")
    at: datetime
    purpose: Literal["notifications", "code", "test"]
    notification_ids: list[UUID] = Field(validation_alias="notice_ids")
    outcome: str = Field(
        description="sent, refused, gone, timed_out, unreachable, tls_failed, login_refused, not_configured,"
        " not_readable, address_refused, redirected"
    )
    detail: str
    fix: str
    status: int | None = Field(description="What SMTP or HTTP answered; null: nothing.")
    latency_ms: int
    next_try_at: datetime | None


class MessageAttemptPage(BaseModel):
    data: list[MessageAttempt]
    next_cursor: str | None
