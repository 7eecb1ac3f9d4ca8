package admin

import (
	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/secret"
)

// A Credential is a member of a message that carries a secret or token. It is
// revealed by the JSON of the message it is part of, and redacted everywhere
// else; "" is none.
type Credential struct{ secret.Text }

// MarshalJSON reveals the credential: a message is what it is for.
func (c Credential) MarshalJSON() ([]byte, error) { return json.Marshal(c.Reveal()) }

// UnmarshalJSON reads the credential.
func (c *Credential) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	c.Text = secret.New(s)
	return nil
}

// MarshalText keeps other encoders from finding the embedded method.
func (c Credential) MarshalText() ([]byte, error) { return c.Text.MarshalText() }

// Schema describes it in the OpenAPI document.
func (Credential) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "password"}
}
