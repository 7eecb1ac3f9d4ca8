package dialect

import (
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// SchemaID is the identifier of the schema that [Schema] returns.
const SchemaID = "https://raw.githubusercontent.com/gatehouse-auth/gatehouse/main/docs/dialect.schema.json"

// Schema returns the JSON Schema (2020-12) of dialect files, from which
// editors complete and check while one types. It is made from the same tables
// that [Load] uses. Load checks more: what needs two places of the file, such
// as whether a hole can be read back. The result must not be changed.
func Schema() []byte { return schema() }

var schema = sync.OnceValue(func() []byte {
	data, err := json.Marshal(fileSchema(), json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		panic(err) // only strings, numbers and maps of them are in it
	}
	return data
})

func fileSchema() object {
	operations := object{
		"errors":    ref("errors"),
		"path_case": ref("path_case"),
	}
	for _, name := range operationNames {
		shape := "operation"
		switch name {
		case Connect:
			shape = "answered"
		case Use:
			shape = "used"
		}
		operations[string(name)] = ref(shape)
	}
	wire := closed(operations, "errors")
	wire["description"] = "One message pair for each operation, and the error table."
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id":     SchemaID,
		"title":   "Gatehouse dialect",
		"type":    "object",
		"properties": object{
			"dialect":   object{"type": "string", "pattern": "^[a-z][a-z0-9-]{0,31}$", "description": "The dialect's name."},
			"title":     text("The API's name for people."),
			"summary":   text("One sentence about the API."),
			"notes":     object{"type": "array", "items": object{"type": "string"}, "description": "What clients should make a habit of."},
			"wire":      wire,
			"token":     tokenSchema(),
			"rules":     rulesSchema(),
			"hosts":     ref("hosts"),
			"path_case": ref("path_case"),
		},
		"required":             []string{"dialect", "wire", "token"},
		"additionalProperties": false,
		"$defs":                definitions(),
	}
}

func definitions() object {
	request := object{"either": object{
		"type": "array", "minItems": 2, "description": "Places of the same values: read from whichever is there, written as the first.",
		"items": closed(carriages("request", "headers", "query", "basic", "body", "form")),
	}}
	for key, value := range carriages("request", "headers", "query", "basic", "body", "form") {
		request[key] = value
	}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		request[method] = object{"type": "string", "pattern": "^/", "description": "The method and its path."}
	}
	response := carriages("answer", "headers", "body")
	response["status"] = ref("status")
	row := carriages("error", "headers", "body")
	row["status"] = ref("status")
	row["message"] = text("A sentence for people.")
	for _, h := range rowHoles {
		row[string(h)] = object{"type": []string{"string", "number", "boolean"}, "description": "The value of {" + string(h) + "} in the body."}
	}
	table := carriages("error", "headers", "body")
	for _, code := range append(codeNames(), "default") {
		table[code] = ref("row")
	}
	duration := object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(h|m|s))+$|^[0-9]+d$`, "description": "Such as 900s, 30m, 24h or 7d."}
	about := text("What the operation is for.")
	defs := object{
		"request":   closed(request),
		"response":  closed(response),
		"operation": closed(object{"about": about, "request": ref("request"), "response": ref("response")}, "request", "response"),
		"answered":  closed(object{"about": about, "response": ref("response")}, "response"),
		"used":      closed(object{"about": about, "request": ref("request")}, "request"),
		"row":       closed(row, "status"),
		"errors":    closed(table),
		"status":    object{"type": "integer", "minimum": 200, "maximum": 599},
		"duration":  duration,
		"path_case": object{"enum": []string{"any", "exact"}},
		"hosts":     closed(object{"sandbox": baseURL(), "live": baseURL()}),
	}
	for name, c := range map[string]context{"request": inRequest, "answer": inAnswer, "error": inError, "token": inToken} {
		defs[name+"_text"] = object{"type": "string", "pattern": valuePattern(c)}
		defs[name+"_value"] = object{"anyOf": []any{ref(name + "_text"), object{"type": []string{"number", "boolean"}}}}
		defs[name+"_tree"] = object{"anyOf": []any{
			ref(name + "_value"),
			object{"type": "null"},
			object{"type": "array", "items": ref(name + "_tree")},
			object{"type": "object", "additionalProperties": ref(name + "_tree")},
		}}
		defs[name+"_flat"] = object{"type": "object", "additionalProperties": ref(name + "_value")}
		defs[name+"_body"] = object{"type": "object", "additionalProperties": ref(name + "_tree")}
	}
	return defs
}

func carriages(where string, keys ...string) object {
	out := object{}
	for _, key := range keys {
		switch key {
		case "body":
			out[key] = ref(where + "_body")
		case "basic":
			out[key] = object{"anyOf": []any{
				object{"type": "string", "pattern": "^[^:]*:[^:]*$"},
				closed(object{"user": ref(where + "_value"), "password": ref(where + "_value")}, "user", "password"),
			}}
		default:
			out[key] = ref(where + "_flat")
		}
	}
	return out
}

// valuePattern is the regular expression of a text with the holes that may
// stand in c.
func valuePattern(c context) string {
	var names []string
	for _, h := range holes {
		if h.contexts&c != 0 {
			names = append(names, strings.ReplaceAll(string(h.name), ".", `\.`))
		}
	}
	for _, family := range []string{ownerFamily, extraFamily} {
		if info, ok := lookupHole(family + "x"); ok && info.contexts&c != 0 {
			names = append(names, strings.ReplaceAll(family, ".", `\.`)+"[A-Za-z0-9_-]{1,64}")
		}
	}
	hole := `\{(` + strings.Join(names, "|") + `)(\|(` + strings.Join(codecNames(^kind(0)), "|") + `))?(\?|=[^}]*)?\}`
	return `^([^{}]|\{\{|\}\}|` + hole + `)*$`
}

func tokenSchema() object {
	claims := ref("token_body")
	jwt := closed(object{
		"algorithm": object{"enum": algorithms},
		"key_id":    object{"type": "string", "pattern": `^[A-Za-z0-9_-]{1,32}\{key_index\}$`, "description": "A prefix and the signing key's index."},
		"header":    ref("token_body"),
		"claims":    claims,
	}, "algorithm", "claims")
	out := closed(object{
		"jwt":    jwt,
		"opaque": closed(object{}),
		"prefix": closed(object{
			"sandbox": object{"type": "string", "pattern": prefixForm.String()},
			"live":    object{"type": "string", "pattern": prefixForm.String()},
		}),
		"life": object{"anyOf": []any{
			object{"enum": []string{"permanent", "assumed"}},
			ref("duration"),
			closed(object{"default": ref("duration"), "longest": ref("duration")}, "default"),
			closed(object{"assumed": ref("duration")}, "assumed"),
		}},
		"code_life": ref("duration"),
		"refresh": object{"anyOf": []any{
			object{"const": string(RefreshNone)},
			closed(object{"mode": object{"enum": []string{string(RefreshReuse), string(RefreshRotate)}}, "life": ref("duration")}, "mode", "life"),
		}},
	}, "life")
	out["oneOf"] = []any{object{"required": []string{"jwt"}}, object{"required": []string{"opaque"}}}
	out["description"] = "What tokens are made of and how long they live."
	return out
}

func rulesSchema() object {
	limits := object{}
	for _, name := range limited {
		limits[name] = object{"type": "string", "pattern": limitForm.String()}
	}
	return closed(object{
		"https":      object{"const": "required"},
		"client_ids": object{"enum": []ClientIDs{SharedIDs, PerEnvironmentIDs}},
		"client_id":  object{"enum": []ClientIDForm{TextID, UUIDID, DomainID}},
		"limits":     closed(limits),
		"fields": object{
			"type":                 "object",
			"propertyNames":        object{"pattern": `^(owner|extra)\.[A-Za-z0-9_-]{1,64}$`},
			"additionalProperties": closed(object{"default": object{"type": "string"}, "about": object{"type": "string"}}),
		},
		"path_case": ref("path_case"),
		"hosts":     ref("hosts"),
	})
}

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

func text(about string) object { return object{"type": "string", "description": about} }

func baseURL() object { return object{"type": "string", "pattern": "^https://"} }

// closed is an object with these members and no others.
func closed(properties object, required ...string) object {
	out := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}
