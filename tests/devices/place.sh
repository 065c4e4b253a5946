# place.sh - read by runs.sh and waits.sh, with their arguments ASSAY PLUGINS STAND-IN SCRIPTS: a folder of its own for
# stores and cache, which goes when the script ends, and the count of what was told.
# The first folder's device is taken: the other may hold that of a real GPU.
assay=$(realpath "$1") plugins="--plugins $(realpath "$3") --plugins $(realpath "$2")" scripts=$(realpath "$4")
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here" || exit 1
ASSAY_CACHE=$here/cache
export ASSAY_CACHE
number=0 failed=0
