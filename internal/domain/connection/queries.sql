-- name: Insert :exec
INSERT INTO connections (organization_id, id, kind, name, state, issuer, settings, secrets, ceiling, created_by, created_at, updated_at)
VALUES (@organization_id, @id, @kind, @name, 'draft', @issuer, @settings, @secrets, @ceiling, @created_by, @created_at, @created_at);

-- name: Get :one
SELECT * FROM connections WHERE organization_id = $1 AND id = $2;

-- name: PlatformOrganization :one
SELECT c.organization_id FROM connections c WHERE c.id = $1;

-- name: List :many
SELECT * FROM connections WHERE organization_id = @organization_id AND id > @after ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: Count :one
SELECT count(*) FROM connections WHERE organization_id = $1;

-- name: ActiveOfKind :many
SELECT c.id FROM connections c WHERE c.organization_id = @organization_id AND c.kind = @kind AND c.state = 'active' ORDER BY c.id LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformByIssuer :many
-- Active connections to one provider: two are as many as it takes to be ambiguous.
SELECT c.organization_id, c.id FROM connections c WHERE c.issuer = @issuer AND c.kind = @kind AND c.state = 'active' LIMIT 2;

-- name: PlatformByRedirect :many
-- Organizations that registered a redirect_uri and have an active connection of a kind: two are as many as it takes to be ambiguous.
SELECT r.organization_id FROM organization_redirects r JOIN organizations o ON o.id = r.organization_id AND o.state = 'active'
WHERE r.uri = @uri AND EXISTS (SELECT 1 FROM connections c WHERE c.organization_id = r.organization_id AND c.kind = @kind AND c.state = 'active')
ORDER BY r.organization_id LIMIT 2;

-- name: Update :execrows
UPDATE connections SET name = @name, state = @state, issuer = @issuer, settings = @settings, secrets = @secrets, ceiling = @ceiling, updated_at = @now,
    ended_at = @ended_at
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was;

-- name: PlatformDue :many
SELECT * FROM connections WHERE state = 'active' AND checked_at < @before ORDER BY checked_at, organization_id, id LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformWarned :many
-- Connections that need attention.
SELECT * FROM connections WHERE warned AND state = 'active' ORDER BY organization_id, id LIMIT CAST(@row_limit AS BIGINT);

-- name: PlatformCountWarned :one
SELECT count(*) FROM connections WHERE warned AND state = 'active';

-- name: Kept :execrows
-- What the server found; it is no change of the connection.
UPDATE connections SET upkeep = @upkeep, settings = @settings, checked_at = @checked_at, warned = @warned
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was;

-- name: Postponed :exec
UPDATE connections SET checked_at = @checked_at WHERE organization_id = @organization_id AND id = @id;

-- name: Delete :execrows
DELETE FROM connections WHERE organization_id = $1 AND id = $2;

-- name: LeaveDomains :many
-- Domains lose the connection that they led to.
UPDATE domains SET connection_id = '', enforced = FALSE, updated_at = updated_at + 1 WHERE organization_id = @organization_id AND connection_id = @connection_id RETURNING name;

-- name: InsertDomain :exec
INSERT INTO domains (organization_id, name, state, challenge, created_by, created_at, updated_at)
VALUES (@organization_id, @name, 'pending', @challenge, @created_by, @created_at, @created_at);

-- name: GetDomain :one
SELECT * FROM domains WHERE organization_id = $1 AND name = $2;

-- name: ListDomains :many
SELECT * FROM domains WHERE organization_id = @organization_id AND name > @after ORDER BY name LIMIT CAST(@row_limit AS BIGINT);

-- name: CountDomains :one
SELECT count(*) FROM domains WHERE organization_id = $1;

-- name: PlatformVerifiedDomain :one
SELECT * FROM domains WHERE name = $1 AND state = 'verified';

-- name: UpdateDomain :execrows
UPDATE domains SET state = @state, connection_id = @connection_id, enforced = @enforced, verified_at = @verified_at, checked_at = @checked_at,
    missing_since = @missing_since, updated_at = @now
WHERE organization_id = @organization_id AND name = @name AND updated_at = @was;

-- name: DeleteDomain :execrows
DELETE FROM domains WHERE organization_id = $1 AND name = $2;

-- name: DeletePending :exec
-- What a set-up link named before it named another.
DELETE FROM domains WHERE organization_id = $1 AND name = $2 AND created_by = $3 AND state = 'pending';

-- name: PlatformDomainsDue :many
SELECT * FROM domains WHERE state = 'verified' AND checked_at < @before ORDER BY checked_at, organization_id, name LIMIT CAST(@row_limit AS BIGINT);

-- name: EnforcedDomains :many
SELECT d.name FROM domains d WHERE d.organization_id = $1 AND d.state = 'verified' AND d.enforced ORDER BY d.name;

-- name: InsertIdentity :exec
INSERT INTO identities (organization_id, connection_id, subject, user_id, group_names, groups_at, created_at, last_used_at)
VALUES (@organization_id, @connection_id, @subject, @user_id, @group_names, @groups_at, @created_at, @created_at);

-- name: GetIdentity :one
SELECT * FROM identities WHERE organization_id = $1 AND connection_id = $2 AND subject = $3;

-- name: IdentitiesOfUser :many
SELECT * FROM identities WHERE organization_id = $1 AND user_id = $2 ORDER BY connection_id;

-- name: UseIdentity :execrows
UPDATE identities SET last_used_at = @now, group_names = @group_names, groups_at = @groups_at
WHERE organization_id = @organization_id AND connection_id = @connection_id AND subject = @subject AND user_id = @user_id;

-- name: DeleteIdentity :execrows
DELETE FROM identities WHERE organization_id = $1 AND connection_id = $2 AND user_id = $3;

-- name: InsertLink :exec
INSERT INTO setup_links (organization_id, id, intent, connection_id, domain_name, note, created_by, created_home, created_at, expires_at)
VALUES (@organization_id, @id, @intent, @connection_id, @domain_name, @note, @created_by, @created_home, @created_at, @expires_at);

-- name: GetLink :one
SELECT * FROM setup_links WHERE organization_id = $1 AND id = $2;

-- name: MadeByLinks :one
SELECT count(*) FROM setup_links WHERE organization_id = $1 AND connection_id = $2 AND intent = 'sso';

-- name: ListLinks :many
SELECT * FROM setup_links WHERE organization_id = @organization_id AND id > @after ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: LinkMade :execrows
-- What a link made; it makes one at a time.
UPDATE setup_links SET connection_id = @connection_id, domain_name = @domain_name
WHERE organization_id = @organization_id AND id = @id AND connection_id = @was_connection AND domain_name = @was_domain AND revoked_at = 0;

-- name: RevokeLink :execrows
UPDATE setup_links SET revoked_at = @now WHERE organization_id = @organization_id AND id = @id AND revoked_at = 0;

-- name: PlatformPurgeLinks :execrows
DELETE FROM setup_links WHERE (organization_id, id) IN (SELECT l.organization_id, l.id FROM setup_links l WHERE l.expires_at < @before ORDER BY l.expires_at LIMIT CAST(@row_limit AS BIGINT));
