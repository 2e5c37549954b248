-- +goose Up
-- The tables of 00007 belong to no tenant. Tenants' statements may read since when tokens count, so that a rotation can decide it by itself.
-- +goose StatementBegin
DO $$
DECLARE t text; c record;
BEGIN
    FOREACH t IN ARRAY ARRAY['leases', 'installation'] LOOP
        FOR c IN SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = t AND data_type = 'text' LOOP
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE "C"', t, c.column_name);
        END LOOP;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO gatehouse_platform', t);
        EXECUTE format('CREATE POLICY platform ON %I TO gatehouse_platform USING (true)', t);
    END LOOP;
END $$;
-- +goose StatementEnd
GRANT SELECT ON installation TO gatehouse_app;
CREATE POLICY tenant ON installation FOR SELECT TO gatehouse_app USING (true);

-- A login role that owns nothing sees from this whether the schema is the one it needs.
GRANT SELECT ON goose_db_version TO gatehouse_app, gatehouse_platform;

-- The busiest rows are updated in place: room in each page keeps the tables as small as they are.
ALTER TABLE refresh_families SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE sessions SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE login_attempts SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- +goose Down
SELECT 1;
