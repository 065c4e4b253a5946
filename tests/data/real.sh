#!/bin/sh
# real.sh - the scripts that make `users` datasets of real people: CDNOW from the file beside this one
# (its first eight customers; the file of the package lifetimes, MIT), the others where their packages are.
# usage: real.sh SOURCE_ROOT
set -u
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

# say STATUS NAME
say() {
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

# No event of users.jsonl is at or after the first cut-off of a label, and every line is a user.
is_closed() {
    LC_ALL=C awk '
        !/^\{"id":"[^"]*",.*"events":\[.*\]\}$/ { bad = 1 }
        {
            match($0, /"labels":\{[^}]*"until":[0-9]+/)
            until = substr($0, RSTART, RLENGTH)
            sub(/.*"until":/, "", until)
            rest = $0
            while (match(rest, /"time":[0-9]+/)) {
                if (substr(rest, RSTART + 7, RLENGTH - 7) + 0 >= until + 0)
                    bad = 1
                rest = substr(rest, RSTART + RLENGTH)
            }
        }
        END { exit bad || NR == 0 }' "$1"
}

echo "1..7"
CDNOW=$root/tests/data/cdnow_sample.txt "$root/scripts/data/cdnow" "$work/cdnow" >/dev/null 2>&1
say $? "cdnow converts"
[ "$(wc -l <"$work/cdnow/users.jsonl")" -eq 8 ] && is_closed "$work/cdnow/users.jsonl"
say $? "cdnow has its customers, and no event of the future"
# Customer 4 bought on days 0, 17, 213 and 345: the last is the label's, the third the pair's.
grep -qxF '{"id":"c00004","labels":{"buys":{"value":1,"until":273},"spends":{"value":0,"until":273}},"pairs":[{"query":"What will the customer buy in the next three months?","answer":"1 purchase of 1 discs for 10 dollars","until":182}],"features":[0,2,3.4121],"events":[{"time":0,"source":"purchase","text":"2 discs 20 dollars"},{"time":0,"source":"pause","text":"first"},{"time":17,"source":"purchase","text":"2 discs 20 dollars"},{"time":17,"source":"pause","text":"after 10 days"},{"time":213,"source":"purchase","text":"1 discs 10 dollars"},{"time":213,"source":"pause","text":"after 100 days"}]}' "$work/cdnow/users.jsonl"
say $? "cdnow is what the purchases say"
printf ' 00001 19970101 1 x\n' >"$work/broken.txt"
CDNOW=$work/broken.txt "$root/scripts/data/cdnow" "$work/broken" >/dev/null 2>"$work/error"
[ $? -eq 1 ] && grep -q 'cdnow: line 1: ' "$work/error" && [ ! -e "$work/broken/users.jsonl" ]
say $? "cdnow refuses a broken line and leaves no file"

# real NAME PACKAGE USERS
real() {
    if ! command -v Rscript >/dev/null || ! TZ=UTC Rscript --vanilla -e "quit(status = !requireNamespace('$2', quietly = TRUE))" >/dev/null 2>&1; then
        n=$((n + 1))
        echo "ok $n - $1 # SKIP the R package $2 is not installed"
        return
    fi
    "$root/scripts/data/$1" "$work/$1" >/dev/null 2>&1 &&
        [ "$(wc -l <"$work/$1/users.jsonl")" -eq "$3" ] && is_closed "$work/$1/users.jsonl"
    say $? "$1 has its $3 users, and no event of the future"
}
real insteval lme4 2521
real detailing bayesm 1000
real lakers lubridate 1278
