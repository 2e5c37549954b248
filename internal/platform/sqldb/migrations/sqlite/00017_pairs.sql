-- Pairs of filters that are often given together, and that few rows meet although many meet each.
-- +goose Up
CREATE INDEX users_in_role_and_state ON users (organization_id, role, state, id);
CREATE INDEX tickets_by_status_and_priority ON tickets (organization_id, status, priority, id);
CREATE INDEX tickets_by_assignee_and_status ON tickets (organization_id, assignee_id, status, id);
CREATE INDEX tickets_by_team_and_status ON tickets (organization_id, team_id, status, id);

-- +goose Down
DROP INDEX tickets_by_team_and_status;
DROP INDEX tickets_by_assignee_and_status;
DROP INDEX tickets_by_status_and_priority;
DROP INDEX users_in_role_and_state;
