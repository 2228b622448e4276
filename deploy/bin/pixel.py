"""Builds the pixel: `make pixel` writes static/pixel.js, `--check` says whether that is what its source gives. It has
to fit into 5 kB with gzip."""

import gzip
import sys
from pathlib import Path

import minify

FOLDER = Path(__file__).resolve().parents[2] / "services/vitrin/retargeting/pixel"
GZIP_BYTES_MAX = 5_000


def built() -> str:
    """What the source gives."""
    source = (FOLDER / "src/pixel.js").read_text(encoding="utf-8")
    return minify.string("application/javascript", source).strip() + "\n"


def gzip_size(text: str) -> int:
    """As a web server sends it."""
    return len(gzip.compress(text.encode(), 9, mtime=0))


def main() -> int:
    text, target = built(), FOLDER / "static/pixel.js"
    if "--check" not in sys.argv:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != text:
        sys.stderr.write("static/pixel.js is not what src/pixel.js gives: run `make pixel` and commit it\n")
        return 1
    size = gzip_size(text)
    sys.stdout.write(f"pixel.js: {len(text)} bytes, {size} with gzip (at most {GZIP_BYTES_MAX})\n")
    return 0 if size <= GZIP_BYTES_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
