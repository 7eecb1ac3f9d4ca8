package httpd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/time/rate"

	"github.com/gatehouse-auth/gatehouse"
)

// LeakReports says whose reports of leaked tokens are taken: those of secret
// scanners that sign as GitHub's does ("Secret scanning partner program").
type LeakReports struct {
	Keys          map[string]*ecdsa.PublicKey // by key identifier; none: no reports are taken
	RetireSecrets bool                        // client secrets are retired, and not only flagged
}

// ParseLeakKeys reads the document that a scanner publishes its keys in:
//
//	{"public_keys": [{"key_identifier": "…", "key": "-----BEGIN PUBLIC KEY-----…"}]}
//
// Each must be of P-256.
func ParseLeakKeys(b []byte) (map[string]*ecdsa.PublicKey, error) {
	var doc struct {
		Keys []struct {
			ID   string         `json:"key_identifier"`
			PEM  string         `json:"key"`
			Rest jsontext.Value `json:",unknown"`
		} `json:"public_keys"`
		Rest jsontext.Value `json:",unknown"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("not a document of public_keys: %w", err)
	}
	out := map[string]*ecdsa.PublicKey{}
	for _, k := range doc.Keys {
		block, _ := pem.Decode([]byte(k.PEM))
		if block == nil || k.ID == "" {
			return nil, fmt.Errorf("key %q is not in PEM, or has no key_identifier", k.ID)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k.ID, err)
		}
		ec, ok := public.(*ecdsa.PublicKey)
		if !ok || ec.Curve != elliptic.P256() {
			return nil, fmt.Errorf("key %q is not of ECDSA with P-256", k.ID)
		}
		if out[k.ID] != nil {
			return nil, fmt.Errorf("key %q stands twice", k.ID)
		}
		out[k.ID] = ec
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("it holds no keys")
	}
	return out, nil
}

const (
	leakPath = "/leaks/github"
	// What all scanners together may report. A report is one commit or so.
	leakRate, leakBurst = 5, 20
	maxReported         = 100
)

var (
	leakKeyHeader       = http.CanonicalHeaderKey("Github-Public-Key-Identifier")
	leakSignatureHeader = http.CanonicalHeaderKey("Github-Public-Key-Signature")
)

func (s *Server) addLeakReports(reports LeakReports) {
	if len(reports.Keys) == 0 {
		return
	}
	l := &leakEndpoint{server: s, reports: reports, limit: rate.NewLimiter(leakRate, leakBurst)}
	s.own[leakPath] = s.route("leaks.github", l.serve, refuseStandard)
}

type leakEndpoint struct {
	server  *Server
	reports LeakReports
	limit   *rate.Limiter
}

// reported is one item of a report.
type reported struct {
	Token  string         `json:"token"`
	Type   string         `json:"type"`
	URL    string         `json:"url"`
	Source string         `json:"source"`
	Rest   jsontext.Value `json:",unknown"`
}

// verdict tells the scanner whether an item is ours.
type verdict struct {
	Hash  string `json:"token_hash"`
	Type  string `json:"token_type"`
	Label string `json:"label"`
}

func (l *leakEndpoint) serve(c *call) {
	verdicts, refusal := l.take(c)
	if refusal != nil {
		refuseStandard(c, refusal)
		return
	}
	body, err := json.Marshal(verdicts)
	if err != nil {
		refuseStandard(c, gatehouse.AsError(err))
		return
	}
	c.send(http.StatusOK, jsonType, body)
}

func (l *leakEndpoint) take(c *call) ([]verdict, *gatehouse.Error) {
	if c.r.Method != http.MethodPost {
		c.Header()["Allow"] = allowPost
		return nil, gatehouse.Refuse(gatehouse.MethodNotAllowed, gatehouse.ReasonMalformed, "reports are sent with POST")
	}
	body, refusal := c.readBody()
	if refusal != nil {
		return nil, refusal
	}
	key, refusal := l.signer(c.r.Header, body)
	if refusal != nil {
		return nil, refusal
	}
	if !l.limit.Allow() {
		e := gatehouse.Refuse(gatehouse.RateLimited, gatehouse.ReasonRate, "")
		e.RetryAfter = 5 * time.Second
		return nil, e
	}
	var items []reported
	if err := json.Unmarshal(body, &items); err != nil || len(items) > maxReported {
		return nil, malformed("a report is a JSON array of at most 100 items")
	}
	by := gatehouse.Actor{Kind: gatehouse.BySystem, ID: "secret scanner " + key, Addr: c.addr, Request: c.id}
	out := make([]verdict, len(items))
	for i, item := range items {
		where := item.Source
		if item.URL != "" {
			where += " " + item.URL
		}
		if len(where) > 300 {
			where = where[:300]
		}
		leaks, err := l.server.engine.ReportLeak(c.r.Context(), by, asDescription(where), item.Token, l.reports.RetireSecrets)
		if err != nil {
			return nil, gatehouse.AsError(err)
		}
		sum := sha256.Sum256([]byte(item.Token))
		out[i] = verdict{Hash: base64.StdEncoding.EncodeToString(sum[:]), Type: item.Type, Label: "false_positive"}
		if len(leaks) > 0 {
			out[i].Label = "true_positive"
		}
	}
	return out, nil
}

// signer returns the id of the key that has signed body.
func (l *leakEndpoint) signer(h http.Header, body []byte) (string, *gatehouse.Error) {
	ids, signatures := h[leakKeyHeader], h[leakSignatureHeader]
	if len(ids) == 1 && len(signatures) == 1 {
		signature, err := base64.StdEncoding.DecodeString(signatures[0])
		sum := sha256.Sum256(body)
		if key := l.reports.Keys[ids[0]]; key != nil && err == nil && ecdsa.VerifyASN1(key, sum[:], signature) {
			return ids[0], nil
		}
	}
	return "", gatehouse.Refuse(gatehouse.AccessDenied, gatehouse.ReasonBadSignature, "the report is not signed by a key that this server knows")
}
