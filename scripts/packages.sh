#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs those of the given Debian packages that are missing, as root or with sudo, without questions.
set -eu

missing=""
for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root="env"
elif command -v sudo >/dev/null; then
    # Without a terminal, sudo cannot ask for a password. It must fail then instead of waiting.
    if [ -t 0 ]; then root="sudo env"; else root="sudo -n env"; fi
else
    echo "these Debian packages are missing; run make as root or install sudo:$missing" >&2
    exit 1
fi

echo "installing:$missing"
as_root() { timeout 900 $root DEBIAN_FRONTEND=noninteractive "$@" </dev/null; }

# Packages with a service must not start it here. Tests and demo start their own processes on their own ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    trap 'as_root rm -f "$policy"' EXIT INT TERM
fi

apt="apt-get -y -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300"
as_root $apt update
# shellcheck disable=SC2086
as_root $apt -o Dpkg::Options::=--force-confold install --no-install-recommends $missing

case " $missing " in
*" orthanc "*) # Kontur needs only its executable, so the service is switched off
    if command -v systemctl >/dev/null; then as_root systemctl --quiet disable orthanc 2>/dev/null || true; fi
    ;;
esac
