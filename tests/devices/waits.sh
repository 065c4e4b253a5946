#!/bin/sh
# waits.sh ASSAY PLUGINS STAND-IN SCRIPTS - how often the host waits for the GPU in a step: of two runs that differ by two
# steps the difference counts. A step never waits for all work; it waits for the numbers of the step before, which lies
# behind the next one's work.
set -u
. "$(dirname "$0")/place.sh"

# waits CASE STEPS: how often that run waited for all work, and for events.
waits() {
    CASE=$1 STEPS=$2 ASSAY_STANDIN_WAITS=$here/waits "$assay" run "$scripts/waits.lua" $plugins --db "$1.db" \
        --device cuda >said 2>&1 || cat said >&2
    tail -n 1 waits
}

# step CASE LEAST MOST: so often a step waits for all work.
step() {
    number=$((number + 1))
    short=$(waits "$1" 3) long=$(waits "$1" 5)
    answer=$(echo "$short $long" | awk '{ print ($3 - $1) / 2, ($4 - $2) / 2 }')
    if echo "$answer" | awk -v least="$2" -v most="$3" \
        '{ exit !(NF == 2 && $1 >= least && $1 <= most && $2 >= 1 && $2 <= 3) }'; then
        echo "ok $number - a step of $1 waits for all work $2 to $3 times"
    else
        echo "not ok $number - a step of $1 waits for all work $2 to $3 times"
        failed=1
    fi
    echo "# for all work, for the step before: $answer"
}

for case in causal accumulate pieces segmentation masked_image future_alignment ggsm hybrid_mask hybrid_mlp widening; do
    step $case 0 0
done
step saving 1 1000 # what is counted does count

echo "1..$number"
exit $failed
