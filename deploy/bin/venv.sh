#!/bin/sh
# Makes the virtual environment $1 from the lock $3 (requirements/dev.txt, which brings Vitrin itself), unless the stamp
# $2 says that it is done already.
set -eu
venv=$1
stamp=$2
lock=${3:-requirements/dev.txt}

python=
for candidate in "${PYTHON:-}" python3 python3.11 python3.12 python3.13 python3.14; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Vitrin needs Python 3.11 or newer, and none was found on the PATH." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi

wanted=$("$python" - "$lock" pyproject.toml <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256(b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[1:]))
print(f"{sys.version_info[0]}.{sys.version_info[1]} {digest.hexdigest()}")
PY
)
if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

echo "installing the locked dependencies into $venv (once, and after every change of the lock)"
rm -f "$stamp"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    "$python" -m venv --clear "$venv" || {
        echo "python3 -m venv failed; on Debian and Ubuntu it needs the package python3-venv" >&2
        exit 1
    }
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
[ "$lock" != requirements/dev.txt ] ||
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
printf '%s\n' "$wanted" > "$stamp"
