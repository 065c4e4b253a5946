-- From version 1 of the schema to version 2.
CREATE TABLE published_fact(                                     -- what is known of a paper, of a table in it (place) or of a row (method), '' for all; results/published.sql explains roles and keys
  paper TEXT, place TEXT, method TEXT, role TEXT CHECK(role IN('about','condition','cell')), key TEXT, value TEXT NOT NULL,
  PRIMARY KEY(paper, place, method, role, key)) WITHOUT ROWID;
CREATE TABLE program_text(name TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID;  -- the views and published numbers that the store has: read again when the program's differ
