package feed

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/gatehouse-auth/gatehouse"
)

// MaxRefusals is how many refusals a gate reports at once.
const MaxRefusals = 20

// MarshalRefusals writes what a gate reports of the requests that it refused.
func MarshalRefusals(list []gatehouse.Refusal) ([]byte, error) { return json.Marshal(list) }

// UnmarshalRefusals reads what MarshalRefusals wrote, here or in a newer gate:
// members that it doesn't know are left out.
func UnmarshalRefusals(b []byte) ([]gatehouse.Refusal, error) {
	var list []gatehouse.Refusal
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	if len(list) > MaxRefusals {
		return nil, fmt.Errorf("%d are more than the %d that one report may have", len(list), MaxRefusals)
	}
	return list, nil
}
