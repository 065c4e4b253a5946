#!/bin/sh
# Proves that check_includes.sh can fail: a small house with one wrong arrow each must be refused.
# usage: check_planted.sh SOURCE_ROOT
set -eu
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# plant FILE INCLUDE-LINE: the check must fail and name FILE.
plant() {
    rm -rf "$work/house"
    mkdir -p "$work/house/$(dirname "$1")" "$work/house/core/support" "$work/house/plugins" "$work/house/bench"
    echo '#include <assay/error.h>' >"$work/house/core/support/sound.c"
    sh "$root/tests/house/check_includes.sh" "$work/house" || { echo "a sound house was refused"; exit 1; }
    echo "$2" >"$work/house/$1"
    if sh "$root/tests/house/check_includes.sh" "$work/house" >"$work/printed"; then
        echo "not found: $2 in $1"
        exit 1
    fi
    grep -q "$1:1:" "$work/printed"
}
plant core/support/memory.c '#include "engine/device/device.h"'
plant core/support/memory.c '#include <assay/tape.h>'
plant core/engine/device/device.c '#include "engine/tensor/operand.h"'
plant core/engine/tensor/tape.c '#include <assay/nn.h>'
plant core/engine/metrics/ranking.c '#include "engine/nn/build.h"'
plant core/include/assay/tape.h '#include "engine/device/device.h"'
plant core/include/assay/tape.h '#include <stdio.h>'
plant core/unknown/new.c '#include <assay/error.h>'
plant core/lab/store/lease.c '#include <assay/tensor.h>'
plant core/lab/store/lease.c '#include "engine/device/device.h"'
plant core/lab/store/lease.c '#include "lab/train/loop.h"'
