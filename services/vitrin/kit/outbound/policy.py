"""Where a brand may send us. Pure: `check_url` looks at an address's text, `check_resolved` at what its name led to.

Both are needed: the first answers at once when an address is saved, the second is asked at every connection, since what
a name leads to may change a moment later.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import httpx

from vitrin.kit.outbound.addresses import Address, Network, address_in, is_public, network_in
from vitrin.kit.outbound.errors import AddressNotPublic, UrlRefused

URL_CHARACTERS_MAX: Final = 2_048
PORTS: Final = frozenset({80, 443})
"""Below 1,024; other low ports belong to mail and the like, which must not be spoken to in HTTP."""
PORT_FREE_FROM: Final = 1_024
_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".onion")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """What is allowed beyond the public internet by https. `parse` reads it from a setting."""

    https_only: bool = True
    hosts: frozenset[str] = frozenset()
    """Names that may lead anywhere, by http too. Lower-case, IDNA-encoded."""
    networks: tuple[Network, ...] = ()
    """Addresses that may be connected to; by http too where the URL names the address itself."""

    @classmethod
    def parse(cls, allow: str = "", *, https_only: bool = True) -> "OutboundPolicy":
        """`allow`: names, addresses and networks, comma separated. Raises ValueError with the entry it cannot read."""
        hosts, networks = set(), []
        for entry in filter(None, (part.strip() for part in allow.split(","))):
            try:
                network = network_in(entry)
                name = "" if network else _host_name(entry)
            except (ValueError, httpx.InvalidURL) as error:
                raise ValueError(f"'{entry}' is no host name, address or network: {error}") from None
            if network:
                networks.append(network)
            else:
                hosts.add(name)
        return cls(https_only, frozenset(hosts), tuple(networks))

    def names(self, host: str) -> bool:
        """Whether the operator allowed this host of a URL, by name or as the address that it is written as."""
        address = address_in(host)
        return host in self.hosts if address is None else self._allows(address)

    def check_resolved(self, host: str, addresses: Iterable[Address]) -> None:
        """Every address that the host's name led to must be allowed: one that is not refuses all of them, since which
        one a second look-up would prefer is the name's owner's choice. Raises AddressNotPublic."""
        if host in self.hosts:
            return
        if not all(is_public(address) or self._allows(address) for address in addresses):
            raise AddressNotPublic(f"{host} leads to an address that is not public")

    def _allows(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def _host_name(text: str) -> str:
    """As a URL has it: lower-case and IDNA-encoded."""
    url = httpx.URL(f"https://{text}/")
    if not text or url.path != "/" or url.query or url.userinfo or url.port is not None or not url.host:
        raise ValueError("give the name alone")
    return host_of(url)


def host_of(url: httpx.URL) -> str:
    """The host as it is compared and resolved: IDNA-encoded, lower-case, without the root's dot.

    Raises ValueError for what is neither an address nor a host name, also by `url.host`, which decodes punycode."""
    host = url.raw_host.decode("ascii").lower().removesuffix(".")
    if host and address_in(host) is None and not (url.host and _NAME.fullmatch(host)):
        raise ValueError("its host name has characters or lengths that no host name has")
    if url.port is not None and url.port > 65_535:
        raise ValueError("its port is above 65535")
    return host


def check_url(text: str, policy: OutboundPolicy) -> httpx.URL:
    """The address, normalised and without its fragment. Raises UrlRefused or AddressNotPublic; resolves nothing."""
    if len(text) > URL_CHARACTERS_MAX:
        raise UrlRefused(
            f"the address has {len(text)} characters, more than {URL_CHARACTERS_MAX}",
            reason="too_long",
            fix="Use a shorter one.",
        )
    if _UNPRINTABLE.search(text):
        raise UrlRefused(
            "the address has a blank, a control character or a backslash in it",
            reason="characters",
            fix="Percent-encode it.",
        )
    if "@" in re.split(r"[/?#]", text.split("//", 1)[-1], maxsplit=1)[0]:
        raise UrlRefused(
            "the address has a user or a password in it: those end up in logs",
            reason="credentials",
            fix="Remove them; use an address that carries a signature or a token in its query.",
        )
    try:
        url = httpx.URL(text).copy_with(fragment=None)
        host = host_of(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise UrlRefused(
            f"this is no URL: {error}", reason="form", fix="Give one like https://shop.example/feed.csv."
        ) from None
    if url.scheme not in _DEFAULT_PORTS or not host:
        raise UrlRefused(
            "the address is not one of the web",
            reason="scheme",
            fix="Give a whole URL that begins with https://.",
        )
    if not policy.names(host):
        _check_public(url, host, policy)
    return url


def _check_public(url: httpx.URL, host: str, policy: OutboundPolicy) -> None:
    address = address_in(host)
    if address is not None and not is_public(address):
        raise AddressNotPublic(f"{host} is not a public address")
    if address is None and ("." not in host or f".{host}".endswith(_LOCAL_SUFFIXES)):
        raise AddressNotPublic(f"{host} is the name of a machine in a private network")
    if url.scheme != "https" and policy.https_only:
        raise UrlRefused("the address is not encrypted", reason="not_https", fix="Give one with https://.")
    port = url.port if url.port is not None else _DEFAULT_PORTS[url.scheme]
    if port not in PORTS and port < PORT_FREE_FROM:
        raise UrlRefused(
            f"port {port} is not one for web servers",
            reason="port",
            fix=f"Use port 80, 443, or one from {PORT_FREE_FROM}.",
        )


def shown(url: httpx.URL | str) -> str:
    """A checked address for logs and messages: without its query, which may be a secret."""
    url = httpx.URL(url)
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}"
