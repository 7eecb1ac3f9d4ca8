// Messages by their layout: a dialect's file, laid open by the server.

/** A hole that has to be filled and isn't. */
export class Missing extends Error {
  constructor(piece) {
    super(piece.hole);
    this.piece = piece;
  }
}

/** The text of a value, undefined where an optional hole is empty. */
function textOf(pieces, values) {
  let out = '';
  for (const p of pieces) {
    if (!p.hole) {
      out += p.text ?? '';
      continue;
    }
    const value = values.get(p.hole) ?? '';
    if (value === '') {
      if (p.optional) return undefined;
      throw new Missing(p);
    }
    out += value;
  }
  return out;
}

function jsonOf(pieces, values) {
  const text = textOf(pieces, values);
  if (text === undefined || pieces.length > 1) return text;
  switch (pieces[0].type) {
    case 'number': return /^-?\d+$/.test(text) ? Number(text) : text; // what is no number is for the server to refuse
    case 'boolean': return text === 'true' || (text === 'false' ? false : text);
    case 'null': return null;
    case 'array': return text.split(/\s+/);
    default: return text;
  }
}

function nodeOf(m, values) {
  if (m.value) return jsonOf(m.value, values);
  if (m.items) return m.items.map((i) => nodeOf(i, values)).filter((v) => v !== undefined);
  return objectOf(m.members ?? [], values);
}

function objectOf(members, values) {
  const out = {};
  for (const m of members) {
    const v = nodeOf(m, values);
    if (v !== undefined) out[m.name] = v;
  }
  return out;
}

const pairs = (fields, values) => (fields ?? []).map((f) => [f.name, textOf(f.value, values)]).filter(([, v]) => v !== undefined);

// RFC 6749 section 2.3.1: both halves of Basic are form values first.
const formEncoded = (s) => new URLSearchParams({ s }).toString().slice(2);

/** The request of a layout: method, path with query, headers, body. */
export function writeRequest(layout, values, path) {
  const headers = [];
  if (layout.basic) {
    const [user, password] = layout.basic.map((f) => formEncoded(textOf(f.value, values)));
    headers.push(['Authorization', `Basic ${btoa(`${user}:${password}`)}`]);
  }
  headers.push(...pairs(layout.headers, values));
  let body;
  if (layout.body) {
    headers.push(['Content-Type', 'application/json']);
    body = JSON.stringify(objectOf(layout.body, values));
  } else if (layout.form) {
    headers.push(['Content-Type', 'application/x-www-form-urlencoded']);
    body = new URLSearchParams(pairs(layout.form, values)).toString();
  }
  const own = (layout.path ?? []).map((p) => (p.hole ? encodeURIComponent(textOf([p], values)) : p.text)).join('');
  const query = new URLSearchParams(pairs(layout.query, values)).toString();
  return { method: layout.method || (body === undefined ? 'GET' : 'POST'), path: (own || path) + (query && `?${query}`), headers, body };
}

function readValue(pieces, value, into) {
  const text = Array.isArray(value) ? value.join(' ') : String(value);
  const at = pieces.findIndex((p) => p.hole);
  if (at < 0 || pieces.filter((p) => p.hole).length > 1) return;
  const before = pieces.slice(0, at).map((p) => p.text ?? '').join('');
  const after = pieces.slice(at + 1).map((p) => p.text ?? '').join('');
  if (text.length < before.length + after.length || !text.startsWith(before) || !text.endsWith(after)) return;
  into.set(pieces[at].hole, { text: text.slice(before.length, text.length - after.length), codec: pieces[at].codec });
}

function readNode(members, json, into) {
  (members ?? []).forEach((m, i) => {
    const value = json?.[m.name ?? i];
    if (value === undefined || value === null) return;
    if (m.value) readValue(m.value, value, into);
    else readNode(m.items ?? m.members, value, into);
  });
}

/** What an answer's holes hold: a map of {text, codec}. */
export function readAnswer(layout, headers, text) {
  const into = new Map();
  for (const f of layout?.headers ?? []) {
    const value = headers?.get(f.name);
    if (value) readValue(f.value, value, into);
  }
  try {
    readNode(layout?.body, JSON.parse(text), into);
  } catch { /* an answer that is no JSON holds nothing */ }
  return into;
}

/** A time or duration in seconds, as its codec writes it. */
export function seconds({ text, codec }) {
  switch (codec) {
    case 'minutes': return Number(text) * 60;
    case 'milliseconds': case 'unix-ms': return Number(text) / 1000;
    case 'rfc3339': case 'iso8601-minute': return Date.parse(text) / 1000;
    default: return Number(text);
  }
}

/** The holes of a layout's pieces, each once. */
export function holesOf(layout) {
  const found = new Map();
  const visit = (pieces) => {
    for (const p of pieces ?? []) if (p.hole && !found.has(p.hole)) found.set(p.hole, p);
  };
  const members = (all) => (all ?? []).forEach((m) => { visit(m.value); members(m.members); members(m.items); });
  visit(layout?.path);
  for (const fields of [layout?.basic, layout?.query, layout?.headers, layout?.form]) (fields ?? []).forEach((f) => visit(f.value));
  members(layout?.body);
  return found;
}
