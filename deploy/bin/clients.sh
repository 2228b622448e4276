#!/bin/sh
# Generates the clients from deploy/openapi into $1. Python always, with its tools in .cache/clients; TypeScript where npm
# is there.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
here=deploy
mkdir -p .cache
deploy/bin/venv.sh .cache/clients .cache/clients/.stamp requirements/clients.txt
services="accounts catalog shop_sync notify retargeting"

rm -rf "$out/python"
mkdir -p "$out/python/vitrin_client"
cp "$here/clients/python/pyproject.toml" "$out/python/"
cp "$here/clients/python/__init__.py" "$out/python/vitrin_client/"
: > "$out/python/vitrin_client/py.typed"
for service in $services; do
    .cache/clients/bin/openapi-python-client generate --meta none --overwrite --fail-on-warning \
        --config "$here/clients/python/generator.yml" --path "$here/openapi/$service.json" \
        --output-path "$out/python/vitrin_client/$service"
done
echo "Python: $out/python (pip install $out/python)"

if ! command -v npm >/dev/null; then
    echo "TypeScript: SKIPPED, there is no npm" >&2
    exit 0
fi
mkdir -p "$out/typescript"
cp -R "$here/clients/typescript/." "$out/typescript/"
(
    cd "$out/typescript"
    npm install --no-package-lock --no-audit --no-fund --loglevel=error
)
for service in $services; do
    "$out/typescript/node_modules/.bin/openapi-typescript" "$here/openapi/$service.json" \
        --default-non-nullable false --output "$out/typescript/src/$service.ts" >/dev/null
done
(cd "$out/typescript" && npm run --silent build)
echo "TypeScript: $out/typescript (npm install $out/typescript)"
