-- +goose NO TRANSACTION
-- Every way to narrow a list has an index that ends in the list's order. They are built while others write; one that a
-- former try left half-built is made anew.
-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS audit_events_by_act;
CREATE INDEX CONCURRENTLY audit_events_by_act ON audit_events (organization_id, act, id);
DROP INDEX CONCURRENTLY IF EXISTS audit_events_by_time;
DROP INDEX CONCURRENTLY IF EXISTS tickets_by_priority;
CREATE INDEX CONCURRENTLY tickets_by_priority ON tickets (organization_id, priority, id);
DROP INDEX CONCURRENTLY IF EXISTS users_in_state;
CREATE INDEX CONCURRENTLY users_in_state ON users (organization_id, state, id);
DROP INDEX CONCURRENTLY IF EXISTS users_in_role;
CREATE INDEX CONCURRENTLY users_in_role ON users (organization_id, role, id);
DROP INDEX CONCURRENTLY IF EXISTS users_by_role;
DROP INDEX CONCURRENTLY IF EXISTS invitations_in_state;
CREATE INDEX CONCURRENTLY invitations_in_state ON invitations (organization_id, state, id);
DROP INDEX CONCURRENTLY IF EXISTS credentials_in_state;
CREATE INDEX CONCURRENTLY credentials_in_state ON credentials (organization_id, kind, state, id);
DROP INDEX CONCURRENTLY IF EXISTS credentials_of_owner;
CREATE INDEX CONCURRENTLY credentials_of_owner ON credentials (organization_id, owner_id, kind, id);
DROP INDEX CONCURRENTLY IF EXISTS credentials_by_owner;
DROP INDEX CONCURRENTLY IF EXISTS organizations_in_state;
CREATE INDEX CONCURRENTLY organizations_in_state ON organizations (state, id);
DROP INDEX CONCURRENTLY IF EXISTS sessions_of_user;
CREATE INDEX CONCURRENTLY sessions_of_user ON sessions (organization_id, user_id, state, id);
DROP INDEX CONCURRENTLY IF EXISTS sessions_by_user;
DROP INDEX CONCURRENTLY IF EXISTS factors_of_user;
CREATE INDEX CONCURRENTLY factors_of_user ON factors (organization_id, user_id, state, id);
DROP INDEX CONCURRENTLY IF EXISTS factors_by_user;
DROP INDEX CONCURRENTLY IF EXISTS team_members_of_user;
CREATE INDEX CONCURRENTLY team_members_of_user ON team_members (organization_id, user_id, team_id);
DROP INDEX CONCURRENTLY IF EXISTS team_members_by_user;

-- +goose Down
CREATE INDEX team_members_by_user ON team_members (organization_id, user_id);
DROP INDEX team_members_of_user;
CREATE INDEX factors_by_user ON factors (organization_id, user_id, state);
DROP INDEX factors_of_user;
CREATE INDEX sessions_by_user ON sessions (organization_id, user_id, state);
DROP INDEX sessions_of_user;
DROP INDEX organizations_in_state;
CREATE INDEX credentials_by_owner ON credentials (organization_id, owner_id, kind);
DROP INDEX credentials_of_owner;
DROP INDEX credentials_in_state;
DROP INDEX invitations_in_state;
CREATE INDEX users_by_role ON users (organization_id, role);
DROP INDEX users_in_role;
DROP INDEX users_in_state;
DROP INDEX tickets_by_priority;
CREATE INDEX audit_events_by_time ON audit_events (organization_id, at, id);
DROP INDEX audit_events_by_act;
