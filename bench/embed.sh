#!/bin/sh
# embed.sh BUILD PYTHON - query-aware inference, called by `scripts/bench --embed`: what twenty queries of
# eight words on a user's prefix cost beside one whole sequence, with 710 event slots filled (bar: 1.5 times,
# aim 1.3), what an added query costs beside its share of operations (bar: 1.5), and the throughput of
# `assay embed` beside plain PyTorch on the same weights (bar: 2 times). PYTHON "": without the peer.
set -eu
build=$1 python=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ASSAY_CACHE="$work/cache"
assay=$build/assay
users=${USERS:-32} queries=20

"$assay" run bench/embed.lua --db "$work/e.db" --quiet --threads "$OMP_NUM_THREADS"
i=0
while [ $i -lt $queries ]; do
    echo "What will user number $i do next month" # seven words and the question mark's token are eight
    i=$((i + 1))
done >"$work/queries"

score() { # RUN METRIC
    "$assay" query --db "$work/e.db" --format csv \
        "SELECT value FROM score WHERE run_id = $1 AND suite = 'query_cache' AND metric = '$2'" | tr -d '\r' | tail -1
}

run=0
for size in tiny small; do
    run=$((run + 1))
    # Multiplications of one token in one layer: its products, and two per key seen and number of width.
    case $size in tiny) width=64 layer=46080 layers=2 ;; small) width=128 layer=184320 layers=4 ;; esac
    tokens=$(score $run prefix_tokens)
    echo "$(score $run times_one_query:20) $(score $run added_query_ms) $(score $run full_ms:1) $tokens" |
        awk -v size=$size -v w=$width -v p=$layer -v layers=$layers '{
            s = 10 # question mark, eight words, the token that is read
            all = ($4 + s) * (p + ($4 + s) * w)
            one = s * (p + 2 * ($4 + s / 2) * w)
            printf "%-6s %5d tokens: 20 queries cost %.2f times one whole sequence (%.1f ms), an added one %.2f times its share\n", \
                size, $4, $1, $3, ($2 / $3) / (one / all)
        }'
    for turn in 1 2 3; do
        "$assay" embed $run --db "$work/e.db" --queries "$work/queries" --limit "$users" --batch 16 \
            -o "$work/x.npy" 2>"$work/said"
        sed -n 's/.*; \([0-9.]*\) users\/s, \([0-9.]*\) vectors\/s/assay embed \2/p' "$work/said" >>"$work/ours.$size"
        [ -z "$python" ] || {
            weights=$(ls "$work"/e.db.files/*/step_*/weights.safetensors | while read -r f; do
                case $(head -c 4000 "$f" | grep -c "\[$width,$width\]") in 0) ;; *) echo "$f" ;; esac
            done | head -1)
            "$python" bench/peers/torch_embed.py "$weights" "$users" "${tokens%.*}" $queries "$OMP_NUM_THREADS" \
                >>"$work/theirs.$size"
        }
    done
    sort -k3 -n "$work/ours.$size" | awk -v size=$size '{ x[NR] = $3 } END {
        printf "%-6s assay embed: %.0f vectors/s (median of %d, %.0f .. %.0f)\n", size, x[int((NR + 1) / 2)], NR, x[1], x[NR] }'
    [ -z "$python" ] || cat "$work/theirs.$size"
done
