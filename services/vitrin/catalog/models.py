"""Tables of the catalog as the queries see them. The migrations are the truth; a test compares the two."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata: Final = MetaData()
_MOMENT: Final = DateTime(timezone=True)

markets = Table(
    "markets",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("market", Text, primary_key=True),
    Column("currency", Text),
    Column("is_default", Boolean),
    Column("created_at", _MOMENT),
)
locations = Table(
    "locations",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("location", Text, primary_key=True),
    Column("is_default", Boolean),
    Column("created_at", _MOMENT),
)
item_groups = Table(
    "item_groups",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("item_group_id", Text, primary_key=True),
    Column("created_at", _MOMENT),
)
items = Table(
    "items",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("item_id", Text, primary_key=True),
    Column("content_version", BigInteger),
    Column("offer_version", BigInteger),
    Column("content", JSONB),
    Column("status", Text),
    Column("item_group_id", Text),
    Column("title_folded", Text),
    Column("sku", Text),
    Column("gtin", Text),
    Column("source", Text),
    Column("product_id", Text),
    Column("variant_id", Text),
    Column("inventory_item_id", Text),
    Column("handle", Text),
    Column("options", JSONB),
    Column("created_at", _MOMENT),
    Column("updated_at", _MOMENT),
    Column("deleted_at", _MOMENT),
)
offers = Table(
    "offers",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("item_id", Text, primary_key=True),
    Column("market", Text, primary_key=True),
    Column("currency", Text),
    Column("price_minor", BigInteger),
    Column("sale_price_minor", BigInteger),
    Column("sale_starts_at", _MOMENT),
    Column("sale_ends_at", _MOMENT),
    Column("cost_minor", BigInteger),
    Column("availability", Text),
    Column("effective_availability", Text),
    Column("inventory_policy", Text),
    Column("offer_version", BigInteger),
    Column("updated_at", _MOMENT),
)
stock_levels = Table(
    "stock_levels",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("item_id", Text, primary_key=True),
    Column("location", Text, primary_key=True),
    Column("quantity", BigInteger),
    Column("updated_at", _MOMENT),
)
imports = Table(
    "imports",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("import_id", Uuid, primary_key=True),
    Column("state", Text),
    Column("requested_format", Text),
    Column("format", Text),
    Column("file_name", Text),
    Column("actor", Text),
    Column("bytes", BigInteger),
    Column("sha256", LargeBinary),
    Column("end_proven", Boolean),
    Column("source_url", Text),
    Column("fetch_url", Text),
    Column("expected_sha256", LargeBinary),
    Column("bytes_total", BigInteger),
    Column("rows_total", Integer),
    Column("rows_done", Integer),
    Column("records_done", Integer),
    Column("created", Integer),
    Column("updated", Integer),
    Column("unchanged", Integer),
    Column("refused", Integer),
    Column("images", Integer),
    Column("attempts", Integer),
    Column("problem", JSONB),
    Column("lease_owner", Text),
    Column("lease_until", _MOMENT),
    Column("created_at", _MOMENT),
    Column("updated_at", _MOMENT),
    Column("started_at", _MOMENT),
    Column("finished_at", _MOMENT),
)
import_chunks = Table(
    "import_chunks",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("import_id", Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("data", LargeBinary),
)
import_rows = Table(
    "import_rows",
    metadata,
    Column("brand_id", Uuid, primary_key=True),
    Column("import_id", Uuid, primary_key=True),
    Column("row_number", Integer, primary_key=True),
    Column("item_id", Text),
    Column("outcome", Text),
    Column("problems", JSONB),
)
