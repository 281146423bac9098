/* explain.c - lrp explain: one or few inputs, shown, written to files, logged. */
#include "explain.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  O_TARGET,
  O_SEED,
  O_RULES,
  O_METHOD,
  O_STEPS,
  O_AT,
  O_CANONIZE,
  O_PLUGIN,
  O_TEXT,
  O_FILE,
  O_RESUME,
  O_BY,
  O_SPECIAL,
  O_NOSPECIAL,
  O_OUT,
  O_TEX,
  O_JSON,
  O_LEDGER,
  O_PROFILE,
  O_DB,
  O_NODB,
  O_EXPERIMENT,
  O_THREADS,
  O_MEMORY,
  O_PRECISION,
  O_COLOR,
  O_QUIET
};
static const cli_option OPTIONS[] = {
    [O_TARGET] = {"target", 't', "WHAT",
                  "argmax (default), runnerup, all, a label, an index, A-B: why A and not B; "
                  "several with commas"},
    [O_SEED] = {"seed", 0, "KIND", "logit (default): relevance sums to the score; one: to 1"},
    [O_RULES] = {"rules", 'r', "RULES",
                 "a preset, a composite file, or text as \"include base; linear -> epsilon\""},
    [O_METHOD] = {"method", 0, "NAME",
                  "lrp (default), gradient, input_x_gradient, integrated_gradients"},
    [O_STEPS] = {"steps", 0, "N", "steps of integrated gradients (20)"},
    [O_AT] = {"at", 0, "NODE",
              "with -o FILE.npy: the relevance at a node or tensor inside instead of at the input"},
    [O_CANONIZE] = {"canonize", 0, "LIST",
                    "all (default), none, or canonizers with commas between; -NAME leaves one out"},
    [O_PLUGIN] = {"plugin", 'p', "FILE", "load a plugin first; may be repeated"},
    [O_TEXT] = {"text", 0, "TEXT", "an input that is this text, whatever files there are"},
    [O_FILE] = {"file", 'f', "FILE",
                "all texts of a file, one a line (or .tsv, .csv, .jsonl), into the database"},
    [O_RESUME] = {"resume", 0, NULL, "with --file, go on: skip what the database has already"},
    [O_BY] = {"by", 0, "UNIT", "of a text: token (default), word, grapheme or byte"},
    [O_SPECIAL] = {"special", 0, NULL,
                   "show special tokens in the coloured text, not only in lists"},
    [O_NOSPECIAL] = {"no-special", 0, NULL, "show no special tokens, only their sum"},
    [O_OUT] = {"output", 'o', "FILE",
               "write the result: by its ending .npy, .png, .json, .txt, .html or .tex"},
    [O_TEX] = {"tex", 0, "FILE", "write a text's explanation as a TeX document too"},
    [O_JSON] = {"json", 0, NULL, "print one JSON document"},
    [O_LEDGER] = {"ledger", 'l', NULL, "print relevance in, out and lost at every node"},
    [O_PROFILE] = {"profile", 0, NULL, "tell what each layer and rule costs: time, passes, bytes"},
    [O_DB] = {"db", 'd', "FILE", "the database of scores ($LRP_DB, else lrp.db)"},
    [O_NODB] = {"no-db", 0, NULL, "log nothing"},
    [O_EXPERIMENT] = {"experiment", 0, "NAME", "name under which the run is logged (default)"},
    [O_THREADS] = {"threads", 0, "N", "threads ($LRP_THREADS, else one for each processor)"},
    [O_MEMORY] = {"memory", 0, "SIZE",
                  "at most this much for the model's tensors, as 512M (3/4 of RAM); batches that need more are cut"},
    [O_PRECISION] = {"precision", 0, "NAME", CLI_PRECISION_DOC},
    [O_COLOR] = {"color", 0, "WHEN", "auto (default), always, never"},
    [O_QUIET] = {"quiet", 'q', NULL, "no notes on standard error"},
    {0}};

static int run_explain(const cli_command *c, int argc, char **argv);
const cli_command CLI_EXPLAIN = {
    "explain",
    "explain the decisions of a model on pictures, texts or arrays",
    "MODEL INPUT... [OPTION ...]\n\n"
    "MODEL is a folder with model.onnx, or an .onnx file.  INPUT is a file (PNG, JPEG,\n"
    ".npy, text, a sound, also FILE@SECONDS, any file where the model reads bytes), a\n"
    "text, or - for standard input.  A model with several inputs takes\n"
    "as many .npy files.",
    OPTIONS,
    O_PLUGIN,
    "  lrp explain examples/models/fashion-cnn examples/data/ankle-boot.png -o boot.png\n"
    "  lrp explain examples/models/spam-textcnn \"You won a free prize, call now\"\n"
    "  lrp explain examples/models/spam-lstm --file examples/data/messages.tsv\n"
    "  echo \"see you at six\" | lrp explain examples/models/spam-textcnn - --target spam-ham\n",
    run_explain};

static bool choose(const char *option, const char *text, const char *const *names, int32_t *out)
{
  for (int32_t i = 0; names[i]; i++)
    if (!strcmp(text, names[i])) {
      *out = i;
      return true;
    }
  fprintf(stderr, "lrp: --%s %s: ", option, text);
  for (int i = 0; names[i]; i++)
    fprintf(stderr, "%s%s", i ? ", " : "", names[i]);
  fputs(" were expected\n", stderr);
  return false;
}

const char *const CLI_METHODS[] = {"lrp", "gradient", "input_x_gradient", "integrated_gradients",
                                   NULL};
static const char *const SEEDS[] = {"logit", "one", NULL};

/* Options into the job; false: a sentence was printed. */
static bool read_options(job *j, const cli_args *a)
{
  static const char *const ENDINGS[] = {".npy", ".png", ".json", ".txt", ".html", ".tex", NULL};
  j->seed_text = a->value[O_SEED] ? a->value[O_SEED] : "logit";
  j->method_text = a->value[O_METHOD] ? a->value[O_METHOD] : "lrp";
  j->n_step = 20;
  if (!choose("seed", j->seed_text, SEEDS, &j->seed) ||
      !choose("method", j->method_text, CLI_METHODS, &j->method) ||
      (a->value[O_STEPS] && !cli_int(&OPTIONS[O_STEPS], a->value[O_STEPS], 1, 100000, &j->n_step)))
    return false;
  j->threads = a->value[O_THREADS];
  j->target = a->value[O_TARGET];
  j->at = a->value[O_AT];
  j->canonize = a->value[O_CANONIZE];
  j->out[0].path = a->value[O_OUT];
  j->out[1].path = a->value[O_TEX];
  j->special = a->value[O_NOSPECIAL] ? CLI_SPECIAL_HIDE
               : a->value[O_SPECIAL] ? CLI_SPECIAL_RUN
                                     : CLI_SPECIAL_LIST;
  if (a->value[O_BY] && !cli_by(a->value[O_BY], &j->by)) return false;
  j->json = a->value[O_JSON];
  j->ledger = a->value[O_LEDGER];
  j->profile = a->value[O_PROFILE];
  j->experiment = a->value[O_EXPERIMENT] ? a->value[O_EXPERIMENT] : "default";
  const char *env = getenv("LRP_DB");
  j->db = a->value[O_NODB] ? NULL : a->value[O_DB] ? a->value[O_DB] : env && *env ? env : "lrp.db";
  const char *out = j->out[0].path, *dot = out ? strrchr(out, '.') : NULL;
  bool known = !out;
  for (int i = 0; dot && ENDINGS[i]; i++)
    known = known || !strcmp(dot, ENDINGS[i]);
  if (!known) {
    cli_error("-o %s: a file that ends in .npy, .png, .json, .txt, .html or .tex was expected",
              out);
    return false;
  }
  if (j->out[1].path && !cli_has_ending(j->out[1].path, ".tex")) {
    cli_error("--tex %s: a file that ends in .tex was expected", j->out[1].path);
    return false;
  }
  if (j->at && (!dot || strcmp(dot, ".npy"))) {
    cli_error("--at writes an array: give -o FILE.npy");
    return false;
  }
  const char *when = a->value[O_COLOR];
  if (when && strcmp(when, "auto") && strcmp(when, "always") && strcmp(when, "never")) {
    cli_error("--color %s: auto, always or never was expected", when);
    return false;
  }
  j->color = cli_color(when, stdout);
  return true;
}

/* A file's explanations go into the database, and nowhere else. */
static bool file_fits(const cli_args *a)
{
  static const int OTHERS[] = {O_TEXT, O_AT,   O_BY,     O_SPECIAL, O_NOSPECIAL,
                               O_OUT,  O_TEX,  O_JSON,   O_LEDGER,  O_PROFILE};
  for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
    if (a->value[OTHERS[i]]) {
      cli_error("--file and --%s: the texts of a file are explained into the database; show single "
                "ones without --file",
                OPTIONS[OTHERS[i]].name);
      return false;
    }
  if (a->n_operand == 1) return true;
  cli_error("--file: the model alone was expected beside it, not \"%s\"", a->operand[1]);
  return false;
}

static int run_explain(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  int code = cli_parse(c, argc, argv, &a);
  if (code) {
    cli_args_free(&a);
    return code - 1;
  }
  job j = {.argc = argc, .argv = argv};
  cli_quiet(a.value[O_QUIET]);
  const char *file = a.value[O_FILE];
  if (a.n_operand < 1 || (a.n_operand < 2 && !a.value[O_TEXT] && !file)) {
    cli_error(
        "explain: a model and at least one input were expected; lrp explain --help shows examples");
    code = 2;
  } else if (file && !file_fits(&a)) {
    code = 2;
  } else if (!read_options(&j, &a)) {
    code = 2;
  } else {
    lrp_status st = cli_session(a.all, a.n_all, a.value[O_THREADS], a.value[O_MEMORY], &j.ctx);
    if (!st) st = cli_precision(j.ctx, a.value[O_PRECISION]);
    code = st     ? lrp_exit_status(st)
           : file ? explain_file(&j, a.operand[0], file, a.value[O_RULES], a.value[O_RESUME])
                  : explain_all(&j, a.operand[0], a.operand + 1, a.n_operand - 1, a.value[O_TEXT],
                                a.value[O_RULES]);
  }
  lrp_ctx_free(j.ctx);
  cli_args_free(&a);
  return code;
}
