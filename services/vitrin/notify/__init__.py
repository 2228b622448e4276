"""notify tells the brand's own systems what happened: webhooks, signed, at least once.

Owns: webhook endpoints with their secrets, webhook events, their deliveries and the log of attempts.
Publishes: nothing on Kafka.
Consumes: shop_sync.item_status.v1, shop_sync.alert.v1, accounts.connection.v1, brands, keys, outgoing switches.
Serves: HTTP /v1/webhook_endpoints, /v1/webhook_events, /v1/webhook_types; gRPC health only.
Calls: the endpoints that brands name, through the outbound guard. Asks accounts by gRPC for keys and snapshots.
"""
