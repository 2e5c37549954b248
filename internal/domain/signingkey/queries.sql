-- name: PlatformInsert :exec
INSERT INTO signing_keys (id, purpose, algorithm, bits, state, public_der, private_seal, created_at, activated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: PlatformList :many
SELECT * FROM signing_keys ORDER BY created_at, id;

-- name: PlatformNotBefore :one
SELECT not_before FROM installation;

-- name: PlatformRetire :execrows
UPDATE signing_keys SET state = 'retired', retired_at = @now, verify_until = @verify_until WHERE id = @id AND state = 'active';

-- name: PlatformActivate :execrows
UPDATE signing_keys SET state = 'active', activated_at = @now WHERE id = @id AND state = 'next';

-- name: PlatformRevoke :execrows
UPDATE signing_keys SET state = 'revoked', retired_at = @now, verify_until = @now, private_seal = '' WHERE id = @id AND state <> 'revoked';

-- name: PlatformForget :execrows
DELETE FROM signing_keys WHERE state IN ('retired', 'revoked') AND verify_until < @before;
