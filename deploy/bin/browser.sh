#!/bin/sh
# Installs into the virtual environment $1 what drives a browser, unless that is there already.
set -eu
lock=requirements/browser.txt
stamp="$1/.vitrin-browser"
wanted=$(cksum "$lock" "$1/.vitrin-lock")
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0
"$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
printf '%s\n' "$wanted" > "$stamp"
