package httpd_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/httpd"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// forgeries makes tokens out of a good one that must not pass anywhere. public
// is the key that the good one verifies under, as it stands in the key set.
func forgeries(t *testing.T, good, kid, public string) map[string]string {
	t.Helper()
	segment := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	parts := strings.Split(good, ".")
	payload, signature := parts[1], parts[2]
	header := func(pairs ...any) string {
		h := map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": kid}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i].(string)] = pairs[i+1]
		}
		return segment(h)
	}
	_, own, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(header, payload string) string {
		return header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(own, []byte(header+"."+payload)))
	}
	out := map[string]string{
		"payload changed":    parts[0] + "." + segment(map[string]any{"sub": "admin"}) + "." + signature,
		"cut":                good[:len(good)-1],
		"longer":             good + "A",
		"padded":             good + "=",
		"four parts":         good + ".AAAA",
		"two parts":          parts[0] + "." + payload,
		"another key":        signedBy(header(), payload),
		"own key by jwk":     signedBy(header("jwk", map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(own.Public().(ed25519.PublicKey))}), payload),
		"own key by jku":     signedBy(header("jku", "https://127.0.0.1:1/keys"), payload),
		"own key by x5u":     signedBy(header("x5u", "https://127.0.0.1:1/keys"), payload),
		"unknown crit":       signedBy(header("crit", []string{"x"}, "x", 1), payload),
		"kid as a path":      signedBy(header("kid", "../../../../dev/null"), payload),
		"kid as SQL":         signedBy(header("kid", "' OR 1=1 --"), payload),
		"kid long":           signedBy(header("kid", strings.Repeat("k", 10000)), payload),
		"kid as a list":      signedBy(header("kid", []string{kid}), payload),
		"kid missing":        signedBy(segment(map[string]any{"alg": "EdDSA", "typ": "at+jwt"}), payload),
		"dots":               strings.Repeat(".", 20000),
		"two dots":           "..",
		"JWE":                segment(map[string]any{"alg": "dir", "enc": "A256GCM"}) + "..AAAA.AAAA.AAAA",
		"JSON serialisation": `{"payload":"` + payload + `","protected":"` + parts[0] + `","signature":"` + signature + `"}`,
		"empty object":       "e30.e30.",
		"not ASCII":          "é.é.é",
	}
	publicBytes, err := base64.RawURLEncoding.DecodeString(public)
	if err != nil {
		t.Fatal(err)
	}
	for what, key := range map[string][]byte{"as bytes": publicBytes, "as text": []byte(public)} {
		mac := hmac.New(sha256.New, key)
		signed := header("alg", "HS256") + "." + payload
		mac.Write([]byte(signed))
		out["HS256 keyed with the public key "+what] = signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", ""} {
		out["alg "+none] = header("alg", none) + "." + payload + "."
		out["alg "+none+" with a signature"] = header("alg", none) + "." + payload + "." + signature
	}
	for _, alg := range []string{"HS256", "HS512", "ES256", "RS256", "PS256", "Ed25519"} {
		out["alg "+alg] = header("alg", alg) + "." + payload + "." + signature
	}
	return out
}

// Nothing forged, and nothing that isn't an access token, passes the gate, a
// dialect's validate or introspection.
func TestForgeries(t *testing.T) {
	h := newHouse(t)
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	good, refresh := h.standardToken(c)
	headerBytes, err := base64.RawURLEncoding.DecodeString(strings.Split(good, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var head struct {
		KeyID string `json:"kid"`
	}
	if err := json.Unmarshal(headerBytes, &head); err != nil {
		t.Fatal(err)
	}
	link := h.connect(h.client("dapi")[gatehouse.Live])
	public := ""
	for _, k := range h.do(httptest.NewRequest("GET", "/.well-known/jwks.json", nil)).value("keys").([]any) {
		if m := k.(map[string]any); m["kid"] == head.KeyID {
			public = m["x"].(string)
		}
	}
	bad := forgeries(t, good, head.KeyID, public)
	bad["refresh token"] = refresh
	bad["client secret"] = c.secret
	bad["client id"] = c.id
	bad["access code"] = link.Secret(dialect.AccessCode).Reveal()
	bad["user secret"] = link.Secret(dialect.UserSecret).Reveal()
	opaque, _ := h.dialectToken(h.client("su")[gatehouse.Live])
	bad["opaque, one letter changed"] = opaque[:20] + string('a'+(opaque[20]-'a'+1)%26) + opaque[21:]
	bad["opaque, cut"] = opaque[:len(opaque)-1]
	bad["opaque, longer"] = opaque + "0"
	bad["opaque, prefix of the other environment"] = strings.Replace(opaque, "live_", "sandbox_", 1)
	bad["opaque, without its prefix"] = strings.TrimPrefix(opaque, "live_")
	for what, tok := range bad {
		for _, env := range []string{"live", "sandbox"} {
			if g := h.verify(tok, "environment="+env); g.status != 401 || g.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: the gate says %d in %s", what, g.status, env)
			}
		}
		if what == "refresh token" {
			continue // introspection is for refresh tokens too
		}
		if a := h.do(c.as(post("/oauth2/introspect", form("token", tok)))); a.status != 200 || a.body != "{\"active\":false}\n" {
			t.Errorf("%s: introspection says %d %s", what, a.status, a.body)
		}
		if a := h.do(c.as(post("/oauth2/token", form("grant_type", "refresh_token", "refresh_token", tok)))); a.status != 400 {
			t.Errorf("%s as a refresh token: %d %s", what, a.status, a.body)
		}
		body, err := json.Marshal(map[string]string{"token": tok})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", builtin(t, "quidkey").Operation(dialect.Validate).Path(), bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if a := h.do(r); a.status != 401 && a.status != 400 {
			t.Errorf("%s: healthcheck says %d %s", what, a.status, a.body)
		}
	}
	if g := h.verify(good, "environment=live"); g.status != 200 {
		t.Errorf("the good one gets %d", g.status)
	}
}

// A life that is asked for is a whole number above zero, or refused; more than
// the client may have is cut, and the answer tells the truth.
func TestLifeAskedFor(t *testing.T) {
	h := newHouse(t)
	c := h.client("papaya")[gatehouse.Live]
	longer := h.client("papaya", func(n *gatehouse.NewClient) { n.MaxTTL = 48 * time.Hour })[gatehouse.Live]
	ask := func(c credentials, life string) *answer {
		body := `{"api_key":"` + c.id + `","client_secret":"` + c.secret + `","expiration":` + life + `}`
		r := httptest.NewRequest("POST", "/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		return h.do(r)
	}
	for _, life := range []string{"0", "-1", "-0", "1.5", "0.5", `"100"`, `"abc"`, "true", "[100]", "{}", "1e400", "1e-3", "9223372036854775808", "99999999999999999999999", "NaN", "00100", "0x10"} {
		if a := ask(c, life); a.status != 400 || a.value("error_code") != 40001.0 {
			t.Errorf("%s: %d %s", life, a.status, a.body)
		}
	}
	for _, x := range []struct {
		c    credentials
		life string
		want time.Duration
	}{
		{c, "60", time.Minute}, {c, "86400", 24 * time.Hour}, {c, "100001", 24 * time.Hour}, {c, "9223372036854775807", 24 * time.Hour},
		{longer, "100001", 100001 * time.Second}, {longer, "9000000000", 48 * time.Hour}, {longer, "null", 24 * time.Hour},
	} {
		a := ask(x.c, x.life)
		if a.status != 200 {
			t.Errorf("%s: %d %s", x.life, a.status, a.body)
			continue
		}
		end, err := time.Parse("2006-01-02T15:04Z", a.member("valid_until"))
		if err != nil {
			t.Fatal(err)
		}
		g := h.verify(a.member("token"), "environment=live")
		expires, err := time.Parse(time.RFC3339, g.header.Get("Gatehouse-Expires-At"))
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Until(expires); d > x.want || d < x.want-5*time.Second {
			t.Errorf("%s: lives %s, want %s", x.life, d, x.want)
		}
		if end.After(expires) || expires.Sub(end) >= time.Minute {
			t.Errorf("%s: valid_until %s, expires %s", x.life, end, expires)
		}
	}
}

func TestTokenName(t *testing.T) {
	h := newHouse(t)
	c := h.client("papaya")[gatehouse.Live]
	ask := func(name string) *answer {
		body, err := json.Marshal(map[string]string{"api_key": c.id, "client_secret": c.secret, "token_name": name})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/token", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		return h.do(r)
	}
	for _, name := range []string{"a\r\nSet-Cookie: x", "a\x00", "\x1b[31m", strings.Repeat("n", 201)} {
		if a := ask(name); a.status != 400 {
			t.Errorf("%q: %d %s", name, a.status, a.body)
		}
	}
	for _, name := range []string{"nightly build", `<script>alert("1")</script>`, "naïve ☃"} {
		if a := ask(name); a.status != 200 || a.member("token_name") != name {
			t.Errorf("%q: %d %s", name, a.status, a.body)
		}
	}
	a, b := h.dialectAnswer(c), h.dialectAnswer(c)
	if len(a.member("token_name")) != 36 || a.member("token_name") == b.member("token_name") {
		t.Errorf("names given: %q, %q", a.member("token_name"), b.member("token_name"))
	}
}

func (h *house) dialectAnswer(c credentials) *answer {
	h.t.Helper()
	a, _, err := h.call(c.dialect, dialect.Issue, c.values())
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// Dialects that nobody wrote Go for are served like the built-in ones.
func TestExampleDialects(t *testing.T) {
	files, err := filepath.Glob("../examples/dialects/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v: %v", files, err)
	}
	var all []*dialect.Dialect
	for _, f := range files {
		d, err := dialect.LoadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	h := newHouse(t, speaking(t, all...))
	for _, d := range all {
		for env, c := range h.client(d.Name) {
			tok, _ := h.dialectToken(c)
			if g := h.verify(tok, "environment="+string(env)+"&dialect="+d.Name); g.status != 200 || g.header.Get("Gatehouse-Client-Id") != c.id {
				t.Errorf("%s: %d %s", d.Name, g.status, g.body)
			}
			wrong := c
			wrong.secret += "x"
			if a, _, err := h.call(d.Name, dialect.Issue, wrong.values()); err == nil || a.status != 401 {
				t.Errorf("%s: a wrong secret gets %d %s", d.Name, a.status, a.body)
			}
			var v dialect.Values
			v.SetSecret(dialect.AccessToken, secret.New(tok))
			if d.Operation(dialect.Validate) != nil {
				if a, _, err := h.call(d.Name, dialect.Validate, v); err != nil {
					t.Errorf("%s: %v: %d %s", d.Name, err, a.status, a.body)
				}
			}
			if d.Operation(dialect.Revoke) == nil {
				continue
			}
			if a, _, err := h.call(d.Name, dialect.Revoke, v); err != nil {
				t.Errorf("%s: %v: %d %s", d.Name, err, a.status, a.body)
			}
			if g := h.verify(tok, "environment="+string(env)+"&dialect="+d.Name); g.status != 401 || !strings.HasPrefix(g.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: a revoked token gets %d %v", d.Name, g.status, g.header)
			}
			if a, _, err := h.call(d.Name, dialect.Revoke, v); err == nil {
				t.Errorf("%s: revoked twice: %d", d.Name, a.status)
			}
		}
	}
}

func TestRequestID(t *testing.T) {
	h := newHouse(t)
	ask := func(id ...string) *answer {
		r := httptest.NewRequest("GET", "/.well-known/jwks.json", nil)
		r.Header["X-Request-Id"] = id
		return h.do(r)
	}
	first, second := ask("caller-1"), ask("caller-1")
	if a, b := first.header.Get("Gatehouse-Request-Id"), second.header.Get("Gatehouse-Request-Id"); a == "" || a == b {
		t.Errorf("our ids are %q and %q", a, b)
	}
	if first.header.Get("X-Request-Id") != "caller-1" {
		t.Errorf("echoed %q", first.header.Get("X-Request-Id"))
	}
	for _, ids := range [][]string{{"a b"}, {strings.Repeat("x", 200)}, {"a", "b"}, {"é"}, nil} {
		if a := ask(ids...); a.header["X-Request-Id"] != nil {
			t.Errorf("%q was echoed", ids)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics, err := httpd.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, func(_ *gatehouse.Config, c *httpd.Config) { c.Metrics = metrics })
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	h.standardToken(c)
	h.standardToken(c)
	h.do(post("/oauth2/token", form("grant_type", "x")))
	h.do(httptest.NewRequest(http.MethodGet, "/nowhere/at/all", nil))
	h.dialectToken(h.client("su")[gatehouse.Live])
	h.verify("x", "environment=live")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "gatehouse_http_answers_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			var key []string
			for _, l := range m.GetLabel() { // in the order of their names
				key = append(key, l.GetValue())
			}
			if n := m.GetCounter().GetValue(); n > 0 {
				got[strings.Join(key, " ")] = n
			}
		}
	}
	want := map[string]float64{
		"ok oauth2.token 200": 2, "ok su.issue 200": 1, "unsupported_grant_type oauth2.token 400": 1,
		"invalid_token gate.verify 401": 1, "not_found unknown 404": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A dialect's validate takes one token in one header of one scheme.
func TestValidateHeader(t *testing.T) {
	h := newHouse(t)
	tok, _ := h.dialectToken(h.client("su")[gatehouse.Sandbox])
	other, _ := h.dialectToken(h.client("su", func(n *gatehouse.NewClient) { n.Domain = "other.example" })[gatehouse.Live])
	ask := func(authorization ...string) int {
		r := httptest.NewRequest("GET", builtin(t, "su").Operation(dialect.Validate).Path()+"?token="+tok+"&access_token="+tok, nil)
		r.Header["Authorization"] = authorization
		return h.do(r).status
	}
	for _, good := range []string{"Bearer " + tok, "bearer " + tok, "Bearer " + other} {
		if status := ask(good); status != 200 {
			t.Errorf("a good header gets %d", status)
		}
	}
	for what, headers := range map[string][]string{
		"none": nil, "Bearer alone": {"Bearer"}, "no scheme": {tok}, "Basic": {"Basic " + tok}, "empty": {""},
		"two tokens": {"Bearer " + tok, "Bearer " + other}, "two schemes": {"Basic x", "Bearer " + tok}, "in one": {"Bearer " + tok + ", Bearer " + tok},
		"live prefix on a sandbox token": {"Bearer " + strings.Replace(tok, "sandbox_", "live_", 1)},
	} {
		if status := ask(headers...); status != 401 && status != 400 {
			t.Errorf("%s: %d", what, status)
		}
	}
}
