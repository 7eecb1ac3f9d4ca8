package gatehouse

import "time"

// A Restart is what becomes of a journal whose store was restored from an older
// copy. Nodes and gates may have followed it further than the copy goes, so it
// goes on at a position that no one can have seen: whoever comes with an older
// one has to begin anew. Documents that expire leave: they are of things that
// were under way.
type Restart struct {
	Seq   int64     // every position up to it is gone; a Seq that the journal has passed is ErrConflict
	Epoch time.Time // tokens issued at or before it are refused; zero leaves the epoch where it is
}

// Restarted says what a Restart did.
type Restarted struct {
	Seq   int64            // where the journal ends now
	Ended map[ClientID]int // access and refresh tokens that were live and that the epoch ended
}

// restartAt is where a journal goes on that had come to seq. It is beyond every
// position that the lost part can have had, and beyond those of earlier restores
// from the same copy: the microseconds since 1970, which no journal's entries
// outnumber.
func restartAt(seq int64, now time.Time) int64 {
	const room = 1 << 32
	return max(seq+room, now.UnixMicro())
}

// indexChance is how far chance may move the numbers of keys: two restores from
// one copy, seconds apart, are to make different ones.
const indexChance = 1 << 24

// restartIndex is an index of signing keys beyond those that were given out up to
// newest, and since then, and after earlier restores from the same copy: the
// seconds since 2020, and a random number below indexChance. It fits 31 bits for
// decades, and for some two hundred restores of restores.
func restartIndex(newest int, now time.Time, chance int) int {
	const room = 1000
	since2020 := int(now.Unix() - time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	return max(newest+room, since2020) + chance
}
