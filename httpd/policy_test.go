package httpd_test

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/token"
)

func policy(t *testing.T, d *dialect.Dialect) gatehouse.Policy {
	t.Helper()
	all, err := httpd.Policies([]*dialect.Dialect{d})
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func TestPolicies(t *testing.T) {
	for name, want := range map[string]gatehouse.Policy{
		"dogpay": {Algorithm: token.EdDSA, Life: 2 * time.Hour, Longest: 2 * time.Hour, Refresh: "none", SeparateIDs: true, IDForm: "text",
			Limits: map[gatehouse.Verb]gatehouse.Rate{"issue": {Count: 60, Per: time.Minute}}},
		"quidkey": {Algorithm: token.EdDSA, Life: 15 * time.Minute, Longest: 15 * time.Minute, Refresh: "reuse", RefreshLife: 24 * time.Hour, IDForm: "uuid",
			Limits: map[gatehouse.Verb]gatehouse.Rate{"issue": {Count: 60, Per: time.Minute}, "refresh": {Count: 120, Per: time.Minute}}},
		"su": {Prefix: map[gatehouse.Environment]string{"sandbox": "sandbox_", "live": "live_"}, Life: time.Hour, Longest: time.Hour, Refresh: "none", IDForm: "domain",
			Limits: map[gatehouse.Verb]gatehouse.Rate{"issue": {Count: 60, Per: time.Minute}}},
		"dapi": {Permanent: true, CodeLife: 30 * time.Minute, Refresh: "none", IDForm: "text",
			Limits: map[gatehouse.Verb]gatehouse.Rate{"exchange": {Count: 60, Per: time.Minute}}},
		"papaya": {Algorithm: token.RS256, KeyPrefix: "APIKEY", Life: 24 * time.Hour, Longest: 24 * time.Hour, Refresh: "none", SeparateIDs: true, IDForm: "uuid",
			Limits: map[gatehouse.Verb]gatehouse.Rate{"issue": {Count: 60, Per: time.Minute}}},
	} {
		got := policy(t, builtin(t, name))
		if (got.JWT != nil) != (want.Algorithm != "") {
			t.Errorf("%s: JWT form %v", name, got.JWT)
		}
		got.JWT, want.Dialect = nil, name
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPoliciesRefuse(t *testing.T) {
	papaya := string(builtin(t, "papaya").Source)
	for what, change := range map[string][2]string{
		"exp in milliseconds": {`exp: "{expires_at|unix}"`, `exp: "{expires_at|unix-ms}"`},
		"exp elsewhere":       {`exp: "{expires_at|unix}"`, `end: "{expires_at|unix}"`},
		"no client":           {`id: "{client_id}"`, `id: "{connection_id}"`},
	} {
		source := strings.Replace(papaya, change[0], change[1], 1)
		if source == papaya {
			t.Fatalf("%s: nothing to change", what)
		}
		d, err := dialect.Load("papaya.yaml", []byte(source))
		if err != nil {
			t.Errorf("%s: the file itself is refused: %v", what, err)
			continue
		}
		if p, err := httpd.Policies([]*dialect.Dialect{builtin(t, "su"), d}); err == nil || !strings.Contains(err.Error(), "papaya") || len(p) != 1 {
			t.Errorf("%s: %v, %d policies", what, err, len(p))
		}
	}
}

// testKey signs for one dialect in live.
func testKey(t testing.TB, p gatehouse.Policy) (*token.Key, *token.Ring) {
	t.Helper()
	realm := token.Realm{Environment: "live", Format: p.Dialect, Algorithm: p.Algorithm}
	signer, err := token.GenerateKey(realm)
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	k := &token.Key{ID: p.KeyPrefix + "7", Realm: realm, Index: 7, Public: signer.Public(), Signer: signer, PublishedAt: past, SignsFrom: past}
	ring, err := token.NewRing([]*token.Key{k})
	if err != nil {
		t.Fatal(err)
	}
	return k, ring
}

// A dialect's JWT reads back as what it was minted from.
func TestJWTFormReadsBack(t *testing.T) {
	for _, name := range dialect.BuiltinNames() {
		p := policy(t, builtin(t, name))
		if p.JWT == nil {
			continue
		}
		key, ring := testKey(t, p)
		now := time.Now().UTC().Truncate(time.Second)
		m := &gatehouse.Minting{
			ClientID: "8e4c3c1e-6b1f-4a5e-9a53-0c7d1f2b3a4d", Issuer: "https://auth.example", KeyIndex: 7,
			Fields: map[string]string{"owner.email": "owner@acme.example", "owner.id": "4711"},
			Record: gatehouse.TokenRecord{ID: token.NewID(now), Environment: gatehouse.Live, Name: "nightly", Scopes: []string{"a"}, IssuedAt: now, ExpiresAt: now.Add(time.Hour)},
		}
		tok, err := p.JWT.Mint(key, m)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		signed, err := ring.Verify(tok.Reveal(), time.Now())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := p.JWT.Read(signed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.ClientID != m.ClientID || got.Record.ID != m.Record.ID || !got.Record.IssuedAt.Equal(now) || !got.Record.ExpiresAt.Equal(now.Add(time.Hour)) {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Issuer != "" && got.Issuer != m.Issuer || got.HasScope || got.Record.Audience != nil || got.Record.User != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A token that the key signed but the form doesn't describe is none.
func TestJWTFormRefuses(t *testing.T) {
	p := policy(t, builtin(t, "papaya"))
	key, ring := testKey(t, p)
	id := token.NewID(time.Now()).String()
	type object = map[string]any
	owner := object{"id": "1", "ownerType": "org_id"}
	good := object{"iat": 1700000000, "exp": 4000000000, "sub": "access", "user": object{"id": "c", "email": "e", "owner": owner}}
	without := func(name string) object { c := maps.Clone(good); delete(c, name); return c }
	with := func(name string, v any) object { c := maps.Clone(good); c[name] = v; return c }
	read := func(header, claims object) error {
		tok, err := key.Sign(header, claims)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := ring.Verify(tok.Reveal(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.JWT.Read(signed)
		return err
	}
	header := object{"typ": "JWT", "api_token_id": id}
	if err := read(header, good); err != nil {
		t.Fatal(err)
	}
	for what, x := range map[string]struct{ header, claims object }{
		"no token id":         {object{"typ": "JWT"}, good},
		"token id not ours":   {object{"typ": "JWT", "api_token_id": "1"}, good},
		"wrong typ":           {object{"typ": "at+jwt", "api_token_id": id}, good},
		"no exp":              {header, without("exp")},
		"exp as text":         {header, with("exp", "4000000000")},
		"exp null":            {header, with("exp", nil)},
		"exp fractional":      {header, with("exp", 4000000000.5)},
		"no user":             {header, without("user")},
		"wrong literal":       {header, with("sub", "refresh")},
		"literal as a number": {header, with("sub", 1)},
		"user id as a number": {header, with("user", object{"id": 5, "email": "e", "owner": owner})},
	} {
		if err := read(x.header, x.claims); err == nil {
			t.Errorf("%s: was read", what)
		}
	}
}

// A token that says another environment than its key's is none, though we
// would never sign one.
func TestJWTFormKeepsToItsEnvironment(t *testing.T) {
	source := strings.Replace(string(builtin(t, "dogpay").Source), `sub: "{client_id}"`, "sub: \"{client_id}\"\n      env: \"{environment}\"", 1)
	d, err := dialect.Load("dogpay.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	p := policy(t, d)
	key, ring := testKey(t, p)
	now := time.Now().Truncate(time.Second)
	for env, want := range map[gatehouse.Environment]bool{gatehouse.Live: true, gatehouse.Sandbox: false} {
		tok, err := p.JWT.Mint(key, &gatehouse.Minting{ClientID: "c", Issuer: issuer, Record: gatehouse.TokenRecord{
			ID: token.NewID(now), Environment: env, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		}})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := ring.Verify(tok.Reveal(), now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.JWT.Read(signed); (err == nil) != want {
			t.Errorf("%s under a key of live: %v", env, err)
		}
	}
}

// The page's sample has these members and no others; a client whose owner told
// nothing gets the same ones.
func TestJWTMembers(t *testing.T) {
	h := newHouse(t)
	for _, fields := range []map[string]string{nil, {"owner.email": "owner@acme.example", "owner.id": "4711"}} {
		c := h.client("papaya", func(n *gatehouse.NewClient) { n.Fields = fields })[gatehouse.Live]
		tok, _ := h.dialectToken(c)
		parts := strings.Split(tok, ".")
		for i, want := range [][]string{
			{"alg", "api_token_id", "kid", "typ"},
			{"exp", "iat", "sub", "user", "user.email", "user.id", "user.owner", "user.owner.id", "user.owner.ownerType"},
		} {
			raw, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil {
				t.Fatal(err)
			}
			var members map[string]any
			if err := json.Unmarshal(raw, &members); err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			flatten("", members, got)
			if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
				t.Error(diff)
			}
			if i == 1 && fields != nil && (got["user.email"] != "owner@acme.example" || got["user.owner.id"] != "4711" || got["user.id"] != c.id) {
				t.Errorf("%v", got)
			}
		}
	}
}

func flatten(prefix string, from, to map[string]any) {
	for name, v := range from {
		to[prefix+name] = v
		if m, ok := v.(map[string]any); ok {
			flatten(prefix+name+".", m, to)
		}
	}
}
