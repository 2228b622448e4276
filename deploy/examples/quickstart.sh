#!/bin/sh
# One item from the shop to the channels, with nothing but curl: `VITRIN_API_KEY=... sh quickstart.sh`.
set -eu
catalog=${VITRIN_CATALOG_URL:-http://127.0.0.1:8002}
shop_sync=${VITRIN_SHOP_SYNC_URL:-http://127.0.0.1:8003}
notify=${VITRIN_NOTIFY_URL:-http://127.0.0.1:8006}

vitrin() { # METHOD URL [BODY] [MORE]: the answer's body, and a failure for what is no success
    method=$1 url=$2 body=${3:-}
    shift 2
    [ $# -eq 0 ] || shift
    set -- -sS --fail-with-body -X "$method" -H "Authorization: Bearer $VITRIN_API_KEY" "$@"
    [ -z "$body" ] || set -- "$@" -H "Content-Type: application/json" -d "$body"
    curl "$@" "$url"
    echo
}

echo "== an item, created once: the same Idempotency-Key gives the same answer"
item='{"id": "quickstart-curl", "title": "Linen apron", "description": "Stonewashed linen.", "brand": "Holm", "link": "https://shop.example/apron",
  "image_link": "https://shop.example/apron.jpg", "price": "39.00 EUR", "availability": "in_stock", "quantity": 7}'
vitrin POST "$catalog/v1/items" "$item" -H "Idempotency-Key: quickstart-curl-1"
vitrin POST "$catalog/v1/items" "$item" -H "Idempotency-Key: quickstart-curl-1"

echo "== its price and stock, on the fast lane"
vitrin POST "$catalog/v1/offers:batch" '{"items": [{"id": "quickstart-curl", "price": "35.00 EUR", "quantity": 3}]}'

echo "== where it stands, and why"
vitrin GET "$shop_sync/v1/channels"
for try in 1 2 3 4 5 6 7 8 9 10; do # shop_sync hears of it within moments
    vitrin GET "$shop_sync/v1/items/quickstart-curl/timeline" && break
    sleep 1
done

echo "== told by a webhook: an endpoint, and an event to try it with"
endpoint=$(vitrin POST "$notify/v1/webhook_endpoints" \
    "{\"url\": \"${WEBHOOK_URL:-https://shop.example/hooks}\", \"event_types\": [\"item.rejected\"]}")
id=${endpoint#*\"id\":\"} # the first id of the answer
id=${id%%\"*}
vitrin POST "$notify/v1/webhook_events:test" "{\"type\": \"item.rejected\", \"endpoint_id\": \"$id\"}"
vitrin DELETE "$notify/v1/webhook_endpoints/$id"

echo "== what is refused says what to do"
vitrin POST "$catalog/v1/items" '{"id": "quickstart-bad", "title": "No price", "price": "cheap"}' || true

vitrin DELETE "$catalog/v1/items/quickstart-curl"
echo "done"
