package gatehouse

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"
)

// plan is what a grant will mint.
type plan struct {
	life      time.Duration // 0 is permanent
	name      string
	scopes    []string
	audience  []string
	refresh   bool // hand out a refresh token
	spend     bool // the presented token is used up
	limit     *LimitState
	accessID  TokenID // allotted earlier; zero makes one
	permanent bool
}

// plan applies the policy and the client's own bounds to what was asked.
func (e *Engine) plan(ctx context.Context, p *proven, policy *Policy, want ask) (*plan, error) {
	out := &plan{name: want.name, permanent: policy.Permanent}
	var err error
	if out.scopes, err = grantedScopes(p, want.scopes); err != nil {
		return nil, err
	}
	if out.audience, err = grantedAudience(p, want.resources); err != nil {
		return nil, err
	}
	if want.life < 0 || want.life%time.Second != 0 {
		return nil, &Error{Code: InvalidRequest, Reason: ReasonMalformed, Field: "life", Message: "the life of a token is a whole number of seconds greater than 0", Client: p.Client.ID}
	}
	if !policy.Permanent {
		out.life = policy.Life
		longest := max(policy.Longest, policy.Life)
		if p.Client.MaxTTL > 0 {
			longest = p.Client.MaxTTL
		}
		if want.life > 0 {
			out.life = want.life
		}
		out.life = min(out.life, longest)
	}
	if p.uses != nil {
		out.spend = p.uses.Kind == AccessCode || policy.Refresh == RefreshRotate
	}
	if p.connection != nil {
		out.accessID = p.connection.Token
	}
	switch policy.Refresh {
	case RefreshReuse:
		out.refresh = p.uses == nil
	case RefreshRotate:
		out.refresh = p.Client.Dialect != OAuth2 || p.Client.Refresh
	}
	out.limit, err = e.issuance.take(ctx, p.Client, p.Environment, p.verb(), policy, e.clock.wall())
	return out, err
}

// grantedScopes is all that the client has, where none is asked; else what is
// asked, which must be within what the client, and the presented token, have.
func grantedScopes(p *proven, asked []string) ([]string, error) {
	has := p.Client.Scopes
	if p.uses != nil {
		has = slices.DeleteFunc(slices.Clone(p.uses.Scopes), func(s string) bool { return !slices.Contains(p.Client.Scopes, s) })
	}
	if asked == nil {
		return has, nil
	}
	out := make([]string, 0, len(asked))
	for _, s := range asked {
		if !slices.Contains(has, s) {
			return nil, &Error{Code: InvalidScope, Reason: ReasonScope, Field: "scope", Message: "a scope was asked for that this client does not have", Client: p.Client.ID}
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out, nil
}

// grantedAudience is what is asked by resource indicators (RFC 8707 §2), on
// refresh within what the first token had.
func grantedAudience(p *proven, resources []string) ([]string, error) {
	var had []string
	if p.uses != nil {
		had = p.uses.Audience
	}
	if resources == nil {
		return had, nil
	}
	var out []string
	for _, r := range resources {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || u.Host == "" && u.Opaque == "" || u.Fragment != "" || strings.ContainsAny(r, "# ") ||
			had != nil && !slices.Contains(had, r) {
			return nil, &Error{Code: InvalidTarget, Reason: ReasonWrongAudience, Field: "resource", Message: "a resource is an absolute URI without a fragment, and on refresh one that the first token had", Client: p.Client.ID}
		}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out, nil
}
