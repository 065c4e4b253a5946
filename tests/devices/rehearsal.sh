#!/bin/sh
# rehearsal.sh BUILD MODULE - scripts/gpu-check once through with the stand-in in the GPU's place: its report
# has a line of each part, and nothing in it failed.
set -u
cd "$(dirname "$0")/../.." || exit 1
report=$(mktemp)
trap 'rm -f "$report"' EXIT
GPU_CHECK_BUILD=$1 GPU_CHECK_MODULE=$2 GPU_CHECK_TESTS='^cuda_twins_(layers|shape)$' \
    scripts/gpu-check --peer none --steps decoder --report "$report" >/dev/null
status=$?
number=0
told() { # WHAT PATTERN
    number=$((number + 1))
    if grep -Eq "$2" "$report"; then echo "ok $number - $1"; else echo "not ok $number - $1"; bad=1; fi
}
bad=$status
echo 1..6
told "the report says that it is a rehearsal" '^A REHEARSAL'
told "it names the device" '^device +cuda:0'
told "the engine's tests are in it" '^ok +cuda_twins_layers'
told "the runs on both devices are compared" '^ +[0-9]+ steps; losses differ by'
told "a step is timed" '^ +ours: +[0-9.]+ s a step'
told "it ends with a count" '^[0-9]+ passed, 0 failed$'
[ "$bad" -eq 0 ] || sed 's/^/# /' "$report"
exit "$bad"
