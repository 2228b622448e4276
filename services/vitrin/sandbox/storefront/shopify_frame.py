"""The frame in which Shopify runs a merchant's custom pixel: without the shop's origin, with `analytics`, `browser` and
`init` instead of the page (Web Pixels API, "lax" sandbox: an iframe with `allow-scripts` and `allow-forms`).

*Unverified*: made from the public description of the API, not against a shop."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from vitrin.sandbox.storefront.html import CustomPixel

_SHIM = """
(function(){var subs=[],past=SETUP.told,asked=[],left={},number=0;
function ask(what,args){return new Promise(function(done){left[++number]=done;
parent.postMessage({vitrinFrame:1,number:number,what:what,args:args},"*")})}
function fire(one){subs.forEach(function(sub){
if(sub[0]===one.name||sub[0]==="all_events"||sub[0]==="all_standard_events")sub[1](one)})}
window.addEventListener("message",function(event){var said=event.data||{};
if(said.number&&left[said.number]){left[said.number](said.value);delete left[said.number]}
if(said.consent)asked.forEach(function(one){one({customerPrivacy:said.consent})})});
window.analytics={subscribe:function(name,callback){subs.push([name,callback]);
past.forEach(function(one){if(one.name===name||name==="all_events"||name==="all_standard_events")
setTimeout(function(){callback(one)},0)});return Promise.resolve()}};
window.browser={cookie:{get:function(name){return ask("cookie.get",[name])},
set:function(name,value){return ask("cookie.set",[name,value])}},
localStorage:{getItem:function(key){return ask("local.get",[key])},
setItem:function(key,value){return ask("local.set",[key,value])},
removeItem:function(key){return ask("local.remove",[key])}},
sendBeacon:function(url,body){return Promise.resolve(navigator.sendBeacon(url,new Blob([body],{type:"text/plain"})))}};
window.init={context:SETUP.context,data:SETUP.data,customerPrivacy:SETUP.privacy};
window.customerPrivacy={subscribe:function(name,callback){
if(name==="visitorConsentCollected")asked.push(callback)}}})();
"""
_HOST = """
(function(){var frame=document.getElementById("custom-pixel");
window.addEventListener("message",function(event){var said=event.data||{};
if(event.source!==frame.contentWindow||!said.vitrinFrame)return;var a=said.args,value=null;
if(said.what==="cookie.get"){
var m=("; "+document.cookie).match("; "+a[0]+"=([^;]*)");value=m?decodeURIComponent(m[1]):""}
else if(said.what==="cookie.set"){document.cookie=a[1]===undefined?a[0]:a[0]+"="+encodeURIComponent(a[1])+"; path=/"}
else if(said.what==="local.get")value=localStorage.getItem(a[0]);
else if(said.what==="local.set")localStorage.setItem(a[0],a[1]);
else if(said.what==="local.remove")localStorage.removeItem(a[0]);
frame.contentWindow.postMessage({number:said.number,value:value},"*")});
window.shopConsent=function(consent){frame.contentWindow.postMessage({consent:consent},"*")}})();
"""


def frame(pixel: CustomPixel, told: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """The frame with what happened on the page so far."""
    choice = pixel.choice or {}
    setup = {
        "told": [_event(number, name, data) for number, (name, data) in enumerate(told)],
        "context": {"document": {"location": {"href": ""}, "referrer": "", "title": ""}, "navigator": {}},
        "data": {},
        "privacy": {
            "analyticsProcessingAllowed": choice.get("analytics", False),
            "marketingAllowed": choice.get("ads", False),
            "preferencesProcessingAllowed": choice.get("analytics", False),
            "saleOfDataAllowed": choice.get("ads", False),
        },
    }
    text = orjson.dumps(setup).decode().replace("<", "\\u003c")
    inside = f"<script>var SETUP={text};SETUP.told.forEach(function(e){{e.timestamp=new Date().toISOString()}});{_SHIM}"
    inside += "</script><script>" + pixel.code.replace("</script", "<\\/script") + "</script>"
    return (
        f'<iframe id="custom-pixel" sandbox="allow-scripts allow-forms" hidden srcdoc="{escape(inside)}"></iframe>'
        f"<script>{_HOST}</script>"
    )


def _event(number: int, name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"sh-{data.get('checkout', {}).get('token', '')}{name}-{number}",
        "name": name,
        "clientId": data.pop("clientId", ""),
        "type": "standard",
        "context": data.pop("context", {}),
        "data": data,
    }
