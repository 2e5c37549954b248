// An OpenID provider of oidc-provider. Whoever signs in is whom they say; their claims are in ACCOUNTS, by name.
import fs from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const config = JSON.parse(fs.readFileSync(process.env.CONFIG));
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: config.clients,
    jwks: config.jwks,
    conformIdTokenClaims: false,
    claims: { openid: ['sub', ...config.claims] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...config.accounts[id] }) }),
    // its guard against addresses of its own network would keep it from telling a server on loopback anything
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    cookies: { keys: ['a key of a test'] },
  });
  provider.on('server_error', (_, error) => console.error(error));
  server.on('request', provider.callback());
  console.log(`listening on ${issuer}`);
});
