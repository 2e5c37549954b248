-- name: Insert :exec
INSERT INTO users (organization_id, id, email, email_key, username, username_key, name, kind, role, state, password_hash, password_changed_at, created_at, updated_at, email_verified)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'active', $10, $11, $12, $12, $13);

-- name: Get :one
SELECT * FROM users WHERE organization_id = $1 AND id = $2;

-- name: GetByEmail :one
SELECT * FROM users WHERE organization_id = $1 AND email_key = $2;

-- name: GetByUsername :one
SELECT * FROM users WHERE organization_id = $1 AND username_key = $2;

-- name: PlatformByEmail :many
SELECT u.* FROM users u JOIN organizations o ON o.id = u.organization_id AND o.state <> 'deleted' WHERE u.email_key = $1 ORDER BY u.email_verified DESC, u.id LIMIT 2;

-- name: PlatformCountRole :one
SELECT CAST(count(*) AS BIGINT) FROM users u JOIN organizations o ON o.id = u.organization_id WHERE o.platform AND u.role = $1 AND u.state = 'active';

-- name: List :many
SELECT * FROM users
WHERE organization_id = @organization_id AND id > @after
  AND (CAST(@state AS TEXT) = '' OR state = @state)
  AND (CAST(@role AS TEXT) = '' OR role = @role)
  AND (CAST(@email_key AS TEXT) = '' OR email_key = @email_key)
ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: Search :many
-- Whoever is found is listed once, by the first term that matches. CROSS JOIN tells SQLite to begin at the terms.
SELECT sqlc.embed(u), s.term FROM search_terms s CROSS JOIN users u
WHERE s.organization_id = @organization_id AND s.kind = 'user' AND (s.term, s.subject) > (CAST(@past AS TEXT), CAST(@after AS TEXT)) AND s.term < @beyond
  AND u.organization_id = @organization_id AND u.id = s.subject
  AND NOT EXISTS (SELECT 1 FROM search_terms e WHERE e.organization_id = @organization_id AND e.kind = 'user' AND e.subject = s.subject AND e.term >= @prefix AND e.term < s.term)
  AND (CAST(@state AS TEXT) = '' OR u.state = @state)
  AND (CAST(@role AS TEXT) = '' OR u.role = @role)
  AND (CAST(@email_key AS TEXT) = '' OR u.email_key = @email_key)
ORDER BY s.term, s.subject LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformTerms :many
-- A walk over all, which tells what has terms. That they are counted keeps PostgreSQL from reading all of them.
SELECT u.organization_id, u.id, u.email, u.username, u.name, CAST(0 < (SELECT count(*) FROM search_terms s WHERE s.organization_id = u.organization_id AND s.kind = 'user' AND s.subject = u.id) AS BOOLEAN) AS found FROM users u
WHERE (u.organization_id, u.id) > (CAST(@organization_id AS TEXT), CAST(@after AS TEXT))
ORDER BY u.organization_id, u.id LIMIT CAST(@row_limit AS BIGINT);

-- name: Update :execrows
UPDATE users SET email = @email, email_key = @email_key, username = @username, username_key = @username_key, email_verified = @email_verified, name = @name, kind = @kind, role = @role,
    state = @state, mfa_exempt = @mfa_exempt, break_glass = @break_glass, updated_at = @now
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was;

-- name: HoldAsRead :execrows
-- Changes nothing, and holds a user that is as it was read.
UPDATE users SET updated_at = updated_at WHERE organization_id = @organization_id AND id = @id AND updated_at = @was;

-- name: HoldApplication :execrows
-- Changes nothing, and holds an active application until the transaction ends.
UPDATE users SET updated_at = updated_at WHERE organization_id = $1 AND id = $2 AND state = 'active' AND kind = 'application';

-- name: SetPassword :execrows
UPDATE users SET password_hash = @password_hash, password_changed_at = @now, updated_at = @now WHERE organization_id = @organization_id AND id = @id;

-- name: Confirm :execrows
-- Changes nothing, and holds the row until the transaction ends: whoever disables the user or sets a password waits, or was first.
UPDATE users SET updated_at = updated_at WHERE organization_id = @organization_id AND id = @id AND state = 'active' AND password_changed_at = @password_changed_at
    AND second_factors = @second_factors AND mfa_required = @mfa_required;

-- name: Hold :one
-- Holds a user until the transaction ends and tells how it stands.
UPDATE users SET updated_at = updated_at WHERE organization_id = $1 AND id = $2 RETURNING *;

-- name: SetSecondFactors :execrows
UPDATE users SET second_factors = @second_factors WHERE organization_id = @organization_id AND id = @id;

-- name: RequireSecondFactor :execrows
UPDATE users SET mfa_required = @mfa_required, updated_at = @now WHERE organization_id = @organization_id AND id = @id AND updated_at = @was;

-- name: VerifyEmail :execrows
UPDATE users SET email_verified = TRUE WHERE organization_id = $1 AND id = $2;

-- name: Rehash :exec
UPDATE users SET password_hash = @password_hash WHERE organization_id = @organization_id AND id = @id AND password_hash = @was;

-- name: InsertTeam :exec
INSERT INTO teams (organization_id, id, name, name_key, description, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6);

-- name: GetTeam :one
SELECT * FROM teams WHERE organization_id = $1 AND id = $2;

-- name: ListTeams :many
SELECT * FROM teams WHERE organization_id = @organization_id AND id > @after ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: SearchTeams :many
-- Whoever is found is listed once, by the first term that matches. CROSS JOIN tells SQLite to begin at the terms.
SELECT sqlc.embed(t), s.term FROM search_terms s CROSS JOIN teams t
WHERE s.organization_id = @organization_id AND s.kind = 'team' AND (s.term, s.subject) > (CAST(@past AS TEXT), CAST(@after AS TEXT)) AND s.term < @beyond
  AND t.organization_id = @organization_id AND t.id = s.subject
  AND NOT EXISTS (SELECT 1 FROM search_terms e WHERE e.organization_id = @organization_id AND e.kind = 'team' AND e.subject = s.subject AND e.term >= @prefix AND e.term < s.term)
ORDER BY s.term, s.subject LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformTeamTerms :many
-- A walk over all, which tells what has terms. That they are counted keeps PostgreSQL from reading all of them.
SELECT t.organization_id, t.id, t.name, CAST(0 < (SELECT count(*) FROM search_terms s WHERE s.organization_id = t.organization_id AND s.kind = 'team' AND s.subject = t.id) AS BOOLEAN) AS found FROM teams t
WHERE (t.organization_id, t.id) > (CAST(@organization_id AS TEXT), CAST(@after AS TEXT))
ORDER BY t.organization_id, t.id LIMIT CAST(@row_limit AS BIGINT);

-- name: UpdateTeam :execrows
UPDATE teams SET name = @name, name_key = @name_key, description = @description, updated_at = @now
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was;

-- name: DeleteTeam :execrows
DELETE FROM teams WHERE organization_id = $1 AND id = $2;

-- name: ReleaseTeamTickets :exec
UPDATE tickets SET team_id = '' WHERE organization_id = $1 AND team_id = $2;

-- name: AddMember :execrows
INSERT INTO team_members (organization_id, team_id, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: RemoveMember :execrows
DELETE FROM team_members WHERE organization_id = $1 AND team_id = $2 AND user_id = $3;

-- name: ListMembers :many
SELECT u.* FROM team_members m JOIN users u ON u.organization_id = m.organization_id AND u.id = m.user_id
WHERE m.organization_id = @organization_id AND m.team_id = @team_id AND m.user_id > @after
ORDER BY m.user_id LIMIT CAST(@row_limit AS BIGINT);

-- name: RolesInTeam :many
SELECT DISTINCT u.role FROM team_members m JOIN users u ON u.organization_id = m.organization_id AND u.id = m.user_id
WHERE m.organization_id = $1 AND m.team_id = $2;

-- name: TeamsOf :many
SELECT m.team_id FROM team_members m WHERE m.organization_id = $1 AND m.user_id = $2 ORDER BY m.team_id;

-- name: InsertInvitation :exec
INSERT INTO invitations (organization_id, id, email, email_key, name, role, team_ids, state, invited_by, user_id, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, '', $9, $10);

-- name: GetInvitation :one
SELECT * FROM invitations WHERE organization_id = $1 AND id = $2;

-- name: PendingInvitations :many
SELECT id FROM invitations WHERE organization_id = @organization_id AND email_key = @email_key AND role = @role AND state = 'pending' AND id <> @later;

-- name: ListInvitations :many
SELECT * FROM invitations WHERE organization_id = @organization_id AND id > @after AND (CAST(@state AS TEXT) = '' OR state = @state)
ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: HoldInvitation :execrows
-- Changes nothing and holds a pending invitation until the transaction ends.
UPDATE invitations SET state = state WHERE organization_id = $1 AND id = $2 AND state = 'pending';

-- name: UpdateInvitation :execrows
UPDATE invitations SET role = @role, name = @name, expires_at = @expires_at WHERE organization_id = @organization_id AND id = @id AND state = 'pending';

-- name: SetInvitationState :execrows
UPDATE invitations SET state = @state, user_id = @user_id WHERE organization_id = @organization_id AND id = @id AND state = 'pending';

-- name: PlatformPurgeInvitations :execrows
DELETE FROM invitations WHERE (organization_id, id) IN (
    SELECT i.organization_id, i.id FROM invitations i WHERE i.expires_at < @before ORDER BY i.expires_at LIMIT CAST(@row_limit AS BIGINT));
