"""`vitrin export`: everything that Vitrin keeps of a brand, from every service, with a manifest."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrin.cli.failures import CliFailure, Exit
from vitrin.cli.options import AsJson, Key
from vitrin.cli.output import Output

if TYPE_CHECKING:
    from vitrin.cli.client import ServiceClient

SERVICES = ("accounts", "catalog", "shop_sync", "notify", "retargeting")
MANIFEST = "manifest.json"
PROGRESS_BYTES = 20_000_000
COLUMNS = {"service": "service", "file": "file", "rows": "rows", "bytes": "bytes", "sha256": "SHA-256"}
Entry = dict[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(export)


def export(
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the files; made if missing.")],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Fetch again what an earlier run has finished.")
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Everything that Vitrin keeps of the key's brand: a file of JSON lines per service, and a manifest with counts and
    SHA-256. Needs a live key of an owner. Broken off, it goes on with the service that was not finished. Holds personal
    data: the folder is readable by its owner only."""
    from vitrin.cli.client import with_key

    output = Output(as_json=as_json)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    done: dict[str, Entry] = {}
    brand: str | None = None
    for service in SERVICES:
        with with_key(service, key) as client:
            if brand is None:
                brand = next(client.pages("/v1/brands"))["id"]
                done = {} if fresh else _finished(out, brand)
            if service in done:
                output.note(f"{service}: there already, {done[service]['rows']:,} rows")
            else:
                done[service] = _fetch(client, out, service, brand, output)
        _save(out, brand, done)
    entries = [done[service] for service in SERVICES]
    output.table(entries, columns=COLUMNS)
    if as_json:
        output.json({"brand_id": brand, "services": entries})


def _fetch(client: "ServiceClient", out: Path, service: str, brand: str, output: Output) -> Entry:
    """The file gets its name when it is whole."""
    name = f"{service}.ndjson"
    draft = out / f".{name}.part"
    counted = _Counted(service, brand)
    told = 0
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in client.stream("/v1/export"):
            file.write(piece)
            counted.take(piece)
            if counted.bytes - told >= PROGRESS_BYTES:
                told = counted.bytes
                output.note(f"{service}: {counted.rows:,} rows, {counted.bytes / 1e6:,.0f} MB")
        file.flush()
        os.fsync(file.fileno())
    counted.check()
    draft.replace(out / name)
    return {
        "service": service,
        "file": name,
        "rows": counted.rows,
        "tables": counted.tables,
        "bytes": counted.bytes,
        "sha256": counted.digest.hexdigest(),
    }


class _Counted:
    """Counts the rows itself and compares with what the service says."""

    def __init__(self, service: str, brand: str) -> None:
        self.service = service
        self.brand = brand
        self.bytes = 0
        self.rows = 0
        self.tables: dict[str, int] = {}
        self.digest = hashlib.sha256()
        self._ended = False
        self._rest = b""

    def take(self, piece: bytes) -> None:
        self.bytes += len(piece)
        self.digest.update(piece)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._line(json.loads(line))

    def check(self) -> None:
        if not self._ended or self._rest:
            raise CliFailure(
                f"the export of {self.service} was cut off after {self.rows:,} rows",
                fix="run the command again: it goes on with this service; the log of the service says why",
                code="export_cut_off",
                exit_code=Exit.UNREACHABLE,
            )

    def _line(self, line: dict[str, Any]) -> None:
        if "row" in line:
            self.rows += 1
            self.tables[line["table"]] = self.tables.get(line["table"], 0) + 1
        elif "rows" in line and "table" in line:
            self._same(line["rows"], self.tables.setdefault(line["table"], 0), line["table"])
        elif line.get("end"):
            self._same(line["rows"], self.rows, "all")
            self._ended = True
        elif line.get("brand_id") != self.brand:
            self._same(line.get("brand_id"), self.brand, "brand")

    def _same(self, said: object, found: object, of: str) -> None:
        if said != found:
            raise CliFailure(
                f"{self.service} says {said} for {of}, and sent {found}",
                code="export_differs",
                fix="run it again",
            )


def _finished(out: Path, brand: str) -> dict[str, Entry]:
    """Of an earlier run for the same brand, what is whole and unchanged."""
    from vitrin.cli.settings import read_json

    manifest = read_json(out / MANIFEST)
    entries = manifest.get("services")
    if manifest.get("brand_id") != brand or not isinstance(entries, list):
        return {}
    return {
        entry["service"]: entry
        for entry in entries
        if entry.get("service") in SERVICES and _digest(out / f"{entry['service']}.ndjson") == entry["sha256"]
    }


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        for piece in _pieces(path):
            digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1_000_000):
            yield piece


def _save(out: Path, brand: str, done: dict[str, Entry]) -> None:
    from vitrin.cli.settings import write_private_json

    entries = [done[service] for service in SERVICES if service in done]
    write_private_json(
        out / MANIFEST, {"brand_id": brand, "complete": len(entries) == len(SERVICES), "services": entries}
    )
