-- +goose Up
-- What users, teams, organizations, clients and credentials are found by: the texts of each from every word on, folded.
-- What has none is given its terms by the server.
CREATE TABLE search_terms (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    kind            TEXT NOT NULL,
    term            TEXT NOT NULL,
    subject         TEXT NOT NULL,
    PRIMARY KEY (organization_id, kind, term, subject)
);
CREATE INDEX search_terms_by_subject ON search_terms (organization_id, kind, subject, term);
CREATE INDEX search_terms_of_organizations ON search_terms (term, subject) WHERE kind = 'organization';

-- +goose Down
DROP TABLE search_terms;
