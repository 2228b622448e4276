"""Every table of catalog: how long its rows live, and what of them the brand's export has."""

from vitrin.catalog.orders.privacy import REQUEST_CONTEXT
from vitrin.catalog.orders.taking import CONTEXT
from vitrin.kit.brand_data.declared import ACCESS, ANSWERS, CONSUMER, OUTBOX, WORK, State, Swept, Table

ITEM = State("as long as the item; a deleted one leaves its row as a tombstone")
IMPORTS = "vitrin.catalog.import_loop:ImportLoop"
TENDING = "vitrin.catalog.shop.tending:Tending"
ORDERS = "vitrin.catalog.orders.keeping:OrderKeeping"
SHOPS = "vitrin.catalog.shop.keeping:ShopKeeping"

TABLES = (
    Table("markets", State("a row per market")),
    Table("locations", State("a row per location")),
    Table("item_groups", State("as long as the brand")),
    Table("items", ITEM),
    Table("offers", State("as long as the item lives")),
    Table("stock_levels", State("as long as the item lives")),
    Table(
        "imports", Swept("30 days after the end", IMPORTS), secret=("fetch_url", "lease_owner", "lease_until")
    ),
    Table("import_rows", Swept("30 days after the end", IMPORTS)),
    Table(
        "import_chunks",
        State("until the import is done"),
        left_out="the file that the brand sent, until it is read",
    ),
    Table("shop_products", Swept("as long as the shop has them, then 90 days", SHOPS)),
    Table("shop_variants", State("as long as the shop has them")),
    Table("shop_inventory", Swept("as long as the shop has them; without a product 30 days", SHOPS)),
    Table("shop_stock", Swept("as its inventory item", SHOPS)),
    Table("shop_locations", State("a row per location of a shop")),
    Table("shops", State("a row per connected shop; a closed one stays")),
    Table("shop_queues", State("two rows per shop"), left_out=WORK),
    Table(
        "shop_deliveries",
        Swept("30 days; bodies until applied, of dead ones 7 days", TENDING),
        secret=("key_id", "nonce", "ciphertext"),
    ),
    Table("shop_loads", Swept("90 days", TENDING)),
    Table("shop_load_products", State("until the load ends"), left_out=WORK),
    Table(
        "orders",
        Swept("400 days after their last change (`CATALOG_ORDERS_KEEP_DAYS`)", ORDERS),
        sealed={"person": CONTEXT},
    ),
    Table("order_refunds_parked", Swept("until the order comes, 30 days at most", ORDERS)),
    Table(
        "privacy_requests",
        Swept("3 years after they are done", ORDERS),
        sealed={"person": REQUEST_CONTEXT},
    ),
    Table("order_views", Swept("3 years", ORDERS)),
    Table("attentions", State("until it is over"), left_out=WORK),
    ANSWERS,
    *ACCESS,
    *CONSUMER,
    *OUTBOX,
)
