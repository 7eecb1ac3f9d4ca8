package httpd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/httpd"
)

func newScanner(t testing.TB) (*ecdsa.PrivateKey, map[string]*ecdsa.PublicKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(map[string]any{"public_keys": []any{map[string]any{
		"key_identifier": "key-1", "key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "is_current": true,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := httpd.ParseLeakKeys(doc)
	if err != nil {
		t.Fatal(err)
	}
	return private, keys
}

func report(t testing.TB, key *ecdsa.PrivateKey, id, body string) *http.Request {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/leaks/github", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Github-Public-Key-Identifier", id)
	r.Header.Set("Github-Public-Key-Signature", base64.StdEncoding.EncodeToString(signature))
	return r
}

func item(tok string) string {
	return `{"token":"` + tok + `","type":"gatehouse_token","url":"https://code.example/x/blob/1/a.py","source":"content"}`
}

func TestSecretScannerReports(t *testing.T) {
	key, keys := newScanner(t)
	h := newHouse(t, func(_ *gatehouse.Config, c *httpd.Config) { c.LeakReports.Keys = keys })
	c := h.client(gatehouse.OAuth2)[gatehouse.Live]
	tok, _ := h.standardToken(c)
	safe, _ := h.standardToken(c)

	// Whoever can't sign changes nothing.
	stranger, _ := newScanner(t)
	good := "[" + item(tok) + "]"
	for what, r := range map[string]*http.Request{
		"another's key":  report(t, stranger, "key-1", good),
		"an unknown key": report(t, key, "key-2", good),
		"another body": func() *http.Request {
			r := report(t, key, "key-1", good)
			r.Body = report(t, key, "key-1", "["+item(safe)+"]").Body
			return r
		}(),
		"no signature": httptest.NewRequest("POST", "/leaks/github", strings.NewReader(good)),
		"two keys": func() *http.Request {
			r := report(t, key, "key-1", good)
			r.Header.Add("Github-Public-Key-Identifier", "key-2")
			return r
		}(),
	} {
		if a := h.do(r); a.status != 403 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	for _, alive := range []string{tok, safe} {
		if a := h.verify(alive, "environment=live"); a.status != 200 {
			t.Fatalf("a token ended by an unsigned report: %d", a.status)
		}
	}

	a := h.do(report(t, key, "key-1", "["+item(tok)+","+item("nothing-of-ours")+","+item(c.secret)+"]"))
	var verdicts []map[string]string
	if err := json.Unmarshal([]byte(a.body), &verdicts); a.status != 200 || err != nil || len(verdicts) != 3 {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	sum := sha256.Sum256([]byte(tok))
	if verdicts[0]["label"] != "true_positive" || verdicts[0]["token_hash"] != base64.StdEncoding.EncodeToString(sum[:]) ||
		verdicts[1]["label"] != "false_positive" || verdicts[2]["label"] != "true_positive" {
		t.Errorf("%s", a.body)
	}
	if a := h.verify(tok, "environment=live"); a.status != 401 {
		t.Errorf("the leaked token passes: %d", a.status)
	}
	if a := h.verify(safe, "environment=live"); a.status != 200 {
		t.Errorf("another token ended: %d", a.status)
	}
	h.standardToken(c) // the secret was only flagged
	events, err := h.engine.Audit(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]string{}
	for _, e := range events {
		actions[e.Action] = e.By.ID + " " + e.Detail["source"]
	}
	for _, action := range []string{"token.leaked", "secret.leaked"} {
		if actions[action] != "secret scanner key-1 content https://code.example/x/blob/1/a.py" {
			t.Errorf("%s: %q", action, actions[action])
		}
	}

	// Malformed, though signed; and too many.
	for what, body := range map[string]string{
		"an object": item(tok), "a member twice": `[{"token":"a","token":"b","type":"","url":"","source":""}]`, "trailing data": good + "x",
		"too many": "[" + strings.Repeat(item("x")+",", 100) + item("x") + "]",
	} {
		if a := h.do(report(t, key, "key-1", body)); a.status != 400 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	limited := false
	for range 50 {
		if a := h.do(report(t, key, "key-1", "[]")); a.status == 429 && a.header.Get("Retry-After") != "" {
			limited = true
		}
	}
	if !limited {
		t.Error("reports are not limited")
	}
	if a := h.do(httptest.NewRequest("GET", "/leaks/github", nil)); a.status != 405 {
		t.Errorf("GET: %d", a.status)
	}
	if strings.Contains(h.log.String(), tok) || strings.Contains(h.log.String(), c.secret) {
		t.Error("the log holds what leaked")
	}
}

func TestNoReportsWithoutKeys(t *testing.T) {
	h := newHouse(t)
	if a := h.do(httptest.NewRequest("POST", "/leaks/github", strings.NewReader("[]"))); a.status != 404 {
		t.Errorf("%d", a.status)
	}
}

func FuzzParseLeakKeys(f *testing.F) {
	f.Add([]byte(`{"public_keys":[{"key_identifier":"a","key":"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := httpd.ParseLeakKeys(b)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, and %v", len(keys), err)
		}
	})
}
