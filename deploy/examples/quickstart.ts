/**
 * One item from the shop to the channels, with the generated client. `make clients` generates it;
 * `npm install build/clients/typescript` installs it; `VITRIN_API_KEY=... node quickstart.js` after `tsc`.
 */
import { ApiProblem, connect, done } from "vitrin-client";

const key = process.env.VITRIN_API_KEY ?? "";
const vitrin = connect(key, {
  ...(process.env.VITRIN_CATALOG_URL ? { catalog: process.env.VITRIN_CATALOG_URL } : {}),
  ...(process.env.VITRIN_SHOP_SYNC_URL ? { shopSync: process.env.VITRIN_SHOP_SYNC_URL } : {}),
  ...(process.env.VITRIN_NOTIFY_URL ? { notify: process.env.VITRIN_NOTIFY_URL } : {}),
});
const item_id = "quickstart-typescript";

console.log("== an item, created once: the same Idempotency-Key gives the same answer");
for (let times = 0; times < 2; times++) {
  await done(
    vitrin.catalog.POST("/v1/items", {
      params: { header: { "Idempotency-Key": "quickstart-typescript-1" } },
      body: {
        id: item_id,
        title: "Linen apron",
        description: "Stonewashed linen.",
        brand: "Holm",
        link: "https://shop.example/apron",
        image_link: "https://shop.example/apron.jpg",
        price: "39.00 EUR",
        availability: "in_stock",
        quantity: 7,
      },
    }),
  );
}

console.log("== its price and stock, on the fast lane");
await done(
  vitrin.catalog.POST("/v1/offers:batch", { body: { items: [{ id: item_id, price: "35.00 EUR", quantity: 3 }] } }),
);
const item = await done(vitrin.catalog.GET("/v1/items/{item_id}", { params: { path: { item_id } } }));
console.log(item.price, item.quantity);

console.log("== where it stands, and why");
const channels = await done(vitrin.shopSync.GET("/v1/channels"));
console.log(channels.data.map((one) => one.platform));
for (let tries = 0; ; tries++) {
  try {
    const steps = await done(
      vitrin.shopSync.GET("/v1/items/{item_id}/timeline", { params: { path: { item_id } } }),
    );
    console.log(steps.data.length, "steps");
    break;
  } catch (error) {
    if (!(error instanceof ApiProblem) || error.status !== 404 || tries >= 20) throw error;
    await new Promise((later) => setTimeout(later, 500)); // shop_sync hears of an item within moments
  }
}

console.log("== told by a webhook: an endpoint, and an event to try it with");
const endpoint = await done(
  vitrin.notify.POST("/v1/webhook_endpoints", {
    body: { url: process.env.WEBHOOK_URL ?? "https://shop.example/hooks", event_types: ["item.rejected"] },
  }),
);
const trial = await done(
  vitrin.notify.POST("/v1/webhook_events:test", { body: { type: "item.rejected", endpoint_id: endpoint.id } }),
);
console.log(trial.id);
await done(
  vitrin.notify.DELETE("/v1/webhook_endpoints/{endpoint_id}", { params: { path: { endpoint_id: endpoint.id } } }),
);

console.log("== what is refused says what to do");
try {
  await done(vitrin.catalog.POST("/v1/items", { body: { id: "quickstart-bad", title: "No price", price: "cheap" } }));
} catch (error) {
  if (!(error instanceof ApiProblem)) throw error;
  console.log(error.code, "-", error.fix);
}

await done(vitrin.catalog.DELETE("/v1/items/{item_id}", { params: { path: { item_id } } }));
console.log("done");
