#!/bin/sh
# Every plugin, and every device's, exports its entry and nothing else, so that two plugins never share a name.
# usage: check_plugins.sh FOLDER...
set -eu
checked=0
failed=0
for folder in "$@"; do
    for object in "$folder"/*.so; do
        exported=$(nm -D --defined-only "$object" | awk '{ print $NF }' | sort)
        checked=$((checked + 1))
        entry=assay_plugin_entry
        case "$object" in */device_*) entry=assay_device_plugin ;; esac
        [ "$exported" = $entry ] && continue
        echo "$object exports:" $exported
        failed=1
    done
done
[ "$checked" -gt 0 ] || { echo "no plugin to check"; exit 1; }
exit $failed
