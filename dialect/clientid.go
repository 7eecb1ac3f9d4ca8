package dialect

// WriteClientID returns a client's id as the dialect's requests carry it; the
// id itself where the dialect's codec can't write it.
func (d *Dialect) WriteClientID(id string) string {
	use := d.clientIDUse()
	if use == nil {
		return id
	}
	v := NewValues(1)
	v.SetText(ClientID, id)
	r, err := use.write(v)
	if err != nil || r.text == "" {
		return id
	}
	return r.text
}

// ReadClientID returns the client id behind what a request carries; ok is
// false where no client of the dialect can be named so.
func (d *Dialect) ReadClientID(wire string) (id string, ok bool) {
	use := d.clientIDUse()
	if use == nil {
		return wire, wire != ""
	}
	value, err := use.decode(raw{kind: rawText, text: wire}, reading{exact: true, untyped: true})
	id, ok = value.(string)
	return id, ok && err == nil
}

// clientIDUse is where the dialect's first request that has it carries the
// client id; nil where none does.
func (d *Dialect) clientIDUse() *holeUse {
	for _, o := range d.Operations {
		if o.request == nil {
			continue
		}
		for _, use := range o.request.uses() {
			if use.name == ClientID {
				return use
			}
		}
	}
	return nil
}
