"""The HTTP door: parse, call one use case, answer."""

from vitrin.accounts.api.audit import router as audit_router
from vitrin.accounts.api.brands import router as brands_router
from vitrin.accounts.api.connections import router as connections_router
from vitrin.accounts.api.consents import router as consents_router
from vitrin.accounts.api.keys import router as keys_router
from vitrin.accounts.api.offboarding import router as offboarding_router
from vitrin.accounts.api.outgoing import router as outgoing_router
from vitrin.accounts.api.people import router as people_router
from vitrin.accounts.api.people import welcome_router

ROUTERS = (
    brands_router,
    keys_router,
    connections_router,
    consents_router,
    outgoing_router,
    audit_router,
    people_router,
    welcome_router,
    offboarding_router,
)
