-- name: begin
BEGIN IMMEDIATE;
-- name: commit
COMMIT;
-- name: rollback
ROLLBACK;

-- name: count_text
SELECT count(*) FROM program_text WHERE name = ?1 AND sha256 = ?2;
-- name: put_text
INSERT OR REPLACE INTO program_text(name, sha256) VALUES(?1, ?2);

-- name: put_experiment
INSERT INTO experiment(name, created_ms) VALUES(?1, ?2) ON CONFLICT(name) DO NOTHING;
-- name: get_experiment
SELECT experiment_id FROM experiment WHERE name = ?1;
-- name: put_cell
INSERT INTO cell(cell_hash) VALUES(?1) ON CONFLICT(cell_hash) DO NOTHING;
-- name: get_cell
SELECT cell_id FROM cell WHERE cell_hash = ?1;
-- name: put_run
INSERT INTO run(run_hash, cell_id, seed, status, total_steps, device, dataset)
VALUES(?1, ?2, ?3, 'pending', ?4, ?5, ?6) ON CONFLICT(run_hash) DO NOTHING;
-- name: get_run
SELECT run_id FROM run WHERE run_hash = ?1;
-- name: retire_plan
UPDATE experiment_run SET current = 0 WHERE experiment_id = ?1;
-- name: put_experiment_run
INSERT INTO experiment_run(experiment_id, run_id, stage, label, current, position)
VALUES(?1, ?2, ?3, ?4, 1, ?5) ON CONFLICT(experiment_id, run_id) DO UPDATE
SET stage = excluded.stage, label = excluded.label, current = 1, position = excluded.position;
-- name: clear_axes
DELETE FROM axis WHERE experiment_id = ?1 AND cell_id = ?2;
-- name: put_axis
INSERT INTO axis(experiment_id, cell_id, name, value, num) VALUES(?1, ?2, ?3, ?4, ?5);
-- name: put_param
INSERT OR REPLACE INTO param(run_id, key, num, txt, origin) VALUES(?1, ?2, ?3, ?4, ?5);
-- name: put_input
INSERT OR REPLACE INTO run_input(run_id, name, input_run_id)
VALUES(?1, ?2, (SELECT run_id FROM run WHERE run_hash = ?3));
-- name: put_plugin
INSERT OR REPLACE INTO plugin_used(run_id, kind, name, version, abi, sha256)
VALUES(?1, ?2, ?3, ?4, ?5, ?6);

-- name: newest_attempt
SELECT max(n) FROM attempt WHERE run_id = ?1;
-- name: run_status
SELECT status FROM run WHERE run_id = ?1;
-- name: open_attempts
SELECT r.run_id, a.n, a.host, a.boot_id, a.pid, a.pid_start, a.start_ms, a.beat_ms, a.beat_up_ms
FROM run r JOIN attempt a USING(run_id)
WHERE r.status = 'running' AND a.n = (SELECT max(n) FROM attempt y WHERE y.run_id = r.run_id);
-- name: lose_attempts
UPDATE attempt SET end_ms = beat_ms, end_reason = 'lost' WHERE run_id = ?1 AND end_ms IS NULL;
-- name: set_status
UPDATE run SET status = ?2, error = ?3 WHERE run_id = ?1;
-- name: put_attempt
INSERT INTO attempt(run_id, n, host, boot_id, pid, pid_start, job, start_ms, beat_ms, from_step,
  threads, cpu, build_sig, git_commit, git_dirty, beat_up_ms)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, 0, ?9, ?10, ?11, ?12, ?13, ?14);
-- name: put_source
INSERT INTO source(sha256, text) VALUES(?1, ?2) ON CONFLICT(sha256) DO NOTHING;
-- name: put_attempt_source
INSERT OR REPLACE INTO attempt_source(run_id, n, kind, name, sha256) VALUES(?1, ?2, ?3, ?4, ?5);
-- name: beat
UPDATE attempt SET beat_ms = ?3, beat_up_ms = ?4 WHERE run_id = ?1 AND n = ?2;
-- name: end_attempt
UPDATE attempt SET end_ms = ?3, end_reason = ?4 WHERE run_id = ?1 AND n = ?2;
-- name: set_resume
UPDATE attempt SET from_step = ?3, exact = ?4 WHERE run_id = ?1 AND n = ?2;
-- name: cut_series
DELETE FROM series WHERE run_id = ?1 AND step > ?2;
-- name: cut_score
DELETE FROM score WHERE run_id = ?1 AND step > ?2;
-- name: cut_checkpoint
DELETE FROM checkpoint WHERE run_id = ?1 AND step > ?2;
-- name: put_checkpoint
INSERT OR REPLACE INTO checkpoint(run_id, step, path, bytes, sha256) VALUES(?1, ?2, ?3, ?4, ?5);
-- name: get_checkpoints
SELECT step, path, bytes, sha256 FROM checkpoint WHERE run_id = ?1 ORDER BY step DESC;
-- name: drop_checkpoint
DELETE FROM checkpoint WHERE run_id = ?1 AND step = ?2;
-- name: put_artifact
INSERT OR REPLACE INTO artifact(run_id, name, path, bytes, sha256) VALUES(?1, ?2, ?3, ?4, ?5);

-- name: put_series_key
INSERT INTO series_key(name, goal) VALUES(?1, ?2)
ON CONFLICT(name) DO UPDATE SET goal = coalesce(goal, excluded.goal);
-- name: get_series_key
SELECT key_id FROM series_key WHERE name = ?1;
-- name: put_series
INSERT OR REPLACE INTO series(run_id, key_id, step, value, nonfinite, attempt, t_ms)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7);
-- name: put_score
INSERT OR REPLACE INTO score(run_id, suite, benchmark, metric, split, step, value, nonfinite,
  low, high, n)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);
-- name: superseded
SELECT count(*) FROM attempt WHERE run_id = ?1 AND n > ?2 AND from_step < ?3;
-- name: has_attempt
SELECT count(*) FROM attempt WHERE run_id = ?1 AND n = ?2;
-- name: get_run_hash
SELECT run_hash FROM run WHERE run_id = ?1;

-- name: redo_begin
CREATE TEMP TABLE redo_run(run_id INTEGER PRIMARY KEY);
-- name: redo_add
INSERT OR IGNORE INTO temp.redo_run(run_id) VALUES(?1);
-- name: redo_descendants
INSERT OR IGNORE INTO temp.redo_run(run_id)
WITH RECURSIVE fed(run_id) AS (SELECT run_id FROM temp.redo_run UNION
  SELECT i.run_id FROM fed CROSS JOIN run_input i ON i.input_run_id = fed.run_id)
SELECT run_id FROM fed;
-- name: redo_held
SELECT r.run_id FROM temp.redo_run r JOIN run USING(run_id) WHERE run.status = 'running' LIMIT 1;
-- name: redo_count
SELECT count(*) FROM temp.redo_run;
-- name: redo_list
SELECT substr(run.run_hash, 1, 16) FROM temp.redo_run JOIN run USING(run_id);
-- name: redo_rows
DELETE FROM series WHERE run_id IN temp.redo_run;
DELETE FROM score WHERE run_id IN temp.redo_run;
DELETE FROM checkpoint WHERE run_id IN temp.redo_run;
DELETE FROM artifact WHERE run_id IN temp.redo_run;
UPDATE run SET status = 'pending', error = NULL WHERE run_id IN temp.redo_run;
-- name: redo_fence
INSERT INTO attempt(run_id, n, host, boot_id, pid, pid_start, start_ms, beat_ms, end_ms, end_reason,
  from_step, threads, cpu, build_sig)
SELECT run_id, max(n) + 1, ?1, ?2, ?3, ?4, ?5, ?5, ?5, 'cleared', 0, 0, '', ''
FROM attempt WHERE run_id IN temp.redo_run GROUP BY run_id;
-- name: redo_end
DROP TABLE IF EXISTS temp.redo_run;

-- name: newest_checkpoint
SELECT max(step) FROM checkpoint WHERE run_id = ?1;
-- name: last_score
SELECT value, nonfinite FROM score
WHERE run_id = ?1 AND suite = ?2 AND benchmark = ?3 AND metric = ?4 AND split = ?5
ORDER BY step DESC LIMIT 1;
-- name: other_ways
SELECT count(*) FROM attempt a JOIN attempt now ON now.run_id = a.run_id AND now.n = ?2
WHERE a.run_id = ?1 AND a.n < now.n
  AND a.n > coalesce((SELECT max(n) FROM attempt WHERE run_id = ?1 AND end_reason = 'cleared'), 0)
  AND (a.threads <> now.threads OR a.cpu <> now.cpu OR a.build_sig <> now.build_sig);
