package dialect

import (
	"slices"
	"strings"
	"time"
)

// checkOperation asks of a message pair what its operation can't do without.
func (l *loader) checkOperation(o *Operation, at position) {
	asks := func(h Hole, hint string) {
		if o.request != nil && !o.request.hasHole(h) {
			l.fail(at, "the "+string(o.Name)+" request has no {"+string(h)+"}", hint)
		}
	}
	gives := func(h Hole, hint string) {
		if o.response != nil && !o.response.requires(h) {
			l.fail(at, "the "+string(o.Name)+" answer has no {"+string(h)+"} that can be read back", hint)
		}
	}
	switch o.Name {
	case Issue:
		asks(ClientID, `say where the client names itself: "{client_id}"`)
		asks(ClientSecret, `say where the client proves itself: "{client_secret}"`)
		gives(AccessToken, `say where the token is: "{access_token}"`)
	case Refresh:
		asks(RefreshToken, `say where the refresh token is: "{refresh_token}"`)
		gives(AccessToken, `say where the token is: "{access_token}"`)
	case Exchange:
		asks(AccessCode, `say where the access code is: "{access_code}"`)
		gives(AccessToken, `say where the token is: "{access_token}"`)
	case Validate, Revoke, Use:
		asks(AccessToken, `say where the token is: "{access_token}"`)
	case Connect:
		gives(AccessCode, `say where the access code is: "{access_code}"`)
	case Delink:
		if o.Identity() == "" {
			l.fail(at, "the delink request doesn't say whose connection it is", `add "{access_token}" or "{client_id}"`)
		}
	}
}

// checkRoutes refuses two operations of one dialect that a request can't
// tell apart.
func (l *loader) checkRoutes(d *Dialect, wire *node) {
	for i, a := range d.Operations {
		for _, b := range d.Operations[:i] {
			if a.overlaps(b) && !a.toldApart(b) {
				l.fail(keyPosition(wire, string(a.Name)), string(a.Name)+" and "+string(b.Name)+" have the same method and path", "give them a literal that differs, such as grant_type")
			}
		}
	}
}

func keyPosition(n *node, key string) position {
	for _, p := range n.pairs {
		if p.key == key {
			return p.position
		}
	}
	return n.position
}

// toldApart reports whether a required literal differs at one place.
func (o *Operation) toldApart(other *Operation) bool {
	for _, a := range o.request.slots {
		for _, b := range other.request.slots {
			if a.place == b.place && a.name == b.name && a.isLiteral() && b.isLiteral() &&
				a.alternative == always && b.alternative == always && a.literal.text != b.literal.text {
				return true
			}
		}
	}
	return false
}

// checkWhole checks what needs several parts of the file.
func (l *loader) checkWhole(d *Dialect, root *node) {
	wire, token := root.get("wire"), root.get("token")
	if d.Operation(Issue) == nil && d.Operation(Exchange) == nil {
		l.fail(wire.position, "no operation gives a token", "add issue, or connect and exchange")
	}
	if d.Operation(Exchange) != nil && d.Token.CodeLife == 0 {
		l.fail(token.position, "exchange needs to know how long an access code lives", "add code_life: 10m")
	}
	if d.Operation(Refresh) != nil && d.Token.Refresh.Mode == RefreshNone {
		l.fail(token.position, "the wire has refresh but the token part says none", "add refresh: {mode: rotate, life: 24h}")
	}
	if d.Operation(Refresh) == nil && d.Token.Refresh.Mode != RefreshNone {
		l.fail(token.position, "refresh tokens would be made but nothing takes them", "add wire.refresh, or refresh: none")
	}
	l.checkErrors(d, wire)
	for _, name := range []OperationName{Issue, Refresh, Exchange} {
		o := d.Operation(name)
		if o == nil {
			continue
		}
		at := keyPosition(wire, string(name))
		says := o.ResponseHas(ExpiresAt) || o.ResponseHas(Life)
		if !says && !d.Token.Permanent && !d.Token.Assumed {
			l.fail(at, "the "+string(name)+" answer doesn't say when the token ends", `add "{life|seconds}" or "{expires_at|rfc3339}" to it, or write token.life: {assumed: 1h}`)
		}
		if d.Token.Permanent && (o.response.requires(ExpiresAt) || o.response.requires(Life)) {
			l.fail(at, "a permanent token has no end to write", "leave it out of the answer, or give the token a life")
		}
		if o.response.requires(RefreshToken) && d.Token.Refresh.Mode == RefreshNone {
			l.fail(at, "the answer has a refresh token but the token part says none", "add token.refresh, or leave it out")
		}
	}
	if o := d.Operation(Refresh); o != nil && d.Token.Refresh.Mode == RefreshRotate && !o.response.requires(RefreshToken) {
		l.fail(keyPosition(wire, "refresh"), "a rotating refresh token must come back in the answer", `add "{refresh_token}", or use mode reuse`)
	}
}

// checkErrors refuses an error that a client would read as success.
func (l *loader) checkErrors(d *Dialect, wire *node) {
	for _, o := range d.Operations {
		if o.response == nil || o.Name == Connect {
			continue
		}
		for _, code := range Codes() {
			r := d.WriteError(code, Values{})
			if !statusMatches(o.response.status, r.Status) {
				continue
			}
			if _, ok := o.response.readAnswer(r); ok {
				l.fail(keyPosition(wire, string(o.Name)), "the answer can't be told from the error "+string(code), "give the error another status, or the answer a literal that differs")
				break
			}
		}
	}
}

// Warnings lists what the file asks for though current practice advises
// otherwise. They are the API's own choices, so the file loads.
func (d *Dialect) Warnings() []string {
	var out []string
	if d.Token.CodeLife > 10*time.Minute {
		out = append(out, "an access code lives longer than 10 minutes (OWASP ASVS 5, 10.4.3)")
	}
	if o := d.Operation(Refresh); o != nil && !o.RequestHas(ClientSecret) {
		out = append(out, "a refresh needs no client secret (RFC 6749 section 6 asks for it)")
	}
	if d.Token.Refresh.Mode == RefreshReuse {
		out = append(out, "refresh tokens are reused, so a stolen one isn't noticed (RFC 9700 section 4.14)")
	}
	if d.Token.Permanent {
		out = append(out, "tokens never expire: only revoking ends them")
	}
	for _, o := range d.Operations {
		if o.Method() == "GET" && o.RequestHas(ClientSecret) {
			out = append(out, string(o.Name)+" is a GET: proxies may store or repeat it")
		}
		if o.request != nil && slices.ContainsFunc(o.request.slots, func(s slot) bool {
			return (s.place == inQuery || s.place == inPath) && slices.ContainsFunc(s.holes(), func(u *holeUse) bool { return u.kind == kindSecret })
		}) {
			out = append(out, string(o.Name)+" carries a secret in its URL, which servers and proxies log")
		}
		if o.request == nil {
			continue
		}
		for _, s := range o.request.slots {
			if s.place == inHeader && strings.Contains(s.label, "_") {
				out = append(out, string(o.Name)+" reads the header "+s.label+", which nginx drops unless underscores_in_headers is on")
			}
		}
	}
	return out
}
