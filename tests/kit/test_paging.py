import pytest

from vitrin.kit.http import CursorInvalid, decode_cursor, encode_cursor


def test_a_cursor_comes_back_as_it_was() -> None:
    position: dict[str, str | int] = {"after": "ü/1", "n": 3}
    assert decode_cursor(encode_cursor(position), {"after", "n"}) == position
    assert decode_cursor(None, {"after"}) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "%%%",
        "ö",
        "e30",
        encode_cursor({"other": "x"}),
        "W10",
        "x" * 2000,
        "bnVsbA",
        encode_cursor({"after": "a\x00"}),
    ],
)
def test_anything_else_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid) as refused:
        decode_cursor(cursor, {"after"})
    assert (refused.value.status, refused.value.code, refused.value.field) == (
        400,
        "cursor_invalid",
        "cursor",
    )
