"""Exit codes of the command line, and the failures that carry them.

| code | meaning |
|---|---|
| 0 | done |
| 1 | refused, or a check failed: the message says why |
| 2 | wrong usage |
| 3 | a service, the database or the broker cannot be reached |
| 4 | not found |
| 5 | no key, a wrong key, or a key without the right |
| 6 | the service failed (5xx); its log knows more under the request id |
| 130 | interrupted |
"""

from collections.abc import Mapping
from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    UNAUTHORISED = 5
    SERVICE_FAILED = 6
    INTERRUPTED = 130


class CliFailure(Exception):
    """Ends the command: a message, what to do about it, an exit code."""

    def __init__(
        self, message: str, *, fix: str = "", code: str = "failed", exit_code: Exit = Exit.REFUSED
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code
        self.exit_code = exit_code

    def as_json(self) -> dict[str, object]:
        """For `--json`: what a program can act on."""
        return {"code": self.code, "detail": self.message, "fix": self.fix}


class Unreachable(CliFailure):
    def __init__(self, *, service: str, url: str, setting: str, reason: str) -> None:
        super().__init__(
            f"cannot reach {service} at {url}: {reason}",
            fix=f"start it with `vitrin up`, or set {setting} to where it runs",
            code="unreachable",
            exit_code=Exit.UNREACHABLE,
        )


class ProblemAnswer(CliFailure):
    """A service refused: its problem document (RFC 9457), with code, field and fix."""

    def __init__(self, *, status: int, problem: Mapping[str, object]) -> None:
        title = str(problem.get("title") or f"HTTP {status}")
        super().__init__(
            str(problem.get("detail") or title),
            fix=str(problem.get("fix") or ""),
            code=str(problem.get("code") or "unknown"),
            exit_code=_exit_code(status),
        )
        self.status = status
        self.problem = dict(problem)

    def as_json(self) -> dict[str, object]:
        return self.problem | {"status": self.status, "code": self.code}


def _exit_code(status: int) -> Exit:
    if status == 404:
        return Exit.NOT_FOUND
    if status in (401, 403):
        return Exit.UNAUTHORISED
    return Exit.SERVICE_FAILED if status >= 500 else Exit.REFUSED
