package dialect

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// good is the smallest file that loads. Bad files are made of it by
// replacing one piece.
const good = `dialect: tiny
wire:
  issue:
    request:
      POST: /v1/token
      body: {id: "{client_id}", key: "{client_secret}"}
    response:
      body: {token: "{access_token}", ttl: "{life|seconds}"}
  errors:
    body: {error: "{error}"}
    invalid_request: {status: 400, error: bad}
    invalid_client: {status: 401, error: no}
    server_error: {status: 500, error: oops}
token:
  opaque: {}
  life: {default: 1h, longest: 2h}
`

func TestSmallestFileLoads(t *testing.T) {
	d, err := Load("tiny.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if d.Token.Life != time.Hour || d.Token.Longest != 2*time.Hour || d.Token.Format != Opaque || d.Token.Refresh.Mode != RefreshNone {
		t.Errorf("%+v", d.Token)
	}
	if !d.Rules.HTTPSRequired || d.Rules.ClientIDs != SharedIDs || d.Rules.ClientIDForm != TextID || string(d.Source) != good {
		t.Errorf("%+v", d.Rules)
	}
}

// The design's sketch is how people will write files.
func TestTheSketchLoads(t *testing.T) {
	const sketch = `
dialect: papaya
wire:
  issue:
    request:
      POST: /token
      either:                                       # read from whichever is there, refused if two differ; written as the first
      - body: {api_key: "{client_id}", client_secret: "{client_secret}"}
      - headers: {api_key: "{client_id}", client_secret: "{client_secret}"}
      body: {expiration: "{life|seconds?}", token_name: "{token_name?}"}
    response:
      body: {valid_until: "{expires_at|iso8601-minute}", token: "{access_token}", token_name: "{token_name}"}
  errors:
    body: {error: "{error}", description: "{message}", error_code: "{number}", sub_code: "", error_info: {timestamp: "{now|rfc3339}", path: "{path}"}}
    invalid_client: {status: 401, error: Unauthorized, number: 40101}
    invalid_request: {status: 400, error: Bad Request, number: 40001}
    default: {status: 500, error: Internal Server Error, number: 50001}
token:
  jwt: {algorithm: RS256, key_id: "APIKEY{key_index}", header: {typ: JWT, api_token_id: "{token_id}"},
        claims: {iat: "{issued_at|unix}", exp: "{expires_at|unix}", sub: access, user: {id: "{client_id}", email: "{owner.email}", owner: {id: "{owner.id}", ownerType: org_id}}}}
  life: {default: 24h, longest: 24h}      # a client may be allowed more: --max-ttl
  refresh: none
rules: {https: required, client_ids: per-environment}
`
	d, err := Load("sketch.yaml", []byte(sketch))
	if err != nil {
		t.Fatal(err)
	}
	if d.Token.KeyIDPrefix != "APIKEY" || !d.Token.KeyIDIndexed || d.Token.Algorithm != "RS256" || d.Rules.ClientIDs != PerEnvironmentIDs {
		t.Errorf("%+v", d.Token)
	}
	if r := d.WriteError(Unavailable, Values{}); r.Status != 503 {
		t.Errorf("unavailable is answered %d", r.Status)
	}
}

// Each row breaks the good file in one way. The place is that of the mistake
// and the hint says what to write.
var badFiles = []struct {
	name, old, new string
	at             string // line:column
	message, hint  string // a part of each
}{
	{"alias", `{error: "{error}"}`, `&x {error: "{error}"}`, "10:11", "anchors and aliases", "write the value out"},
	{"merge key", "  opaque: {}", "  <<: {opaque: {}}", "15:3", "merge keys", "write the members out"},
	{"tag", "status: 400", "status: !!int 400", "11:31", "tags", "quote"},
	{"second document", "token:\n", "---\ntoken:\n", "14:1", "one YAML document", "own file"},
	{"key twice", "  opaque: {}\n", "  opaque: {}\n  opaque: {}\n", "16:3", "already defined", ""},
	{"unknown key", "opaque: {}", "opaqe: {}", "15:3", `"opaqe" is unknown`, "did you mean opaque?"},
	{"unknown operation", "  issue:", "  isue:", "3:3", `"isue" is unknown`, "did you mean issue?"},
	{"unknown hole", "{client_id}", "{clientid}", "6:18", "no hole {clientid}", "did you mean client_id?"},
	{"unknown codec", "life|seconds", "life|second", "8:44", `no codec "second"`, "did you mean seconds?"},
	{"codec of another kind", "life|seconds", "life|unix", "8:44", "doesn't fit {life}", "seconds"},
	{"no codec", "{life|seconds}", "{life}", "8:44", "doesn't say how", "{life|seconds}"},
	{"side by side", `"{client_id}"`, `"{client_id}{connection_id}"`, "6:18", "side by side", "put a literal between"},
	{"open brace", `"{client_id}"`, `"{client_id"`, "6:18", "{ without its }", `"{{"`},
	{"hole of an answer in a request", `"{client_id}"`, `"{expires_at|unix}"`, "6:18", "can't stand in a request", "an answer"},
	{"secret in an answer", `"{access_token}"`, `"{client_secret}"`, "8:21", "can't stand in an answer", "a request"},
	{"half optional", `"{client_id}"`, `"{client_id}:{connection_id?}"`, "6:18", "some are not", ""},
	{"no identity", `id: "{client_id}", `, ``, "3:3", "no {client_id}", `"{client_id}"`},
	{"no proof", `, key: "{client_secret}"`, ``, "3:3", "no {client_secret}", `"{client_secret}"`},
	{"no token", `"{access_token}"`, `"x"`, "3:3", "no {access_token}", `"{access_token}"`},
	{"optional token", `{access_token}`, `{access_token?}`, "3:3", "can be read back", `"{access_token}"`},
	{"no end", `"{life|seconds}"`, `1`, "3:3", "when the token ends", "assumed"},
	{"unmapped code", "    server_error: {status: 500, error: oops}\n", "", "10:5", "server_error has no row", "default"},
	{"unknown code", "invalid_client:", "invalid_clint:", "12:5", `"invalid_clint" is unknown`, "invalid_client"},
	{"row without its value", "status: 400, error: bad", "status: 400", "11:22", "has {error}", "add error:"},
	{"row without status", "{status: 400, error: bad}", "{error: bad}", "11:22", "no status", "400"},
	{"row with a value too many", "error: bad", "error: bad, number: 4", "11:56", "no {number}", "leave the value out"},
	{"status", "status: 400", "status: 99", "11:31", "not an HTTP status", "200 to 599"},
	{"line end in a header", `{id: "{client_id}", key`, `{id: "{client_id}"}
      headers: {X-A: "a\r\nb"}
      query: {key`, "7:22", "line end", "printable"},
	{"header name", `POST: /v1/token`, "POST: /v1/token\n      headers: {\"a b\": x}", "6:17", "not a header name", "hyphens"},
	{"header of HTTP", `POST: /v1/token`, "POST: /v1/token\n      headers: {Host: x}", "6:17", "belongs to HTTP", "leave it out"},
	{"climbing path", "/v1/token", "/v1/../token", "5:13", "climbs", ".."},
	{"empty segment", "/v1/token", "/v1//token", "5:13", "empty segment", "/v1/token"},
	{"relative path", "/v1/token", "v1/token", "5:13", "start with /", "/v1/token"},
	{"query in the path", "/v1/token", "/v1/token?a=b", "5:13", "character", "query"},
	{"encoded path", "/v1/token", "/v1/%2e%2e/token", "5:13", "character", ""},
	{"our own route", "/v1/token", "/oauth2/token", "5:13", "/oauth2", "first segment"},
	{"our own route in other letters", "/v1/token", "/GATE/verify", "5:13", "/gate", "first segment"},
	{"our own route through a hole", "/v1/token", `"/{client_id}/token"`, "5:13", "begins with a hole", "literal"},
	{"GET with a body", "POST: /v1/token", "GET: /v1/token", "5:7", "GET request can't have a body", "POST"},
	{"two methods", "POST: /v1/token", "POST: /v1/token\n      PUT: /v1/token", "6:7", "two methods", "keep one"},
	{"life over policy", "longest: 2h", "longest: 30m", "16:32", "shorter than the default", "raise longest"},
	{"life in words", "default: 1h", "default: an hour", "16:19", "not a duration", "30m"},
	{"no format", "  opaque: {}\n", "", "15:3", "no format", "opaque"},
	{"jwt and opaque", "opaque: {}", "opaque: {}\n  jwt: {algorithm: EdDSA, claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}", "15:3", "either jwt or opaque", "keep one"},
	{"algorithm none", "opaque: {}", "jwt: {algorithm: none, claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}", "15:20", `can't be "none"`, "EdDSA, ES256, RS256"},
	{"symmetric algorithm", "opaque: {}", "jwt: {algorithm: HS256, claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}", "15:20", `can't be "HS256"`, "ES256"},
	{"token without its id", "opaque: {}", "jwt: {algorithm: EdDSA, claims: {sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}", "15:35", "{token_id}", "jti"},
	{"token without its end", "opaque: {}", "jwt: {algorithm: EdDSA, claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\"}}", "15:35", "{expires_at}", "exp"},
	{"token that names its key", "opaque: {}", "jwt: {algorithm: EdDSA, header: {jku: x}, claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}", "15:36", `"jku"`, "leave it out"},
	{"keys that look alike", "opaque: {}", "jwt: {algorithm: EdDSA, key_id: APIKEY, claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}", "15:35", "told apart", "{key_index}"},
	{"keys that are numbers", "opaque: {}", "jwt: {algorithm: EdDSA, key_id: \"{key_index}\", claims: {jti: \"{token_id}\", sub: \"{client_id}\", iat: \"{issued_at|unix}\", exp: \"{expires_at|unix}\"}}", "15:35", "told apart", "a word"},
	{"refresh without a wire", "opaque: {}", "opaque: {}\n  refresh: {mode: rotate, life: 24h}", "15:3", "nothing takes them", "refresh: none"},
	{"number of another spelling", "status: 400", "status: 0x190", "11:31", "as in JSON", "quote"},
	{"not a dialect name", "dialect: tiny", "dialect: Tiny API", "1:10", "not a dialect name", "lower-case"},
	{"our own format's name", "dialect: tiny", "dialect: oauth2", "1:10", "not a dialect name", ""},
	{"body twice", `key: "{client_secret}"}`, `key: "{client_secret}"}
      either:
      - body: {id: "{client_id}"}
      - headers: {a-b: "{client_id}"}`, "8:20", "described twice", "keep one"},
	{"either of one", `POST: /v1/token`, "POST: /v1/token\n      either:\n      - headers: {a: \"{client_id}\"}", "7:7", "two places", "beside it"},
	{"either that can't be told", `POST: /v1/token`, "POST: /v1/token\n      either:\n      - headers: {a: \"{scope?}\"}\n      - headers: {b: \"{scope?}\"}", "7:9", "can't be told", "required"},
	{"null in a header", `POST: /v1/token`, "POST: /v1/token\n      headers: {X-A: null}", "6:22", "outside JSON", "write text"},
	{"list in a header", `POST: /v1/token`, "POST: /v1/token\n      headers: {X-A: \"{scope|list}\"}", "6:22", "outside JSON", "space"},
	{"refused fields outside a list", `{error: "{error}"}`, `{error: "{error}", field: "{invalid.field}"}`, "10:37", "outside the list", "one element"},
	{"limit", "dialect: tiny", "dialect: tiny\nrules: {limits: {issue: lots}}", "2:25", "not a limit", "60/m"},
	{"host without TLS", "dialect: tiny", "dialect: tiny\nhosts: {live: http://api.example}", "2:15", "not a base URL", "https://"},
	{"bare m", `ttl: "{life|seconds}"`, `ttl: "{life|seconds}", x: "{m}"`, "8:65", "needs what to write", "{m=success}"},
	{"byte order mark", "dialect: tiny", "\ufeffdialect: tiny", "1:1", "byte order mark", ""},
	{"not UTF-8", "dialect: tiny", "dialect: tiny # \xff", "1:1", "UTF-8", ""},
	{"broken YAML", "opaque: {}", "opaque: {", "15:11", "could not find flow mapping end", ""},
}

func TestBadFiles(t *testing.T) {
	for _, tc := range badFiles {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(good, tc.old) {
				t.Fatalf("the good file has no %q", tc.old)
			}
			d, err := Load("bad.yaml", []byte(strings.Replace(good, tc.old, tc.new, 1)))
			if err == nil || d != nil {
				t.Fatalf("it loads: %v", d)
			}
			var first *Error
			if !errors.As(err, &first) {
				t.Fatalf("%T: %v", err, err)
			}
			if at := fmt.Sprintf("%d:%d", first.Line, first.Column); at != tc.at || !strings.Contains(first.Message, tc.message) || !strings.Contains(first.Hint, tc.hint) {
				t.Errorf("got  %v\nwant bad.yaml:%s: … %s … (… %s …)", err, tc.at, tc.message, tc.hint)
			}
			if !strings.HasPrefix(first.Error(), "bad.yaml:"+tc.at+": ") {
				t.Errorf("printed as %s", first)
			}
		})
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	file := strings.NewReplacer("{client_id}", "{clientid}", "{access_token}", "{accesstoken}", "default: 1h", "default: x").Replace(good)
	_, err := Load("bad.yaml", []byte(file))
	if n := strings.Count(err.Error(), "bad.yaml:"); n != 3 {
		t.Errorf("%d mistakes are told:\n%v", n, err)
	}
}

func TestLargeAndDeepFiles(t *testing.T) {
	for name, file := range map[string]string{
		"size":           good + "# " + strings.Repeat("x", maxFileBytes),
		"flow lists":     "dialect: " + strings.Repeat("[", 200_000),
		"flow mappings":  "dialect: " + strings.Repeat("{a: ", 60_000),
		"block lists":    "dialect:\n  " + strings.Repeat("- ", 100_000) + "x",
		"block mappings": "dialect:\n" + indented(400),
		"closed lists":   "dialect: " + strings.Repeat("[", 33) + strings.Repeat("]", 33),
		"many keys":      manyKeys(20_000),
		"many items":     "notes: [" + strings.Repeat("x, ", 80_000) + "]",
		"aliases":        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + good,
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if _, err := Load("big.yaml", []byte(file)); err == nil {
				t.Error("it loads")
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("refusing it took %v", took)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: v\n", i)
	}
	return b.String()
}

func indented(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tiny.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := LoadFile(path); err != nil || d.Name != "tiny" {
		t.Fatalf("%v %v", d, err)
	}
	fifo := filepath.Join(dir, "fifo.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]string{
		"no such file": filepath.Join(dir, "none.yaml"), "directory": dir, "fifo": fifo, "device": "/dev/zero",
	} {
		if _, err := LoadFile(p); err == nil || !strings.Contains(err.Error(), "dialect file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("#", maxFileBytes+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFile(path); err == nil || !strings.Contains(err.Error(), "256 KiB") {
		t.Errorf("a large file: %v", err)
	}
}

func TestBuiltinThatIsNot(t *testing.T) {
	if _, err := Builtin("../builtin"); err == nil || !strings.Contains(err.Error(), "papaya") {
		t.Errorf("%v", err)
	}
}
