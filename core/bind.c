/* bind.c - which layer type takes a node: its inputs are bound to the type's ports, constants to
 * parameters. */
#include "bind.h"
#include "registry.h"
#include <string.h>

/* Position of the port named by the next word of text, counting inputs, then parameters; -1: "-",
 * -2: unknown. */
static int32_t port_by_word(const lrp_layer_type *type, const char **text)
{
  const char *w = *text + strspn(*text, " ");
  const size_t n = strcspn(w, " ");
  *text = w + n;
  if (n == 1 && *w == '-') return -1;
  int32_t i = 0;
  for (const lrp_port *p = type->in; p->role; p++, i++)
    if (strlen(p->name) == n && !strncmp(p->name, w, n)) return i;
  for (const lrp_port *p = type->param; p && p->role; p++, i++)
    if (strlen(p->name) == n && !strncmp(p->name, w, n)) return i;
  return -2;
}

uint32_t lrp_count_ports(const lrp_port *p)
{
  uint32_t n = 0;
  while (p && p[n].role)
    n++;
  return n;
}

static bool bind_input(const lrp_graph *g, const lrp_layer_type *type, lrp_binding *b, int32_t port,
                       int32_t edge)
{
  const int32_t n_in = (int32_t)b->in_ports;
  if (port >= n_in) { /* a parameter: constants only */
    if (edge >= 0 && !g->edge[edge].is_const) return false;
    b->param[port - n_in] = edge;
    b->consts += edge >= 0;
    return true;
  }
  const lrp_port *p = &type->in[port];
  if (edge >= 0 && p->dtype != LRP_ANY_DTYPE && (int32_t)p->dtype != g->edge[edge].t.dtype)
    return false;
  b->in[port] = edge;
  if ((uint32_t)port + 1 > b->n_in) b->n_in = (uint32_t)port + 1;
  return true;
}

static bool bind_many(const lrp_graph *g, const lrp_layer_type *type, lrp_binding *b,
                      const int32_t *edge, uint32_t n)
{
  const uint32_t last = b->in_ports - 1;
  for (uint32_t i = 0; i < n; i++) {
    const lrp_port *p = &type->in[i < last ? i : last];
    if (i >= LRP_BIND_IN || edge[i] < 0 ||
        (p->dtype != LRP_ANY_DTYPE && (int32_t)p->dtype != g->edge[edge[i]].t.dtype))
      return false;
    b->in[i] = edge[i];
  }
  b->n_in = n;
  return n > last;
}

static bool bind_complete(const lrp_layer_type *type, const lrp_binding *b)
{
  for (uint32_t i = 0; i < b->in_ports; i++)
    if (b->in[i] < 0 && type->in[i].role != LRP_PORT_CARRIER &&
        !(type->in[i].flags & LRP_PORT_OPTIONAL))
      return false;
  for (uint32_t i = 0; i < b->n_param; i++)
    if (b->param[i] < 0 && !(type->param[i].flags & LRP_PORT_OPTIONAL)) return false;
  return true;
}

/* Bind the node's inputs to the ports of a type; false: it does not take this node. */
bool lrp_bind(const lrp_graph *g, const lrp_layer_type *type, const lrp_operator *op,
              const int32_t *edge, uint32_t n, lrp_binding *b)
{
  memset(b, -1, sizeof *b);
  b->in_ports = lrp_count_ports(type->in);
  b->n_param = lrp_count_ports(type->param);
  b->n_in = b->in_ports;
  b->consts = 0;
  if (b->n_param > LRP_BIND_PARAM) return false;
  if (!op->inputs && b->in_ports && (type->in[b->in_ports - 1].flags & LRP_PORT_MANY))
    return bind_many(g, type, b, edge, n) && bind_complete(type, b);
  const char *word = op->inputs;
  for (uint32_t i = 0; i < n; i++) {
    int32_t port = (int32_t)i;
    if (word) {
      port = *(word + strspn(word, " ")) ? port_by_word(type, &word) : -2;
      if (port == -1) { /* read by args() */
        if (edge[i] >= 0 && !g->edge[edge[i]].is_const) return false;
        continue;
      }
    }
    if (edge[i] < 0) continue;
    if (port < 0 || port >= (int32_t)(b->in_ports + b->n_param) ||
        !bind_input(g, type, b, port, edge[i]))
      return false;
  }
  return bind_complete(type, b);
}

bool lrp_operator_fits(const lrp_operator *op, const lrp_onnx_node *node, int32_t opset)
{
  const char *domain = strcmp(op->domain, "ai.onnx") ? op->domain : "";
  return !strcmp(op->name, node->op) && !strcmp(domain, node->domain) && opset >= op->since &&
         (!op->until || opset <= op->until);
}

/* Some layer type lists the operator, at whatever opset. */
bool lrp_operator_known(lrp_ctx *ctx, const lrp_onnx_node *node)
{
  int64_t n;
  const lrp_offer *offer = lrp_offers(ctx, node->op, &n);
  for (int64_t k = 0; k < n; k++)
    if (lrp_operator_fits(offer[k].op, node, offer[k].op->since)) return true;
  return false;
}

const char *lrp_operator_missing(const lrp_onnx_node *node)
{
  for (int32_t i = 0; i < node->n_attr; i++)
    if (node->attr[i].type == LRP_ATTR_GRAPH)
      return "its sub-graph runs as the input decides, which is not supported; export the model "
             "for inputs of one length";
  if (!strcmp(node->domain, "com.microsoft"))
    return "no layer type for this operator of a run-time's optimiser; export the model without "
           "optimising it, or a "
           "plugin can add one (lrp plugin new layer NAME)";
  return "no layer type for this operator; a plugin can add one (lrp plugin new layer NAME)";
}
