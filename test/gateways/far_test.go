package gateways_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The same nginx with `gatehouse gate` beside it in place of the node.
func TestNginxBesideAFarGate(t *testing.T) {
	far := startGate(t)
	g := startNginx(t, far, host(echo(t).URL))
	tok := node.token(t, "live", "read")
	forged(t, g, tok)
	for _, c := range []struct {
		what, target, authorization string
		status                      int
	}{
		{"a live token", "/v1/x", "Bearer " + tok, 200},
		{"a sandbox token", "/v1/x", "Bearer " + node.token(t, "sandbox", "read"), 401},
		{"a scope that is missing", "/write/x", "Bearer " + tok, 403},
		{"rubbish", "/v1/x", "Bearer x", 401},
		{"a live gate asked for sandbox", "/sandbox/x", "Bearer " + tok, 401},
	} {
		if a := send(t, g.address, c.target, "Authorization: "+c.authorization); a.status != c.status {
			t.Errorf("%s: %d, want %d", c.what, a.status, c.status)
		}
	}
	node.revoke(t, tok)
	acknowledged := time.Now()
	for send(t, g.address, "/v1/x", "Authorization: Bearer "+tok).status != 401 {
		if time.Since(acknowledged) > 250*time.Millisecond {
			t.Fatal("a revoked token passes after a quarter of a second")
		}
	}
	t.Logf("refused %s after the revocation was acknowledged", time.Since(acknowledged).Round(time.Microsecond))
}

// startGate runs `gatehouse gate` and returns its host once it is ready.
func startGate(t *testing.T) string {
	t.Helper()
	create := exec.Command(node.binary, "client", "create", "--name", "edge", "--dialect", "oauth2", "--environment", "live",
		"--scope", "gatehouse:gate", "--json", "--data", node.data)
	out, err := create.Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		ID      string `json:"client_id"`
		Secrets []struct {
			Secret string         `json:"client_secret"`
			Rest   jsontext.Value `json:",unknown"`
		} `json:"secrets"`
		Rest jsontext.Value `json:",unknown"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	config := filepath.Join(t.TempDir(), "gate.yaml")
	text := "listen: " + address + "\nauthority: " + node.url + "\nenvironment: live\nclient_id: " + made.ID + "\nclient_secret: ${GATE_SECRET}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "gatehouse gate", address, []string{"GATE_SECRET=" + made.Secrets[0].Secret}, node.binary, "gate", "--config", config)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		res, err := http.Get("http://" + address + "/-/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return address
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the gate doesn't get ready")
		}
	}
}
