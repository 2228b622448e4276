"""What the operator allows (`VITRIN_OUTBOUND_*`), for every service that calls addresses of brands."""

from functools import cached_property

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from vitrin.kit.outbound.policy import OutboundPolicy


class OutboundSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="VITRIN_OUTBOUND_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    https_only: bool = Field(
        True, description="Whether http is refused; hosts that are allowed by name are exempt."
    )
    allow: str = Field(
        "",
        description="Host names, addresses and networks that may be called though they are not public, comma "
        "separated: 'feeds.corp.example,10.20.0.0/16'. A name may lead anywhere and be called by http.",
    )

    @field_validator("allow")
    @classmethod
    def _readable(cls, text: str) -> str:
        OutboundPolicy.parse(text)
        return text

    @cached_property
    def policy(self) -> OutboundPolicy:
        return OutboundPolicy.parse(self.allow, https_only=self.https_only)
