#!/bin/sh
# Pins every dependency with its hashes and without registry addresses: one file for running, one for development, one
# for generating clients, whose tools want other versions than ours.
set -eu
command -v uv >/dev/null || { echo "make lock needs uv (pip install uv)" >&2; exit 1; }
options="--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet"
# shellcheck disable=SC2086
uv pip compile $options pyproject.toml --output-file requirements/run.txt "$@"
# shellcheck disable=SC2086
uv pip compile $options pyproject.toml --extra compiled --extra embedded --extra sandbox requirements/dev.in \
    --constraint requirements/run.txt --output-file requirements/dev.txt "$@"
# shellcheck disable=SC2086
uv pip compile $options requirements/clients.in --output-file requirements/clients.txt "$@"
# shellcheck disable=SC2086
uv pip compile $options requirements/browser.in --constraint requirements/dev.txt \
    --output-file requirements/browser.txt "$@"
