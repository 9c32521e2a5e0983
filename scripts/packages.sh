#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages given that are not installed yet, as root or with sudo; asks nothing.
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
    # Without a terminal nobody could type a password: fail rather than wait.
    if [ -t 0 ]; then root="sudo env"; else root="sudo -n env"; fi
else
    echo "these Debian packages are missing, and there is neither root nor sudo to install them:$missing" >&2
    exit 1
fi

echo "installing:$missing"
as_root() { timeout 900 $root DEBIAN_FRONTEND=noninteractive "$@" </dev/null; }

# Packages that bring a service must not start it here: tests and demo start what they need on ports of their own.
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
*" orthanc "*) # installed just now, for its executable alone
    if command -v systemctl >/dev/null; then as_root systemctl --quiet disable orthanc 2>/dev/null || true; fi
    ;;
esac
