"""What an HTTP request costs by itself: an ASGI application that reads the body and answers, on the same server.

And what a service costs that is written as the tutorials have it: FastAPI with a pydantic model of the same events,
doing nothing with them.
"""

from datetime import datetime
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from vitrin.retargeting.domain.vocabulary import EventName

_HEAD = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def bare_reader(scope: Scope, receive: Receive, send: Send) -> None:
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
    await send({"type": "http.response.body", "body": b"{}"})


class Item(BaseModel):
    item_id: str = Field(min_length=1, max_length=100)
    quantity: int = 1
    price: float | None = None


class Event(BaseModel):
    event_id: str = Field(min_length=1, max_length=64)
    name: EventName
    occurred_at: int | datetime | None = None
    visitor_id: str = Field("", max_length=64)
    customer_id: str = Field("", max_length=128)
    session_id: str = Field("", max_length=64)
    url: str = Field("", max_length=2048)
    referrer: str = Field("", max_length=2048)
    items: list[Item] = Field(default_factory=list, max_length=250)
    value: float | None = None
    currency: str = Field("", max_length=3)
    consent: dict[Literal["analytics", "ads", "personalization"], Literal["granted", "denied"]] | None = None
    utm: dict[str, str] | None = None


class Batch(BaseModel):
    events: list[Event] = Field(max_length=500)


def usual_service() -> FastAPI:
    app = FastAPI()

    @app.post("/v1/events")
    async def take(batch: Batch) -> dict[str, int]:
        return {"accepted": len(batch.events)}

    return app
