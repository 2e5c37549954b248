-- name: Insert :exec
INSERT INTO roles (organization_id, id, name, description, permissions, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6);

-- name: Get :one
SELECT * FROM roles WHERE organization_id = $1 AND id = $2;

-- name: GetByName :one
SELECT * FROM roles WHERE organization_id = $1 AND name = $2;

-- name: List :many
SELECT * FROM roles WHERE organization_id = @organization_id AND id > @after ORDER BY id LIMIT CAST(@row_limit AS BIGINT);

-- name: Update :execrows
UPDATE roles SET description = @description, permissions = @permissions, updated_at = @now
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was;

-- name: Delete :execrows
DELETE FROM roles WHERE organization_id = $1 AND id = $2;

-- name: Holders :one
SELECT CAST((SELECT count(*) FROM users u WHERE u.organization_id = @organization_id AND u.role = @role)
     + (SELECT count(*) FROM invitations i WHERE i.organization_id = @organization_id AND i.role = @role AND i.state = 'pending' AND i.expires_at > @now) AS BIGINT) AS total;

-- name: InTeams :one
-- Whether somebody who holds the role, or is invited to it, is in a team.
SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM users u JOIN team_members m ON m.organization_id = u.organization_id AND m.user_id = u.id WHERE u.organization_id = @organization_id AND u.role = @role)
    OR EXISTS (SELECT 1 FROM invitations i WHERE i.organization_id = @organization_id AND i.role = @role AND i.state = 'pending' AND i.expires_at > @now AND i.team_ids <> '[]') THEN 1 ELSE 0 END AS BIGINT) AS in_teams;
