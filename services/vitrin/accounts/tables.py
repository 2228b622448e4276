"""Every table of accounts: how long its rows live, and what of them the brand's export has."""

from vitrin.kit.brand_data.declared import ANSWERS, OUTBOX, WORK, State, Swept, Table

TIDYING = "vitrin.accounts.tidying:Tidying"
BRAND = State("as long as the brand")

TABLES = (
    Table(
        "brands",
        State("a row per brand; of one that has left its id"),
        outlives="says that the brand has left",
    ),
    Table("offboardings", State("a row per brand that leaves"), outlives="the receipt"),
    Table(
        "members", State("name and e-mail until the person leaves; id, role and times as long as the brand")
    ),
    Table("invitations", Swept("30 days after the end", TIDYING), secret=("secret_hash",)),
    Table("api_keys", BRAND, secret=("secret_hash",)),
    Table("api_key_uses", State("a row per key")),
    Table(
        "connections",
        State("as long as the brand; the token until the connection is deleted"),
        secret=("token_key_id", "token_nonce", "token_ciphertext"),
    ),
    Table(
        "oauth_apps",
        State("until the app is taken out"),
        secret=("secret_key_id", "secret_nonce", "secret_ciphertext"),
    ),
    Table(
        "oauth_attempts",
        Swept("a day", TIDYING),
        secret=("state_hash", "verifier_key_id", "verifier_nonce", "verifier_ciphertext"),
    ),
    Table(
        "oauth_tokens",
        State("as long as the connection"),
        secret=("refresh_key_id", "refresh_nonce", "refresh_ciphertext"),
    ),
    Table("connected_shops", State("as long as the connection")),
    Table(
        "shop_secrets",
        State("as long as the connection; one that was replaced until the next"),
        secret=("secret_key_id", "secret_nonce", "secret_ciphertext"),
    ),
    Table("outgoing_switches", State("a row per switch")),
    Table("audit_entries", State("as long as the brand: nobody may change or delete one")),
    Table(
        "seal_keys",
        State("until person or day is over, then without its key (ADR 20)"),
        left_out="keys; what they seal is exported open",
    ),
    Table("organisations", State("as long as its brands"), brand=False),
    Table("first_brand", State("one row"), brand=False),
    Table("attentions", State("until it is over"), left_out=WORK),
    ANSWERS,
    *OUTBOX,
)
