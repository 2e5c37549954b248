-- name: Insert :exec
INSERT INTO audit_events (organization_id, id, at, act, outcome, actor_kind, actor_id, actor_home, target_kind, target_id, address, user_agent, request_id, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: List :many
SELECT * FROM audit_events
WHERE organization_id = @organization_id
  AND id BETWEEN @from_id AND @before AND id <> @before
  AND (CAST(@actor AS TEXT) = '' OR actor_id = @actor)
  AND (CAST(@target AS TEXT) = '' OR target_id = @target)
  AND (CAST(@act AS TEXT) = '' OR act = @act)
  AND at >= @since AND at < @until
ORDER BY id DESC LIMIT CAST(@row_limit AS BIGINT);

-- name: Purge :execrows
DELETE FROM audit_events WHERE audit_events.organization_id = @organization_id AND audit_events.id IN (
    SELECT e.id FROM audit_events e WHERE e.organization_id = @organization_id AND e.id < @before ORDER BY e.id LIMIT CAST(@row_limit AS BIGINT));

-- name: CountByDay :many
SELECT CAST(at / 86400000 AS BIGINT) AS day, act, outcome, CAST(count(*) AS BIGINT) AS total FROM audit_events
WHERE organization_id = @organization_id AND act = @act AND id BETWEEN @from_id AND @before AND at >= @since AND at < @until
GROUP BY 1, 2, 3 ORDER BY 1, 3;
