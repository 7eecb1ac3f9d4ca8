package rehearse

import (
	"encoding/xml"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

const bearerOAuth2 = bearer.OAuth2

// A Report says how a program did.
type Report struct {
	Client      string    `json:"client"`
	Dialect     string    `json:"dialect"`
	Environment string    `json:"environment"`
	StartedAt   time.Time `json:"started_at"`
	Seconds     int64     `json:"seconds"`
	Marks       int       `json:"marks"`
	Of          int       `json:"of"`
	Points      []Point   `json:"points"`
}

// Point is one habit.
type Point struct {
	Name   string `json:"name"`
	Held   bool   `json:"held"`
	Detail string `json:"detail"`
	Source string `json:"source"` // where the contract, or a standard, asks for it
}

// Full reports whether every point held.
func (r *Report) Full() bool { return r.Marks == r.Of }

// Write puts the report into a file: JUnit's XML where its name ends in .xml,
// else JSON.
func (r *Report) Write(path string) error {
	encode := r.JSON
	if strings.HasSuffix(path, ".xml") {
		encode = r.JUnit
	}
	b, err := encode()
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// JSON is the report as a JSON document.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.Marshal(r, jsontext.WithIndent("  "))
	return append(b, '\n'), err
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Time     int64       `xml:"time,attr"`
	Stamp    string      `xml:"timestamp,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure"`
	Out     string        `xml:"system-out"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit is the report as the XML that CI systems read.
func (r *Report) JUnit() ([]byte, error) {
	suite := junitSuite{
		Name: "rehearsal of " + r.Client, Tests: r.Of, Failures: r.Of - r.Marks, Time: r.Seconds, Stamp: r.StartedAt.Format("2006-01-02T15:04:05"),
	}
	for _, p := range r.Points {
		c := junitCase{Class: r.Dialect + "." + r.Environment, Name: p.Name, Out: p.Detail}
		if !p.Held {
			c.Failure = &junitFailure{p.Detail, p.Source}
		}
		suite.Cases = append(suite.Cases, c)
	}
	b, err := xml.MarshalIndent(suite, "", "  ")
	return append([]byte(xml.Header), append(b, '\n')...), err
}
