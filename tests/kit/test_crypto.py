import base64
import dataclasses

import pytest

from vitrin.kit.crypto import CannotOpen, KeyRingInvalid, TokenCipher

OLD, NEW = b"o" * 32, b"n" * 32


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


def test_what_was_sealed_opens_and_two_seals_differ() -> None:
    cipher = TokenCipher({"k1": NEW}, "k1")
    first, second = cipher.seal("tökén", b"row-1"), cipher.seal("tökén", b"row-1")
    assert cipher.open(first, b"row-1") == "tökén"
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext
    assert "tökén".encode() not in first.ciphertext


def test_it_opens_only_for_its_row_and_unchanged() -> None:
    cipher = TokenCipher({"k1": NEW}, "k1")
    sealed = cipher.seal("token", b"row-1")
    with pytest.raises(CannotOpen):
        cipher.open(sealed, b"row-2")
    flipped = bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
    with pytest.raises(CannotOpen):
        cipher.open(dataclasses.replace(sealed, ciphertext=flipped), b"row-1")
    with pytest.raises(CannotOpen, match="'k9' is not in the ring"):
        cipher.open(dataclasses.replace(sealed, key_id="k9"), b"row-1")


def test_after_a_rotation_old_texts_open_and_new_ones_use_the_new_key() -> None:
    sealed = TokenCipher.parse(f"old:{encoded(OLD)}").seal("token", b"row")
    rotated = TokenCipher.parse(f"new:{encoded(NEW)},old:{encoded(OLD)}")
    assert rotated.open(sealed, b"row") == "token"
    assert rotated.seal("token", b"row").key_id == "new"


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        ("", "entry 1 is not of the form"),
        ("k1", "entry 1 is not of the form"),
        (f"k1:{encoded(b'short')}", "'k1' has 5 bytes"),
        ("k1:***", "'k1' is not base64"),
        (f"k1:{encoded(OLD)},k1:{encoded(NEW)}", "'k1' appears twice"),
    ],
)
def test_a_bad_ring_is_named_without_its_keys(ring: str, message: str) -> None:
    with pytest.raises(KeyRingInvalid, match=message.replace("(", r"\(")) as refused:
        TokenCipher.parse(ring)
    assert encoded(NEW) not in str(refused.value)


def test_its_repr_shows_no_key() -> None:
    assert repr(TokenCipher({"k1": NEW}, "k1")) == "TokenCipher(keys=['k1'], current='k1')"
