-- +goose Up
-- The second wall for search_terms, and byte order for its text.
-- +goose StatementBegin
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'search_terms' AND data_type = 'text' LOOP
        EXECUTE format('ALTER TABLE search_terms ALTER COLUMN %I TYPE text COLLATE "C"', c.column_name);
    END LOOP;
END $$;
-- +goose StatementEnd
ALTER TABLE search_terms ENABLE ROW LEVEL SECURITY;
ALTER TABLE search_terms FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON search_terms TO gatehouse_app, gatehouse_platform;
CREATE POLICY tenant ON search_terms TO gatehouse_app USING (organization_id = NULLIF(current_setting('app.organization_id', true), ''));
CREATE POLICY platform ON search_terms TO gatehouse_platform USING (true);

-- +goose Down
SELECT 1;
