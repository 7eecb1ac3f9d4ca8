// @dapi-co/dapi-node, the vendor's own library: only its base URL is changed.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import test, { after, before } from 'node:test';
import { gzipSync } from 'node:zlib';
import { demo, gatehouse, startGate, url } from './server.mjs';

const require = createRequire(import.meta.url);
const { DAPI_URL } = require('@dapi-co/dapi-node/lib/constants/url');
const { default: DapiApp } = require('@dapi-co/dapi-node');

const { id, secret } = demo('dapi');
const app = new DapiApp({ appSecret: secret });

const connect = (user) => gatehouse('connection', 'create', '--client', id, '--environment', 'live', '--user', user);

// The API, which tells what reaches it. Before it stands `gatehouse gate` as a
// proxy, which hands the paths of tokens on to Gatehouse and looks into the
// bodies of all other calls.
const reached = [];
const api = createServer(async (asked, answer) => {
  const body = await text(asked);
  reached.push({ url: asked.url, headers: asked.headers, body });
  answer.writeHead(200, { 'content-type': 'application/json' });
  answer.end(JSON.stringify({ success: true, status: 'done', identity: { name: asked.headers['gatehouse-subject'] }, echo: body }));
});

let gate;
before(async () => {
  await new Promise((listening) => api.listen(0, '127.0.0.1', listening));
  const follower = gatehouse('client', 'create', '--name', 'gate-of-dapi-node', '--dialect', 'oauth2', '--environment', 'live', '--scope', 'gatehouse:gate');
  gate = await startGate(`
authority: ${url}
environment: live
client_id: ${follower.secrets[0].client_id}
client_secret: ${follower.secrets[0].client_secret}
listen: 127.0.0.1:0
proxy: {listen: 127.0.0.1:0, upstream: 'http://127.0.0.1:${api.address().port}', dialect: dapi}
`);
  DAPI_URL.BASE_URL = `${gate.proxy}/v2`;
});
after(async () => {
  await gate?.stop();
  api.close();
});

test('what the sign-in hands over has the six members of the page', () => {
  const given = connect('anna');
  assert.deepEqual(Object.keys(given).sort(), ['accessCode', 'connectionID', 'success', 'tokenID', 'userID', 'userSecret']);
  assert.equal(given.success, true);
});

test('a code becomes a token, and the token opens the API until it is delinked', async () => {
  const given = connect('berta');
  const exchanged = await app.auth.exchangeToken(given.accessCode, given.connectionID);
  assert.equal(exchanged.success, true);
  assert.equal(exchanged.status, 'done');
  assert.equal(exchanged.tokenID, given.tokenID);
  assert.equal(exchanged.userID, given.userID);

  const identity = await app.data.getIdentity(exchanged.accessToken, given.userSecret);
  assert.equal(identity.success, true);
  assert.equal(identity.identity.name, given.userID);
  // The API gets the body as it was sent, and who the caller is in place of the token.
  assert.deepEqual(JSON.parse(identity.echo), { userSecret: given.userSecret, appSecret: secret });
  assert.equal(reached.at(-1).url, '/v2/data/identity/get');
  assert.equal(reached.at(-1).headers.authorization, undefined);
  assert.equal(reached.at(-1).headers['gatehouse-client-id'], id);

  // The library's own delinkUser is empty in this version.
  const delink = () => fetch(DAPI_URL.BASE_URL + DAPI_URL.AUTH_URLS.DELINK_USER, {
    method: 'POST',
    headers: { authorization: `Bearer ${exchanged.accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ appSecret: secret, userSecret: given.userSecret }),
  });
  const delinked = await delink();
  assert.equal(delinked.status, 200);
  assert.deepEqual(await delinked.json(), { success: true, status: 'done' });

  const refused = await app.data.getIdentity(exchanged.accessToken, given.userSecret);
  assert.equal(refused.success, false);
  assert.equal(refused.status, 'failed');
  assert.equal(refused.type, 'INVALID_CREDENTIALS');
  assert.equal((await delink()).status, 401);
});

test('refusals are in the words that the library hands on', async () => {
  const given = connect('clara');
  const others = connect('dora');
  const refused = (answer) => {
    assert.equal(answer.success, false);
    assert.equal(answer.status, 'failed');
    assert.equal(answer.accessToken, undefined);
    assert.equal(typeof answer.msg, 'string');
    assert.equal(typeof answer.operationID, 'string');
    return answer.type;
  };
  const stranger = new DapiApp({ appSecret: 'wrong' });
  assert.equal(refused(await stranger.auth.exchangeToken(given.accessCode, given.connectionID)), 'INVALID_CREDENTIALS');
  assert.equal(refused(await app.auth.exchangeToken(given.accessCode, others.connectionID)), 'INVALID_CREDENTIALS');
  assert.equal(refused(await app.auth.exchangeToken('of-nobody', given.connectionID)), 'INVALID_CREDENTIALS');
  assert.equal(refused(await app.auth.exchangeToken(given.accessCode)), 'PARAMETER_MISSING');

  // None of this used the code up; its first right use does.
  assert.equal((await app.auth.exchangeToken(given.accessCode, given.connectionID)).success, true);
  assert.equal(refused(await app.auth.exchangeToken(given.accessCode, given.connectionID)), 'INVALID_CREDENTIALS');
  assert.equal(refused(await app.data.getIdentity(given.accessCode, given.userSecret)), 'INVALID_CREDENTIALS', 'a code is no token');
});

test('a data call without the right secrets reaches nothing', async () => {
  const given = connect('emil');
  const others = connect('frida');
  const { accessToken } = await app.auth.exchangeToken(given.accessCode, given.connectionID);
  const right = { appSecret: secret, userSecret: given.userSecret };
  const call = async (body, headers = {}) => {
    const before = reached.length;
    const answer = await fetch(`${DAPI_URL.BASE_URL}/data/identity/get`, {
      method: 'POST', headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json', ...headers }, body, duplex: 'half',
    });
    const told = await answer.json();
    return { status: answer.status, type: told.type, passed: reached.length - before };
  };
  const json = (body) => JSON.stringify(body);

  // By the library itself.
  const stranger = new DapiApp({ appSecret: 'wrong' });
  assert.equal((await stranger.data.getIdentity(accessToken, given.userSecret)).type, 'INVALID_CREDENTIALS');
  assert.equal((await app.data.getIdentity(accessToken, 'wrong')).type, 'INVALID_CREDENTIALS');
  assert.equal((await app.data.getIdentity(accessToken)).type, 'PARAMETER_MISSING');

  const sandbox = demo('dapi', 'sandbox').secret;
  const wrong = { status: 401, type: 'INVALID_CREDENTIALS', passed: 0 };
  const invalid = { status: 400, type: 'PARAMETER_ERROR', passed: 0 };
  assert.deepEqual(await call(json({ ...right, userSecret: others.userSecret })), wrong, "another connection's");
  assert.deepEqual(await call(json({ ...right, appSecret: sandbox })), wrong, "the sandbox's");
  assert.deepEqual(await call(json({ ...right, appSecret: given.userSecret })), wrong, 'the one for the other');
  assert.deepEqual(await call(json({ appSecret: secret })), { status: 422, type: 'PARAMETER_MISSING', passed: 0 });
  assert.deepEqual(await call(''), { status: 422, type: 'PARAMETER_MISSING', passed: 0 });
  assert.deepEqual(await call(`{"appSecret":"x",${json(right).slice(1)}`), invalid, 'twice');
  assert.deepEqual(await call(`{"a":{"b":1,"b":2},${json(right).slice(1)}`), invalid, 'another member twice');
  assert.deepEqual(await call(`{"appsecret":"x",${json(right).slice(1)}`), invalid, 'in other letters');
  assert.deepEqual(await call(json({ ...right, userSecret: [given.userSecret] })), invalid, 'a list');
  assert.deepEqual(await call(json([right])), invalid);
  assert.deepEqual(await call(json(right) + json(right)), invalid, 'trailing');
  assert.equal((await call(gzipSync(json(right)), { 'content-encoding': 'gzip' })).passed, 0);
  assert.equal((await call(json({ ...right, filler: 'x'.repeat(1 << 20) }))).passed, 0, 'huge');
  const endless = new ReadableStream({ pull(to) { to.enqueue(new Uint8Array(1 << 16)); } });
  await call(endless).then((a) => assert.equal(a.passed, 0), () => {}); // cut off before or after the answer is read
  assert.deepEqual(await call(new URLSearchParams(right), { 'content-type': 'application/x-www-form-urlencoded' }).then((a) => a.passed), 0);

  const passed = await call(`  {"note":"two\\nlines", "deep":{"appsecret":"mine"}, ${json(right).slice(1)}\n`);
  assert.deepEqual(passed, { status: 200, type: undefined, passed: 1 });
  assert.equal(reached.at(-1).body, `  {"note":"two\\nlines", "deep":{"appsecret":"mine"}, ${json(right).slice(1)}\n`);

  // What was proved is not remembered beyond the client's next change.
  const added = gatehouse('secret', 'add', '--client', id, '--environment', 'live');
  const withAdded = json({ ...right, appSecret: added.client_secret });
  assert.equal((await call(withAdded)).status, 200);
  gatehouse('secret', 'retire', added.secret_id);
  for (const until = Date.now() + 60_000; (await call(withAdded)).status !== 401;) assert.ok(Date.now() < until, 'a retired secret still passes');
  assert.equal((await call(json(right))).status, 200);
});
