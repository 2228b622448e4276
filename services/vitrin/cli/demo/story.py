"""The story, told over HTTP only: brand, connections, import, verdicts, two changes, a shop with a sale and a cart, the
sum."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from vitrin.cli.brands import create_brand
from vitrin.cli.client import ServiceClient
from vitrin.cli.connections import sandbox_connection
from vitrin.cli.demo.changes import show_changes
from vitrin.cli.demo.memory import Memory, file_digest
from vitrin.cli.demo.shop import ShopScene, show_shop
from vitrin.cli.demo.shoppers import show_shoppers
from vitrin.cli.demo.verdicts import (
    MISMATCHES_SHOWN_MAX,
    OPEN_STATES,
    Board,
    Judgement,
    Verdict,
    Versions,
    judge_expected,
    judge_given,
    settled,
    summary_rows,
    versions_of,
)
from vitrin.cli.failures import CliFailure, Exit, ProblemAnswer
from vitrin.cli.imports import BROKEN_STATES, codes_of, refused_rows, run_import
from vitrin.cli.output import Output
from vitrin.cli.progress import bar
from vitrin.cli.sandbox import sandbox_accounts
from vitrin.cli.settings import Var
from vitrin.cli.watching import LAG_COLUMNS, lag_rows

PLATFORMS = ("meta", "pinterest")
KEY_ARRIVAL_S = 15.0
STANDSTILL_S = 60.0
POLL_S = 0.25
LAG_WINDOW_S = 3600


@dataclass(slots=True)
class Stage:
    """What every scene needs."""

    var: Var
    output: Output
    memory: Memory
    accounts: ServiceClient
    catalog: ServiceClient
    shop_sync: ServiceClient
    retargeting: ServiceClient


def tell(var: Var, output: Output, catalog: Path | None) -> int:
    """Returns an exit code: 0 only if what must be live is live. `catalog` None: the demo's own."""
    memory = Memory.load(var)
    path = catalog or demo_file("catalog.csv")
    untouched = catalog is None and not memory.key
    _brand(var, output, memory)
    key = memory.key
    with (
        ServiceClient("accounts", token=key) as accounts,
        ServiceClient("catalog", token=key) as items,
        ServiceClient("shop_sync", token=key) as sync,
        ServiceClient("notify", token=key) as notify,
        ServiceClient("retargeting", token=key) as retargeting,
        ServiceClient("sandbox", token=None) as sandbox,
    ):
        stage = Stage(var, output, memory, accounts, items, sync, retargeting)
        _wait_for_key(stage)
        _connect(stage)
        _import(stage, path)
        versions = versions_of(items.pages("/v1/items"))
        item_ids = list(versions)
        _wait_for_verdicts(stage, versions)
        changes = show_changes(
            stage.output,
            catalog=items,
            shop_sync=sync,
            memory=memory,
            board=_board(stage, versions),
            allowed=_ids_of_the_file(stage),
        )
        memory.save(var)
        shoppers = show_shoppers(output, retargeting, item_ids)
        board = _board(stage, versions)
        judgement = _judge(stage, board, item_ids, untouched=untouched)
        shop = show_shop(
            output,
            accounts=accounts,
            catalog=items,
            shop_sync=sync,
            notify=notify,
            sandbox=sandbox,
            currency=_currency(),
        )
        lag = sync.get("/v1/lag", {"window_s": LAG_WINDOW_S})
        _sum_up(
            stage,
            board,
            item_ids,
            lag=lag,
            judgement=judgement,
            changes=changes,
            shop=shop,
            shoppers=shoppers,
        )
    return int(Exit.DONE if judgement.passed and changes.arrived and shop.arrived else Exit.REFUSED)


def demo_file(name: str) -> Path:
    """One of the committed demo files beside this module."""
    return Path(str(files("vitrin.cli.demo").joinpath(name)))


def _brand(var: Var, output: Output, memory: Memory) -> None:
    if memory.key:
        output.note(f"brand [bold]{memory.name}[/bold] is there from an earlier run")
        return
    expected = json.loads(demo_file("expected.json").read_text(encoding="utf-8"))
    answer = create_brand(
        {
            "name": "Vitrin Demo Shop",
            "slug": "vitrin-demo",
            "storefront_url": expected["storefront_url"],
            "default_currency": expected["currency"],
            "default_market": "DE",
            "language": "en",
            "time_zone": "Europe/Berlin",
        }
    )
    keys = {str(key["mode"]): str(key["key"]) for key in answer["keys"]}
    memory.brand_id, memory.name = str(answer["brand"]["id"]), str(answer["brand"]["name"])
    memory.key, memory.test_key = keys["live"], keys["test"]
    memory.save(var)
    output.note(f"[green]✓[/green] brand [bold]{memory.name}[/bold] with its keys")


def _currency() -> str:
    """Of the demo's brand."""
    return str(json.loads(demo_file("expected.json").read_text(encoding="utf-8"))["currency"])


def _wait_for_key(stage: Stage) -> None:
    """A new brand and its key reach the other services through Kafka."""
    for client, path in (
        (stage.catalog, "/v1/items"),
        (stage.shop_sync, "/v1/channels"),
        (stage.retargeting, "/v1/events"),
    ):

        def known(client: ServiceClient = client, path: str = path) -> bool:
            try:
                client.get(path, {"limit": 1})
            except ProblemAnswer as refusal:
                if refusal.exit_code is Exit.UNAUTHORISED or refusal.status == 503:
                    return False
                raise
            return True

        until(known, deadline_s=KEY_ARRIVAL_S, what=f"the brand's key to reach {client.service}")


def _connect(stage: Stage) -> None:
    connections = stage.accounts.pages("/v1/connections")
    there = {one["platform"]: one for one in connections if one["state"] != "deleted"}
    ready = sandbox_accounts()
    for platform in PLATFORMS:
        body = sandbox_connection(ready[platform])
        old = there.get(platform)
        if old is not None and old["base_url"] == body["base_url"]:
            continue
        if old is not None:  # another port than last time: another sandbox as far as anybody can tell
            stage.accounts.call("DELETE", f"/v1/connections/{old['id']}")
        stage.accounts.post("/v1/connections", {"platform": platform, "mode": "sandbox", **body})
        stage.output.note(f"[green]✓[/green] connected {platform} (sandbox)")

    def open_channels() -> bool:
        return set(PLATFORMS) <= {channel["platform"] for channel in _channels(stage)}

    until(open_channels, deadline_s=KEY_ARRIVAL_S, what="shop-sync to open both channels")


def _import(stage: Stage, path: Path) -> None:
    memory, digest = stage.memory, file_digest(path)
    if memory.catalog_sha256 == digest:
        stage.output.note(f"{path.name} is imported already and has not changed since")
        return
    with bar(stage.output, title=f"import {path.name}") as progress:
        report = run_import(stage.catalog, path, format_=None, progress=progress)
        memory.refused = list(refused_rows(stage.catalog, str(report["id"])))
    if report["state"] in BROKEN_STATES:
        problem = report.get("problem") or {}
        raise CliFailure(
            f"{path.name} was refused as a whole: {problem.get('message') or report['state']}",
            fix=str(problem.get("fix") or ""),
            code=str(problem.get("code") or "import_refused"),
        )
    memory.import_report, memory.catalog_sha256, memory.catalog_name = report, digest, path.name
    memory.first_price = {}
    memory.save(stage.var)
    stage.output.note(
        f"[green]✓[/green] imported {path.name}: {report['rows']['total']} rows, {len(memory.refused)} refused"
    )


def _wait_for_verdicts(stage: Stage, items: Versions) -> None:
    """Until every item has a final verdict on every channel, or nothing moves any more."""
    total = len(items) * len(PLATFORMS)
    moved_at, last = time.monotonic(), -1
    with bar(stage.output, title="verdicts") as progress:
        while (done := _settled(stage, items)) < total:
            progress("of items on platforms", done, total)
            if done != last:
                moved_at, last = time.monotonic(), done
            if time.monotonic() - moved_at > STANDSTILL_S:
                stage.output.note(
                    f"[red]no verdict in the last {STANDSTILL_S:.0f} s[/red]: {done} of {total}"
                )
                return
            time.sleep(POLL_S)
        progress("of items on platforms", total, total)


def _settled(stage: Stage, items: Versions) -> int:
    """Counted by the channels while much is open; item by item, with versions, once they say that all is done."""
    counts = [Counter(channel["counts"]) for channel in _channels(stage)]
    final = sum(number for count in counts for state, number in count.items() if state not in OPEN_STATES)
    if final < len(items) * len(PLATFORMS):
        return final
    return settled(_board(stage, items), items)


def _channels(stage: Stage) -> list[dict[str, Any]]:
    return [channel for channel in stage.shop_sync.pages("/v1/channels") if channel["state"] != "closed"]


def _ids_of_the_file(stage: Stage) -> frozenset[str]:
    """What the imported file named: the story changes nothing else, and nothing once the report has expired."""
    rows = stage.catalog.pages(f"/v1/imports/{stage.memory.import_report['id']}/rows")
    try:
        return frozenset(str(row["id"]) for row in rows if row["id"] and row["outcome"] != "refused")
    except ProblemAnswer as refusal:
        if refusal.status == 404:
            return frozenset()
        raise


def _board(stage: Stage, items: Versions) -> Board:
    """What is gone from the catalog and from the platform is no part of it; what only the platform lacks is."""
    board: dict[str, dict[str, Verdict]] = {}
    for channel in _channels(stage):
        listed = stage.shop_sync.pages(f"/v1/channels/{channel['id']}/items")
        verdicts = {str(item["item_id"]): Verdict.of(item) for item in listed}
        board[channel["platform"]] = {
            item_id: verdict
            for item_id, verdict in verdicts.items()
            if verdict.state != "removed" or item_id in items
        }
    return board


def _judge(stage: Stage, board: Board, item_ids: Sequence[str], *, untouched: bool) -> Judgement:
    """`untouched`: nobody but this run has filled the catalog, so that its content is known item by item."""
    refused = refused_by_row(stage.memory.refused)
    if not untouched:
        return judge_given(stage.memory.import_report, refused=refused, board=board, item_ids=item_ids)
    expected = json.loads(demo_file("expected.json").read_text(encoding="utf-8"))
    return judge_expected(expected, refused=refused, board=board, item_ids=item_ids)


def refused_by_row(rows: Sequence[dict[str, Any]]) -> dict[int, list[str]]:
    by_row: dict[int, list[str]] = {}
    for row in rows:
        by_row.setdefault(int(row["row"]), []).extend(codes_of(row))
    return by_row


def _sum_up(
    stage: Stage,
    board: Board,
    item_ids: Sequence[str],
    *,
    lag: Mapping[str, Any],
    judgement: Judgement,
    changes: Any,
    shoppers: Sequence[Mapping[str, object]],
    shop: ShopScene,
) -> None:
    output, memory = stage.output, stage.memory
    if output.as_json:
        output.json(
            {
                "brand_id": memory.brand_id,
                "items": len(item_ids),
                "import": memory.import_report,
                "refused": memory.refused,
                "states": summary_rows(board),
                "changes": changes.rows,
                "shop": {"changes": shop.rows, "cart": shop.cart, "notification": shop.notice},
                "shoppers": shoppers,
                "lag": lag,
                "problems": list(judgement.problems),
                "passed": judgement.passed and changes.arrived and shop.arrived,
            }
        )
        return
    codes = [code for codes in refused_by_row(memory.refused).values() for code in codes]
    refused = [{"code": code, "rows": codes.count(code)} for code in sorted(set(codes))]
    output.note(
        f"\n[bold]{memory.catalog_name}[/bold]: {len(memory.refused)} rows refused;"
        f" the catalog has {len(item_ids)} items"
    )
    if refused:
        output.table(refused, columns={"code": "row refused because", "rows": "rows"})
    output.table(
        summary_rows(board),
        columns={"platform": "platform", "state": "state", "why": "why", "items": "items"},
    )
    output.table(lag_rows(lag), columns=LAG_COLUMNS, title="lag of the last hour")
    if judgement.passed:
        output.note("[green]✓ everything that must be live is live, and the rest has its reason[/green]\n")
        return
    for problem in judgement.problems[:MISMATCHES_SHOWN_MAX]:
        output.console.print(f"✗ {problem}", style="red", markup=False)
    if len(judgement.problems) > MISMATCHES_SHOWN_MAX:
        output.note(f"[red]and {len(judgement.problems) - MISMATCHES_SHOWN_MAX} more[/red]")


def until(condition: Callable[[], bool], *, deadline_s: float, what: str) -> None:
    """Raises CliFailure when `condition` does not become true in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise CliFailure(f"waited {deadline_s:.0f} s for {what}", code="too_slow")
        time.sleep(POLL_S)
