-- schema.sql - the experiment store of lrp, format 1.
-- Comments inside a CREATE are kept by SQLite: `.schema` in the sqlite3 shell shows them.  Relevance is an
-- exact copy of what was computed; NaN and infinity are never stored, such a result becomes a row of "error".
PRAGMA application_id = 0x4C525031; -- "LRP1"
PRAGMA user_version = 1;

CREATE TABLE environment (
  -- Program, machine and libraries of a run; one row for each different one.
  environment_id INTEGER PRIMARY KEY, -- the row
  fingerprint TEXT NOT NULL UNIQUE CHECK (length(fingerprint) = 64), -- SHA-256 of all columns below
  lrp_version TEXT NOT NULL, -- of the program
  configuration TEXT NOT NULL, -- what configure chose, one choice a line
  compiler TEXT NOT NULL,      -- with its flags
  cpu_model TEXT NOT NULL, -- of the processor
  threads INTEGER NOT NULL CHECK (threads > 0), -- that the program was told to use
  os TEXT NOT NULL, -- system and kernel
  host TEXT NOT NULL, -- name of the machine
  sqlite_version TEXT NOT NULL, -- of the library that wrote
  utf8proc_version TEXT NOT NULL -- of the library that normalises texts
) STRICT;

CREATE TABLE plugin (
  -- A plugin file that took part in a run.
  plugin_id INTEGER PRIMARY KEY, -- the row
  name TEXT NOT NULL, -- of the plugin
  version TEXT NOT NULL, -- the plugin's own
  sha256 TEXT NOT NULL, -- of the file; of the program where it is linked in
  abi TEXT NOT NULL,    -- "1.0"
  path TEXT NOT NULL,   -- where it was first seen; "" where it is linked in
  UNIQUE (name, version, sha256)
) STRICT;

CREATE TABLE model (
  -- A model, known by its content.
  model_id INTEGER PRIMARY KEY, -- the row
  sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64), -- of model.onnx and its external data
  name TEXT NOT NULL, -- of its folder or file
  path TEXT,      -- where it was first seen
  producer TEXT, -- the program that wrote the file, as it says
  kind TEXT,      -- config.json's model_type
  modality TEXT NOT NULL CHECK (modality IN ('tensor', 'image', 'text', 'sound', 'bytes')), -- what it reads
  opset INTEGER, -- of ONNX's operators
  n_param INTEGER NOT NULL, -- numbers that were trained
  -- {"inputs":[{"name","dtype","shape"}],"outputs":[...]}; -1: dynamic
  signature TEXT NOT NULL CHECK (json_valid(signature)),
  meta TEXT NOT NULL CHECK (json_valid(meta))            -- config.json
) STRICT;

CREATE TABLE class (
  -- The meaning of a model's outputs.
  model_id INTEGER NOT NULL REFERENCES model ON DELETE CASCADE, -- of which model
  class_index INTEGER NOT NULL, -- place among the outputs, from 0
  label TEXT NOT NULL, -- its name
  PRIMARY KEY (model_id, class_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE layer (
  -- A node of a model's graph; the same one in all runs.
  layer_id INTEGER PRIMARY KEY, -- the row
  model_id INTEGER NOT NULL REFERENCES model ON DELETE CASCADE, -- of which model
  name TEXT NOT NULL,    -- of the model file; "x#2" for the second x
  op TEXT NOT NULL,      -- operator of the model file
  type TEXT NOT NULL,    -- lrp's layer type
  args TEXT NOT NULL,    -- its arguments
  n_param INTEGER NOT NULL, -- numbers that were trained
  UNIQUE (model_id, name, op, type, args)
) STRICT;

CREATE TABLE tokenizer (
  -- A tokenizer, known by the content of its file.
  tokenizer_id INTEGER PRIMARY KEY, -- the row
  sha256 TEXT NOT NULL UNIQUE, -- of tokenizer.json
  kind TEXT NOT NULL -- "WordPiece", "BPE", "Unigram", "WordLevel"
) STRICT;

CREATE TABLE vocab (
  -- The tokens that were met in texts so far.
  tokenizer_id INTEGER NOT NULL REFERENCES tokenizer ON DELETE CASCADE, -- of which tokenizer
  token_id INTEGER NOT NULL, -- its number there
  token TEXT NOT NULL, -- as the tokenizer writes it: "##ing"
  PRIMARY KEY (tokenizer_id, token_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE input (
  -- What was explained, known by its content: the same text under two rules is one row.
  input_id INTEGER PRIMARY KEY, -- the row
  kind TEXT NOT NULL CHECK (kind IN ('text', 'image', 'tensor', 'sound', 'bytes')), -- what it is
  sha256 TEXT NOT NULL,                      -- of the text, the decoded pixels or the arrays
  sample INTEGER NOT NULL CHECK (sample >= 0), -- which one of a batch
  text TEXT,                                 -- of a text
  path TEXT,                                 -- where it was first seen
  ordinal INTEGER,                           -- which line of that file
  -- image: [height,width,channels]; tensor: a list for each array, batch axis first
  shape TEXT CHECK (shape IS NULL OR json_valid(shape)),
  true_label TEXT,                           -- where known
  UNIQUE (kind, sha256, sample),
  CHECK (kind <> 'text' OR text IS NOT NULL)
) STRICT;

CREATE VIRTUAL TABLE input_fts USING fts5(text, content='input', content_rowid='input_id');
CREATE TRIGGER input_ai AFTER INSERT ON input WHEN new.text IS NOT NULL BEGIN
  -- keeps the word index: SELECT * FROM input WHERE input_id IN (SELECT rowid FROM input_fts('excellent'))
  INSERT INTO input_fts (rowid, text) VALUES (new.input_id, new.text);
END;
CREATE TRIGGER input_ad AFTER DELETE ON input WHEN old.text IS NOT NULL BEGIN
  INSERT INTO input_fts (input_fts, rowid, text) VALUES ('delete', old.input_id, old.text);
END;
CREATE TRIGGER input_au AFTER UPDATE OF text ON input WHEN old.text IS NOT NULL BEGIN
  INSERT INTO input_fts (input_fts, rowid, text) VALUES ('delete', old.input_id, old.text);
  INSERT INTO input_fts (rowid, text) VALUES (new.input_id, new.text);
END;

CREATE TABLE tokenization (
  -- A text as one tokenizer cuts it.
  tokenization_id INTEGER PRIMARY KEY, -- the row
  input_id INTEGER NOT NULL REFERENCES input ON DELETE CASCADE, -- the text
  tokenizer_id INTEGER NOT NULL REFERENCES tokenizer, -- who cut it
  sha256 TEXT NOT NULL, -- of the tokens: the same text may be cut at another length
  n INTEGER NOT NULL, -- tokens
  n_dropped INTEGER NOT NULL, -- tokens cut off because the text is too long for the model
  UNIQUE (input_id, tokenizer_id, sha256)
) STRICT;

CREATE TABLE token (
  -- Where each token stands in its text.
  tokenization_id INTEGER NOT NULL REFERENCES tokenization ON DELETE CASCADE, -- of which text, cut by whom
  position INTEGER NOT NULL, -- from 0
  token_id INTEGER NOT NULL, -- its number in vocab
  byte_begin INTEGER NOT NULL, -- bytes [begin, end) of input.text
  byte_end INTEGER NOT NULL, -- begin = end: a special token
  word INTEGER,                -- index of its word; NULL: none
  special INTEGER NOT NULL CHECK (special IN (0, 1)), -- added by the tokenizer: [CLS]
  PRIMARY KEY (tokenization_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE rationale (
  -- Parts of a text that people named as the reason for its label: what an explanation is measured against.
  input_id INTEGER NOT NULL REFERENCES input ON DELETE CASCADE, -- the text
  byte_begin INTEGER NOT NULL CHECK (byte_begin >= 0), -- bytes [begin, end) of input.text
  byte_end INTEGER NOT NULL CHECK (byte_end > byte_begin), -- the byte behind the last one
  PRIMARY KEY (input_id, byte_begin, byte_end)
) STRICT, WITHOUT ROWID;

CREATE TABLE composite (
  -- Which rule acts where: a name and a text.  Two texts under one name are two rows.
  composite_id INTEGER PRIMARY KEY, -- the row
  name TEXT NOT NULL, -- as it was asked for: a preset or a file
  sha256 TEXT NOT NULL CHECK (length(sha256) = 64), -- of its completed text
  spec TEXT NOT NULL CHECK (json_valid(spec)),      -- {"text":"..."}: the completed text, ready to be used again
  UNIQUE (name, sha256)
) STRICT;

CREATE TABLE composite_rule (
  -- The lines of a composite; the first one that matches a layer wins.
  composite_id INTEGER NOT NULL REFERENCES composite ON DELETE CASCADE, -- of which composite
  ord INTEGER NOT NULL, -- place of the line, from 0
  layer_match TEXT NOT NULL, -- the left side: which layers
  rule TEXT NOT NULL, -- the right side: its name
  params TEXT NOT NULL CHECK (json_valid(params)), -- all arguments, defaults too
  -- from params; NULL: the rule has none
  epsilon REAL GENERATED ALWAYS AS
    (CASE WHEN json_type(params, '$.epsilon') IN ('real', 'integer') THEN
      json_extract(params, '$.epsilon') END) VIRTUAL,
  -- from params; NULL: the rule has none
  gamma REAL GENERATED ALWAYS AS
    (CASE WHEN json_type(params, '$.gamma') IN ('real', 'integer') THEN json_extract(params, '$.gamma') END) VIRTUAL,
  PRIMARY KEY (composite_id, ord)
) STRICT, WITHOUT ROWID;

CREATE TABLE experiment (
  -- A name that holds runs together.
  experiment_id INTEGER PRIMARY KEY, -- the row
  name TEXT NOT NULL UNIQUE, -- as the user calls it
  note TEXT, -- the user's
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) -- when its first run began, UTC
) STRICT;

CREATE TABLE run (
  -- One call of lrp: one model, one composite or method, many inputs.
  run_id INTEGER PRIMARY KEY, -- the row
  uuid TEXT NOT NULL UNIQUE, -- the same in all files that hold the run
  experiment_id INTEGER NOT NULL REFERENCES experiment ON DELETE CASCADE, -- that it belongs to
  model_id INTEGER NOT NULL REFERENCES model, -- what was explained
  composite_id INTEGER REFERENCES composite, -- NULL: the method needs none
  environment_id INTEGER NOT NULL REFERENCES environment, -- where
  method TEXT NOT NULL CHECK (method IN ('lrp', 'gradient', 'input_x_gradient', 'integrated_gradients',
    'import')), -- import: another program computed it, the composite names which
  argv TEXT NOT NULL CHECK (json_valid(argv)),     -- the command line
  config TEXT NOT NULL CHECK (json_valid(config)), -- settings as lrp understood them
  seed INTEGER,                                    -- of random numbers; NULL: none were used
  precision TEXT NOT NULL,                         -- 'f32', 'bf16x3', 'bf16', 'f64': of products
  -- interrupted: by a signal; failed: by an error of the database or the machine
  status TEXT NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
  started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), -- UTC
  -- old while 'running': the program was killed
  heartbeat_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  pid INTEGER NOT NULL, -- of the process
  finished_at TEXT, -- UTC; NULL: not yet
  wall_ns INTEGER, -- time of all processes together
  cpu_ns INTEGER, -- processor time of them
  peak_rss INTEGER -- bytes
) STRICT;

CREATE TABLE run_plugin (
  -- The plugins of a run.
  run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, -- the run
  plugin_id INTEGER NOT NULL REFERENCES plugin, -- that took part
  PRIMARY KEY (run_id, plugin_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_layer (
  -- The graph of a run, in order of execution, and the rule that each layer got.
  run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, -- the run
  layer_id INTEGER NOT NULL REFERENCES layer, -- the node
  ordinal INTEGER NOT NULL, -- place in the order of execution, from 0
  out_shape TEXT NOT NULL CHECK (json_valid(out_shape)), -- for the run's first input of this graph
  rule TEXT NOT NULL,    -- with all arguments; 'exact' where none is needed
  matcher TEXT NOT NULL, -- the composite's line that chose it
  note TEXT NOT NULL,    -- what was rewritten here: 'merged bn1'
  PRIMARY KEY (run_id, layer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tag (
  -- The user's own notes on a run.
  run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, -- the run
  key TEXT NOT NULL, -- a word
  value TEXT NOT NULL, -- what it says
  PRIMARY KEY (run_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE prediction (
  -- What the model said about an input.
  run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, -- the run
  input_id INTEGER NOT NULL REFERENCES input, -- what the model saw
  predicted INTEGER NOT NULL, -- class of the largest score
  score REAL NOT NULL,        -- its score, before any softmax
  prob REAL,                  -- its probability; NULL: the model gives none
  margin REAL,                -- to the runner-up; NULL: there is one class only
  scores BLOB NOT NULL,       -- all of them, little-endian, as wide as explanation.dtype
  PRIMARY KEY (run_id, input_id)
) STRICT;

CREATE TABLE explanation (
  -- The relevance of one input for one target.
  explanation_id INTEGER PRIMARY KEY, -- the row
  run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, -- the run
  input_id INTEGER NOT NULL REFERENCES input, -- what was explained
  target_class INTEGER NOT NULL, -- what is explained; -1: the whole output vector
  contrast_class INTEGER,        -- subtracted from it; NULL: none
  seed_kind TEXT NOT NULL CHECK (seed_kind IN ('logit', 'one')), -- started from the score, or from 1
  layer_id INTEGER REFERENCES layer,                   -- relevance at this layer's output; NULL: at the model's inputs
  tokenization_id INTEGER REFERENCES tokenization,     -- of a text
  dtype TEXT NOT NULL CHECK (dtype IN ('f32', 'f64')), -- of r and of prediction.scores
  tensors TEXT NOT NULL CHECK (json_valid(tensors)),   -- names of the model's inputs that r holds: ["pixels"]
  shape TEXT NOT NULL CHECK (json_valid(shape)),       -- of r: [3,32,32]; where r holds several tensors: [[5],[5,8]]
  target_value REAL NOT NULL, -- what was explained: the relevance put in
  r_sum REAL NOT NULL,        -- over all inputs: the relevance that came out
  r_abs_max REAL NOT NULL,    -- over r, as the next two
  r_pos REAL NOT NULL,        -- sum of what speaks for the target
  r_neg REAL NOT NULL,        -- sum of what speaks against it
  residual REAL GENERATED ALWAYS AS (target_value - r_sum) VIRTUAL, -- lost on the way, or made up
  wall_ns INTEGER NOT NULL,   -- of the batch
  r BLOB NOT NULL,            -- little-endian, row-major; several tensors one after the other
  CHECK (length(r) % (CASE dtype WHEN 'f64' THEN 8 ELSE 4 END) = 0)
) STRICT;
CREATE UNIQUE INDEX explanation_key
  ON explanation (run_id, input_id, target_class, ifnull(contrast_class, -1), ifnull(layer_id, -1));
CREATE INDEX explanation_input ON explanation (input_id);

CREATE TABLE token_relevance (
  -- r of a text, one row a token: made from explanation.r, which is the truth.
  explanation_id INTEGER NOT NULL REFERENCES explanation ON DELETE CASCADE, -- of which explanation
  position INTEGER NOT NULL, -- of the token, from 0
  token_id INTEGER NOT NULL, -- its number in vocab
  word INTEGER, -- index of its word; NULL: none
  relevance REAL NOT NULL, -- for the target; negative: against it
  PRIMARY KEY (explanation_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_relevance_token ON token_relevance (token_id);

CREATE TABLE layer_flow (
  -- The ledger of relevance: what each layer got, gave on, and where the rest went.  Layers without any have no row.
  explanation_id INTEGER NOT NULL REFERENCES explanation ON DELETE CASCADE, -- of which explanation
  layer_id INTEGER NOT NULL REFERENCES layer, -- the node
  r_out REAL NOT NULL,  -- at its outputs
  r_in REAL NOT NULL,   -- at its inputs
  r_bias REAL NOT NULL, -- absorbed by biases and constants
  r_stab REAL NOT NULL, -- lost to the stabiliser
  r_gate REAL NOT NULL, -- dropped by the rule itself
  leak REAL GENERATED ALWAYS AS (r_out - r_in - r_bias - r_stab - r_gate) VIRTUAL, -- unexplained: rounding, or a bug
  PRIMARY KEY (explanation_id, layer_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE metric (
  -- A measure of explanations.  Two scores may be compared only if they share this row.
  metric_id INTEGER PRIMARY KEY, -- the row
  name TEXT NOT NULL, -- of the measure
  params TEXT NOT NULL CHECK (json_valid(params)), -- all parameters
  direction INTEGER NOT NULL CHECK (direction IN (-1, 0, 1)), -- 1: more is better
  UNIQUE (name, params)
) STRICT;

CREATE TABLE score (
  -- A metric's value for one explanation; undefined values keep their reason.
  metric_id INTEGER NOT NULL REFERENCES metric, -- what was measured
  explanation_id INTEGER NOT NULL REFERENCES explanation ON DELETE CASCADE, -- of which explanation
  value REAL, -- NULL: undefined
  reason TEXT, -- why it is undefined; NULL: it is not
  PRIMARY KEY (metric_id, explanation_id),
  CHECK (value IS NOT NULL OR reason IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX score_explanation ON score (explanation_id);

CREATE TABLE error (
  -- What could not be explained, and why.
  error_id INTEGER PRIMARY KEY, -- the row
  run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, -- the run
  input_id INTEGER REFERENCES input, -- NULL: the input could not even be read
  code TEXT NOT NULL, -- kind of failure
  message TEXT NOT NULL, -- a sentence: what, where, what to do
  at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) -- when, UTC
) STRICT;

CREATE VIEW v_run AS
  -- One row a run.  composite: its name, or the method where none is needed.
  SELECT r.run_id, e.name AS experiment, m.name AS model, coalesce(c.name, r.method) AS composite, r.method, r.status,
         r.precision, r.seed, r.started_at, r.wall_ns / 1e9 AS seconds,
         (SELECT count(*) FROM explanation x WHERE x.run_id = r.run_id) AS explanations,
         (SELECT count(*) FROM error q WHERE q.run_id = r.run_id) AS errors
  FROM run r JOIN experiment e USING (experiment_id) JOIN model m USING (model_id)
    LEFT JOIN composite c USING (composite_id);

CREATE VIEW v_explanation AS
  -- One readable row an explanation.  input: the text, else the path, else the start of the hash.  line: of its file.
  SELECT x.explanation_id, x.run_id, e.name AS experiment, m.name AS model, x.input_id,
         coalesce(i.text, i.path || CASE WHEN i.sample > 0 THEN '[' || i.sample || ']' ELSE '' END,
                  i.kind || ' ' || substr(i.sha256, 1, 12)) AS input,
         i.true_label AS label, coalesce(kp.label, CAST(p.predicted AS TEXT)) AS predicted, p.prob AS probability,
         CASE WHEN x.target_class < 0 THEN 'all' ELSE coalesce(kt.label, CAST(x.target_class AS TEXT)) END
           || coalesce(' - ' || coalesce(kc.label, CAST(x.contrast_class AS TEXT)), '') AS target,
         coalesce(c.name, r.method) AS composite, l.name AS layer, x.target_value AS value, x.r_sum AS sum, x.residual,
         i.ordinal AS line
  FROM explanation x JOIN run r USING (run_id) JOIN experiment e USING (experiment_id) JOIN model m USING (model_id)
    JOIN input i ON i.input_id = x.input_id
    LEFT JOIN composite c USING (composite_id) LEFT JOIN layer l ON l.layer_id = x.layer_id
    LEFT JOIN prediction p ON p.run_id = x.run_id AND p.input_id = x.input_id
    LEFT JOIN class kp ON kp.model_id = r.model_id AND kp.class_index = p.predicted
    LEFT JOIN class kt ON kt.model_id = r.model_id AND kt.class_index = x.target_class
    LEFT JOIN class kc ON kc.model_id = r.model_id AND kc.class_index = x.contrast_class;

CREATE VIEW v_token AS
  -- One row a token of an explanation.  shade: relevance from -1 to 1, the strongest token at an end.
  SELECT r.experiment_id, r.run_id, x.explanation_id, coalesce(c.name, r.method) AS composite, x.input_id,
         x.target_class, x.contrast_class, t.position, v.token, t.word, t.relevance,
         t.relevance / nullif(x.r_abs_max, 0) AS shade
  FROM token_relevance t JOIN explanation x USING (explanation_id) JOIN run r ON r.run_id = x.run_id
    LEFT JOIN composite c USING (composite_id) JOIN tokenization z ON z.tokenization_id = x.tokenization_id
    JOIN vocab v ON v.tokenizer_id = z.tokenizer_id AND v.token_id = t.token_id;

CREATE VIEW v_word AS
  -- One row a word of an explanation: the relevance of its tokens added up, its letters taken from the text.
  SELECT g.explanation_id, x.run_id, coalesce(c.name, r.method) AS composite, x.input_id, x.target_class,
         x.contrast_class, g.position,
         trim(CAST(substr(CAST(i.text AS BLOB), g.byte_begin + 1, g.byte_end - g.byte_begin) AS TEXT),
              ' ' || char(9, 10, 13)) AS word, -- byte-level tokens begin with a blank
         g.relevance, g.tokens
  FROM (SELECT t.explanation_id, t.word AS position, sum(t.relevance) AS relevance, count(*) AS tokens,
               min(k.byte_begin) AS byte_begin, max(k.byte_end) AS byte_end
        FROM token_relevance t JOIN explanation y ON y.explanation_id = t.explanation_id
          JOIN token k ON k.tokenization_id = y.tokenization_id AND k.position = t.position
        WHERE t.word IS NOT NULL GROUP BY t.explanation_id, t.word) g -- without texts, which would be sorted too
    JOIN explanation x ON x.explanation_id = g.explanation_id JOIN run r ON r.run_id = x.run_id
    LEFT JOIN composite c USING (composite_id) JOIN input i ON i.input_id = x.input_id;

CREATE VIEW v_flow AS
  -- The ledger with names, from the output (highest ordinal) to the input.  share: of what was explained, lost here.
  SELECT x.explanation_id, x.run_id, x.input_id, g.ordinal, l.name AS layer, l.op, l.type, g.rule, f.r_out, f.r_in,
         f.r_bias, f.r_stab, f.r_gate, f.leak, abs(f.r_out - f.r_in) / max(abs(x.target_value), 1e-12) AS share
  FROM layer_flow f JOIN explanation x USING (explanation_id) JOIN layer l ON l.layer_id = f.layer_id
    JOIN run_layer g ON g.run_id = x.run_id AND g.layer_id = f.layer_id;

CREATE VIEW v_conservation AS
  -- Did what came out equal what was put in?  rel: the residual as a share of the explained value.
  SELECT x.run_id, x.explanation_id, x.input_id, coalesce(c.name, r.method) AS composite, x.target_value, x.r_sum,
         x.residual, abs(x.residual) / max(abs(x.target_value), 1e-12) AS rel
  FROM explanation x JOIN run r USING (run_id) LEFT JOIN composite c USING (composite_id) WHERE x.layer_id IS NULL;

CREATE VIEW v_pair AS
  -- The same input and target of one model under two runs, for comparing rules.
  SELECT x.input_id, x.target_class, x.contrast_class, coalesce(ca.name, p.method) AS rule_a,
         coalesce(cb.name, q.method) AS rule_b, x.explanation_id AS a, y.explanation_id AS b, x.r_sum AS sum_a,
         y.r_sum AS sum_b, x.r AS ra, y.r AS rb
  FROM explanation x JOIN explanation y ON y.input_id = x.input_id AND y.target_class = x.target_class
      AND y.contrast_class IS x.contrast_class AND y.layer_id IS x.layer_id AND y.run_id <> x.run_id
    JOIN run p ON p.run_id = x.run_id JOIN run q ON q.run_id = y.run_id AND q.model_id = p.model_id
    LEFT JOIN composite ca ON ca.composite_id = p.composite_id
    LEFT JOIN composite cb ON cb.composite_id = q.composite_id;

CREATE VIEW v_score AS
  -- Mean and spread of each metric under each composite.
  SELECT r.experiment_id, coalesce(c.name, r.method) AS composite, k.name AS metric, k.params, k.direction,
         count(s.value) AS n, avg(s.value) AS mean,
         sqrt(max(0, avg(s.value * s.value) - avg(s.value) * avg(s.value))) AS sd,
         sum(s.value IS NULL) AS undefined
  FROM score s JOIN metric k USING (metric_id) JOIN explanation x USING (explanation_id)
    JOIN run r ON r.run_id = x.run_id LEFT JOIN composite c USING (composite_id)
  GROUP BY 1, 2, 3, 4, 5;

-- What the planner needs to know of a large store: typical sizes instead of measured ones, so that a question is answered
-- in the same way in every file.  ANALYZE measures.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('token_relevance', 'token_relevance', '1000000 100 1'), ('token_relevance', 'token_relevance_token', '1000000 50'),
  ('token', 'token', '500000 100 1'), ('vocab', 'vocab', '20000 10000 1'),
  ('tokenization', 'sqlite_autoindex_tokenization_1', '5000 1 1 1'), ('input', 'sqlite_autoindex_input_1', '5000 5000 1 1'),
  ('explanation', 'explanation_key', '10000 1000 1 1 1 1'), ('explanation', 'explanation_input', '10000 2'),
  ('layer_flow', 'layer_flow', '200000 20 1'), ('score', 'score', '50000 10000 1'), ('score', 'score_explanation', '50000 5'),
  ('prediction', 'sqlite_autoindex_prediction_1', '10000 1000 1'), ('run', 'sqlite_autoindex_run_1', '10 1'),
  ('run_layer', 'run_layer', '200 20 1'), ('layer', 'sqlite_autoindex_layer_1', '40 20 1 1 1 1'),
  ('composite', 'sqlite_autoindex_composite_1', '5 1 1'), ('model', 'sqlite_autoindex_model_1', '2 1'),
  ('class', 'class', '20 10 1'), ('experiment', 'sqlite_autoindex_experiment_1', '2 1');
