"""The GraphQL that Vitrin asks Shopify, as texts. No value is ever written into one: values are variables."""

from typing import Final

from vitrin.platforms.shopify.rules import (
    IMAGES_MAX,
    LEVELS_PAGE,
    LEVELS_REST_PAGE,
    LINES_PAGE,
    REFUNDS_MAX,
    VARIANTS_PAGE,
)

_PRODUCT: Final = """
id handle title updatedAt descriptionHtml vendor productType tags status publishedAt onlineStoreUrl
category { fullName }
"""
_VARIANT: Final = """
id sku barcode title price compareAtPrice inventoryPolicy inventoryQuantity
selectedOptions { name value } image { url }
"""
_ITEM: Final = "id tracked unitCost { amount currencyCode }"
_LEVEL: Final = 'id updatedAt location { id } item { id } quantities(names: ["available"]) { name quantity }'
_MEDIA: Final = "... on MediaImage { id image { url } }"
_PAGE: Final = "pageInfo { hasNextPage endCursor }"
_MONEY: Final = "{ shopMoney { amount currencyCode } }"
_LINE: Final = f"""
id title quantity sku product {{ id }} variant {{ id }}
originalUnitPriceSet {_MONEY} discountAllocations {{ allocatedAmountSet {_MONEY} }}
"""
_ADDRESS: Final = (
    "{ address1 address2 city province provinceCode zip countryCodeV2 phone firstName lastName }"
)

SHOP: Final = """
{ shop { id name myshopifyDomain currencyCode taxesIncluded ianaTimezone
  primaryDomain { url } billingAddress { countryCodeV2 } } }
"""
LOCATIONS: Final = f"""
query ($after: String) {{ locations(first: 250, after: $after, includeInactive: true) {{
  nodes {{ id name isActive }} {_PAGE} }} }}
"""

BULK: Final = f"""
{{ products {{ edges {{ node {{ {_PRODUCT}
  media {{ edges {{ node {{ {_MEDIA} }} }} }}
  variants {{ edges {{ node {{ {_VARIANT}
    inventoryItem {{ {_ITEM} inventoryLevels {{ edges {{ node {{ {_LEVEL} }} }} }} }} }} }} }}
}} }} }} }}
"""
"""Four connections of the five that a bulk operation may have, three deep (that this is one too many for none of the
versions is unverified)."""
BULK_RUN: Final = """
mutation ($query: String!) { bulkOperationRunQuery(query: $query, groupObjects: true) {
  bulkOperation { id status objectCount } userErrors { field message code } } }
"""
"""`groupObjects`: children stand behind their parent, which lets a page end between two products."""
BULK_CURRENT: Final = "{ currentBulkOperation(type: QUERY) { id status objectCount query } }"
BULK_STATE: Final = """
query ($id: ID!) { node(id: $id) { ... on BulkOperation {
  id status objectCount errorCode url createdAt fileSize } } }
"""

PRODUCT: Final = f"""
query ($id: ID!, $after: String) {{ product(id: $id) {{ {_PRODUCT}
  media(first: {IMAGES_MAX}) {{ nodes {{ {_MEDIA} }} }}
  variants(first: {VARIANTS_PAGE}, after: $after) {{ nodes {{ {_VARIANT}
    inventoryItem {{ {_ITEM} inventoryLevels(first: {LEVELS_PAGE}) {{ nodes {{ {_LEVEL} }} {_PAGE} }} }} }}
    {_PAGE} }}
}} }}
"""
LEVELS: Final = f"""
query ($id: ID!, $after: String) {{ inventoryItem(id: $id) {{
  inventoryLevels(first: {LEVELS_REST_PAGE}, after: $after) {{ nodes {{ {_LEVEL} }} {_PAGE} }} }} }}
"""
PRODUCTS_SINCE: Final = f"""
query ($query: String!, $first: Int!, $after: String) {{
  products(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{ id updatedAt }} {_PAGE} }} }}
"""
ORDERS_SINCE: Final = f"""
query ($query: String!, $first: Int!, $after: String) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{ id updatedAt }} {_PAGE} }} }}
"""
ORDER: Final = f"""
query ($id: ID!, $after: String) {{ order(id: $id) {{
  id name createdAt updatedAt cancelledAt cancelReason displayFinancialStatus test sourceName currencyCode
  email phone clientIp discountCodes customerAcceptsMarketing
  totalPriceSet {_MONEY} subtotalPriceSet {_MONEY} totalDiscountsSet {_MONEY} totalShippingPriceSet {_MONEY}
  totalTaxSet {_MONEY}
  customer {{ id firstName lastName }}
  shippingAddress {_ADDRESS} billingAddress {_ADDRESS}
  customerJourneySummary {{ lastVisit {{ landingPage referrerUrl }} }}
  lineItems(first: {LINES_PAGE}, after: $after) {{ nodes {{ {_LINE} }} {_PAGE} }}
  refunds(first: {REFUNDS_MAX}) {{ id createdAt
    refundLineItems(first: 10) {{ nodes {{ quantity lineItem {{ id }} subtotalSet {_MONEY} }} }}
    totalRefundedSet {_MONEY} }}
}} }}
"""

SUBSCRIPTIONS: Final = f"""
query ($after: String) {{ webhookSubscriptions(first: 100, after: $after) {{
  nodes {{ id topic uri }} {_PAGE} }} }}
"""
SUBSCRIBE: Final = """
mutation ($topic: WebhookSubscriptionTopic!, $uri: String!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: { uri: $uri, format: JSON }) {
    webhookSubscription { id topic uri } userErrors { field message } } }
"""
UNSUBSCRIBE: Final = """
mutation ($id: ID!) { webhookSubscriptionDelete(id: $id) {
  deletedWebhookSubscriptionId userErrors { field message } } }
"""
