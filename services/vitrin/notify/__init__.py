"""notify tells the brand's own systems what happened (webhooks) and its people what they must decide or know.

Owns: webhook endpoints with their secrets, events, deliveries and attempts; notifications, their channels and messages.
Publishes: nothing on Kafka.
Consumes: shop_sync.item_status.v1, shop_sync.alert.v1, accounts.connection.v1, the attention topics of accounts,
    catalog and shop_sync, brands, keys, outgoing switches.
Serves: HTTP /v1/webhook_*, /v1/notifications, /v1/notification_channels, /v1/notification_kinds; gRPC health only.
Calls: the endpoints and Slack URLs that brands name, through the outbound guard; the mail server of NOTIFY_SMTP_*. Asks
    accounts by gRPC for keys and snapshots.
"""
