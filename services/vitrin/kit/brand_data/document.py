"""deploy/retention.md, from what the services declare."""

from collections.abc import Mapping, Sequence

from vitrin.kit.brand_data.declared import Table

_HEAD = """# How long what is kept

Made by `make docs` from `tables.py` of each service; a test compares that with the databases. What is sealed for a
person opens until the person is erased (`deploy/adr/0020-seal.md`), whatever the age of its row. Topics:
`deploy/kafka/topics.yaml`. `vitrin export` has what is marked; columns with tokens, hashes and keys are left out of it.
"""


def retention_document(services: Mapping[str, Sequence[Table]]) -> str:
    parts = [_HEAD]
    for service, tables in services.items():
        parts.append(f"\n## {service}\n\n| table | kept | export |\n|---|---|---|\n")
        parts += [_row(table) for table in tables]
    return "".join(parts)


def _row(table: Table) -> str:
    if not table.brand:
        exported = "not of a brand"
    elif table.left_out:
        exported = f"no: {table.left_out}"
    else:
        exported = "yes" + (f", without {', '.join(table.secret)}" if table.secret else "")
    return f"| {table.name} | {table.kept} | {exported} |\n"
