package dialect

import "strings"

// parsePattern compiles the text of a value. Problems come back as a message
// and a hint; the caller knows the place.
func parsePattern(text string, where context) (p pattern, message, hint string) {
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			p.parts = append(p.parts, part{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); {
		switch {
		case strings.HasPrefix(text[i:], "{{"), strings.HasPrefix(text[i:], "}}"):
			literal.WriteByte(text[i])
			i += 2
		case text[i] == '}':
			return p, "there is a } without its {", `write "}}" for the character itself`
		case text[i] == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return p, "there is a { without its }", `write "{{" for the character itself`
			}
			flush()
			use, message, hint := parseHole(text[i+1:i+end], where)
			if message != "" {
				return p, message, hint
			}
			if n := len(p.parts); n > 0 && p.parts[n-1].hole != nil {
				return p, "two holes stand side by side and can't be told apart when read", "put a literal between them"
			}
			p.parts = append(p.parts, part{hole: use})
			i += end + 1
		default:
			literal.WriteByte(text[i])
			i++
		}
	}
	flush()
	if p.first() == nil {
		whole := ""
		if len(p.parts) > 0 {
			whole = p.parts[0].literal
		}
		return pattern{literal: raw{kind: rawText, text: whole}}, "", ""
	}
	if len(p.parts) > 1 {
		return p, compositeProblem(&p), "give the hole a value of its own, or make all of them optional"
	}
	return p, "", ""
}

// compositeProblem checks what only a string of several parts can get wrong.
func compositeProblem(p *pattern) string {
	optional := 0
	for _, use := range p.holes() {
		if use.codec.wire == wireArray {
			return "a JSON array can't be part of a string"
		}
		if use.hasDefault || use.name == Anything {
			return "a hole that is read as anything can't be part of a string"
		}
		if use.optional {
			optional++
		}
	}
	if optional != 0 && optional != len(p.holes()) {
		return "some holes of this string are optional and some are not"
	}
	return ""
}

// parseHole reads NAME, NAME?, NAME|CODEC, NAME|CODEC? and NAME[|CODEC]=DEFAULT.
func parseHole(spec string, where context) (use *holeUse, message, hint string) {
	use = &holeUse{}
	spec, use.fallback, use.hasDefault = strings.Cut(spec, "=")
	if !use.hasDefault {
		spec, use.optional = strings.CutSuffix(spec, "?")
	}
	name, codecName, hasCodec := strings.Cut(spec, "|")
	info, ok := lookupHole(name)
	if !ok {
		return nil, "there is no hole {" + strings.Trim(quote(name), `"`) + "}", suggest(name, holeNames())
	}
	use.holeInfo = info
	use.blank = where != inRequest && (strings.HasPrefix(name, ownerFamily) || strings.HasPrefix(name, extraFamily))
	if info.contexts&where == 0 {
		return nil, "{" + name + "} can't stand in " + where.String(), "it is for " + contextList(info.contexts)
	}
	if info.name == Anything && !use.hasDefault && !use.optional {
		return nil, "{m} needs what to write", `write "{m=success}", or "{m?}" for a value that is not looked at`
	}
	if info.kind == kindScalar {
		if hasCodec {
			return nil, "{" + name + "} takes its JSON type from the error row and has no codec", "leave the codec out"
		}
		use.codec = literalCodec
		return use, "", ""
	}
	if !hasCodec {
		if codecName, ok = defaultCodec[info.kind]; !ok {
			return nil, "{" + name + "} doesn't say how it is written", "name a codec, such as {" + name + "|" + codecNames(info.kind)[0] + "}"
		}
	}
	use.codec = lookupCodec(codecName)
	switch {
	case use.codec == nil:
		return nil, "there is no codec " + quote(codecName), suggest(codecName, codecNames(info.kind))
	case use.codec.kinds&info.kind == 0:
		return nil, "the codec " + codecName + " doesn't fit {" + name + "}, which is " + info.kind.String(),
			"it takes " + strings.Join(codecNames(info.kind), ", ")
	case use.hasDefault && use.codec.wire != wireArray && info.name != Anything:
		if value, err := use.codec.decode(use.fallback); err != nil || value == nil || use.fallback == "" {
			return nil, "the default of {" + name + "} can't be read back", "write one that the codec " + codecName + " reads"
		}
	case use.hasDefault && use.codec.wire == wireArray:
		return nil, "a JSON array has no default", "leave the default out"
	}
	return use, "", ""
}

func contextList(c context) string {
	var names []string
	for _, one := range []context{inRequest, inAnswer, inToken, inError, inKeyID} {
		if c&one != 0 {
			names = append(names, one.String())
		}
	}
	return strings.Join(names, ", ")
}
