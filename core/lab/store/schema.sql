-- The store: one SQLite file. Tables are written by the program; views, in views.sql, are for people.
-- A run is one resolved configuration with one seed; a cell is a run without its seed; an attempt is one process working on a run.
-- Across stores, rows are matched by natural keys (run_hash, cell_hash, names), never by the integer ids.
PRAGMA application_id = 1634956665;                              -- "assy"
PRAGMA user_version = 2;

CREATE TABLE experiment(experiment_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL);
CREATE TABLE cell(cell_id INTEGER PRIMARY KEY, cell_hash TEXT NOT NULL UNIQUE);
CREATE TABLE run(
  run_id INTEGER PRIMARY KEY, run_hash TEXT NOT NULL UNIQUE,
  cell_id INTEGER NOT NULL REFERENCES cell, seed INTEGER NOT NULL,
  status TEXT NOT NULL CHECK(status IN('pending','running','done','failed','preempted','lost')),
  total_steps INTEGER NOT NULL, device TEXT NOT NULL, dataset TEXT NOT NULL, error TEXT,
  UNIQUE(cell_id, seed));
CREATE INDEX run_running ON run(run_id) WHERE status = 'running';
CREATE TABLE experiment_run(                                     -- one run may serve several experiments; its name in each is that experiment's
  experiment_id INTEGER REFERENCES experiment, run_id INTEGER REFERENCES run, stage TEXT NOT NULL, label TEXT NOT NULL,
  current INTEGER NOT NULL DEFAULT 1,                            -- in the newest plan of the script; views show only these
  position INTEGER NOT NULL DEFAULT 0,                           -- its place in that plan, from 0
  PRIMARY KEY(experiment_id, run_id)) WITHOUT ROWID;
CREATE INDEX experiment_run_run ON experiment_run(run_id);
CREATE TABLE axis(experiment_id INTEGER REFERENCES experiment, cell_id INTEGER REFERENCES cell, name TEXT, value TEXT NOT NULL, num REAL,
  PRIMARY KEY(experiment_id, cell_id, name)) WITHOUT ROWID;
CREATE TABLE run_input(run_id INTEGER REFERENCES run, name TEXT, input_run_id INTEGER NOT NULL REFERENCES run, PRIMARY KEY(run_id, name)) WITHOUT ROWID;
CREATE TABLE attempt(                                            -- boot_id includes the pid namespace
  run_id INTEGER REFERENCES run, n INTEGER, host TEXT NOT NULL, boot_id TEXT NOT NULL, pid INTEGER NOT NULL, pid_start INTEGER NOT NULL, job TEXT,
  start_ms INTEGER NOT NULL, beat_ms INTEGER NOT NULL, end_ms INTEGER, end_reason TEXT, from_step INTEGER NOT NULL, exact INTEGER NOT NULL DEFAULT 1,
  threads INTEGER NOT NULL, cpu TEXT NOT NULL, build_sig TEXT NOT NULL, git_commit TEXT, git_dirty INTEGER,
  beat_up_ms INTEGER,                                            -- the beat by the boot's own clock, which nobody can set back
  PRIMARY KEY(run_id, n)) WITHOUT ROWID;
CREATE TABLE source(sha256 TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE attempt_source(run_id INTEGER, n INTEGER, kind TEXT CHECK(kind IN('script','module','diff','environment')), name TEXT, sha256 TEXT NOT NULL REFERENCES source,
  PRIMARY KEY(run_id, n, kind, name)) WITHOUT ROWID;
CREATE TABLE param(run_id INTEGER REFERENCES run, key TEXT, num REAL, txt TEXT, origin TEXT NOT NULL CHECK(origin IN('default','script','command line','axis','stage')),
  PRIMARY KEY(run_id, key)) WITHOUT ROWID;
CREATE TABLE plugin_used(run_id INTEGER REFERENCES run, kind TEXT, name TEXT, version TEXT NOT NULL, abi TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY(run_id, kind, name)) WITHOUT ROWID;
CREATE TABLE series_key(key_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, goal TEXT CHECK(goal IN('min','max','none')));
CREATE TABLE series(                                             -- a curve over steps; IN() would make a temporary table for every row that is checked
  run_id INTEGER, key_id INTEGER, step INTEGER, value REAL, nonfinite TEXT CHECK(nonfinite = 'nan' OR nonfinite = '+inf' OR nonfinite = '-inf'), attempt INTEGER NOT NULL, t_ms INTEGER NOT NULL,
  CHECK((value IS NULL) = (nonfinite IS NOT NULL)), PRIMARY KEY(run_id, key_id, step)) WITHOUT ROWID;
CREATE TABLE score(                                              -- a result: suite, benchmark ('' if none), metric (auc, ks, miou, iou:car, nmi:3, ...)
  run_id INTEGER REFERENCES run, suite TEXT, benchmark TEXT, metric TEXT, split TEXT, step INTEGER,
  value REAL, nonfinite TEXT CHECK(nonfinite = 'nan' OR nonfinite = '+inf' OR nonfinite = '-inf'), low REAL, high REAL, n INTEGER,
  CHECK((value IS NULL) = (nonfinite IS NOT NULL)), PRIMARY KEY(run_id, suite, benchmark, metric, split, step)) WITHOUT ROWID;
CREATE TABLE checkpoint(run_id INTEGER REFERENCES run, step INTEGER, path TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY(run_id, step)) WITHOUT ROWID;
CREATE TABLE artifact(run_id INTEGER REFERENCES run, name TEXT, path TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY(run_id, name)) WITHOUT ROWID;  -- paths are relative to STORE.files
CREATE TABLE pending_folder(name TEXT PRIMARY KEY) WITHOUT ROWID; -- of a run that merge took: NAME.merge beside it still has to take its place
CREATE TABLE published(paper TEXT, place TEXT, method TEXT, suite TEXT, benchmark TEXT, metric TEXT, value REAL NOT NULL, note TEXT, PRIMARY KEY(paper, place, method, suite, benchmark, metric)) WITHOUT ROWID;
CREATE TABLE published_fact(                                     -- what is known of a paper, of a table in it (place) or of a row (method), '' for all; results/published.sql explains roles and keys
  paper TEXT, place TEXT, method TEXT, role TEXT CHECK(role IN('about','condition','cell')), key TEXT, value TEXT NOT NULL,
  PRIMARY KEY(paper, place, method, role, key)) WITHOUT ROWID;
CREATE TABLE program_text(name TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID;  -- the views and published numbers that the store has: read again when the program's differ
