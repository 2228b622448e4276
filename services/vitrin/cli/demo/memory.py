"""What the demo remembers between runs, in `var/demo.json` (its owner's eyes only: it holds the keys)."""

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from vitrin.cli.settings import Var, read_json, write_private_json


@dataclass(slots=True)
class Memory:
    """`key` is the brand's live owner key, `test_key` its test key; empty before the brand exists."""

    brand_id: str = ""
    name: str = ""
    key: str = ""
    test_key: str = ""
    catalog_sha256: str = ""
    catalog_name: str = ""
    import_report: dict[str, Any] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    first_price: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, var: Var) -> "Memory":
        stored: dict[str, Any] = read_json(var.demo)
        return cls(**{name: value for name, value in stored.items() if name in cls.__dataclass_fields__})

    def save(self, var: Var) -> None:
        write_private_json(var.demo, asdict(self))


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
