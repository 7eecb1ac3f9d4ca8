package node

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/keyset"
	"github.com/gatehouse-auth/gatehouse/token"
)

// An OldIssuer is an entry of the setting old_issuers.
type OldIssuer struct {
	gatehouse.OldIssuer // without Keys
	JWKSURL, JWKSFile   string
	Algorithms          []token.Algorithm
}

// oldIssuerMembers are the keys of an entry; those with true are lists.
var oldIssuerMembers = map[string]bool{
	"name": false, "issuer": false, "environment": false, "until": false, "jwks_url": false, "jwks_file": false, "audience": true, "algorithms": true,
	"client_claim": false, "scope_claim": false, "user_claim": false,
}

// An entry is one mapping of a list of them: texts, and lists of texts.
type entry map[string][]string

func (e entry) text(name string) string {
	if len(e[name]) == 0 {
		return ""
	}
	return e[name][0]
}

// entries takes a list of mappings.
func (r *fileReader) entries(key string, n ast.Node) (out []entry) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(n, "%s must be a list", key)
		return nil
	}
	for _, v := range list.Values {
		m, ok := v.(ast.MapNode)
		if !ok {
			r.fail(v, "each of %s must be a mapping", key)
			continue
		}
		e := entry{}
		for it := m.MapRange(); it.Next(); {
			name := it.Key().String()
			list, ok := oldIssuerMembers[name]
			switch _, twice := e[name]; {
			case !ok:
				r.fail(it.Key(), "unknown setting %q of %s", name, key)
			case twice:
				r.fail(it.Key(), "%s is given twice", name)
			case list:
				e[name], _ = r.value(setting{list: true}, name, it.Value()).([]string)
			default:
				e[name] = []string{r.scalar(name, it.Value())}
			}
		}
		out = append(out, e)
	}
	return out
}

func parseOldIssuers(given any) (out []OldIssuer, err error) {
	list, _ := given.([]entry)
	for i, e := range list {
		o, err := parseOldIssuer(e)
		if err != nil {
			return nil, fmt.Errorf("old_issuers, entry %d: %w", i+1, err)
		}
		out = append(out, o)
	}
	return out, nil
}

func parseOldIssuer(e entry) (o OldIssuer, err error) {
	o = OldIssuer{JWKSURL: e.text("jwks_url"), JWKSFile: e.text("jwks_file"), OldIssuer: gatehouse.OldIssuer{
		Name: e.text("name"), Issuer: e.text("issuer"), Audience: e["audience"],
		ClientClaim: e.text("client_claim"), ScopeClaim: e.text("scope_claim"), UserClaim: e.text("user_claim"),
	}}
	if o.Name == "" {
		o.Name = o.Issuer
	}
	if o.ClientClaim == "" {
		o.ClientClaim = "client_id"
	}
	if o.ScopeClaim == "" {
		o.ScopeClaim = "scope"
	}
	if o.Name == "" || o.Name == gatehouse.ImportedTokens {
		return o, errors.New("issuer: write the \"iss\" of its tokens; where they have none, give the entry a name")
	}
	if o.Environment, err = gatehouse.ParseEnvironment(e.text("environment")); err != nil {
		return o, fmt.Errorf("environment: %s", gatehouse.AsError(err).Message)
	}
	if o.Until, err = parseDate(e.text("until")); err != nil {
		return o, err
	}
	if (o.JWKSURL == "") == (o.JWKSFile == "") {
		return o, errors.New("write where its keys are: jwks_url or jwks_file, one of them")
	}
	if o.JWKSURL != "" {
		if err := checkKeyAddress(o.JWKSURL); err != nil {
			return o, err
		}
	}
	for _, name := range e["algorithms"] {
		alg := token.Algorithm(name)
		if !alg.Valid() {
			return o, fmt.Errorf("algorithms: %q is none of RS256, ES256 and EdDSA", name)
		}
		if !slices.Contains(o.Algorithms, alg) {
			o.Algorithms = append(o.Algorithms, alg)
		}
	}
	return o, nil
}

// parseDate reads a date, which ends when it begins in UTC, or a time.
func parseDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("until: write the date from which its tokens are refused, such as 2027-01-31 or 2027-01-31T12:00:00Z")
}

// checkKeyAddress: keys that somebody on the way could replace are no keys.
func checkKeyAddress(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("jwks_url: %q is no URL such as https://old.example.com/jwks.json", text)
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if local := err == nil && addr.IsLoopback() || strings.EqualFold(u.Hostname(), "localhost"); u.Scheme == "http" && !local {
		return errors.New("jwks_url: over plain HTTP anybody on the way could put in keys of their own: use https, or save the key set and name it as jwks_file")
	}
	return nil
}

// useOldIssuers gives the engine the issuers of the settings.
func (n *Node) useOldIssuers() error {
	var list []gatehouse.OldIssuer
	for _, o := range n.settings.OldIssuers {
		o.Keys = keyset.New(keyset.Config{
			URL: o.JWKSURL, File: o.JWKSFile, Environment: string(o.Environment), Algorithms: o.Algorithms, Logger: n.log,
		})
		list = append(list, o.OldIssuer)
	}
	if err := n.engine.UseOldIssuers(list); err != nil {
		return fmt.Errorf("old_issuers: %w", err)
	}
	return nil
}
