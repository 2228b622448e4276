#!/bin/sh
# Generates Python code and types from proto/ into $2, with the tools of the virtual environment $1.
set -eu
bin=$1
target=$2
find proto -name '*.proto' | LC_ALL=C sort | xargs "$bin/python" -m grpc_tools.protoc \
    --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
    --proto_path=proto \
    --python_out="$target" --grpc_python_out="$target" --mypy_out="quiet:$target" --mypy_grpc_out="quiet:$target"
find "$target/vitrin/protos" -type d | while read -r directory; do
    [ -e "$directory/__init__.py" ] || : > "$directory/__init__.py"
done
