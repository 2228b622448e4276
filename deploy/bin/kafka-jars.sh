#!/bin/sh
# Brings Apache Kafka's jars (deploy/kafka/pom.xml) into .cache/kafka and prints the folder. Exit code 1 and one line
# on standard error when java or mvn is missing or the jars cannot be had.
set -eu
cd "$(dirname "$0")/../.."
fail() {
    echo "Apache Kafka cannot be had: $1" >&2
    exit 1
}
command -v java >/dev/null || fail "there is no java (17 or newer) on the PATH"
major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
[ "${major:-0}" -ge 17 ] || fail "java is version ${major:-unknown}, and Kafka 4 needs 17 or newer"

wanted=$(cksum deploy/kafka/pom.xml | cut -d ' ' -f 1)
jars=$PWD/.cache/kafka/$wanted
if [ -d "$jars" ]; then
    printf '%s\n' "$jars"
    exit 0
fi
command -v mvn >/dev/null || fail "there is no mvn on the PATH to fetch the jars with"
draft=$jars.draft.$$
log=$PWD/.cache/kafka/mvn.log
mkdir -p "$draft"
echo "fetching Apache Kafka's jars into .cache/kafka (once, and after every change of deploy/kafka/pom.xml)" >&2
if ! mvn -B -q -f deploy/kafka/pom.xml dependency:copy-dependencies "-DoutputDirectory=$draft" >"$log" 2>&1; then
    rm -rf "$draft"
    fail "mvn failed, see $log: $(grep -m 1 ERROR "$log" || echo 'no reason given')"
fi
mv "$draft" "$jars" 2>/dev/null || rm -rf "$draft"  # somebody else was first
printf '%s\n' "$jars"
