package intake

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// read returns what a file holds, and what is wrong with it, each as text.
func read[T any](items iter.Seq2[T, error]) (good []T, wrong []string) {
	for item, err := range items {
		if err != nil {
			wrong = append(wrong, err.Error())
		} else {
			good = append(good, item)
		}
	}
	return good, wrong
}

var sum = sha256.Sum256([]byte("tok-1"))

func TestTokensInEveryForm(t *testing.T) {
	digest := fmt.Sprintf("%x", sum)
	for name, file := range map[string]string{
		"csv":      "sha256,client,environment,expires,issued,scopes,name,user\n" + digest + ",acme,live,2027-01-31T12:00:00Z,1767225600,read write,nightly,u1\n",
		"spaces":   " sha256 , client,environment , expires,issued,scopes,name,user\r\n " + strings.ToUpper(digest) + " ,acme,live,2027-01-31 12:00:00+00,1767225600000, read  write ,nightly,u1\r\n",
		"mark":     "\xef\xbb\xbftoken,client,environment,expires,issued,scopes,name,user\ntok-1,acme,live,2027-01-31T13:00:00+01:00,2026-01-01T00:00:00Z,read write,nightly,u1",
		"list":     `[{"sha256":"sha256:` + digest + `","client":"acme","environment":"live","expires":"2027-01-31T12:00:00Z","issued":1767225600,"scopes":["read","write"],"name":"nightly","user":"u1"}]`,
		"stream":   "\n" + `{"sha256":"` + base64.StdEncoding.EncodeToString(sum[:]) + `","client":"acme","environment":"live","expires":1801396800,"issued":1767225600,"scopes":["read","write"],"name":"nightly","user":"u1"}` + "\n",
		"url form": `{"token":"tok-1","sha256":"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `","client":"acme","environment":"live","expires":1801396800,"issued":1767225600,"scopes":["read","write"],"name":"nightly","user":"u1"}`,
	} {
		for how, r := range map[string]io.Reader{"whole": strings.NewReader(file), "in bytes": iotest.OneByteReader(strings.NewReader(file))} {
			good, wrong := read(Tokens(r))
			if len(good) != 1 || len(wrong) > 0 {
				t.Errorf("%s %s: %v", name, how, wrong)
				continue
			}
			got := good[0]
			if got.SHA256 != sum || got.Text != (Hashed{}) || got.Client != "acme" || got.Environment != "live" || got.Name != "nightly" || got.User != "u1" ||
				!got.Expires.Equal(time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)) || !got.Issued.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) ||
				got.Scopes == nil || strings.Join(*got.Scopes, " ") != "read write" {
				t.Errorf("%s %s: %+v", name, how, got)
			}
		}
	}
}

func TestEachLineSaysWhatToWrite(t *testing.T) {
	file := "token,client,environment,expires\n" +
		"a,acme,live,never\n" +
		",acme,live,never\n" +
		"c,,live,never\n" +
		"d,acme,production,never\n" +
		"e,acme,live,tomorrow\n" +
		"f,acme,live,2026-01-31 12:00:00\n" +
		"g,acme,live\n" +
		"\"h\nh\",acme,live,never\n" +
		"Bearer i,acme,live,never\n" +
		"j,acme,live,\n" +
		"k,acme,live,never\n"
	good, wrong := read(Tokens(strings.NewReader(file)))
	if len(good) != 3 || good[0].Line != 2 || good[1].Line != 9 || good[2].Line != 13 || good[0].Scopes != nil || !good[2].Expires.Never {
		t.Errorf("%+v", good)
	}
	want := []string{
		"line 3: sha256: write the SHA-256", "line 4: client: write the id", "line 5: environment: write sandbox or live", "line 6: expires: not a time",
		"line 7: expires: not a time: write it like 2026-01-31T12:00:00Z, with its zone", "line 8: it has 3 cells for 4 columns", "line 11: token: write the token without", "line 12: expires: write when",
	}
	for i := range want {
		if i >= len(wrong) || !strings.HasPrefix(wrong[i], want[i]) {
			t.Fatalf("got %q\nwant %q", wrong, want)
		}
	}
	if len(wrong) != len(want) {
		t.Error(wrong)
	}

	file = "[\n{\"token\":\"a\",\"client\":\"acme\",\"environment\":\"live\",\"expires\":\"never\"},\n\n{\"tokens\":\"secret-1\"},\n{\"token\":\"b\",\"scopes\":\"read\"},\n" +
		"{\"token\":\"c\",\"expires\":\"secret-2\"},\n{\"sha256\":\"secret-3\"},\n{\"token\":\"d\",\"token\":\"e\"}]"
	good, wrong = read(Tokens(strings.NewReader(file)))
	want = []string{`line 4: there is no member called "tokens"`, "line 5: scopes has another type", "line 6: expires: not a time", "line 7: sha256: not a SHA-256", "line 7: not JSON from here on"}
	for i := range want {
		if i >= len(wrong) || !strings.HasPrefix(wrong[i], want[i]) || strings.Contains(wrong[i], "secret") {
			t.Fatalf("got %q\nwant %q", wrong, want)
		}
	}
	if len(good) != 1 || good[0].Line != 2 {
		t.Errorf("%+v", good)
	}
}

func TestFilesThatAreNone(t *testing.T) {
	for name, one := range map[string]struct{ file, want string }{
		"empty":         {" \n", "the file is empty"},
		"no columns":    {"a,b\n1,2\n", "there is no such column: the columns are sha256, token"},
		"missing":       {"token,client,environment\n", "a column is missing: expires"},
		"twice":         {"token,token,client,environment,expires\n", "this column is there twice"},
		"broken quotes": {"token,client,environment,expires\n\"a,b\n", "not CSV"},
		"cut":           {`[{"token":"a","client":"acme","environment":"live","expires":"never"},`, "not JSON"},
		"trailing":      {`[] []`, "something follows"},
	} {
		_, wrong := read(Tokens(strings.NewReader(one.file)))
		if len(wrong) != 1 || !strings.Contains(wrong[0], one.want) {
			t.Errorf("%s: %q", name, wrong)
		}
	}
	if good, wrong := read(Tokens(strings.NewReader("[]"))); len(good)+len(wrong) != 0 {
		t.Error(good, wrong)
	}
}

func TestClients(t *testing.T) {
	hash := "$2b$12$example"
	for name, file := range map[string]string{
		"csv":  "name,dialect,id,scopes,max_ttl,secret_hash_live,second_secret_hash_live,field.owner.email,refresh,disabled,secret_hash_sandbox\nAcme,oauth2,acme-1,read write,2d," + hash + "," + hash + "2,ops@acme.example,true,no,\n",
		"json": `{"name":"Acme","dialect":"oauth2","ids":{"live":"acme-1"},"scopes":["read","write"],"max_ttl":172800,"secrets":[{"environment":"live","hash":"` + hash + `"},{"environment":"live","hash":"` + hash + `2"}],"fields":{"owner.email":"ops@acme.example"},"refresh":true}`,
	} {
		good, wrong := read(Clients(strings.NewReader(file)))
		if len(good) != 1 {
			t.Errorf("%s: %v", name, wrong)
			continue
		}
		c := good[0]
		if c.Name != "Acme" || c.IDs["live"] != "acme-1" || len(c.IDs) != 1 || len(c.Environments) != 1 || len(c.Scopes) != 2 || c.MaxTTL.Duration != 48*time.Hour ||
			len(c.Secrets) != 2 || c.Secrets[1].Environment != "live" || c.Secrets[1].Hash.Reveal() != hash+"2" || c.Fields["owner.email"] != "ops@acme.example" || !c.Refresh || c.Disabled {
			t.Errorf("%s: %+v", name, c)
		}
		if printed := fmt.Sprintf("%+v %v", c, c.Secrets); strings.Contains(printed, hash) {
			t.Errorf("%s: a hash is printed: %s", name, printed)
		}
	}
	_, wrong := read(Clients(strings.NewReader("name,dialect,id,secret_hash_live,max_ttl,disabled\n,oauth2,a,h,,\nb,,b,h,,\nc,oauth2,c,h,soon,\nd,oauth2,d,h,,maybe\n")))
	want := []string{"line 2: name", "line 3: dialect", "line 4: max_ttl: not a life", "line 5: disabled: write true or false"}
	for i := range want {
		if i >= len(wrong) || !strings.HasPrefix(wrong[i], want[i]) {
			t.Fatalf("got %q\nwant %q", wrong, want)
		}
	}
}

// Whatever a file holds, reading ends, lines rise, and what is good is whole.
func FuzzTokens(f *testing.F) {
	f.Add("token,client,environment,expires\na,acme,live,never\n")
	f.Add(`[{"token":"a","client":"acme","environment":"live","expires":1801396800}]`)
	f.Add("sha256,client,environment,expires\n\"" + fmt.Sprintf("%x", sum) + "\",a,sandbox,2027-01-31T12:00:00Z\n")
	f.Fuzz(func(t *testing.T, file string) {
		last := 0
		for item, err := range Tokens(strings.NewReader(file)) {
			if err != nil {
				continue
			}
			if item.Line < last || item.SHA256 == (Digest{}) || item.Client == "" || !item.Expires.Never && item.Expires.IsZero() {
				t.Fatalf("%+v after line %d", item, last)
			}
			last = item.Line
		}
	})
}

func FuzzClients(f *testing.F) {
	f.Add("name,dialect,id,secret_hash_live\nAcme,oauth2,acme,h\n")
	f.Add(`[{"name":"Acme","dialect":"oauth2","id":"acme","secrets":[{"environment":"live","hash":"h"}]}]`)
	f.Fuzz(func(t *testing.T, file string) {
		for item, err := range Clients(strings.NewReader(file)) {
			if err == nil && (item.Name == "" || item.Dialect == "" || item.Line < 1) {
				t.Fatalf("%+v", item)
			}
		}
	})
}
