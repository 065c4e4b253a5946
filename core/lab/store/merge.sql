-- The other store is attached as `other`; ids are mapped by names and hashes.

-- name: merge_attach
ATTACH ?1 AS other;
-- name: merge_detach
DETACH other;

-- name: merge_choose
-- What becomes of each of their runs: done first, then the larger last step, then the newer end.
CREATE TEMP TABLE merge_run AS
SELECT t.run_id AS theirs, t.run_hash, o.run_id AS ours,
  CASE
    WHEN o.run_id IS NULL THEN 'taken'
    WHEN o.status = 'running' THEN 'running'
    WHEN (t.status = 'done',
          coalesce((SELECT max(step) FROM other.series s WHERE s.run_id = t.run_id), -1),
          coalesce((SELECT max(coalesce(end_ms, beat_ms)) FROM other.attempt a
                    WHERE a.run_id = t.run_id), -1))
       > (o.status = 'done',
          coalesce((SELECT max(step) FROM main.series s WHERE s.run_id = o.run_id), -1),
          coalesce((SELECT max(coalesce(end_ms, beat_ms)) FROM main.attempt a
                    WHERE a.run_id = o.run_id), -1)) THEN 'taken'
    ELSE 'kept' END AS verdict
FROM other.run t LEFT JOIN main.run o ON o.run_hash = t.run_hash;

-- name: merge_rows
INSERT OR IGNORE INTO main.experiment(name, created_ms) SELECT name, created_ms FROM other.experiment;
INSERT OR IGNORE INTO main.cell(cell_hash) SELECT cell_hash FROM other.cell;
INSERT OR IGNORE INTO main.series_key(name, goal) SELECT name, goal FROM other.series_key;
INSERT OR IGNORE INTO main.source(sha256, text) SELECT sha256, text FROM other.source;
INSERT OR IGNORE INTO main.published SELECT * FROM other.published;
INSERT OR IGNORE INTO main.published_fact SELECT * FROM other.published_fact;
-- A cell and seed under another hash is a contradiction and ends the merge.
INSERT INTO main.run(run_hash, cell_id, seed, status, total_steps, device, dataset)
SELECT t.run_hash, c.cell_id, t.seed, 'pending', t.total_steps, t.device, t.dataset
FROM other.run t JOIN other.cell d ON d.cell_id = t.cell_id
JOIN main.cell c ON c.cell_hash = d.cell_hash
WHERE true ON CONFLICT(run_hash) DO NOTHING;
UPDATE merge_run SET ours = (SELECT run_id FROM main.run r WHERE r.run_hash = merge_run.run_hash);

INSERT OR IGNORE INTO main.experiment_run(experiment_id, run_id, stage, label, current, position)
SELECT e.experiment_id, m.ours, x.stage, x.label, x.current, x.position
FROM other.experiment_run x JOIN other.experiment f ON f.experiment_id = x.experiment_id
JOIN main.experiment e ON e.name = f.name JOIN merge_run m ON m.theirs = x.run_id;
INSERT OR IGNORE INTO main.axis(experiment_id, cell_id, name, value, num)
SELECT e.experiment_id, c.cell_id, x.name, x.value, x.num
FROM other.axis x JOIN other.experiment f ON f.experiment_id = x.experiment_id
JOIN main.experiment e ON e.name = f.name
JOIN other.cell d ON d.cell_id = x.cell_id JOIN main.cell c ON c.cell_hash = d.cell_hash;

DELETE FROM merge_run WHERE verdict <> 'taken';
INSERT OR IGNORE INTO main.pending_folder(name) SELECT substr(run_hash, 1, 16) FROM merge_run;
DELETE FROM main.series WHERE run_id IN (SELECT ours FROM merge_run);
DELETE FROM main.score WHERE run_id IN (SELECT ours FROM merge_run);
DELETE FROM main.checkpoint WHERE run_id IN (SELECT ours FROM merge_run);
DELETE FROM main.artifact WHERE run_id IN (SELECT ours FROM merge_run);
DELETE FROM main.attempt_source WHERE run_id IN (SELECT ours FROM merge_run);
DELETE FROM main.attempt WHERE run_id IN (SELECT ours FROM merge_run);
DELETE FROM main.param WHERE run_id IN (SELECT ours FROM merge_run);
DELETE FROM main.plugin_used WHERE run_id IN (SELECT ours FROM merge_run);
DELETE FROM main.run_input WHERE run_id IN (SELECT ours FROM merge_run);

-- What runs elsewhere does not run here.
UPDATE main.run SET (status, total_steps, device, dataset, error) =
  (SELECT CASE t.status WHEN 'running' THEN 'lost' ELSE t.status END,
     t.total_steps, t.device, t.dataset, t.error
   FROM other.run t WHERE t.run_hash = main.run.run_hash)
WHERE run_id IN (SELECT ours FROM merge_run);
INSERT INTO main.attempt(run_id, n, host, boot_id, pid, pid_start, job, start_ms, beat_ms, end_ms,
  end_reason, from_step, exact, threads, cpu, build_sig, git_commit, git_dirty)
SELECT m.ours, n, host, boot_id, pid, pid_start, job, start_ms, beat_ms, coalesce(end_ms, beat_ms),
  CASE WHEN end_ms IS NULL THEN 'lost' ELSE end_reason END, from_step, exact, threads, cpu,
  build_sig, git_commit, git_dirty
FROM other.attempt a JOIN merge_run m ON m.theirs = a.run_id;
INSERT INTO main.attempt_source(run_id, n, kind, name, sha256)
SELECT m.ours, n, kind, name, sha256
FROM other.attempt_source a JOIN merge_run m ON m.theirs = a.run_id;
INSERT INTO main.param(run_id, key, num, txt, origin)
SELECT m.ours, key, num, txt, origin FROM other.param p JOIN merge_run m ON m.theirs = p.run_id;
INSERT INTO main.plugin_used(run_id, kind, name, version, abi, sha256)
SELECT m.ours, kind, name, version, abi, sha256
FROM other.plugin_used p JOIN merge_run m ON m.theirs = p.run_id;
INSERT INTO main.run_input(run_id, name, input_run_id)
SELECT m.ours, i.name, o.run_id
FROM other.run_input i JOIN merge_run m ON m.theirs = i.run_id
JOIN other.run t ON t.run_id = i.input_run_id JOIN main.run o ON o.run_hash = t.run_hash;
INSERT INTO main.series(run_id, key_id, step, value, nonfinite, attempt, t_ms)
SELECT m.ours, k.key_id, s.step, s.value, s.nonfinite, s.attempt, s.t_ms
FROM other.series s JOIN merge_run m ON m.theirs = s.run_id
JOIN other.series_key j ON j.key_id = s.key_id JOIN main.series_key k ON k.name = j.name;
INSERT INTO main.score(run_id, suite, benchmark, metric, split, step, value, nonfinite, low, high, n)
SELECT m.ours, suite, benchmark, metric, split, step, value, nonfinite, low, high, n
FROM other.score s JOIN merge_run m ON m.theirs = s.run_id;
INSERT INTO main.checkpoint(run_id, step, path, bytes, sha256)
SELECT m.ours, step, path, bytes, sha256
FROM other.checkpoint c JOIN merge_run m ON m.theirs = c.run_id;
INSERT INTO main.artifact(run_id, name, path, bytes, sha256)
SELECT m.ours, name, path, bytes, sha256
FROM other.artifact a JOIN merge_run m ON m.theirs = a.run_id;

-- name: merge_unsettled
SELECT count(*) FROM other.pending_folder;
-- name: pending_folders
SELECT count(*) FROM main.pending_folder;
-- name: pending_folder
SELECT name FROM main.pending_folder ORDER BY name LIMIT 1;
-- name: drop_pending_folder
DELETE FROM main.pending_folder WHERE name = ?1;
-- name: merge_count
SELECT count(*) FROM merge_run WHERE verdict = ?1;
-- name: merge_taken
SELECT substr(run_hash, 1, 16) FROM merge_run WHERE verdict = 'taken';
-- name: merge_drop
DROP TABLE temp.merge_run;
