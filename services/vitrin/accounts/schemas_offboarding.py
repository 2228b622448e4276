"""Request and response models of brands that leave."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from vitrin.accounts.schemas import Code, Request


class OffboardingAsk(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"confirm": "north-pine"}]})
    confirm: Code = Field(description="The brand's slug: this ends the brand.")


class Offboarding(BaseModel):
    """How far it is; once it has ended this is accounts' part of the receipt."""

    brand_id: UUID
    state: Literal["stays", "asked", "waiting", "ending", "ended"] = Field(
        description="stays: nobody asked for it. asked: another person has to ask for it too. waiting: carried out at"
        " `due_at`, until then `:keep` takes it back. ending: keys and connections have ended. ended: the keys of"
        " personal data are destroyed."
    )
    asked_at: datetime | None = None
    asked_by: str | None = None
    approved_by: str | None = None
    due_at: datetime | None = None
    closed_at: datetime | None = None
    ended_at: datetime | None = None
    keys_revoked: int = 0
    connections_ended: int = 0
    seal_keys_destroyed: int = 0
    last_at: datetime | None = Field(
        None, description="After it no lease and no backup opens anything of the brand's personal data."
    )

    @classmethod
    def of(cls, row: Any) -> "Offboarding":
        return cls(**{name: getattr(row, name) for name in cls.model_fields})
