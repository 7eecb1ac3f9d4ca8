// Package intake reads the files with which clients and tokens of another
// system move in: CSV with a line of column names, or JSON, as a list or as one
// object after the other. A line that can't be read is a *LineError and doesn't
// keep the lines after it from being read.
package intake

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A LineError says what is wrong with one item, and what to write instead.
type LineError struct {
	Line    int    `json:"line"`            // where the item begins, from 1
	Field   string `json:"field,omitempty"` // the column or member, where it is one
	Message string `json:"message"`
}

func (e *LineError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.Message)
}

// advice is an error about a value, which it doesn't show: it may be a token.
type advice string

func (a advice) Error() string { return string(a) }

// maxItem bounds what one item of JSON may hold.
const maxItem = 256 << 10

// items reads r in either form. column puts a cell of a CSV line into an item.
func items[T any](r io.Reader, columns *columns[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		in := bufio.NewReaderSize(r, 64<<10)
		first, err := beginning(in)
		switch {
		case errors.Is(err, io.EOF):
			var none T
			yield(none, errors.New("the file is empty: it holds neither CSV nor JSON"))
		case err != nil:
			var none T
			yield(none, err)
		case first == '[' || first == '{':
			readJSON(in, columns, yield)
		default:
			readCSV(in, columns, yield)
		}
	}
}

// beginning looks at the first character that says something, past a byte
// order mark.
func beginning(in *bufio.Reader) (byte, error) {
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	}
	for n := 1; ; n++ {
		b, err := in.Peek(n)
		if err != nil {
			return 0, err
		}
		if c := b[n-1]; !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, nil
		}
	}
}

// columns say how a line of CSV becomes an item.
type columns[T any] struct {
	known  []string                               // names, for messages; "field.*" stands for any that begin so
	needed [][]string                             // of each of these one must be there
	put    func(to *T, column, cell string) error // errors say what to write instead
	at     func(to *T, line int)
}

func readCSV[T any](in io.Reader, cols *columns[T], yield func(T, error) bool) {
	var none T
	rows := csv.NewReader(in)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		yield(none, fmt.Errorf("the first line must name the columns: %w", err))
		return
	}
	names := slices.Clone(header)
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	if err := cols.check(names); err != nil {
		yield(none, err)
		return
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if errors.Is(err, csv.ErrFieldCount) {
			line, _ := rows.FieldPos(0)
			if !yield(none, &LineError{Line: line, Message: fmt.Sprintf("it has %d cells for %d columns: put a cell with commas into quotes", len(row), len(names))}) {
				return
			}
			continue
		}
		if err != nil {
			yield(none, fmt.Errorf("not CSV (RFC 4180) from here on: %w", err))
			return
		}
		line, _ := rows.FieldPos(0)
		item, err := cols.item(names, row, line)
		if !yield(item, err) {
			return
		}
	}
}

func (c *columns[T]) check(names []string) error {
	for i, name := range names {
		known := slices.ContainsFunc(c.known, func(k string) bool {
			prefix, any := strings.CutSuffix(k, "*")
			return k == name || any && len(name) > len(prefix) && strings.HasPrefix(name, prefix)
		})
		if !known {
			return &LineError{Line: 1, Field: name, Message: "there is no such column: the columns are " + strings.Join(c.known, ", ")}
		}
		if slices.Contains(names[:i], name) {
			return &LineError{Line: 1, Field: name, Message: "this column is there twice"}
		}
	}
	for _, one := range c.needed {
		if !slices.ContainsFunc(one, func(name string) bool { return slices.Contains(names, name) }) {
			return &LineError{Line: 1, Message: "a column is missing: " + strings.Join(one, " or ")}
		}
	}
	return nil
}

func (c *columns[T]) item(names, row []string, line int) (item T, err error) {
	c.at(&item, line)
	for i, cell := range row {
		if err := c.put(&item, names[i], strings.TrimSpace(cell)); err != nil {
			return item, &LineError{Line: line, Field: names[i], Message: err.Error()}
		}
	}
	return item, nil
}

func readJSON[T any](in io.Reader, cols *columns[T], yield func(T, error) bool) {
	var none T
	lines := &lineCounter{r: in}
	dec := jsontext.NewDecoder(lines)
	list := dec.PeekKind() == '['
	if list {
		_, _ = dec.ReadToken()
	}
	for {
		switch kind := dec.PeekKind(); {
		case list && kind == ']':
			_, _ = dec.ReadToken()
			if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
				yield(none, fmt.Errorf("line %d: something follows the list", lines.at(dec.InputOffset())))
			}
			return
		case kind == 0:
			if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) || list {
				yield(none, fmt.Errorf("line %d: not JSON from here on: %w", lines.at(dec.InputOffset()), err))
			}
			return
		}
		value, err := dec.ReadValue()
		if err != nil {
			yield(none, fmt.Errorf("line %d: not JSON from here on: %w", lines.at(dec.InputOffset()), err))
			return
		}
		line := lines.at(dec.InputOffset() - int64(len(value)))
		var item T
		switch {
		case len(value) > maxItem:
			err = &LineError{Line: line, Message: fmt.Sprintf("it is longer than %d KiB", maxItem>>10)}
		default:
			if wrong := json.Unmarshal(value, &item, json.RejectUnknownMembers(true)); wrong != nil {
				err = &LineError{Line: line, Message: plain(wrong)}
			}
		}
		cols.at(&item, line)
		if !yield(item, err) {
			return
		}
	}
}

// plain says what is wrong with an object, without Go's types and without the
// values, which may be tokens.
func plain(err error) string {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return "not an object with the members of an import"
	}
	name := semantic.JSONPointer.LastToken()
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return fmt.Sprintf("there is no member called %q", name)
	case name == "":
		return "an object is wanted"
	}
	if told := advice(""); errors.As(err, &told) {
		return fmt.Sprintf("%s: %s", name, told)
	}
	return fmt.Sprintf("%s has another type than is wanted", name)
}

// A lineCounter knows on which line an offset of what was read through it is.
// Offsets must be asked for in rising order.
type lineCounter struct {
	r      io.Reader
	ends   []int64 // offsets of line ends not passed yet
	read   int64
	passed int
}

func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			c.ends = append(c.ends, c.read+int64(i))
		}
	}
	c.read += int64(n)
	return n, err
}

func (c *lineCounter) at(offset int64) int {
	n := 0
	for n < len(c.ends) && c.ends[n] < offset {
		n++
	}
	c.passed += n
	c.ends = slices.Delete(c.ends, 0, n)
	return c.passed + 1
}
