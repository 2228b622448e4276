"""Writes deploy/rules.schema.json and the ready-made rules in rules.md (`-m tests.retargeting.audiences.documents`)."""

import json
from pathlib import Path

from vitrin.retargeting.audiences.language import ready
from vitrin.retargeting.audiences.language.schema import rule_schema

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
MARK = "## Ready-made\n"


def main() -> None:
    schema = json.dumps(rule_schema(), indent=2) + "\n"
    (DEPLOY / "rules.schema.json").write_text(schema, encoding="utf-8")
    place = DEPLOY / "rules.md"
    head = place.read_text(encoding="utf-8").split(MARK)[0]
    parts = [head + MARK]
    for name, rule in ready.ready_made().items():
        maker = getattr(
            ready, {"bought_x_not_y": "bought_not", "top_customers": "top_by_value"}.get(name, name)
        )
        body = json.dumps(rule, indent=2)
        parts.append(f"\n`{name}`: {maker.__doc__.strip()}\n\n```json\n{body}\n```\n")
    place.write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
