// openid-client, set up from the metadata alone.
import assert from 'node:assert/strict';
import test from 'node:test';
import * as openid from 'openid-client';
import { demo, gatehouse, issuer } from './server.mjs';
import { Browser } from './user.mjs';

const discover = (who, environment, authentication) =>
  openid.discovery(new URL(issuer(environment)), who.id, who.secret, authentication, {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests], // the server is on loopback
  });

for (const environment of ['live', 'sandbox']) {
  for (const authentication of [openid.ClientSecretBasic, openid.ClientSecretPost]) {
    test(`${environment}: ${authentication.name}: token, introspection, revocation`, async () => {
      const who = demo('oauth2', environment);
      const config = await discover(who, environment, authentication(who.secret));
      assert.equal(config.serverMetadata().issuer, issuer(environment));

      const token = await openid.clientCredentialsGrant(config, { scope: 'write' });
      assert.equal(token.token_type, 'bearer');
      assert.equal(token.scope, 'write');
      assert.ok(token.expiresIn() > 0);

      const seen = await openid.tokenIntrospection(config, token.access_token);
      assert.equal(seen.active, true);
      assert.equal(seen.client_id, who.id);

      await openid.tokenRevocation(config, token.access_token);
      assert.deepEqual(await openid.tokenIntrospection(config, token.access_token), { active: false });
    });
  }
}

test('a client that may not refresh gets no refresh token', async () => {
  const created = gatehouse('client', 'create', '--name', 'openid-client plain', '--dialect', 'oauth2', '--scope', 'read', '--environment', 'live');
  const who = { id: created.secrets[0].client_id, secret: created.secrets[0].client_secret };
  const config = await discover(who, 'live', openid.ClientSecretBasic(who.secret));
  const token = await openid.clientCredentialsGrant(config);
  assert.equal(token.refresh_token, undefined);
  await assert.rejects(openid.refreshTokenGrant(config, token.access_token), { error: /^(invalid_grant|unauthorized_client)$/ });
});

test('refresh: rotates, narrows the scope, never widens it, ends with the revoked grant', async () => {
  const created = gatehouse('client', 'create', '--name', 'openid-client refresh', '--dialect', 'oauth2',
    '--scope', 'read', '--scope', 'write', '--environment', 'live', '--refresh');
  const who = { id: created.secrets[0].client_id, secret: created.secrets[0].client_secret };
  const config = await discover(who, 'live', openid.ClientSecretBasic(who.secret));

  const first = await openid.clientCredentialsGrant(config, { scope: 'read write' });
  const second = await openid.refreshTokenGrant(config, first.refresh_token, { scope: 'read' });
  assert.equal(second.scope, 'read');
  assert.notEqual(second.refresh_token, first.refresh_token);

  await assert.rejects(openid.refreshTokenGrant(config, second.refresh_token, { scope: 'read admin' }), { error: 'invalid_scope' });
  const third = await openid.refreshTokenGrant(config, second.refresh_token);

  await openid.tokenRevocation(config, third.refresh_token, { token_type_hint: 'refresh_token' });
  await assert.rejects(openid.refreshTokenGrant(config, third.refresh_token), { error: 'invalid_grant' });
  assert.deepEqual(await openid.tokenIntrospection(config, third.access_token), { active: false });
});

test('a refused secret is an error that the library understands', async () => {
  const who = { ...demo('oauth2'), secret: 'wrong' };
  const config = await discover(who, 'live', openid.ClientSecretPost(who.secret));
  await assert.rejects(openid.clientCredentialsGrant(config), (err) => {
    assert.ok(err instanceof openid.WWWAuthenticateChallengeError, String(err));
    assert.equal(err.status, 401);
    return true;
  });
});

for (const pushed of [false, true]) {
  test(`authorization code with PKCE${pushed ? ', pushed' : ''}: from the metadata to a refreshed token`, async () => {
    const back = 'https://app.example/openid-client';
    const created = gatehouse('client', 'create', '--name', 'openid-client code', '--dialect', 'oauth2', '--environment', 'sandbox',
      '--scope', 'read', '--scope', 'write', '--refresh', '--redirect-uri', `sandbox=${back}`);
    const who = { id: created.secrets[0].client_id, secret: created.secrets[0].client_secret };
    const config = await discover(who, 'sandbox', openid.ClientSecretBasic(who.secret));
    const verifier = openid.randomPKCECodeVerifier();
    const state = openid.randomState();
    const parameters = {
      redirect_uri: back, scope: 'read write', state, code_challenge: await openid.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    };
    const authorize = await (pushed ? openid.buildAuthorizationUrlWithPAR : openid.buildAuthorizationUrl)(config, parameters);
    const location = await new Browser().answer(authorize.href);
    const token = await openid.authorizationCodeGrant(config, location, { pkceCodeVerifier: verifier, expectedState: state });
    assert.equal(token.scope, 'read write');
    const refreshed = await openid.refreshTokenGrant(config, token.refresh_token);
    const seen = await openid.tokenIntrospection(config, refreshed.access_token);
    assert.equal(seen.active, true);
    assert.notEqual(seen.sub, who.id);
    await openid.tokenRevocation(config, refreshed.refresh_token);
    assert.deepEqual(await openid.tokenIntrospection(config, token.access_token), { active: false });
  });
}
