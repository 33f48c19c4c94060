# Shared by the scripts of this folder, which source it.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mtx-suite
# Read by the scripts that source this file.
export root cache

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command while no other process holds the lock, and frees the lock also if this process is killed.
# Without flock (macOS) there is no lock: whoever writes into the cache renames complete files into place.
with_lock() { # FILE COMMAND...
    local file=$1 lock
    shift
    mkdir -p "$(dirname "$file")"
    if ! have flock; then
        "$@"
        return
    fi
    exec {lock}>"$file"
    flock "$lock"
    # The command must not hand the lock on to children that live longer than it does.
    "$@" {lock}>&-
    local status=$?
    exec {lock}>&-
    return "$status"
}
