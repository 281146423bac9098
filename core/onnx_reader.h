/* onnx_reader.h - what the files of the ONNX reader share: a bounded walker over protobuf's wire
 * format, and messages that carry byte offsets.  Not installed.
 *
 * Format: Protocol Buffers encoding guide, and onnx.proto of ONNX 1.x for the field numbers.  Every
 * function looks at the bytes of the message it was given and at no other.  Failures are recorded
 * through lrp_reader_fail(); callers put "node 3: " in front with lrp_fail_at(), and the outermost
 * one the file and the byte.
 */
#ifndef LRP_ONNX_READER_H
#define LRP_ONNX_READER_H
#include "onnx.h"

enum { LRP_WIRE_VARINT = 0, LRP_WIRE_FIXED64 = 1, LRP_WIRE_BYTES = 2, LRP_WIRE_FIXED32 = 5 };
enum { LRP_FIELDS = 32 };       /* field numbers that onnx.proto uses are below it */
enum { LRP_ONNX_NESTING = 16 }; /* sub-graphs within sub-graphs; exporters need 3 */

typedef struct lrp_bytes {
  const uint8_t *at, *end;
} lrp_bytes;
typedef struct lrp_field {
  uint32_t number, wire;
  uint64_t value;       /* of VARINT, FIXED64, FIXED32 */
  lrp_bytes bytes;      /* the content of BYTES; the encoded number of the others */
  const uint8_t *start; /* of its key */
} lrp_field;
typedef struct lrp_reader {
  lrp_ctx *ctx;
  lrp_onnx *out;
  const uint8_t *base; /* the first byte of the file */
  size_t byte;         /* where the last failure is */
  const char *folder;  /* of external data; NULL: refused */
  char *pool;          /* small things share a block of the arena */
  size_t pool_left;
  int nesting;
} lrp_reader;

/* Record a sentence and the byte it is about. */
lrp_status lrp_reader_fail(lrp_reader *, const uint8_t *at, lrp_status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* n zeroed elements in the file's arena; NULL: no memory, recorded.  Counts come from
 * lrp_reader_count() and the like, so each element has at least one byte in the file. */
void *lrp_reader_alloc(lrp_reader *, size_t n, size_t size);
/* Take the next field off a message that is not at its end. */
lrp_status lrp_reader_next(lrp_reader *, lrp_bytes *left, lrp_field *);
/* How often each field occurs in a message; checks all its keys and lengths. */
lrp_status lrp_reader_count(lrp_reader *, lrp_bytes message, size_t count[LRP_FIELDS]);
/* The field has the wire type that its name asks for. */
lrp_status lrp_reader_want(lrp_reader *, const lrp_field *, uint32_t wire, const char *name);
/* A field of 32 bits, signed. */
lrp_status lrp_reader_int32(lrp_reader *, const lrp_field *, const char *name, int32_t *out);
/* The numbers of one occurrence of a repeated field, packed or not: *run holds n of them, encoded
 * as wire says. */
lrp_status lrp_reader_run(lrp_reader *, const lrp_field *, uint32_t wire, const char *name,
                          lrp_bytes *run, size_t *n);
/* Take the next number off a run. */
lrp_status lrp_reader_number(lrp_reader *, lrp_bytes *run, uint32_t wire, uint64_t *out);
/* A NUL-terminated copy of printable UTF-8 ("" where empty). */
lrp_status lrp_reader_text(lrp_reader *, const lrp_field *, const char *name, const char **out);
const char *lrp_reader_copy(lrp_reader *,
                            lrp_bytes text); /* any bytes and a NUL; NULL: no memory, recorded */
bool lrp_reader_printable(lrp_bytes);        /* well-formed UTF-8 without control characters */
/* For messages: a text field of a message that may be broken, made printable and cut to fit; "" if
 * there is none. */
const char *lrp_reader_peek(lrp_bytes message, uint32_t number, char *buffer, size_t n);

/* A field that holds a message: its bytes. */
lrp_status lrp_reader_enter(lrp_reader *, const lrp_field *, const char *name, lrp_bytes *out);
enum { LRP_PEEK = 64 }; /* bytes of a name in a message */

/* GraphProto, onnx.c; NodeProto, onnx_node.c. */
lrp_status lrp_reader_graph(lrp_reader *, lrp_bytes message, lrp_onnx_graph *);
lrp_status lrp_reader_node(lrp_reader *, const lrp_field *, int64_t index, lrp_onnx_node *);
lrp_status lrp_reader_domain(lrp_reader *, const lrp_field *,
                             const char **out); /* "ai.onnx" becomes "" */
/* TensorProto; data is checked, converted from typed fields, mapped from external files.
 * onnx_tensor.c */
lrp_status lrp_reader_tensor(lrp_reader *, lrp_bytes message, lrp_onnx_tensor *);
/* Where a tensor lies in another file. */
typedef struct lrp_external {
  const char *location;
  uint64_t offset, length;
  bool has_length;
} lrp_external;
/* Map the file (once) and point at the tensor's bytes, need of them; at: for messages.
 * onnx_external.c */
lrp_status lrp_reader_external(lrp_reader *, const uint8_t *at, const lrp_external *, size_t need,
                               const uint8_t **out);
lrp_status lrp_reader_external_entry(lrp_reader *, lrp_bytes message,
                                     lrp_external *); /* StringStringEntryProto */
const char *lrp_onnx_type_name(int32_t type);         /* "float16"; "type 99" is NULL */
#endif
