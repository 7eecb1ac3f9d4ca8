// jose, as an API uses it that verifies tokens by itself.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { demo, gatehouse, issuer, url } from './server.mjs';

// What an API's start makes: one key set for each environment.
const keySet = (environment) => createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json?environment=${environment}`), { cooldownDuration: 0 });
const rules = (environment) => ({ issuer: issuer(environment), audience: issuer(environment), typ: 'at+jwt', requiredClaims: ['exp', 'iat', 'jti', 'client_id'] });

async function token(environment) {
  const { id, secret } = demo('oauth2', environment);
  const answer = await fetch(`${url}/oauth2/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'read' }),
  });
  assert.equal(answer.status, 200);
  return (await answer.json()).access_token;
}

for (const environment of ['live', 'sandbox']) {
  test(`${environment}: issuer, audience, type and times hold`, async () => {
    const { payload, protectedHeader } = await jwtVerify(await token(environment), keySet(environment), rules(environment));
    assert.equal(protectedHeader.alg, 'EdDSA');
    assert.equal(payload.client_id, demo('oauth2', environment).id);
    assert.equal(payload.scope, 'read');
  });
}

test("the other environment's token fails against the key set, the issuer and the audience", async () => {
  const foreign = await token('sandbox');
  await assert.rejects(jwtVerify(foreign, keySet('live')), errors.JWKSNoMatchingKey);
  await assert.rejects(jwtVerify(foreign, keySet('sandbox'), { issuer: issuer('live') }), errors.JWTClaimValidationFailed);
  await assert.rejects(jwtVerify(foreign, keySet('sandbox'), { audience: issuer('live') }), errors.JWTClaimValidationFailed);
});

test('a changed token fails', async () => {
  const [header, , signature] = (await token('live')).split('.');
  const claims = Buffer.from(JSON.stringify({ ...decodeJwt(await token('live')), scope: 'read write' })).toString('base64url');
  await assert.rejects(jwtVerify(`${header}.${claims}.${signature}`, keySet('live')), errors.JWSSignatureVerificationFailed);
});

test('a rotation is invisible: the old key set knows the next key, the new one the last', async () => {
  const before = keySet('live');
  const old = await token('live');
  await jwtVerify(old, before, rules('live')); // fetches the set

  gatehouse('key', 'rotate', '--environment', 'live');
  const fresh = await token('live');
  assert.notEqual(decodeProtectedHeader(fresh).kid, decodeProtectedHeader(old).kid);

  // A verifier that may not fetch again: the key was published before its first use.
  const kids = before.jwks().keys.map((k) => k.kid);
  assert.ok(kids.includes(decodeProtectedHeader(fresh).kid), 'the key was not published before it signed');
  await jwtVerify(fresh, before, rules('live'));

  // One that starts now: the last key stays until what it signed has expired.
  const after = keySet('live');
  await jwtVerify(fresh, after, rules('live'));
  await jwtVerify(old, after, rules('live'));
});

test("papaya's token is an RS256 JWT that the same key set verifies", async () => {
  const { id, secret } = demo('papaya');
  const answer = await fetch(`${url}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ api_key: id, client_secret: secret }),
  });
  const { token: issued } = await answer.json();
  const { payload, protectedHeader } = await jwtVerify(issued, keySet('live'), { algorithms: ['RS256'] });
  assert.match(protectedHeader.kid, /^APIKEY\d+$/);
  assert.equal(protectedHeader.typ, 'JWT');
  assert.equal(payload.user.id, id);
  await assert.rejects(jwtVerify(issued, keySet('sandbox'), { algorithms: ['RS256'] }), errors.JWKSNoMatchingKey);
});
