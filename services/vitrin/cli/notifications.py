"""`vitrin notifications` and `vitrin notification-channels`: what a person must decide or know, and where it goes."""

from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

inbox = typer.Typer(help="What somebody must decide or know.", no_args_is_help=True)
channels = typer.Typer(help="Where notifications go: e-mail, Slack.", no_args_is_help=True)
COLUMNS = {
    "id": "id",
    "severity": "severity",
    "kind": "kind",
    "state": "state",
    "opened_at": "since",
    "title": "what",
    "fix": "what to do",
}
CHANNEL_COLUMNS = {
    "id": "id",
    "type": "type",
    "name": "name",
    "target": "to",
    "confirmed": "confirmed",
    "enabled": "enabled",
    "digest": "digest",
}
NotificationId = Annotated[
    str, typer.Argument(help="Id of the notification, as in `vitrin notifications list`.")
]
ChannelId = Annotated[
    str, typer.Argument(help="Id of the channel, as in `vitrin notification-channels list`.")
]


class State(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Digest(StrEnum):
    IMMEDIATE = "immediate"
    HOURLY = "hourly"
    DAILY = "daily"


def register(app: typer.Typer) -> None:
    app.add_typer(inbox, name="notifications")
    app.add_typer(channels, name="notification-channels")


@inbox.command("list")
def list_notifications(
    *,
    state: Annotated[State | None, typer.Option(help="Only in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as removal.held.")] = None,
    unread: Annotated[bool, typer.Option("--unread", help="Only what nobody has read.")] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Notifications of the brand, the newest first."""
    asked = {"state": state.value if state else None, "kind": kind, "unread": "true" if unread else None}
    _list("/v1/notifications", COLUMNS, asked, key=key, as_json=as_json)


@inbox.command()
def show(notification_id: NotificationId, key: Key = None, as_json: AsJson = False) -> None:
    """One notification, and what became of it in each channel."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("notify", key) as notify:
        found = notify.get(f"/v1/notifications/{_quoted(notification_id)}")
    if as_json:
        output.json(found)
        return
    output.record({name: value for name, value in found.items() if name != "deliveries"})
    columns = {"channel_id": "channel", "what": "what", "state": "state", "tries": "tries", "detail": "why"}
    output.table(found["deliveries"], columns=columns, title="deliveries")


@inbox.command()
def read(
    notification_id: Annotated[str | None, typer.Argument(help="Id of the notification.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Everything that is unread.")] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Mark as read, for the whole brand."""
    from vitrin.cli.client import with_key

    if all_ == (notification_id is not None):
        raise CliFailure(
            "one notification or all of them?", fix="give an id or --all", code="usage", exit_code=Exit.USAGE
        )
    output = Output(as_json=as_json)
    path = (
        f"/v1/notifications/{_quoted(notification_id)}:read"
        if notification_id
        else "/v1/notifications:read_all"
    )
    with with_key("notify", key) as notify:
        answer = notify.post(path, {} if all_ else None)
    if as_json:
        output.json(answer)
    else:
        output.note(f"{answer['marked']} marked as read" if all_ else f"read: {answer['title']}")


@channels.command("list")
def list_channels(key: Key = None, as_json: AsJson = False) -> None:
    """Channels of the brand."""
    _list("/v1/notification_channels", CHANNEL_COLUMNS, {}, key=key, as_json=as_json)


@channels.command()
def add(
    *,
    email: Annotated[str | None, typer.Option("--email", help="An address; it gets a code first.")] = None,
    slack_url_stdin: Annotated[
        bool,
        typer.Option("--slack-url-stdin", help="Read the incoming webhook of Slack from standard input."),
    ] = False,
    name: Annotated[str, typer.Option("--name", help="For the list.")] = "",
    kinds: Annotated[list[str] | None, typer.Option("--kind", help="Only this kind. Several times.")] = None,
    severity_min: Annotated[Severity, typer.Option("--severity-min", help="From this on.")] = Severity.INFO,
    digest: Annotated[
        Digest, typer.Option("--digest", help="immediate, hourly or daily.")
    ] = Digest.IMMEDIATE,
    digest_at: Annotated[str, typer.Option("--digest-at", help="Local time of a daily one: 08:00.")] = "",
    quiet: Annotated[str, typer.Option("--quiet", metavar="22:00-07:00", help="Only critical ones.")] = "",
    time_zone: Annotated[str, typer.Option("--time-zone", help="Such as Europe/Berlin.")] = "UTC",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Add an e-mail address or a Slack channel. For webhooks: the type notification.opened of an endpoint."""
    from vitrin.cli.client import with_key

    quiet_from, _, quiet_until = quiet.partition("-")
    body = {
        **_target(email, from_stdin=slack_url_stdin),
        "name": name,
        "rules": [{"kinds": kinds or [], "severity_min": severity_min.value}],
        "digest": digest.value,
        "digest_at": digest_at,
        "quiet_from": quiet_from,
        "quiet_until": quiet_until,
        "time_zone": time_zone,
    }
    output = Output(as_json=as_json)
    with with_key("notify", key) as notify:
        made = notify.post("/v1/notification_channels", body)
    if as_json:
        output.json(made)
    elif made["confirmed"]:
        output.note(f"channel {made['id']}; try it: vitrin notification-channels test {made['id']}")
    else:
        output.note(
            f"a code is on its way to {made['target']}: vitrin notification-channels confirm {made['id']} CODE"
        )


@channels.command()
def confirm(
    channel_id: ChannelId,
    code: Annotated[str, typer.Argument(help="The code of the e-mail.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Confirm an e-mail address by the code that was sent to it."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("notify", key) as notify:
        answer = notify.post(f"/v1/notification_channels/{_quoted(channel_id)}:confirm", {"code": code})
    if as_json:
        output.json(answer)
    else:
        output.note(f"notifications go to {answer['target']} from now on")


@channels.command("test")
def send_test(channel_id: ChannelId, key: Key = None, as_json: AsJson = False) -> None:
    """Send a test message and tell what happened. 1 when it failed."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("notify", key) as notify:
        answer = notify.post(f"/v1/notification_channels/{_quoted(channel_id)}:test", None)
    if as_json:
        output.json(answer)
    else:
        said = f"not sent: {answer['detail']} {answer['fix']}".strip()
        output.note(f"sent in {answer['latency_ms']} ms" if answer["sent"] else said)
    if not answer["sent"]:
        raise SystemExit(int(Exit.REFUSED))


@channels.command()
def remove(channel_id: ChannelId, key: Key = None) -> None:
    """Remove a channel; what waits for it is dropped."""
    from vitrin.cli.client import with_key

    with with_key("notify", key) as notify:
        notify.call("DELETE", f"/v1/notification_channels/{_quoted(channel_id)}")
    Output(as_json=False).note("removed")


def _target(email: str | None, *, from_stdin: bool) -> dict[str, str]:
    import sys

    if from_stdin == (email is not None):
        raise CliFailure(
            "a channel leads to an e-mail address or to Slack",
            fix="give --email ADDRESS or --slack-url-stdin",
            code="usage",
            exit_code=Exit.USAGE,
        )
    if email is not None:
        return {"type": "email", "email": email}
    return {"type": "slack", "slack_url": sys.stdin.readline().strip()}


def _list(
    path: str, columns: dict[str, str], asked: dict[str, Any], *, key: str | None, as_json: bool
) -> None:
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("notify", key) as notify:
        found = list(notify.pages(path, asked))
    output.table(found, columns=columns)
    if as_json:
        output.json({"data": found})


def _quoted(text: str) -> str:
    return quote(text, safe="")
