package check_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/dialect/check"
	"github.com/gatehouse-auth/gatehouse/secret"
)

// A server that keeps the contract holds; one that breaks it in a point fails
// in that point.
func TestAgainst(t *testing.T) {
	d, err := dialect.Builtin("quidkey")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		success, failure string
		cache            string
		failed           string // the cases that don't hold
	}{
		"right":           {`"expires_in":900`, `{"success":false,"error":{"code":"INVALID_TOKEN","message":"no"}}`, "no-store", ""},
		"text for number": {`"expires_in":"soon"`, `{"success":false,"error":{"code":"INVALID_TOKEN","message":"no"}}`, "no-store", "issue answer;"},
		"other errors":    {`"expires_in":900`, `{"oops":true}`, "no-store", "issue wrong secret;validate wrong token;"},
		"stored":          {`"expires_in":900`, `{"success":false,"error":{"code":"INVALID_TOKEN","message":"no"}}`, "", "issue not to be stored;refresh not to be stored;"},
		"takes anything":  {`"expires_in":900`, "", "no-store", "issue wrong secret;validate wrong token;"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b := make([]byte, 1000)
				n, _ := r.Body.Read(b)
				w.Header().Set("Cache-Control", tc.cache)
				switch {
				case strings.Contains(string(b[:n]), "wrong-") && tc.failure != "":
					w.WriteHeader(401)
					fmt.Fprint(w, tc.failure)
				case strings.HasSuffix(r.URL.Path, "healthcheck"):
					fmt.Fprint(w, `{"success":true,"data":{"token":"tok","isExpired":false}}`)
				default:
					fmt.Fprint(w, `{"success":true,"data":{"access_token":"tok","refresh_token":"ref","token_type":"Bearer",`+tc.success+`}}`)
				}
			}))
			defer server.Close()
			failed := ""
			for _, r := range check.Against(t.Context(), d, server.URL, check.Credentials{ClientID: "6a31-4b0a", ClientSecret: secret.New("s")}) {
				if !r.Held {
					failed += r.Operation + " " + r.Case + ";"
				}
			}
			if failed != tc.failed {
				t.Errorf("failed: %q, want %q", failed, tc.failed)
			}
		})
	}
}
