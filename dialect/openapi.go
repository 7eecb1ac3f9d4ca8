package dialect

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// object is a JSON object of the description.
type object = map[string]any

// OpenAPI describes the API as OpenAPI 3.1 in JSON, made from the file alone.
// serverURL is where it is served; empty leaves the file's own hosts. The
// result is the same for the same arguments.
func (d *Dialect) OpenAPI(serverURL string) ([]byte, error) {
	paths := object{}
	schemas := object{}
	for _, o := range d.Operations {
		switch {
		case o.Name == Connect:
			schemas["ConnectAnswer"] = d.schema(o.response, o.response.json)
		case o.Path() != "":
			if err := d.describe(paths, o); err != nil {
				return nil, err
			}
		}
	}
	info := object{"title": d.Title, "version": "1"}
	if d.Summary != "" {
		info["summary"] = d.Summary
	}
	if len(d.Notes) > 0 {
		info["description"] = "- " + strings.Join(d.Notes, "\n- ")
	}
	document := object{
		"openapi":    "3.1.0",
		"info":       info,
		"paths":      paths,
		"components": object{"securitySchemes": object{"token": d.securityScheme()}},
	}
	if len(schemas) > 0 {
		document["components"].(object)["schemas"] = schemas
	}
	var servers []any
	if serverURL != "" {
		servers = append(servers, object{"url": serverURL})
	} else {
		for _, e := range environments {
			if host := d.Hosts[e]; host != "" {
				servers = append(servers, object{"url": host, "description": e})
			}
		}
	}
	if servers != nil {
		document["servers"] = servers
	}
	return json.Marshal(document, json.Deterministic(true), jsontext.WithIndent("  "))
}

// securityScheme tells how ordinary calls carry the token.
func (d *Dialect) securityScheme() object {
	for _, s := range d.Operation(Use).request.slots {
		use := s.first()
		if use == nil || use.name != AccessToken {
			continue
		}
		switch {
		case s.place == inHeader && s.name == "Authorization":
			return object{"type": "http", "scheme": "bearer"}
		case s.place == inHeader:
			return object{"type": "apiKey", "in": "header", "name": s.label}
		case s.place == inQuery:
			return object{"type": "apiKey", "in": "query", "name": s.label}
		}
	}
	return object{"type": "http", "scheme": "bearer", "description": "The token travels in the body."}
}

func (d *Dialect) describe(paths object, o *Operation) error {
	path := o.request.path.openAPI(o.request)
	item, _ := paths[path].(object)
	if item == nil {
		item = object{}
		paths[path] = item
	}
	method := strings.ToLower(o.Method())
	responses, err := d.responses(o)
	if err != nil {
		return err
	}
	if existing, ok := item[method].(object); ok {
		// Operations that share a route are told apart by a literal.
		existing["operationId"] = fmt.Sprint(existing["operationId"], "-", o.Name)
		mergeContent(existing["requestBody"], d.requestBody(o))
		for status, r := range responses {
			all := existing["responses"].(object)
			if old, ok := all[status]; ok {
				mergeContent(old, r)
			} else {
				all[status] = r
			}
		}
		return nil
	}
	operation := object{"operationId": string(o.Name), "responses": responses, "security": []any{}}
	if o.About != "" {
		operation["summary"] = o.About
	}
	if parameters := d.parameters(o.request); parameters != nil {
		operation["parameters"] = parameters
	}
	if body := d.requestBody(o); body != nil {
		operation["requestBody"] = body
	}
	if o.request.hasBasic {
		operation["description"] = "The client's id and secret travel as HTTP Basic credentials."
	}
	item[method] = operation
	return nil
}

// mergeContent makes the schemas of two bodies alternatives of each other.
func mergeContent(a, b any) {
	into, ok := a.(object)
	from, ok2 := b.(object)
	if !ok || !ok2 {
		return
	}
	contentA, _ := into["content"].(object)
	contentB, _ := from["content"].(object)
	for mediaType, mb := range contentB {
		ma, ok := contentA[mediaType].(object)
		if !ok {
			continue
		}
		schema := ma["schema"].(object)
		alternatives, ok := schema["anyOf"].([]any)
		if !ok {
			alternatives = []any{schema}
		}
		ma["schema"] = object{"anyOf": append(alternatives, mb.(object)["schema"])}
		delete(ma, "example")
	}
}

func (t *pathTemplate) openAPI(m *message) string {
	var b strings.Builder
	for _, s := range t.segments {
		b.WriteByte('/')
		if s.slot < 0 {
			b.WriteString(s.literal)
		} else {
			b.WriteString(m.slots[s.slot].source())
		}
	}
	return b.String()
}

func (d *Dialect) parameters(m *message) []any {
	var out []any
	for i := range m.slots {
		s := &m.slots[i]
		in := map[place]string{inPath: "path", inQuery: "query", inHeader: "header"}[s.place]
		if in == "" {
			continue
		}
		if s.place == inPath {
			for _, use := range s.holes() {
				out = append(out, object{"name": string(use.name), "in": in, "required": true, "description": d.meaning(use), "schema": object{"type": "string"}})
			}
			continue
		}
		parameter := object{"name": s.label, "in": in, "required": s.required() && s.alternative == always, "schema": d.slotSchema(s)}
		if s.alternative != always {
			parameter["description"] = "One of several places for the same value."
		}
		out = append(out, parameter)
	}
	return out
}

func (d *Dialect) requestBody(o *Operation) object {
	m := o.request
	if m.json == nil && !m.hasForm {
		return nil
	}
	mediaType, schema := "application/json", object{}
	if m.json != nil {
		schema = d.schema(m, m.json)
	} else {
		mediaType = "application/x-www-form-urlencoded"
		properties, required := object{}, []any{}
		for i := range m.slots {
			if s := &m.slots[i]; s.place == inForm {
				properties[s.label] = d.slotSchema(s)
				if s.required() && s.alternative == always {
					required = append(required, s.label)
				}
			}
		}
		schema = object{"type": "object", "properties": properties, "required": required}
	}
	content := object{"schema": schema}
	if m.json != nil {
		if r, err := o.WriteRequest("", d.exampleValues(m)); err == nil {
			content["example"] = jsontext.Value(r.Body)
		}
	}
	return object{"required": m.alternatives == 0, "content": object{mediaType: content}}
}

func (d *Dialect) responses(o *Operation) (object, error) {
	out := object{}
	m := o.response
	r, err := o.WriteResponse(d.exampleValues(m))
	if err != nil {
		return nil, err
	}
	success := object{"description": "Done."}
	headers := object{}
	for i := range m.slots {
		if s := &m.slots[i]; s.place == inHeader {
			headers[s.label] = object{"schema": d.slotSchema(s)}
		}
	}
	if len(headers) > 0 {
		success["headers"] = headers
	}
	if m.json != nil {
		success["content"] = object{"application/json": object{"schema": d.schema(m, m.json), "example": jsontext.Value(r.Body)}}
	}
	out[strconv.Itoa(r.Status)] = success
	p := &page{dialect: d}
	for _, code := range Codes() {
		r := d.WriteError(code, p.errorValues())
		status := strconv.Itoa(r.Status)
		if out[status] == nil {
			answer := object{"description": http.StatusText(r.Status)}
			if r.Body != nil {
				answer["content"] = object{"application/json": object{"schema": object{"type": "object"}, "examples": object{}}}
			}
			out[status] = answer
		}
		content, _ := out[status].(object)["content"].(object)
		media, _ := content["application/json"].(object)
		if examples, ok := media["examples"].(object); ok {
			examples[string(code)] = object{"value": jsontext.Value(r.Body)}
		}
	}
	return out, nil
}

// schema describes a JSON body.
func (d *Dialect) schema(m *message, n *jsonNode) object {
	switch {
	case n.object:
		properties, required := object{}, []any{}
		for _, member := range n.members {
			properties[member.name] = d.schema(m, member.node)
			if m.nodeRequired(member.node) {
				required = append(required, member.name)
			}
		}
		return object{"type": "object", "properties": properties, "required": required}
	case n.list:
		items := []any{}
		for _, item := range n.items {
			items = append(items, d.schema(m, item))
		}
		return object{"type": "array", "prefixItems": items, "minItems": len(items)}
	case n.repeat != nil:
		return object{"type": "array", "items": d.schema(n.repeat.element, n.repeat.element.json)}
	}
	return d.slotSchema(&m.slots[n.slot])
}

func (m *message) nodeRequired(n *jsonNode) bool {
	switch {
	case n.object:
		for _, member := range n.members {
			if m.nodeRequired(member.node) {
				return true
			}
		}
		return false
	case n.list:
		return true
	case n.repeat != nil:
		return false
	}
	s := &m.slots[n.slot]
	return s.required() && s.alternative == always
}

func (d *Dialect) slotSchema(s *slot) object {
	if s.isLiteral() {
		return object{"const": jsontext.Value(s.literal.json())}
	}
	use := s.single()
	if use == nil {
		return object{"type": "string", "description": s.source()}
	}
	out := object{"type": "string", "description": d.meaning(use)}
	switch use.codec.wire {
	case wireNumber:
		out["type"] = "integer"
	case wireBool:
		out["type"] = "boolean"
	case wireArray:
		out["type"], out["items"] = "array", object{"type": "string"}
	case wireLiteral:
		delete(out, "type")
	}
	switch use.codec.name {
	case "rfc3339":
		out["format"] = "date-time"
	case "uuid":
		out["format"] = "uuid"
	}
	if use.hasDefault {
		out["examples"] = []any{use.fallback}
	}
	return out
}
