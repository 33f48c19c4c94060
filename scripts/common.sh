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

# The versions of MediaMTX that the suite is tested with, oldest first.
mediamtx_versions() { sed -n 's/^\(v[^ ]*\) .*/\1/p' "$root/mediamtx/server/VERSIONS"; }

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

# Prints the path of a cargo subcommand of this version, installing it into the cache if need be.
cargo_tool() { # NAME VERSION
    local folder=$cache/tools/$1-$2
    with_lock "$cache/tools/lock" install_cargo_tool "$1" "$2" "$folder"
    printf '%s\n' "$folder/bin/$1"
}

# Without optimisation: it compiles in a fraction of the time, and these tools mostly wait for the compiler. Their
# arithmetic wraps as in a release: counters of a program that was killed can overflow what tarpaulin adds up.
install_cargo_tool() { # NAME VERSION FOLDER
    if [[ -x $3/bin/$1 ]]; then return 0; fi
    say "installing $1 $2 into $3"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false CARGO_TARGET_DIR=$3/build \
        cargo install --quiet --debug --locked --version "$2" --root "$3/unfinished" "$1" >&2 ||
        die "$1 $2 could not be installed: see the lines above."
    mv "$3/unfinished/bin" "$3/bin"
    rm -rf "$3/build" "$3/unfinished"
}
