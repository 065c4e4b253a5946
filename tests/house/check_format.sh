#!/bin/sh
# Every C and CUDA file is as clang-format leaves it, and no line, comments included, which it leaves alone, is
# longer than 100 columns. usage: check_format.sh SOURCE_ROOT
set -eu
cd "$1"
command -v clang-format >/dev/null || { echo "clang-format is not installed"; exit 77; }
files() { find core plugins examples tests bench '(' -name '*.[ch]' -o -name '*.cu' ')' -print0; }
files | xargs -0 clang-format --dry-run -Werror
if files | LC_ALL=C.UTF-8 xargs -0 grep -nE '^.{101,}'; then
    echo "longer than 100 columns"
    exit 1
fi
