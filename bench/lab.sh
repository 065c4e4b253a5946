#!/bin/sh
# lab.sh BUILD - the lab's own figures, called by `scripts/bench --lab`: start-up, a plan of 1,000 runs,
# rows into the store, the views of a large store, and what logging costs a step of the smallest example.
# Needs the credit data (scripts/credit). Medians; wall time, so the machine should be idle.
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
median() { sort -n | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }
milliseconds() { # COMMAND...: median wall time of 15 runs
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
        start=$(date +%s%N)
        "$@" >/dev/null
        echo $((($(date +%s%N) - start) / 10000))
    done | median | awk '{ printf "%.1f ms", $1 / 100 }'
}
say() { printf '%-58s %s\n' "$1" "$2"; }

assay=$build/assay
say "start-up (assay --version)" "$(milliseconds "$assay" --version)"
say "start-up with plugins (assay plugins)" "$(milliseconds "$assay" plugins)"
"$assay" plan experiments/quickstart.lua >/dev/null # indexes the data
say "plan of 1,000 runs (bar: 200 ms)" \
    "$(milliseconds "$assay" plan experiments/quickstart.lua --set 'seed=seeds(200)' --db "$work/none.db")"

"$build/bench/bench_store_writer" "$work" >"$work/writer"
field() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$work/writer" | median; }
rows=$(field rows_per_s) call=$(field ns_per_call)
say "rows of curves into the store (bar: 300,000/s)" "$rows/s"

# The smallest example: every value of a step is handed over (call) and written by a thread (1 / rows).
"$assay" run experiments/quickstart.lua --db "$work/log.db" --quiet --threads 1 --set seed=1 \
    --set 'mask=mask.causal {}' --set train.steps=100 --set evaluate=none
"$assay" query --db "$work/log.db" --format csv "SELECT
    (SELECT count(*) FROM series) / 100.0,
    (SELECT avg(value) FROM (SELECT value FROM series JOIN series_key USING(key_id)
        WHERE name = 'time/step_ms' ORDER BY value LIMIT 2 OFFSET 49))" | tr -d '\r' | tail -1 |
    awk -F, -v rows="$rows" -v call="$call" '{
        cost = $1 * (call / 1e6 + 1e3 / rows)
        printf "%-58s %.2f %% (%d values, %.3f of %.1f ms)\n", \
            "logging, of a step of the quickstart (bar: 1 %)", 100 * cost / $2, $1, cost, $2
    }'

echo "views of 10,000 runs x 50 curves x 20 scores (bar: 3 s for v_cell, v_last, v_run):"
"$build/bench/bench_store_views" "$work"
