// An end user of the running server with a small browser: it keeps cookies,
// follows the server's redirects, fills in forms, and stops where the server
// sends it to somebody else.
import assert from 'node:assert/strict';
import { url } from './server.mjs';

const dev = JSON.parse(process.env.GATEHOUSE_DEV);

/** A ready test user of the sandbox. */
export const [alice] = dev.users;

const unescape = (text) => text.replace(/&(amp|lt|gt|#34|#39|#43);/g, (_, name) => ({ amp: '&', lt: '<', gt: '>', '#34': '"', '#39': "'", '#43': '+' })[name]);

export class Browser {
  #cookies = new Map();

  async request(to, body) {
    for (let hops = 0; hops < 10; hops++) {
      const answer = await fetch(to, {
        method: body ? 'POST' : 'GET', body, redirect: 'manual',
        headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      });
      for (const cookie of answer.headers.getSetCookie()) {
        const [, name, value] = cookie.match(/^([^=]*)=([^;]*)/);
        this.#cookies.set(name, value);
      }
      const location = answer.headers.get('location');
      if (!location) return { status: answer.status, html: await answer.text() };
      const next = new URL(location, to);
      if (next.origin !== new URL(url).origin) return { status: answer.status, left: next };
      to = next.href;
      body = undefined;
    }
    throw new Error('too many redirects');
  }

  /** Fills in the form of a page that is sent to path. */
  submit(page, path, values) {
    for (const [form, action] of page.html.matchAll(/<form method="post" action="([^"]*)".*?<\/form>/gs)) {
      if (!action.endsWith(path)) continue;
      const body = new URLSearchParams();
      for (const [, name, value] of form.matchAll(/<input[^>]* name="([^"]*)"(?: value="([^"]*)")?/g)) body.set(name, unescape(value ?? ''));
      for (const [name, value] of Object.entries(values)) body.set(name, value);
      return this.request(new URL(unescape(action), url).href, body);
    }
    throw new Error(`no form for ${path}: ${page.status} ${page.html}`);
  }

  /** Signs in and decides. Returns the URL that the user is sent back to. */
  async answer(authorizationURL, user = alice, decision = 'allow') {
    let page = await this.request(authorizationURL);
    if (page.html?.includes('name="password"')) page = await this.submit(page, '/connect/sign-in', user);
    page = await this.submit(page, '/connect/consent', { decision });
    assert.ok(page.left, `the user was not sent back: ${page.status} ${page.html}`);
    return page.left;
  }
}
