package rehearse

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/strictyaml"
)

// A Plan says whose program is rehearsed, and with what.
type Plan struct {
	Client      string `yaml:"client"`      // the demo client's name
	Environment string `yaml:"environment"` // sandbox or live; empty is live
	// Life is the tokens' life; 0 is 6 s. Short lives make short rehearsals.
	Life Span `yaml:"life"`
	// SecretFile is where the program reads its secret. It is needed for the
	// act secret, which puts a new one there.
	SecretFile string   `yaml:"secret_file"`
	Acts       []Act    `yaml:"acts"`    // none is all, each in its usual time
	Reports    []string `yaml:"reports"` // files: .json, or .xml for JUnit
}

// An Act is one way to behave, for a while.
type Act struct {
	Name ActName `yaml:"act"`
	For  Span    `yaml:"for"` // 0 is the usual time
}

// ActName names what the server does in an act.
type ActName string

// The acts, in their usual order.
const (
	Normal       ActName = "normal"       // what the contract says
	Expired      ActName = "expired"      // every token given so far ends at once
	Unauthorized ActName = "unauthorized" // one call is answered 401, though its token is good
	Slow         ActName = "slow"         // the token endpoint takes half a token's life to answer
	Unavailable  ActName = "unavailable"  // the token endpoint answers 503 with Retry-After
	Clock        ActName = "clock"        // the token endpoint's clock is ten minutes behind, as its answers tell
	Key          ActName = "key"          // the signing key is rotated
	Secret       ActName = "secret"       // the client's secret is replaced, and what the old one obtained ends
)

var actNames = []ActName{Normal, Expired, Unauthorized, Slow, Unavailable, Clock, Key, Secret}

// needsRenewal are the acts that say nothing about tokens that never end.
var needsRenewal = []ActName{Expired, Unauthorized, Slow, Unavailable, Clock, Secret}

// usual is how long an act lasts where the plan doesn't say.
func (a ActName) usual(life time.Duration) time.Duration {
	switch a {
	case Normal:
		return 5 * life / 2
	case Slow, Unavailable:
		return 2 * life
	case Secret:
		return max(2*life, 8*time.Second)
	}
	return max(life, 4*time.Second)
}

// Span is a duration as plans write it: 6s, 2m.
type Span time.Duration

// UnmarshalYAML is for the YAML reader.
func (s *Span) UnmarshalYAML(b []byte) error {
	d, err := time.ParseDuration(strings.Trim(strings.TrimSpace(string(b)), `"'`))
	if err != nil || d < time.Second || d > time.Hour {
		return errors.New("a time is written like 6s or 2m, from 1s to 1h")
	}
	*s = Span(d)
	return nil
}

const maxPlan = 64 << 10

// ReadPlan reads a plan's file.
func ReadPlan(path string) (Plan, error) {
	f, err := os.Open(path)
	if err != nil {
		return Plan{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPlan+1))
	if err == nil && len(b) > maxPlan {
		err = fmt.Errorf("it is larger than %d KiB", maxPlan>>10)
	}
	var p Plan
	if err == nil {
		p, err = parsePlan(b)
	}
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func parsePlan(b []byte) (p Plan, err error) {
	// An alias could make a small file large.
	if err := strictyaml.Decode(b, &p); err != nil {
		return p, err
	}
	return p, p.check()
}

func (p *Plan) check() error {
	if p.Environment == "" {
		p.Environment = "live"
	}
	if p.Life == 0 {
		p.Life = Span(6 * time.Second)
	}
	switch {
	case p.Client == "":
		return errors.New("client: name the demo client whose program is rehearsed, as dev lists it")
	case p.Environment != "sandbox" && p.Environment != "live":
		return errors.New("environment: it is sandbox or live")
	case len(p.Acts) > 100:
		return errors.New("acts: a hundred are enough")
	}
	if len(p.Acts) == 0 {
		for _, name := range actNames {
			if name != Secret || p.SecretFile != "" {
				p.Acts = append(p.Acts, Act{Name: name})
			}
		}
	}
	for i := range p.Acts {
		a := &p.Acts[i]
		if !slices.Contains(actNames, a.Name) {
			return fmt.Errorf("acts: there is no act %q: they are %v", a.Name, actNames)
		}
		if a.Name == Secret && p.SecretFile == "" {
			return errors.New("acts: secret needs secret_file, where the program finds its secret")
		}
		if a.For == 0 {
			a.For = Span(a.Name.usual(time.Duration(p.Life)))
		}
	}
	for _, path := range p.Reports {
		if !strings.HasSuffix(path, ".json") && !strings.HasSuffix(path, ".xml") {
			return fmt.Errorf("reports: %s: a report's name ends in .json or .xml", path)
		}
	}
	return nil
}
