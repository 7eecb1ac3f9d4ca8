package rehearse

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse/dialect"
)

var began = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// at is a scene of so long, so many milliseconds after the beginning.
func at(ms, long int) scene {
	return scene{at: began.Add(time.Duration(ms) * time.Millisecond), end: began.Add(time.Duration(ms+long) * time.Millisecond)}
}

func visit(ms, long, status int) scene {
	s := at(ms, long)
	s.visit, s.status = true, status
	return s
}

func call(ms int, what, refused string, token byte) scene {
	s := at(ms, 1)
	s.what, s.refused, s.token = what, refused, [32]byte{token}
	return s
}

func TestOverlaps(t *testing.T) {
	if n := overlaps([]scene{visit(0, 100, 200), visit(100, 10, 200), visit(105, 10, 200), visit(50, 1, 200)}); n != 2 {
		t.Errorf("%d, want 2", n)
	}
}

// A repetition is the same call, soon, with another token; the next call of a
// loop is none.
func TestRetries(t *testing.T) {
	for name, tc := range map[string]struct {
		calls         []scene
		met, repeated int
	}{
		"repeated":          {[]scene{call(0, "a", dead, 1), call(10, "a", "", 2)}, 1, 1},
		"the next call":     {[]scene{call(0, "a", dead, 1), call(10, "b", "", 2)}, 1, 0},
		"the same token":    {[]scene{call(0, "a", chosen, 1), call(10, "a", "", 1)}, 1, 0},
		"much later":        {[]scene{call(0, "a", dead, 1), call(5000, "a", "", 2)}, 1, 0},
		"in vain":           {[]scene{call(0, "a", dead, 1), call(10, "a", dead, 2)}, 2, 0},
		"one for two":       {[]scene{call(0, "a", dead, 1), call(1, "a", dead, 1), call(10, "a", "", 2)}, 2, 1},
		"nothing to repeat": {[]scene{call(0, "a", "", 1)}, 0, 0},
	} {
		if met, repeated := retries(tc.calls); met != tc.met || repeated != tc.repeated {
			t.Errorf("%s: %d of %d, want %d of %d", name, repeated, met, tc.repeated, tc.met)
		}
	}
}

func TestImpatient(t *testing.T) {
	if n := impatient([]scene{visit(0, 1, 503), visit(500, 1, 503), visit(2600, 1, 200), visit(2700, 1, 200)}); n != 1 {
		t.Errorf("%d, want 1", n)
	}
}

// Each point can fail, and can hold.
func TestPoints(t *testing.T) {
	const life = 6 * time.Second
	leaking := visit(0, 1, 200)
	leaking.leaks = true
	old := visit(0, 1, 401)
	old.oldSecret = true
	fine := []scene{call(0, "a", "", 1), call(10, "b", "", 1), call(20, "c", "", 1), call(30, "d", "", 1)}
	for _, pt := range points {
		good := play{calls: fine, visits: []scene{visit(0, 1, 200)}, life: life, lasted: life}
		bad := good
		switch pt.name {
		case "on a 401 renews and repeats the call":
			good.calls = []scene{call(0, "a", dead, 1), call(5, "a", "", 2)}
		case "renews before the end":
			bad.calls = []scene{call(0, "a", ended, 1)}
		case "asks once, however many wait":
			bad.visits = []scene{visit(0, 100, 200), visit(1, 100, 200)}
		case "heeds Retry-After while the token endpoint is down":
			bad.visits = []scene{visit(0, 1, 503), visit(10, 1, 503)}
		case "notices nothing of a new signing key", "takes up a new secret", "carries the token as the contract says":
			bad.calls = []scene{call(0, "a", bare, 0)}
		case "doesn't hammer with refused credentials":
			bad.visits = []scene{old, old, old, old}
		case "keeps its secret out of URLs":
			bad.all = []scene{leaking}
		default:
			for i := range 20 {
				bad.visits = append(bad.visits, visit(i*10, 1, 200))
			}
		}
		if held, detail := pt.judge(&good); !held {
			t.Errorf("%s fails for a good program: %s", pt.name, detail)
		}
		if held, detail := pt.judge(&bad); held {
			t.Errorf("%s holds for a bad program: %s", pt.name, detail)
		}
	}
}

// A point names the contract's own words on it, where it has some.
func TestSource(t *testing.T) {
	d, err := dialect.Builtin("dogpay")
	if err != nil {
		t.Fatal(err)
	}
	if s := source(d, points[0]); !strings.HasPrefix(s, "DogPay: Keep the token") {
		t.Error(s)
	}
	if s := source(d, points[len(points)-1]); !strings.HasPrefix(s, "RFC") {
		t.Error(s)
	}
}

func TestReports(t *testing.T) {
	r := Report{Client: "a<b", Dialect: "oauth2", Environment: "live", StartedAt: began, Marks: 1, Of: 2,
		Points: []Point{{"one & two", true, "seen", "RFC"}, {"three", false, "2 < 3", "RFC"}}}
	b, err := r.JSON()
	var again Report
	if err != nil || json.Unmarshal(b, &again) != nil || again.Points[1] != r.Points[1] || r.Full() {
		t.Errorf("%s %v", b, err)
	}
	b, err = r.JUnit()
	var suite junitSuite
	if err != nil || xml.Unmarshal(b, &suite) != nil || suite.Failures != 1 || suite.Cases[0].Failure != nil || suite.Cases[1].Failure.Message != "2 < 3" {
		t.Errorf("%s %v", b, err)
	}
}
