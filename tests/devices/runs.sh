#!/bin/sh
# runs.sh ASSAY PLUGINS STAND-IN SCRIPTS - whole runs on a GPU that is not there, beside the same runs on the CPU: the
# quickstart and a chain of each paper, with every loss and score compared; which GPU computes; too little memory; a run
# that is killed. STAND-IN is the folder of the stand-in's device_cuda.so.
set -u
. "$(dirname "$0")/place.sh"

# told WHAT STATUS: one line of TAP, and what was said when it is no good one.
told() {
    number=$((number + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        sed 's/^/# /' said
        failed=1
    fi
}

# start SCRIPT STORE DEVICE [MORE]: a run of the program; its status, its words in `said`.
start() {
    script=$1 store=$2 device=$3
    shift 3
    "$assay" run "$scripts/$script.lua" $plugins --db "$store.db" --device "$device" "$@" >said 2>&1
}

# ask STORE QUESTION: the last row of the answer.
ask() {
    "$assay" query --db "$1.db" --format csv "$2" 2>>said | tail -n 1 | tr -d '\r"'
}

# is WHAT STORE QUESTION ANSWER
is() {
    answer=$(ask "$2" "$3")
    [ "$answer" = "$4" ]
    same=$?
    [ $same -eq 0 ] || echo "$3: $answer, not $4" >>said
    told "$1" $same
}

# Rows of the CPU's runs beside those of the GPU's: how many there are, how many have no number or no partner, and how
# far the others are apart, as a share of what they may be.
pairs='p AS (SELECT a.value AS value, b.value AS other, a.may AS may FROM v a LEFT JOIN v b ON b.device = '"'cuda'"'
    AND b.stage = a.stage AND b.label = a.label AND b.seed = a.seed AND b.name = a.name AND b.step = a.step
    WHERE a.device = '"'cpu'"')
  SELECT count(*) || '"' '"' || (SELECT count(*) FROM v WHERE device = '"'cuda'"') || '"' '"' ||
    sum(value IS NULL OR other IS NULL) || '"' '"' || coalesce(max(abs(value - other) / may), 9) FROM p'

# A loss may differ by 1e-4 of itself, a part of it by 1e-3; both may be near 0.
losses='WITH v AS (SELECT r.device, x.stage, x.label, r.seed, k.name, s.step, s.value,
    max(abs(s.value), 0.01) * CASE k.name WHEN '"'loss'"' THEN 1e-4 ELSE 1e-3 END AS may
    FROM series s JOIN series_key k USING(key_id) JOIN run r USING(run_id) JOIN experiment_run x USING(run_id)
    WHERE k.name = '"'loss'"' OR k.name LIKE '"'loss/%'"'), '$pairs

# A score may differ by 5e-3, and by 1e-4 of itself where it is more than 1.
scores='WITH v AS (SELECT r.device, x.stage, x.label, r.seed, s.step, s.value, max(5e-3, abs(s.value) * 1e-4) AS may,
    s.suite || '"'/'"' || s.benchmark || '"'/'"' || s.metric || '"'/'"' || s.split AS name
    FROM score s JOIN run r USING(run_id) JOIN experiment_run x USING(run_id)), '$pairs

# In bf16 it may differ by 1e-2 of itself, and a part of it by 3e-2: what is fused is rounded once more.
rough='WITH v AS (SELECT r.device, x.stage, x.label, r.seed, k.name, s.step, s.value,
    max(abs(s.value), 0.1) * CASE k.name WHEN '"'loss'"' THEN 1e-2 ELSE 3e-2 END AS may
    FROM series s JOIN series_key k USING(key_id) JOIN run r USING(run_id) JOIN experiment_run x USING(run_id)
    WHERE k.name = '"'loss'"' OR k.name LIKE '"'loss/%_token'"'), '$pairs

# alike WHAT STORE QUESTION LEAST: at least so many rows, on both devices, near each other.
alike() {
    answer=$(ask "$2" "$3")
    echo "rows on the CPU, rows on the GPU, without a partner, apart: $answer" >>said
    echo "$answer" | awk -v least="$4" '{ exit !(NF == 4 && $1 >= least && $2 == $1 && $3 == 0 && $4 <= 1) }'
    told "$1" $?
}

# both SCRIPT LOSSES SCORES: its runs on both devices, in one store, with at least so many numbers of a kind. The GPU is
# the second: a thread that calls the runtime without having chosen it would be on the first, and fail.
both() {
    start "$1" "$1" cpu
    told "$1 runs on the CPU" $?
    ASSAY_STANDIN_DEVICES=2 start "$1" "$1" cuda:1
    told "$1 runs on the second GPU" $?
    alike "losses of $1 agree" "$1" "$losses" "$2"
    [ "$3" -eq 0 ] || alike "scores of $1 agree" "$1" "$scores" "$3"
    is "every run of $1 is another on the GPU, and done" "$1" "SELECT count(DISTINCT run_hash) = 2 * sum(device = 'cpu')
        AND sum(device = 'cpu') = sum(device = 'cuda') AND sum(status = 'done') = count(*) FROM run" 1
    is "only those are computed there" "$1" "SELECT min((r.device = 'cuda') = (a.cpu LIKE '%Stand-in 1%'))
        FROM run r JOIN attempt a USING(run_id)" 1
}

both quickstart 48 8
is "v_run says cuda" quickstart "SELECT group_concat(DISTINCT device) FROM v_run WHERE status = 'done'" cuda
both q_anchor 10 0
both ggsm 12 0
both unip 12 9
both pad 12 3

# ---- bf16 ----

start fused fused cpu
told "a bf16 run on the CPU" $?
start fused fused cuda
told "and on the GPU" $?
alike "its losses agree roughly" fused "$rough" 12
ASSAY_STANDIN_NO_ENGINES=1 start fused unfused cuda
told "where cuDNN has no engine, our own kernels compute attention" $?
losses_of_cuda="SELECT group_concat(value) FROM (SELECT s.value FROM series s JOIN series_key USING(key_id) JOIN run r USING(run_id)
    WHERE name = 'loss' AND r.device = 'cuda' ORDER BY r.run_hash, step)"
[ -n "$(ask unfused "$losses_of_cuda")" ] && [ "$(ask fused "$losses_of_cuda")" != "$(ask unfused "$losses_of_cuda")" ]
told "elsewhere it was fused: the bits differ" $?

# ---- which GPU ----

ASSAY_STANDIN_DEVICES=2 start two jobs cuda --jobs 2
told "two jobs end" $?
is "and each had a GPU of its own" jobs "SELECT count(DISTINCT cpu) || ' ' || sum(cpu LIKE '%Stand-in 0,%') FROM attempt" "2 1"
ASSAY_STANDIN_DEVICES=2 start two none cuda:7
[ $? -eq 2 ] && grep -q 'no such GPU.*cuda:0 to cuda:1.*cuda:7' said && [ ! -e none.db ]
told "a GPU that is not there: status 2, those that are, no store" $?
ASSAY_STANDIN_DEVICES=2 "$assay" doctor $plugins >said 2>&1
grep -q 'cuda:0 .*Stand-in 0.*GiB.*sm_90' said && grep -q 'cuda:1 .*Stand-in 1' said
told "doctor lists them" $?

# ---- memory ----

for bytes in 100000 4300000; do
    ASSAY_STANDIN_MEMORY=$bytes start two memory cuda
    [ $? -eq 1 ] && grep -q "GPU's memory is full.*iB more.*iB free.*lower train.batch" said
    told "too little memory ($bytes bytes) fails the run, says how much it wanted and what to lower" $?
    is "and leaves it as failed" memory "SELECT group_concat(DISTINCT status) || ' ' || (SELECT count(*) FROM series)
        || ' ' || (SELECT count(*) FROM checkpoint) FROM run" "failed 0 0"
    [ -z "$(find memory.db.files -type f)" ]
    told "and without files" $?
done
start two memory cuda
told "the same command succeeds with more" $?

# ---- killed and resumed ----

STEPS=40
export STEPS
start two whole cuda
told "a run that nobody disturbs" $?
start two broken cuda &
tries=0
until ls broken.db.files/*/step_0000000[46] >/dev/null 2>&1 || [ $tries -ge 2000 ]; do
    tries=$((tries + 1))
    sleep 0.02
done
kill -9 "$(ask broken 'SELECT pid FROM attempt ORDER BY start_ms DESC LIMIT 1')"
wait
start two broken cuda
told "one that was killed goes on" $?
is "from a checkpoint, exactly" broken "SELECT count(*) || ' ' || (max(from_step) BETWEEN 2 AND 38) || ' ' || min(exact)
    FROM attempt" "3 1 1"
names=0 differ=0
for file in whole.db.files/*/step_00000040/*.safetensors; do
    names=$((names + 1))
    cmp "$file" "broken${file#whole}" >>said 2>&1 || differ=1
done
[ $names -eq 4 ] && [ $differ -eq 0 ]
told "its weights and its optimizer's state are the same bits" $?
curve="SELECT group_concat(value) FROM (SELECT s.value FROM series s JOIN series_key USING(key_id) JOIN run r USING(run_id)
    WHERE name LIKE 'loss%' OR name = 'grad_norm' ORDER BY r.seed, name, step)"
is "and so are its curves" broken "$curve" "$(ask whole "$curve")"

echo "1..$number"
exit $failed
