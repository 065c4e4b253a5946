#!/bin/sh
# images.sh - the scripts that make `image_seg` folders of real images: msip from small folders laid out as
# its sources unpack, the others where their packages are.
# usage: images.sh SOURCE_ROOT BUILD_ROOT
set -u
root=$1
export ASSAY_BUILD="$2"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

# say STATUS NAME
say() {
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

# skip NAME WHY
skip() {
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

# gray FILE WIDTH HEIGHT VALUE: an uncompressed BMP of 8 bits; all ways that programs write one are read
# alike, and it takes no library. VALUE is the gray of every pixel.
gray() {
    LC_ALL=C awk -v w="$2" -v h="$3" -v v="$4" '
    function u32(x) { printf "%c%c%c%c", x % 256, int(x / 256) % 256, int(x / 65536) % 256, int(x / 16777216) }
    BEGIN {
        row = int((w + 3) / 4) * 4
        printf "BM"; u32(1078 + row * h); u32(0); u32(1078)
        u32(40); u32(w); u32(h); printf "%c%c%c%c", 1, 0, 8, 0
        u32(0); u32(row * h); u32(0); u32(0); u32(256); u32(256)
        for (i = 0; i < 256; i++) printf "%c%c%c%c", i, i, i, 0
        for (i = 0; i < row * h; i++) printf "%c", v
    }' >"$1"
}

# shape FILE: "WIDTHxHEIGHT" of a PNG.
shape() {
    od -An -tu1 -j16 -N8 "$1" | awk '{ print $3 * 256 + $4 "x" $7 * 256 + $8 }'
}

echo "1..8"
for i in 1 2 10 11; do
    mkdir -p "$work/drone"
    gray "$work/drone/$i.bmp" 250 230 40
done
"$root/scripts/data/msip" "$work/msip" DroneVehicle="$work/drone" 2>"$work/error"
[ $? -eq 0 ] && [ "$(ls "$work/msip/DroneVehicle/thermal" | tr '\n' ' ')" = "0000000.png 0000001.png 0000002.png 0000003.png " ] &&
    [ "$(shape "$work/msip/DroneVehicle/thermal/0000002.png")" = 50x30 ] && grep -q '4 images' "$work/error"
say $? "msip cuts DroneVehicle's borders"

# Two videos: 25 frames named by numbers without zeros, and one frame that is too dark.
mkdir -p "$work/scut/V1" "$work/scut/V2"
i=1
while [ $i -le 25 ]; do
    gray "$work/scut/V1/$i.bmp" 4 2 $((20 + i))
    i=$((i + 1))
done
gray "$work/scut/V2/1.bmp" 4 2 20
"$root/scripts/data/msip" "$work/msip" SCUT_FIR="$work/scut" 2>/dev/null
[ $? -eq 0 ] && [ "$(ls "$work/msip/SCUT_FIR/thermal" | wc -l)" -eq 3 ] &&
    cmp -s "$work/scut/V1/1.bmp" "$work/msip/SCUT_FIR/thermal/0000000.bmp" &&
    cmp -s "$work/scut/V1/11.bmp" "$work/msip/SCUT_FIR/thermal/0000001.bmp" &&
    cmp -s "$work/scut/V1/21.bmp" "$work/msip/SCUT_FIR/thermal/0000002.bmp"
say $? "msip takes every tenth frame of a video by number, and none that is dark"

mkdir -p "$work/lasher/a/infrared" "$work/lasher/a/visible" "$work/aerial"
i=1
while [ $i -le 11 ]; do
    gray "$work/lasher/a/infrared/$i.bmp" 2 2 $i
    gray "$work/lasher/a/visible/$i.bmp" 2 2 99
    gray "$work/aerial/$i.bmp" 2 2 $i
    i=$((i + 1))
done
"$root/scripts/data/msip" "$work/msip" LasHeR="$work/lasher" Aerial="$work/aerial" 2>/dev/null
[ $? -eq 0 ] && [ "$(ls "$work/msip/LasHeR/thermal" | wc -l)" -eq 2 ] &&
    cmp -s "$work/lasher/a/infrared/11.bmp" "$work/msip/LasHeR/thermal/0000001.bmp" &&
    [ "$(ls "$work/msip/Aerial/thermal" | wc -l)" -eq 6 ] &&
    cmp -s "$work/aerial/3.bmp" "$work/msip/Aerial/thermal/0000001.bmp"
say $? "msip takes LasHeR's infrared frames alone, and every second aerial image"

printf 'no picture' >"$work/drone/3.bmp"
"$root/scripts/data/msip" "$work/broken" DroneVehicle="$work/drone" 2>"$work/error"
[ $? -eq 1 ] && grep -q 'drone/3.bmp' "$work/error" && [ ! -e "$work/broken/DroneVehicle/thermal" ]
say $? "msip names a broken picture and leaves no folder"
"$root/scripts/data/msip" "$work/broken" Unknown="$work/drone" 2>"$work/error"
[ $? -eq 1 ] && grep -q 'Unknown=' "$work/error"
say $? "msip refuses a name that it has no rule for"

if ! command -v python3 >/dev/null || [ ! -r /usr/share/mricron/templates/ch2.nii.gz ]; then
    skip "slices" "mricron-data or python3 is not installed"
    skip "slices' labels" "mricron-data or python3 is not installed"
else
    "$root/scripts/data/slices" "$work/slices" 2>/dev/null && [ "$(ls "$work/slices/images" | wc -l)" -eq 181 ] &&
        [ "$(ls "$work/slices/labels" | wc -l)" -eq 181 ] && [ "$(wc -l <"$work/slices/classes.txt")" -eq 10 ] &&
        [ "$(cat "$work/slices/train.txt" "$work/slices/valid.txt" "$work/slices/test.txt" | sort -u | wc -l)" -eq 181 ] &&
        [ "$(wc -l <"$work/slices/test.txt")" -eq 40 ] && [ "$(shape "$work/slices/images/090.png")" = 181x217 ]
    say $? "slices has 181 images with labels, in blocks of ten"
    # The program itself reads them: every label is a class.
    cat >"$work/slices.lua" <<LUA
return experiment {
  name = "slices", dataset = dataset.image_seg { path = "$work/slices" },
  model = model.vit { size = "tiny" }, train = { steps = 0, batch = 1 },
}
LUA
    ASSAY_CACHE=$work "$ASSAY_BUILD/assay" plan "$work/slices.lua" --db "$work/none.db" >"$work/plan" 2>&1
    grep -q '^slices: ' "$work/plan"
    status=$?
    [ $status -eq 0 ] || sed 's/^/# /' "$work/plan"
    say $status "slices is read by dataset.image_seg"
fi

if ! command -v python3 >/dev/null || [ ! -r /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]; then
    skip "fashion" "dataset-fashion-mnist or python3 is not installed"
else
    "$root/scripts/data/fashion" "$work/fashion" 50 2>/dev/null && [ "$(ls "$work/fashion/images" | wc -l)" -eq 50 ] &&
        [ "$(shape "$work/fashion/images/00049.png")" = 28x28 ] &&
        ! "$root/scripts/data/fashion" "$work/none" 60001 2>/dev/null
    say $? "fashion has as many images as asked for"
fi
