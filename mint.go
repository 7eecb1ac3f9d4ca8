package gatehouse

import (
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// mint makes the tokens and their rows.
func (e *Engine) mint(p *proven, policy *Policy, plan *plan) (*Issued, *Grant, error) {
	now := e.clock.now().Truncate(time.Millisecond)
	wire, _ := p.Client.WireID(p.Environment)
	access := TokenRecord{
		ID: plan.accessID, Kind: AccessToken, Client: p.Client.ID, Environment: p.Environment, Dialect: p.Client.Dialect,
		Name: plan.name, Scopes: plan.scopes, Audience: plan.audience, Secret: p.Secret, IssuedAt: now,
	}
	if access.ID.IsZero() {
		access.ID = token.NewID(now)
	}
	if !plan.permanent {
		access.ExpiresAt = now.Truncate(time.Second).Add(plan.life)
	}
	if p.uses != nil {
		access.Parent, access.Grant, access.Secret, access.User = p.uses.ID, p.uses.Grant, p.uses.Secret, p.uses.User
	}
	issued := &Issued{Client: p.Client, ClientID: wire, Connection: p.connection, Life: plan.life, Limit: plan.limit}
	g := &Grant{At: now, Proof: p.Principal.Secret}
	if p.uses != nil {
		g.Uses, g.Spend = p.uses.ID, plan.spend
	}
	if plan.refresh {
		refresh := access
		refresh.ID, refresh.Kind = token.NewID(now), RefreshToken
		refresh.ExpiresAt = now.Truncate(time.Second).Add(policy.RefreshLife)
		if refresh.Grant.IsZero() {
			refresh.Grant = refresh.ID
		}
		access.Grant = refresh.Grant
		issued.Refresh = e.opaque(&refresh, token.Prefix(string(p.Environment), token.RefreshToken))
		issued.RefreshRecord, issued.RefreshLife = &refresh, policy.RefreshLife
		g.Tokens = append(g.Tokens, refresh)
	}
	var err error
	if issued.Access, err = e.mintAccess(p, policy, wire, &access); err != nil {
		return nil, nil, err
	}
	issued.Record = access
	g.Tokens = append(g.Tokens, access)
	return issued, g, nil
}

func (e *Engine) mintAccess(p *proven, policy *Policy, wire ClientID, r *TokenRecord) (secret.Text, error) {
	if policy.JWT == nil {
		prefix, ok := policy.Prefix[r.Environment]
		if !ok {
			prefix = token.Prefix(string(r.Environment), token.AccessToken)
		}
		return e.opaque(r, prefix), nil
	}
	key, err := e.ring.Load().Signing(token.Realm{
		Environment: string(r.Environment), Format: policy.Dialect, Algorithm: policy.Algorithm,
	}, r.IssuedAt)
	if err != nil {
		return secret.Text{}, fmt.Errorf("minting: %w", err)
	}
	tok, err := policy.JWT.Mint(key, &Minting{
		Record: *r, ClientID: wire, Issuer: e.Issuer(r.Environment), KeyIndex: key.Index, Fields: p.Client.Fields,
	})
	if err != nil {
		return secret.Text{}, fmt.Errorf("minting: %w", err)
	}
	return tok, nil
}

// opaque makes an opaque token for r and puts its digest there.
func (e *Engine) opaque(r *TokenRecord, prefix string) secret.Text {
	tok := token.NewOpaque(prefix, r.ID)
	digest := e.digester.Digest(digestToken, tok)
	r.Digest = digest[:]
	return tok
}
