package main

import (
	"encoding/json"
	"os"

	"github.com/itsm-automation/gatehouse/internal/server/demo"
)

// writePostmanEnvironment gives the variables of postman/gatehouse.postman_collection.json the demo's values, in
// Postman's own format.
func writePostmanEnvironment(path string, d demo.Seeds) error {
	type variable struct {
		Key     string `json:"key"`
		Value   string `json:"value"`
		Type    string `json:"type"`
		Enabled bool   `json:"enabled"`
	}
	client, last := d.Clients[0], len(d.SystemAccessTokens)-1
	var values []variable
	for _, v := range [][2]string{
		{"host", d.URL}, {"organization", demo.Tenant}, {"account", demo.Tenant},
		{"email", "manager@acme-corp.example"}, {"username", "integration"}, {"admin_username", "admin"},
	} {
		values = append(values, variable{v[0], v[1], "default", true})
	}
	for _, v := range [][2]string{
		{"password", demo.Password}, {"api_key", d.APIKeys[0].Key}, {"easyvista_token", d.AccessTokens[0].Token},
		{"system_access_token", d.SystemAccessTokens[0].Token},
		{"provisioning_token", d.SystemAccessTokens[last].Token}, {"client_id", client.ClientID},
		{"client_secret", client.ClientSecret},
	} {
		values = append(values, variable{v[0], v[1], "secret", true})
	}
	text, err := json.MarshalIndent(map[string]any{"name": "Gatehouse demo", "values": values,
		"_postman_variable_scope": "environment"}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
