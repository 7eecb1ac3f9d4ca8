package dialect

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// assumedLife is what a client takes for the life of a token whose answer
// says nothing, where the file names no other: RFC 6749's own examples use it.
const assumedLife = time.Hour

// environments are the two that a prefix or a host can be for.
var environments = []string{"sandbox", "live"}

// algorithms that a dialect's JWT may be signed with.
var algorithms = []string{"EdDSA", "ES256", "RS256"}

func (l *loader) loadToken(d *Dialect, n *node) {
	if !l.expect(n, mapping, "token") || !l.onlyKeys(n, []string{"jwt", "opaque", "prefix", "life", "code_life", "refresh"}) {
		return
	}
	p := &d.Token
	jwt, opaque := n.get("jwt"), n.get("opaque")
	switch {
	case jwt != nil && opaque != nil:
		l.fail(n.position, "a token is either jwt or opaque", "keep one of them")
	case jwt != nil:
		p.Format = JWT
		l.loadJWT(p, jwt)
	case opaque != nil:
		p.Format = Opaque
		if l.expect(opaque, mapping, "opaque") {
			l.onlyKeys(opaque, nil)
		}
	default:
		l.fail(n.position, "the token has no format", "add opaque: {} or jwt: {algorithm: EdDSA, …}")
	}
	if prefix := n.get("prefix"); prefix != nil {
		p.Prefix = l.byEnvironment(prefix, "prefix", func(value *node) {
			if p.Format == JWT {
				l.fail(value.position, "a JWT can't have a prefix", "leave it out, or make the token opaque")
			} else if !prefixForm.MatchString(value.text) {
				l.fail(value.position, "this is not a token prefix", "use up to 32 letters, digits, - and _")
			}
		})
		if len(p.Prefix) == 2 && p.Prefix["sandbox"] == p.Prefix["live"] {
			l.fail(prefix.position, "both environments have the same prefix", "give each its own, or leave the prefix out")
		}
	}
	l.loadLife(p, n)
	if code := n.get("code_life"); code != nil {
		p.CodeLife = l.duration(code, "code_life")
	}
	p.Refresh.Mode = RefreshNone
	if refresh := n.get("refresh"); refresh != nil {
		l.loadRefresh(p, refresh)
	}
}

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

func (l *loader) loadJWT(p *TokenPolicy, n *node) {
	if !l.expect(n, mapping, "jwt") || !l.onlyKeys(n, []string{"algorithm", "key_id", "header", "claims"}) {
		return
	}
	if a := l.require(n, "algorithm", "EdDSA"); a != nil {
		p.Algorithm = l.word(a, "algorithm", algorithms...)
	}
	if id := n.get("key_id"); id != nil && l.expect(id, textNode, "key_id") {
		pattern, message, hint := parsePattern(id.text, inKeyID)
		switch {
		case message != "":
			l.fail(id.position, message, hint)
		case len(pattern.parts) != 2 || !prefixForm.MatchString(pattern.parts[0].literal) || pattern.parts[1].hole.optional:
			// A bare number would meet other dialects' numbers in the one key set.
			l.fail(id.position, "key ids can't be told apart", `write a word and the index, as in "KEY{key_index}"`)
		default:
			p.KeyIDIndexed, p.KeyIDPrefix = true, pattern.parts[0].literal
		}
	}
	if header := n.get("header"); header != nil {
		p.Header = l.template(header, "header")
		if header.kind == mapping {
			for _, member := range header.pairs {
				if slices.Contains(reservedHeader, member.key) {
					l.fail(member.position, "the header member "+quote(member.key)+" is the server's own, or lets a token choose its key", "leave it out")
				}
			}
		}
	}
	if claims := l.require(n, "claims", `{jti: "{token_id}", sub: "{client_id}", iat: "{issued_at|unix}", exp: "{expires_at|unix}"}`); claims != nil {
		p.Claims = l.template(claims, "claims")
		l.checkClaims(p, claims.position)
	}
}

// reservedHeader holds what the signing library sets, and what RFC 7515
// section 4.1 lets a token say about its own key.
var reservedHeader = []string{"alg", "kid", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64"}

func (l *loader) template(n *node, what string) *Template {
	if !l.expect(n, mapping, what) {
		return nil
	}
	m := &message{where: inToken}
	if m.json = l.compileJSON(m, n, "", always, 1); m.json == nil {
		return nil
	}
	return &Template{m}
}

// checkClaims asks for what a token must say of itself to be checked without
// a look-up, and revoked.
func (l *loader) checkClaims(p *TokenPolicy, at position) {
	has := func(h Hole) bool { return p.Claims.Has(h) || p.Header.Has(h) }
	for _, need := range []struct {
		holes []Hole
		hint  string
	}{
		{[]Hole{TokenID}, `add jti: "{token_id}", or put it into the header`},
		{[]Hole{ClientID, ConnectionID}, `add sub: "{client_id}"`},
		{[]Hole{IssuedAt}, `add iat: "{issued_at|unix}"`},
		{[]Hole{ExpiresAt}, `add exp: "{expires_at|unix}"`},
	} {
		if !slices.ContainsFunc(need.holes, has) {
			l.fail(at, "the token doesn't hold {"+string(need.holes[0])+"}", need.hint)
		}
	}
}

func (l *loader) loadLife(p *TokenPolicy, n *node) {
	life := l.require(n, "life", "{default: 1h, longest: 24h}")
	switch {
	case life == nil:
	case life.kind == textNode && life.text == "permanent":
		p.Permanent = true
		if p.Format == JWT {
			l.fail(life.position, "a permanent token can't be a JWT: its revocation would be remembered for ever", "make the token opaque")
		}
	case life.kind == textNode && life.text == "assumed":
		p.Assumed, p.Life, p.Longest = true, assumedLife, assumedLife
	case life.kind == textNode:
		p.Life = l.duration(life, "life")
		p.Longest = p.Life
	case l.expect(life, mapping, "life") && l.onlyKeys(life, []string{"default", "longest", "assumed"}):
		if assumed := life.get("assumed"); assumed != nil {
			if len(life.pairs) > 1 {
				l.fail(assumed.position, "an assumed life has nothing beside it", "leave default and longest out")
			}
			p.Assumed, p.Life = true, l.duration(assumed, "assumed")
			p.Longest = p.Life
			return
		}
		if value := l.require(life, "default", "1h"); value != nil {
			p.Life = l.duration(value, "default")
			p.Longest = p.Life
		}
		if value := life.get("longest"); value != nil {
			if p.Longest = l.duration(value, "longest"); p.Longest != 0 && p.Longest < p.Life {
				l.fail(value.position, "the longest life is shorter than the default", "raise longest, or lower default")
			}
		}
	}
}

func (l *loader) loadRefresh(p *TokenPolicy, n *node) {
	if n.kind == textNode {
		l.word(n, "refresh", string(RefreshNone))
		return
	}
	if !l.expect(n, mapping, "refresh") || !l.onlyKeys(n, []string{"mode", "life"}) {
		return
	}
	if mode := l.require(n, "mode", "rotate"); mode != nil {
		p.Refresh.Mode = RefreshMode(l.word(mode, "mode", string(RefreshReuse), string(RefreshRotate)))
	}
	if life := l.require(n, "life", "24h"); life != nil {
		if p.Refresh.Life = l.duration(life, "life"); p.Refresh.Life > 0 && p.Refresh.Life < p.Life {
			l.fail(life.position, "the refresh token ends before the access token", "give it a longer life")
		}
	}
}

// maxLife bounds what a file can say, well inside a time.Duration.
const maxLife = 100 * 365 * 24 * time.Hour

// duration reads Go's form, and whole days as in 7d.
func (l *loader) duration(n *node, what string) time.Duration {
	if n.kind == textNode {
		if days, ok := strings.CutSuffix(n.text, "d"); ok {
			if count, err := strconv.ParseUint(days, 10, 16); err == nil && count > 0 && time.Duration(count)*24*time.Hour <= maxLife {
				return time.Duration(count) * 24 * time.Hour
			}
		} else if d, err := time.ParseDuration(n.text); err == nil && d >= time.Second && d <= maxLife && d%time.Second == 0 {
			return d
		}
	}
	l.fail(n.position, what+" is not a duration of whole seconds", "write it like 900s, 30m, 24h or 7d")
	return 0
}

func (l *loader) byEnvironment(n *node, what string, check func(*node)) map[string]string {
	if !l.expect(n, mapping, what) || !l.onlyKeys(n, environments) {
		return nil
	}
	out := map[string]string{}
	for _, p := range n.pairs {
		if l.expect(p.value, textNode, what) {
			check(p.value)
			out[p.key] = p.value.text
		}
	}
	return out
}

func (l *loader) loadRules(d *Dialect, root *node) {
	r := &d.Rules
	*r = Rules{HTTPSRequired: true, ClientIDs: SharedIDs, ClientIDForm: TextID}
	n := root.get("rules")
	if n == nil {
		n = &node{position: root.position, kind: mapping}
	}
	if !l.expect(n, mapping, "rules") || !l.onlyKeys(n, []string{"https", "client_ids", "client_id", "limits", "fields", "path_case", "hosts"}) {
		return
	}
	if https := n.get("https"); https != nil {
		l.word(https, "https", "required")
	}
	if ids := n.get("client_ids"); ids != nil {
		r.ClientIDs = ClientIDs(l.word(ids, "client_ids", string(SharedIDs), string(PerEnvironmentIDs)))
	}
	if form := n.get("client_id"); form != nil {
		r.ClientIDForm = ClientIDForm(l.word(form, "client_id", string(TextID), string(UUIDID), string(DomainID)))
	}
	if limits := n.get("limits"); limits != nil {
		l.loadLimits(r, limits)
	}
	if fields := n.get("fields"); fields != nil {
		l.loadFields(r, fields)
	}
	places := []*node{root, n}
	if wire := root.get("wire"); wire != nil && wire.kind == mapping {
		places = append(places, wire)
	}
	for _, place := range places {
		if value := place.get("path_case"); value != nil {
			d.foldPath = l.word(value, "path_case", "any", "exact") == "any"
			r.IgnorePathCase = d.foldPath
		}
		if hosts := place.get("hosts"); hosts != nil {
			d.Hosts = l.byEnvironment(hosts, "hosts", l.checkHost)
		}
	}
}

func (l *loader) checkHost(n *node) {
	u, err := url.Parse(n.text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || hasControl(n.text) {
		l.fail(n.position, "this is not a base URL", "write it like https://api.example.com")
	}
}

var limitForm = regexp.MustCompile(`^([1-9][0-9]{0,6})/(s|m|h|d)$`)

// limited are the operations that a limit can be set for: the ways to a token.
// Checks of one are meant to be frequent.
var limited = []string{string(Issue), string(Refresh), string(Exchange)}

func (l *loader) loadLimits(r *Rules, n *node) {
	if !l.expect(n, mapping, "limits") || !l.onlyKeys(n, limited) {
		return
	}
	r.Limits = map[OperationName]Limit{}
	for _, p := range n.pairs {
		parts := limitForm.FindStringSubmatch(p.value.text)
		if p.value.kind != textNode || parts == nil {
			l.fail(p.value.position, "this is not a limit", `write it like "60/m"; the periods are s, m, h and d`)
			continue
		}
		count, _ := strconv.Atoi(parts[1]) // the form has checked it
		period := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[parts[2]]
		r.Limits[OperationName(p.key)] = Limit{count, period}
	}
}

func (l *loader) loadFields(r *Rules, n *node) {
	if !l.expect(n, mapping, "fields") {
		return
	}
	r.Fields = map[Hole]Field{}
	for _, p := range n.pairs {
		info, ok := lookupHole(p.key)
		if !ok || !strings.HasPrefix(p.key, ownerFamily) && !strings.HasPrefix(p.key, extraFamily) {
			l.fail(p.position, "this is not a field of a client", "write owner.NAME or extra.NAME")
			continue
		}
		if !l.expect(p.value, mapping, "a field") || !l.onlyKeys(p.value, []string{"default", "about"}) {
			continue
		}
		r.Fields[info.name] = Field{
			Default: l.optionalText(p.value, "default", ""),
			About:   l.optionalText(p.value, "about", ""),
		}
	}
}
