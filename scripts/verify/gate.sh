# shellcheck shell=bash
# Shared by gate-sensitivity and gate-false-alarms: one A/B run after the other of the same cells, each judged by
# `compare` with the default gate. Source it after lib.sh.
#
# KEEP=DIR keeps the runs there: one that is finished is not made again, one that was interrupted is carried on.
# TABLE=FILE gets seeds, verdicts and p-values, a line a run; scripts/verify/record puts it beside the .out.

# 4 modes × 4 positions × 2 protocols × 2 sizes = 64 cells, $blocks stays a side each.
blocks=${BLOCKS:-4}
question=(--modes "iptables-legacy,iptables-nft,ipset,nftables" --services "100,300" --scenarios first-packet
    --flows 100 --repetitions "$blocks" --budget 1h)
keep=${KEEP:-$scratch}
table=${TABLE:-$scratch/table.tsv}

# state_cells FILE: what is compared, from a comparison.
state_cells() {
    jq -r '[.cells[] | select(.metric == "latency")] | "      \(length) cells a run; n a cell and side: \(.[0].base.n) flows in \(.[0].base.stays) stays"' "$1"
}

# ab_run NAME SEED HEAD: makes (or carries on, or finds) the run $keep/NAME-SEED of base against head; sets $run.
ab_run() {
    run=$keep/$1-$2
    local status=0 arguments=(--sandbox netns --seed "$2" "${question[@]}" --variant "base:" --variant "head:$3")
    if [[ -s $run/summary.json ]]; then
        return
    elif [[ -s $run/results.jsonl ]]; then
        arguments=(--resume "$run")
    else
        rm -rf "$run"
        arguments+=(--out "$run")
    fi
    # shellcheck disable=SC2154  # lib.sh sets runner
    timeout --kill-after 10 300 "$runner" run "${arguments[@]}" </dev/null >"$scratch/stdout" 2>"$scratch/stderr" || status=$?
    if ((status)); then
        tail -n 5 "$scratch/stderr"
        give_up "the run of seed $2 ended with $status"
    fi
}

# judge SEED: compares $run; sets $verdict to compare's exit code, and adds its line to the table.
judge() {
    verdict=0
    timeout --kill-after 10 60 "$runner" compare "$run" --format json >"$scratch/comparison.json" 2>"$scratch/stderr" || verdict=$?
    [[ $verdict == 0 || $verdict == 3 ]] || {
        tail -n 5 "$scratch/stderr"
        give_up "compare of seed $1 ended with $verdict"
    }
    [[ -s $table ]] || printf 'seed\texit\tcells\tregressed\timproved\tinconclusive\tunchanged\tlowest p of a cell, corrected\tpools: change, p, verdict\n' >"$table"
    jq -r --arg seed "$1" --arg exit "$verdict" '
      def count($name): [.cells[] | select(.metric == "latency" and .verdict == $name)] | length;
      def shown: if . == null then "-" elif . != 0 and fabs < 0.0001 then (. * 1000000 | round / 1000000 | tostring) else (. * 10000 | round / 10000 | tostring) end;
      [$seed, $exit, ([.cells[] | select(.metric == "latency")] | length),
       count("regressed"), count("improved"), count("inconclusive"), count("unchanged"),
       ([.cells[].change.p_adjusted | select(. != null)] | min | shown),
       ([.pooled[] | "\(.mode // "all"): \(.change.relative | shown), \(.change.p_adjusted // .change.p | shown), \(.verdict)"] | join("; "))]
      | @tsv' "$scratch/comparison.json" >>"$table"
}
