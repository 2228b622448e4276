"""`vitrin dlq` and `vitrin parked`: messages that could not be handled, or not yet. For the operator of the house."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit, ProblemAnswer
from vitrin.cli.options import AsJson
from vitrin.cli.output import Output

app = typer.Typer(
    help="Dead letters: messages that could not be handled. Needs VITRIN_OPERATOR_TOKEN.",
    no_args_is_help=True,
)

CONSUMING = ("catalog", "shop_sync", "notify", "retargeting")
POLL_S = 0.2
LISTED_DEFAULT = 50
LETTER_COLUMNS = {
    "service": "service",
    "id": "id",
    "group": "group",
    "type": "type",
    "key": "key",
    "state": "state",
    "created_at": "since",
    "reason": "reason",
    "outcome": "outcome",
}
PARKED_COLUMNS = {
    "service": "service",
    "id": "id",
    "group": "group",
    "type": "type",
    "key": "key",
    "tries": "tries",
    "parked_at": "since",
    "due_at": "next try",
    "reason": "waits for",
}


class State(StrEnum):
    DEAD = "dead"
    REPLAYING = "replaying"
    REPLAYED = "replayed"
    DROPPED = "dropped"
    ALL = "all"


class Service(StrEnum):
    CATALOG = "catalog"
    SHOP_SYNC = "shop_sync"
    NOTIFY = "notify"
    RETARGETING = "retargeting"


ServiceOption = Annotated[
    Service | None, typer.Option("--service", help="Only this service; all that consume topics by default.")
]
Group = Annotated[str | None, typer.Option(help="Only this consumer group, such as shop_sync.replica.")]
Topic = Annotated[str | None, typer.Option(help="Only this topic.")]
Brand = Annotated[str | None, typer.Option(help="Only messages of this brand (id).")]
Reason = Annotated[str | None, typer.Option(help="Only where the reason contains this text.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Messages to show.")]
LetterId = Annotated[str, typer.Argument(help="Id of the dead letter, as `vitrin dlq list` shows it.")]


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="dlq")
    root.command()(parked)


@app.command("list")
def list_(
    *,
    service: ServiceOption = None,
    group: Group = None,
    topic: Topic = None,
    brand: Brand = None,
    reason: Reason = None,
    state: Annotated[State, typer.Option(help="dead: still to be looked at.")] = State.DEAD,
    limit: Limit = LISTED_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Dead letters, oldest first."""
    chosen = _filters(group, topic, brand, reason) | _state(state)
    _list("/v1/ops/dead-letters", LETTER_COLUMNS, service, chosen, limit=limit, as_json=as_json)


@app.command()
def show(letter_id: LetterId, service: ServiceOption = None, as_json: AsJson = False) -> None:
    """One dead letter with its headers and its payload, decoded where that works."""
    output = Output(as_json=as_json)
    with _holder(letter_id, service) as (_, letter):
        if as_json:
            output.json(letter)
        else:
            _show(output, letter)


@app.command()
def replay(
    *,
    letter_ids: Annotated[list[str] | None, typer.Argument(help="Ids; or --all with filters.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are dead and match the filters.")] = False,
    service: ServiceOption = None,
    group: Group = None,
    topic: Topic = None,
    brand: Brand = None,
    reason: Reason = None,
    wait_s: Annotated[
        int, typer.Option("--wait-s", min=0, max=3600, help="How long to wait for the outcomes.")
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """Handle dead letters again, oldest first, and say how that ended. 1 when one failed or has no end yet."""
    output = Output(as_json=as_json)
    chosen = _filters(group, topic, brand, reason)
    if bool(letter_ids) == every or (letter_ids and chosen):
        raise CliFailure(
            "name the dead letters, or say --all (with filters if you like)",
            fix="vitrin dlq replay ID..., or vitrin dlq replay --all --group shop_sync.replica",
            code="usage",
            exit_code=Exit.USAGE,
        )
    found = _matching(service, chosen) if every else _named(letter_ids or [], service)
    ends = _replay(found, wait_s=wait_s)
    output.table(ends, columns=LETTER_COLUMNS)
    if as_json:
        output.json({"data": ends})
    if any(end["state"] != State.REPLAYED for end in ends):
        raise SystemExit(int(Exit.REFUSED))


@app.command()
def drop(
    *,
    letter_id: LetterId,
    reason: Annotated[str, typer.Option(help="Why it may be given up; kept, and logged by the service.")],
    service: ServiceOption = None,
    as_json: AsJson = False,
) -> None:
    """Give a dead letter up for good: its payload is deleted, who did it and why is kept."""
    output = Output(as_json=as_json)
    with _holder(letter_id, service) as (client, letter):
        body = {"operator": _operator(), "reason": reason}
        dropped = client.post(f"/v1/ops/dead-letters/{letter_id}/drop", body) | {"service": letter["service"]}
    if as_json:
        output.json(dropped)
    else:
        output.note(f"dropped {letter_id}")


def parked(
    *,
    service: ServiceOption = None,
    group: Group = None,
    topic: Topic = None,
    brand: Brand = None,
    reason: Reason = None,
    limit: Limit = LISTED_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Messages that wait for something, in their order: what for, since when, when they are tried again."""
    chosen = _filters(group, topic, brand, reason)
    _list("/v1/ops/parked", PARKED_COLUMNS, service, chosen, limit=limit, as_json=as_json)


def _list(
    path: str,
    columns: dict[str, str],
    service: Service | None,
    chosen: dict[str, str],
    *,
    limit: int,
    as_json: bool,
) -> None:
    """Up to `limit` of each service, and a word when there are more."""
    output = Output(as_json=as_json)
    rows, more = [], False
    for name in _services(service):
        with _client(name) as client:
            found = list(islice(client.pages(path, {**chosen, "limit": min(limit + 1, 500)}), limit + 1))
        more |= len(found) > limit
        rows += [{"service": name, **row} for row in found[:limit]]
    output.table(rows, columns=columns)
    if as_json:
        output.json({"data": rows, "more": more})
    elif more:
        output.note(f"[dim]and more: only the first {limit} of each service are shown (--limit)[/dim]")


def _replay(found: list[dict[str, Any]], *, wait_s: int) -> list[dict[str, Any]]:
    """Ask for each, oldest first, then look until each has an end, or the time is over."""
    import time

    clients = {name: _client(name) for name in sorted({letter["service"] for letter in found})}
    try:
        asked = [_ask(clients[letter["service"]], letter) for letter in found]
        end = time.monotonic() + wait_s
        while (open_ := [one for one in asked if one["state"] == State.REPLAYING]) and time.monotonic() < end:
            time.sleep(POLL_S)
            for letter in open_:
                letter.update(clients[letter["service"]].get(f"/v1/ops/dead-letters/{letter['id']}"))
    finally:
        for client in clients.values():
            client.close()
    return asked


def _ask(client: Any, letter: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client.post(
        f"/v1/ops/dead-letters/{letter['id']}/replay", {"operator": _operator()}
    )
    return answer | {"service": letter["service"]}


def _matching(service: Service | None, chosen: dict[str, str]) -> list[dict[str, Any]]:
    found = []
    for name in _services(service):
        with _client(name) as client:
            letters = client.pages("/v1/ops/dead-letters", {**chosen, **_state(State.DEAD)})
            found += [{"service": name, **letter} for letter in letters]
    return found


def _named(letter_ids: list[str], service: Service | None) -> list[dict[str, Any]]:
    """In the order in which they came, whatever the order on the command line."""
    found = []
    for letter_id in dict.fromkeys(letter_ids):
        with _holder(letter_id, service) as (_, letter):
            found.append(letter)
    return sorted(found, key=lambda letter: (letter["created_at"], letter["offset"]))


@contextmanager
def _holder(letter_id: str, service: Service | None) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The service that has this dead letter, and the letter."""
    last: ProblemAnswer | None = None
    for name in _services(service):
        with _client(name) as client:
            try:
                letter = client.get(f"/v1/ops/dead-letters/{letter_id}")
            except ProblemAnswer as refusal:
                if refusal.status != 404:
                    raise
                last = refusal
                continue
            yield client, {"service": name, **letter}
            return
    assert last is not None
    raise last


def _client(service: str) -> Any:
    from vitrin.cli.client import ServiceClient
    from vitrin.cli.settings import operator_token

    token = operator_token()
    if token is None:
        raise CliFailure(
            "no operator token",
            fix=f"set VITRIN_OPERATOR_TOKEN to the one that {service} was started with",
            code="operator_token_missing",
            exit_code=Exit.UNAUTHORISED,
        )
    return ServiceClient(service, token=token)


def _services(service: Service | None) -> tuple[str, ...]:
    return (service.value,) if service else CONSUMING


def _filters(group: str | None, topic: str | None, brand: str | None, reason: str | None) -> dict[str, str]:
    given = {"group": group, "topic": topic, "brand": brand, "reason": reason}
    return {name: value for name, value in given.items() if value}


def _state(state: State) -> dict[str, str]:
    return {} if state is State.ALL else {"state": state.value}


def _operator() -> str:
    """Who sits here, for the audit line."""
    import getpass

    try:
        return getpass.getuser()[:100] or "operator"
    except (OSError, KeyError):
        return "operator"


def _show(output: Output, letter: dict[str, Any]) -> None:
    import json

    payload = letter.pop("payload")
    headers = letter.pop("headers")
    output.record(letter)
    output.record(headers, title="headers")
    if payload["encoding"] == "json":
        output.note("[bold]payload[/bold]")
        output.console.print(json.dumps(payload["message"], indent=2, ensure_ascii=False), markup=False)
    elif payload["encoding"] == "hex":
        more = ", the beginning" if payload["truncated"] else ""
        output.note(f"[bold]payload[/bold], not decoded: hexadecimal{more}")
        output.console.print(payload["hex"], markup=False)
    else:
        output.note("no payload")
