-- +goose NO TRANSACTION
-- Pairs of filters that are often given together, and that few rows meet although many meet each. The indexes are built
-- while others write; one that a former try left half-built is made anew.
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS users_in_role_and_state;
CREATE INDEX CONCURRENTLY users_in_role_and_state ON users (organization_id, role, state, id);
DROP INDEX CONCURRENTLY IF EXISTS tickets_by_status_and_priority;
CREATE INDEX CONCURRENTLY tickets_by_status_and_priority ON tickets (organization_id, status, priority, id);
DROP INDEX CONCURRENTLY IF EXISTS tickets_by_assignee_and_status;
CREATE INDEX CONCURRENTLY tickets_by_assignee_and_status ON tickets (organization_id, assignee_id, status, id);
DROP INDEX CONCURRENTLY IF EXISTS tickets_by_team_and_status;
CREATE INDEX CONCURRENTLY tickets_by_team_and_status ON tickets (organization_id, team_id, status, id);

-- +goose Down
DROP INDEX tickets_by_team_and_status;
DROP INDEX tickets_by_assignee_and_status;
DROP INDEX tickets_by_status_and_priority;
DROP INDEX users_in_role_and_state;
