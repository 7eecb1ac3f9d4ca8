package connect

import (
	"embed"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	text "golang.org/x/text/language"
)

//go:embed messages/*.json
var messageFiles embed.FS

// languageTags are those that messages has a file for; the first is for everybody
// else. A further language is one more file and its tag here.
var languageTags = []string{"en", "de"}

// A catalog holds the pages' words.
type catalog struct {
	all     []*translation
	matcher text.Matcher
}

// A translation is the words of one language.
type translation struct {
	Lang  string // BCP 47
	words map[string]string
	of    *catalog
}

// A language is one that a reader can choose.
type language struct{ Tag, Name string }

func loadCatalog() (*catalog, error) {
	c := &catalog{}
	var tags []text.Tag
	for _, tag := range languageTags {
		b, err := messageFiles.ReadFile("messages/" + tag + ".json")
		if err != nil {
			return nil, err
		}
		t := &translation{Lang: tag, of: c}
		if err := json.Unmarshal(b, &t.words); err != nil {
			return nil, fmt.Errorf("messages/%s.json: %w", tag, err)
		}
		c.all = append(c.all, t)
		tags = append(tags, text.Make(tag))
	}
	c.matcher = text.NewMatcher(tags)
	return c, nil
}

// T is the message called key, with {name} filled in for each name and value.
func (t *translation) T(key string, args ...string) string {
	s, ok := t.words[key]
	if !ok {
		return key
	}
	for i := 0; i+1 < len(args); i += 2 {
		s = strings.ReplaceAll(s, "{"+args[i]+"}", args[i+1])
	}
	return s
}

// Life is a duration in words.
func (t *translation) Life(d time.Duration) string {
	for _, u := range []struct {
		key  string
		unit time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		if n := d / u.unit; d%u.unit == 0 && n > 0 {
			if n == 1 {
				return t.T("life." + u.key)
			}
			return t.T("life."+u.key+"s", "n", fmt.Sprint(int64(n)))
		}
	}
	return t.T("life.seconds", "n", fmt.Sprint(int64(d/time.Second)))
}

// Day is a date in the order that the language has it.
func (t *translation) Day(at time.Time) string { return at.UTC().Format(t.T("date")) }

// others are the languages beside this one, each by its own name.
func (t *translation) others() (out []language) {
	for _, o := range t.of.all {
		if o != t {
			out = append(out, language{o.Lang, o.T("language")})
		}
	}
	return out
}

const languageCookie = "gatehouse-connect-language"

// language chooses by the link that was followed last, what the app has asked
// for (ui_locales), and what the browser says, in this order.
func (v *visit) language(asked string, framed bool) *translation {
	chosen := ""
	if !framed {
		if c, err := v.r.Cookie(languageCookie); err == nil {
			chosen = c.Value
		}
		if lang := v.params.Get("lang"); lang != "" && v.r.Method == http.MethodGet {
			for _, tag := range languageTags {
				if lang == tag {
					chosen = tag
					http.SetCookie(v.w, &http.Cookie{Name: languageCookie, Value: tag, Path: v.base + "/connect/", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: v.secure, SameSite: http.SameSiteLaxMode})
				}
			}
		}
	}
	const most = 200 // bytes of what is parsed
	accept := v.r.Header.Get("Accept-Language")
	if len(accept) > most {
		accept = ""
	}
	if len(asked) > most {
		asked = ""
	}
	wanted := append([]string{chosen}, strings.Fields(asked)...)
	_, index := text.MatchStrings(v.views.messages.matcher, append(wanted, accept)...)
	return v.views.messages.all[index]
}
