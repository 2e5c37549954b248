// openid-client, unchanged, against a running server.
import assert from 'node:assert/strict'
import * as client from 'openid-client'

const input = JSON.parse(process.env.INPUT)
const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const config = await client.discovery(new URL(input.url), input.client.id, undefined, client.ClientSecretBasic(input.client.secret), options)
const granted = await client.clientCredentialsGrant(config, { scope: 'tickets:read:all' })
assert.equal(granted.expires_in, 3600)
assert.equal(granted.scope, 'tickets:read:all')
const answer = await client.fetchProtectedResource(config, granted.access_token, new URL(`${input.url}/v1/tickets`), 'GET')
assert.equal(answer.status, 200)
assert.equal((await client.tokenIntrospection(config, granted.access_token)).active, true)
const again = await client.refreshTokenGrant(config, granted.refresh_token)
assert.notEqual(again.refresh_token, granted.refresh_token)
await assert.rejects(client.refreshTokenGrant(config, granted.refresh_token), (e) => e.error === 'invalid_grant')
await assert.rejects(client.clientCredentialsGrant(config, { scope: 'users:manage:all' }), (e) => e.error === 'invalid_scope')
const fresh = await client.clientCredentialsGrant(config)
await client.tokenRevocation(config, fresh.access_token)
assert.equal((await client.tokenIntrospection(config, fresh.access_token)).active, false)

const key = await crypto.subtle.importKey('jwk', input.key.private, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
const signed = await client.discovery(new URL(input.url), input.key.id, undefined, client.PrivateKeyJwt({ key, kid: input.key.private.kid }), options)
assert.ok((await client.clientCredentialsGrant(signed)).access_token)
console.log('good')
