"""Options that many commands share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="API key; else VITRIN_API_KEY, else the demo brand's of `vitrin up`.",
        show_default=False,
    ),
]
