package connect

import (
	"embed"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/connect/js"
)

//go:embed assets
var assetFiles embed.FS

// An asset is a file that pages load.
type asset struct {
	body   []byte
	kind   string
	tag    string
	public bool // for pages of other sites
}

const scriptPath = "/connect/connect.js"

// loadAssets makes an asset of each file, and of the script for apps' pages.
func loadAssets() (map[string]*asset, error) {
	out := map[string]*asset{}
	files, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		b, err := assetFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out["/connect/"+name] = &asset{body: b, kind: mime.TypeByExtension(path.Ext(name)), tag: contentTag(b)}
	}
	out[scriptPath] = &asset{body: js.Script, kind: mime.TypeByExtension(".js"), tag: contentTag(js.Script), public: true}
	return out, nil
}

// assetURL names an asset with the digest of what is in it, so that it is kept
// for as long as it stays the same.
func (v *views) assetURL(name string) string {
	p := "/connect/assets/" + name
	return v.base + p + "?v=" + v.assets[p].tag
}

func (a *asset) serve(v *visit) error {
	h := v.w.Header()
	h.Del("X-Robots-Tag")
	h.Set("Content-Type", a.kind)
	h.Set("Etag", `"`+a.tag+`"`)
	switch {
	case a.public:
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	case v.params.Get("v") == a.tag:
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	default:
		h.Set("Cache-Control", "no-cache")
	}
	if v.r.Header.Get("If-None-Match") == `"`+a.tag+`"` {
		v.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	v.w.WriteHeader(http.StatusOK)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(a.body)
	}
	return nil
}

// showLogo serves the picture of an app.
func (v *visit) showLogo() error {
	l, err := v.engine.Logo(v.r.Context(), gatehouse.ClientID(v.params.Get("client")))
	if err != nil {
		return err
	}
	if l == nil {
		return gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, "")
	}
	h := v.w.Header()
	h.Set("Content-Type", l.Type)
	if v.params.Get("v") == contentTag(l.Image) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	v.w.WriteHeader(http.StatusOK)
	_, _ = v.w.Write(l.Image)
	return nil
}
