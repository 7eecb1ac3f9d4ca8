package gatehouse

import (
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/secret"
	"github.com/gatehouse-auth/gatehouse/token"
)

// mint makes the rows of a grant, and its opaque tokens. A JWT is not signed yet:
// its row holds nothing of the signature.
func (e *Engine) mint(p *proven, policy *Policy, plan *plan) (*Issued, *Grant) {
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
	if policy.JWT == nil {
		prefix, ok := policy.Prefix[p.Environment]
		if !ok {
			prefix = token.Prefix(string(p.Environment), token.AccessToken)
		}
		issued.Access = e.opaque(&access, prefix)
	}
	issued.Record = access
	g.Tokens = append(g.Tokens, access)
	return issued, g
}

// sign makes the JWT of a grant, unless its token is there already.
func (e *Engine) sign(issued *Issued, policy *Policy) error {
	if !issued.Access.IsZero() {
		return nil
	}
	r := &issued.Record
	key, err := e.ring.Load().Signing(token.Realm{
		Environment: string(r.Environment), Format: policy.Dialect, Algorithm: policy.Algorithm,
	}, r.IssuedAt)
	if err != nil {
		return fmt.Errorf("minting: %w", err)
	}
	issued.Access, err = policy.JWT.Mint(key, &Minting{
		Record: *r, ClientID: issued.ClientID, Issuer: e.Issuer(r.Environment), KeyIndex: key.Index, Fields: issued.Client.Fields,
	})
	if err != nil {
		return fmt.Errorf("minting: %w", err)
	}
	return nil
}

// opaque makes an opaque token for r and puts its digest there.
func (e *Engine) opaque(r *TokenRecord, prefix string) secret.Text {
	tok := token.NewOpaque(prefix, r.ID)
	digest := e.digester.Digest(digestToken, tok)
	r.Digest = digest[:]
	return tok
}
