package gateways_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/gatehouse-auth/gatehouse/gate"
)

// forwardAuth is what Traefik's documentation of the ForwardAuth middleware
// says that it does; there is no Traefik here to ask.
type forwardAuth struct {
	Address             string   `yaml:"address"`
	TrustForwardHeader  bool     `yaml:"trustForwardHeader"`
	AuthResponseHeaders []string `yaml:"authResponseHeaders"`
}

// pass asks the authentication server about r as the documentation has it. A
// nil response lets r, which has been changed, go on.
func (f *forwardAuth) pass(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	asked, err := http.NewRequest(http.MethodGet, f.Address, nil)
	if err != nil {
		t.Fatal(err)
	}
	asked.Header = r.Header.Clone()
	for name, value := range map[string]string{
		"X-Forwarded-Method": r.Method, "X-Forwarded-Proto": "https", "X-Forwarded-Host": r.Host,
		"X-Forwarded-Uri": r.URL.RequestURI(), "X-Forwarded-For": "192.0.2.7",
	} {
		asked.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(asked)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return res
	}
	for _, name := range f.AuthResponseHeaders {
		r.Header.Del(name)
		if values := res.Header.Values(name); len(values) > 0 {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return nil
}

func TestTraefikContract(t *testing.T) {
	var file struct {
		HTTP struct {
			Middlewares map[string]struct {
				ForwardAuth *forwardAuth `yaml:"forwardAuth"`
				Headers     *struct {
					CustomRequestHeaders map[string]string `yaml:"customRequestHeaders"`
				} `yaml:"headers"`
			} `yaml:"middlewares"`
			Routers map[string]struct {
				Middlewares []string `yaml:"middlewares"`
			} `yaml:"routers"`
		} `yaml:"http"`
	}
	if err := yaml.Unmarshal([]byte(read(t, examples+"traefik.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	live, sandbox := node.token(t, "live", "read"), node.token(t, "sandbox", "read")
	asking := 0
	for name, m := range file.HTTP.Middlewares {
		f := m.ForwardAuth
		if f == nil {
			continue
		}
		asking++
		if !slices.Equal(f.AuthResponseHeaders, gate.IdentityHeaders[:]) || f.TrustForwardHeader {
			t.Errorf("%s: copies %v, trusts forwarded headers %v", name, f.AuthResponseHeaders, f.TrustForwardHeader)
		}
		u, err := url.Parse(f.Address)
		if err != nil || u.Path != "/gate/verify" || u.Query().Get("environment") != "live" {
			t.Errorf("%s: address %s: %v", name, f.Address, err)
		}
		f.Address = node.url + u.RequestURI()
		write := u.Query().Get("scope") == "write"
		for _, c := range []struct {
			what, authorization string
			status              int
		}{
			{"good", "Bearer " + live, map[bool]int{false: 200, true: 403}[write]},
			{"sandbox", "Bearer " + sandbox, 401},
			{"none", "", 401},
		} {
			r, _ := http.NewRequest(http.MethodPost, "https://api.example/v1/x?y=1", nil)
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			for _, h := range gate.IdentityHeaders {
				r.Header.Set(h, "evil")
			}
			switch res := f.pass(t, r); {
			case res == nil && c.status != 200, res != nil && res.StatusCode != c.status:
				t.Errorf("%s, %s: %v, want %d", name, c.what, res, c.status)
			case res != nil && res.StatusCode == 401 && res.Header.Get("WWW-Authenticate") == "":
				t.Errorf("%s, %s: 401 without a challenge", name, c.what)
			case res == nil:
				for _, h := range gate.IdentityHeaders {
					if len(r.Header[h]) != 1 || r.Header.Get(h) == "evil" || r.Header.Get(h) == "" {
						t.Errorf("%s, %s: the API would see %s: %q", name, c.what, h, r.Header[h])
					}
				}
			}
		}
	}
	if asking == 0 {
		t.Error("the file asks Gatehouse nowhere")
	}
	names := file.HTTP.Middlewares["gatehouse-names"].Headers
	for _, h := range gate.IdentityHeaders {
		if v, ok := names.CustomRequestHeaders[strings.ReplaceAll(h, "-", "_")]; !ok || v != "" {
			t.Errorf("%s with underscores survives", h)
		}
	}
	for name, r := range file.HTTP.Routers {
		if len(r.Middlewares) != 2 || file.HTTP.Middlewares[r.Middlewares[0]].ForwardAuth == nil || r.Middlewares[1] != "gatehouse-names" {
			t.Errorf("router %s runs %v", name, r.Middlewares)
		}
	}
}
