___INFO___

{
  "type": "TAG",
  "id": "cvt_vitrin",
  "version": 1,
  "securityGroups": [],
  "displayName": "Vitrin pixel",
  "brand": {"id": "vitrin", "displayName": "Vitrin"},
  "description": "Loads Vitrin's pixel, passes Tag Manager's consent state on, and tracks one event of the data layer.",
  "containerContexts": ["WEB"]
}


___TEMPLATE_PARAMETERS___

[
  {"type": "TEXT", "name": "endpoint", "displayName": "Endpoint (https://events.example.com)", "simpleValueType": true,
   "valueValidators": [{"type": "REGEX", "args": ["^https://[^\\s]+$"]}]},
  {"type": "TEXT", "name": "key", "displayName": "Publishable key", "simpleValueType": true,
   "valueValidators": [{"type": "NON_EMPTY"}]},
  {"type": "TEXT", "name": "event", "displayName": "Event (empty: only load)", "simpleValueType": true},
  {"type": "TEXT", "name": "fields", "displayName": "Variable with the event's fields", "simpleValueType": true}
]


___SANDBOXED_JS_FOR_WEB_TEMPLATE___

const createArgumentsQueue = require('createArgumentsQueue');
const injectScript = require('injectScript');
const isConsentGranted = require('isConsentGranted');
const addConsentListener = require('addConsentListener');

const vitrin = createArgumentsQueue('vitrin', 'vitrin.q');

const tell = () => vitrin('consent', {
  analytics: isConsentGranted('analytics_storage'),
  ads: isConsentGranted('ad_storage')
});

/* "denied" at the start also means "not asked yet": the pixel holds its events until somebody answers. */
if (isConsentGranted('analytics_storage') || isConsentGranted('ad_storage')) tell();
addConsentListener('analytics_storage', tell);
addConsentListener('ad_storage', tell);

vitrin('init', {endpoint: data.endpoint, key: data.key, pages: true});
if (data.event) vitrin('track', data.event, data.fields || {});
injectScript(data.endpoint + '/pixel.js', data.gtmOnSuccess, data.gtmOnFailure, 'vitrin');


___WEB_PERMISSIONS___

[
  {"instance": {"key": {"publicId": "inject_script", "versionId": "1"},
    "param": [{"key": "urls", "value": {"type": 2, "listItem": [{"type": 1, "string": "https://*/pixel.js"}]}}]},
   "isRequired": true},
  {"instance": {"key": {"publicId": "access_globals", "versionId": "1"},
    "param": [{"key": "keys", "value": {"type": 2, "listItem": [
      {"type": 3, "mapKey": [{"type": 1, "string": "key"}, {"type": 1, "string": "read"}, {"type": 1, "string": "write"}, {"type": 1, "string": "execute"}],
       "mapValue": [{"type": 1, "string": "vitrin"}, {"type": 8, "boolean": true}, {"type": 8, "boolean": true}, {"type": 8, "boolean": true}]},
      {"type": 3, "mapKey": [{"type": 1, "string": "key"}, {"type": 1, "string": "read"}, {"type": 1, "string": "write"}, {"type": 1, "string": "execute"}],
       "mapValue": [{"type": 1, "string": "vitrin.q"}, {"type": 8, "boolean": true}, {"type": 8, "boolean": true}, {"type": 8, "boolean": false}]}]}}]},
   "isRequired": true},
  {"instance": {"key": {"publicId": "access_consent", "versionId": "1"},
    "param": [{"key": "consentTypes", "value": {"type": 2, "listItem": [
      {"type": 3, "mapKey": [{"type": 1, "string": "consentType"}, {"type": 1, "string": "read"}, {"type": 1, "string": "write"}],
       "mapValue": [{"type": 1, "string": "analytics_storage"}, {"type": 8, "boolean": true}, {"type": 8, "boolean": false}]},
      {"type": 3, "mapKey": [{"type": 1, "string": "consentType"}, {"type": 1, "string": "read"}, {"type": 1, "string": "write"}],
       "mapValue": [{"type": 1, "string": "ad_storage"}, {"type": 8, "boolean": true}, {"type": 8, "boolean": false}]}]}}]},
   "isRequired": true}
]


___NOTES___

Apache-2.0. Part of Vitrin. Import under Templates > Tag Templates > New > Import. Not yet tried in a Tag Manager
container (unverified): its sections are checked for being well-formed only.
