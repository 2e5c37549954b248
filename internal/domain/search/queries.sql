-- name: Insert :exec
INSERT INTO search_terms (organization_id, kind, term, subject) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: Delete :exec
DELETE FROM search_terms WHERE organization_id = $1 AND kind = $2 AND subject = $3;
