// The playground: the dialect's flow, step by step, with the reader's own sandbox
// credentials. What is typed here lives in this module's memory and goes to this
// server; nothing is stored.
import { element as e } from './element.js';
import { holesOf, Missing, readAnswer, seconds, writeRequest } from './message.js';
import { reasonsOf } from './refusal.js';
import { anatomy, claimsOf, clock } from './token.js';

const gained = new Set(['access_token', 'refresh_token']); // come from answers
const words = {
  client_id: 'Client id', client_secret: 'Client secret', access_code: 'Access code', connection_id: 'Connection id', user_secret: 'User secret',
  life: 'Life', token_name: 'Token name', scope: 'Scope', audience: 'Audience',
};
const nameOf = (hole) => words[hole] ?? hole.replace(/^(extra|owner)\./, '').replaceAll('_', ' ');

/** Builds the playground below stage. */
export async function openPlayground(stage, url) {
  const answer = await fetch(url);
  if (!answer.ok) {
    stage.append(e('p', { class: 'refusal' }, `The playground can't be loaded (${answer.status}). Reload the page.`));
    return;
  }
  new Playground(stage, await answer.json()).open();
}

class Playground {
  values = new Map(); // of holes, as they go on the wire
  exchanges = [];
  revealed = false;
  token; // {text, obtained, ends}: of the access token in hand

  constructor(stage, flow) {
    this.stage = stage;
    this.flow = flow;
    this.operations = new Map(flow.operations.map((o) => [o.name, o]));
    this.first = this.operations.get('issue') ?? this.operations.get('exchange');
    this.inputs = new Map();
  }

  open() {
    this.steps = e('div', { class: 'steps' });
    this.wire = e('div', { class: 'wire' });
    this.stage.append(this.steps, this.wire);
    if (!this.first) {
      this.steps.append(e('p', {}, 'This API gives out no tokens by itself, so there is nothing to play.'));
      return;
    }
    this.steps.append(this.credentials(), this.firstStep(), this.tokenStep());
    for (const name of ['use', 'validate', 'refresh', 'revoke', 'delink']) {
      if (this.operations.has(name)) this.steps.append(this.step(this.operations.get(name)));
    }
    this.drawWire();
    this.drawToken();
    setInterval(() => this.tick(), 1000);
  }

  // What the reader has to type: whatever requests need and answers don't give.
  credentials() {
    const needed = new Map();
    for (const o of this.flow.operations) {
      for (const [hole, piece] of holesOf(o.request)) {
        if (!gained.has(hole) && !piece.optional) needed.set(hole, piece);
      }
    }
    const box = e('section', { class: 'step', 'aria-labelledby': 'credentials-title' }, e('h3', { id: 'credentials-title' }, 'Your sandbox credentials'));
    const connect = this.operations.get('connect');
    if (connect) {
      const pasted = e('textarea', { id: 'connected', rows: '3', spellcheck: 'false', autocomplete: 'off', placeholder: '{"accessCode": …}' });
      pasted.addEventListener('input', () => {
        for (const [hole, { text }] of readAnswer(connect.answer, undefined, pasted.value)) {
          this.values.set(hole, text);
          if (this.inputs.has(hole)) this.inputs.get(hole).value = text;
        }
        this.warn();
      });
      box.append(e('label', { for: 'connected' }, 'What the Connect page handed over ', e('span', {}, '— paste the JSON, or fill in its parts below')), pasted);
    }
    for (const [hole, piece] of needed) box.append(...this.field(hole, piece));
    this.warning = e('div', { role: 'alert' });
    box.append(this.warning);
    return box;
  }

  field(hole, piece) {
    const id = `field-${hole.replaceAll('.', '-')}`;
    // No password field: the browser would offer to keep it.
    const input = e('input', { id, type: 'text', class: piece.secret ? 'covered' : undefined, autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off', 'data-hole': hole });
    input.addEventListener('input', () => {
      this.values.set(hole, input.value.trim());
      this.warn();
    });
    this.inputs.set(hole, input);
    const hint = piece.codec === 'text' ? piece.about : `${piece.about}, as it goes on the wire (${piece.codec})`;
    return [e('label', { for: id }, nameOf(hole), ' ', e('span', {}, `— ${hint}`)), input];
  }

  /** The first live credential among the values, which is taken away at once. */
  warn() {
    const live = [...this.values].find(([, v]) => this.flow.live?.some((prefix) => v.startsWith(prefix)));
    if (!live) {
      this.warning.replaceChildren();
      return false;
    }
    this.values.delete(live[0]);
    const input = this.inputs.get(live[0]);
    if (input) input.value = '';
    const pasted = document.getElementById('connected');
    if (pasted) pasted.value = '';
    document.activeElement?.blur(); // the rest, if it is being typed, goes nowhere
    this.warning.replaceChildren(e('p', { class: 'refusal' }, e('strong', {}, `That ${nameOf(live[0]).toLowerCase()} is a live one. `),
      'The playground takes sandbox credentials only. Nothing was sent, and the field was emptied. If others could see your screen or clipboard, have it replaced.'));
    return true;
  }

  firstStep() {
    const box = this.step(this.first);
    const optional = [...holesOf(this.first.request)].filter(([hole, piece]) => piece.optional && !gained.has(hole));
    if (optional.length > 0) {
      const more = e('details', {}, e('summary', {}, 'Optional fields'));
      for (const [hole, piece] of optional) more.append(...this.field(hole, piece));
      box.insertBefore(more, box.querySelector('.row'));
    }
    return box;
  }

  step(operation) {
    const outcome = e('div', { role: 'status', 'data-outcome': operation.name });
    const button = e('button', { type: 'button', class: 'button', 'data-run': operation.name }, operation.title);
    button.addEventListener('click', async () => {
      if (this.warn()) {
        this.warning.scrollIntoView({ block: 'center' });
        return;
      }
      button.disabled = true;
      outcome.replaceChildren(...await this.run(operation));
      button.disabled = false;
    });
    const path = operation.request.path?.map((p) => (p.hole ? `{${p.hole}}` : p.text)).join('') ?? this.flow.call_path;
    const method = operation.request.method ?? (operation.request.body ? 'POST' : 'GET');
    return e('section', { class: 'step' }, e('h3', {}, operation.title), e('p', { class: 'mono' }, `${method} ${path}`), e('div', { class: 'row' }, button), outcome);
  }

  /** Sends an operation's request; returns what to say of its answer. */
  async run(operation) {
    let request;
    try {
      request = writeRequest(operation.request, this.values, this.flow.call_path);
    } catch (problem) {
      if (!(problem instanceof Missing)) throw problem;
      const { hole } = problem.piece;
      this.inputs.get(hole)?.focus();
      return [e('p', { class: 'refusal' }, gained.has(hole) ? `There is no ${nameOf(hole)} yet: get a token first.` : `${nameOf(hole)} is empty: fill it in above.`)];
    }
    const exchange = { title: operation.title, at: new Date(), request };
    let said;
    try {
      const answer = await fetch(request.path, { method: request.method, headers: request.headers, body: request.body, cache: 'no-store', credentials: 'omit', redirect: 'error' });
      exchange.answer = { status: answer.status, word: answer.statusText, headers: [...answer.headers], text: await answer.text() };
      said = answer.ok ? await this.succeeded(operation, answer, exchange) : this.refused(exchange.answer);
    } catch (problem) {
      exchange.answer ??= { failed: `No answer: ${problem.message}` };
      said = [e('p', { class: 'refusal' }, 'The server did not answer. Is it running, and are you online?')];
    }
    if (!exchange.hidden) {
      this.exchanges.unshift(exchange);
      this.drawWire();
    }
    this.drawToken();
    return said;
  }

  async succeeded(operation, answer, exchange) {
    const { status, text } = exchange.answer;
    const read = readAnswer(operation.answer, answer.headers, text);
    const good = (...children) => [e('p', { class: 'good' }, ...children)];
    switch (operation.name) {
      case 'issue': case 'exchange': case 'refresh': {
        const token = read.get('access_token')?.text;
        if (!token) return [e('p', { class: 'refusal' }, 'The answer holds no token.')];
        if (await this.isLive(token)) {
          exchange.hidden = true; // a live token is not shown, either
          for (const hole of ['client_secret', 'refresh_token', 'access_token']) this.values.delete(hole);
          if (this.inputs.has('client_secret')) this.inputs.get('client_secret').value = '';
          this.token = undefined;
          return [e('p', { class: 'refusal' }, e('strong', {}, 'Those were live credentials. '), 'The playground takes sandbox ones only: the token was thrown away unseen. Have it revoked.')];
        }
        this.values.set('access_token', token);
        if (read.has('refresh_token')) this.values.set('refresh_token', read.get('refresh_token').text);
        this.keep(token, read);
        return good(operation.name === 'refresh' ? 'Renewed: the token below is the new one.' : 'Here is your token. Look at it below, then call the API with it.');
      }
      case 'use': return good(`${status}: the call got through. The API was told whose it is.`);
      case 'validate': {
        const ended = read.get('expired')?.text === 'true' || /"active"\s*:\s*false/.test(text);
        return ended ? [e('p', { class: 'refusal' }, 'The server says that this token has ended.')] : good('The server says that the token is good.');
      }
      default:
        if (this.token) this.token.ended = true;
        return good('Ended, everywhere and at once. Call the API again, and see it refused.');
    }
  }

  keep(text, read) {
    const now = Date.now() / 1000;
    let ends;
    if (read.has('life')) ends = now + seconds(read.get('life'));
    else if (read.has('expires_at')) ends = seconds(read.get('expires_at'));
    else ends = claimsOf(text)?.claims.exp;
    this.token = { text, obtained: now, ends };
  }

  /** Asks the gate, since a token need not show its environment. */
  async isLive(token) {
    const stands = async (environment) => (await fetch(`/gate/verify?environment=${environment}`, { headers: { Authorization: `Bearer ${token}` }, cache: 'no-store', credentials: 'omit' })).ok;
    return !(await stands('sandbox')) && stands('live');
  }

  refused(answer) {
    const reasons = reasonsOf(this.flow.errors, answer.status, answer.text);
    const id = new Headers(answer.headers).get('gatehouse-request-id');
    return [e('div', { class: 'refusal' },
      e('strong', {}, `Refused with ${answer.status}.`),
      reasons.length > 0
        ? e('ul', { class: 'why' }, ...reasons.map((r) => e('li', {}, `${r.means} ${r.do}`)))
        : ' The error table has nothing on this answer.',
      id ? e('p', { class: 'mono' }, `request ${id}`) : undefined)];
  }

  tokenStep() {
    this.tokenBox = e('section', { class: 'step token', 'aria-labelledby': 'token-title' });
    return this.tokenBox;
  }

  drawToken() {
    const title = e('h3', { id: 'token-title' }, 'The token');
    if (!this.token) {
      this.drawn = undefined;
      this.tokenBox.replaceChildren(title, e('p', {}, 'It will be shown here, taken apart, with the time that it has left.'));
      return;
    }
    if (this.drawn !== this.token) {
      this.drawn = this.token;
      this.left = e('p', { class: 'left' });
      this.bar = this.token.ends ? e('progress', { max: '1', value: '1', 'aria-label': 'Life that is left' }) : '';
      this.tokenBox.replaceChildren(title, this.left, this.bar, ...anatomy(this.token.text));
    }
    this.tick();
  }

  // Once a second: how long the token has.
  tick() {
    const t = this.token;
    if (!t || this.drawn !== t) return;
    if (t.ended) {
      this.left.replaceChildren(e('strong', {}, 'Ended'), ' by you.');
      if (this.bar) this.bar.value = 0;
      return;
    }
    if (!t.ends) {
      this.left.replaceChildren(e('strong', {}, '∞'), 'It lasts until it is ended.');
      return;
    }
    const life = t.ends - t.obtained;
    const left = Math.max(0, t.ends - Date.now() / 1000);
    const early = Math.min(600, life / 6);
    this.bar.value = life > 0 ? left / life : 0;
    this.bar.className = left < early ? 'renew' : '';
    this.left.replaceChildren(e('strong', { 'data-left': String(Math.floor(left)) }, clock(left)),
      left === 0 ? 'It has expired: get a new one.' : left < early ? 'Renew it now.' : `left. Renew in ${clock(left - early)}.`);
  }

  drawWire() {
    if (this.exchanges.length === 0) {
      this.wire.replaceChildren(e('p', { class: 'empty' }, 'Every request and answer is shown here as it went over the wire.'));
      return;
    }
    const reveal = e('input', { type: 'checkbox', id: 'reveal' });
    reveal.checked = this.revealed;
    reveal.addEventListener('change', () => {
      this.revealed = reveal.checked;
      this.drawWire();
      document.getElementById('reveal').focus();
    });
    this.wire.replaceChildren(e('p', {}, reveal, ' ', e('label', { for: 'reveal' }, 'Show secrets in full')), ...this.exchanges.map((x) => this.drawExchange(x)));
  }

  drawExchange({ title, at, request, answer }) {
    const panel = (name, text) => e('div', { class: 'code' }, e('p', { class: 'bar' }, name), e('pre', { tabindex: '0' }, e('code', {}, this.masked(text))));
    const head = (headers) => headers.map(([name, value]) => `${name}: ${value}`).join('\n');
    const sent = `${request.method} ${request.path} HTTP/1.1\nHost: ${location.host}\n${head(request.headers)}${request.body === undefined ? '' : `\n\n${indented(request.body)}`}`;
    const got = answer.failed ?? `HTTP/1.1 ${answer.status} ${answer.word}\n${head(answer.headers)}\n\n${indented(answer.text)}`;
    return e('article', { class: 'exchange' },
      e('h3', {}, title, e('time', { datetime: at.toISOString() }, at.toLocaleTimeString())), panel('Request', sent), panel('Answer', got));
  }

  // Secrets that prove somebody are covered until they are asked for.
  masked(text) {
    if (this.revealed) return text;
    let out = text.replace(/^(Authorization: Basic ).*$/m, '$1••••••••');
    for (const hole of ['client_secret', 'user_secret']) {
      const value = this.values.get(hole);
      if (value) out = out.replaceAll(value, '••••••••');
    }
    return out;
  }
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
