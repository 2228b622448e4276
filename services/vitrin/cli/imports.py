"""`vitrin import`: upload a catalog file or name its address, watch it being applied, list what was refused."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

CHUNK_BYTES = 256 * 1024
POLL_S = 0.15
DEADLINE_S = 3600.0
REFUSED_SHOWN_MAX = 20
BROKEN_STATES = ("refused", "failed", "aborted")
FINAL_STATES = ("done", *BROKEN_STATES)
Progress = Callable[[str, int, int], None]
"""Called with a phase, how much is done and how much there is."""


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="CSV: a Shopify or WooCommerce export, or a feed."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="Instead of a file: where the catalog service fetches it from."),
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="shopify, woocommerce or common; found out by default.")
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Import a catalog. Rows that cannot be used are refused one by one, with a code and what to do."""
    if (file is None) == (url is None):
        raise CliFailure(
            "name either a file or an address",
            fix="vitrin import my.csv, or vitrin import --url https://shop.example/feed.csv",
            code="source_missing" if file is None else "source_twice",
            exit_code=Exit.USAGE,
        )
    from vitrin.cli.client import with_key
    from vitrin.cli.progress import bar

    output = Output(as_json=as_json)
    title = file.name if file is not None else "import"
    with with_key("catalog", key) as catalog, bar(output, title=title) as progress:
        if file is not None:
            report = run_import(catalog, file, format_=format_, progress=progress)
        else:
            body = {"url": url} | ({"format": format_} if format_ else {})
            report = _to_its_end(catalog, catalog.post("/v1/imports", body), progress=progress)
        refused = list(refused_rows(catalog, report["id"]))
    if as_json:
        output.json(report | {"refused": refused})
    else:
        show_report(output, report, refused)
    if report["state"] in BROKEN_STATES:
        raise SystemExit(int(Exit.REFUSED))


def run_import(catalog: Any, file: Path, *, format_: str | None, progress: Progress) -> dict[str, Any]:
    """Upload and wait until the import has an end. Returns its report. `catalog` is a ServiceClient."""
    size = file.stat().st_size
    parameters = {"file_name": file.name} | ({"format": format_} if format_ else {})
    with file.open("rb") as source:
        report: dict[str, Any] = catalog.call(
            "POST",
            "/v1/imports",
            params=parameters,
            headers={"Content-Type": "text/csv", "Content-Length": str(size)},
            content=_chunks(source, size=size, progress=progress),
        )
    return _to_its_end(catalog, report, progress=progress)


def _to_its_end(catalog: Any, report: dict[str, Any], *, progress: Progress) -> dict[str, Any]:
    """Asks again until the import has an end. Returns its report."""
    import time

    end = time.monotonic() + DEADLINE_S
    while report["state"] not in FINAL_STATES:
        if time.monotonic() > end:
            raise CliFailure(
                f"the import {report['id']} has no end after {DEADLINE_S:.0f} s", code="import_slow"
            )
        _tell(report, progress)
        time.sleep(POLL_S)
        report = catalog.get(f"/v1/imports/{report['id']}")
    _tell(report, progress)
    return report


def _tell(report: dict[str, Any], progress: Progress) -> None:
    if report["state"] == "fetching":
        waits = f"tried again ({report['problem']['message']})" if report["problem"] else "bytes fetched"
        progress(waits, report["bytes"], report["bytes_total"] or 0)
    else:
        progress("rows", report["rows"]["done"], report["rows"]["total"])


def refused_rows(catalog: Any, import_id: str) -> Iterator[dict[str, Any]]:
    """Every refused row with line, id, code, field, message and fix."""
    rows: Iterator[dict[str, Any]] = catalog.pages(f"/v1/imports/{import_id}/rows", {"outcome": "refused"})
    return rows


def codes_of(row: dict[str, Any]) -> list[str]:
    """The codes of all problems of a row."""
    return [str(problem["code"]) for problem in row["problems"]]


def show_report(output: Output, report: dict[str, Any], refused: list[dict[str, Any]]) -> None:
    """What became of the file: counts, then the refused rows by code, the first of them one by one."""
    counts = {} if report["state"] == "refused" else {"format": report["format"], **report["rows"]}
    output.record({"import": report["id"], "state": report["state"], **counts})
    if report.get("problem"):
        told = ("code", "message", "line", "fix")
        output.record(report["problem"], keys=told, title="the file was refused as a whole")
    counted = Counter(code for row in refused for code in codes_of(row))
    if not counted:
        return
    rows = [{"code": code, "rows": number} for code, number in counted.most_common()]
    output.table(rows, columns={"code": "refused because", "rows": "rows"})
    details = [
        {"row": row["row"], "id": row["id"], **problem}
        for row in refused[:REFUSED_SHOWN_MAX]
        for problem in row["problems"]
    ]
    columns = {
        "row": "row",
        "id": "item",
        "field": "field",
        "code": "code",
        "message": "what",
        "fix": "to do",
    }
    output.table(
        details,
        columns=columns,
        title=f"the first {REFUSED_SHOWN_MAX}" if len(refused) > REFUSED_SHOWN_MAX else "",
    )


def _chunks(source: Any, *, size: int, progress: Progress) -> Iterator[bytes]:
    sent = 0
    while chunk := source.read(CHUNK_BYTES):
        yield chunk
        sent += len(chunk)
        progress("bytes sent", sent, size)
