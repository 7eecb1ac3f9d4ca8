package dialect

import (
	"bytes"
	"net/http"
	"testing"
)

// FuzzLoad: a file loads or is refused with places inside it, and what loads
// can write and read its own examples.
func FuzzLoad(f *testing.F) {
	for _, d := range shipped(f) {
		f.Add(d.Source)
	}
	f.Add([]byte(good))
	f.Add([]byte(wide))
	for _, tc := range badFiles {
		f.Add(bytes.Replace([]byte(good), []byte(tc.old), []byte(tc.new), 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Load("fuzz.yaml", data)
		if err != nil {
			if d != nil {
				t.Fatal("a dialect beside an error")
			}
			for _, one := range err.(interface{ Unwrap() []error }).Unwrap() {
				at := one.(*Error)
				if lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + 1; at.Line < 1 || at.Line > lines || at.Column < 1 || at.Message == "" {
					t.Fatalf("%+v in %d lines", at, lines)
				}
			}
			return
		}
		for _, o := range d.Operations {
			if o.request != nil {
				if r, err := o.WriteRequest("", d.exampleValues(o.request)); err == nil {
					if _, err := o.ReadRequest(r); err != nil && o.request.path != nil {
						t.Fatalf("%s doesn't read its own request: %v\n%s", o.Name, err, r.Body)
					}
				}
			}
			if o.response != nil {
				if r, err := o.WriteResponse(d.exampleValues(o.response)); err == nil {
					if _, err := o.ReadResponse(r); err != nil {
						t.Fatalf("%s doesn't read its own answer: %v\n%s", o.Name, err, r.Body)
					}
				}
			}
		}
		for _, code := range Codes() {
			d.ReadError(d.WriteError(code, Values{}))
		}
	})
}

// FuzzReadRequest: whatever is read can be written, and then reads the same.
func FuzzReadRequest(f *testing.F) {
	all := shipped(f)
	all = append(all, wideDialect(f))
	for which, d := range all {
		for _, o := range d.Operations {
			if o.request == nil || o.request.path == nil {
				continue
			}
			r, err := o.WriteRequest("", d.exampleValues(o.request))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(which), r.Method, r.Path, r.RawQuery, "X-Id", "a", r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.Body)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, method, path, query, header, value, authorization, contentType string, body []byte) {
		d := all[int(which)%len(all)]
		h := http.Header{}
		h.Set(header, value)
		if authorization != "" {
			h.Set("Authorization", authorization)
		}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		o, v, err := d.ReadRequest(&Request{Method: method, Path: path, RawQuery: query, Header: h, Body: body})
		if err != nil {
			if len(v.Holes()) > 0 {
				t.Fatal("values beside an error")
			}
			if r := d.WriteError(err.(*Invalid).Code, Values{}); r.Status < 400 {
				t.Fatalf("%v is answered %d", err, r.Status)
			}
			return
		}
		r, err := o.WriteRequest("", v)
		if err != nil {
			// A body can carry what a header can't, but it must be said.
			return
		}
		again, err := o.ReadRequest(r)
		if err != nil {
			t.Fatalf("%v\n%+v", err, r)
		}
		if diff := equalValues(o.request, v, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzReadAnswer covers ReadResponse and ReadError: an answer is read or
// refused, and what is read reads the same after it was written.
func FuzzReadAnswer(f *testing.F) {
	all := shipped(f)
	for which, d := range all {
		for at, o := range d.Operations {
			if o.response == nil {
				continue
			}
			r, err := o.WriteResponse(d.exampleValues(o.response))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(which), byte(at), r.Status, "Retry-After", "5", r.Body)
		}
		for _, code := range Codes() {
			r := d.WriteError(code, Values{})
			f.Add(byte(which), byte(0), r.Status, "Retry-After", "Wed, 02 Jan 2030 15:04:05 GMT", r.Body)
		}
	}
	f.Fuzz(func(t *testing.T, which, at byte, status int, header, value string, body []byte) {
		d := all[int(which)%len(all)]
		o := d.Operations[int(at)%len(d.Operations)]
		h := http.Header{}
		h.Set(header, value)
		answer := &Response{Status: status, Header: h, Body: body}
		if refusal, _ := d.ReadError(answer); refusal == nil || codeByName[refusal.Code] == nil || refusal.RetryAfter < 0 {
			t.Fatalf("%+v", refusal)
		}
		v, err := o.ReadResponse(answer)
		if err != nil {
			if _, ok := err.(*Refusal); !ok || len(v.Holes()) > 0 {
				t.Fatalf("%T beside %v", err, v)
			}
			return
		}
		if o.response == nil {
			t.Fatal("an answer without a message is read")
		}
		r, err := o.WriteResponse(v)
		if err != nil {
			return
		}
		again, err := o.ReadResponse(r)
		if err != nil {
			t.Fatalf("%v\n%s", err, r.Body)
		}
		twice, err := o.WriteResponse(again)
		if err != nil || !bytes.Equal(r.Body, twice.Body) {
			t.Fatalf("%v\n%s\n%s", err, r.Body, twice.Body)
		}
	})
}

// FuzzCodec: decode, encode, decode gives what the first decode gave, to the
// codec's precision; and encode after decode is stable.
func FuzzCodec(f *testing.F) {
	for i, text := range []string{"a", "YQ==", "YQ", "3f0e7c52-9b1d-4c8a-a6f4-0d2b5e8c7a19", "60", "1e2", "-1", "2030-01-02T15:04:05Z", "2030-01-02T15:04Z", "true", "a b", "a,b"} {
		for c := range codecs {
			f.Add(byte(c), text, i%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, text string, exact bool) {
		c := codecs[int(which)%len(codecs)]
		for i := range holes {
			info := &holes[i]
			if info.kind&c.kinds == 0 || info.name == Anything || c.decode == nil {
				continue
			}
			use := &holeUse{holeInfo: info, codec: c}
			how := reading{exact: exact, untyped: true}
			var v, w Values
			if use.read(raw{kind: rawText, text: text}, &v, how) != nil {
				continue
			}
			r, err := use.write(v)
			if err != nil {
				t.Fatalf("%s reads %q and can't write it: %v", c.name, text, err)
			}
			if err := use.read(raw{kind: rawText, text: r.text}, &w, how); err != nil && !(info.kind == kindDuration && exact) {
				t.Fatalf("%s wrote %q for %q: %v", c.name, r.text, text, err)
			}
			again, err := use.write(w)
			if err == nil && again.text != r.text {
				t.Fatalf("%s: %q, %q, %q", c.name, text, r.text, again.text)
			}
			if c.wire == wireText && info.kind&(kindText|kindSecret|kindList) != 0 {
				if diff := differ(v.get(info.name), w.get(info.name)); diff != "" {
					t.Fatal(diff)
				}
			}
		}
	})
}

// FuzzTemplate: a JWT's members read, or not; what is read writes back.
func FuzzTemplate(f *testing.F) {
	var templates []*Template
	for _, d := range shipped(f) {
		for _, template := range []*Template{d.Token.Header, d.Token.Claims} {
			if template == nil {
				continue
			}
			members, err := template.Write(d.exampleValues(template.message))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(len(templates)), marshal(f, members))
			templates = append(templates, template)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		template := templates[int(which)%len(templates)]
		v, err := template.Read(data)
		if err != nil {
			return
		}
		members, err := template.Write(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := template.Read(marshal(t, members))
		if err != nil {
			t.Fatal(err)
		}
		if diff := equalValues(template.message, v, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
