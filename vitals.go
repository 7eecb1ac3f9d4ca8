package gatehouse

import "time"

// Vitals are what tells whether an engine can go on.
type Vitals struct {
	Lag     time.Duration // since the last successful read of the journal began
	Bound   time.Duration // beyond which nothing is validated
	Behind  time.Duration // of the machine's clock, behind the newest time that was seen
	KeyLife time.Duration // how long a key signs before it is rotated
}

// Vitals returns them as of now.
func (e *Engine) Vitals() Vitals {
	return Vitals{Lag: e.state.lag(e.clock.wall()), Bound: e.maxLag, Behind: max(0, e.clock.behind()), KeyLife: e.keyLife}
}
