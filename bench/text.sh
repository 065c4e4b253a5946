#!/bin/sh
# The tokenizers beside Hugging Face's, on one core, in turn: this project's sources as a text (words come
# again) and random words of many scripts (they hardly do). Every tokenizer of tests/golden/tokenizers, and of
# the folder ASSAY_TOKENIZERS.
# usage: text.sh BUILD PYTHON RUNS       PYTHON "": no peer
set -eu
build=$1 python=$2 runs=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find core plugins tests README.md -name '*.[chm]*' -type f | grep -v '\.json$' | sort | xargs cat 2>/dev/null | head -n 25000 |
    iconv -f utf-8 -t utf-8 -c >"$work/sources"
"$build/bench/bench_tokenizer" --random 4000 >"$work/random"
for file in tests/golden/tokenizers/*.json ${ASSAY_TOKENIZERS:+"$ASSAY_TOKENIZERS"/*.json}; do
    case "$file" in */reference.json | */given.json | */parts.json) continue ;; esac
    for text in sources random; do
        i=0
        while [ $i -lt "$runs" ]; do
            "$build/bench/bench_tokenizer" "$file" "$work/$text" 3
            [ -z "$python" ] || "$python" bench/peers/hf_tokenizer.py "$file" "$work/$text" 3
            i=$((i + 1))
        done | awk -v label="$(basename "$file" .json), $text" '
            function field(name,   rest) {
                rest = $0
                if (!sub(".*\"" name "\": \"?", "", rest)) return ""
                sub(/[",}].*/, "", rest)
                return rest
            }
            field("peer") == "assay" { ours[++n] = field("mb_per_s"); sum = field("sum"); next }
            { theirs[++m] = field("mb_per_s"); name = field("peer"); differ += field("sum") != sum }
            function median(x, n,   i, j, t) {
                for (i = 2; i <= n; i++) for (j = i; j > 1 && x[j-1] > x[j]; j--) { t = x[j]; x[j] = x[j-1]; x[j-1] = t }
                return n % 2 ? x[(n+1)/2] : (x[n/2] + x[n/2+1]) / 2
            }
            END {
                for (i = 1; i <= m; i++) ratio[i] = ours[i] / theirs[i]
                printf "%-22s assay %7.2f MB/s", label, median(ours, n)
                if (m) printf "   %s %6.2f MB/s   ratio median %6.2f, least %6.2f%s", name, median(theirs, m), \
                    median(ratio, m), ratio[1], differ ? "   IDS DIFFER" : ""
                printf "\n"
                exit differ > 0
            }'
    done
done
