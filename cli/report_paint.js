// report_paint.js - decodes relevance and turns it into colours, signs and numbers.  Zero is the exact middle of
// every scale.  Part of the page that lrp report writes; no library, no network.
'use strict';
// Anchors from -1 (against) to 1 (for).  "page" stands for the colour of the page.
const PALETTES = {
  coolwarm: ['3b4cc0', '8db0fe', 'dddddd', 'f49a7b', 'b40426'],
  bwr: ['0000ff', '8080ff', 'ffffff', 'ff8080', 'ff0000'],
  puor: ['2d004b', '8073ac', 'f7f7f7', 'e08214', '7f3b08'],
  rdbu: ['053061', '4393c3', 'f7f7f7', 'd6604d', '67001f'],
  seismic: ['00004c', '0000ff', 'ffffff', 'ff0000', '800000'],
  coldnhot: ['00ffff', '0000ff', '000000', 'ff0000', 'ffff00'],
  grey: ['404040', 'a0a0a0', 'ffffff', 'a0a0a0', '404040'],
  paperlight: ['3b4cc0', '8db0fe', 'page', 'f49a7b', 'b40426'],
  paperdark: ['8db0fe', '4a63b8', 'page', 'b0523f', 'ff9d80']
};

function rgbOf(hex) {
  const v = parseInt(hex, 16);
  return [v >> 16, v >> 8 & 255, v & 255];
}

// 255 colours, one for each byte of relevance: index 127 is zero.
function lookup(name, page) {
  const anchor = PALETTES[name].map(h => h === 'page' ? page : rgbOf(h)), table = [];
  for (let q = -127; q <= 127; q++) {
    const x = (q / 127 + 1) * 2, i = Math.min(3, Math.floor(x)), t = x - i;
    table.push([0, 1, 2].map(k => Math.round(anchor[i][k] * (1 - t) + anchor[i + 1][k] * t)));
  }
  return table;
}

// Letters that read better on a colour: the larger contrast of WCAG 2.
function lettersOn(c) {
  const l = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4));
  return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2] > 0.179 ? '#000' : '#fff';
}

function css(c) {
  return 'rgb(' + c.join(',') + ')';
}

// base64 to signed bytes.
function decode(text) {
  const s = atob(text), v = new Int8Array(s.length);
  for (let i = 0; i < s.length; i++) v[i] = s.charCodeAt(i);
  return v;
}

// Tokens of a text: [begin, end, first token of its word].  See put_token() in report_rows.c.
function tokensOf(row) {
  const DIGIT = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', out = [];
  let at = 0, i = 0;
  const count = () => {
    let v = 0;
    for (; row.k[i] === '/'; i++) v += 63;
    return v + DIGIT.indexOf(row.k[i++]);
  };
  while (i < row.k.length) {
    const digit = DIGIT.indexOf(row.k[i++]), common = digit < 60, gap = common ? Math.floor(digit / 15) : count(),
      n = common ? digit % 15 + 1 : count();
    at += gap >> 1;
    const word = gap & 1 && out.length ? out[out.length - 1].word : out.length;
    out.push({begin: at, end: at + n, word: word});
    at += n;
  }
  row.z.forEach(z => { out[z[0]].name = z[1]; });
  return out;
}

// Signs that would change how the text around them is shown become visible.
function visible(s) {
  return s.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    c => '\u27e8U+' + ('000' + c.charCodeAt(0).toString(16).toUpperCase()).slice(-4) + '\u27e9');
}

function number(v) {
  if (v === null || !isFinite(v)) return '\u2013';
  const s = Math.abs(v) >= 1e5 || (v && Math.abs(v) < 1e-3) ? v.toExponential(1)
    : String(+v.toPrecision(Math.abs(v) >= 100 ? 4 : 3));
  return s.replace('-', '\u2212');
}

function signed(v) {
  return (v > 0 ? '+' : '') + number(v);
}

function percent(v) {
  if (!isFinite(v)) return '\u2013';
  const p = 100 * v, s = Math.abs(p) >= 99.95 || Math.abs(p) < 0.05 ? p.toFixed(0) : p.toFixed(1);
  return (Math.abs(p) >= 1e4 ? 'over 9999' : s.replace('-', '\u2212').replace(/^\u22120$/, '0')) + '\u202f%';
}

// A probability that is not exactly 0 or 1 is never shown so.
function chance(p) {
  return p > 0.9995 && p < 1 ? '> 99.9\u202f%' : p < 0.0005 && p > 0 ? '< 0.1\u202f%' : percent(p);
}

// Relevance (h,w), bytes -127..127, on a canvas.  look: table, gamma, stretch, floor, signs, overlay (an image).
function paintGrid(canvas, q, h, w, look) {
  const zoom = look.signs ? Math.max(4, Math.ceil(168 / Math.max(h, w))) : 1, g = canvas.getContext('2d');
  canvas.width = w * zoom;
  canvas.height = h * zoom;
  if (look.signs) return paintSigns(g, q, h, w, zoom, look);
  const map = g.createImageData(w, h);
  for (let i = 0; i < h * w; i++) {
    const v = shade(q[i], look), c = look.table[v + 127];
    map.data[4 * i] = c[0];
    map.data[4 * i + 1] = c[1];
    map.data[4 * i + 2] = c[2];
    map.data[4 * i + 3] = look.overlay ? Math.abs(v) * 2 : 255;
  }
  g.putImageData(map, 0, 0);
}

// Without colour: a minus against, a plus for, the longer and darker the stronger.
function paintSigns(g, q, h, w, zoom, look) {
  g.fillStyle = look.overlay ? 'rgba(255,255,255,.55)' : '#fff';
  g.fillRect(0, 0, w * zoom, h * zoom);
  for (let i = 0; i < h * w; i++) {
    const v = shade(q[i], look), a = Math.abs(v) / 127;
    if (a < 1 / 18) continue;
    const x = i % w * zoom, y = Math.floor(i / w) * zoom, n = Math.max(2, Math.round(a * (zoom - 1))),
      m = (zoom - n) / 2, t = zoom > 7 ? 2 : 1, k = Math.round(150 * (1 - a));
    g.fillStyle = css([k, k, k]);
    g.fillRect(x + m, y + (zoom - t) / 2, n, t);
    if (v > 0) g.fillRect(x + (zoom - t) / 2, y + m, t, n);
  }
}

// A byte under the look's scale, threshold and gamma; a whole number from -127 to 127.
function shade(q, look) {
  let v = Math.max(-1, Math.min(1, q / 127 * look.stretch));
  if (Math.abs(v) < look.floor) return 0;
  if (look.gamma !== 1) v = Math.sign(v) * Math.pow(Math.abs(v), look.gamma);
  return Math.round(127 * v);
}
