/* Vitrin's pixel. Built into ../static/pixel.js (at most 5 kB gzip) by `make pixel`.
 *
 * What holds:
 *   - Nothing is stored and nothing leaves before the shopper's choice is known; events wait in memory until then.
 *   - An event has its id before anything is sent, so that browser and server can name the same one.
 *   - An event stays in the tab's queue until the collector has answered for it. What a page could not send is sent
 *     by the next one; the collector knows ids that it has, so that twice is no harm.
 */
(function (win, doc, nav) {
  "use strict";

  var NAME = "vitrin";
  var waiting = win[NAME];
  if (waiting && waiting.loaded) return;

  var VISITOR = "_vt_id", CHOICE = "_vt_choice", SEEN = "_vt_seen", QUEUE = "_vt_q.";
  var DAY_MS = 864e5, SESSION_MS = 18e5, CLICK_DAYS = 90, VISITOR_DAYS = 390, CHOICE_DAYS = 180;
  var BATCH_EVENTS = 25, BEACON_BYTES = 6e4, HELD_MAX = 200, KEPT_MS = 3 * DAY_MS;
  var CLICKS = ["fbclid", "ttclid", "gclid", "epik", "ScCid", "twclid", "li_fat_id"];

  var tag = doc.currentScript;
  var data = (tag && tag.dataset) || {};
  var cfg = {
    key: data.key || "",
    url: (data.endpoint || origin(tag && tag.src)) + "/v1/events",
    ask: data.consent !== "granted",
    pages: data.pages !== "off",
    tcf: data.tcf !== "off",
    days: VISITOR_DAYS
  };
  var gpc = nav.globalPrivacyControl === true;
  var queue = [], held = 0, choice = null, visitor = "", customer = "", person = null;
  var seen = {}, tab = QUEUE + id(), timer = 0, sending = false, failures = 0, lastPage = "", stopped = false;

  /* ---- small tools ------------------------------------------------------------------------------------------- */

  function origin(src) { return src ? new URL(src, location.href).origin : location.origin; }

  function id() {
    var bytes = crypto.getRandomValues(new Uint8Array(16)), text = "";
    for (var i = 0; i < 16; i++) text += (bytes[i] + 256).toString(16).slice(1);
    return text;
  }

  function merge(to) {
    for (var i = 1; i < arguments.length; i++)
      for (var key in arguments[i] || {}) if (arguments[i][key] !== undefined) to[key] = arguments[i][key];
    return to;
  }

  function load(key) { try { return JSON.parse(localStorage.getItem(key)); } catch (e) { return null; } }
  function save(key, value) {
    try { value ? localStorage.setItem(key, JSON.stringify(value)) : localStorage.removeItem(key); } catch (e) { /* full or refused */ }
  }

  function cookie(name) {
    var found = ("; " + doc.cookie).match("; " + name + "=([^;]*)");
    return found ? decodeURIComponent(found[1]) : "";
  }

  /* On the widest domain that the browser lets us have, so that shop and checkout share the visitor. */
  function setCookie(name, value, days) {
    var parts = location.hostname.split("."), rest = "; path=/; SameSite=Lax; max-age=" + Math.round(days * 86400) +
      (location.protocol === "https:" ? "; Secure" : "");
    for (var i = parts.length - 2; i >= 0; i--) {
      doc.cookie = name + "=" + value + "; domain=" + parts.slice(i).join(".") + rest;
      if (value ? cookie(name) === value : i < 0) return;
    }
    doc.cookie = name + "=" + value + rest;
  }

  /* ---- the choice --------------------------------------------------------------------------------------------- */

  /* purposes: {analytics: true, ads: false}; source: site, tcf, not_required; proof: a TC string, if there is one */
  function choose(purposes, source, proof) {
    var at = purposes.at || new Date().toISOString();
    choice = {
      analytics: !!purposes.analytics,
      ads: !!purposes.ads && !gpc,
      at: at,
      proof: purposes.proof || (source + " " + at + (proof ? " " + proof : "")).slice(0, 256)
    };
    var kept = choice.analytics || choice.ads;
    if (source === "site") save(CHOICE, merge({ until: Date.now() + CHOICE_DAYS * DAY_MS }, choice));
    if (!kept) { queue = []; forget(); return; }
    begin();
    for (var i = 0; i < queue.length; i++) if (!queue[i].consent) dress(queue[i]);
    held = 0;
    later(0);
  }

  function forget() {
    visitor = customer = ""; person = null; seen = {};
    setCookie(VISITOR, "", -1);
    save(SEEN, null); save(tab, null);
  }

  function begin() {
    var now = Date.now();
    visitor = cookie(VISITOR) || visitor || id();
    if (!/^[\w.-]{8,64}$/.test(visitor)) visitor = id();
    setCookie(VISITOR, visitor, cfg.days);
    seen = merge({}, load(SEEN));
    if (!seen.session || now - seen.last > SESSION_MS || now < seen.last) seen.session = id();
    if (seen.clicked && now - seen.clicked > CLICK_DAYS * DAY_MS) seen.click = seen.utm = undefined;
    arrived(now);
    customer = customer || seen.customer || "";
    adopt(now);
  }

  /* What the address says of where the shopper came from; of the latest click. */
  function arrived(now) {
    var query = new URLSearchParams(location.search), click = {}, utm = {}, any = false, i, value;
    for (i = 0; i < CLICKS.length; i++)
      if ((value = query.get(CLICKS[i]))) { click[CLICKS[i]] = value.slice(0, 256); any = true; }
    query.forEach(function (text, key) {
      if (/^utm_(source|medium|campaign|term|content|id)$/.test(key)) { utm[key.slice(4)] = text.slice(0, 200); any = true; }
    });
    if (any) {
      if (click.fbclid && click.fbclid.length < 220) click.fbc = "fb.1." + now + "." + click.fbclid;
      seen.click = click; seen.utm = utm; seen.clicked = now;
    }
    seen.last = now;
    save(SEEN, seen);
  }

  function tcf() {
    if (typeof win.__tcfapi !== "function") return false;
    win.__tcfapi("addEventListener", 2, function (said, ok) {
      if (!ok || !said) return;
      if (said.gdprApplies === false) return choose({ analytics: 1, ads: 1 }, "not_required", said.tcString);
      if (said.eventStatus !== "tcloaded" && said.eventStatus !== "useractioncomplete") return;
      var may = (said.purpose && said.purpose.consents) || {};
      choose({ analytics: may[1] && may[7], ads: may[1] && may[3] && may[4] }, "tcf", said.tcString);
    });
    return true;
  }

  /* The shop's consent tool may come after us: look for it for half a minute. */
  function lookForTcf(tries) {
    if (!tcf() && tries) setTimeout(function () { lookForTcf(tries - 1); }, 500);
  }

  /* ---- events ------------------------------------------------------------------------------------------------- */

  function track(name, fields, options) {
    if (choice && !choice.analytics && !choice.ads) return "";
    var event = merge({
      event_id: "", name: name, occurred_at: new Date().toISOString(),
      url: location.href.slice(0, 2000), referrer: (lastRef || "").slice(0, 2000) || undefined
    }, fields);
    /* What happens once has an id that the shop's server can make too. */
    var once = (name === "purchase" && event.order_id) || (name === "refund" && event.refund_id) ||
      (name === "lead" && event.lead_id);
    event.event_id = (options && options.event_id) || fields && fields.event_id || (once ? name + ":" + once : id());
    if (choice) dress(event);
    else if (++held > HELD_MAX) { held--; queue.shift(); }
    queue.push(event);
    if (choice) { keep(); later(name === "purchase" ? 0 : 300); }
    return event.event_id;
  }

  function word(yes) { return yes ? "granted" : "denied"; }

  function dress(event) {
    event.visitor_id = visitor;
    event.session_id = seen.session;
    event.customer_id = event.customer_id || customer || undefined;
    event.consent = { analytics: word(choice.analytics), ads: word(choice.ads) };
    event.consent_proof = choice.proof;
    event.gpc = gpc || undefined;
    if (choice.ads) {
      var fbp = cookie("_fbp"), epik = cookie("_epik"), click = merge({}, seen.click);
      if (fbp) click.fbp = fbp;
      if (epik && !click.epik) click.epik = epik;
      if (Object.keys(click).length) event.click_ids = click;
      if (person) event.user = person;
    }
    if (seen.utm && Object.keys(seen.utm).length) event.utm = seen.utm;
  }

  var lastRef = doc.referrer;
  function page() {
    var here = location.href.split("#")[0];
    if (here === lastPage) return;
    if (lastPage) { lastRef = lastPage; if (choice) arrived(Date.now()); }
    lastPage = here;
    track("page_view", { properties: { title: doc.title.slice(0, 200) } });
  }

  function watchPages() {
    ["pushState", "replaceState"].forEach(function (method) {
      var plain = history[method];
      history[method] = function () {
        var result = plain.apply(this, arguments);
        setTimeout(page, 0);
        return result;
      };
    });
    win.addEventListener("popstate", function () { setTimeout(page, 0); });
    page();
  }

  /* ---- sending ------------------------------------------------------------------------------------------------ */

  function keep() { save(tab, queue.length ? { at: Date.now(), events: queue.slice(-HELD_MAX) } : null); }

  /* Events that other pages could not send. A living tab may send them too: the collector tells them apart by id. */
  function adopt(now) {
    var keys = [], i;
    try { for (i = 0; i < localStorage.length; i++) keys.push(localStorage.key(i)); } catch (e) { return; }
    keys.forEach(function (key) {
      if (key.indexOf(QUEUE) || key === tab) return;
      var left = load(key);
      save(key, null);
      if (left && now - left.at < KEPT_MS) queue = left.events.concat(queue);
    });
    keep();
  }

  function later(ms) {
    clearTimeout(timer);
    timer = setTimeout(flush, ms);
  }

  function take(most) {
    var batch = [], size = 30, i, one;
    for (i = 0; i < queue.length && batch.length < BATCH_EVENTS; i++) {
      one = new Blob([JSON.stringify(queue[i])]).size + 1;
      if (batch.length && size + one > most) break;
      size += one;
      batch.push(queue[i]);
    }
    return batch;
  }

  function body(batch) { return JSON.stringify({ sent_at: new Date().toISOString(), events: batch }); }

  /* text/plain needs no preflight, and the key stands in the address, since a beacon has no headers of its own. */
  function address() { return cfg.url + "?key=" + encodeURIComponent(cfg.key); }

  function flush() {
    if (!choice || !cfg.key || sending || stopped || !queue.length) return;
    var batch = take(BEACON_BYTES);
    sending = true;
    fetch(address(), {
      method: "POST", body: body(batch), keepalive: true, credentials: "omit", mode: "cors",
      headers: { "content-type": "text/plain" }
    }).then(function (answer) {
      if (answer.status === 429 || answer.status >= 500) throw answer.headers.get("retry-after");
      if (!answer.ok && win.console) console.warn("vitrin: the collector refused " + batch.length + " events (" + answer.status + ")");
      if (answer.status === 401 || answer.status === 403) stopped = true;
      done(batch);
    }).catch(function (after) {
      sending = false;
      failures++;
      var wait = Math.min(6e4, 1e3 * Math.pow(2, Math.min(failures, 6))) * (0.5 + Math.random() / 2);
      later(Math.max(wait, (parseInt(after, 10) || 0) * 1e3));
    });
  }

  function done(batch) {
    sending = false;
    failures = 0;
    queue = queue.filter(function (event) { return batch.indexOf(event) < 0; });
    keep();
    if (queue.length) later(0);
  }

  /* The page goes: hand everything to the browser. Nobody tells us whether it arrived, so that it stays in the queue. */
  function leave() {
    if (!choice || !cfg.key || stopped || !nav.sendBeacon) return;
    var rest = queue, batch;
    queue = rest.filter(function (event) { return !event.beaconed; });
    while (queue.length && (batch = take(BEACON_BYTES)).length) {
      if (!nav.sendBeacon(address(), new Blob([body(batch)], { type: "text/plain" }))) break;
      batch.forEach(function (event) { Object.defineProperty(event, "beaconed", { value: true }); });
      queue = queue.slice(batch.length);
    }
    queue = rest;
    keep();
  }

  /* ---- commands ----------------------------------------------------------------------------------------------- */

  var commands = {
    init: function (given) {
      merge(cfg, given);
      if (given && given.endpoint) cfg.url = given.endpoint.replace(/\/$/, "") + "/v1/events";
      if (given && given.consent) cfg.ask = given.consent !== "granted";
      start();
    },
    consent: function (purposes) { choose(purposes || {}, "site"); },
    track: track,
    page: function () { lastPage = ""; page(); },
    identify: function (who) {
      who = merge({}, who);
      if (who.customer_id) { customer = String(who.customer_id); delete who.customer_id; }
      if (Object.keys(who).length) person = merge({}, person, who);
      if (choice && (choice.analytics || choice.ads)) { seen.customer = customer; save(SEEN, seen); }
    },
    reset: function () { customer = ""; person = null; seen.customer = undefined; if (choice) save(SEEN, seen); },
    id: function () { return id(); },
    visitor: function () { return visitor; }
  };

  var started = false;
  function start() {
    if (started || !cfg.key) return;
    started = true;
    var before = load(CHOICE);
    if (before && before.until > Date.now()) choose(before, "site");
    else if (!cfg.ask) choose({ analytics: 1, ads: 1 }, "not_required");
    if (cfg.tcf) lookForTcf(60);
    if (cfg.pages) watchPages();
    doc.addEventListener("visibilitychange", function () { if (doc.visibilityState === "hidden") leave(); });
    win.addEventListener("pagehide", leave);
    win.addEventListener("online", function () { later(0); });
  }

  function run(args) {
    var command = commands[args[0]];
    if (!command) { if (win.console) console.warn("vitrin: no command " + args[0]); return undefined; }
    return command.apply(null, [].slice.call(args, 1));
  }

  win[NAME] = function () { return run(arguments); };
  win[NAME].loaded = true;
  var before = (waiting && waiting.q) || [];
  /* init and consent first, whatever the page called first: they decide what becomes of the rest. */
  [/^(init|consent)$/, /^(?!init$|consent$)/].forEach(function (which, first) {
    if (first === 1) start();
    for (var i = 0; i < before.length; i++) if (which.test(before[i][0])) run(before[i]);
  });
})(window, document, navigator);
