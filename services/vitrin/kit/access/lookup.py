"""How a transaction names the one key whose brand it has to find."""

from typing import Final

LOOKUP_KEY: Final = "app.lookup_key"
"""Setting of a transaction: only that key's rows, and its brand's, can be seen with it."""
