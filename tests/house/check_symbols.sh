#!/bin/sh
# libassay.so exports the functions that the public headers declare: all of them, and nothing else.
# usage: check_symbols.sh SOURCE_ROOT LIBRARY
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nm -D --defined-only "$2" | awk '$2 == "T" || $2 == "D" || $2 == "R" || $2 == "B" { print $3 }' |
    sort -u >"$work/exported"
[ -s "$work/exported" ] || { echo "no symbol in $2"; exit 1; }
# A declared function is an assay_ name before an opening bracket, outside comments and static inlines.
for header in "$1"/core/include/assay/*.h; do
    printf '#include "%s"\n' "$header"
done | cc -E -P -I"$1/core/include" -x c - | tr '\n' ' ' | sed 's/static inline[^{]*{[^}]*{[^}]*}[^}]*}//g; s/static inline[^{]*{[^}]*}//g' |
    grep -oE '\bassay_[a-z0-9_]+ *\([^*]' | sed 's/ *(.*//' | sort -u >"$work/declared"
diff "$work/declared" "$work/exported" >"$work/difference" && exit 0
echo "'<' is declared and not exported, '>' exported and not declared:"
grep '^[<>]' "$work/difference"
exit 1
