// oauth4webapi: the strictest reader of the RFCs among the clients here.
import assert from 'node:assert/strict';
import test from 'node:test';
import * as oauth from 'oauth4webapi';
import { demo, gatehouse, issuer, url } from './server.mjs';
import { Browser, alice } from './user.mjs';

const plain = { [oauth.allowInsecureRequests]: true }; // the server is on loopback

async function discover(environment) {
  const id = new URL(issuer(environment));
  return oauth.processDiscoveryResponse(id, await oauth.discoveryRequest(id, { algorithm: 'oauth2', ...plain }));
}

async function grant(as, who, authentication, parameters = {}) {
  const client = { client_id: who.id };
  const response = await oauth.clientCredentialsGrantRequest(as, client, authentication(who.secret), parameters, plain);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  return oauth.processClientCredentialsResponse(as, client, response);
}

async function introspect(as, who, token) {
  const client = { client_id: who.id };
  const response = await oauth.introspectionRequest(as, client, oauth.ClientSecretBasic(who.secret), token, plain);
  return oauth.processIntrospectionResponse(as, client, response);
}

async function revoke(as, who, token) {
  const response = await oauth.revocationRequest(as, { client_id: who.id }, oauth.ClientSecretPost(who.secret), token, plain);
  return oauth.processRevocationResponse(response);
}

for (const environment of ['live', 'sandbox']) {
  test(`${environment}: the metadata's issuer is the one that was asked for`, async () => {
    const as = await discover(environment);
    assert.equal(as.issuer, issuer(environment));
    assert.equal(as.token_endpoint, `${url}/oauth2/token`);
    assert.equal(as.jwks_uri, `${url}/.well-known/jwks.json?environment=${environment}`);
    assert.deepEqual(as.token_endpoint_auth_methods_supported, ['client_secret_basic', 'client_secret_post']);
  });

  for (const [name, authentication] of Object.entries({ basic: oauth.ClientSecretBasic, post: oauth.ClientSecretPost })) {
    test(`${environment}: a token by client_secret_${name} is a JWT of RFC 9068`, async () => {
      const as = await discover(environment);
      const who = demo('oauth2', environment);
      const token = await grant(as, who, authentication);
      assert.equal(token.token_type, 'bearer');
      assert.ok(token.expires_in > 0);
      assert.deepEqual(token.scope.split(' ').sort(), ['read', 'write'], 'none asked: all, and the answer says which');

      const request = new Request('http://api.example/', { headers: { authorization: `Bearer ${token.access_token}` } });
      const claims = await oauth.validateJwtAccessToken(as, request, issuer(environment), plain);
      assert.equal(claims.client_id, who.id);
      assert.equal(claims.sub, who.id);
      assert.equal(claims.scope, token.scope);
    });
  }

  test(`${environment}: introspection tells, revocation ends`, async () => {
    const as = await discover(environment);
    const who = demo('oauth2', environment);
    const { access_token: token } = await grant(as, who, oauth.ClientSecretBasic, { scope: 'read' });

    const seen = await introspect(as, who, token);
    assert.equal(seen.active, true);
    assert.equal(seen.scope, 'read');
    assert.equal(seen.client_id, who.id);
    assert.equal(seen.iss, issuer(environment));
    assert.equal(seen.aud, issuer(environment));

    await revoke(as, who, token);
    await revoke(as, who, token); // RFC 7009 §2.2: once more is no error
    await revoke(as, who, 'of-nobody');
    assert.deepEqual(await introspect(as, who, token), { active: false });
  });
}

test('a token of one environment says nothing to a client of the other', async () => {
  const as = await discover('live');
  const { access_token: token } = await grant(as, demo('oauth2', 'sandbox'), oauth.ClientSecretBasic);
  assert.deepEqual(await introspect(as, demo('oauth2', 'live'), token), { active: false });
});

test('RFC 8707: the resource becomes the audience', async () => {
  const as = await discover('live');
  const { access_token: token } = await grant(as, demo('oauth2'), oauth.ClientSecretBasic, { resource: 'https://api.example/v1' });
  const request = new Request('http://api.example/', { headers: { authorization: `Bearer ${token}` } });
  const claims = await oauth.validateJwtAccessToken(as, request, 'https://api.example/v1', plain);
  assert.equal([claims.aud].flat().join(), 'https://api.example/v1');
  await assert.rejects(oauth.validateJwtAccessToken(as, request, issuer('live'), plain), /aud/);
});

test('a wrong secret is a Basic challenge', async () => {
  const as = await discover('live');
  for (const authentication of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
    await assert.rejects(grant(as, { ...demo('oauth2'), secret: 'wrong' }, authentication), (err) => {
      assert.ok(err instanceof oauth.WWWAuthenticateChallengeError, String(err));
      assert.equal(err.status, 401);
      assert.deepEqual(err.cause.map((c) => c.scheme), ['basic']);
      assert.equal(err.cause[0].parameters.realm, 'gatehouse');
      return true;
    });
  }
});

test('errors are those of RFC 6749 §5.2', async () => {
  const as = await discover('live');
  const who = demo('oauth2');
  const refused = (code) => (err) => {
    assert.ok(err instanceof oauth.ResponseBodyError, String(err));
    assert.equal(err.status, 400);
    assert.equal(err.error, code);
    assert.match(err.error_description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    return true;
  };
  await assert.rejects(grant(as, who, oauth.ClientSecretBasic, { scope: 'admin' }), refused('invalid_scope'));
  await assert.rejects(grant(as, who, oauth.ClientSecretBasic, { resource: '#here' }), refused('invalid_target'));

  const client = { client_id: who.id };
  const authentication = oauth.ClientSecretBasic(who.secret);
  const password = await oauth.genericTokenEndpointRequest(as, client, authentication, 'password', { username: 'u', password: 'p' }, plain);
  await assert.rejects(oauth.processGenericTokenEndpointResponse(as, client, password), refused('unsupported_grant_type'));

  const refresh = await oauth.refreshTokenGrantRequest(as, client, authentication, 'of-nobody', plain);
  await assert.rejects(oauth.processRefreshTokenResponse(as, client, refresh), refused('invalid_grant'));
});

test('a refresh token rotates; its reuse is refused', async () => {
  const created = gatehouse('client', 'create', '--name', 'oauth4webapi refresh', '--dialect', 'oauth2', '--scope', 'read', '--environment', 'live', '--refresh');
  const who = { id: created.secrets[0].client_id, secret: created.secrets[0].client_secret };
  const as = await discover('live');
  const client = { client_id: who.id };
  const renew = async (token) => {
    const response = await oauth.refreshTokenGrantRequest(as, client, oauth.ClientSecretBasic(who.secret), token, plain);
    return oauth.processRefreshTokenResponse(as, client, response);
  };
  const first = await grant(as, who, oauth.ClientSecretBasic);
  const second = await renew(first.refresh_token);
  assert.notEqual(second.refresh_token, first.refresh_token);
  assert.notEqual(second.access_token, first.access_token);
  await assert.rejects(renew(first.refresh_token), { error: 'invalid_grant' });
  assert.equal((await introspect(as, who, second.access_token)).active, true, 'an answer lost a moment ago revokes nothing');
});

test('the gate lets a live token pass and challenges everything else', async () => {
  const as = await discover('live');
  const ask = (token, query) => oauth.protectedResourceRequest(token, 'GET', new URL(`${url}/gate/verify?${query}`), undefined, undefined, plain);
  const live = await grant(as, demo('oauth2', 'live'), oauth.ClientSecretBasic, { scope: 'read' });
  const sandbox = await grant(as, demo('oauth2', 'sandbox'), oauth.ClientSecretBasic);

  const passed = await ask(live.access_token, 'environment=live&scope=read');
  assert.equal(passed.status, 200);
  assert.equal(passed.headers.get('gatehouse-client-id'), demo('oauth2').id);

  const challenge = (status, error) => (err) => {
    assert.ok(err instanceof oauth.WWWAuthenticateChallengeError, String(err));
    assert.equal(err.status, status);
    assert.equal(err.cause[0].scheme, 'bearer');
    assert.equal(err.cause[0].parameters.error, error);
    return true;
  };
  await assert.rejects(ask(live.access_token, 'environment=live&scope=write'), challenge(403, 'insufficient_scope'));
  await assert.rejects(ask(sandbox.access_token, 'environment=live'), challenge(401, 'invalid_token'));
  await assert.rejects(ask('of-nobody', 'environment=live'), challenge(401, 'invalid_token'));
});

// Authorization code with PKCE, and pushed. The sandbox is where test users are.
const back = 'https://app.example/oauth4webapi';

function app(name) {
  const created = gatehouse('client', 'create', '--name', name, '--dialect', 'oauth2', '--environment', 'sandbox',
    '--scope', 'read', '--scope', 'write', '--refresh', '--redirect-uri', `sandbox=${back}`);
  return { id: created.secrets[0].client_id, secret: created.secrets[0].client_secret };
}

async function asked(who, more = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const parameters = new URLSearchParams({
    response_type: 'code', client_id: who.id, redirect_uri: back, state, scope: 'read',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
  });
  return { verifier, state, parameters };
}

async function exchanged(as, who, location, { verifier, state }) {
  const client = { client_id: who.id };
  const answer = oauth.validateAuthResponse(as, client, location, state);
  const response = await oauth.authorizationCodeGrantRequest(as, client, oauth.ClientSecretBasic(who.secret), answer, back, verifier, plain);
  return oauth.processAuthorizationCodeResponse(as, client, response);
}

test('authorization code: the metadata says PKCE, iss and PAR', async () => {
  const as = await discover('sandbox');
  assert.deepEqual(as.code_challenge_methods_supported, ['S256']);
  assert.deepEqual(as.response_types_supported, ['code']);
  assert.equal(as.authorization_response_iss_parameter_supported, true);
  assert.equal(as.pushed_authorization_request_endpoint, `${url}/oauth2/par`);
});

test('authorization code: by redirect, and pushed', async () => {
  const as = await discover('sandbox');
  const who = app('oauth4webapi code');
  for (const pushed of [false, true]) {
    const request = await asked(who);
    const authorize = new URL(as.authorization_endpoint);
    if (pushed) {
      const client = { client_id: who.id };
      const response = await oauth.pushedAuthorizationRequest(as, client, oauth.ClientSecretPost(who.secret), request.parameters, plain);
      const { request_uri: uri, expires_in: life } = await oauth.processPushedAuthorizationResponse(as, client, response);
      assert.equal(life, 90);
      authorize.search = new URLSearchParams({ client_id: who.id, request_uri: uri });
    } else {
      authorize.search = request.parameters;
    }
    const token = await exchanged(as, who, await new Browser().answer(authorize.href), request);
    assert.equal(token.scope, 'read');
    assert.equal(typeof token.refresh_token, 'string');
    const resource = new Request('http://api.example/', { headers: { authorization: `Bearer ${token.access_token}` } });
    const claims = await oauth.validateJwtAccessToken(as, resource, issuer('sandbox'), plain);
    assert.equal(claims.client_id, who.id);
    assert.notEqual(claims.sub, who.id);
  }
});

test('authorization code: a refusal, a wrong verifier, and the other issuer are told apart', async () => {
  const as = await discover('sandbox');
  const who = app('oauth4webapi refused');
  const refused = await asked(who);
  const authorize = new URL(as.authorization_endpoint);
  authorize.search = refused.parameters;
  const browser = new Browser();
  const denied = await browser.answer(authorize.href, alice, 'deny');
  assert.throws(() => oauth.validateAuthResponse(as, { client_id: who.id }, denied, refused.state), { error: 'access_denied' });
  // Mix-up: the answer of the sandbox is none of live's (RFC 9207).
  assert.throws(() => oauth.validateAuthResponse({ ...as, issuer: issuer('live') }, { client_id: who.id }, denied, refused.state), /iss/);

  const request = await asked(who);
  authorize.search = request.parameters;
  const location = await browser.answer(authorize.href);
  await assert.rejects(exchanged(as, who, location, { ...request, verifier: oauth.generateRandomCodeVerifier() }), { error: 'invalid_grant' });
  const token = await exchanged(as, who, location, request); // the wrong try did not use the code up
  assert.ok(token.access_token);
  await assert.rejects(exchanged(as, who, location, request), { error: 'invalid_grant' });
});
