package main

import (
	"bufio"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// The commands that the contract and attack scripts are told with:
//
//	curl ARGS…              runs the real curl and keeps its answer
//	answers STATUS [BODY]   the answer's status and its whole body, as a template
//	header NAME VALUE       one of its headers, exactly;  ! header NAME: none
//	reason WORD             what the log tells the owner of the refusal
//	prints BODY             the standard output of the last exec, as a template
//	jwt TOKEN HEADER CLAIMS what a token says, as two templates
//	forge HOW TOKEN HEADER CLAIMS   see forge
//
// Templates are those of matchJSON.
var answerCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"curl": runCurl, "answers": checkAnswer, "header": checkHeader, "reason": checkReason,
	"prints": checkPrinted, "jwt": checkJWT, "forge": forge,
}

const (
	answerHeaders = "answer.headers"
	answerBody    = "answer.body"
)

func runCurl(ts *testscript.TestScript, neg bool, args []string) {
	headers, body := ts.MkAbs(answerHeaders), ts.MkAbs(answerBody)
	for _, file := range []string{headers, body} {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			ts.Fatalf("%v", err)
		}
	}
	if slices.Contains(args, "--head") {
		body = os.DevNull // curl would write the headers there
	}
	err := ts.Exec("curl", append([]string{"--silent", "--show-error", "--max-time", "20", "--dump-header", headers, "--output", body}, args...)...)
	if failed := err != nil; failed != neg {
		ts.Fatalf("curl: %v", err)
	}
}

// answered reads what curl kept. After interim answers only the last counts.
func answered(ts *testscript.TestScript) (status int, header http.Header, body string) {
	raw := ts.ReadFile(answerHeaders)
	blocks := strings.Split(strings.TrimSpace(strings.ReplaceAll(raw, "\r\n", "\n")), "\n\n")
	lines := bufio.NewScanner(strings.NewReader(blocks[len(blocks)-1]))
	header = http.Header{}
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && status != 0 {
			header.Add(name, strings.TrimSpace(value))
		} else if fields := strings.Fields(lines.Text()); len(fields) > 1 {
			status, _ = strconv.Atoi(fields[1])
		}
	}
	if b, err := os.ReadFile(ts.MkAbs(answerBody)); err == nil { // curl writes none for an empty body
		body = string(b)
	}
	return status, header, body
}

func checkAnswer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: answers STATUS [BODY]")
	}
	status, _, body := answered(ts)
	if got := strconv.Itoa(status); got != args[0] {
		ts.Fatalf("answered %s, want %s: %s", got, args[0], body)
	}
	if len(args) == 1 {
		if body != "" {
			ts.Fatalf("answered with a body, want none: %s", body)
		}
		return
	}
	matchOrFail(ts, args[1], body)
}

func checkHeader(ts *testscript.TestScript, neg bool, args []string) {
	if neg != (len(args) == 1) || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: header NAME VALUE, or ! header NAME")
	}
	_, header, _ := answered(ts)
	got := header.Values(args[0])
	switch {
	case neg && len(got) > 0:
		ts.Fatalf("%s is %q, want none", args[0], got)
	case !neg && (len(got) != 1 || got[0] != args[1]):
		ts.Fatalf("%s is %q, want %q", args[0], got, args[1])
	}
}

func checkReason(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: reason WORD")
	}
	_, header, _ := answered(ts)
	id := header.Get("Gatehouse-Request-Id")
	if id == "" {
		ts.Fatalf("the answer has no request id")
	}
	line := serverOf(ts).waitFor(ts, regexp.MustCompile(`"request_id":"`+id+`"`))
	if !strings.Contains(line, `"reason":"`+args[0]+`"`) {
		ts.Fatalf("the log says %s", line)
	}
}

func checkPrinted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: prints BODY")
	}
	matchOrFail(ts, args[0], ts.ReadFile("stdout"))
}

func checkJWT(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: jwt TOKEN HEADER CLAIMS")
	}
	header, claims, _, err := splitJWT(args[0])
	ts.Check(err)
	matchOrFail(ts, args[1], string(header))
	matchOrFail(ts, args[2], string(claims))
}

// matchOrFail puts what the template's holes name into the environment.
func matchOrFail(ts *testscript.TestScript, template, document string) {
	named, err := matchJSON(template, document)
	if err != nil {
		ts.Fatalf("%v\nwant %s\ngot  %s", err, template, document)
	}
	for name, value := range named {
		ts.Setenv(name, value)
	}
}
