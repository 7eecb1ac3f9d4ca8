package node

import (
	"errors"
	"fmt"

	"github.com/knadh/koanf/v2"

	"github.com/gatehouse-auth/gatehouse/connect/upstream"
)

// parseIdentity returns the OpenID Connect provider at which end users sign in,
// or nil where they are in the built-in directory.
func parseIdentity(k *koanf.Koanf) (*upstream.Config, error) {
	if !k.Exists("connect.identity.issuer") {
		if is := k.String("connect.identity"); is != "" && is != "directory" || len(k.StringMap("connect.identity")) > 0 {
			return nil, errors.New("connect.identity: it must be directory, or name a provider by its issuer and client_id")
		}
		return nil, nil
	}
	c := &upstream.Config{
		Issuer: k.String("connect.identity.issuer"), ClientID: k.String("connect.identity.client_id"),
		Scopes: k.Strings("connect.identity.scopes"), UserClaim: k.String("connect.identity.user_claim"), Name: k.String("connect.identity.name"),
	}
	var err error
	if c.ClientSecret, err = readSecret(k, "connect.identity.client_secret"); err != nil {
		return nil, err
	}
	if _, err := upstream.New(*c); err != nil {
		return nil, fmt.Errorf("connect.identity.%w", err)
	}
	return c, nil
}
