-- What the reports ask the store. Before a statement of `show` stands WITH the(id): the run; before one
-- of two runs WITH a(id), b(id). Before `runs` stands WITH the(id): experiments.

-- name: runs
-- A run's score is the metric that published tables lead with (miou rather than aacc, which comes first in
-- the alphabet), else its first that belongs to no single class (iou/car does); of a suite of several
-- benchmarks, their mean.
SELECT r.run_id, e.name AS experiment, x.stage, x.label AS cell, r.seed, r.status AS state,
  (SELECT max((SELECT max(step) FROM series s WHERE s.run_id = r.run_id AND s.key_id = k.key_id))
   FROM series_key k) AS step, r.total_steps AS total,
  (SELECT coalesce(value, nonfinite) FROM series s JOIN series_key k USING(key_id)
   WHERE s.run_id = r.run_id AND k.name = 'loss' ORDER BY step DESC LIMIT 1) AS loss,
  f.suite || iif(f.benchmark = '', '', '/' || iif(EXISTS(SELECT 1 FROM score z
   WHERE z.run_id = r.run_id AND z.suite = f.suite AND z.metric = f.metric AND z.benchmark <> f.benchmark), 'avg', f.benchmark)) || '/' || f.metric AS score,
  (SELECT coalesce(iif(count(value) = count(*), avg(value), NULL), max(nonfinite)) FROM score s WHERE s.run_id = r.run_id AND
   s.suite = f.suite AND s.metric = f.metric AND s.split = 'valid' GROUP BY step ORDER BY step DESC LIMIT 1) AS valid,
  (SELECT CASE b.goal WHEN 'min' THEN min(mean) ELSE max(mean) END FROM (SELECT avg(value) AS mean FROM score s
   WHERE s.run_id = r.run_id AND s.suite = f.suite AND s.metric = f.metric AND s.split = 'valid'
   GROUP BY step HAVING count(value) = count(*))) AS best,
  (SELECT coalesce(iif(count(value) = count(*), avg(value), NULL), max(nonfinite)) FROM score s WHERE s.run_id = r.run_id AND
   s.suite = f.suite AND s.metric = f.metric AND s.split = 'test' GROUP BY step ORDER BY step DESC LIMIT 1) AS test,
  (SELECT count(*) FROM attempt a WHERE a.run_id = r.run_id) AS attempts,
  (SELECT max(coalesce(end_ms, beat_ms)) FROM attempt a WHERE a.run_id = r.run_id) AS touched_ms, r.error
FROM the JOIN experiment e ON e.experiment_id = id JOIN experiment_run x USING(experiment_id)
JOIN run r USING(run_id)
LEFT JOIN score f ON f.run_id = r.run_id AND (f.suite, f.benchmark, f.metric, f.split, f.step) =
  (SELECT suite, benchmark, metric, split, step FROM score y WHERE y.run_id = r.run_id
   ORDER BY metric GLOB '*[:/]*', metric NOT IN (SELECT metric FROM published), metric, suite, benchmark, split, step LIMIT 1)
LEFT JOIN v_best b ON b.experiment = e.name AND b.run_id = r.run_id AND b.suite = f.suite AND
  b.benchmark = f.benchmark AND b.metric = f.metric
WHERE x.current ORDER BY e.experiment_id, x.position, r.run_id;

-- name: show_run
SELECT 'run_id' AS name, id AS value FROM the UNION ALL SELECT name, value FROM (
  SELECT 1 AS place, 'run_hash' AS name, run_hash AS value FROM run JOIN the ON run_id = id
  UNION ALL SELECT 2, 'cell_hash', cell_hash FROM run JOIN cell USING(cell_id) JOIN the ON run_id = id
  UNION ALL SELECT 3, 'experiment', e.name || ', stage ' || x.stage || iif(x.current, '', ' (not in its newest plan)')
    FROM experiment_run x JOIN experiment e USING(experiment_id) JOIN the ON run_id = id
  UNION ALL SELECT 4, 'cell', group_concat(DISTINCT label) FROM experiment_run JOIN the ON run_id = id
  UNION ALL SELECT 5, 'seed', seed FROM run JOIN the ON run_id = id
  UNION ALL SELECT 6, 'status', status FROM run JOIN the ON run_id = id
  UNION ALL SELECT 7, 'error', error FROM run JOIN the ON run_id = id
  UNION ALL SELECT 8, 'total_steps', total_steps FROM run JOIN the ON run_id = id
  UNION ALL SELECT 9, 'last_step', max(step) FROM series JOIN the ON run_id = id
  UNION ALL SELECT 10, 'device', device FROM run JOIN the ON run_id = id
  UNION ALL SELECT 11, 'dataset', dataset FROM run JOIN the ON run_id = id
  ORDER BY place, value)
WHERE value IS NOT NULL;

-- name: show_params
SELECT key, coalesce(txt, num) AS value, origin FROM param JOIN the ON run_id = id ORDER BY key;

-- name: show_inputs
SELECT i.name, i.input_run_id AS run_id, r.run_hash, r.seed, r.status
FROM run_input i JOIN the ON i.run_id = id JOIN run r ON r.run_id = i.input_run_id ORDER BY i.name;

-- name: show_attempts
SELECT n, host, pid, job, strftime('%Y-%m-%d %H:%M:%S', start_ms / 1000, 'unixepoch') AS started_utc,
  (coalesce(end_ms, beat_ms) - start_ms) / 1000 AS seconds, end_reason, from_step,
  iif(exact, 'yes', 'no') AS exact, threads, cpu, build_sig AS build, git_commit,
  CASE git_dirty WHEN 0 THEN 'no' WHEN 1 THEN 'yes' END AS git_dirty
FROM attempt JOIN the ON run_id = id ORDER BY n;

-- name: show_series
SELECT name AS series, goal, count(*) AS points, max(step) AS step,
  (SELECT coalesce(value, nonfinite) FROM series y WHERE y.run_id = s.run_id AND y.key_id = s.key_id
   ORDER BY step DESC LIMIT 1) AS last,
  min(value) AS lowest, max(value) AS highest, count(nonfinite) AS nonfinite
FROM the CROSS JOIN series_key k CROSS JOIN series s ON s.run_id = id AND s.key_id = k.key_id
GROUP BY k.key_id ORDER BY name;

-- name: show_scores
SELECT suite, benchmark, metric, split, step, coalesce(value, nonfinite) AS value, low, high, n
FROM score JOIN the ON run_id = id ORDER BY suite, benchmark, metric, split, step;

-- name: show_checkpoints
SELECT step, path, bytes, sha256 FROM checkpoint JOIN the ON run_id = id ORDER BY step;

-- name: show_artifacts
SELECT name, path, bytes, sha256 FROM artifact JOIN the ON run_id = id ORDER BY name;

-- name: show_plugins
SELECT kind, name, version, abi, sha256 FROM plugin_used JOIN the ON run_id = id ORDER BY kind, name;

-- name: show_sources
SELECT n AS attempt, kind, name, length(text) AS characters, sha256
FROM attempt_source JOIN the ON run_id = id JOIN source USING(sha256) ORDER BY n, kind, name;

-- name: differ_run
SELECT 'run_id' AS name, a.id AS first, b.id AS second FROM a, b
UNION ALL SELECT * FROM (
  SELECT 'status', p.status AS first, q.status AS second FROM a, b, run p, run q WHERE p.run_id = a.id AND q.run_id = b.id
  UNION ALL SELECT 'seed', p.seed, q.seed FROM a, b, run p, run q WHERE p.run_id = a.id AND q.run_id = b.id
  UNION ALL SELECT 'total_steps', p.total_steps, q.total_steps FROM a, b, run p, run q WHERE p.run_id = a.id AND q.run_id = b.id
  UNION ALL SELECT 'device', p.device, q.device FROM a, b, run p, run q WHERE p.run_id = a.id AND q.run_id = b.id
  UNION ALL SELECT 'dataset', p.dataset, q.dataset FROM a, b, run p, run q WHERE p.run_id = a.id AND q.run_id = b.id
  UNION ALL SELECT 'error', p.error, q.error FROM a, b, run p, run q WHERE p.run_id = a.id AND q.run_id = b.id)
WHERE first IS NOT second;

-- name: differ_params
SELECT k.key, coalesce(p.txt, p.num) AS first, coalesce(q.txt, q.num) AS second
FROM (SELECT key FROM param JOIN a ON run_id = id UNION SELECT key FROM param JOIN b ON run_id = id) k
JOIN a JOIN b LEFT JOIN param p ON p.run_id = a.id AND p.key = k.key
LEFT JOIN param q ON q.run_id = b.id AND q.key = k.key
WHERE first IS NOT second ORDER BY k.key;

-- name: differ_inputs
SELECT k.name, p.input_run_id AS first, q.input_run_id AS second
FROM (SELECT name FROM run_input JOIN a ON run_id = id UNION SELECT name FROM run_input JOIN b ON run_id = id) k
JOIN a JOIN b LEFT JOIN run_input p ON p.run_id = a.id AND p.name = k.name
LEFT JOIN run_input q ON q.run_id = b.id AND q.name = k.name
WHERE first IS NOT second ORDER BY k.name;

-- name: differ_plugins
SELECT k.kind, k.name, p.version || ' ' || substr(p.sha256, 1, 16) AS first,
  q.version || ' ' || substr(q.sha256, 1, 16) AS second
FROM (SELECT kind, name FROM plugin_used JOIN a ON run_id = id
      UNION SELECT kind, name FROM plugin_used JOIN b ON run_id = id) k
JOIN a JOIN b LEFT JOIN plugin_used p ON p.run_id = a.id AND p.kind = k.kind AND p.name = k.name
LEFT JOIN plugin_used q ON q.run_id = b.id AND q.kind = k.kind AND q.name = k.name
WHERE first IS NOT second ORDER BY k.kind, k.name;

-- name: differ_attempt
-- The newest attempt of each.
, p AS (SELECT t.* FROM attempt t JOIN a ON run_id = id ORDER BY n DESC LIMIT 1),
  q AS (SELECT t.* FROM attempt t JOIN b ON run_id = id ORDER BY n DESC LIMIT 1)
SELECT * FROM (
  SELECT 'host' AS name, (SELECT host FROM p) AS first, (SELECT host FROM q) AS second
  UNION ALL SELECT 'threads', (SELECT threads FROM p), (SELECT threads FROM q)
  UNION ALL SELECT 'cpu', (SELECT cpu FROM p), (SELECT cpu FROM q)
  UNION ALL SELECT 'build', (SELECT build_sig FROM p), (SELECT build_sig FROM q)
  UNION ALL SELECT 'git_commit', (SELECT git_commit FROM p), (SELECT git_commit FROM q)
  UNION ALL SELECT 'git_dirty',
    (SELECT CASE git_dirty WHEN 0 THEN 'no' WHEN 1 THEN 'yes' END FROM p),
    (SELECT CASE git_dirty WHEN 0 THEN 'no' WHEN 1 THEN 'yes' END FROM q))
WHERE first IS NOT second;

-- name: differ_sources
-- Of the newest attempt of each that has any; texts by the first digits of their hash.
, s AS (SELECT t.run_id, kind, name, substr(sha256, 1, 16) AS hash FROM attempt_source t
        WHERE run_id IN (SELECT id FROM a UNION SELECT id FROM b)
        AND n = (SELECT max(n) FROM attempt_source y WHERE y.run_id = t.run_id))
SELECT k.kind, k.name, p.hash AS first, q.hash AS second
FROM (SELECT DISTINCT kind, name FROM s) k JOIN a JOIN b
LEFT JOIN s p ON p.run_id = a.id AND p.kind = k.kind AND p.name = k.name
LEFT JOIN s q ON q.run_id = b.id AND q.kind = k.kind AND q.name = k.name
WHERE first IS NOT second ORDER BY k.kind, k.name;

-- name: differ_scores
-- The last of each, those that are the same too.
, s AS (SELECT t.* FROM score t WHERE run_id IN (SELECT id FROM a UNION SELECT id FROM b)
        AND step = (SELECT max(step) FROM score y WHERE y.run_id = t.run_id AND y.suite = t.suite AND
                    y.benchmark = t.benchmark AND y.metric = t.metric AND y.split = t.split))
SELECT k.suite, k.benchmark, k.metric, k.split, p.step AS first_step, coalesce(p.value, p.nonfinite) AS first,
  q.step AS second_step, coalesce(q.value, q.nonfinite) AS second, q.value - p.value AS difference
FROM (SELECT DISTINCT suite, benchmark, metric, split FROM s) k JOIN a JOIN b
LEFT JOIN s p ON p.run_id = a.id AND p.suite = k.suite AND p.benchmark = k.benchmark AND p.metric = k.metric AND p.split = k.split
LEFT JOIN s q ON q.run_id = b.id AND q.suite = k.suite AND q.benchmark = k.benchmark AND q.metric = k.metric AND q.split = k.split
ORDER BY k.suite, k.benchmark, k.metric, k.split;

-- name: differ_series
-- The newest point of each curve.
, s AS (SELECT r.id AS run_id, k.name, t.step, coalesce(t.value, t.nonfinite) AS value
        FROM (SELECT id FROM a UNION SELECT id FROM b) r CROSS JOIN series_key k
        JOIN series t ON t.run_id = r.id AND t.key_id = k.key_id AND t.step =
          (SELECT max(step) FROM series y WHERE y.run_id = r.id AND y.key_id = k.key_id))
SELECT k.name AS series, p.step AS first_step, p.value AS first, q.step AS second_step, q.value AS second
FROM (SELECT DISTINCT name FROM s) k JOIN a JOIN b
LEFT JOIN s p ON p.run_id = a.id AND p.name = k.name LEFT JOIN s q ON q.run_id = b.id AND q.name = k.name
WHERE p.value IS NOT q.value OR p.step IS NOT q.step ORDER BY k.name;

-- name: compare_axes
-- Before the statements of `compare` stands WITH the(id, stage): experiment and stage.
SELECT DISTINCT a.name FROM the JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
JOIN run r USING(run_id) JOIN axis a ON a.experiment_id = id AND a.cell_id = r.cell_id ORDER BY a.name;

-- name: compare_stages
SELECT DISTINCT x.stage FROM the JOIN experiment_run x ON x.experiment_id = id AND x.current ORDER BY x.stage;

-- name: compare_cells
SELECT r.cell_id, max(x.label) AS label, count(*) AS runs, sum(r.status = 'done') AS done,
  sum(r.status = 'running') AS running, sum(r.status = 'pending') AS pending,
  sum(r.status = 'preempted') AS preempted, sum(r.status = 'failed') AS failed, sum(r.status = 'lost') AS lost
FROM the JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
JOIN run r USING(run_id) GROUP BY r.cell_id ORDER BY min(x.position), r.cell_id;

-- name: compare_values
SELECT DISTINCT a.cell_id, a.name, a.value FROM the
JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
JOIN run r USING(run_id) JOIN axis a ON a.experiment_id = id AND a.cell_id = r.cell_id;

-- name: compare_metrics
-- What the runs that are done were scored by: first what published tables have, metrics of one class
-- (iou/car) last.
SELECT DISTINCT s.metric, s.suite, s.split FROM the
JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
JOIN run r USING(run_id) JOIN score s USING(run_id) WHERE r.status = 'done'
ORDER BY s.metric GLOB '*[:/]*', s.metric NOT IN (SELECT metric FROM published), s.metric, s.suite, s.split;

-- name: compare_scores
-- The last score of every run that is done.
SELECT s.suite, s.benchmark, s.metric, s.split, r.cell_id, r.seed, s.value, s.nonfinite FROM the
JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
JOIN run r USING(run_id) JOIN score s USING(run_id)
WHERE r.status = 'done' AND s.step =
  (SELECT max(step) FROM score y WHERE y.run_id = s.run_id AND y.suite = s.suite AND y.benchmark = s.benchmark
   AND y.metric = s.metric AND y.split = s.split)
ORDER BY r.cell_id, s.suite, s.benchmark, r.seed;

-- name: published_places
-- What can be asked for, and the suites and metrics there; `ours` is the suite itself, or one of ours that it
-- stands beside.
SELECT * FROM (SELECT DISTINCT paper || '/' || place AS name, paper, place, suite, metric, suite AS ours FROM published
UNION ALL SELECT DISTINCT p.paper || '/' || p.place, p.paper, p.place, p.suite, p.metric, substr(f.key, 7) FROM published p
  JOIN published_fact f ON f.paper = p.paper AND f.place IN('', p.place) AND f.method = '' AND f.role = 'cell' AND f.key LIKE 'suite _%' AND f.value = p.suite)
ORDER BY ours <> suite, paper, place, metric;

-- name: published_rows
-- Before these stands WITH the(paper, place, suite, metric): place '' is every place of the paper. A method's
-- average comes first.
SELECT p.place, p.method, p.benchmark, p.value, p.note FROM the JOIN published p ON p.paper = the.paper AND
  (the.place = '' OR p.place = the.place) AND p.suite = the.suite AND p.metric = the.metric
ORDER BY length(p.place), p.place, p.method, p.benchmark;

-- name: published_conditions
SELECT c.place, c.method, c.key, c.value FROM the JOIN v_condition c ON c.paper = the.paper AND
  (the.place = '' OR c.place = the.place) ORDER BY c.place, c.method, c.key;

-- name: published_cells
SELECT f.place, f.method, f.value FROM the JOIN published_fact f ON f.paper = the.paper AND
  (the.place = '' OR f.place = the.place) AND f.role = 'cell' AND f.method <> '';

-- name: published_about
SELECT f.key, f.value FROM the JOIN published_fact f ON f.paper = the.paper AND f.role = 'about' AND f.place = ''
ORDER BY instr('title source method', f.key) = 0, instr('title source method', f.key), f.key;

-- name: compare_params
-- The options of each cell that papers have conditions on; a dataset that reads a path, with it.
SELECT r.cell_id, p.key, min(coalesce(p.txt, printf('%.10g', p.num))) || iif(p.key = 'dataset', coalesce((SELECT ' ' || q.txt FROM param q
  WHERE q.run_id = r.run_id AND q.key = 'dataset.path'), ''), '') AS value
FROM the JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
JOIN run r USING(run_id) JOIN param p USING(run_id)
WHERE p.key IN(SELECT key FROM published_fact WHERE role = 'condition') GROUP BY r.cell_id, p.key;

-- name: plot_keys
SELECT DISTINCT k.name FROM the JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
CROSS JOIN series_key k WHERE EXISTS(SELECT 1 FROM series s WHERE s.run_id = x.run_id AND s.key_id = k.key_id) ORDER BY k.name;

-- name: plot_range
-- Before this and the next stands WITH the(id, stage), named(name), and the number of bins of the steps.
SELECT min(s.step) AS first, max(s.step) AS last, count(s.nonfinite) AS nonfinite FROM the
JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
JOIN series_key k ON k.name = (SELECT name FROM named) JOIN series s ON s.run_id = x.run_id AND s.key_id = k.key_id;

-- name: plot_points
-- A run's mean over each bin, a bin's runs after each other.
SELECT r.cell_id, s.step / width AS bin, r.seed, avg(s.step) AS step, avg(s.value) AS value FROM the
JOIN named JOIN experiment_run x ON x.experiment_id = id AND x.stage = the.stage AND x.current
JOIN run r USING(run_id) JOIN series_key k ON k.name = named.name
JOIN series s ON s.run_id = x.run_id AND s.key_id = k.key_id AND s.step >= named.low
WHERE s.value IS NOT NULL GROUP BY r.cell_id, bin, r.seed ORDER BY r.cell_id, bin, r.seed;
