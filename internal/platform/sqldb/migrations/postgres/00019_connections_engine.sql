-- +goose Up
-- The second wall for the tables of 00018, and byte order for their text.
-- +goose StatementBegin
DO $$
DECLARE t text; c record;
BEGIN
    FOREACH t IN ARRAY ARRAY['connections', 'domains', 'identities', 'organization_redirects'] LOOP
        FOR c IN SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = t AND data_type = 'text' LOOP
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE "C"', t, c.column_name);
        END LOOP;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO gatehouse_app, gatehouse_platform', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO gatehouse_app USING (organization_id = NULLIF(current_setting(''app.organization_id'', true), ''''))', t);
        EXECUTE format('CREATE POLICY platform ON %I TO gatehouse_platform USING (true)', t);
    END LOOP;
END $$;
-- +goose StatementEnd
ALTER TABLE sessions ALTER COLUMN connection_id TYPE text COLLATE "C";
ALTER TABLE sessions ALTER COLUMN upstream_session TYPE text COLLATE "C";

-- +goose Down
SELECT 1;
