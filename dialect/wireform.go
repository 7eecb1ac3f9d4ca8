package dialect

// WireForm returns a text hole's value as it goes on the wire, by the codec of
// the first request or answer that has the hole: a client id in base64, say,
// where the API wants it so. Without such a message, or for a value that the
// codec can't write, it returns the value as it is.
func (d *Dialect) WireForm(h Hole, value string) string {
	if use := d.textUse(h); use != nil {
		if text, err := use.codec.encode(value); err == nil {
			return text
		}
	}
	return value
}

// FromWire undoes WireForm. ok is false when text is not a wire form.
func (d *Dialect) FromWire(h Hole, text string) (value string, ok bool) {
	use := d.textUse(h)
	if use == nil {
		return text, true
	}
	decoded, err := use.decode(raw{kind: rawText, text: text}, reading{exact: true, untyped: true})
	value, isText := decoded.(string)
	return value, err == nil && isText
}

func (d *Dialect) textUse(h Hole) *holeUse {
	for _, o := range d.Operations {
		for _, m := range []*message{o.request, o.response} {
			if m == nil {
				continue
			}
			for _, use := range m.uses() {
				if use.name == h && use.kind == kindText {
					return use
				}
			}
		}
	}
	return nil
}
