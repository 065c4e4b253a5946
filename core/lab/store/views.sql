-- The views of the store, for people: SELECT * FROM v_help says what they mean. They are made anew when this
-- file has changed.

DROP VIEW IF EXISTS v_run;
CREATE VIEW v_run AS SELECT e.name AS experiment, x.stage, r.run_id, x.label AS cell, r.cell_id, r.seed, r.status, r.device, r.total_steps,
  (SELECT max((SELECT max(step) FROM series s WHERE s.run_id = r.run_id AND s.key_id = k.key_id)) FROM series_key k) AS last_step,
  (SELECT count(*) FROM attempt a WHERE a.run_id = r.run_id) AS attempts, r.error
  FROM experiment e JOIN experiment_run x USING(experiment_id) JOIN run r USING(run_id) WHERE x.current;
DROP VIEW IF EXISTS v_last;
CREATE VIEW v_last AS SELECT r.run_id, r.cell_id, r.seed, k.name AS series, s.step, s.value, s.nonfinite
  FROM run r CROSS JOIN series_key k CROSS JOIN series s ON s.run_id = r.run_id AND s.key_id = k.key_id
   AND s.step = (SELECT max(step) FROM series y WHERE y.run_id = r.run_id AND y.key_id = k.key_id);
DROP VIEW IF EXISTS v_score;
CREATE VIEW v_score AS SELECT e.name AS experiment, x.stage, x.label AS cell, r.cell_id, r.run_id, r.seed, s.suite, s.benchmark, s.metric, s.split, s.step, s.value, s.nonfinite, s.low, s.high, s.n
  FROM score s JOIN run r USING(run_id) JOIN experiment_run x USING(run_id) JOIN experiment e USING(experiment_id) WHERE x.current AND r.status = 'done' AND s.step =
   (SELECT max(step) FROM score y WHERE y.run_id = s.run_id AND y.suite = s.suite AND y.benchmark = s.benchmark AND y.metric = s.metric AND y.split = s.split);
DROP VIEW IF EXISTS v_cell;
CREATE VIEW v_cell AS SELECT experiment, stage, cell, cell_id, suite, benchmark, metric, split, count(*) AS n, count(value) AS n_finite,
  max(mean) AS mean, min(value) AS lowest, max(value) AS highest,
  CASE WHEN count(value) > 1 THEN sqrt(sum((value - mean) * (value - mean)) / (count(value) - 1)) END AS sd
  FROM (SELECT experiment, stage, cell, cell_id, suite, benchmark, metric, split, value,
          avg(value) OVER (PARTITION BY cell_id, experiment, suite, benchmark, metric, split) AS mean FROM v_score)
  GROUP BY cell_id, experiment, suite, benchmark, metric, split;
DROP VIEW IF EXISTS v_pair;
CREATE VIEW v_pair AS SELECT a.experiment, a.stage, a.cell AS cell, b.cell AS baseline, a.suite, a.benchmark, a.metric, a.split, a.seed, a.value - b.value AS difference
  FROM v_score a JOIN v_score b ON a.experiment = b.experiment AND a.stage = b.stage AND a.suite = b.suite AND a.benchmark = b.benchmark AND a.metric = b.metric AND a.split = b.split AND a.seed = b.seed AND a.cell_id <> b.cell_id;
DROP VIEW IF EXISTS v_average;
CREATE VIEW v_average AS SELECT experiment, stage, cell, cell_id, run_id, seed, suite, metric, split, count(*) AS benchmarks,
  CASE WHEN count(value) = count(*) THEN avg(value) END AS value
  FROM v_score WHERE benchmark <> '' GROUP BY run_id, experiment, suite, metric, split HAVING count(*) > 1;
DROP VIEW IF EXISTS v_condition;
CREATE VIEW v_condition AS                                       -- a method's own word counts before its table's, and that before its paper's
  SELECT m.paper, m.place, m.method, k.key, coalesce(
    (SELECT f.value FROM published_fact f WHERE f.paper = m.paper AND f.place = m.place AND f.method = m.method AND f.role = 'condition' AND f.key = k.key),
    (SELECT f.value FROM published_fact f WHERE f.paper = m.paper AND f.place = m.place AND f.method = '' AND f.role = 'condition' AND f.key = k.key),
    (SELECT f.value FROM published_fact f WHERE f.paper = m.paper AND f.place = '' AND f.method = '' AND f.role = 'condition' AND f.key = k.key)) AS value
  FROM (SELECT DISTINCT paper, place, method FROM published) m
  JOIN (SELECT DISTINCT paper, key FROM published_fact WHERE role = 'condition') k ON k.paper = m.paper;
DROP VIEW IF EXISTS v_leaderboard;
CREATE VIEW v_leaderboard AS
  WITH average AS (SELECT *, max(benchmarks) OVER (PARTITION BY experiment, suite, metric) AS most,
      avg(value) OVER (PARTITION BY cell_id, experiment, suite, metric) AS mean FROM v_average WHERE split = 'test'),
  ours AS (SELECT experiment, stage, cell, cell_id, suite, benchmark, metric, mean, sd, n FROM v_cell WHERE split = 'test'
    UNION ALL SELECT experiment, stage, cell, cell_id, suite, 'avg', metric, max(mean),
      CASE WHEN count(value) > 1 THEN sqrt(sum((value - mean) * (value - mean)) / (count(value) - 1)) END, count(*)
    FROM average WHERE benchmarks = most GROUP BY cell_id, experiment, suite, metric),
  held AS (SELECT o.cell_id, c.paper, c.key, coalesce(p.txt, printf('%.10g', p.num), 'none') AS value, c.value AS theirs
    FROM (SELECT DISTINCT cell_id FROM ours) o
    JOIN (SELECT paper, key, value FROM published_fact WHERE role = 'condition' AND place = '' AND method = '' AND key <> 'seeds') c
    LEFT JOIN param p ON p.key = c.key AND p.run_id = (SELECT min(run_id) FROM run WHERE run.cell_id = o.cell_id))
  SELECT suite, benchmark, metric, cell AS method, 'ours: ' || experiment || ', ' || stage AS origin, mean AS value, sd, n,
    (SELECT group_concat(key || ' ' || value, '; ') FROM (SELECT DISTINCT key, value FROM held h WHERE h.cell_id = o.cell_id ORDER BY key)) AS conditions,
    (SELECT group_concat(paper || ': ' || key || ' ' || value || ', theirs ' || theirs, '; ') FROM held h WHERE h.cell_id = o.cell_id
      AND CASE WHEN CAST(theirs AS REAL) <> 0 THEN CAST(h.value AS REAL) <> CAST(theirs AS REAL) ELSE h.value <> theirs END
      AND (EXISTS(SELECT 1 FROM published q WHERE q.paper = h.paper AND q.suite = o.suite)
        OR EXISTS(SELECT 1 FROM published_fact f WHERE f.paper = h.paper AND f.method = '' AND f.role = 'cell' AND f.key = 'suite ' || o.suite))) AS not_comparable
  FROM ours o
  UNION ALL SELECT suite, benchmark, metric, method, p.paper || ', ' || place, value, NULL, NULL,
    (SELECT group_concat(key || ' ' || c.value, '; ') FROM v_condition c WHERE c.paper = p.paper AND c.place = p.place AND c.method = p.method), NULL
  FROM published p;
DROP VIEW IF EXISTS v_best;
CREATE VIEW v_best AS                                            -- chosen on the valid split alone; what test says there is only reported
  WITH directed AS (SELECT x.experiment_id, x.stage, x.label, r.cell_id, s.run_id, r.seed, s.suite, s.benchmark, s.metric, s.step, s.value,
      coalesce((SELECT nullif(k.goal, 'none') FROM series_key k WHERE k.name = s.metric),
        CASE WHEN s.metric LIKE '%loss' OR s.metric LIKE '%error' OR s.metric IN('mse', 'rmse', 'mae', 'nll', 'perplexity', 'brier', 'ece') THEN 'min' ELSE 'max' END) AS goal
    FROM experiment_run x JOIN run r USING(run_id) JOIN score s USING(run_id)
    WHERE x.current AND r.status = 'done' AND s.split = 'valid' AND s.value IS NOT NULL),
  ranked AS (SELECT *, row_number() OVER (PARTITION BY run_id, suite, benchmark, metric, experiment_id
      ORDER BY CASE goal WHEN 'min' THEN value ELSE -value END, step) AS place FROM directed)
  SELECT e.name AS experiment, b.stage, b.label AS cell, b.cell_id, b.run_id, b.seed, b.suite, b.benchmark, b.metric, b.goal, b.step, b.value AS valid, t.value AS test
  FROM ranked b JOIN experiment e USING(experiment_id) LEFT JOIN score t
    ON t.run_id = b.run_id AND t.suite = b.suite AND t.benchmark = b.benchmark AND t.metric = b.metric AND t.split = 'test' AND t.step = b.step
  WHERE b.place = 1;
DROP VIEW IF EXISTS v_diff;
CREATE VIEW v_diff AS                                            -- a key that only some of the runs have differs too
  WITH varying AS (SELECT x.experiment_id, x.stage, p.key FROM experiment_run x JOIN param p USING(run_id)
    WHERE x.current AND p.key <> 'seed' GROUP BY x.experiment_id, x.stage, p.key
    HAVING min(coalesce(p.txt, p.num)) IS NOT max(coalesce(p.txt, p.num))
      OR count(*) < (SELECT count(*) FROM experiment_run y WHERE y.experiment_id = x.experiment_id AND y.stage = x.stage AND y.current))
  SELECT e.name AS experiment, x.stage, x.run_id, x.label AS cell, r.cell_id, r.seed, v.key, coalesce(p.txt, p.num) AS value, p.origin
  FROM varying v JOIN experiment e USING(experiment_id) JOIN experiment_run x ON x.experiment_id = v.experiment_id AND x.stage = v.stage AND x.current
  JOIN run r USING(run_id) LEFT JOIN param p ON p.run_id = x.run_id AND p.key = v.key;

-- What the views mean, for people who meet the file alone: SELECT * FROM v_help. A row with item '' is about the whole view.
DROP VIEW IF EXISTS v_help;
CREATE VIEW v_help(view, item, meaning) AS VALUES
  ('v_help', '', 'every view and its columns, with their meaning'),
  ('v_help', 'view', 'the name of a view'),
  ('v_help', 'item', 'a column of it, or nothing: the view itself'),
  ('v_help', 'meaning', 'what it says'),
  ('v_run', '', 'one row per run of the newest plans: where it stands'),
  ('v_run', 'experiment', 'the name that the script gives the experiment'),
  ('v_run', 'stage', 'main, or the stage that the run belongs to'),
  ('v_run', 'run_id', 'the run in this file; other stores number it otherwise'),
  ('v_run', 'cell', 'the values of the axes: the configuration without its seed'),
  ('v_run', 'cell_id', 'the cell in this file'),
  ('v_run', 'seed', 'what makes the run one of several of its cell'),
  ('v_run', 'status', 'pending, running, done, failed, preempted (can go on) or lost (its process died)'),
  ('v_run', 'device', 'cpu or cuda'),
  ('v_run', 'total_steps', 'optimizer steps that the plan asks for'),
  ('v_run', 'last_step', 'the newest step of any curve; NULL: none yet'),
  ('v_run', 'attempts', 'processes that have worked on it'),
  ('v_run', 'error', 'why it failed'),
  ('v_last', '', 'one row per run and curve: its newest point'),
  ('v_last', 'run_id', 'the run in this file'),
  ('v_last', 'cell_id', 'the cell in this file'),
  ('v_last', 'seed', 'of the run'),
  ('v_last', 'series', 'the name of the curve'),
  ('v_last', 'step', 'its newest step'),
  ('v_last', 'value', 'there; NULL if it is no finite number'),
  ('v_last', 'nonfinite', 'nan, +inf or -inf instead of a value'),
  ('v_score', '', 'one row per run and score: the last score of every run that is done'),
  ('v_score', 'experiment', 'the name that the script gives the experiment'),
  ('v_score', 'stage', 'main, or the stage that the run belongs to'),
  ('v_score', 'cell', 'the values of the axes: the configuration without its seed'),
  ('v_score', 'cell_id', 'the cell in this file'),
  ('v_score', 'run_id', 'the run in this file'),
  ('v_score', 'seed', 'of the run'),
  ('v_score', 'suite', 'a named set of benchmarks, or the evaluator that has none'),
  ('v_score', 'benchmark', 'one labelled task; empty if the evaluator has none'),
  ('v_score', 'metric', 'what is measured: auc, ks, miou, ...'),
  ('v_score', 'split', 'the data it is measured on: choices are made on valid, claims on test'),
  ('v_score', 'step', 'when it was measured'),
  ('v_score', 'value', 'the score; NULL if it is no finite number'),
  ('v_score', 'nonfinite', 'nan, +inf or -inf instead of a value'),
  ('v_score', 'low', 'lower end of the evaluator''s interval, over samples and not over seeds'),
  ('v_score', 'high', 'its upper end'),
  ('v_score', 'n', 'samples behind the score'),
  ('v_cell', '', 'one row per cell and score: mean and spread over the seeds that are done'),
  ('v_cell', 'experiment', 'the name that the script gives the experiment'),
  ('v_cell', 'stage', 'main, or the stage that the runs belong to'),
  ('v_cell', 'cell', 'the values of the axes: the configuration without its seed'),
  ('v_cell', 'cell_id', 'the cell in this file'),
  ('v_cell', 'suite', 'a named set of benchmarks, or the evaluator that has none'),
  ('v_cell', 'benchmark', 'one labelled task; empty if the evaluator has none'),
  ('v_cell', 'metric', 'what is measured: auc, ks, miou, ...'),
  ('v_cell', 'split', 'the data it is measured on: choices are made on valid, claims on test'),
  ('v_cell', 'n', 'seeds that are done and have the score'),
  ('v_cell', 'n_finite', 'those of them whose score is a finite number; the rest is computed from these alone'),
  ('v_cell', 'mean', 'over seeds'),
  ('v_cell', 'lowest', 'the worst or best of the seeds'),
  ('v_cell', 'highest', 'the other end'),
  ('v_cell', 'sd', 'sample standard deviation over seeds (n - 1); NULL for fewer than two'),
  ('v_pair', '', 'one row per pair of cells, score and seed that both have: the paired difference'),
  ('v_pair', 'experiment', 'the name that the script gives the experiment'),
  ('v_pair', 'stage', 'main, or the stage that the runs belong to'),
  ('v_pair', 'cell', 'the values of the axes of one cell'),
  ('v_pair', 'baseline', 'and of the cell that it is compared with'),
  ('v_pair', 'suite', 'a named set of benchmarks, or the evaluator that has none'),
  ('v_pair', 'benchmark', 'one labelled task; empty if the evaluator has none'),
  ('v_pair', 'metric', 'what is measured: auc, ks, miou, ...'),
  ('v_pair', 'split', 'the data it is measured on'),
  ('v_pair', 'seed', 'that both runs have'),
  ('v_pair', 'difference', 'the cell''s score less the baseline''s; NULL if one of them is no finite number'),
  ('v_average', '', 'one row per run, suite and metric: the mean over the benchmarks of the suite'),
  ('v_average', 'experiment', 'the name that the script gives the experiment'),
  ('v_average', 'stage', 'main, or the stage that the run belongs to'),
  ('v_average', 'cell', 'the values of the axes: the configuration without its seed'),
  ('v_average', 'cell_id', 'the cell in this file'),
  ('v_average', 'run_id', 'the run in this file'),
  ('v_average', 'seed', 'of the run'),
  ('v_average', 'suite', 'a named set of benchmarks'),
  ('v_average', 'metric', 'what is measured'),
  ('v_average', 'split', 'the data it is measured on'),
  ('v_average', 'benchmarks', 'how many the run has of the suite; means over unequally many are not comparable'),
  ('v_average', 'value', 'their mean; NULL if one of them is no finite number'),
  ('v_condition', '', 'one row per published method and condition: how its number came about, by the path of our option'),
  ('v_condition', 'paper', 'short name of the paper'),
  ('v_condition', 'place', 'the table or figure'),
  ('v_condition', 'method', 'the row of it'),
  ('v_condition', 'key', 'the path of the option of ours that says the same'),
  ('v_condition', 'value', 'what the paper says'),
  ('v_leaderboard', '', 'our cells on the test split beside published numbers, which have another protocol'),
  ('v_leaderboard', 'suite', 'a named set of benchmarks'),
  ('v_leaderboard', 'benchmark', 'one labelled task; avg: the mean over the suite, per seed'),
  ('v_leaderboard', 'metric', 'what is measured'),
  ('v_leaderboard', 'method', 'our cell, or the published method'),
  ('v_leaderboard', 'origin', 'our experiment and stage, or paper and place'),
  ('v_leaderboard', 'value', 'our mean over seeds, or the published number'),
  ('v_leaderboard', 'sd', 'over our seeds; NULL for published numbers'),
  ('v_leaderboard', 'n', 'our seeds; NULL for published numbers'),
  ('v_leaderboard', 'conditions', 'how the number came about; numbers are comparable where these agree'),
  ('v_leaderboard', 'not_comparable', 'of ours: what differs from the papers that have numbers on the suite or beside it; NULL: nothing that is known'),
  ('v_best', '', 'one row per run and score: the step that is best on the valid split, and the test score of that step'),
  ('v_best', 'experiment', 'the name that the script gives the experiment'),
  ('v_best', 'stage', 'main, or the stage that the run belongs to'),
  ('v_best', 'cell', 'the values of the axes: the configuration without its seed'),
  ('v_best', 'cell_id', 'the cell in this file'),
  ('v_best', 'run_id', 'the run in this file'),
  ('v_best', 'seed', 'of the run'),
  ('v_best', 'suite', 'a named set of benchmarks, or the evaluator that has none'),
  ('v_best', 'benchmark', 'one labelled task; empty if the evaluator has none'),
  ('v_best', 'metric', 'what is measured'),
  ('v_best', 'goal', 'min or max: the curve of this name says it, else losses and errors are min and all others max'),
  ('v_best', 'step', 'the earliest of the best on valid'),
  ('v_best', 'valid', 'the score on valid there, which is too good by the choosing'),
  ('v_best', 'test', 'the score on test at the same step, which had no part in the choice; NULL: none that is finite'),
  ('v_diff', '', 'one row per run and parameter that is not the same in all runs of its experiment and stage'),
  ('v_diff', 'experiment', 'the name that the script gives the experiment'),
  ('v_diff', 'stage', 'main, or the stage that the run belongs to'),
  ('v_diff', 'run_id', 'the run in this file'),
  ('v_diff', 'cell', 'the values of the axes: the configuration without its seed'),
  ('v_diff', 'cell_id', 'the cell in this file'),
  ('v_diff', 'seed', 'of the run'),
  ('v_diff', 'key', 'the path of the option'),
  ('v_diff', 'value', 'number or text; NULL: this run has no such option'),
  ('v_diff', 'origin', 'default, script, command line, axis or stage');
