"""What the I/O halves of the shops share: answers that are not as documented, and several reads at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.calling import in_chunks
from vitrin.platforms.shop import BodyInvalid

LOAD_GONE: Final = "load_gone"
UNREADABLE: Final = "unreadable_answer"
Found = TypeVar("Found")


@contextmanager
def readable(title: str) -> Iterator[None]:
    """BodyInvalid becomes the PlatformFailure `unreadable_answer`, which names the path; repeating cannot help."""
    try:
        yield
    except BodyInvalid as error:
        raise PlatformFailure(
            FailureKind.INVALID_REQUEST,
            code=UNREADABLE,
            message=f"{title}'s answer is not as documented: {error}",
            fix="Report this with the message; correct the product or order in the shop if it looks wrong there.",
        ) from error


def load_gone(title: str) -> PlatformFailure:
    return PlatformFailure(
        FailureKind.INVALID_REQUEST,
        code=LOAD_GONE,
        message=f"{title} no longer keeps the result of this load.",
        fix="Vitrin begins the load again by itself.",
    )


async def a_few_at_once(
    read: Callable[[str], Awaitable[Found]], ids: Sequence[str], *, concurrency_max: int
) -> list[Found]:
    """In the order of the ids. All of a handful have ended before the first failure is raised."""
    found: list[Found] = []
    for chunk in in_chunks(ids, concurrency_max):
        for one in await asyncio.gather(*map(read, chunk), return_exceptions=True):
            if isinstance(one, BaseException):
                raise one
            found.append(one)
    return found
