"""Where a channel leads: an e-mail address or a Slack URL, sealed at rest with AES-GCM and bound to its channel."""

import re
import secrets
from typing import Any, Final
from uuid import UUID

from vitrin.kit.crypto import Sealed, TokenCipher
from vitrin.kit.outbound import OutboundFailure, OutboundPolicy, check_url
from vitrin.notify.domain.posting import CODE_DIGITS
from vitrin.notify.errors import ChannelInvalid

ADDRESS_MAX: Final = 254
_ADDRESS: Final = re.compile(
    r"(?=.{3,254}$)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"[A-Za-z]{2,63}"
)
_CODE: Final = b"code"


class Targets:
    """`slack_hosts`: those that a Slack URL may name."""

    def __init__(self, cipher: TokenCipher, *, slack_hosts: frozenset[str], policy: OutboundPolicy) -> None:
        self._cipher = cipher
        self._slack_hosts = slack_hosts
        self._policy = policy

    def check_address(self, address: str) -> str:
        """As it is sent to; the part before the @ may mean different boxes in another case. Raises ChannelInvalid."""
        address = address.strip()
        if not _ADDRESS.fullmatch(address):
            raise ChannelInvalid(
                "This is not an e-mail address.",
                field="email",
                fix="Write it like ops@shop.example; a domain with other letters in its xn-- form.",
            )
        name, _, domain = address.rpartition("@")
        return f"{name}@{domain.lower()}"

    def check_slack(self, url: str) -> str:
        """Raises ChannelInvalid."""
        fix = "Take it whole from Slack's page of the incoming webhook: https://hooks.slack.com/services/..."
        try:
            checked = check_url(url, self._policy)
        except OutboundFailure as refused:
            raise ChannelInvalid(refused.detail, field="slack_url", fix=refused.fix or fix) from None
        if checked.host.lower() not in self._slack_hosts:
            raise ChannelInvalid(
                "The address does not lead to Slack.",
                field="slack_url",
                fix=f"{fix} Other hosts have to be named by the operators in NOTIFY_SLACK_HOSTS.",
            )
        return url

    def seal(self, channel: UUID, target: str) -> dict[str, Any]:
        return _columns(self._cipher.seal(target, channel.bytes))

    def open(self, row: Any) -> str:
        """CannotOpen when its key left the ring."""
        sealed = Sealed(row.key_id, bytes(row.nonce), bytes(row.ciphertext))
        return self._cipher.open(sealed, row.channel_id.bytes)

    def new_code(self, channel: UUID) -> dict[str, Any]:
        """Its columns; the code itself goes by e-mail only."""
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        return _columns(self._cipher.seal(code, channel.bytes + _CODE))

    def code_of(self, row: Any) -> str | None:
        if row.code_key_id is None:
            return None
        sealed = Sealed(row.code_key_id, bytes(row.code_nonce), bytes(row.code_ciphertext))
        return self._cipher.open(sealed, row.channel_id.bytes + _CODE)


def hint_of(type_: str, target: str) -> str:
    """What is shown to everybody: enough to tell two channels apart. Of a Slack URL nothing: all of it is a secret."""
    if type_ == "slack":
        return "a Slack incoming webhook"
    name, _, domain = target.rpartition("@")
    return f"{name[:1]}***@{domain}"


def _columns(sealed: Sealed) -> dict[str, Any]:
    return {"key_id": sealed.key_id, "nonce": sealed.nonce, "ciphertext": sealed.ciphertext}
