"""Prints how long every table is kept, from the services' own declarations: `make docs` writes deploy/retention.md."""

import importlib
import sys

from vitrin.kit.brand_data.document import retention_document

SERVICES = ("accounts", "catalog", "shop_sync", "notify", "retargeting")


def main() -> int:
    tables = {name: importlib.import_module(f"vitrin.{name}.tables").TABLES for name in SERVICES}
    sys.stdout.write(retention_document(tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
