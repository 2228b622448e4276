/* Vitrin's custom pixel for Shopify (Settings > Customer events > Add custom pixel): paste this whole text, set the two
 * values below, save, connect. It is the only way to see checkout pages. Beside it the theme needs no pixel.js: this one
 * hears everything. Shopify runs it in a frame without the shop's origin; cookies go through `browser`.
 *
 * Keys are publishable: they may only send events of your shop.
 */
var VITRIN_KEY = "pk_live_...";
var VITRIN_ENDPOINT = "https://events.example.com";

(function () {
  "use strict";
  var VISITOR = "_vt_id", SEEN = "_vt_seen", DAYS = 390, HELD_MAX = 200, TRIES_MAX = 6;
  var CLICKS = ["fbclid", "ttclid", "gclid", "epik", "ScCid", "twclid", "li_fat_id"];
  /* At the start "not allowed" also means "not asked yet": hold, and let go only what is allowed. */
  var choice = allowed(said(init.customerPrivacy)), held = [], visitor = null, line = Promise.resolve();

  function said(privacy) {
    if (!privacy) return null;
    return {
      analytics: !!privacy.analyticsProcessingAllowed,
      ads: !!privacy.marketingAllowed && privacy.saleOfDataAllowed !== false,
      proof: "shop " + new Date().toISOString()
    };
  }

  function allowed(one) { return one && (one.analytics || one.ads) ? one : null; }

  function id() {
    var bytes = crypto.getRandomValues(new Uint8Array(16)), text = "";
    for (var i = 0; i < 16; i++) text += (bytes[i] + 256).toString(16).slice(1);
    return text;
  }

  /* The number at the end of gid://shopify/Order/123, or the number itself. */
  function digits(value) { var found = String(value || "").match(/(\d+)[^\d]*$/); return found ? found[1] : undefined; }

  function goods(variant, quantity) {
    return {
      item_id: "variant:" + digits(variant.id),
      quantity: quantity || 1,
      price: variant.price ? Number(variant.price.amount) : undefined
    };
  }

  function bought(checkout) {
    var total = checkout.totalPrice;
    return {
      items: (checkout.lineItems || []).filter(function (one) { return one.variant; }).map(function (one) {
        return goods(one.variant, one.quantity);
      }),
      value: total ? Number(total.amount) : undefined,
      currency: checkout.currencyCode || (total && total.currencyCode)
    };
  }

  function of(price) { return price ? { value: Number(price.amount), currency: price.currencyCode } : {}; }

  function more(to, from) { for (var key in from) to[key] = from[key]; return to; }

  var HEARD = {
    page_viewed: function () { return ["page_view", {}]; },
    product_viewed: function (data) {
      return ["view_item", more({ items: [goods(data.productVariant)] }, of(data.productVariant.price))];
    },
    collection_viewed: function (data) { return ["view_collection", { properties: { collection: String(data.collection.title) } }]; },
    search_submitted: function (data) { return ["search", { search_term: data.searchResult.query }]; },
    product_added_to_cart: function (data) { return cart("add_to_cart", data.cartLine); },
    product_removed_from_cart: function (data) { return cart("remove_from_cart", data.cartLine); },
    checkout_started: function (data) { return ["begin_checkout", bought(data.checkout)]; },
    payment_info_submitted: function (data) { return ["add_payment_info", bought(data.checkout)]; },
    checkout_completed: function (data) {
      var checkout = data.checkout, order = checkout.order || {};
      return ["purchase", more({ order_id: digits(order.id), customer_id: digits(order.customer && order.customer.id) },
        bought(checkout)), { email: checkout.email || undefined, phone: checkout.phone || undefined }];
    }
  };

  function cart(name, one) {
    return [name, more({ items: [goods(one.merchandise, one.quantity)] }, of(one.cost && one.cost.totalAmount))];
  }

  function hear(event) {
    var made = HEARD[event.name] && HEARD[event.name](event.data || {});
    if (!made) return;
    if (choice && !choice.analytics && !choice.ads) return;
    var where = (event.context && event.context.document) || {}, fields = made[1];
    var one = {
      name: made[0],
      event_id: made[0] === "purchase" && fields.order_id ? "purchase:" + fields.order_id : String(event.id || id()),
      occurred_at: event.timestamp || new Date().toISOString(),
      url: (where.location && where.location.href) || undefined,
      referrer: where.referrer || undefined
    };
    more(one, fields);
    held.push({ event: one, person: made[2], search: (where.location && where.location.search) || "" });
    if (held.length > HELD_MAX) held.shift();
    if (choice) line = line.then(send);
  }

  /* The same first-party id as pixel.js keeps, so that theme, checkout and the shop's server agree. */
  function who() {
    if (visitor) return Promise.resolve(visitor);
    return browser.cookie.get(VISITOR).then(function (kept) {
      visitor = /^[\w.-]{8,64}$/.test(kept || "") ? kept : id();
      return browser.cookie.set(VISITOR + "=" + visitor + "; path=/; SameSite=Lax; max-age=" + DAYS * 86400);
    }).then(function () { return visitor; });
  }

  function clicked(search) {
    var query = new URLSearchParams(search), click = {}, any = false;
    CLICKS.forEach(function (name) { if (query.get(name)) { click[name] = query.get(name).slice(0, 256); any = true; } });
    if (click.fbclid && click.fbclid.length < 220) click.fbc = "fb.1." + Date.now() + "." + click.fbclid;
    return browser.localStorage.getItem(SEEN).then(function (text) {
      var seen = {};
      try { seen = JSON.parse(text) || {}; } catch (e) { /* not ours */ }
      if (!any) return seen.click;
      seen.click = click; seen.clicked = Date.now();
      return browser.localStorage.setItem(SEEN, JSON.stringify(seen)).then(function () { return click; });
    });
  }

  function send() {
    var now = held;
    held = [];
    if (!now.length) return undefined;
    return who().then(function (name) {
      return Promise.all(now.map(function (one) {
        var event = more(one.event, {
          visitor_id: name, consent_proof: choice.proof,
          consent: { analytics: choice.analytics ? "granted" : "denied", ads: choice.ads ? "granted" : "denied" }
        });
        if (!choice.ads) return event;
        if (one.person && (one.person.email || one.person.phone)) event.user = one.person;
        return clicked(one.search).then(function (click) { if (click) event.click_ids = click; return event; });
      }));
    }).then(function (events) { return post(JSON.stringify({ sent_at: new Date().toISOString(), events: events }), 0); });
  }

  function post(body, tries) {
    return fetch(VITRIN_ENDPOINT + "/v1/events?key=" + encodeURIComponent(VITRIN_KEY), {
      method: "POST", body: body, keepalive: body.length < 6e4, credentials: "omit", headers: { "content-type": "text/plain" }
    }).then(function (answer) {
      if (answer.status === 429 || answer.status >= 500) throw new Error(String(answer.status));
    }).catch(function () {
      if (tries >= TRIES_MAX) return undefined;
      return new Promise(function (done) { setTimeout(done, 500 * Math.pow(2, tries)); })
        .then(function () { return post(body, tries + 1); });
    });
  }

  Object.keys(HEARD).forEach(function (name) { analytics.subscribe(name, hear); });
  customerPrivacy.subscribe("visitorConsentCollected", function (event) {
    choice = said(event.customerPrivacy);
    if (choice.analytics || choice.ads) line = line.then(send);
    else held = [];
  });
})();
