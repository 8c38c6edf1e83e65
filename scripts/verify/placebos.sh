# shellcheck shell=bash
# Shared by counted-placebos and counted-sensitivity: counted runs of two sides, each judged by `compare`. Source it after lib.sh.
#
# KEEP=DIR keeps the runs there: one that is finished is not made again. TABLE=FILE gets a line a run.

question=(--deterministic --no-sweep --modes "${MODES:-iptables-legacy,iptables-nft,nftables}" --scenarios "service-add,service-remove,endpoint-churn,first-packet"
    --positions last --repetitions "${SEEDS:-3}" --cell-timeout 300s)
keep=${KEEP:-$scratch}
table=${TABLE:-$scratch/table.tsv}

# sides NAME ARGUMENT…: the run $keep/NAME of these variants; sets $verdict to compare's exit code, adds to the table and prints
# the largest share by which a latency and by which an update differ.
sides() {
    local name=$1 run=$keep/$1 status=0
    if [[ ! -s $run/summary.json ]]; then
        rm -rf "$run"
        # shellcheck disable=SC2154  # lib.sh sets runner
        timeout --kill-after 10 1800 "$runner" run "${question[@]}" "${@:2}" --out "$run" </dev/null >/dev/null 2>"$scratch/stderr" || status=$?
        ((status == 0)) || { tail -n 3 "$scratch/stderr"; give_up "$name: the run ended with $status"; }
    fi
    judged "$name" "$run"
}
# judged NAME RUN [ARGUMENT…]: as sides, of runs that are there.
judged() {
    verdict=0
    timeout --kill-after 10 120 "$runner" compare "${@:2}" --format json >"$scratch/comparison.json" 2>"$scratch/stderr" || verdict=$?
    [[ $verdict == 0 || $verdict == 3 ]] || { tail -n 3 "$scratch/stderr"; give_up "$1: compare ended with $verdict"; }
    [[ -s $table ]] || printf 'what\texit\tcells\tidentical or exact\tlargest share of latency\tof update_time\tof sync_time\tof voluntary_switches\twaits\n' >"$table"
    # shellcheck disable=SC2016
    jq -r --arg name "$1" --arg exit "$verdict" '
      def most($metric): [.cells[] | select(.metric == $metric) | .change.relative // 0 | fabs] | max // 0 | . * 1e6 | round / 1e4 | tostring + " %";
      [$name, $exit, ([.cells[] | select(.metric)] | length), ([.cells[] | select(.change.relative == 0)] | length),
       most("latency"), most("update_time"), most("sync_time"), most("voluntary_switches"), most("waits")] | @tsv' "$scratch/comparison.json" >>"$table"
    tail -n 1 "$table" | sed 's/^/      /'
}
