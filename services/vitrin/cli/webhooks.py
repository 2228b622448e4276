"""`vitrin listen` and `vitrin trigger`: webhooks on a developer's machine, and an example on the way of a real one."""

import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

if TYPE_CHECKING:
    import httpx

    from vitrin.cli.client import Document, ServiceClient

POLL_S = 0.5
LOOK_BACK = timedelta(seconds=60)
"""Events of one moment may become visible in another order; so far back is looked again."""
SEEN_MAX = 100_000
FORWARD_TIMEOUT_S = 15.0
DELIVERY_COLUMNS = {
    "endpoint_id": "endpoint",
    "state": "state",
    "tries": "tries",
    "last_outcome": "outcome",
    "last_status": "status",
    "next_try_at": "next try",
}


def register(app: typer.Typer) -> None:
    app.command()(listen)
    app.command()(trigger)


def listen(
    *,
    forward_to: Annotated[
        str | None,
        typer.Option(
            "--forward-to", metavar="URL", help="POST each event there, signed; else only show them."
        ),
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type. May be given several times.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option("--secret", help="Sign with this whsec_...; else with a fresh one, which is shown."),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many events.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show webhook events as they happen, and forward them to an address that only this machine can reach. Nothing is
    registered: the events are read with the key, signed here. Ctrl-C ends it. With --json a line per event."""
    import os

    import httpx

    from vitrin.cli.client import with_key
    from vitrin.kit import webhook_signing

    output = Output(as_json=as_json)
    signing = secret or webhook_signing.secret_text(os.urandom(webhook_signing.SECRET_BYTES))
    _check_secret(signing)
    with with_key("notify", key) as notify, httpx.Client(timeout=FORWARD_TIMEOUT_S, trust_env=False) as http:
        follower = _Follower(notify)
        target = f"forwarding to {forward_to}, signed with {signing}" if forward_to else "showing events"
        output.note(f"{target}; Ctrl-C ends it")
        shown = 0
        for event in follower.events():
            if types and event["type"] not in types:
                continue
            forwarded = _forward(http, forward_to, signing, event) if forward_to else {}
            _show(output, event, forwarded)
            shown += 1
            if shown == count:
                return


class _Follower:
    """What is stored from now on, each event once."""

    def __init__(self, notify: "ServiceClient") -> None:
        self._notify = notify
        self._seen: OrderedDict[str, None] = OrderedDict()
        newest = notify.get("/v1/webhook_events", {"limit": 1})["data"]
        self._last = datetime.fromisoformat(newest[0]["created_at"]) if newest else None
        for event in self._page():
            self._remember(event)

    def events(self) -> "Iterator[Document]":
        while True:
            for event in self._page():
                if event["id"] not in self._seen:
                    self._remember(event)
                    yield event
            time.sleep(POLL_S)

    def _page(self) -> "Iterator[Document]":
        since = None if self._last is None else (self._last - LOOK_BACK).isoformat()
        return self._notify.pages("/v1/webhook_events", {"order": "oldest", "since": since})

    def _remember(self, event: "Document") -> None:
        self._seen[event["id"]] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        at = datetime.fromisoformat(event["created_at"])
        self._last = at if self._last is None else max(at, self._last)


def _check_secret(secret: str) -> None:
    from vitrin.kit import webhook_signing

    try:
        webhook_signing.signature(secret, "id", 0, b"")
    except ValueError as wrong:
        raise CliFailure(
            f"--secret cannot be used: {wrong}",
            fix="take it whole, as it was shown: whsec_ and base64",
            code="secret_invalid",
            exit_code=Exit.USAGE,
        ) from wrong


def _forward(http: "httpx.Client", url: str, secret: str, event: "Document") -> dict[str, Any]:
    """Status or failure, and the time it took. A server that is not there is said, and the next event is tried."""
    import httpx

    from vitrin.kit import webhook_signing

    body = event["body"].encode()
    headers = webhook_signing.headers([secret], event["id"], int(time.time()), body)
    began = time.monotonic()
    try:
        answer = http.post(url, content=body, headers={**headers, "content-type": "application/json"})
        result: dict[str, Any] = {"status": answer.status_code}
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        result = {"status": None, "error": str(failure) or type(failure).__name__}
    return result | {"ms": round(1000 * (time.monotonic() - began))}


def _show(output: Output, event: "Document", forwarded: Mapping[str, Any]) -> None:
    import json
    import sys

    from rich.text import Text

    if output.as_json:
        line = {"event": event["payload"], "created_at": event["created_at"], "forwarded": forwarded or None}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return
    at = datetime.fromisoformat(event["created_at"]).astimezone().strftime("%H:%M:%S")
    parts = [at, event["type"], event["object"]["id"], event["id"]]
    if forwarded:
        said = forwarded.get("error") or forwarded["status"]
        parts.append(f"-> {said} in {forwarded['ms']} ms")
    output.console.print(Text("  ".join(str(part) for part in parts)))


def trigger(
    type_: Annotated[
        str, typer.Argument(metavar="TYPE", help="Such as item.rejected; `vitrin trigger list`.")
    ],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Only to this endpoint (id), whatever its filter says.")
    ] = None,
    wait_s: Annotated[
        int, typer.Option("--wait-s", min=0, max=600, help="Wait so long for the first tries.")
    ] = 20,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send an example of a type on the way of a real event: stored, signed, delivered, logged. 1 when a try failed.
    `vitrin trigger list` shows the types."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    with with_key("notify", key) as notify:
        if type_ == "list":
            _show_types(output, notify.get("/v1/webhook_types")["data"])
            return
        event = notify.post("/v1/webhook_events:test", {"type": type_, "endpoint_id": endpoint})
        end = time.monotonic() + wait_s
        while any(one["tries"] == 0 for one in event["deliveries"]) and time.monotonic() < end:
            time.sleep(0.1)
            event = notify.get(f"/v1/webhook_events/{event['id']}")
    if as_json:
        output.json(event)
    else:
        output.note(f"{event['type']} {event['id']}")
        output.table(event["deliveries"], columns=DELIVERY_COLUMNS)
        if not event["deliveries"]:
            output.note("no enabled endpoint takes this type; `vitrin listen` shows it all the same")
    if any(one["state"] != "delivered" for one in event["deliveries"]):
        raise SystemExit(int(Exit.REFUSED))


def _show_types(output: Output, types: "list[Document]") -> None:
    output.table(types, columns={"type": "type", "object": "about", "description": "what it says"})
    if output.as_json:
        output.json({"data": types})
