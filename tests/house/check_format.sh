#!/bin/sh
# Every C and CUDA file is as clang-format leaves it. usage: check_format.sh SOURCE_ROOT
set -eu
cd "$1"
command -v clang-format >/dev/null || { echo "clang-format is not installed"; exit 77; }
find core plugins examples tests bench '(' -name '*.[ch]' -o -name '*.cu' ')' -print0 | xargs -0 clang-format --dry-run -Werror
