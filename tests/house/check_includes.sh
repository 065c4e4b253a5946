#!/bin/sh
# check_includes.sh ROOT - the arrows of the house: which room may include which.
#
# Rooms are folders, and every header belongs to one: "a/b.h" to the room of its path, <assay/x.h> to
# the room that the first table names. The second table lists the arrows; a room may always use its
# own headers, libc and the libraries it is linked with. Across rooms only public headers and the
# doors of the third table are used. Prints each violation as file:line and ends with status 1 if
# there is any.
set -eu

root=${1:?usage: check_includes.sh ROOT}
cd "$root"

# Room of every public header; "all" stands for everything at once, for users of the library.
headers='
error support   memory support   random support  hash support  stats support  file support
log support     device device    tensor tensor   tape tensor   ops tensor   maps tensor     attention tensor  importance tensor  late tensor
ahead tensor    gradcheck tensor  nn nn          optim nn        blocks nn     weights weights  metrics metrics
text text       image image      regions image      assay all
option abi      plugin abi       dataset abi    model abi      mask abi
loss abi        adapter abi      evaluator abi
'

# FROM: TO ... Every arrow that the rooms need, and no other.
arrows='
support:
device: support
tensor: device support
nn: tensor device support
weights: nn tensor support
metrics: tensor support
text: tensor support
image: tensor support
abi: nn weights tensor device support
lab/plugin: abi nn weights tensor device support
lab/script: lab/plugin abi support
lab/train: lab/plugin lab/store abi nn weights metrics image tensor device support
lab/embed: lab/train lab/plugin lab/store abi tensor device support
lab/run: lab/script lab/train lab/store lab/plugin abi weights device support
lab/report: lab/store support
lab/store: support
cli: lab/embed lab/run lab/script lab/train lab/plugin lab/report lab/store abi all nn weights metrics text image tensor device support
plugins: abi all nn weights metrics text image tensor device support
bench: abi all lab/plugin lab/store nn weights metrics text image tensor device support
'

# Private headers that rooms with an arrow may use: the table of kernels, and the lab's doors.
doors='engine/device/device.h engine/device/arena.h engine/tensor/residence.h lab/plugin/registry.h lab/plugin/settings.h lab/plugin/host_tables.h
lab/plugin/recipe.h lab/script/plan.h lab/train/train.h lab/embed/embed.h lab/run/run.h lab/store/store.h
lab/report/table.h lab/report/report.h lab/report/plot.h'

list_sources() {
    for folder in core plugins bench; do
        if [ -d "$folder" ]; then
            find "$folder" '(' -name '*.[ch]' -o -name '*.cu' ')' -type f
        fi
    done | sort
}

list_sources | while IFS= read -r file; do
    grep -Hn '^[[:space:]]*#[[:space:]]*include' "$file" || :
done | headers="$headers" arrows="$arrows" doors="$doors" awk '
BEGIN {
    n = split(ENVIRON["headers"], word)
    for (i = 1; i < n; i += 2)
        owner[word[i]] = word[i + 1]
    n = split(ENVIRON["arrows"], word)
    for (i = 1; i <= n; i++) {
        if (sub(/:$/, "", word[i]))
            from = word[i]
        else
            allowed[from, word[i]] = 1
    }
    n = split(ENVIRON["doors"], word)
    for (i = 1; i <= n; i++)
        door[word[i]] = 1
}

# The room of a path below core/ or of the whole tree. The lab has rooms inside, with rules of their
# own; so far the table names those that exist.
function room_of(path) {
    sub(/^core\//, "", path)
    sub(/^engine\//, "", path)
    if (path ~ /^include\/assay\//)
        return "public"
    if (match(path, /^lab\/[^\/]+\//))
        return substr(path, 1, RLENGTH - 1)
    sub(/\/.*/, "", path)
    return path
}

function complain(why) {
    print place ": " included ": " why
    bad = 1
}

# A public header stands where its own room stands, and sees public headers only.
function check_public(name) {
    sub(/^assay\//, "", name)
    sub(/\.h$/, "", name)
    if (!(name in owner))
        return complain("no room owns this header; name it in check_includes.sh")
    check_arrow(owner[name])
}

function check_arrow(to) {
    if (from != to && from != "all" && !((from, to) in allowed))
        complain("room " from " may not use " (to == "all" ? "everything" : "room " to))
}

# A path without a folder, and one into the own room, is the own room.
function check_private(file,    to, folder) {
    folder = file
    sub(/[^\/]*$/, "", folder)
    to = index(included, "/") ? room_of(included) : from
    if (public)
        complain("a public header includes <assay/...> and the type headers of libc only")
    else if (included ~ /\.\./)
        complain("headers are named from core/, never by ..")
    else if (from == "plugins" && file ~ /^plugins\/devices\// && included == "engine/device/device.h")
        return # the table that a device fills, which is no public header yet
    else if (from == "plugins" && index(included, "/") && index(included, folder) != 1)
        complain("a plugin includes <assay/...> and its own files only")
    else if (from != "plugins" && to != from && ((from, to) in allowed) && !(included in door))
        complain("a private header of room " to)
    else if (from != "plugins")
        check_arrow(to)
}

{
    colon = index($0, ":")
    file = substr($0, 1, colon - 1)
    rest = substr($0, colon + 1)
    place = file ":" substr(rest, 1, index(rest, ":") - 1)
    from = room_of(file)
    public = from == "public"
    if (public) {
        name = file
        sub(/.*\//, "", name)
        sub(/\.h$/, "", name)
        if (!(name in owner)) {
            owner[name] = "all"
            included = file
            complain("no room owns this header; name it in check_includes.sh")
        }
        from = owner[name]
    }
    if (match(rest, /"[^"]*"/)) {
        included = substr(rest, RSTART + 1, RLENGTH - 2)
        check_private(file)
    } else if (match(rest, /<[^>]*>/)) {
        included = substr(rest, RSTART + 1, RLENGTH - 2)
        if (included ~ /^assay\//)
            check_public(included)
        else if (public && included !~ /^(stdbool|stddef|stdint)\.h$/)
            complain("a public header includes <assay/...> and the type headers of libc only")
    }
}

END { exit bad }
'
