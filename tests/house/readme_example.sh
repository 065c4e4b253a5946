#!/bin/sh
# Compiles and runs the README's first program and compares what it prints with what the README says.
# usage: readme_example.sh SOURCE_ROOT LIBRARY_FOLDER COMPILER...
set -eu
root=$1 library=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# block LANGUAGE: the first fenced block of that language.
block() {
    awk -v fence="\`\`\`$1" '$0 == fence && !seen { inside = seen = 1; next }
                             inside && /^```$/ { exit } inside' "$root/README.md"
}
block c >"$work/first.c"
block text >"$work/expected"
[ -s "$work/first.c" ] && [ -s "$work/expected" ] || { echo "README.md has no program or no output"; exit 1; }

"$@" -std=c11 -Wall -Wextra -Werror "$work/first.c" -I"$root/core/include" -L"$library" -lassay \
    -Wl,-rpath,"$library" -o "$work/first"
"$work/first" >"$work/printed"
diff -u "$work/expected" "$work/printed"
