package reference

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"prose": prose, "colour": colour, "status": http.StatusText, "join": strings.Join,
}).ParseFS(templateFiles, "templates/*.html"))

// titles say what an operation is for.
var titles = map[dialect.OperationName]string{
	dialect.Issue: "Get a token", dialect.Refresh: "Renew a token", dialect.Exchange: "Exchange an access code",
	dialect.Validate: "Check a token", dialect.Revoke: "End a token", dialect.Connect: "What the Connect page hands over",
	dialect.Delink: "End a link", dialect.Use: "Call the API",
}

// A view is what the page's template is filled with.
type view struct {
	Name, Title, Brand, Summary string
	HasLogo                     bool
	Base                        string
	Hosts                       []host
	Facts                       []fact
	Operations                  []operationView
	Variables                   []variable
	Timelines                   []timeline
	Errors                      []errorView
	Habits                      []string
	HasBody                     bool // ordinary calls carry secrets in their body
	Others                      []link
}

type (
	host     struct{ Environment, URL string }
	fact     struct{ Term, Text string }
	link     struct{ Name, Title string }
	variable struct{ Name, Meaning string }
)

type operationView struct {
	ID, Title, Method, Path, About, Note string
	Request, Answer                      []dialect.FieldDoc
	HasRequest, HasAnswer                bool
	RequestExample, AnswerExample        string
	Snippets                             []Snippet
}

type errorView struct {
	Status int
	Body   string
	Why    []why
}

func (p *Pages) page(d *dialect.Dialect) (*file, error) {
	v := view{
		Name: d.Name, Title: d.Title, Brand: p.config.Brand.Name, HasLogo: p.config.Brand.Logo != nil, Summary: d.Summary, Base: p.base(d),
		Facts: facts(d), Timelines: timelines(d), Habits: habits(d), HasBody: d.Operation(dialect.Use).ReadsBody(),
	}
	for _, env := range []string{"sandbox", "live"} {
		url := p.hosts(d)[env]
		if url == "" {
			url = p.config.BaseURL
		}
		v.Hosts = append(v.Hosts, host{env, url})
	}
	seen := map[string]bool{}
	for _, o := range d.Operations {
		shown, err := p.operation(d, o)
		if err != nil {
			return nil, err
		}
		v.Operations = append(v.Operations, shown)
		if l := o.RequestLayout(); l != nil {
			v.addVariables(l, seen)
		}
	}
	for _, e := range d.ErrorAnswers() {
		shown := errorView{Status: e.Status, Body: e.Body}
		for _, code := range e.Codes {
			shown.Why = append(shown.Why, why{code, reasons[code].Means, reasons[code].Do})
		}
		v.Errors = append(v.Errors, shown)
	}
	for _, other := range p.dialects {
		if other != d {
			v.Others = append(v.Others, link{other.Name, other.Title})
		}
	}
	return render("page.html", v)
}

func (p *Pages) operation(d *dialect.Dialect, o *dialect.Operation) (v operationView, err error) {
	v = operationView{
		ID: string(o.Name), Title: titles[o.Name], Method: o.Method(), Path: o.Path(), About: o.About,
		Request: o.RequestFields(), Answer: o.AnswerFields(), HasRequest: o.RequestLayout() != nil, HasAnswer: o.AnswerLayout() != nil,
	}
	base := p.base(d)
	if o.Name == dialect.Use {
		// The server's own call is where the server is, whatever the API's host.
		base = p.config.BaseURL
		v.Note = "The programs call " + callPath(d) + ", an endpoint of this server's own sandbox that answers with whose token it was shown. Put a path of the API in its place."
	}
	if v.HasRequest {
		if v.RequestExample, err = o.RequestExample(base); err != nil {
			return v, err
		}
		if v.Snippets, err = Snippets(o, base, callPath(d)); err != nil {
			return v, err
		}
	}
	if v.HasAnswer {
		v.AnswerExample, err = o.AnswerExample()
	}
	return v, err
}

// addVariables lists what the programs take from the environment.
func (v *view) addVariables(l *dialect.Layout, seen map[string]bool) {
	add := func(pieces []dialect.Piece) {
		for _, p := range pieces {
			if name := Variable(p.Hole); varies(p) && !p.Optional && !seen[name] {
				seen[name] = true
				meaning := p.About
				if p.Codec != "text" {
					meaning += ", as it goes on the wire (" + p.Codec + ")"
				}
				v.Variables = append(v.Variables, variable{name, meaning})
			}
		}
	}
	var members func(all []dialect.LaidMember)
	members = func(all []dialect.LaidMember) {
		for _, m := range all {
			add(m.Value)
			members(m.Members)
			members(m.Items)
		}
	}
	add(l.Path)
	for _, fields := range [][]dialect.LaidField{l.Basic, l.Query, l.Headers, l.Form} {
		for _, f := range fields {
			add(f.Value)
		}
	}
	members(l.Body)
}

func (p *Pages) index() (*file, error) {
	v := view{Title: "API reference", Brand: p.config.Brand.Name, HasLogo: p.config.Brand.Logo != nil}
	for _, d := range p.dialects {
		v.Others = append(v.Others, link{d.Name, d.Title})
		v.Habits = append(v.Habits, d.Summary)
	}
	return render("index.html", v)
}

func render(name string, v view) (*file, error) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, v); err != nil {
		return nil, fmt.Errorf("making a page of the reference: %w", err)
	}
	return newFile("text/html; charset=utf-8", b.Bytes()), nil
}

// facts are what a partner asks first.
func facts(d *dialect.Dialect) (out []fact) {
	t := d.Token
	if t.Format == dialect.JWT {
		out = append(out, fact{"Token", "A JWT, signed with " + t.Algorithm})
	} else {
		out = append(out, fact{"Token", "Opaque: only the server can read it"})
	}
	if live, sandbox := t.Prefix["live"], t.Prefix["sandbox"]; live != "" && sandbox != "" {
		out = append(out, fact{"Begins with", "`" + sandbox + "` or `" + live + "`"})
	}
	switch {
	case t.Permanent:
		out = append(out, fact{"Life", "Until it is ended"})
	case t.Longest > t.Life:
		out = append(out, fact{"Life", span(t.Life) + ", at most " + span(t.Longest)})
	default:
		out = append(out, fact{"Life", span(t.Life)})
	}
	switch t.Refresh.Mode {
	case dialect.RefreshReuse:
		out = append(out, fact{"Refresh token", "The same one for " + span(t.Refresh.Life)})
	case dialect.RefreshRotate:
		out = append(out, fact{"Refresh token", "Works once; each use gives the next"})
	default:
		out = append(out, fact{"Refresh token", "None: get a new token"})
	}
	if d.Rules.ClientIDs == dialect.PerEnvironmentIDs {
		out = append(out, fact{"Environments", "Sandbox and live have their own ids and secrets"})
	} else {
		out = append(out, fact{"Environments", "One client id; sandbox and live have their own secrets"})
	}
	return out
}

// habits are the file's own notes, and what is true of every token API.
func habits(d *dialect.Dialect) []string {
	out := append([]string{}, d.Notes...)
	if t := d.Token; !t.Permanent && len(d.Notes) == 0 {
		out = append(out, "Keep the token for its whole life; don't get one for each call.", "On a 401, get a new token once and repeat the call. If that is refused too, stop and tell somebody.")
	}
	if early, late := renewal(d.Token.Life); !d.Token.Permanent {
		out = append(out, "Renew between "+span(early)+" and "+span(late)+" before the end, at a moment of chance, so that your programs don't all come at once.")
	}
	return append(out,
		"On a 429 or 503, wait for as long as Retry-After says.",
		"Keep secrets and tokens out of URLs, logs and lists of processes: URLs are kept by every proxy and browser on the way.",
		"Keep the secret on your server. It has no place in a browser, an app or a repository.")
}

// renewal is when a client had best renew: from early on, and before late.
func renewal(life time.Duration) (early, late time.Duration) {
	early = min(10*time.Minute, (life / 6).Truncate(time.Second))
	return early, early / 2
}

// span words a duration in its largest whole unit.
func span(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d >= unit.length && d%unit.length == 0 {
			if d == unit.length && unit.name != "day" {
				return "1 " + unit.name
			}
			if unit.name == "day" && d <= 2*unit.length {
				continue // people say 24 hours
			}
			return fmt.Sprintf("%d %ss", d/unit.length, unit.name)
		}
	}
	return d.String()
}

// prose is text in which what stands in backquotes is code.
func prose(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		if i%2 == 1 {
			b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
		} else {
			b.WriteString(template.HTMLEscapeString(part))
		}
	}
	return template.HTML(b.String())
}
