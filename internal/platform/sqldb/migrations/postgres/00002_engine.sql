-- +goose Up
-- Row-level security is the second wall behind the WHERE clauses: a tenant statement runs as gatehouse_app and sees the rows of the
-- organization named in app.organization_id only; the few platform statements run as gatehouse_platform. The login role owns the
-- tables but, since security is forced and no policy names it, sees nothing by itself. No role bypasses row-level security.

-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gatehouse_app') THEN
        CREATE ROLE gatehouse_app NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gatehouse_platform') THEN
        CREATE ROLE gatehouse_platform NOLOGIN;
    END IF;
    -- Always, since newer versions make the creator of a role a member that may not act as it. Where roles are made and granted by
    -- somebody else, granting them again is not ours to do.
    BEGIN
        EXECUTE format('GRANT gatehouse_app, gatehouse_platform TO %I', current_user);
    EXCEPTION WHEN insufficient_privilege THEN
        IF NOT (pg_has_role(current_user, 'gatehouse_app', 'MEMBER') AND pg_has_role(current_user, 'gatehouse_platform', 'MEMBER')) THEN
            RAISE;
        END IF;
    END;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO gatehouse_app, gatehouse_platform', current_schema());
END $$;
-- +goose StatementEnd

-- Ids and keys are compared byte by byte, as SQLite does, whatever the language of the database: the order of pages depends on it.
-- +goose StatementBegin
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT table_name, column_name FROM information_schema.columns
             WHERE table_schema = current_schema() AND data_type = 'text' AND table_name <> 'goose_db_version' LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE "C"', c.table_name, c.column_name);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['organization_origins', 'roles', 'users', 'teams', 'team_members', 'invitations', 'onetime', 'sessions',
                             'refresh_families', 'audit_events', 'tickets', 'sla_policies'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO gatehouse_app, gatehouse_platform', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO gatehouse_app USING (organization_id = NULLIF(current_setting(''app.organization_id'', true), ''''))', t);
        EXECUTE format('CREATE POLICY platform ON %I TO gatehouse_platform USING (true)', t);
    END LOOP;
END $$;
-- +goose StatementEnd

ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON organizations TO gatehouse_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON organizations TO gatehouse_platform;
CREATE POLICY tenant ON organizations TO gatehouse_app USING (id = NULLIF(current_setting('app.organization_id', true), ''));
CREATE POLICY platform ON organizations TO gatehouse_platform USING (true);

ALTER TABLE signing_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE signing_keys FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_keys TO gatehouse_platform;
CREATE POLICY platform ON signing_keys TO gatehouse_platform USING (true);

ALTER TABLE login_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE login_attempts FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON login_attempts TO gatehouse_platform;
CREATE POLICY platform ON login_attempts TO gatehouse_platform USING (true);

-- SQLite's spelling of a list parameter: IN (SELECT value FROM json_each($1)).
-- +goose StatementBegin
CREATE FUNCTION json_each(text) RETURNS TABLE (key text, value text) LANGUAGE sql IMMUTABLE AS $$
    SELECT (ordinality - 1)::text, value FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION json_each(text);
