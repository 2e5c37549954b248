-- +goose Up
-- Text compares by bytes on both engines.
ALTER TABLE organizations ALTER COLUMN account_number TYPE text COLLATE "C";
ALTER TABLE organizations ALTER COLUMN profile TYPE text COLLATE "C";
ALTER TABLE organizations ALTER COLUMN machine_credential TYPE text COLLATE "C";

-- +goose Down
SELECT 1;
