// report.js - the page of lrp report: controls, figures, the inputs with their heatmaps.  The state is in the address,
// so that a view can be linked to.  Every string from the data enters the page as text, never as HTML.
const data = JSON.parse(document.getElementById('data').textContent), page = document.getElementById('page');
const STEP = 24, MAPS = {auto: 'automatic', coolwarm: 'coolwarm', bwr: 'blue\u2013white\u2013red', puor: 'purple\u2013orange',
  rdbu: 'RdBu', seismic: 'seismic', coldnhot: 'cold and hot', grey: 'grey'};
const START = {model: 0, off: '', cls: 'all', sort: 'disagreement', view: 'maps', a: 0, b: 1, find: '', wrong: '',
  palette: 'auto', scale: 'map', gamma: '1', floor: '0', marks: 'colour', show: 'heat', theme: '', measure: 'cosine'};
const state = Object.assign({}, START);
let model, list = [], drawn = 0, table, paper, focus = null, rowsBox, statusBar, errors = 0;
window.addEventListener('error', () => { errors++; });

function h(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const k in props || {})
    if (k.slice(0, 2) === 'on') e.addEventListener(k.slice(2), props[k]);
    else if (k in e && k !== 'list') e[k] = props[k];
    else e.setAttribute(k, props[k]);
  children.forEach(c => { if (c !== null && c !== undefined) e.append(c); });
  return e;
}
function quote(s) {
  return /^[\w.\/:@%+=,-]+$/.test(s) ? s : "'" + s.replace(/'/g, "'\\''") + "'";
}
// The line that makes a figure again, with a button that copies it.
function reproduce(line) {
  const code = h('code', {}, visible(line));
  return h('div', {className: 'again'}, h('span', {className: 'prompt', 'aria-hidden': 'true'}, '$ '), code,
    h('button', {className: 'copy', title: 'copy this command', onclick: e => {
      const done = () => { e.target.textContent = 'copied'; };
      if (navigator.clipboard) navigator.clipboard.writeText(line).then(done, () => {});
      else { getSelection().selectAllChildren(code); done(); }
    }}, 'copy'));
}
function labelOf(m, index) {
  if (index < 0) return 'all outputs';
  const c = m.classes.find(x => x.i === index);
  return c ? c.label : 'class ' + index;
}
function targetOf(row) {
  return labelOf(model, row.t) + (row.o === undefined ? '' : ' \u2212 ' + labelOf(model, row.o));
}
function dark() {
  return state.theme ? state.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}
function paletteName() {
  if (state.palette !== 'auto') return state.palette;
  if (state.marks === 'signs') return 'grey';
  if (model.model.modality === 'text') return dark() ? 'paperdark' : 'paperlight';
  return dark() ? 'seismic' : 'bwr';
}
function active() {
  return model.columns.map((c, i) => i).filter(i => !state.off.split('.').includes(String(i)));
}
function wrong(row) {
  return row.l !== undefined && row.p !== undefined && row.l !== labelOf(model, row.p) && row.l !== String(row.p);
}
function lost(row) {
  return Math.max(0, ...row.c.map(c => c ? Math.abs(c[1] - c[2]) / Math.max(Math.abs(c[1]), 1e-12) : 0));
}
function db() {
  return ' --db ' + quote(data.db);
}

// ---- state and address ----
function save() {
  const parts = Object.keys(state).filter(k => String(state[k]) !== String(START[k]))
    .map(k => k + '=' + encodeURIComponent(state[k]));
  history.replaceState(null, '', '#' + parts.join('&'));
}
function load() {
  location.hash.slice(1).split('&').forEach(p => {
    const i = p.indexOf('='), k = p.slice(0, i);
    if (i > 0 && Object.prototype.hasOwnProperty.call(START, k)) {
      let v;
      try { v = decodeURIComponent(p.slice(i + 1)); } catch (e) { return; }
      if (typeof START[k] === 'number') v = Math.max(0, parseInt(v, 10) || 0);
      state[k] = v;
    }
  });
  if (state.model >= data.models.length) state.model = 0;
  if (!MAPS[state.palette]) state.palette = 'auto';
}
function set(change) {
  const other = 'model' in change && change.model !== state.model;
  Object.assign(state, change);
  if (other) Object.assign(state, {off: '', cls: 'all', a: 0, b: 1});
  save();
  draw();
}

// ---- pieces ----
function choice(name, key, options, hint) {
  const id = 'c-' + key;
  return h('label', {className: 'field', htmlFor: id, title: hint || ''}, h('span', {}, name),
    h('select', {id: id, onchange: e => set({[key]: e.target.value})},
      ...Object.keys(options).map(v => h('option', {value: v, selected: String(state[key]) === v}, options[v]))));
}
function toggle(text, key, on, hint) {
  const pressed = state[key] === on;
  return h('button', {className: 'pill', 'aria-pressed': String(pressed), title: hint,
    onclick: () => set({[key]: pressed ? START[key] : on})}, text);
}
function legend() {
  const bar = h('canvas', {className: 'bar', width: 255, height: 1, 'aria-hidden': 'true'}), g = bar.getContext('2d');
  table.forEach((c, i) => { g.fillStyle = css(c); g.fillRect(i, 0, 1, 1); });
  const diff = state.view === 'difference';
  const how = (state.scale === 'map' ? 'each map has its own scale: the end is its largest |R|'
    : state.scale === 'row' ? 'one scale for the rules of an input' : 'one scale for all shown') +
    (state.gamma !== '1' ? '; \u03b3 ' + state.gamma : '') + (+state.floor ? '; hidden below ' + percent(+state.floor) : '');
  return h('div', {className: 'legend'}, h('span', {}, diff ? 'more under B ' : 'against \u2212'),
    h('span', {className: 'barbox'}, bar, h('span', {className: 'zero'}, '0')),
    h('span', {}, diff ? ' more under A' : '+ for the explained class'), h('small', {}, how));
}
function heat(v) { // of a share, for tables: from the page's colour on, so that weak ones recede
  const c = paper[Math.round(127 * Math.max(-1, Math.min(1, v))) + 127];
  return {c: css(c), ink: lettersOn(c)};
}

// ---- head of the page ----
function facts() {
  const m = data.models, n = m.reduce((s, x) => s + x.rows.length, 0), all = m.reduce((s, x) => s + x.cases, 0);
  const fact = (v, t) => h('div', {className: 'fact'}, h('b', {}, String(v)), h('span', {}, t));
  return h('div', {className: 'facts'}, fact(m.length, m.length > 1 ? 'models' : 'model'),
    fact(Math.max(...m.map(x => x.columns.length)), 'rules side by side'),
    fact(m.reduce((s, x) => s + x.columns.reduce((t, c) => t + c.ledger.total.n, 0), 0).toLocaleString('en'), 'explanations'),
    fact(n.toLocaleString('en'), n < all ? 'of ' + all.toLocaleString('en') + ' inputs shown, most disagreement first'
      : 'inputs and targets, all shown'));
}
function masthead() {
  const e = data.experiments;
  document.title = (e.length === 1 ? e[0].name : 'Explanations') + ' \u00b7 lrp report';
  return h('header', {className: 'mast'},
    h('div', {className: 'brand'}, h('span', {className: 'logo', 'aria-hidden': 'true'}), 'lrp report',
      h('span', {className: 'when'}, data.made)),
    h('h1', {}, e.length === 1 ? visible(e[0].name) : e.length + ' experiments'),
    ...e.filter(x => x.note).map(x => h('p', {className: 'note'}, visible(x.note))),
    e.length > 1 ? h('p', {className: 'note'}, visible(e.map(x => x.name).join(', '))) : null,
    facts(), reproduce(data.command));
}
function runTable() {
  const first = data.runs[0] || {};
  const cells = (r, tag, list) => h('tr', {}, ...list.map(x => h(tag, {}, visible(String(x)))));
  return h('details', {className: 'made'}, h('summary', {}, 'How this was made: models, rules, machine, commands'),
    h('h3', {}, 'Models'),
    ...data.models.map(m => h('dl', {}, h('dt', {}, visible(m.model.name)),
      h('dd', {}, visible([m.model.modality, m.model.params.toLocaleString('en') + ' parameters',
        m.model.kind, m.model.producer, m.model.opset === null ? null : 'opset ' + m.model.opset].filter(Boolean).join(' \u00b7 '))),
      h('dd', {}, 'SHA-256 ', h('code', {}, m.model.sha256)), h('dd', {}, visible(m.model.path || '')))),
    h('h3', {}, 'Rules'),
    ...data.models.map(m => h('div', {}, ...m.columns.map(c => h('details', {}, h('summary', {}, visible(c.name + ', ' + m.model.name)),
      h('pre', {}, visible(c.spec || 'the method ' + c.method + ' needs no composite')))))),
    h('h3', {}, 'Runs'),
    h('div', {className: 'wide'}, h('table', {}, h('thead', {}, cells(0, 'th', ['run', 'model', 'rules', 'status', 'explained', 'errors', 'seconds', 'numbers', 'started'])),
      h('tbody', {}, ...data.runs.map(r => cells(r, 'td', [r.id, r.model, r.rules, r.status, r.n, r.errors,
        r.seconds === null ? '' : number(r.seconds), r.precision, r.started]))))),
    h('h3', {}, 'Machine'),
    h('p', {}, visible([...new Set(data.runs.map(r => 'lrp ' + r.lrp + ', ' + r.cpu + ', ' + r.threads + ' threads, ' + r.os + ', ' + r.host))].join('; '))),
    h('h3', {}, 'Commands'),
    ...[...new Set(data.runs.map(r => commandOf(r.argv)))].slice(0, 50).map(reproduce),
    first.id === undefined ? null : h('p', {}, h('small', {}, 'Exact values are in the database ', h('code', {}, visible(data.db)),
      '; here each is one byte, off by at most 0.4\u202f% of its map\u2019s largest.')));
}
function commandOf(argv) {
  try { return JSON.parse(argv).map((w, i) => i ? quote(w) : 'lrp').join(' '); } catch (e) { return argv; }
}

// ---- controls ----
function controls() {
  const targets = [...new Set(model.rows.map(r => r.o === undefined ? String(r.t) : r.t + '-' + r.o))];
  const classes = {all: 'all'};
  targets.forEach(t => { const p = t.split('-').map(Number); classes[t] = labelOf(model, p[0]) + (t.indexOf('-') > 0 ? ' \u2212 ' + labelOf(model, p[1]) : ''); });
  const names = {};
  model.columns.forEach((c, i) => { names[i] = c.name; });
  const pictures = model.model.modality !== 'text';
  return h('nav', {className: 'controls', 'aria-label': 'what is shown'},
    data.models.length > 1 ? h('div', {className: 'tabs', role: 'group', 'aria-label': 'model'}, ...data.models.map((m, i) =>
      h('button', {className: 'tab', 'aria-pressed': String(i === state.model), onclick: () => set({model: i})}, visible(m.model.name)))) : null,
    h('div', {className: 'line1', role: 'group', 'aria-label': 'rules, keys 1 to 9'}, ...model.columns.map((c, i) =>
      h('button', {className: 'pill', 'aria-pressed': String(active().includes(i)), title: 'key ' + (i + 1), onclick: () => flip(i)},
        i < 9 ? h('kbd', {}, String(i + 1)) : null, visible(c.name)))),
    h('div', {className: 'line2'},
      choice('class', 'cls', classes, 'key c'),
      choice('sort by', 'sort', {disagreement: 'disagreement', residual: 'residual', error: 'error', order: 'order of the data'}, 'key s'),
      toggle('difference', 'view', 'difference', 'key d'),
      state.view === 'difference' ? choice('A', 'a', names) : null, state.view === 'difference' ? choice('B', 'b', names) : null,
      model.rows.some(r => r.l !== undefined) ? toggle('wrong only', 'wrong', '1', 'key w') : null,
      toggle('without colour', 'marks', 'signs', 'key n: signs and digits instead of colours'),
      pictures ? toggle('overlay', 'show', 'overlay', 'key o') : null,
      h('label', {className: 'field', htmlFor: 'find'}, h('span', {}, 'find'), h('input', {id: 'find', type: 'search', value: state.find, title: 'key /',
        onchange: e => set({find: e.target.value})})),
      h('details', {className: 'more'}, h('summary', {}, 'more'),
        choice('colours', 'palette', MAPS), choice('scale', 'scale', {map: 'each map', row: 'each input', all: 'all'}),
        choice('gamma', 'gamma', {'1': '1', '0.5': '0.5', '2': '2'}), choice('hide below', 'floor', {'0': 'nothing', '0.05': '5 %', '0.1': '10 %', '0.25': '25 %', '0.5': '50 %'}),
        choice('page', 'theme', {'': 'as the system', light: 'light', dark: 'dark'}),
        h('p', {className: 'help'}, 'Keys: 1\u20139 rules, d difference, c class, s sort, n without colour, o overlay, w wrong only, / find, ',
          'j and k next and previous input, arrows from token to token or pixel to pixel.'))));
}
function flip(i) {
  const off = state.off.split('.').filter(Boolean), at = off.indexOf(String(i));
  if (at >= 0) off.splice(at, 1);
  else if (off.length < model.columns.length - 1) off.push(String(i));
  set({off: off.join('.')});
}

// ---- inputs ----
function choose() {
  const find = state.find.toLowerCase();
  list = model.rows.filter(r => (state.cls === 'all' || state.cls === (r.o === undefined ? String(r.t) : r.t + '-' + r.o)) &&
    (!state.wrong || wrong(r)) && (!find || ((r.s || '') + ' ' + (r.f || '') + ' ' + (r.l || '')).toLowerCase().includes(find)));
  const key = {residual: r => -lost(r), error: r => (wrong(r) ? -2 - (r.q || 0) : r.l === undefined ? 1 : r.q || 0),
    order: r => r.i, disagreement: null}[state.sort];
  if (key) list = list.map((r, i) => [key(r), i, r]).sort((x, y) => x[0] - y[0] || x[1] - y[1]).map(x => x[2]);
}
function columnsOf(row) {
  if (state.view !== 'difference') return active().filter(i => row.c[i] && row.c[i][4]).map(i => ({name: model.columns[i].name, key: i, cell: row.c[i], q: decode(row.c[i][4])}));
  const a = row.c[Math.min(state.a, row.c.length - 1)], b = row.c[Math.min(state.b, row.c.length - 1)];
  if (!a || !b || !a[4] || !b[4]) return [];
  const x = decode(a[4]), y = decode(b[4]);
  return [{name: 'A: ' + model.columns[state.a].name, cell: a, q: x}, {name: 'B: ' + model.columns[state.b].name, cell: b, q: y},
    {name: 'A \u2212 B', q: x.map((v, i) => Math.round((v - y[i]) / 2)), diff: true}];
}
let figureMax = 1;
function look(col, row, picture) {
  let stretch = 1;
  if (!col.diff && state.scale === 'row') stretch = col.cell[3] / Math.max(1e-300, ...row.c.filter(Boolean).map(c => c[3]));
  if (!col.diff && state.scale === 'all') stretch = col.cell[3] / figureMax;
  return {table: table, gamma: +state.gamma, floor: +state.floor, stretch: stretch, signs: state.marks === 'signs',
    overlay: picture && state.show === 'overlay' && row.png};
}
function caption(col) {
  if (col.diff) return h('small', {}, '\u00bd(A/max|A| \u2212 B/max|B|)');
  const c = col.cell, share = (c[1] - c[2]) / Math.max(Math.abs(c[1]), 1e-12);
  return h('small', {title: 'explained ' + number(c[1]) + ', arrived ' + number(c[2])}, h('span', {}, 'max ' + number(c[3])), ' ', h('span', {}, 'residual ' + percent(Math.abs(share))));
}
function paintText(row, cols) {
  const tokens = tokensOf(row);
  return h('div', {className: 'lines'}, ...cols.map(col => {
    const l = look(col, row), box = h('div', {className: 'text', dir: 'auto'});
    let at = 0;
    tokens.forEach((t, i) => {
      if (t.end === t.begin && !t.name) return;
      if (t.begin > at) box.append(visible(row.s.slice(at, t.begin)));
      at = Math.max(at, t.end);
      const v = shade(col.q[i], l), strong = Math.abs(v) > 127 / 18;
      if (t.name && !strong) return;
      const e = h('span', {className: t.name ? 'tok special' : 'tok'}, visible(t.name || row.s.slice(t.begin, t.end)));
      e.dataset.i = i;
      if (strong) {
        const c = table[v + 127];
        if (l.signs) {
          e.classList.add(v > 0 ? 'plus' : 'minus');
          e.style.borderBottomWidth = (1 + Math.round(Math.abs(v) / 42)) + 'px';
          e.append(h('sub', {}, (v > 0 ? '+' : '\u2212') + Math.max(1, Math.round(Math.abs(v) / 127 * 9))));
        } else {
          e.style.background = css(c);
          e.style.color = lettersOn(c);
        }
      }
      box.append(e);
    });
    if (at < row.s.length) box.append(visible(row.s.slice(at)));
    return h('div', {className: 'tline'}, h('div', {className: 'rule'}, h('b', {}, visible(col.name)), caption(col)), box);
  }));
}
function paintPictures(row, cols) {
  const flat = row.h === 1, image = row.png ? 'data:image/png;base64,' + row.png : null;
  const size = e => { e.style.aspectRatio = flat ? '24 / 1' : row.w + ' / ' + row.h; return e; };
  return h('div', {className: flat ? 'maps flat' : 'maps'},
    image ? h('figure', {}, size(h('img', {src: image, alt: 'the input', className: 'map'})), h('figcaption', {}, h('b', {}, 'input'))) : null,
    ...cols.map(col => {
      const canvas = size(h('canvas', {className: 'map', role: 'img', 'aria-label': 'relevance, ' + col.name})), l = look(col, row, true);
      paintGrid(canvas, col.q, row.h, row.w, l);
      const box = h('div', {className: l.overlay ? 'over' : ''}, l.overlay ? size(h('img', {src: image, alt: '', className: 'map under'})) : null, canvas);
      return h('figure', {}, box, h('figcaption', {}, h('b', {}, visible(col.name)), caption(col)));
    }));
}
function commandFor(row) {
  const m = quote(model.model.path || model.model.name), i = active()[0] || 0, c = model.columns[i];
  const how = (c.method === 'lrp' ? ' --rules ' + quote(c.name.replace(/, run .*/, '')) : ' --method ' + c.method) +
    (row.t < 0 ? ' --target all' : ' --target ' + quote(labelOf(model, row.t) + (row.o === undefined ? '' : '-' + labelOf(model, row.o))));
  if (c.method !== 'import' && row.s !== undefined && row.s.length < 2000) return 'lrp explain ' + m + ' --text ' + quote(row.s) + how;
  if (c.method !== 'import' && row.f && row.n === undefined && row.png) return 'lrp explain ' + m + ' ' + quote(row.f) + how;
  const ids = active().map(k => row.c[k] && row.c[k][0]).filter(Boolean);
  return 'lrp sql "SELECT explanation_id, f32_json(r) AS relevance FROM explanation WHERE explanation_id IN (' + ids.join(', ') + ')"' + db();
}
function article(row, place) {
  const bad = wrong(row), cols = columnsOf(row), text = row.s !== undefined;
  const name = row.f ? row.f.replace(/^.*\//, '') + (row.n !== undefined && row.f.indexOf('#') < 0 ? ', ' + row.n : '') : 'input ' + row.i;
  const a = h('article', {tabIndex: 0, className: 'case' + (bad ? ' wrong' : '')},
    h('div', {className: 'head'}, h('span', {className: 'place'}, String(place)),
      h('span', {className: 'said'}, bad ? '\u2717 ' : '', 'predicted ', h('b', {}, row.p === undefined ? '\u2013' : visible(labelOf(model, row.p))), row.q === undefined ? '' : ' ' + chance(row.q)),
      row.l === undefined ? null : h('span', {}, 'true ', h('b', {}, visible(row.l))),
      h('span', {}, 'explained ', h('b', {}, visible(targetOf(row)))),
      row.d === null ? null : h('span', {title: '1 \u2212 mean cosine of its rules'}, 'disagreement ', h('b', {}, number(row.d))),
      h('span', {className: 'src', title: visible(row.f || '')}, visible(name))),
    cols.length ? (text ? paintText(row, cols) : paintPictures(row, cols)) : h('p', {className: 'sub'}, 'Not drawn: several inputs, or other sizes under the rules; the numbers are in the database.'),
    h('details', {className: 'cmd'}, h('summary', {}, 'command'), reproduce(commandFor(row))));
  a.row = row;
  a.cols = cols;
  return a;
}
function more() {
  const end = Math.min(list.length, drawn + STEP);
  for (; drawn < end; drawn++) rowsBox.insertBefore(article(list[drawn], drawn + 1), rowsBox.lastChild);
  rowsBox.lastChild.hidden = drawn >= list.length;
  rowsBox.lastChild.textContent = 'show more (' + (list.length - drawn).toLocaleString('en') + ')';
}

// ---- what the pointer or the cursor is on ----
function tell(a, i, x, y) {
  const row = a.row, text = row.s !== undefined, tokens = text ? tokensOf(row) : null;
  statusBar.replaceChildren();
  focus = {a: a, i: i};
  a.querySelectorAll('.at').forEach(e => e.classList.remove('at'));
  if (i === null) { statusBar.hidden = true; return; }
  if (text) a.querySelectorAll('[data-i="' + i + '"]').forEach(e => e.classList.add('at'));
  const t = text ? tokens[i] : null;
  statusBar.append(h('b', {className: 'what'}, text ? visible(t.name || row.s.slice(t.begin, t.end)) : row.h === 1 ? 'place ' + x : 'x ' + x + ', y ' + y));
  a.cols.forEach(col => {
    const v = col.q[i] / 127 * (col.diff ? 1 : col.cell[3]), whole = col.diff ? 0 : col.cell[1];
    let s = signed(v) + (whole ? ' (' + percent(v / whole) + ')' : '');
    if (text && !col.diff) {
      const same = tokens.map((k, j) => j).filter(j => tokens[j].word === t.word);
      if (same.length > 1) s += ', word ' + signed(same.reduce((z, j) => z + col.q[j], 0) / 127 * col.cell[3]);
    }
    statusBar.append(h('span', {}, h('i', {}, visible(col.name)), ' ' + s));
  });
  statusBar.hidden = false;
}
function pointed(e) {
  const a = e.target.closest('article');
  if (!a) return;
  if (e.target.closest('.tok')) return tell(a, +e.target.closest('.tok').dataset.i);
  if (e.target.classList.contains('map') && a.row.h) {
    const r = e.target.getBoundingClientRect(), x = Math.min(a.row.w - 1, Math.max(0, Math.floor((e.clientX - r.left) / r.width * a.row.w))),
      y = Math.min(a.row.h - 1, Math.max(0, Math.floor((e.clientY - r.top) / r.height * a.row.h)));
    return tell(a, y * a.row.w + x, x, y);
  }
  if (!statusBar.hidden) tell(a, null);
}
function walk(a, key) {
  const row = a.row, n = a.cols.length ? a.cols[0].q.length : 0, w = row.w || 1;
  let i = focus && focus.a === a && focus.i !== null ? focus.i : -1;
  i += {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -w, ArrowDown: w}[key];
  if (i < 0 && focus && focus.a === a && focus.i === null) i = 0;
  if (n) tell(a, Math.max(0, Math.min(n - 1, i)), Math.max(0, Math.min(n - 1, i)) % w, Math.floor(Math.max(0, Math.min(n - 1, i)) / w));
}
function next(key, options) {
  const i = options.indexOf(String(state[key]));
  set({[key]: options[(i + 1) % options.length]});
}
function step(by) {
  const all = [...rowsBox.querySelectorAll('article')], i = all.indexOf(document.activeElement);
  if (i + by >= all.length) more();
  const e = rowsBox.querySelectorAll('article')[Math.max(0, i + by)];
  if (e) { e.focus(); e.scrollIntoView({block: 'nearest'}); }
}
function keyed(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
  const a = document.activeElement && document.activeElement.closest ? document.activeElement.closest('article') : null;
  const k = e.key;
  if (k >= '1' && k <= '9' && +k <= model.columns.length) flip(+k - 1);
  else if (k === 'd') set({view: state.view === 'maps' ? 'difference' : 'maps'});
  else if (k === 'c') next('cls', [...document.getElementById('c-cls').options].map(o => o.value));
  else if (k === 's') next('sort', ['disagreement', 'residual', 'error', 'order']);
  else if (k === 'n') set({marks: state.marks === 'colour' ? 'signs' : 'colour'});
  else if (k === 'o') set({show: state.show === 'heat' ? 'overlay' : 'heat'});
  else if (k === 'w') set({wrong: state.wrong ? '' : '1'});
  else if (k === 'j') step(1);
  else if (k === 'k') step(-1);
  else if (k === '/') document.getElementById('find').focus();
  else if (/^Arrow/.test(k) && a && (a.row.h || k === 'ArrowLeft' || k === 'ArrowRight')) walk(a, k);
  else return;
  e.preventDefault();
}

// ---- all of it ----
function draw() {
  const openMore = page.querySelector('.more') && page.querySelector('.more').open, top = scrollY,
    focused = document.activeElement && document.activeElement.id;
  document.documentElement.dataset.theme = state.theme;
  model = data.models[state.model];
  const sheet = rgbOf(getComputedStyle(document.documentElement).getPropertyValue('--paper').trim().slice(1));
  table = lookup(paletteName(), sheet);
  paper = lookup(state.marks === 'signs' ? 'grey' : dark() ? 'paperdark' : 'paperlight', sheet);
  figureMax = Math.max(1e-300, ...model.rows.map(r => Math.max(0, ...r.c.filter(Boolean).map(c => c[3]))));
  choose();
  drawn = 0;
  rowsBox = h('div', {className: 'rows'}, h('button', {className: 'next', onclick: more}, ''));
  statusBar = h('div', {className: 'status', role: 'status', 'aria-live': 'polite', hidden: true});
  page.replaceChildren(masthead(), runTable(), controls(),
    h('div', {className: 'cards'}, matrix(), ledger(), words()),
    h('div', {className: 'count'}, h('h2', {}, list.length.toLocaleString('en') + (list.length === 1 ? ' input' : ' inputs')), legend()),
    list.length ? rowsBox : h('p', {className: 'sub'}, 'Nothing is left under these filters.'),
    h('footer', {}, 'lrp ' + data.lrp + '. This page holds all it needs; it loads nothing.'), statusBar);
  more();
  if (openMore) page.querySelector('.more').open = true;
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
  scrollTo(0, top);
}
// Presses its own keys and buttons, and writes what it found into the page: for the tests of lrp.
function selftest() {
  const found = [], press = k => document.dispatchEvent(new KeyboardEvent('keydown', {key: k, bubbles: true, cancelable: true}));
  const check = (what, ok) => found.push((ok ? 'ok ' : 'FAILED ') + what);
  const maps = () => page.querySelectorAll('article:first-child .tline, article:first-child canvas').length;
  data.models.forEach((m, i) => {
    set(Object.assign({}, START, {model: i}));
    const n = maps(), first = page.querySelector('article');
    check('model ' + i + ' has inputs and maps', !!first && n > 0);
    check('each token has its value and its place', m.rows.every(r => r.s === undefined || r.c.every(c => !c || !c[4] || decode(c[4]).length === tokensOf(r).length) &&
      tokensOf(r).every(t => t.end <= r.s.length && (t.end > t.begin || t.name !== undefined) && r.s.slice(t.begin, t.end).trim() === r.s.slice(t.begin, t.end))));
    check('a strip is as wide as its values', m.rows.every(r => r.s !== undefined || r.h !== 1 || r.c.every(c => !c || !c[4] || decode(c[4]).length === r.w)) &&
      [...page.querySelectorAll('.flat canvas')].every(c => c.width === list[0].w && c.clientWidth > 10 * c.clientHeight || first !== c.closest('article')));
    check('zero is the middle', table.length === 255 && (paletteName() === 'coldnhot' || Math.min(...table[127]) >= Math.min(...table[0])));
    if (m.columns.length > 1) {
      press('1');
      check('key 1 hides a rule', maps() === n - 1 && active().length === m.columns.length - 1);
      press('1');
      press('d');
      check('key d shows a difference', maps() === 3);
      press('d');
    }
    press('n');
    check('key n needs no colour', state.marks === 'signs' && (m.model.modality !== 'text' || !page.querySelector('.tok[style*="background"]')));
    press('n');
    ['residual', 'error', 'order', 'disagreement'].forEach(s => { press('s'); check('key s sorts by ' + s, state.sort === s); });
    check('sorted by disagreement', list.every((r, k) => !k || r.d === null || list[k - 1].d >= r.d));
    press('c');
    check('key c selects a class', state.cls !== 'all' && list.every(r => String(r.t) === state.cls.split('-')[0]));
    set({cls: 'all', find: 'no such text anywhere'});
    check('find leaves nothing', list.length === 0);
    set({find: ''});
    press('j');
    const a = document.activeElement;
    press('ArrowRight');
    check('arrows read values', a.tagName === 'ARTICLE' && !statusBar.hidden && /\d/.test(statusBar.textContent));
    Object.keys(MAPS).forEach(p => { set({palette: p}); check('palette ' + p, table.length === 255); });
    set({palette: 'auto', theme: 'dark', scale: 'row', gamma: '0.5'});
    set({theme: '', scale: 'all', gamma: '1', show: 'overlay'});
    set({scale: 'map', show: 'heat'});
  });
  check('no element from the data', !page.querySelector('script, iframe, object, [onerror], [onload]') && !window.hostile);
  check('no error', errors === 0);
  set(Object.assign({}, START));
  const bad = found.filter(x => x[0] === 'F');
  document.documentElement.dataset.selftest = bad.length ? bad.join('; ') : 'passed ' + found.length;
}
load();
document.addEventListener('keydown', keyed);
document.addEventListener('mousemove', pointed);
document.addEventListener('click', pointed);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
window.addEventListener('hashchange', () => { Object.assign(state, START); load(); draw(); });
draw();
if (location.hash === '#selftest') selftest();
