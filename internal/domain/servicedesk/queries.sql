-- name: InsertTicket :exec
INSERT INTO tickets (organization_id, id, type, title, description, classification, status, priority, requester_id, assignee_id, team_id, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, 'new', $7, $8, $9, $10, $11, $11);

-- name: WalkTickets :many
-- What a caller may see who may not see all: what was requested by, is assigned to, or belongs to a team of the user.
-- Looks at the newest tickets, or the newest of those that an index has: of a person or team, or else of a status and
-- a priority. However few of them are to be seen, it stops after so many.
SELECT t.* FROM (SELECT w.id FROM tickets w
    WHERE w.organization_id = @organization_id AND w.id < @past
    AND (CAST(@walk_status AS TEXT) = '' OR w.status = @walk_status)
    AND (CAST(@walk_priority AS TEXT) = '' OR w.priority = @walk_priority)
    AND (CAST(@assignee_id AS TEXT) = '' OR w.assignee_id = @assignee_id)
    AND (CAST(@requester_id AS TEXT) = '' OR w.requester_id = @requester_id)
    AND (CAST(@team_id AS TEXT) = '' OR w.team_id = @team_id)
    AND (CAST(@id AS TEXT) = '' OR w.id = @id)
    ORDER BY w.id DESC LIMIT CAST(@walked AS BIGINT)) n CROSS JOIN tickets t
WHERE t.organization_id = @organization_id AND t.id = n.id
  AND (CAST(@status AS TEXT) = '' OR t.status = @status)
  AND (CAST(@priority AS TEXT) = '' OR t.priority = @priority)
  AND (t.requester_id = @user_id
    OR (CAST(@see_assigned AS BOOLEAN) AND t.assignee_id = @user_id)
    OR (CAST(@see_team AS BOOLEAN) AND (
        t.team_id IN (SELECT m.team_id FROM team_members m WHERE m.organization_id = @organization_id AND m.user_id = @user_id)
        OR t.assignee_id IN (SELECT o.user_id FROM team_members m JOIN team_members o ON o.organization_id = m.organization_id AND o.team_id = m.team_id
                             WHERE m.organization_id = @organization_id AND m.user_id = @user_id))))
ORDER BY t.id DESC LIMIT CAST(@row_limit AS BIGINT) OFFSET CAST(@row_offset AS BIGINT);

-- name: CountWalked :one
-- How many WalkTickets looks at.
SELECT CAST(count(*) AS BIGINT) FROM (SELECT w.id FROM tickets w
    WHERE w.organization_id = @organization_id AND w.id < @past
    AND (CAST(@walk_status AS TEXT) = '' OR w.status = @walk_status)
    AND (CAST(@walk_priority AS TEXT) = '' OR w.priority = @walk_priority)
    AND (CAST(@assignee_id AS TEXT) = '' OR w.assignee_id = @assignee_id)
    AND (CAST(@requester_id AS TEXT) = '' OR w.requester_id = @requester_id)
    AND (CAST(@team_id AS TEXT) = '' OR w.team_id = @team_id)
    AND (CAST(@id AS TEXT) = '' OR w.id = @id)
    ORDER BY w.id DESC LIMIT CAST(@walked AS BIGINT)) n;

-- name: WalkTicketsOldestFirst :many
-- WalkTickets the other way round: looks at the oldest tickets.
SELECT t.* FROM (SELECT w.id FROM tickets w
    WHERE w.organization_id = @organization_id AND w.id > @past
    AND (CAST(@walk_status AS TEXT) = '' OR w.status = @walk_status)
    AND (CAST(@walk_priority AS TEXT) = '' OR w.priority = @walk_priority)
    AND (CAST(@assignee_id AS TEXT) = '' OR w.assignee_id = @assignee_id)
    AND (CAST(@requester_id AS TEXT) = '' OR w.requester_id = @requester_id)
    AND (CAST(@team_id AS TEXT) = '' OR w.team_id = @team_id)
    AND (CAST(@id AS TEXT) = '' OR w.id = @id)
    ORDER BY w.id LIMIT CAST(@walked AS BIGINT)) n CROSS JOIN tickets t
WHERE t.organization_id = @organization_id AND t.id = n.id
  AND (CAST(@status AS TEXT) = '' OR t.status = @status)
  AND (CAST(@priority AS TEXT) = '' OR t.priority = @priority)
  AND (t.requester_id = @user_id
    OR (CAST(@see_assigned AS BOOLEAN) AND t.assignee_id = @user_id)
    OR (CAST(@see_team AS BOOLEAN) AND (
        t.team_id IN (SELECT m.team_id FROM team_members m WHERE m.organization_id = @organization_id AND m.user_id = @user_id)
        OR t.assignee_id IN (SELECT o.user_id FROM team_members m JOIN team_members o ON o.organization_id = m.organization_id AND o.team_id = m.team_id
                             WHERE m.organization_id = @organization_id AND m.user_id = @user_id))))
ORDER BY t.id LIMIT CAST(@row_limit AS BIGINT) OFFSET CAST(@row_offset AS BIGINT);

-- name: CountWalkedOldestFirst :one
-- How many WalkTicketsOldestFirst looks at.
SELECT CAST(count(*) AS BIGINT) FROM (SELECT w.id FROM tickets w
    WHERE w.organization_id = @organization_id AND w.id > @past
    AND (CAST(@walk_status AS TEXT) = '' OR w.status = @walk_status)
    AND (CAST(@walk_priority AS TEXT) = '' OR w.priority = @walk_priority)
    AND (CAST(@assignee_id AS TEXT) = '' OR w.assignee_id = @assignee_id)
    AND (CAST(@requester_id AS TEXT) = '' OR w.requester_id = @requester_id)
    AND (CAST(@team_id AS TEXT) = '' OR w.team_id = @team_id)
    AND (CAST(@id AS TEXT) = '' OR w.id = @id)
    ORDER BY w.id LIMIT CAST(@walked AS BIGINT)) n;

-- name: GatherTickets :many
-- The same of all tickets: reads whatever the user may see of a status and a priority. CROSS JOIN tells SQLite to begin
-- at the user's teams.
SELECT t.* FROM tickets t
WHERE t.organization_id = @organization_id
  AND (CAST(@assignee_id AS TEXT) = '' OR t.assignee_id = @assignee_id)
  AND (CAST(@requester_id AS TEXT) = '' OR t.requester_id = @requester_id)
  AND (CAST(@team_id AS TEXT) = '' OR t.team_id = @team_id)
  AND (CAST(@id AS TEXT) = '' OR t.id = @id)
  AND t.id IN (
    SELECT r.id FROM tickets r WHERE r.organization_id = @organization_id AND r.requester_id = @user_id AND r.id < @past
        AND (CAST(@status AS TEXT) = '' OR r.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR r.priority = @priority)
    UNION SELECT a.id FROM tickets a WHERE a.organization_id = @organization_id AND a.assignee_id = @user_id AND a.id < @past AND CAST(@see_assigned AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR a.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR a.priority = @priority)
    UNION SELECT x.id FROM team_members m CROSS JOIN tickets x
        WHERE x.organization_id = @organization_id AND x.team_id = m.team_id AND m.organization_id = @organization_id AND m.user_id = @user_id AND x.id < @past AND CAST(@see_team AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR x.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR x.priority = @priority)
    UNION SELECT y.id FROM team_members m CROSS JOIN team_members o CROSS JOIN tickets y
        WHERE o.organization_id = @organization_id AND o.team_id = m.team_id AND y.organization_id = @organization_id AND y.assignee_id = o.user_id AND m.organization_id = @organization_id AND m.user_id = @user_id AND y.id < @past AND CAST(@see_team AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR y.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR y.priority = @priority))
ORDER BY t.id DESC LIMIT CAST(@row_limit AS BIGINT) OFFSET CAST(@row_offset AS BIGINT);

-- name: GatherTicketsOldestFirst :many
-- GatherTickets the other way round.
SELECT t.* FROM tickets t
WHERE t.organization_id = @organization_id
  AND (CAST(@assignee_id AS TEXT) = '' OR t.assignee_id = @assignee_id)
  AND (CAST(@requester_id AS TEXT) = '' OR t.requester_id = @requester_id)
  AND (CAST(@team_id AS TEXT) = '' OR t.team_id = @team_id)
  AND (CAST(@id AS TEXT) = '' OR t.id = @id)
  AND t.id IN (
    SELECT r.id FROM tickets r WHERE r.organization_id = @organization_id AND r.requester_id = @user_id AND r.id > @past
        AND (CAST(@status AS TEXT) = '' OR r.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR r.priority = @priority)
    UNION SELECT a.id FROM tickets a WHERE a.organization_id = @organization_id AND a.assignee_id = @user_id AND a.id > @past AND CAST(@see_assigned AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR a.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR a.priority = @priority)
    UNION SELECT x.id FROM team_members m CROSS JOIN tickets x
        WHERE x.organization_id = @organization_id AND x.team_id = m.team_id AND m.organization_id = @organization_id AND m.user_id = @user_id AND x.id > @past AND CAST(@see_team AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR x.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR x.priority = @priority)
    UNION SELECT y.id FROM team_members m CROSS JOIN team_members o CROSS JOIN tickets y
        WHERE o.organization_id = @organization_id AND o.team_id = m.team_id AND y.organization_id = @organization_id AND y.assignee_id = o.user_id AND m.organization_id = @organization_id AND m.user_id = @user_id AND y.id > @past AND CAST(@see_team AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR y.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR y.priority = @priority))
ORDER BY t.id LIMIT CAST(@row_limit AS BIGINT) OFFSET CAST(@row_offset AS BIGINT);

-- name: ListAllTickets :many
SELECT * FROM tickets
WHERE organization_id = @organization_id AND id < @past
  AND (CAST(@status AS TEXT) = '' OR status = @status)
  AND (CAST(@priority AS TEXT) = '' OR priority = @priority)
  AND (CAST(@assignee_id AS TEXT) = '' OR assignee_id = @assignee_id)
  AND (CAST(@requester_id AS TEXT) = '' OR requester_id = @requester_id)
  AND (CAST(@team_id AS TEXT) = '' OR team_id = @team_id)
  AND (CAST(@id AS TEXT) = '' OR id = @id)
ORDER BY id DESC LIMIT CAST(@row_limit AS BIGINT) OFFSET CAST(@row_offset AS BIGINT);

-- name: ListAllTicketsOldestFirst :many
SELECT * FROM tickets
WHERE organization_id = @organization_id AND id > @past
  AND (CAST(@status AS TEXT) = '' OR status = @status)
  AND (CAST(@priority AS TEXT) = '' OR priority = @priority)
  AND (CAST(@assignee_id AS TEXT) = '' OR assignee_id = @assignee_id)
  AND (CAST(@requester_id AS TEXT) = '' OR requester_id = @requester_id)
  AND (CAST(@team_id AS TEXT) = '' OR team_id = @team_id)
  AND (CAST(@id AS TEXT) = '' OR id = @id)
ORDER BY id LIMIT CAST(@row_limit AS BIGINT) OFFSET CAST(@row_offset AS BIGINT);

-- name: CountVisibleTickets :one
-- How many a caller may see; as GatherTickets.
SELECT CAST(count(*) AS BIGINT) FROM tickets t
WHERE t.organization_id = @organization_id
  AND (CAST(@assignee_id AS TEXT) = '' OR t.assignee_id = @assignee_id)
  AND (CAST(@requester_id AS TEXT) = '' OR t.requester_id = @requester_id)
  AND (CAST(@team_id AS TEXT) = '' OR t.team_id = @team_id)
  AND (CAST(@id AS TEXT) = '' OR t.id = @id)
  AND t.id IN (
    SELECT r.id FROM tickets r WHERE r.organization_id = @organization_id AND r.requester_id = @user_id
        AND (CAST(@status AS TEXT) = '' OR r.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR r.priority = @priority)
    UNION SELECT a.id FROM tickets a WHERE a.organization_id = @organization_id AND a.assignee_id = @user_id AND CAST(@see_assigned AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR a.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR a.priority = @priority)
    UNION SELECT x.id FROM team_members m CROSS JOIN tickets x
        WHERE x.organization_id = @organization_id AND x.team_id = m.team_id AND m.organization_id = @organization_id AND m.user_id = @user_id AND CAST(@see_team AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR x.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR x.priority = @priority)
    UNION SELECT y.id FROM team_members m CROSS JOIN team_members o CROSS JOIN tickets y
        WHERE o.organization_id = @organization_id AND o.team_id = m.team_id AND y.organization_id = @organization_id AND y.assignee_id = o.user_id AND m.organization_id = @organization_id AND m.user_id = @user_id AND CAST(@see_team AS BOOLEAN)
        AND (CAST(@status AS TEXT) = '' OR y.status = @status)
        AND (CAST(@priority AS TEXT) = '' OR y.priority = @priority));

-- name: CountAllTickets :one
SELECT CAST(count(*) AS BIGINT) FROM tickets
WHERE organization_id = @organization_id
  AND (CAST(@status AS TEXT) = '' OR status = @status)
  AND (CAST(@priority AS TEXT) = '' OR priority = @priority)
  AND (CAST(@assignee_id AS TEXT) = '' OR assignee_id = @assignee_id)
  AND (CAST(@requester_id AS TEXT) = '' OR requester_id = @requester_id)
  AND (CAST(@team_id AS TEXT) = '' OR team_id = @team_id)
  AND (CAST(@id AS TEXT) = '' OR id = @id);

-- name: GetTicket :one
SELECT * FROM tickets WHERE organization_id = $1 AND id = $2;

-- name: UpdateTicket :execrows
UPDATE tickets SET title = @title, description = @description, classification = @classification, status = @status, priority = @priority,
    assignee_id = @assignee_id, team_id = @team_id, updated_at = @now
WHERE organization_id = @organization_id AND id = @id AND updated_at = @was_updated_at;

-- name: SharesTeam :one
SELECT EXISTS (SELECT 1 FROM team_members m JOIN team_members o ON o.organization_id = m.organization_id AND o.team_id = m.team_id
    WHERE m.organization_id = @organization_id AND m.user_id = @user_id AND o.user_id = @other_id);

-- name: InTeam :one
SELECT EXISTS (SELECT 1 FROM team_members m WHERE m.organization_id = $1 AND m.team_id = $2 AND m.user_id = $3);

-- name: UserState :one
SELECT u.state FROM users u WHERE u.organization_id = $1 AND u.id = $2;

-- name: TeamExists :one
SELECT EXISTS (SELECT 1 FROM teams t WHERE t.organization_id = $1 AND t.id = $2);

-- name: CountTickets :many
SELECT status, priority, CAST(count(*) AS BIGINT) AS total FROM tickets WHERE organization_id = $1 GROUP BY status, priority ORDER BY status, priority;

-- name: ListPolicies :many
SELECT * FROM sla_policies WHERE organization_id = $1 ORDER BY priority;

-- name: PutPolicy :exec
INSERT INTO sla_policies (organization_id, priority, response_minutes, resolution_minutes, updated_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (organization_id, priority) DO UPDATE SET response_minutes = $3, resolution_minutes = $4, updated_at = $5;
