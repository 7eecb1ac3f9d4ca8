// simple-oauth2: the configuration that most Node programs were written with.
import assert from 'node:assert/strict';
import test from 'node:test';
import { ClientCredentials } from 'simple-oauth2';
import { demo, gatehouse, url } from './server.mjs';

const auth = { tokenHost: url, tokenPath: '/oauth2/token', revokePath: '/oauth2/revoke' };

for (const authorizationMethod of ['header', 'body']) {
  test(`credentials in the ${authorizationMethod}: scope, expiry, revocation`, async () => {
    const client = new ClientCredentials({ client: credentials('live'), auth, options: { authorizationMethod } });
    const got = await client.getToken({ scope: ['read', 'write'] });
    assert.equal(got.token.token_type, 'Bearer');
    assert.deepEqual(got.token.scope.split(' ').sort(), ['read', 'write']);
    assert.equal(got.expired(), false);
    assert.equal(got.expired(got.token.expires_in + 1), true, 'it has no life beyond what was said');

    assert.equal(await passes(got.token.access_token), true);
    await got.revoke('access_token');
    assert.equal(await passes(got.token.access_token), false);
  });
}

test('a refresh keeps the scope', async () => {
  const created = gatehouse('client', 'create', '--name', 'simple-oauth2 refresh', '--dialect', 'oauth2', '--scope', 'read', '--environment', 'live', '--refresh');
  const { client_id: id, client_secret: secret } = created.secrets[0];
  const client = new ClientCredentials({ client: { id, secret }, auth });
  const first = await client.getToken();
  const second = await first.refresh();
  assert.equal(second.token.scope, 'read');
  assert.notEqual(second.token.access_token, first.token.access_token);
  assert.notEqual(second.token.refresh_token, first.token.refresh_token);
});

test('refusals carry the status and the error of RFC 6749', async () => {
  const refused = async (client, parameters) => {
    const err = await new ClientCredentials({ client, auth }).getToken(parameters).then(() => assert.fail('granted'), (e) => e);
    return [err.output.statusCode, err.data.payload.error];
  };
  const good = credentials('live');
  assert.deepEqual(await refused({ ...good, secret: 'wrong' }), [401, 'invalid_client']);
  assert.deepEqual(await refused({ ...good, id: 'nobody' }), [401, 'invalid_client']);
  assert.deepEqual(await refused(good, { scope: 'admin' }), [400, 'invalid_scope']);
});

function credentials(environment) {
  const { id, secret } = demo('oauth2', environment);
  return { id, secret };
}

async function passes(token) {
  const answer = await fetch(`${url}/gate/verify?environment=live`, { headers: { authorization: `Bearer ${token}` } });
  return answer.status === 200;
}
