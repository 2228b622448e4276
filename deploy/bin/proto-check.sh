#!/bin/sh
# Fails when proto/ breaks the rules, breaks a promise of the last commit, or was not generated anew.
set -eu
bin=$1
"$bin/buf" lint proto
if git rev-parse --verify --quiet HEAD:proto >/dev/null 2>&1; then
    "$bin/buf" breaking proto --against ".git#ref=HEAD,subdir=proto"
fi
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/vitrin/protos"
deploy/bin/proto.sh "$bin" "$fresh"
diff -r --exclude=__pycache__ "$fresh/vitrin/protos" services/vitrin/protos || {
    echo "services/vitrin/protos is not what proto/ generates: run make proto" >&2
    exit 1
}
