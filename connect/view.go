package connect

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pageNames are the pages: templates/NAME.html, each within layout.html.
var pageNames = []string{"signin", "consent", "connections", "formpost", "message", "problem", "demo"}

// views is everything that is shown, ready to be filled in.
type views struct {
	pages    map[string]*template.Template
	messages *catalog
	assets   map[string]*asset // by path
	base     string
}

func newViews(base string) (*views, error) {
	v := &views{pages: map[string]*template.Template{}, base: base}
	var err error
	if v.messages, err = loadCatalog(); err != nil {
		return nil, err
	}
	if v.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	funcs := template.FuncMap{"asset": v.assetURL}
	for _, name := range pageNames {
		t, err := template.New("layout.html").Funcs(funcs).ParseFS(templateFiles, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		v.pages[name] = t
	}
	return v, nil
}

// page is what the templates read. Parts that a page has no use for are nil.
type page struct {
	*translation
	Base    string // before each path
	Title   string
	Client  *clientView
	User    *User
	Sandbox bool
	Request string
	Env     string
	CSRF    string
	Session string // of a frame
	Lone    bool   // in no frame and no pop-up: links may lead elsewhere

	SignIn      *signInView
	Consent     *consentView
	Connections []*linkedApp
	Passkeys    bool
	Ended       bool
	Form        *formView
	Message     *messageView
	Problem     *problemView
	Demo        *demoView

	ask    *Ask
	leaves string
}

type clientView struct {
	Name    string
	Initial string
	Logo    string // URL, "" where it has none
}

type signInView struct {
	Name      string
	Problem   string // key of a message
	Passwords bool
	Passkeys  bool
	Upstream  string // the name of the provider where users sign in
}

type formView struct {
	Action string
	Fields []fieldView
}

type fieldView struct{ Name, Value string }

type messageView struct {
	Origin string // the only one that may read it
	Result string // JSON
	State  string
}

type problemView struct {
	Text    string
	Request string // our id of the HTTP request, which the owner can look up
}

func (p *page) framed() bool { return p.ask != nil && p.ask.Frame }

// Languages are the others that the page can be read in. It is there only where
// following a link repeats nothing.
func (p *page) Languages() []language {
	if p.framed() || p.Form != nil || p.Message != nil || p.Problem != nil || p.Env == "" {
		return nil
	}
	return p.others()
}

// page makes what all pages have in common. title is the key of a message.
func (v *visit) page(f purpose, title string, args ...string) *page {
	asked := ""
	if f.ask != nil {
		asked = f.ask.Language
	}
	t := v.language(asked, f.ask != nil && f.ask.Frame)
	p := &page{
		translation: t, Base: v.base, Title: t.T(title, args...), Request: f.handle, Env: string(f.env),
		Sandbox: f.env == gatehouse.Sandbox, ask: f.ask, Lone: f.ask == nil || f.ask.Mode != ModeMessage,
	}
	if f.ask != nil {
		if client, ok := v.engine.Client(f.ask.Client); ok {
			shown := v.shownClient(client)
			p.Client = &shown
		}
	}
	if f.env != "" && !p.framed() {
		p.CSRF = csrfOf(v.browser(f.env))
	}
	return p
}

// shownClient is how users see an app.
func (v *visit) shownClient(c *gatehouse.Client) clientView {
	first, _ := utf8.DecodeRuneInString(strings.TrimSpace(c.Name))
	shown := clientView{Name: c.Name, Initial: strings.ToUpper(string(first))}
	logo, err := v.engine.Logo(v.r.Context(), c.ID)
	if err != nil {
		v.log.Warn("an app is shown without its logo", "client_id", string(c.ID), "error", err)
	} else if logo != nil {
		shown.Logo = v.link(logoPath, "client", string(c.ID), "v", contentTag(logo.Image))
	}
	return shown
}

const logoPath = "/connect/logo"

// render writes a page.
func (v *visit) render(status int, name string, p *page) error {
	var b bytes.Buffer
	if err := v.views.pages[name].Execute(&b, p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	rules := allow{leaves: p.leaves}
	if p.framed() {
		rules.frame = p.ask.Target
	}
	h := v.w.Header()
	setPagePolicy(h, rules)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Lang)
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // a browser that is gone needs no page
	return nil
}

// contentTag names bytes by their digest.
func contentTag(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
