#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a Python environment or brings it up to date: venv.sh FOLDER REQUIREMENTS
set -eu

folder=$1
requirements=$2
# The environment is up to date if it was made from the same list. A list may include others with -r.
wanted=$(cat "$requirements"; sed -n "s|^-r |$(dirname "$requirements")/|p" "$requirements" | xargs -r cat)
if [ "$(cat "$folder/requirements.txt" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

echo "making the Python environment $folder"
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
# Debian's own Python, because setup-tests installs its venv module. PATH may hold another Python.
timeout 120 /usr/bin/python3 -m venv "$folder"
timeout 2700 "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 5 -r "$requirements" </dev/null
printf '%s\n' "$wanted" >"$folder/requirements.txt"
