#!/bin/sh
# The README's words are true: its first script makes the plan that it says, its plugin is the file that
# it names, and every command and view that it names exists.
# usage: check_readme.sh SOURCE_ROOT PROGRAM
set -eu
root=$1 assay=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# block FENCE: the first fenced block that begins with this line.
block() {
    awk -v fence="\`\`\`$1" '$0 == fence && !seen { inside = seen = 1; next }
                             inside && /^```$/ { exit } inside' "$root/README.md"
}

block "c examples/mask/window.c" >"$work/window.c"
diff -u "$root/examples/mask/window.c" "$work/window.c"

# A small set of clients in the place of the credit data.
mkdir "$work/data"
cat >"$work/data/dataset.json" <<'JSON'
{"name":"credit","time_unit":"month","sources":{"bill":{"slots":4,"tokens":4}},
 "suites":{"credit":{"default":{"domain":"risk","question":"Will the client default?","positive":"defaults","negative":"repays"}}}}
JSON
awk 'BEGIN {
    for (i = 0; i < 400; i++)
        printf "{\"id\":\"c%d\",\"events\":[{\"time\":1,\"source\":\"bill\",\"text\":\"owes %d\"}],\"split\":\"%s\",\"labels\":{\"default\":%d}}\n",
            i, i % 7, i % 4 == 0 ? "pretrain" : i % 4 == 1 ? "train" : i % 4 == 2 ? "valid" : "test", i % 3 == 0
}' >"$work/data/users.jsonl"
block lua | sed 's#path = "[^"]*"#path = "data"#' >"$work/first.lua"
[ -s "$work/first.lua" ] || { echo "README.md has no script"; exit 1; }
ASSAY_CACHE=$work "$assay" plan "$work/first.lua" --db "$work/none.db" >"$work/plan"
grep -q '^first: 12 runs in 4 cells' "$work/plan" || { cat "$work/plan"; exit 1; }

# Commands: every `assay WORD` of a shell block.
awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/README.md" |
    sed -n 's/^assay \([a-z]*\).*/\1/p' | sort -u | while read -r command; do
    "$assay" "$command" --help >/dev/null || { echo "no command $command"; exit 1; }
done
