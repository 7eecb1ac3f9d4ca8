// @dapi-co/dapi-node, the vendor's own library: only its base URL is changed.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import test, { after, before } from 'node:test';
import { demo, gatehouse, url } from './server.mjs';

const require = createRequire(import.meta.url);
const { DAPI_URL } = require('@dapi-co/dapi-node/lib/constants/url');
const { default: DapiApp } = require('@dapi-co/dapi-node');

const { id, secret } = demo('dapi');
const app = new DapiApp({ appSecret: secret });

const connect = (user) => gatehouse('connection', 'create', '--client', id, '--environment', 'live', '--user', user);

// The API behind a gateway. Paths of tokens go to Gatehouse; the others are
// the API's own, once Gatehouse has let them pass.
const gateway = createServer(async (asked, answer) => {
  if (/^\/v2\/(auth|users)\//i.test(asked.url)) {
    const forward = request(url + asked.url, { method: asked.method, headers: asked.headers }, (from) => {
      answer.writeHead(from.statusCode, from.headers);
      from.pipe(answer);
    });
    asked.pipe(forward);
    return;
  }
  const verdict = await fetch(`${url}/gate/verify?environment=live&dialect=dapi`, {
    headers: asked.headers.authorization ? { authorization: asked.headers.authorization } : {},
  });
  answer.writeHead(verdict.status, { 'content-type': 'application/json' });
  answer.end(verdict.ok
    ? JSON.stringify({ success: true, status: 'done', identity: { name: verdict.headers.get('gatehouse-subject') } })
    : await verdict.text());
});

before(async () => {
  await new Promise((listening) => gateway.listen(0, '127.0.0.1', listening));
  DAPI_URL.BASE_URL = `http://127.0.0.1:${gateway.address().port}/v2`;
});
after(() => gateway.close());

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
