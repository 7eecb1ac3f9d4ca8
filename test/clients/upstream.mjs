// Somebody else's OpenID Connect provider: npm oidc-provider with its own
// sign-in pages, at which any password is right. It prints its URL and serves
// until its standard input ends.
import http from 'node:http';
import { Provider } from 'oidc-provider';

const server = http.createServer().listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [{
      client_id: 'gatehouse', client_secret: process.env.CLIENT_SECRET, grant_types: ['authorization_code'], response_types: ['code'],
      redirect_uris: [process.env.CALLBACK], token_endpoint_auth_method: process.env.AUTH_METHOD,
    }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: id !== 'unverified', name: `${id} of Example` }),
    }),
    pkce: { required: () => true },
  });
  server.on('request', provider.callback());
  console.log(url);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
