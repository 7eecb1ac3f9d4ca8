package gatehouse_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

const module = "github.com/gatehouse-auth/gatehouse"

// Imports run downward only. Each law says who must not import what, and why.
var laws = []struct {
	who    string // package below the module, "" is the root, "*" any
	except string // packages that may
	what   string // a prefix of import paths
	why    string
}{
	{"", "", "net/http", "the engine speaks to handlers in its own words, so that a new front needs no change in it"},
	{"", "", "database/sql", "the engine asks a Store by intent; SQL is the stores' business"},
	{"", "", module + "/", "the root holds the words that all other packages use: it may import only what is below it"},
	{"token", "", module + "/", "tokens and keys can be used, and audited, without the rest"},
	{"credential", "", module + "/", "digests and seals can be audited without the rest"},
	{"secret", "", module, "the wrapper of credentials is at the bottom"},
	{"keyset", "", module + "/", "another issuer's keys are read without the engine that trusts them"},
	{"intake", "", module, "files are read without the server that they are for"},
	{"doctor", "", module, "a deployment is judged by facts, whoever has gathered them"},
	{"dialect", "", module, "a dialect is read by servers and clients: it knows neither engine nor tokens"},
	{"dialect/check", "", module, "a contract is proved without a server of ours"},
	{"reference", "", module, "a reference page is made from the dialect file alone"},
	{"bearer", "", module, "a client's program gets the dialect reader and nothing of the server"},
	{"bearer/xoauth2", "", module, "who has another library's tokens from bearer needs bearer alone"},
	{"rehearse", "", module, "a rehearsal judges by what goes over the wire: what it asks of the server is an interface"},
	{"agent", "", module, "the agent is a client: it runs where no server is"},
	{"sqlite", "", "net/http", "a store is asked by the engine only"},
	{"sqlite", "", module + "/dialect", "a store keeps words of the engine, not of a dialect"},
	{"postgres", "", "net/http", "a store is asked by the engine only"},
	{"postgres", "", module + "/dialect", "a store keeps words of the engine, not of a dialect"},
	{"postgres", "", module + "/sqlite", "each store is written in its own database's SQL"},
	{"sqlite", "", module + "/postgres", "each store is written in its own database's SQL"},
	{"internal/commitgroup", "", module + "/", "callers share a commit in whichever store"},
	{"sharedlimit", "", "net/http", "what counts is asked by the engine only"},
	{"*", "sharedlimit examples/rediscache", "github.com/redis", "only what counts for all nodes knows Redis, and an example for programs that have it"},
	{"*", "node sharedlimit", module + "/sharedlimit", "only what puts a node together chooses where limits are counted"},
	{"storetest", "", module + "/sqlite", "the suite holds for every store"},
	{"storetest", "", module + "/postgres", "the suite holds for every store"},
	{"gate", "", module + "/sqlite", "a gate runs where no ledger is"},
	{"gate", "", module + "/postgres", "a gate runs where no ledger is"},
	{"gate", "", module + "/httpd", "a gate runs without the authority's listener"},
	{"gate", "", "google.golang.org/grpc", "a program that speaks no gRPC doesn't link it"},
	{"gate/feed", "", "net/http", "the feed is a form, whatever carries it"},
	{"gate/follow", "", module + "/sqlite", "a gate runs where no ledger is"},
	{"gate/follow", "", module + "/httpd", "a gate runs without the authority's listener"},
	{"gate/follow", "", "google.golang.org/grpc", "a program that speaks no gRPC doesn't link it"},
	{"gate/remote", "", module + "/sqlite", "a gate runs where no ledger is"},
	{"gate/remote", "", module + "/httpd", "a gate runs without the authority's listener"},
	{"*", "gate/envoy gate/remote", "github.com/envoyproxy", "only what answers Envoy knows its protos"},
	{"httpd", "", module + "/sqlite", "handlers reach the ledger through the engine only: two hops"},
	{"httpd", "", module + "/postgres", "handlers reach the ledger through the engine only: two hops"},
	{"httpd", "", module + "/admin", "the public listener and the admin one share nothing"},
	{"connect", "", module + "/sqlite", "the pages reach the ledger through the engine, and keep what is under way by an interface"},
	{"connect", "", module + "/postgres", "the pages reach the ledger through the engine, and keep what is under way by an interface"},
	{"connect", "", module + "/httpd", "the listener serves the pages; they know nothing of it"},
	{"connect", "", module + "/connect/directory", "who users are is an interface: the directory is one answer of several"},
	{"connect", "", module + "/connect/upstream", "who users are is an interface: another provider is one answer of several"},
	{"connect/directory", "", module + "/sqlite", "users are documents: it needs three methods of a store, whichever it is"},
	{"connect/directory", "", module + "/postgres", "users are documents: it needs three methods of a store, whichever it is"},
	{"connect/directory", "", "net/http", "a password or a passkey is checked the same, whatever page it came through"},
	{"connect/upstream", "", module + "/connect/directory", "a user is in one place: there, or at another provider"},
	{"webhook", "", module + "/sqlite", "messages are documents, and follow from the audit record of either store"},
	{"webhook", "", module + "/postgres", "messages are documents, and follow from the audit record of either store"},
	{"webhook", "", module + "/httpd", "nothing is sent while somebody waits for an answer"},
	{"webhook", "", module + "/dialect", "an app is told in one form, whatever its dialect"},
	{"admin", "", module + "/sqlite", "handlers reach the ledger through the engine only: two hops"},
	{"admin", "", module + "/postgres", "handlers reach the ledger through the engine only: two hops"},
	{"admin", "", module + "/httpd", "the public listener and the admin one share nothing"},
	{"*", "node", module + "/postgres", "only what puts a node together chooses its store"},
	{"*", "node cmd/gatehouse storetest", module + "/sqlite", "only what puts a node together chooses its store"},
	{"*", "cmd/gatehouse", module + "/node", "a node is the top: only the command starts one"},
}

// below lists what a package that must not import the module may import of it.
var below = map[string][]string{
	"":               {"token", "credential", "secret"},
	"token":          {"secret"},
	"credential":     {"secret"},
	"keyset":         {"token"},
	"intake":         {"secret"},
	"dialect":        {"secret", "dialect/builtin"},
	"bearer":         {"dialect", "secret"},
	"reference":      {"dialect"},
	"bearer/xoauth2": {"bearer"},
	"dialect/check":  {"dialect", "secret"},
	"rehearse":       {"bearer", "dialect", "secret", "internal/strictyaml"},
	"agent":          {"bearer", "dialect", "secret", "internal/strictyaml"},
}

func TestImportsRunDownward(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "work").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		who := strings.TrimPrefix(strings.TrimPrefix(fields[0], module), "/")
		packages++
		for _, what := range fields[1:] {
			for _, law := range laws {
				if law.who != who && law.who != "*" || strings.Contains(" "+law.except+" ", " "+who+" ") || who == law.who && allowed(who, what) {
					continue
				}
				if strings.HasPrefix(what, law.what) {
					t.Errorf("%s imports %s, but %s", fields[0], what, law.why)
				}
			}
		}
	}
	if packages < 10 {
		t.Errorf("only %d packages were looked at", packages)
	}
}

func allowed(who, what string) bool {
	for _, b := range below[who] {
		if what == module+"/"+b {
			return true
		}
	}
	return false
}

// Only dialect files know a vendor, or a vendor's own field.
func TestOnlyDialectFilesNameAVendor(t *testing.T) {
	fields := []string{"ExchangeToken", "SUAPI", "api_token_id", "appSecret", "appid", "valid_until", "expire_in", "isExpired"}
	vendor := regexp.MustCompile(`\b((?i:` + strings.Join(dialect.BuiltinNames(), "|") + `)|` + strings.Join(fields, "|") + `)\b`)
	files := 0
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "node_modules") {
			return err
		}
		files++
		source, err := os.ReadFile(path)
		for i, line := range strings.Split(string(source), "\n") {
			if m := vendor.FindString(line); m != "" {
				t.Errorf("%s:%d names %s: only a dialect file may", path, i+1, m)
			}
		}
		return err
	})
	if err != nil || files < 50 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}
