package gatehouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // a form that a logo may have
	_ "image/png"  // likewise
)

const kindLogo = "logo"

// Bounds of a logo: with it a page of end users stays below 60 KB.
const (
	maxLogo      = 32 << 10 // bytes
	maxLogoWidth = 1024     // pixels, and height
)

// A Logo is a picture that end users know a client by.
type Logo struct {
	Image []byte
	Type  string // image/png or image/jpeg
}

// SetLogo gives a client a logo, a PNG or JPEG; an empty one removes it.
func (e *Engine) SetLogo(ctx context.Context, by Actor, id ClientID, picture []byte) error {
	client, ok := e.Client(id)
	if !ok {
		return noClient(id)
	}
	act := e.act(by, "client.logo", string(client.ID), "bytes", fmt.Sprint(len(picture)))
	if len(picture) == 0 {
		_, err := e.store.Take(ctx, &act, kindLogo, string(client.ID))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("removing a logo: %w", err)
		}
		return nil
	}
	if _, err := typeOfLogo(picture); err != nil {
		return wrongField("logo", err.Error())
	}
	doc := Document{Kind: kindLogo, Key: string(client.ID), Owner: string(client.ID), Value: picture}
	old, err := e.store.Document(ctx, kindLogo, doc.Key)
	switch {
	case err == nil:
		doc.Version = old.Version
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("reading a logo: %w", err)
	}
	if err := e.store.Keep(ctx, &act, doc); errors.Is(err, ErrConflict) || errors.Is(err, ErrExists) {
		return &Error{Code: Conflict, Reason: ReasonExists, Field: "logo", Message: "somebody else has just changed this logo: look at it, and set it again if yours is the one", Err: err}
	} else if err != nil {
		return fmt.Errorf("keeping a logo: %w", err)
	}
	return nil
}

// Logo returns a client's logo, or nil where it has none.
func (e *Engine) Logo(ctx context.Context, id ClientID) (*Logo, error) {
	client, ok := e.Client(id)
	if !ok {
		return nil, nil
	}
	doc, err := e.store.Document(ctx, kindLogo, string(client.ID))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading a logo: %w", err)
	}
	kind, err := typeOfLogo(doc.Value)
	if err != nil {
		return nil, fmt.Errorf("the logo of client %s: %w", client.ID, err)
	}
	return &Logo{Image: doc.Value, Type: kind}, nil
}

// typeOfLogo is what a picture says that it is, which is all that browsers are
// told. Pictures that can hold a script are none of them.
func typeOfLogo(picture []byte) (string, error) {
	if len(picture) > maxLogo {
		return "", fmt.Errorf("a logo has at most %d KiB", maxLogo>>10)
	}
	about, form, err := image.DecodeConfig(bytes.NewReader(picture))
	if err != nil {
		return "", errors.New("a logo is a PNG or JPEG picture")
	}
	if about.Width > maxLogoWidth || about.Height > maxLogoWidth {
		return "", fmt.Errorf("a logo is at most %d pixels wide and high", maxLogoWidth)
	}
	return "image/" + form, nil
}
