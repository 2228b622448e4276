"""accounts: who a brand is, which people and keys act for it, and which platforms it is connected to.

Owns: organisations, brands, members, invitations, API keys, connections with their sealed tokens, consents and apps at
platforms, the audit log.
Publishes: accounts.brand.v1, accounts.api_key.v1, accounts.connection.v1 (full state, the newest version wins).
Consumes: nothing; renews tokens ahead of their end. Serves: HTTP /v1/brands, /v1/organisation, /v1/members,
/v1/invitations, /v1/api-keys, /v1/connections, /v1/oauth, /v1/outgoing, /v1/audit; gRPC AccessService,
ConnectionService, SnapshotService of its topics.
"""
