-- name: InsertFactor :exec
INSERT INTO factors (organization_id, id, user_id, method, state, name, data, relying_party, created_at) VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8);

-- name: DropPending :exec
DELETE FROM factors WHERE organization_id = $1 AND user_id = $2 AND method = $3 AND state = 'pending';

-- name: GetFactor :one
SELECT * FROM factors WHERE organization_id = $1 AND user_id = $2 AND id = $3;

-- name: ListActive :many
SELECT * FROM factors WHERE organization_id = $1 AND user_id = $2 AND state = 'active' ORDER BY id;

-- name: ActiveOf :many
SELECT * FROM factors WHERE organization_id = $1 AND user_id = $2 AND method = $3 AND state = 'active' ORDER BY id;

-- name: Activate :execrows
UPDATE factors SET state = 'active', data = @data, name = @name, credential_key = @credential_key, counter = @counter, created_at = @now, last_used_at = @now
WHERE organization_id = @organization_id AND user_id = @user_id AND id = @id AND state = 'pending';

-- name: Replace :many
-- The app that a new one takes the place of.
DELETE FROM factors WHERE organization_id = $1 AND user_id = $2 AND method = $3 AND state = 'active' RETURNING id, name;

-- name: TakeStep :execrows
-- A time step is accepted once, and none before it.
UPDATE factors SET counter = @step, last_used_at = @now WHERE organization_id = @organization_id AND user_id = @user_id AND id = @id AND state = 'active' AND counter < @step;

-- name: TakeAssertion :execrows
-- An authenticator that counts must count on (WebAuthn §6.1.1); one that does not stays at 0.
UPDATE factors SET counter = @counter, data = @data, last_used_at = @now
WHERE organization_id = @organization_id AND user_id = @user_id AND id = @id AND state = 'active' AND (counter < @counter OR (counter = 0 AND @counter = 0));

-- name: Rename :execrows
UPDATE factors SET name = @name WHERE organization_id = @organization_id AND user_id = @user_id AND id = @id AND state = 'active';

-- name: DeleteFactor :one
DELETE FROM factors WHERE organization_id = $1 AND user_id = $2 AND id = $3 AND state = 'active' RETURNING method, name;

-- name: DeleteFactors :execrows
DELETE FROM factors WHERE organization_id = $1 AND user_id = $2;

-- name: CountMethods :many
SELECT method, CAST(count(*) AS BIGINT) AS factors FROM factors WHERE organization_id = $1 AND user_id = $2 AND state = 'active' GROUP BY method;

-- name: InsertCode :exec
INSERT INTO backup_codes (organization_id, user_id, digest, created_at) VALUES ($1, $2, $3, $4);

-- name: UseCode :execrows
UPDATE backup_codes SET used_at = @now WHERE organization_id = @organization_id AND user_id = @user_id AND digest = @digest AND used_at = 0;

-- name: DeleteCodes :execrows
DELETE FROM backup_codes WHERE organization_id = $1 AND user_id = $2;

-- name: CodesLeft :one
SELECT CAST(count(*) AS BIGINT) FROM backup_codes WHERE organization_id = $1 AND user_id = $2 AND used_at = 0;

-- name: KnowDevice :exec
INSERT INTO known_devices (organization_id, user_id, digest, created_at, expires_at) VALUES ($1, $2, $3, $4, $5);

-- name: TrimDevices :exec
-- The oldest beyond so many are forgotten.
DELETE FROM known_devices WHERE known_devices.organization_id = @organization_id AND known_devices.user_id = @user_id AND known_devices.digest NOT IN (
    SELECT d.digest FROM known_devices d WHERE d.organization_id = @organization_id AND d.user_id = @user_id ORDER BY d.created_at DESC, d.digest LIMIT CAST(@keep AS BIGINT));

-- name: IsKnownDevice :one
SELECT CAST(count(*) AS BIGINT) FROM known_devices WHERE organization_id = $1 AND user_id = $2 AND digest = $3 AND expires_at > $4;

-- name: ForgetDevices :exec
DELETE FROM known_devices WHERE organization_id = $1 AND user_id = $2;

-- name: PlatformPurgePending :execrows
DELETE FROM factors WHERE (organization_id, id) IN (
    SELECT f.organization_id, f.id FROM factors f WHERE f.state = 'pending' AND f.created_at < @before LIMIT CAST(@row_limit AS BIGINT));

-- name: PlatformPurgeDevices :execrows
DELETE FROM known_devices WHERE (organization_id, user_id, digest) IN (
    SELECT d.organization_id, d.user_id, d.digest FROM known_devices d WHERE d.expires_at < @before LIMIT CAST(@row_limit AS BIGINT));
