// A foreign OAuth 2.0 server for our own client: npm oidc-provider with one
// client, tokens of six seconds, and revocation. It prints its URL and serves
// until its standard input ends.
import http from 'node:http';
import { Provider } from 'oidc-provider';

const server = http.createServer().listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [{
      client_id: 'our+client', client_secret: process.env.CLIENT_SECRET, grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [], scope: 'read write',
    }],
    scopes: ['read', 'write'],
    features: {
      clientCredentials: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true }, devInteractions: { enabled: false },
    },
    ttl: { ClientCredentials: 6 },
  });
  server.on('request', provider.callback());
  console.log(url);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
