package connect

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
)

// A DemoApp lets the reader of `gatehouse dev` walk through Connect: a page of
// ours stands in for the app of a demo client.
type DemoApp struct {
	URL string // opens Connect, with the app's name as state and DemoPath as redirect URI
	// Then is the command line that goes on, with {NAME} for each parameter of
	// what the app gets.
	Then string
}

// DemoPath is where demo apps are sent back to. DemoPath/NAME opens Connect for
// one of them.
const DemoPath = "/connect/demo"

func (p *Pages) addDemo(apps map[string]DemoApp) {
	for name, app := range apps {
		p.routes["GET "+DemoPath+"/"+name] = func(v *visit) error {
			v.redirect(app.URL)
			return nil
		}
	}
	show := func(v *visit) error { return v.showDemo(apps) }
	p.routes["GET "+DemoPath], p.routes["POST "+DemoPath] = show, show
}

// showDemo shows what the app gets, and how to go on.
func (v *visit) showDemo(apps map[string]DemoApp) error {
	p := v.page(purpose{}, "demo.title")
	p.Demo = &demoView{Then: apps[v.params.Get("state")].Then}
	for _, name := range slices.Sorted(maps.Keys(v.params)) {
		value := v.params.Get(name)
		p.Demo.Got = append(p.Demo.Got, fieldView{name, value})
		if shellWord.MatchString(value) {
			p.Demo.Then = strings.ReplaceAll(p.Demo.Then, "{"+name+"}", value)
		}
	}
	if len(p.Demo.Got) == 0 {
		return gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed, "")
	}
	return v.render(http.StatusOK, "demo", p)
}

// shellWord is text that means itself in a shell, whoever wrote it.
var shellWord = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

type demoView struct {
	Got  []fieldView
	Then string
}
