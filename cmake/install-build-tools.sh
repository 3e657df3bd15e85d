#!/usr/bin/env bash
# Finds what a build needs and, as root on Debian or Ubuntu, installs what is missing; elsewhere it names it and fails.
#   install-build-tools.sh [PACKAGE-OF-A-COMMAND ...]     extra commands to ask for, as command=package (clang=clang)
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }

have_gtest() { echo '#include <gtest/gtest.h>' | g++ -E -x c++ -o /dev/null - 2>/dev/null; }
have_icu() { [[ $(PATH=$PATH:/sbin ldconfig -p) == *libicuuc.so.* ]]; }

find_missing() {
  missing=()
  need g++ g++
  need cmake cmake
  need ninja ninja-build
  have_gtest || missing+=(libgtest-dev)
  have_icu || missing+=(libicu)
  local extra
  for extra in "$@"; do need "${extra%%=*}" "${extra#*=}"; done
}

is_debian() { grep -qsE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release; }

# The run-time package of ICU carries its version in its name.
icu_package() { apt-cache search --names-only '^libicu[0-9]+$' | awk '{print $1}' | sort -V | tail -1; }

install() {
  local packages=() name
  echo "+ apt-get update"
  apt-get update -qq
  for name in "${missing[@]}"; do
    [ "$name" = libicu ] && name=$(icu_package)
    packages+=("$name")
  done
  echo "+ apt-get install ${packages[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >/dev/null
}

find_missing "$@"
[ ${#missing[@]} -eq 0 ] && exit 0
if is_debian && [ "$(id -u)" = 0 ]; then
  install
  find_missing "$@"
  [ ${#missing[@]} -eq 0 ] && exit 0
  echo "still missing after installing: ${missing[*]}" >&2
else
  echo "missing: ${missing[*]}; install them (as root on Debian and Ubuntu this script does)" >&2
fi
exit 1
