"""What connecting by consent counts."""

from vitrin.kit.metrics import counter, gauge

CONSENTS = counter(
    "vitrin_accounts_consents_total",
    "Consents that came back from a platform, by how they ended: connected, or the code of the refusal.",
    ("platform", "outcome"),
)
REFRESHES = counter(
    "vitrin_accounts_token_refreshes_total",
    "Renewals of tokens by how they ended: renewed, not_extended (no longer life to have), refused, silent, error.",
    ("platform", "outcome"),
)
ENDING = gauge(
    "vitrin_accounts_tokens_ending",
    "Active connections whose token ends within three days, by renewal: automatic, failing, by_consent, by_hand.",
    ("platform", "renewal"),
)
