-- +goose Up
-- The second wall for the table of 00020, and byte order for its text.
-- +goose StatementBegin
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'setup_links' AND data_type = 'text' LOOP
        EXECUTE format('ALTER TABLE setup_links ALTER COLUMN %I TYPE text COLLATE "C"', c.column_name);
    END LOOP;
END $$;
-- +goose StatementEnd
ALTER TABLE setup_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE setup_links FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON setup_links TO gatehouse_app, gatehouse_platform;
CREATE POLICY tenant ON setup_links TO gatehouse_app USING (organization_id = NULLIF(current_setting('app.organization_id', true), ''));
CREATE POLICY platform ON setup_links TO gatehouse_platform USING (true);

-- +goose Down
SELECT 1;
