package node

import (
	"strings"
	"testing"
)

func TestIdentitySettings(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"connect: {identity: directory}": "",
		"connect: {identity: {issuer: 'https://login.example.com', client_id: gatehouse, client_secret: sesame, scopes: [email], user_claim: email, name: Example}}": "https://login.example.com",
		"connect: {identity: {issuer: 'http://localhost:9000', client_id: gatehouse}}":                                                                               "http://localhost:9000",
	} {
		s, err := LoadSettings(write(t, "gatehouse.yaml", text), nil, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := ""
		if s.Upstream != nil {
			got = s.Upstream.Issuer
		}
		if got != want {
			t.Errorf("%s: issuer %q", text, got)
		}
	}
	for text, want := range map[string]string{
		"connect: {identity: ldap}":                                                              "connect.identity",
		"connect: {identity: {client_id: gatehouse}}":                                            "connect.identity",
		"connect: {identity: {issuer: 'https://login.example.com'}}":                             "connect.identity.client_id",
		"connect: {identity: {issuer: 'http://login.example.com', client_id: gatehouse}}":        "connect.identity.issuer",
		"connect: {identity: {issuer: 'https://login.example.com?x=1', client_id: gatehouse}}":   "connect.identity.issuer",
		"connect: {identity: {issuer: 'https://login.example.com', client_id: g, colour: blue}}": `unknown setting "connect.identity.colour"`,
		"connect: directory": "connect must be a mapping",
	} {
		if _, err := LoadSettings(write(t, "gatehouse.yaml", text), nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	s, err := LoadSettings("", nil, []string{"GATEHOUSE_CONNECT_IDENTITY_ISSUER=https://login.example.com", "GATEHOUSE_CONNECT_IDENTITY_CLIENT_ID=gatehouse", "GATEHOUSE_CONNECT_IDENTITY_SCOPES=email,profile"})
	if err != nil || s.Upstream == nil || len(s.Upstream.Scopes) != 2 {
		t.Errorf("%+v, %v", s.Upstream, err)
	}
}

func TestWebhookNetworks(t *testing.T) {
	s, err := LoadSettings(write(t, "gatehouse.yaml", "webhooks: {networks: [10.20.30.40/16, 'fd00::/8']}"), nil, nil)
	if err != nil || len(s.WebhookNetworks) != 2 || s.WebhookNetworks[0].String() != "10.20.0.0/16" {
		t.Errorf("%v, %v", s.WebhookNetworks, err)
	}
	if _, err := LoadSettings(write(t, "gatehouse.yaml", "webhooks: {networks: [inside]}"), nil, nil); err == nil || !strings.Contains(err.Error(), "webhooks.networks") {
		t.Error(err)
	}
}
