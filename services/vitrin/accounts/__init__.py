"""accounts: who a brand is, which keys act for it, and which platforms it is connected to.

Owns: brands, API keys, platform connections with their sealed tokens, consents and apps at platforms, the audit log.
Publishes: accounts.brand.v1, accounts.api_key.v1, accounts.connection.v1 (full state, the newest version wins).
Consumes: nothing; renews tokens ahead of their end. Serves: HTTP /v1/brands, /v1/api-keys, /v1/connections, /v1/oauth;
gRPC AccessService, ConnectionService, SnapshotService of its topics.
"""
