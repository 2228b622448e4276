"""Topics of webhooks: as GraphQL names them and as the header of a delivery does; the scope that each needs."""

TOPICS: dict[str, tuple[str, str]] = {
    "APP_UNINSTALLED": ("app/uninstalled", ""),
    "BULK_OPERATIONS_FINISH": ("bulk_operations/finish", ""),
    "INVENTORY_ITEMS_CREATE": ("inventory_items/create", "read_inventory"),
    "INVENTORY_ITEMS_DELETE": ("inventory_items/delete", "read_inventory"),
    "INVENTORY_ITEMS_UPDATE": ("inventory_items/update", "read_inventory"),
    "INVENTORY_LEVELS_CONNECT": ("inventory_levels/connect", "read_inventory"),
    "INVENTORY_LEVELS_DISCONNECT": ("inventory_levels/disconnect", "read_inventory"),
    "INVENTORY_LEVELS_UPDATE": ("inventory_levels/update", "read_inventory"),
    "LOCATIONS_CREATE": ("locations/create", "read_locations"),
    "LOCATIONS_DELETE": ("locations/delete", "read_locations"),
    "LOCATIONS_UPDATE": ("locations/update", "read_locations"),
    "ORDERS_CANCELLED": ("orders/cancelled", "read_orders"),
    "ORDERS_CREATE": ("orders/create", "read_orders"),
    "ORDERS_DELETE": ("orders/delete", "read_orders"),
    "ORDERS_EDITED": ("orders/edited", "read_orders"),
    "ORDERS_FULFILLED": ("orders/fulfilled", "read_orders"),
    "ORDERS_PAID": ("orders/paid", "read_orders"),
    "ORDERS_UPDATED": ("orders/updated", "read_orders"),
    "PRODUCTS_CREATE": ("products/create", "read_products"),
    "PRODUCTS_DELETE": ("products/delete", "read_products"),
    "PRODUCTS_UPDATE": ("products/update", "read_products"),
    "REFUNDS_CREATE": ("refunds/create", "read_orders"),
    "SHOP_UPDATE": ("shop/update", ""),
}
"""The privacy topics (customers/data_request, customers/redact, shop/redact) are set at the app, not subscribed."""

ENUM_OF = {header: name for name, (header, _scope) in TOPICS.items()}
