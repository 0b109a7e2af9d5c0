# Sourced by examples/run, tests/run and .ci/run (bash): installs what is missing,
# configures, builds.
#
# Packages go by Debian's names. What is there already, wherever it comes from, is not installed
# again; apt is called only when something is missing.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for the scripts that source this one
build_tools="gcc libc6-dev meson ninja-build"
# shellcheck disable=SC2034
optional_packages="pkg-config libopenblas-dev zlib1g-dev gnuplot-nox"
sudo=sudo
[ -t 0 ] && [ -z "${CI:-}" ] || sudo='sudo -n' # nobody there to type a password

say() { printf '%s\n' "$*" >&2; }

# The C compiler: $CC, or any.
compiler() {
    if [ -n "${CC:-}" ]; then
        command -v "${CC##* }" # "ccache gcc" is two words
    else
        command -v cc || command -v gcc || command -v clang
    fi
}

# Is there already what this package brings?
have() {
    case $1 in
        gcc) compiler ;;
        libc6-dev) echo '#include <stdio.h>' | "$(compiler)" -E - ;;
        ninja-build) command -v ninja ;;
        gnuplot-nox) command -v gnuplot ;;
        libcriterion-dev) pkg-config --exists criterion ;;
        libmpfr-dev) pkg-config --exists mpfr ;;
        libopenblas-dev) pkg-config --exists openblas ;;
        zlib1g-dev) pkg-config --exists zlib ;;
        libclang-rt-*) dpkg-query -W -f '${Status}' "$1" | grep ' installed' ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

# Those of the packages that are missing.
missing() {
    local package
    for package; do have "$package" || printf '%s ' "$package"; done
}

# Runs a command and shows its output only if it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ $status -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return $status
}

apt() {
    $([ "$(id -u)" -eq 0 ] || echo "$sudo") env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
}

can_apt() {
    command -v apt-get && { [ "$(id -u)" -eq 0 ] || command -v sudo; }
} >/dev/null

# A fresh machine has no lists of packages yet, an old one outdated lists: they are fetched only
# when the packages cannot be had without.
install_packages() {
    can_apt || return
    say "installing: $*"
    apt install --no-install-recommends "$@" >/dev/null 2>&1 </dev/null && return
    quietly apt update && quietly apt install --no-install-recommends "$@"
}

# provide "REQUIRED ..." "OPTIONAL ...": installs what is missing; goes on without the optional.
# shellcheck disable=SC2086 # the lists are split into words
provide() {
    local required optional
    required=$(missing $1)
    optional=$(missing $2)
    [ -n "$required$optional" ] || return 0
    install_packages $required $optional || [ -z "$required" ] || install_packages $required || true
    required=$(missing $1)
    optional=$(missing $2)
    [ -n "$required$optional" ] || return 0
    [ -z "$required" ] || say "missing: $required"
    [ -z "$optional" ] || say "going on without: $optional"
    say "to install it, as root: apt-get update && apt-get install $required$optional"
    [ -z "$required" ]
}

# configure DIRECTORY [OPTION ...]: a build directory with these Meson options. It is configured
# again when the options or the libraries at hand are no longer those of the last time.
configure() {
    local directory=$1 state
    shift
    state="$* without $(missing pkg-config libcriterion-dev libmpfr-dev libopenblas-dev zlib1g-dev g++)"
    if [ ! -f "$directory/build.ninja" ]; then
        quietly meson setup "$directory" "$root" "$@" || return
    elif [ "$state" != "$(cat "$directory/configured" 2>/dev/null)" ]; then
        quietly meson setup --reconfigure "$directory" "$root" "$@" || return
    fi
    echo "$state" >"$directory/configured"
}

# build DIRECTORY [TARGET ...]
build() {
    [ "$(ninja -C "$@" -n | tail -n 1)" != 'ninja: no work to do.' ] || return 0
    if [ -t 2 ]; then
        ninja -C "$@" >&2 # shows its progress on one line
    else
        say "building in ${1#"$root"/}: the first time takes a minute or two"
        quietly ninja -C "$@"
    fi
}
