#!/bin/sh
# check_includes.sh ROOT - the arrows of the house: which room may include which.
#
# Rooms are folders, and every header belongs to one: "a/b.h" to the room of its path, <assay/x.h> to
# the room that the first table names. The second table lists the arrows; a room may always use its
# own headers and libc. Prints each violation as file:line and ends with status 1 if there is any.
set -eu

root=${1:?usage: check_includes.sh ROOT}
cd "$root"

# Room of every public header.
headers='
error support   memory support   random support  hash support  stats support  file support
log support     device device    tensor tensor   tape tensor   ops tensor     attention tensor
gradcheck tensor  nn nn          optim nn        blocks nn     weights weights  metrics metrics
text text       image image      assay all
'

# FROM: TO ... Every arrow that the rooms need, and no other. nn -> weights and weights -> nn: a
# parameter set loads and saves itself by name (assay/nn.h), and importers of published weights may
# name the parameters of a model.
arrows='
support:
device: support
tensor: device support
nn: tensor device weights support
weights: nn tensor support
metrics: tensor support
text: tensor support
image: tensor support
lab: nn weights metrics text image tensor device support
cli: lab nn weights metrics text image tensor device support
plugins: nn weights metrics text image tensor device support
'

list_sources() {
    for folder in core plugins; do
        if [ -d "$folder" ]; then
            find "$folder" -name '*.[ch]' -type f
        fi
    done | sort
}

list_sources | while IFS= read -r file; do
    grep -Hn '^[[:space:]]*#[[:space:]]*include' "$file" || :
done | awk -v headers="$headers" -v arrows="$arrows" '
BEGIN {
    n = split(headers, word)
    for (i = 1; i < n; i += 2)
        owner[word[i]] = word[i + 1]
    n = split(arrows, word)
    for (i = 1; i <= n; i++) {
        if (sub(/:$/, "", word[i]))
            from = word[i]
        else
            allowed[from, word[i]] = 1
    }
}

# The room of a path below core/ or of the whole tree.
function room_of(path) {
    sub(/^core\//, "", path)
    sub(/^engine\//, "", path)
    if (path ~ /^include\/assay\//)
        return "public"
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
    if (from == to || from == "all")
        return
    if (to == "all")
        return complain("only users of the library include everything")
    if (!((from, to) in allowed))
        complain("room " from " may not use room " to)
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
        from = owner[name]
        if (!(name in owner)) {
            included = file
            complain("no room owns this header; name it in check_includes.sh")
            next
        }
    }
    if (match(rest, /"[^"]*"/)) {
        included = substr(rest, RSTART + 1, RLENGTH - 2)
        to = index(included, "/") ? room_of(included) : from
        if (public)
            complain("a public header includes <assay/...> and libc only")
        else if (from == "plugins" && to != from)
            complain("a plugin includes <assay/...> and its own files only")
        else
            check_arrow(to)
    } else if (match(rest, /<[^>]*>/)) {
        included = substr(rest, RSTART + 1, RLENGTH - 2)
        if (included ~ /^assay\//)
            check_public(included)
        else if (public && included !~ /^(float|limits|math|stdarg|stdbool|stddef|stdint|stdio|string|time)\.h$/)
            complain("a public header includes <assay/...> and libc only")
    }
}

END { exit bad }
'
