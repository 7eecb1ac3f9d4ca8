package gatehouse_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
)

func picture(t testing.TB, width int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, width, 8))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLogo(t *testing.T) {
	w := newWorld(t)
	p := w.app(t)
	shown := func() string {
		t.Helper()
		l, err := w.Logo(ctx, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			return ""
		}
		return l.Type
	}
	if shown() != "" {
		t.Error("a logo from nowhere")
	}
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		picture []byte
		kind    string
	}{{picture(t, 64), "image/png"}, {photo.Bytes(), "image/jpeg"}, {nil, ""}, {nil, ""}} {
		must(t)(nil, w.SetLogo(ctx, operator, p.ID, c.picture))
		if shown() != c.kind {
			t.Errorf("it is %q, want %q", shown(), c.kind)
		}
	}
	for _, bad := range [][]byte{
		[]byte("x"), []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), []byte("GIF89a"),
		picture(t, 1025), append(picture(t, 8), make([]byte, 33<<10)...),
	} {
		refused(t, w.SetLogo(ctx, operator, p.ID, bad), gatehouse.InvalidRequest, gatehouse.ReasonMalformed)
	}
	refused(t, w.SetLogo(ctx, operator, "nobody", picture(t, 8)), gatehouse.NotFound, gatehouse.ReasonUnknownClient)
}
