"""`vitrin pause`, `vitrin resume`: one channel, a brand, a brand on one platform, or the whole house."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

COLUMNS = {
    "scope": "scope",
    "platform": "platform",
    "stopped": "stopped",
    "reason": "reason",
    "changed_by": "by",
    "changed_at": "since",
}
CHANNEL_COLUMNS = {
    "platform": "platform",
    "id": "channel",
    "state": "state",
    "halted": "halted by",
    "stuck": "stuck",
    "hunts": "hunts for culprits",
    "counts": "items",
}
Channel = Annotated[str | None, typer.Option("--channel", help="Id of one channel.")]
Brand = Annotated[bool, typer.Option("--brand", help="Everything of the key's brand.")]
Platform = Annotated[str | None, typer.Option("--platform", help="The key's brand on one platform: meta.")]
House = Annotated[bool, typer.Option("--house", help="Everything of every brand; needs the operator token.")]
Why = Annotated[str, typer.Option("--reason", help="Shown to whoever asks why nothing moves.")]


def register(app: typer.Typer) -> None:
    app.command()(pause)
    app.command()(resume)


def pause(
    *,
    channel: Channel = None,
    brand: Brand = False,
    platform: Platform = None,
    house: House = False,
    reason: Why = "",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Stop everything that goes out of the scope, within about a second. Changes are kept for the resume."""
    scope = _scope(channel, platform, brand=brand, house=house)
    _turn(Output(as_json=as_json), scope, key, stop=True, reason=reason)


def resume(
    *,
    channel: Channel = None,
    brand: Brand = False,
    platform: Platform = None,
    house: House = False,
    reason: Why = "",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Lift a stop of exactly this scope; wider ones stay. What was kept goes out."""
    scope = _scope(channel, platform, brand=brand, house=house)
    _turn(Output(as_json=as_json), scope, key, stop=False, reason=reason)


def switches_of(key: str | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The switches and the channels that the key may see, for `vitrin status`."""
    from vitrin.cli.client import with_key

    with with_key("accounts", key) as accounts:
        switches = accounts.get("/v1/outgoing")["switches"]
    with with_key("shop_sync", key) as shop_sync:
        channels = shop_sync.get("/v1/channels")["data"]
    return switches, channels


def shown_channel(channel: Mapping[str, Any]) -> dict[str, Any]:
    halted = channel["halted"]
    return {**channel, "halted": f"{halted['scope']} ({halted['by']})" if halted else None}


def _scope(channel: str | None, platform: str | None, *, brand: bool, house: bool) -> tuple[str, str]:
    """Name of the scope, and the channel or platform in it."""
    chosen = [
        *([("channel", channel)] if channel else []),
        *([("platform", platform)] if platform else []),
        *([("brand", "")] if brand else []),
        *([("house", "")] if house else []),
    ]
    if len(chosen) != 1:
        raise CliFailure(
            "name exactly one scope",
            fix="pass one of --channel ID, --platform NAME, --brand, --house",
            code="scope_missing",
            exit_code=Exit.USAGE,
        )
    return chosen[0]


def _turn(output: Output, scope: tuple[str, str], key: str | None, *, stop: bool, reason: str) -> None:
    from vitrin.cli.client import ServiceClient, with_key
    from vitrin.cli.settings import operator_token

    kind, name = scope
    verb = "stop" if stop else "resume"
    if kind == "channel":
        with with_key("shop_sync", key) as shop_sync:
            path = f"/v1/channels/{name}:{'pause' if stop else 'resume'}"
            answer = shop_sync.post(path, {"reason": reason} if stop else None)
        if output.as_json:
            output.json(answer)
        output.table([shown_channel(answer)], columns=CHANNEL_COLUMNS)
        return
    if kind == "house":
        token = operator_token()
        if token is None:
            raise CliFailure(
                "no operator token",
                fix="set VITRIN_OPERATOR_TOKEN to the one that accounts was started with",
                code="operator_token_missing",
                exit_code=Exit.UNAUTHORISED,
            )
        with ServiceClient("accounts", token=token) as accounts:
            answer = accounts.post(f"/v1/ops/outgoing:{verb}", {"reason": reason})
    else:
        with with_key("accounts", key) as accounts:
            answer = accounts.post(f"/v1/outgoing:{verb}", {"platform": name, "reason": reason})
    if output.as_json:
        output.json(answer)
    output.table([answer], columns=COLUMNS)
