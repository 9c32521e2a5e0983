#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a Python environment at the folder given, or brings it up to date: venv.sh FOLDER REQUIREMENTS
set -eu

folder=$1
requirements=$2
# A list may name others beside it.
wanted=$(cat "$requirements"; sed -n "s|^-r |$(dirname "$requirements")/|p" "$requirements" | xargs -r cat)
if [ "$(cat "$folder/requirements.txt" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

echo "making the Python environment $folder"
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
# Debian's own Python, whatever else is in PATH: its venv module is the one installed.
timeout 120 /usr/bin/python3 -m venv "$folder"
timeout 2700 "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 5 -r "$requirements" </dev/null
printf '%s\n' "$wanted" >"$folder/requirements.txt"
