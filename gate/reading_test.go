package gate

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What the query is read as, net/url reads too, once each.
func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"environment=live", "environment=sandbox&scope=a+b&audience=x&client=y&dialect=z", "environment=live&%73cope=a", "&&=&environment=live", "a;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, problem := queried(raw)
		if problem != "" {
			return
		}
		values, _ := url.ParseQuery(raw) // drops what it can't read, keeps the rest
		for name, got := range map[string]string{
			"environment": string(q.want.Environment), "scope": q.scope, "scope list": strings.Join(q.want.Scopes, " "),
			"audience": q.want.Audience, "client": string(q.want.Client), "dialect": q.dialect,
		} {
			name, _, _ = strings.Cut(name, " ")
			if len(values[name]) > 1 || values.Get(name) != got && !strings.Contains(raw, ";") {
				t.Fatalf("%q: %s is %q, net/url has %q", raw, name, got, values[name])
			}
		}
		if strings.ContainsAny(q.scope, "\"\\\r\n") {
			t.Fatalf("%q: scope %q would break out of a challenge", raw, q.scope)
		}
	})
}

func FuzzBearer(f *testing.F) {
	for _, s := range []string{"Bearer abc", "bearer  a.b.c", "Bearer", "Bearer a b", "Bearer a,b", "Basic x", "Bearer ==", "Bearer a="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		tok, refusal := bearer(http.Header{"Authorization": {header}})
		if refusal != nil {
			if !tok.IsZero() {
				t.Fatalf("%q: a token beside a refusal", header)
			}
			return
		}
		got := tok.Reveal()
		if got == "" || got[0] == ' ' || !strings.HasSuffix(header, " "+got) {
			t.Fatalf("%q was read as %q", header, got)
		}
	})
}
