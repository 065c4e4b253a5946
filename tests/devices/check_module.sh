#!/bin/sh
# The real CUDA module links: it wants CUDA's libraries by name, and exports its entry and nothing else.
# Skipped where the module isn't built.
# usage: check_module.sh [MODULE]
set -eu
[ $# -gt 0 ] || { echo "no nvcc, or a CUDA library is missing: the CUDA module is not built"; exit 77; }
exported=$(nm -D --defined-only "$1" | awk '{ print $NF }')
[ "$exported" = assay_device_plugin ] || { echo "exports:" $exported; exit 1; }
wanted=$(objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }')
for library in libcudart.so libcublasLt.so libcudnn.so; do
    echo "$wanted" | grep -q "^$library" || { echo "does not need $library:" $wanted; exit 1; }
done
