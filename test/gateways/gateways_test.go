package gateways_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/gate"
)

// startNginx runs examples/gateways/nginx.conf with its placeholders filled.
func startNginx(t *testing.T, gatehouse, upstream string) gateway {
	binary := mustFind(t, "nginx")
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // its workers are another user
		t.Fatal(err)
	}
	address := freeAddress(t)
	fill := strings.NewReplacer("@LISTEN@", address, "@GATEHOUSE@", gatehouse, "@UPSTREAM@", upstream, "@RUN@", dir)
	for _, name := range []string{"nginx.conf", "gatehouse-api.conf"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(fill.Replace(read(t, examples+name))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return run(t, "nginx", address, nil, binary, "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
}

func startHAProxy(t *testing.T, gatehouse, upstream string) gateway {
	binary := mustFind(t, "haproxy")
	dir, err := filepath.Abs(examples)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	_ = read(t, examples+"gatehouse.lua")
	env := []string{"LISTEN=" + address, "GATEHOUSE=" + gatehouse, "UPSTREAM=" + upstream, "CONFIG=" + dir}
	return run(t, "haproxy", address, env, binary, "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
}

// startCaddy reports false where Caddy is not installed: building it takes
// minutes, so that the long run alone sees to it.
func startCaddy(t *testing.T, gatehouse, upstream string) (gateway, bool) {
	binary, err := exec.LookPath("caddy")
	if err != nil {
		gopath, _ := exec.Command("go", "env", "GOPATH").Output()
		binary, err = exec.LookPath(filepath.Join(strings.TrimSpace(string(gopath)), "bin", "caddy"))
	}
	if err != nil {
		t.Log("NOT RUN: there is no caddy here; `go install github.com/caddyserver/caddy/v2/cmd/caddy@latest` builds it, and `make soak` does so")
		return gateway{}, false
	}
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	_ = read(t, examples+"Caddyfile")
	env := []string{"LISTEN=http://:" + port, "GATEHOUSE=" + gatehouse, "UPSTREAM=" + upstream, "XDG_DATA_HOME=" + t.TempDir(), "XDG_CONFIG_HOME=" + t.TempDir()}
	return run(t, "caddy", address, env, binary, "run", "--adapter", "caddyfile", "--config", examples+"Caddyfile"), true
}

func mustFind(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Fatalf("there is no %s: `make prerequisites` installs it", name)
		}
	}
	return path
}

func TestNginx(t *testing.T)   { guards(t, startNginx(t, node.host(), host(echo(t).URL))) }
func TestHAProxy(t *testing.T) { guards(t, startHAProxy(t, node.host(), host(echo(t).URL))) }

func TestCaddy(t *testing.T) {
	if g, ok := startCaddy(t, node.host(), host(echo(t).URL)); ok {
		guards(t, g)
	}
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

// guards is what every gateway's configuration must hold to.
func guards(t *testing.T, g gateway) {
	live, sandbox, write := node.token(t, "live", "read"), node.token(t, "sandbox", "read"), node.token(t, "live", "read write")
	const realm = `Bearer realm="gatehouse"`
	for _, c := range []struct {
		what, target string
		headers      []string
		status       int
		challenge    string // how it begins
	}{
		{"a live token", "/v1/x?y=%2F", []string{"Authorization: Bearer " + live}, 200, ""},
		{"a sandbox token in sandbox", "/sandbox/x", []string{"Authorization: Bearer " + sandbox}, 200, ""},
		{"a token with the scope", "/write/x", []string{"Authorization: Bearer " + write}, 200, ""},
		{"no token", "/v1/x", nil, 401, realm},
		{"a sandbox token in live", "/v1/x", []string{"Authorization: Bearer " + sandbox}, 401, realm + `, error="invalid_token"`},
		{"a live token in sandbox", "/sandbox/x", []string{"Authorization: Bearer " + live}, 401, realm + `, error="invalid_token"`},
		{"a token without the scope", "/write/x", []string{"Authorization: Bearer " + live}, 403, ""},
		{"Basic", "/v1/x", []string{"Authorization: Basic " + live}, 401, realm},
		{"no scheme", "/v1/x", []string{"Authorization: " + live}, 401, realm},
		{"a token cut short", "/v1/x", []string{"Authorization: Bearer " + live[:len(live)-2]}, 401, realm + `, error="invalid_token"`},
		{"a token in the query", "/v1/x?access_token=" + live, nil, 401, realm},
		{"the question from the caller", "/v1/x?environment=sandbox", []string{"Authorization: Bearer " + sandbox}, 401, realm + `, error="invalid_token"`},
		{"a path that says it all decoded", "/%77rite/x", []string{"Authorization: Bearer " + live}, 403, ""},
	} {
		a := send(t, g.address, c.target, c.headers...)
		if a.status != c.status {
			t.Errorf("%s: %d, want %d: %s", c.what, a.status, c.status, a.raw)
			continue
		}
		if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, c.challenge) || c.status != 403 && (got == "") != (c.challenge == "") {
			t.Errorf("%s: challenge %q, want %q", c.what, got, c.challenge)
		}
		if (a.seen != nil) != (c.status == 200) {
			t.Errorf("%s: the API was reached: %v", c.what, a.seen != nil)
		}
	}

	// The gateway matches one path, the API might serve another.
	for _, target := range []string{"/write/%2e%2e/x", "/write/..%2fx", "/write/%2E%2e%2Fx", "//write/x", "/x/..//write/x", "/write/../x", "/x/%2e./write/", "/write%2fx", "/write%5cx", `/write\x`, "/%2577rite/x", "/write/.."} {
		if a := send(t, g.address, target, "Authorization: Bearer "+live); a.seen != nil || a.status/100 == 2 {
			t.Errorf("%s: %d, and the API saw %+v", target, a.status, a.seen)
		}
	}

	forged(t, g, live)
	twice(t, g, live, sandbox)
	revoked(t, g)
}

// forged sends identity headers of its own, in every spelling that some API
// might read as ours. None survives.
func forged(t *testing.T, g gateway, tok string) {
	const evil = "evil-identity"
	var attacks []string
	for _, name := range gate.IdentityHeaders {
		under := strings.ReplaceAll(name, "-", "_")
		for _, spelling := range []string{
			name, strings.ToLower(name), strings.ToUpper(name), under, strings.ToLower(under), strings.ToUpper(under),
			strings.Replace(name, "-", "_", 1), strings.Replace(under, "_", "-", 1),
		} {
			attacks = append(attacks, spelling+": "+evil)
		}
	}
	h := []string{"Authorization: Bearer " + tok}
	check := func(what string, a answer) {
		t.Helper()
		if a.status == 200 && a.seen == nil {
			t.Errorf("%s: 200, but not from the API", what)
		}
		if a.seen == nil {
			return
		}
		for name, values := range a.seen.Header {
			if canonical := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")); !strings.HasPrefix(canonical, "Gatehouse-") {
				continue
			}
			if slices.Contains(gate.IdentityHeaders[:], name) && len(values) == 1 && !strings.Contains(values[0], evil) {
				continue
			}
			t.Errorf("%s: the API sees %s: %q", what, name, values)
		}
		for _, name := range gate.IdentityHeaders {
			if len(a.seen.Header[name]) != 1 || a.seen.Header.Get(name) == "" {
				t.Errorf("%s: the API sees %s: %q", what, name, a.seen.Header[name])
			}
		}
		if a.seen.Header.Get(gate.HeaderEnvironment) != "live" || a.seen.Header.Get(gate.HeaderScope) != "read" {
			t.Errorf("%s: the API sees another identity: %v", what, a.seen.Header)
		}
		if a.seen.Header.Get("Authorization") != "" {
			t.Errorf("%s: the API sees the token", what)
		}
	}
	plain := send(t, g.address, "/v1/x", h...)
	if plain.seen == nil {
		t.Fatalf("a good token is refused: %s", plain.raw)
	}
	check("honest", plain)
	for _, attack := range attacks {
		check(attack, send(t, g.address, "/v1/x", append(h, attack)...))
		check(attack+", before the token", send(t, g.address, "/v1/x", append([]string{attack}, h...)...))
		check(attack+", twice", send(t, g.address, "/v1/x", append(h, attack, attack)...))
	}
	check("all at once", send(t, g.address, "/v1/x", append(h, attacks...)...))
	for _, name := range gate.IdentityHeaders {
		for _, trick := range []string{
			"X-A: b\r" + name + ": " + evil,     // a bare CR
			"X-A: b\n" + name + ": " + evil,     // a bare LF
			"X-A: b\r\r\n" + name + ": " + evil, // CR CR LF
			"X-A: b\r\n " + name + ": " + evil,  // a folded line
			name + " : " + evil,                 // a blank before the colon
			name + "\t: " + evil,                //
			"\t" + name + ": " + evil,           //
			name + "\x00: " + evil,              //
			name + "\x0b: " + evil,              //
			"Connection: " + name,               // hop-by-hop: asks the gateway to drop what it has set
			"Connection: close, " + name,        //
			"X-A: %0d%0a" + name + ": " + evil,  //
			strings.Replace(name, "-", ".", 1) + ":" + evil,
		} {
			check(fmt.Sprintf("%q", trick), send(t, g.address, "/v1/x", append(h, trick)...))
		}
	}
}

// twice sends two Authorization headers, of which the gateway might read one
// and the API the other.
func twice(t *testing.T, g gateway, live, sandbox string) {
	for _, pair := range [][]string{
		{"Authorization: Bearer " + sandbox, "Authorization: Bearer " + live},
		{"Authorization: Bearer " + live, "Authorization: Bearer " + sandbox},
		{"Authorization: Bearer " + live, "Authorization: Basic YTpi"},
	} {
		if a := send(t, g.address, "/v1/x", pair...); a.status == 200 {
			t.Errorf("two Authorization headers pass: %q", pair)
		}
	}
}

// revoked holds the gateway to the promise about revocations.
func revoked(t *testing.T, g gateway) {
	tok := node.token(t, "live", "read")
	ask := func() int { return send(t, g.address, "/v1/x", "Authorization: Bearer "+tok).status }
	if got := ask(); got != 200 {
		t.Fatalf("before its revocation: %d", got)
	}
	node.revoke(t, tok)
	began := time.Now()
	if got := ask(); got != 401 {
		t.Errorf("%s after its revocation: %d", time.Since(began), got)
	}
}

// What can't be known is refused, with a status that says that a retry may help.
func TestGatehouseDown(t *testing.T) {
	nowhere := freeAddress(t)
	upstream := host(echo(t).URL)
	gateways := []gateway{startNginx(t, nowhere, upstream), startHAProxy(t, nowhere, upstream)}
	if g, ok := startCaddy(t, nowhere, upstream); ok {
		gateways = append(gateways, g)
	}
	for _, g := range gateways {
		a := send(t, g.address, "/v1/x", "Authorization: Bearer "+node.token(t, "live", "read"))
		if a.status/100 != 5 || a.seen != nil {
			t.Errorf("%s: %d without Gatehouse", g.name, a.status)
		}
		if g.name != "caddy" && (a.status != 503 || a.header.Get("Retry-After") == "") {
			t.Errorf("%s: %d, Retry-After %q", g.name, a.status, a.header.Get("Retry-After"))
		}
	}
}
