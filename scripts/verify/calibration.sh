# shellcheck shell=bash
# Shared by gate-updates, gate-installs and gate-weights: runs of two sides, one after the other, and of each question in them
# what `compare` with the default gate says of it alone. Source it after lib.sh; $question is what a run asks.
#
# KEEP=DIR keeps the runs there: one that is finished is not made again, one that was interrupted is carried on.
# TABLE=FILE gets a line a run and question; scripts/verify/record puts it beside the .out.

# shellcheck disable=SC2034  # the scripts read seed
runs=${RUNS:-20} planted=${PLANTED:-10} seed=${SEED:-1}
keep=${KEEP:-$scratch}
table=${TABLE:-$scratch/table.tsv}
rm -f "$table" "$scratch/whole" "$scratch/moved"

# sides NAME SEED BASE HEAD: makes (or carries on, or finds) the run $keep/NAME-SEED; sets $run.
sides() {
    run=$keep/$1-$2
    local status=0 arguments=(--sandbox netns --seed "$2" "${question[@]}" --variant "base:$3" --variant "head:$4")
    [[ ! -s $run/summary.json ]] || return 0
    if [[ -s $run/results.jsonl ]]; then
        arguments=(--resume "$run")
    else
        rm -rf "$run"
        arguments+=(--out "$run")
    fi
    # shellcheck disable=SC2154  # lib.sh sets runner
    timeout --kill-after 10 900 "$runner" run "${arguments[@]}" </dev/null >/dev/null 2>"$scratch/stderr" || status=$?
    ((status == 0)) || { tail -n 3 "$scratch/stderr"; give_up "$1 with seed $2: the run ended with $status"; }
}

# judge NAME SEED SCENARIO METRIC KEPT: what compare says of $run's cells of that scenario, with the series for which the jq
# condition KEPT holds; sets $verdict, and adds a line with the middle of what METRIC changed by.
judge() {
    local part=$scratch/part
    mkdir -p "$part"
    jq -c --arg scenario "$3" "if .record != \"cell\" then . elif .scenario == \$scenario then .series |= [(. // [])[] | select($5)] else empty end" \
        "$run/results.jsonl" >"$part/results.jsonl"
    verdict=0
    timeout --kill-after 10 60 "$runner" compare "$part" --format json >"$scratch/comparison.json" 2>"$scratch/stderr" || verdict=$?
    [[ $verdict == 0 || $verdict == 3 ]] || { tail -n 3 "$scratch/stderr"; give_up "$1, seed $2: compare ended with $verdict"; }
    local of
    of=$(head -n 1 "$run/results.jsonl" | jq -r .revision)
    [[ -s $table ]] || { revision=$of; echo "      runs of revision $revision"; }
    [[ $of == "$revision" ]] || give_up "$run is of revision $of, and others of $revision"
    [[ -s $table ]] || printf 'question\tsides\tseed\texit\tcells\tpairs\tchange, middle of cells, %%\tregressed\n' >"$table"
    # shellcheck disable=SC2016
    jq -r --arg metric "$4" --arg line "$3 $4" --arg name "$1" --arg seed "$2" --arg exit "$verdict" '
      [.cells[] | select(.metric == $metric)] as $cells
      | [$line, $name, $seed, $exit, ($cells | length), ([.pooled[] | select(.metric == $metric and .mode == null) | .base_units][0] // "-"),
         ([$cells[].change.relative // empty] | sort | if length == 0 then "-" else .[length / 2 | floor] * 1000 | round / 10 end),
         ([(.cells[] | select(.verdict == "regressed") | "\(.mode) \(.metric)"), (.pooled[] | select(.verdict == "regressed") | "\(.mode // "all") \(.metric)")] | join(", "))] | @tsv' \
        "$scratch/comparison.json" >>"$table"
}

# whole NAME SEED: what compare says of all that $run asks, into $scratch/whole; of equal sides also by how much each cell moved.
whole() {
    local status=0
    timeout --kill-after 10 60 "$runner" compare "$run" --format json >"$scratch/comparison.json" 2>"$scratch/stderr" || status=$?
    [[ $status == 0 || $status == 3 ]] || { tail -n 3 "$scratch/stderr"; give_up "$1, seed $2: compare ended with $status"; }
    echo "$1 $status" >>"$scratch/whole"
    [[ $1 != equal ]] || jq -r '.cells[] | select(.change.relative) | [.metric, (.change.relative | fabs), (.change.absolute | fabs)] | @tsv' \
        "$scratch/comparison.json" >>"$scratch/moved"
}

# whole_stands: how often whole runs fail, and by how much cells of the same thing twice moved.
whole_stands() {
    awk '{ n[$1]++; a[$1] += $2 == 3 } END { for (name in n) print "      asked as a whole, " name " sides fail in " a[name] " of " n[name] }' "$scratch/whole" | sort
    LC_ALL=C sort -t $'\t' -k 1,1 -k 2,2g "$scratch/moved" | awk -F '\t' '
        function told() { if (n) printf "      the same thing twice, %s: %d cells, apart %.2g %% in the middle, %.2g %% and %g at most\n", metric, n, 100 * share[int((n + 1) / 2)], 100 * share[n], most }
        $1 != metric { told(); metric = $1; n = 0; most = 0 }
        { share[++n] = $2; if ($3 > most) most = $3 } END { told() }'
}

# stands SCENARIO METRIC [WORDS]: what the table says of a question: no more than 2 of 20 alarms, at least 9 of 10 found,
# and by which metrics.
stands() {
    local alarms found of_alarms of_found
    read -r alarms of_alarms found of_found < <(awk -F '\t' -v q="$1 $2" '
        $1 == q && $2 == "equal" { n++; a += $4 == 3 } $1 == q && $2 != "equal" { m++; f += $4 == 3 } END { print a + 0, n + 0, f + 0, m + 0 }' "$table")
    holds "$1${3:-}: the same thing twice fails in $alarms of $of_alarms, at most 2 of 20" test "$of_alarms" = "$runs" -a $((alarms * 20)) -le $((of_alarms * 2))
    holds "$1${3:-}: the plant is found in $found of $of_found, at least 9 of 10" test "$of_found" = "$planted" -a $((found * 10)) -ge $((of_found * 9))
    awk -F '\t' -v q="$1 $2" '
        $1 == q && $2 != "equal" { n = split($8, named, /, /); split("", seen)
            for (i = 1; i <= n; i++) { sub(/.* /, "", named[i]); if (!(named[i] in seen)) { seen[named[i]]; by[named[i]]++ } } }
        END { for (metric in by) said = said "; by " metric " in " by[metric]; print "      found" substr(said, 2) }' "$table"
}

# planted_tool NAME FILE DEFINE…: a program that does so much, and is the tool NAME then.
planted_tool() {
    local tool
    tool=$(readlink -f "$(command -v "$1")") || give_up "$1 is not installed"
    # shellcheck disable=SC2154  # lib.sh sets verify
    cc -O2 -DTOOL="\"$tool\"" "${@:3}" -o "$2" "$verify/plant.c" || give_up 'the plant does not compile'
}

# turns NANOSECONDS: turns of the plant's loop that take so long here.
turns() {
    local start
    planted_tool true "$scratch/loop" -DLOOPS=400000000
    start=$(date +%s%N)
    "$scratch/loop"
    echo $(($1 * 400000000 / ($(date +%s%N) - start)))
}

# took RUN SCENARIO MODE: the median update_time of the first side there, nanoseconds.
took() {
    # shellcheck disable=SC2016
    jq -s -L "$verify" --arg scenario "$2" --arg mode "$3" 'include "results"; [last_cells | select(.scenario == $scenario and .mode == $mode and .variant == "base") | samples("update_time")[]] | median | floor' "$1/results.jsonl"
}
