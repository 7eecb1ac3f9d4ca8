// Package reference is the public documentation of the dialects that a server
// speaks, and of its standard OAuth 2.0: for each a page with a playground, and
// an OpenAPI description. All of it is made from the dialect's file alone.
//
//	/docs/                        which there are
//	/docs/{dialect}               the page
//	/docs/{dialect}/openapi.json  OpenAPI 3.1
//	/docs/{dialect}/flow.json     what the playground runs by
//	/docs/-/…                     its style sheet and scripts
package reference

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

// Config is what Pages are made of.
type Config struct {
	// BaseURL is where callers reach the server, without a slash at its end.
	BaseURL string
	Brand   Brand
	// LivePrefixes begin what belongs to the live environment: the playground
	// sends nothing that begins so.
	LivePrefixes []string
}

// A Brand is the API's own, on pages that its partners read.
type Brand struct {
	Name  string            // "" is each dialect's title
	Logo  []byte            // PNG or SVG; nil is none
	Type  string            // media type of Logo
	Hosts map[string]string // base URLs by environment; others are the dialect's, or BaseURL
}

//go:embed oauth2.yaml
var oauth2File []byte

// oauth2 is standard OAuth 2.0 in a dialect's form. Its file is tested, so one
// that doesn't load is a broken build.
var oauth2 = sync.OnceValue(func() *dialect.Dialect {
	d, err := dialect.LoadOwn("oauth2.yaml", oauth2File)
	if err != nil {
		panic(err)
	}
	return d
})

// Pages answers everything below /docs/. Each page is made when it is first
// asked for. Pages are safe for concurrent use.
type Pages struct {
	config   Config
	dialects []*dialect.Dialect // oauth2 first
	assets   map[string]*file

	mu   sync.Mutex
	made map[string]*file // by path
}

// New makes the pages of these dialects and of standard OAuth 2.0.
func New(c Config, dialects []*dialect.Dialect) *Pages {
	p := &Pages{config: c, dialects: append([]*dialect.Dialect{oauth2()}, dialects...), assets: assets(), made: map[string]*file{}}
	if c.Brand.Logo != nil {
		p.made["/docs/-/logo"] = newFile(c.Brand.Type, c.Brand.Logo)
	}
	return p
}

// Names lists what has a page.
func (p *Pages) Names() (names []string) {
	for _, d := range p.dialects {
		names = append(names, d.Name)
	}
	return names
}

// policy lets a page load what this package serves and ask this server, and
// nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// ServeHTTP answers GET and HEAD.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "this is a page: read it with GET", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/docs" {
		http.Redirect(w, r, "/docs/", http.StatusPermanentRedirect)
		return
	}
	f, err := p.file(r.URL.Path)
	if err != nil {
		http.Error(w, "the page can't be made", http.StatusInternalServerError)
		return
	}
	if f == nil {
		http.Error(w, "there is no such page: /docs/ lists them", http.StatusNotFound)
		return
	}
	f.serve(w, r)
}

// Has reports whether a path is one of the pages'.
func (p *Pages) Has(path string) bool { return path == "/docs" || strings.HasPrefix(path, "/docs/") }

// file returns what is under a path, nil where nothing is.
func (p *Pages) file(path string) (*file, error) {
	if f := p.assets[path]; f != nil {
		return f, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.made[path]; f != nil {
		return f, nil
	}
	f, err := p.make(path)
	if f != nil {
		p.made[path] = f // paths are a closed set
	}
	return f, err
}

func (p *Pages) make(path string) (*file, error) {
	if path == "/docs/" {
		return p.index()
	}
	name, what, _ := strings.Cut(strings.TrimPrefix(path, "/docs/"), "/")
	i := slices.IndexFunc(p.dialects, func(d *dialect.Dialect) bool { return d.Name == name })
	if i < 0 || path != "/docs/"+name && what == "" {
		return nil, nil
	}
	d := p.dialects[i]
	switch what {
	case "":
		return p.page(d)
	case "openapi.json":
		b, err := d.OpenAPI(p.base(d))
		return newFile("application/json", b), err
	case "flow.json":
		b, err := p.flow(d)
		return newFile("application/json", b), err
	}
	return nil, nil
}

// base is where the examples of a dialect go.
func (p *Pages) base(d *dialect.Dialect) string {
	if host := p.hosts(d)["sandbox"]; host != "" {
		return strings.TrimSuffix(host, "/")
	}
	return p.config.BaseURL
}

func (p *Pages) hosts(d *dialect.Dialect) map[string]string {
	if len(p.config.Brand.Hosts) > 0 {
		return p.config.Brand.Hosts
	}
	return d.Hosts
}

// A file is an answer that doesn't change.
type file struct {
	mediaType string
	plain     []byte
	gzipped   []byte // nil where it isn't smaller
	etag      string
}

func newFile(mediaType string, b []byte) *file {
	sum := sha256.Sum256(b)
	f := &file{mediaType: mediaType, plain: b, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression) // a known level
	_, _ = w.Write(b)                                     // into memory
	_ = w.Close()
	if z.Len() < len(b)*9/10 {
		f.gzipped = z.Bytes()
	}
	return f
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // kept, and asked about each time
	h.Set("ETag", f.etag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	if f.gzipped != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.gzipped
	}
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader that is gone needs no answer
	}
}

func acceptsGzip(accept string) bool {
	for coding := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.ReplaceAll(weight, " ", "") != "q=0"
		}
	}
	return false
}
