-- name: InsertFamily :exec
INSERT INTO refresh_families (organization_id, id, session_id, current_jti, state, created_at) VALUES ($1, $2, $3, $4, 'active', $5);

-- name: GetFamily :one
SELECT * FROM refresh_families WHERE organization_id = $1 AND id = $2;

-- name: Rotate :execrows
-- The one statement that decides a race: it matches for the token in force and for nobody after it.
UPDATE refresh_families SET previous_jti = current_jti, current_jti = @next_jti, generation = generation + 1, rotated_at = @now,
    overlap_until = @overlap_until, successor = @successor
WHERE organization_id = @organization_id AND id = @id AND current_jti = @presented AND state = 'active';
