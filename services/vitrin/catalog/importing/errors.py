"""A file that is refused as a whole."""


class FileRefused(Exception):
    """Nothing of the file may be applied. `code` is stable; `line` (1-based) and `byte` (0-based) where known."""

    def __init__(
        self, code: str, message: str, fix: str, *, line: int | None = None, byte: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.line = line
        self.byte = byte
