package restore_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/admin"
)

// A partner is a client and its secrets, as its owner knows them.
type partner struct {
	dialect, id, secret string
	secretID            string
}

// A holding is something that a partner was given.
type holding struct {
	what   string
	of     *partner
	value  string
	id     string
	link   string // of a connection's
	opaque bool   // an access token that the ledger alone knows
}

var patient = &http.Client{Timeout: 30 * time.Second}

// send asks again where the server is too busy to answer.
func send(method, to, contentType, body string, header http.Header) (status int, answer []byte, err error) {
	for try := 0; try < 300; try++ {
		if status, answer, err = sendOnce(method, to, contentType, body, header); err != nil || status != http.StatusServiceUnavailable {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return status, answer, err
}

// done calls the admin API until it has done what was asked for.
func done[T any](l *ledger, call func() (T, error)) T {
	l.Helper()
	for try := 0; ; try++ {
		out, err := call()
		var p *admin.Problem
		if try < 300 && errors.As(err, &p) && p.Status == http.StatusServiceUnavailable {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if try > 0 && errors.As(err, &p) && p.Status == http.StatusConflict {
			return out // an earlier try did it, and its answer was lost
		}
		l.must(err)
		return out
	}
}

func sendOnce(method, to, contentType, body string, header http.Header) (int, []byte, error) {
	r, err := http.NewRequest(method, to, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	res, err := patient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// partner makes a client.
func (l *ledger) partner(name, dialect string, scopes ...string) *partner {
	l.Helper()
	n := admin.NewClient{Name: name, Dialect: dialect, Scopes: scopes, Refresh: dialect == "oauth2"}
	if dialect == "su" {
		n.Domain = name + ".example"
	}
	c := done(l, func() (admin.CreatedClient, error) { return l.api.CreateClient(background, n, name) })
	p := &partner{dialect: dialect, id: c.ClientID}
	for _, s := range c.Secrets {
		if s.Environment == "live" {
			p.id, p.secret, p.secretID = s.ClientID, s.ClientSecret.Reveal(), s.SecretID
		}
	}
	return p
}

// gets is what a partner gets of a kind: a list, since some come in pairs.
func (l *ledger) gets(p *partner) []*holding {
	l.Helper()
	switch p.dialect {
	case "oauth2":
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {p.id}, "client_secret": {p.secret}}
		status, body, err := send("POST", l.url+"/oauth2/token", "application/x-www-form-urlencoded", form.Encode(), nil)
		l.must(err)
		var said struct {
			AccessToken  string `json:"access_token"`
			RefreshToken string `json:"refresh_token"`
		}
		if err := json.Unmarshal(body, &said); err != nil || said.AccessToken == "" {
			l.Fatalf("%d %s", status, body)
		}
		got := []*holding{{what: "standard token", of: p, value: said.AccessToken}}
		if said.RefreshToken != "" {
			got = append(got, &holding{what: "refresh token", of: p, value: said.RefreshToken})
		}
		return got
	case "dapi":
		link := l.connect(p)
		h := &holding{what: "permanent token", of: p, link: link.ConnectionID, opaque: true}
		h.value, _ = l.exchange(p, link.AccessCode.Reveal(), link.ConnectionID)
		if h.value == "" {
			l.Fatal("a code was not exchanged")
		}
		return []*holding{h}
	}
	issued := done(l, func() (admin.IssuedToken, error) {
		return l.api.IssueToken(background, admin.IssueToken{ClientID: p.id, Environment: "live"}, "")
	})
	return []*holding{{what: p.dialect + " token", of: p, value: issued.AccessToken.Reveal(), id: issued.TokenID, opaque: p.dialect == "su"}}
}

// connect links a user to a partner.
func (l *ledger) connect(p *partner) admin.CreatedConnection {
	l.Helper()
	return done(l, func() (admin.CreatedConnection, error) {
		return l.api.CreateConnection(background, admin.NewConnection{ClientID: p.id, Environment: "live", User: "user-1"}, "")
	})
}

func (l *ledger) exchange(p *partner, code, link string) (token string, status int) {
	l.Helper()
	body, err := json.Marshal(map[string]string{"appSecret": p.secret, "accessCode": code, "connectionID": link})
	l.must(err)
	status, answer, err := send("POST", l.url+"/v2/auth/ExchangeToken", "application/json", string(body), nil)
	l.must(err)
	var said struct {
		AccessToken string `json:"accessToken"`
	}
	_ = json.Unmarshal(answer, &said) // an error has none
	return said.AccessToken, status
}

// refresh spends a refresh token and returns what it gave.
func (l *ledger) refresh(h *holding) (access, next string) {
	l.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {h.value}, "client_id": {h.of.id}, "client_secret": {h.of.secret}}
	_, body, err := send("POST", l.url+"/oauth2/token", "application/x-www-form-urlencoded", form.Encode(), nil)
	l.must(err)
	var said struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	_ = json.Unmarshal(body, &said)
	return said.AccessToken, said.RefreshToken
}

// passes reports whether a holding is of any use.
func (l *ledger) passes(h *holding) bool {
	l.Helper()
	switch h.what {
	case "refresh token":
		access, next := l.refresh(h)
		return access != "" || next != ""
	case "access code":
		token, _ := l.exchange(h.of, h.value, h.link)
		return token != ""
	}
	status, _, err := send("GET", l.url+"/gate/verify?environment=live", "", "", http.Header{"Authorization": {"Bearer " + h.value}})
	l.must(err)
	if status != http.StatusOK && status != http.StatusUnauthorized {
		l.Fatalf("the gate says %d", status)
	}
	return status == http.StatusOK
}

// revoke ends one, as its owner or an operator would.
func (l *ledger) revoke(h *holding) {
	l.Helper()
	switch {
	case h.link != "":
		done(l, func() (admin.Revoked, error) { return l.api.Delink(background, h.link) })
	case h.of.dialect == "oauth2":
		form := url.Values{"token": {h.value}, "client_id": {h.of.id}, "client_secret": {h.of.secret}}
		status, body, err := send("POST", l.url+"/oauth2/revoke", "application/x-www-form-urlencoded", form.Encode(), nil)
		l.must(err)
		if status != http.StatusOK {
			l.Fatalf("%d %s", status, body)
		}
	default:
		done(l, func() (admin.Revoked, error) { return l.api.Revoke(background, admin.Selection{TokenID: h.id}) })
	}
}

// A tally counts what was tried.
type tally struct{ tried, resurrected int }

// refused ends the test where one of the holdings passes.
func (l *ledger) refused(when string, t *tally, all []*holding) {
	l.Helper()
	for _, h := range all {
		t.tried++
		if l.passes(h) {
			t.resurrected++
			l.Errorf("%s: a %s that was ended passes", when, h.what)
		}
	}
}

// stand ends the test where one of the holdings does not pass.
func (l *ledger) stand(when string, all []*holding) {
	l.Helper()
	for _, h := range all {
		if !l.passes(h) {
			l.Errorf("%s: a %s that was not ended is refused", when, h.what)
		}
	}
}

func (t *tally) String() string {
	return fmt.Sprintf("resurrected %d of %d", t.resurrected, t.tried)
}
