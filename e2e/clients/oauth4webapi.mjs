// oauth4webapi, unchanged, against a running server: discovery, every client authentication it knows that needs no TLS, introspection plain and
// signed, refresh, revocation. Everything it validates by itself (issuer, types, signatures) counts.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'

const input = JSON.parse(process.env.INPUT)
const insecure = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(input.url)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }))

const api = async (token, status) => {
  const response = await fetch(`${input.url}/v1/tickets`, { headers: { authorization: `Bearer ${token}` } })
  assert.equal(response.status, status)
}

for (const authenticate of [oauth.ClientSecretBasic, oauth.ClientSecretPost]) {
  const client = { client_id: input.client.id }
  const proof = authenticate(input.client.secret)
  const granted = await oauth.processClientCredentialsResponse(as, client, await oauth.clientCredentialsGrantRequest(as, client, proof, {}, insecure))
  assert.equal(granted.token_type, 'bearer')
  await api(granted.access_token, 200)

  const told = await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, proof, granted.access_token, insecure))
  assert.equal(told.active, true)
  assert.equal(told.client_id, input.client.id)

  const response = await oauth.introspectionRequest(as, client, proof, granted.access_token, { requestJwtResponse: true, ...insecure })
  const signed = await oauth.processIntrospectionResponse(as, client, response)
  await oauth.validateApplicationLevelSignature(as, response, insecure)
  assert.equal(signed.active, true)

  const again = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, proof, granted.refresh_token, insecure))
  await api(again.access_token, 200)
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, proof, again.refresh_token, insecure))
  await api(again.access_token, 401)
  await api(granted.access_token, 401)
}

const key = await crypto.subtle.importKey('jwk', input.key.private, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
const client = { client_id: input.key.id }
const proof = oauth.PrivateKeyJwt({ key, kid: input.key.private.kid })
const granted = await oauth.processClientCredentialsResponse(as, client, await oauth.clientCredentialsGrantRequest(as, client, proof, { scope: 'tickets:read:all' }, insecure))
assert.equal(granted.scope, 'tickets:read:all')
await api(granted.access_token, 200)

// Its own validation of a JWT access token (RFC 9068) for a resource server.
const request = new Request(`${input.url}/api`, { headers: { authorization: `Bearer ${granted.access_token}` } })
const claims = await oauth.validateJwtAccessToken(as, request, `${input.url}/api`, insecure)
assert.equal(claims.client_id, input.key.id)
assert.equal(claims.sub, input.key.id)

const wrong = oauth.ClientSecretBasic(input.client.secret.slice(0, -1) + (input.client.secret.endsWith('0') ? '1' : '0'))
await assert.rejects(
  async () => oauth.processClientCredentialsResponse(as, { client_id: input.client.id }, await oauth.clientCredentialsGrantRequest(as, { client_id: input.client.id }, wrong, {}, insecure)),
  (e) => e.code === oauth.WWW_AUTHENTICATE_CHALLENGE || e.error === 'invalid_client',
)
console.log('good')
