#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the Python environment of the conformance checks at the folder given, or brings it up to date.
set -eu

folder=$1
requirements=$(dirname "$0")/../conformance/requirements.txt
if cmp -s "$requirements" "$folder/requirements.txt"; then exit 0; fi

echo "making the Python environment of the checks in $folder"
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
# Debian's own Python, whatever else is in PATH: its venv module is the one installed.
timeout 120 /usr/bin/python3 -m venv "$folder"
timeout 1500 "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 5 -r "$requirements" </dev/null
cp "$requirements" "$folder/requirements.txt"
