/* store_write.c - explanations, errors and scores: one transaction each. */
#include "store_db.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char SQL_PREDICTION[] =
    "INSERT INTO prediction (run_id, input_id, predicted, score, prob, "
    "margin, scores) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    " ON CONFLICT DO NOTHING";
static const char SQL_EXPLANATION[] =
    "SELECT explanation_id FROM explanation WHERE run_id=?1 AND input_id=?2 AND target_class=?3"
    " AND ifnull(contrast_class,-1)=?4 AND ifnull(layer_id,-1)=?5";
static const char SQL_EXPLANATION_ADD[] =
    "INSERT INTO explanation (run_id, input_id, target_class, contrast_class, layer_id, seed_kind, "
    "tokenization_id, dtype,"
    " tensors, shape, target_value, r_sum, r_abs_max, r_pos, r_neg, wall_ns, r)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) "
    "ON CONFLICT DO NOTHING";
static const lrp_rows SQL_TOKEN_RELEVANCE = {
    "INSERT INTO token_relevance (explanation_id, position, token_id, word, relevance) VALUES", "",
    5};
static const lrp_rows SQL_FLOW = {
    "INSERT INTO layer_flow (explanation_id, layer_id, r_out, r_in, r_bias, r_stab, r_gate) VALUES",
    "", 7};
static const char SQL_BEAT[] =
    "UPDATE run SET heartbeat_at=strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE run_id=?1";
static const char SQL_ERROR[] =
    "INSERT INTO error (run_id, input_id, code, message) VALUES (?1, ?2, ?3, ?4)";
static const char SQL_METRIC[] = "SELECT metric_id FROM metric WHERE name=?1 AND params=json(?2)";
static const char SQL_METRIC_ADD[] =
    "INSERT INTO metric (name, params, direction) VALUES (?1, json(?2), ?3) RETURNING metric_id";
static const char SQL_SCORE[] =
    "INSERT INTO score (metric_id, explanation_id, value, reason) VALUES (?1, ?2, ?3, ?4)"
    " ON CONFLICT (metric_id, explanation_id) DO UPDATE SET value=excluded.value, "
    "reason=excluded.reason";

enum { REAL = sizeof(lrp_real) };
static const int64_t BEAT_NS = 10000000000; /* a sign of life at most every 10 s */

/* ---- numbers ---- */

#if defined __BYTE_ORDER__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { LITTLE_ENDIAN_REALS = 1 };
#else
enum { LITTLE_ENDIAN_REALS = 0 };
#endif

/* Least significant byte first, on every machine. */
static void put_reals(unsigned char *to, const lrp_real *v, int64_t n)
{
  if (LITTLE_ENDIAN_REALS) {
    if (n) memcpy(to, v, (size_t)n * REAL);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    uint64_t bits = 0;
#ifdef LRP_REAL_DOUBLE
    memcpy(&bits, &v[i], sizeof bits);
#else
    uint32_t narrow;
    memcpy(&narrow, &v[i], sizeof narrow);
    bits = narrow;
#endif
    for (int b = 0; b < REAL; b++)
      *to++ = (unsigned char)(bits >> (8 * b));
  }
}

static lrp_status check_finite(lrp_ctx *ctx, const char *what, const lrp_real *v, int64_t n)
{
  lrp_real zero = 0; /* a sum of zeros, or NaN: nothing to branch on */
#pragma omp simd reduction(+ : zero)
  for (int64_t i = 0; i < n; i++)
    zero += v[i] * 0;
  for (int64_t i = 0; !(zero >= 0 && zero <= 0) && i < n; i++)
    if (!isfinite(v[i]))
      return lrp_fail(ctx, LRP_E_NUMERIC, "%s: element %lld is %g; a finite number was expected",
                      what, (long long)i, (double)v[i]);
  return LRP_OK;
}

/* ---- the part of a batch's tensor that belongs to one sample ---- */

typedef struct slice {
  const lrp_real *v;
  int64_t n;
  const int64_t *shape;
  int32_t rank;
} slice;

/* Without a batch axis, a batch of one is the whole tensor. */
static lrp_status slice_of(lrp_ctx *ctx, const lrp_tensor *t, const char *what, int64_t sample,
                           int64_t n_sample, slice *out)
{
  size_t bytes;
  lrp_status st = lrp_tensor_bytes(ctx, t, &bytes);
  if (st) return st;
  if (t->dtype != LRP_REAL)
    return lrp_fail(ctx, LRP_E_SHAPE, "%s: relevance must be real numbers", what);
  const bool batched = t->rank > 0 && t->shape[0] == n_sample;
  if (!batched && n_sample != 1)
    return lrp_fail(ctx, LRP_E_SHAPE, "%s: the first axis is %lld, not the %lld samples", what,
                    (long long)(t->rank > 0 ? t->shape[0] : 0), (long long)n_sample);
  out->n = (int64_t)(bytes / REAL) / n_sample;
  out->v = (const lrp_real *)t->data + sample * out->n;
  out->shape = t->shape + (batched ? 1 : 0);
  out->rank = t->rank - (batched ? 1 : 0);
  return check_finite(ctx, what, out->v, out->n);
}

/* ---- relevance of one sample, ready to be stored ---- */

typedef struct packed {
  const char *tensors, *shape; /* JSON */
  const void *blob;
  size_t n_blob;
  slice first; /* of the first tensor; n 0: there is none */
  double sum, abs_max, pos, neg;
} packed;

/* Without branches, as signs are as good as random. */
static void measure(packed *p, const slice *s)
{
  double sum = 0, pos = 0, neg = 0, top = p->abs_max;
#pragma omp simd reduction(+ : sum, pos, neg) reduction(max : top)
  for (int64_t i = 0; i < s->n; i++) {
    const double v = (double)s->v[i], size = fabs(v);
    sum += v;
    pos += v > 0 ? v : 0;
    neg += v > 0 ? 0 : v;
    top = size > top ? size : top;
  }
  p->sum += sum;
  p->pos += pos;
  p->neg += neg;
  p->abs_max = top;
}

/* [3,32,32]; several tensors: a list of them. */
static const char *shapes_json(lrp_ctx *ctx, const slice *part, int32_t n)
{
  char *text = lrp_arena_alloc(&ctx->scratch, ((size_t)n + 1) * LRP_SHAPE_TEXT), *to = text;
  if (!text) return NULL;
  if (n != 1) *to++ = '[';
  for (int32_t i = 0; i < n; i++) {
    if (i) *to++ = ',';
    to = lrp_shape_json(to, part[i].shape, part[i].rank);
  }
  if (n != 1) *to++ = ']';
  return text; /* zeroed: the NUL is there */
}

/* names: JSON strings. */
static const char *names_json(lrp_ctx *ctx, const char *const *name, int32_t n)
{
  size_t room = 3, at = 0;
  for (int32_t i = 0; i < n; i++)
    room += strlen(name[i]) + 1;
  char *text = lrp_arena_alloc(&ctx->scratch, room);
  if (!text) return NULL;
  text[at++] = '[';
  for (int32_t i = 0; i < n; i++) {
    const size_t length = strlen(name[i]);
    if (i) text[at++] = ',';
    memcpy(text + at, name[i], length);
    at += length;
  }
  text[at] = ']';
  return text;
}

/* The bytes of all parts; of one alone where it is already. */
static const void *bytes_of(lrp_ctx *ctx, const slice *part, int32_t n, size_t total)
{
  if (n == 1 && LITTLE_ENDIAN_REALS) return part[0].v;
  unsigned char *blob = lrp_arena_alloc(&ctx->scratch, total + 1), *to = blob;
  for (int32_t i = 0; blob && i < n; i++) {
    put_reals(to, part[i].v, part[i].n);
    to += (size_t)part[i].n * REAL;
  }
  return blob;
}

static lrp_status pack(lrp_ctx *ctx, const slice *part, const char *const *name, int32_t n,
                       packed *out)
{
  for (int32_t i = 0; i < n; i++) {
    out->n_blob += (size_t)part[i].n * REAL;
    measure(out, &part[i]);
  }
  out->shape = shapes_json(ctx, part, n);
  out->tensors = names_json(ctx, name, name ? n : 0);
  out->blob = bytes_of(ctx, part, n, out->n_blob);
  if (!out->shape || !out->tensors || !out->blob) return lrp_nomem(ctx, "an explanation");
  if (n) out->first = part[0];
  return LRP_OK;
}

/* Relevance at the model's inputs. */
static lrp_status pack_inputs(lrp_ctx *ctx, const lrp_run *run, const lrp_record *rec, packed *out)
{
  const lrp_relevance *r = rec->relevance;
  const size_t room = (size_t)(r->n_tensor > 0 ? r->n_tensor : 0) + 1;
  slice *part = lrp_arena_alloc(&ctx->scratch, room * sizeof *part);
  const char **name = lrp_arena_alloc(&ctx->scratch, room * sizeof *name);
  int32_t n = 0;
  if (!part || !name) return lrp_nomem(ctx, "an explanation");
  for (int32_t i = 0; i < r->n_tensor; i++) {
    if (!r->tensor[i].data) continue;
    name[n] = i < run->n_input ? run->input_name[i] : "\"\"";
    const char *what = i < run->n_input ? run->input_what[i] : "relevance of an input";
    lrp_status st = slice_of(ctx, &r->tensor[i], what, rec->sample, rec->n_sample, &part[n]);
    n++;
    if (st) return st;
  }
  lrp_status st = pack(ctx, part, name, n, out);
  out->sum = r->sum[rec->sample];
  return st;
}

/* ---- checks before anything is written ---- */

static lrp_status check_ledger(lrp_ctx *ctx, const lrp_record *rec)
{
  for (int64_t i = 0; i < rec->n_node; i++) {
    const lrp_ledger *l = &rec->relevance->ledger[i * rec->n_sample + rec->sample];
    if (!isfinite(l->r_out) || !isfinite(l->r_in) || !isfinite(l->bias) || !isfinite(l->stab) ||
        !isfinite(l->gate))
      return lrp_fail(ctx, LRP_E_NUMERIC,
                      "the ledger of layer %lld: NaN or infinity; a finite number was expected",
                      (long long)i);
  }
  return LRP_OK;
}

static lrp_status check_record(lrp_ctx *ctx, const lrp_run *run, const lrp_record *rec)
{
  const lrp_relevance *r = rec->relevance;
  if (!rec->input || !r || rec->n_sample < 1 || rec->sample < 0 || rec->sample >= rec->n_sample)
    return lrp_fail(ctx, LRP_E_ARG, "explanation: sample %lld of %lld", (long long)rec->sample,
                    (long long)rec->n_sample);
  if (rec->n_node && (rec->n_node != run->n_layer || !r->ledger))
    return lrp_fail(
        ctx, LRP_E_SHAPE,
        "explanation: a ledger of %lld layers, but the run has %lld (lrp_store_run_layers)",
        (long long)rec->n_node, (long long)run->n_layer);
  if (rec->at >= run->n_layer || (rec->at >= 0 && (!r->at || !r->at->data)))
    return lrp_fail(ctx, LRP_E_ARG, "explanation: no relevance at layer %lld of %lld",
                    (long long)rec->at, (long long)run->n_layer);
  if (!isfinite(r->value[rec->sample]) || !isfinite(r->sum[rec->sample]))
    return lrp_fail(ctx, LRP_E_NUMERIC,
                    "explained value %g, sum of relevance %g; finite numbers were expected",
                    r->value[rec->sample], r->sum[rec->sample]);
  lrp_status st = rec->scores ? check_finite(ctx, "scores", rec->scores, rec->n_class) : LRP_OK;
  return st ? st : check_ledger(ctx, rec);
}

/* ---- rows ---- */

static lrp_status put_prediction(lrp_store *s, const lrp_run *run, const lrp_record *rec,
                                 int64_t input)
{
  int64_t best = 0, second = -1;
  size_t bytes;
  if (!rec->scores || rec->n_class < 1) return LRP_OK;
  for (int64_t i = 1; i < rec->n_class; i++) {
    if (rec->scores[i] > rec->scores[best]) {
      second = best;
      best = i;
    } else if (second < 0 || rec->scores[i] > rec->scores[second]) {
      second = i;
    }
  }
  unsigned char *blob = NULL;
  if (lrp_mul_size((size_t)rec->n_class, REAL, &bytes))
    blob = lrp_arena_alloc(&s->ctx->scratch, bytes);
  if (!blob) return lrp_nomem(s->ctx, "scores");
  put_reals(blob, rec->scores, rec->n_class);
  const double top = (double)rec->scores[best], none = (double)NAN;
  return lrp_sql_do(s, SQL_PREDICTION, "iiirRRb", run->id, input, best, top,
                    rec->probability >= 0 ? rec->probability : none,
                    second < 0 ? none : top - (double)rec->scores[second], blob, bytes);
}

/* *fresh: it was not there before. */
static lrp_status put_explanation(lrp_store *s, const lrp_run *run, const lrp_record *rec,
                                  int64_t input, int64_t layer, int64_t tokens, const packed *p,
                                  int64_t *id, bool *fresh)
{
  static const char *const SEED[] = {[LRP_SEED_LOGIT] = "logit", [LRP_SEED_ONE] = "one"};
  const int64_t plus = rec->target.plus < 0 ? -1 : rec->target.plus,
                minus = rec->target.minus < 0 ? -1 : rec->target.minus;
  lrp_status st =
      lrp_sql_insert(s, id, SQL_EXPLANATION_ADD, "iiiIItItttrrrrrib", run->id, input, plus, minus,
                     layer, SEED[run->seed_kind == LRP_SEED_ONE], tokens, REAL == 8 ? "f64" : "f32",
                     p->tensors, p->shape, rec->relevance->value[rec->sample], p->sum, p->abs_max,
                     p->pos, p->neg, rec->relevance->wall_ns, p->blob, p->n_blob);
  *fresh = !st && *id >= 0;
  if (st || *fresh) return st;
  return lrp_sql_id(s, id, SQL_EXPLANATION, "iiiii", run->id, input, plus, minus, layer);
}

typedef struct value_rows { /* of one explanation */
  int64_t id;
  const lrp_input *in;
  const slice *r;
  const lrp_ledger *const *ledger; /* of the layers that have one */
  const int64_t *layer;
} value_rows;

static lrp_status token_value(void *data, int64_t i, lrp_bound *c)
{
  const value_rows *v = data;
  c[0] = (lrp_bound){.type = 'i', .i = v->id};
  c[1] = (lrp_bound){.type = 'i', .i = i};
  c[2] = (lrp_bound){.type = 'i', .i = v->in->token[i].id};
  c[3] = (lrp_bound){.type = 'I', .i = (int64_t)v->in->token[i].word};
  c[4] = (lrp_bound){.type = 'r', .r = (double)v->r->v[i]};
  return LRP_OK;
}

static lrp_status put_token_rows(lrp_store *s, const lrp_record *rec, const slice *r, int64_t id)
{
  value_rows v = {.id = id, .in = rec->input, .r = r};
  if (r->n < rec->input->n_token)
    return lrp_fail(s->ctx, LRP_E_SHAPE, "explanation: %lld tokens, but relevance of %lld",
                    (long long)rec->input->n_token, (long long)r->n);
  return lrp_sql_rows(s, &SQL_TOKEN_RELEVANCE, rec->input->n_token, token_value, &v);
}

static lrp_status flow_row(void *data, int64_t i, lrp_bound *c)
{
  const value_rows *v = data;
  const lrp_ledger *l = v->ledger[i];
  c[0] = (lrp_bound){.type = 'i', .i = v->id};
  c[1] = (lrp_bound){.type = 'i', .i = v->layer[i]};
  c[2] = (lrp_bound){.type = 'r', .r = l->r_out};
  c[3] = (lrp_bound){.type = 'r', .r = l->r_in};
  c[4] = (lrp_bound){.type = 'r', .r = l->bias};
  c[5] = (lrp_bound){.type = 'r', .r = l->stab};
  c[6] = (lrp_bound){.type = 'r', .r = l->gate};
  return LRP_OK;
}

static lrp_status put_flow(lrp_store *s, const lrp_run *run, const lrp_record *rec, int64_t id)
{
  const size_t room = (size_t)rec->n_node + 1;
  const lrp_ledger **some = lrp_arena_alloc(&s->ctx->scratch, room * sizeof *some);
  int64_t *layer = lrp_arena_alloc(&s->ctx->scratch, room * sizeof *layer), n = 0;
  if (!some || !layer) return lrp_nomem(s->ctx, "an explanation");
  for (int64_t i = 0; i < rec->n_node; i++) {
    const lrp_ledger *l = &rec->relevance->ledger[i * rec->n_sample + rec->sample];
    if (l->r_out == 0 && l->r_in == 0 && l->bias == 0 && l->stab == 0 && l->gate == 0) continue;
    some[n] = l;
    layer[n++] = run->layer_id[i];
  }
  value_rows v = {.id = id, .ledger = some, .layer = layer};
  return lrp_sql_rows(s, &SQL_FLOW, n, flow_row, &v);
}

static lrp_status put_at(lrp_store *s, const lrp_run *run, const lrp_record *rec, int64_t input)
{
  slice part;
  packed p = {0};
  int64_t id;
  bool fresh;
  if (rec->at < 0) return LRP_OK;
  lrp_status st = slice_of(s->ctx, rec->relevance->at, "relevance at the layer", rec->sample,
                           rec->n_sample, &part);
  if (!st) st = pack(s->ctx, &part, NULL, 1, &p);
  return st ? st : put_explanation(s, run, rec, input, run->layer_id[rec->at], -1, &p, &id, &fresh);
}

static lrp_status put_all(lrp_store *s, lrp_run *run, const lrp_record *rec, const packed *p,
                          int64_t *id)
{
  int64_t input = -1, tokens = -1;
  bool fresh = false;
  const int64_t now = lrp_clock_ns(CLOCK_MONOTONIC);
  lrp_status st =
      lrp_store_input(s, rec->input, rec->sample, rec->ordinal, rec->true_label, &input);
  if (!st && rec->sample == 0) st = lrp_store_tokens(s, run, rec->input, input, &tokens);
  if (!st) st = lrp_store_rationale(s, rec->input, input, rec->rationale, rec->n_rationale);
  if (!st) st = put_prediction(s, run, rec, input);
  if (!st) st = put_explanation(s, run, rec, input, -1, tokens, p, id, &fresh);
  s->was_new = !st && fresh;
  if (!st && fresh && tokens >= 0 && p->first.v) st = put_token_rows(s, rec, &p->first, *id);
  if (!st && fresh) st = put_flow(s, run, rec, *id);
  if (!st) st = put_at(s, run, rec, input);
  if (!st && now - run->beat_ns > BEAT_NS) {
    st = lrp_sql_do(s, SQL_BEAT, "i", run->id);
    run->beat_ns = now;
  }
  return st;
}

/* ---- the calls ---- */

static lrp_status store_numeric(lrp_store *s, lrp_run *run, const lrp_record *rec)
{
  char message[LRP_MESSAGE_MAX];
  sqlite3_snprintf(sizeof message, message, "%s", lrp_message(s->ctx));
  lrp_status st = lrp_store_error(s, run, rec->input, rec->sample, LRP_E_NUMERIC, message);
  return st ? st : lrp_fail(s->ctx, LRP_E_NUMERIC, "%s; an error was stored in its place", message);
}

lrp_status lrp_store_explanation(lrp_store *s, lrp_run *run, const lrp_record *rec, int64_t *id)
{
  packed p = {0};
  int64_t ignored;
  const lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  lrp_status st = check_record(s->ctx, run, rec);
  if (!st) st = pack_inputs(s->ctx, run, rec, &p);
  if (!st) {
    st = lrp_sql_begin(s, "storing an explanation");
    if (!st) st = lrp_sql_end(s, put_all(s, run, rec, &p, id ? id : &ignored));
  }
  if (st == LRP_E_NUMERIC) st = store_numeric(s, run, rec);
  lrp_arena_release(&s->ctx->scratch, mark);
  return st;
}

int lrp_store_was_new(const lrp_store *s)
{
  return s->was_new;
}

lrp_status lrp_store_error(lrp_store *s, lrp_run *run, const lrp_input *input, int64_t sample,
                           lrp_status code, const char *message)
{
  int64_t id = -1;
  const lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  const char *clean = lrp_utf8_copy(&s->ctx->scratch, message ? message : "");
  lrp_status st = clean ? lrp_sql_begin(s, "storing an error") : lrp_nomem(s->ctx, "an error");
  if (!st) {
    if (input) st = lrp_store_input(s, input, sample, -1, NULL, &id);
    if (!st) st = lrp_sql_do(s, SQL_ERROR, "iItt", run->id, id, lrp_status_name(code), clean);
    st = lrp_sql_end(s, st);
  }
  lrp_arena_release(&s->ctx->scratch, mark);
  return st;
}

lrp_status lrp_store_score(lrp_store *s, int64_t explanation, const char *metric,
                           const char *params, int32_t direction, double value, const char *reason)
{
  int64_t id = -1;
  const bool defined = isfinite(value);
  lrp_status st = lrp_sql_begin(s, "storing a score");
  if (!st) {
    st = lrp_sql_get(s, &id, SQL_METRIC, SQL_METRIC_ADD, "tti", metric,
                     params && *params ? params : "{}", (int64_t)direction);
    if (!st)
      st = lrp_sql_do(s, SQL_SCORE, "iiRt", id, explanation, defined ? value : (double)NAN,
                      defined  ? NULL
                      : reason ? reason
                               : "not finite");
    st = lrp_sql_end(s, st);
  }
  return st;
}
