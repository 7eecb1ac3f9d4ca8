package sharedlimit

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// Each script is one step for all nodes, by Redis's own clock, and answers two
// numbers.
const answers = 2

var (
	//go:embed take.lua
	takeText   string
	takeScript = redis.NewScript(takeText)

	//go:embed tries.lua
	triesText   string
	triesScript = redis.NewScript(triesText)

	//go:embed forgive.lua
	forgiveText   string
	forgiveScript = redis.NewScript(forgiveText)
)
