// report_overview.js - the cards of the report's overview: do the rules agree, is relevance conserved, which words count.
// All parts of the page are one function: names are shared with report_paint.js and report.js.
function matrix() {
  const on = active(), m = model[state.measure];
  const body = on.map(a => h('tr', {}, h('th', {scope: 'row'}, visible(model.columns[a].name)), ...on.map(b => {
    const v = m[a][b], td = h('td', {title: model.columns[a].name + ' and ' + model.columns[b].name}, v === null ? '\u2013' : v.toFixed(2).replace('-', '\u2212'));
    if (v !== null && a !== b) {
      const c = heat(v * 0.8);
      td.style.background = c.c;
      td.style.color = c.ink;
    } else td.className = 'self';
    return td;
  })));
  const pairs = on.flatMap((a, i) => on.slice(i + 1).map(b => 'lrp compare ' + model.columns[a].runs[0] + ' ' + model.columns[b].runs[0] + db()));
  if (model.columns.length < 2) return null;
  return h('section', {className: 'card'}, h('h2', {}, 'Do the rules agree?'),
    h('p', {className: 'sub'}, 'Mean ' + (state.measure === 'cosine' ? 'cosine' : 'rank correlation (Spearman)') + ' over ' + (model.cases === 1 ? 'one input' : model.cases.toLocaleString('en') + ' inputs and targets') + '. ',
      h('button', {className: 'link', onclick: () => set({measure: state.measure === 'cosine' ? 'spearman' : 'cosine'})},
        state.measure === 'cosine' ? 'show ranks' : 'show cosines')),
    h('div', {className: 'wide'}, h('table', {className: 'matrix'}, h('thead', {}, h('tr', {}, h('td', {}), ...on.map(i => h('th', {scope: 'col'}, h('span', {}, visible(model.columns[i].name)))))),
      h('tbody', {}, ...body))),
    data.chosen ? h('details', {className: 'cmd'}, h('summary', {}, 'commands'), ...pairs.map(reproduce)) : reproduce('lrp sql @agreement' + db()));
}
const PARTS = [['arrived', 'reached the input'], ['bias', 'taken by biases'], ['stab', 'lost to the stabiliser'],
  ['gate', 'dropped by the rule'], ['rest', 'unexplained']];
function shares(column) {
  const t = column.ledger.total, v = Math.max(t.value || 0, 1e-12), s = {arrived: (t.arrived || 0) / v, bias: 0, stab: 0, gate: 0};
  column.ledger.layer.forEach(l => { s.bias += l.bias / v; s.stab += l.stab / v; s.gate += l.gate / v; });
  s.rest = 1 - s.arrived - s.bias - s.stab - s.gate;
  return s;
}
// Parts to the right of 0 where they are positive, to the left where they are negative.
function stack(s, lo, hi, keys) {
  const box = h('div', {className: 'stack'}), pos = v => 100 * (v - lo) / (hi - lo);
  let right = 0, left = 0;
  keys.forEach(([k, what]) => {
    const v = s[k];
    if (Math.abs(v) < 5e-4) return;
    const from = v > 0 ? right : left + v, e = h('span', {className: 'part ' + k, title: what + ': ' + percent(v)},
      pos(Math.abs(v) + lo) > 11 ? percent(v) : '');
    e.style.left = pos(from) + '%';
    e.style.width = pos(Math.abs(v) + lo) + '%';
    if (v > 0) right += v; else left += v;
    box.append(e);
  });
  [0, 1].forEach(v => {
    const line = h('i', {className: 'line'});
    line.style.left = pos(v) + '%';
    if (v >= lo && v <= hi) box.append(line);
  });
  return box;
}
// The sums of one column, where not all runs are shown.
function flowsOf(column) {
  return 'lrp sql "SELECT sum(abs(x.target_value)) AS score, sum(x.r_sum) AS arrived, sum(f.bias) AS bias, sum(f.stab) AS stabiliser, ' +
    'sum(f.gate) AS rule FROM explanation x LEFT JOIN (SELECT explanation_id, sum(r_bias) AS bias, sum(r_stab) AS stab, sum(r_gate) AS gate ' +
    'FROM layer_flow GROUP BY 1) f USING (explanation_id) WHERE x.run_id IN (' + column.runs.join(', ') + ') AND x.layer_id IS NULL"' + db();
}
function ledger() {
  const on = active(), all = on.map(i => shares(model.columns[i]));
  let lo = 0, hi = 1;
  all.forEach(s => {
    lo = Math.min(lo, PARTS.reduce((t, p) => t + Math.min(0, s[p[0]]), 0));
    hi = Math.max(hi, PARTS.reduce((t, p) => t + Math.max(0, s[p[0]]), 0));
  });
  const a = on.length ? model.columns[on[0]] : null;
  return h('section', {className: 'card'}, h('h2', {}, 'Where did the relevance go?'),
    h('p', {className: 'sub'}, 'Shares of all explained scores. What reached the input is what the maps below show; the dashed lines stand at 0 and 100\u202f%.'),
    h('div', {className: 'bars'}, ...on.map((i, k) => h('div', {className: 'barline'}, h('span', {className: 'name'}, visible(model.columns[i].name)), stack(all[k], lo, hi, PARTS)))),
    h('p', {className: 'keys'}, ...PARTS.map(p => h('span', {}, h('i', {className: 'part ' + p[0]}), p[1]))),
    a && a.ledger.layer.length ? h('details', {}, h('summary', {}, 'by layer, under ' + visible(a.name)), layers(a)) : null,
    data.chosen ? h('details', {className: 'cmd'}, h('summary', {}, 'commands'), ...on.map(i => reproduce(flowsOf(model.columns[i])))) :
      reproduce('lrp sql @ledger' + db()));
}
function layers(column) {
  const v = Math.max(column.ledger.total.value || 0, 1e-12), cell = x => h('td', {}, Math.abs(x / v) < 5e-4 ? '\u00b7' : percent(x / v));
  return h('div', {className: 'wide'}, h('table', {}, h('thead', {}, h('tr', {}, ...['layer, from the output', 'rule', 'bias', 'stabiliser', 'rule\u2019s own', 'leak'].map(t => h('th', {}, t)))),
    h('tbody', {}, ...column.ledger.layer.map(l => h('tr', {}, h('td', {}, visible(l.op + ' ' + l.name)), h('td', {}, visible(l.rule)),
      cell(l.bias), cell(l.stab), cell(l.gate), cell(l.leak))))));
}
function words() {
  const on = active().filter(i => model.columns[i].words.length);
  if (!on.length) return null;
  const classes = [...new Set(on.flatMap(i => model.columns[i].words.map(w => w.t)))]
    .filter(t => state.cls === 'all' || state.cls === String(t)).slice(0, 6);
  return h('section', {className: 'card words'}, h('h2', {}, 'Which words speak for a class?'),
    h('p', {className: 'sub'}, 'Mean relevance over all texts of the runs; how often the word was met.'),
    ...classes.map(t => h('div', {}, h('h3', {}, visible(labelOf(model, t))), h('div', {className: 'lists'}, ...on.map(i => {
      const list = model.columns[i].words.filter(w => w.t === t).slice(0, 10), top = list.length ? list[0].r : 1;
      return h('div', {}, h('h4', {}, visible(model.columns[i].name)), h('ol', {}, ...list.map(w => {
        const bar = h('i', {}), c = heat(0.35 + 0.5 * w.r / top);
        bar.style.width = Math.max(0, 100 * w.r / top) + '%';
        bar.style.background = c.c;
        return h('li', {}, bar, h('b', {}, visible(w.w)), h('span', {}, (w.r > 0 ? '+' : '\u2212') + Math.abs(w.r).toFixed(2) + ' \u00d7' + w.n));
      })));
    })))),
    data.chosen ? h('details', {className: 'cmd'}, h('summary', {}, 'commands'), ...on.map(i => reproduce('lrp sql "SELECT * FROM top_words(10, ' + model.columns[i].runs[0] + ')"' + db()))) :
      reproduce('lrp sql @top-words' + (state.cls === 'all' || classes.length !== 1 ? '' : ' --class ' + quote(labelOf(model, classes[0]))) + db()));
}

