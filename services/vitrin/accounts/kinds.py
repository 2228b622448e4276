"""What can be connected: platforms that show products, and shops that products come from. One rule for both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from vitrin.accounts import domain
from vitrin.accounts.errors import PlatformUnknown
from vitrin.kit.access import Principal
from vitrin.kit.errors import FieldError
from vitrin.platforms.base import PlatformSpec
from vitrin.platforms.registry import PLATFORMS, SHOPS
from vitrin.platforms.shop import ShopSpec


@dataclass(frozen=True, slots=True)
class Kind:
    """`spec` of a platform or of a kind of shop."""

    spec: PlatformSpec | ShopSpec

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def title(self) -> str:
        return self.spec.title

    @property
    def shop(self) -> ShopSpec | None:
        return self.spec if isinstance(self.spec, ShopSpec) else None

    @property
    def required_scopes(self) -> tuple[str, ...]:
        return self.spec.required_scopes

    def named_by(self) -> str:
        """The external id that a connection is told apart by."""
        return self.spec.required_external_ids[0] if self.shop else "catalog_id"

    def base_url(self, mode: str, external_ids: Mapping[str, str], sandbox_url: str) -> str:
        """Where the API is: the platform's or the shop's own address, or the sandbox's for it."""
        shop = self.shop
        if shop is None:
            assert isinstance(self.spec, PlatformSpec)
            url = self.spec.default_base_url
            return domain.sandbox_base_url(sandbox_url, url) if mode == "sandbox" else url
        own = shop.base_url(external_ids)
        if mode != "sandbox":
            return own
        return f"{sandbox_url.rstrip('/')}/{shop.name}/{urlsplit(own).netloc}"

    def external_id_errors(self, external_ids: Mapping[str, str]) -> list[FieldError]:
        errors = domain.external_id_errors(
            external_ids,
            required=self.spec.required_external_ids,
            optional=self.spec.optional_external_ids,
        )
        if errors or self.shop is None:
            return errors
        for name, value in external_ids.items():
            wrong = self.shop.external_id_problem(name, value)
            if wrong is not None:
                errors.append(FieldError(f"external_ids.{name}", "external_id_invalid", wrong, "Correct it."))
        return errors


KINDS: Final[Mapping[str, Kind]] = {
    **{name: Kind(spec) for name, spec in PLATFORMS.items()},
    **{name: Kind(shop) for name, shop in SHOPS.items()},
}


def kind_of(name: str) -> Kind:
    """Raises PlatformUnknown."""
    kind = KINDS.get(name)
    if kind is None:
        known = sorted(KINDS)
        raise PlatformUnknown(
            f"There is no platform or shop {name!r}.",
            field="platform",
            fix=f"Choose one of: {', '.join(known)}.",
            known_platforms=known,
        )
    return kind


def visible_modes(caller: Principal) -> tuple[str, ...]:
    """A test key does not see live connections."""
    return ("sandbox", "live") if caller.mode == "live" else ("sandbox",)
