# shellcheck shell=bash
# Shared by the scripts of this directory: finds the runner, keeps a scratch directory, states what
# was seen, and ends with 0 only when every claim held.
#
# Each script's header says what it claims ("claim:"), whether scripts/test runs it ("quick:") and how
# long it takes ("takes:"). A claim that needs a run measures one of its own, or reads the run
# directory given as RUN=DIR, so that one long run can serve several claims. The runner is
# target/release/bench-runner, built first, unless BENCH_RUNNER names another.
set -euo pipefail

verify=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$verify/../.." && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR=$target
scratch=$(mktemp -d "${TMPDIR:-/tmp}/bench-verify.XXXXXX")
trap 'watch_no_more; rm -rf "$scratch"' EXIT
claims=0
broken=0

# holds TEXT COMMAND…: states one claim; it holds when the command succeeds.
holds() {
    claims=$((claims + 1))
    if "${@:2}"; then
        printf 'ok    %s\n' "$1"
    else
        broken=$((broken + 1))
        printf 'FAIL  %s\n' "$1"
    fi
}

# give_up TEXT: nothing can be claimed; the reason is the failure.
give_up() {
    printf 'FAIL  %s\n' "$1"
    exit 1
}

# finish: the last line and the exit code. A script that claimed nothing has failed.
finish() {
    printf '%d claims, %d broken\n' "$claims" "$broken"
    ((claims > 0 && broken == 0))
}

# Sets $runner.
find_runner() {
    runner=${BENCH_RUNNER:-$target/release/bench-runner}
    if [[ -z ${BENCH_RUNNER:-} ]]; then
        "$root/scripts/cargo" build --release --locked --manifest-path "$root/Cargo.toml" \
            -p bench-runner </dev/null >&2 || give_up 'bench-runner does not build'
    fi
    [[ -x $runner ]] || give_up "there is no runner at $runner"
}

# built example|test NAME [CRATE]: sets $built to what cargo makes of it: as a part of the whole workspace, so that what
# scripts/test has built already is not built again.
built() {
    local cargo=("$root/scripts/cargo" build)
    [[ $1 == example ]] || cargo=("$root/scripts/cargo" test --no-run)
    built=$("${cargo[@]}" --locked --manifest-path "$root/Cargo.toml" --workspace "--$1" "$2" \
        --message-format json </dev/null 2>"$scratch/build" |
        jq -r --arg name "$2" --arg crate "${3:-}" 'select(.reason == "compiler-artifact" and .target.name == $name
            and (.package_id | contains($crate))) | .executable // empty') || true
    [[ -x $built ]] || { tail -n 5 "$scratch/build"; give_up "$1 $2 does not build"; }
}

# built_release CRATE EXAMPLE: sets $built to an example as it is measured with.
built_release() {
    "$root/scripts/cargo" build --release --locked --manifest-path "$root/Cargo.toml" -p "$1" --example "$2" \
        </dev/null >"$scratch/build" 2>&1 || { tail -n 5 "$scratch/build"; give_up "example $2 does not build"; }
    built=$target/release/examples/$2
}

# measure SECONDS DIR ARGUMENT…: one run into DIR that must end with exit code 0.
measure() {
    local seconds=$1 out=$2 status=0
    shift 2
    find_runner
    timeout --kill-after 10 "$seconds" "$runner" run --sandbox netns --out "$out" "$@" \
        </dev/null >"$scratch/stdout" 2>"$scratch/stderr" || status=$?
    if ((status)); then
        tail -n 5 "$scratch/stderr"
        give_up "bench-runner run $* ended with $status"
    fi
}

# use_run SECONDS ARGUMENT…: sets $run to RUN if given, else measures.
use_run() {
    run=${RUN:-}
    if [[ -z $run ]]; then
        run=$scratch/run
        measure "$1" "$run" "${@:2}"
    fi
    [[ -r $run/summary.json && -r $run/results.jsonl ]] || give_up "$run is not a finished run"
}

# ask FILE PROGRAM [JQ OPTION…]: a jq program over a whole file (summary.json, or the lines of
# results.jsonl as one array), with the definitions of results.jq.
ask() {
    jq -r -s -L "$verify" "${@:3}" "include \"results\"; $2" "$1"
}

# claims_of FILE PROGRAM [JQ OPTION…]: as ask; every output is [true|false, text] and becomes a claim. No
# output at all is a failure: a claim about nothing holds of nothing.
claims_of() {
    local lines verdict text
    lines=$(ask "$1" "($2) | [(.[0] | tostring), .[1]] | @tsv" "${@:3}") || give_up "cannot read $1"
    [[ -n $lines ]] || holds "$(basename "$1") has something to claim" false
    while IFS=$'\t' read -r verdict text; do
        [[ -z $verdict ]] || holds "$text" "$verdict"
    done <<<"$lines"
}

# watch_others: begins to watch what else this machine does; others_percent says it: processor time of neither this
# script and what it started nor kernel threads, in percent of all CPUs since then. What is ours is what a control group
# (cgroup v2) has used that the script moves itself into: a stay whose parent is gone is nobody's child.
watch_others() {
    local mount
    mount=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
    [[ -n $mount ]] || give_up 'what others use is told from a control group, and no cgroup2 is mounted'
    others_home=$mount$(sed -n 's/^0:://p' /proc/self/cgroup) others_group=$mount/bench-verify.$$
    if ! mkdir "$others_group" || ! echo $$ >"$others_group/cgroup.procs"; then
        give_up "cannot move into $others_group"
    fi
    read -r others_used others_own others_since <<<"$(processor_ticks) $(own_ticks) $(date +%s%N)"
}
others_percent() {
    awk -v used="$(($(processor_ticks) - others_used))" -v own="$(($(own_ticks) - others_own))" \
        -v ns="$(($(date +%s%N) - others_since))" -v cpus="$(nproc)" \
        'BEGIN { other = used - own; printf "%.2f", 100 * (other > 0 ? other : 0) / (ns / 1e7 * cpus) }'
}
# watch_no_more: leaves the group and removes it.
watch_no_more() {
    [[ -n ${others_group:-} ]] || return 0
    echo $$ >"$others_home/cgroup.procs" || true
    rmdir "$others_group" 2>/dev/null || true
    others_group=
}
# User and system time of everybody but kernel threads, hundredths of a second. Interrupts are nobody's.
processor_ticks() {
    local all kernel
    all=$(awk '/^cpu /{print $2 + $3 + $4}' /proc/stat)
    kernel=$(cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^.*) //' | awk '$2 == 2 {sum += $12 + $13} END {print sum + 0}')
    echo $((all - kernel))
}
own_ticks() { awk '/^usage_usec/ {printf "%d", $2 / 10000}' "$others_group/cpu.stat"; }
