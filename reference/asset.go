package reference

import (
	"embed"
	"path"
	"sync"
)

//go:embed assets
var assetFiles embed.FS

var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// assets are what pages load, by path.
var assets = sync.OnceValue(func() map[string]*file {
	out := map[string]*file{}
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, e := range entries {
		b, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		out["/docs/-/"+e.Name()] = newFile(assetTypes[path.Ext(e.Name())], b)
	}
	return out
})
