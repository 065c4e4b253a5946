#!/bin/sh
# Installs the build into a folder of its own, builds the examples outside of the tree with nothing but
# pkg-config, and uses them: by the registry (test program), and by the installed program in a run.
# usage: outside.sh SOURCE_ROOT BUILD_ROOT PREFIX LIBDIR TEST_PROGRAM MESON
set -eu
root=$1 build=$2 prefix=$3 libdir=$4 program=$5 meson=$6
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

DESTDIR="$work/installed" "$meson" install -C "$build" --no-rebuild --quiet >"$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
cp -r "$root/examples" "$work/examples"
PKG_CONFIG_SYSROOT_DIR="$work/installed"
PKG_CONFIG_LIBDIR="$work/installed$prefix/$libdir/pkgconfig"
export PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_LIBDIR
for example in mask dataset; do
    make -s -C "$work/examples/$example" CFLAGS="-std=c11 -O2 -Wall -Wextra -Werror -fPIC \
        -fvisibility=hidden $(pkg-config --cflags assay)"
done
mkdir "$work/plugins"
cp "$work"/examples/*/*.so "$work/plugins"
sh "$root/tests/house/check_plugins.sh" "$work/plugins"
ASSAY_OUTSIDE="$work/plugins" "$program"

# The installed program; its own plugins lie where DESTDIR put them.
LD_LIBRARY_PATH="$work/installed$prefix/$libdir"
export LD_LIBRARY_PATH
assay="$work/installed$prefix/bin/assay"
[ -x "$assay" ] || { echo "the program is not installed"; exit 1; }
cd "$work"
"$assay" plugins mask.window --plugins "$work/plugins" >"$work/printed"
grep -q "ahead" "$work/printed"
"$assay" run "$root/tests/lab/plugin/outside.lua" --db "$work/outside.db" \
    --plugins "$work/plugins" --plugins "$work/installed$prefix/$libdir/assay/plugins" >"$work/printed" 2>&1 ||
    { cat "$work/printed"; exit 1; }
done=$("$assay" query "SELECT count(*) FROM run WHERE status = 'done'" --format csv --db "$work/outside.db" |
    tr -d '\r' | tail -n 1)
[ "$done" = 2 ] || { echo "expected 2 finished runs, got $done"; cat "$work/printed"; exit 1; }
