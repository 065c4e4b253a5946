#!/bin/sh
# Nothing unfinished in the sources, and no compiler flag that breaks NaN checks or portability.
# usage: check_words.sh SOURCE_ROOT
set -eu
cd "$1"
failed=0
find core plugins examples bench tests scripts -type f \( -name '*.[ch]' -o -name '*.py' \) -print0 |
    xargs -0 grep -nE '\b(TO''DO|FIX''ME|X''XX|HA''CK)\b' && failed=1
find . -name meson.build -not -path './build*' -print0 |
    xargs -0 grep -nE -e '-Of''ast|-ffast-''math|-march=nat''ive' && failed=1
exit $failed
