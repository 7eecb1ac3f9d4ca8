package dialect

// ReadCall reads an ordinary call of the API: what the use operation names of
// it. The rest is the API's own and is left alone, control characters and all,
// but for two things in a JSON body that the API behind could read otherwise
// than it was read here: a name that stands twice, at any depth, and one that
// differs from a name of the operation in letter case only. The error is an
// *[Invalid].
func (d *Dialect) ReadCall(r *Request) (Values, error) {
	return d.Operation(Use).ReadRequest(r)
}

// ReadsBody reports whether something of the request travels in its body.
func (o *Operation) ReadsBody() bool {
	return o.request != nil && (o.request.json != nil || o.request.hasForm)
}

// AsksOnly reports whether the request must hold the hole and nothing else.
func (o *Operation) AsksOnly(h Hole) bool {
	if o.request == nil {
		return false
	}
	for i := range o.request.slots {
		s := &o.request.slots[i]
		if s.isLiteral() {
			return false
		}
		for _, use := range s.holes() {
			if use.name != h && !use.optional && !use.hasDefault {
				return false
			}
		}
	}
	return true
}
