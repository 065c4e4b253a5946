#!/bin/sh
# plan.sh ASSAY PLUGINS EXPERIMENTS - every script of the tree can be planned as it stands, and UNIP's and PAD's at paper
# scale, too (what plans a million users is left to a person). A script whose data a package brings is skipped where the
# data is not there, and only then: its message names the folder.
set -u
assay=$(realpath "$1") plugins=$(realpath "$2") experiments=$(realpath "$3")
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
number=0 failed=0

# told WHAT STATUS: one line of TAP.
told() {
    number=$((number + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $number - $1"
    elif grep -q 'no users here.*data/credit\|does not exist.*\.\./\.\./data/' "$here/said"; then
        echo "ok $number - $1 # SKIP $(head -n 1 "$here/said")"
    else
        echo "not ok $number - $1"
        sed 's/^/# /' "$here/said"
        failed=1
    fi
}

plan() {
    "$assay" plan "$2" --plugins "$plugins" --db "$here/none.db" >"$here/said" 2>&1
    told "$1" $?
}

cd "$here" || exit 1
for script in "$experiments"/*.lua "$experiments"/*/*.lua; do
    name=${script#"$experiments"/}
    case "$name" in */setting.lua) continue ;; esac
    plan "$name" "$script"
    case "$name" in unip/* | pad/*) ASSAY_SCALE=paper; export ASSAY_SCALE; plan "$name at paper scale" "$script"; unset ASSAY_SCALE ;; esac
done
[ -e "$here/none.db" ] && { number=$((number + 1)); echo "not ok $number - planning writes no store"; failed=1; }
echo "1..$number"
exit $failed
