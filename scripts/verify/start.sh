# shellcheck shell=bash
# The binary of the revision that a rebuilt house is held against: shared by the claims about what has not changed.
# shellcheck disable=SC2154 # $verify, $root and $scratch come from lib.sh

# find_start REVISION: sets $old, a bench-runner of that revision (of START, if that is set), built unless OLD names one.
find_start() {
    local start=${START:-$1}
    old=${OLD:-}
    [[ -z $old ]] || return 0
    git clone --quiet "$root" "$scratch/start" || give_up 'the repository cannot be cloned'
    git -C "$scratch/start" checkout --quiet "$start" || give_up "there is no revision $start"
    (unset CARGO_TARGET_DIR && cd "$scratch/start" && scripts/cargo build --release --locked -p bench-runner </dev/null >&2) ||
        give_up "revision $start does not build"
    old=$scratch/start/target/release/bench-runner
}
