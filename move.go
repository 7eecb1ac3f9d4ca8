package gatehouse

// A LedgerSink takes over a whole ledger, in the order of its methods here: what
// a row names has come before it. Hash chains of the ledger begin anew in their
// new place; where they ended in the old one is kept as of partitions that were
// dropped. The chain of events goes on.
type LedgerSink interface {
	Begin(LedgerEnds) error
	Setting(name string, value []byte) error
	// Client comes with every id and secret that it has or had.
	Client(c *Client, ids []ClientID, secrets []SecretID, uses []SecretUse) error
	Connection(*Connection) error
	Key(*KeyRecord) error
	Replay(*Replay) error
	Document(*Document) error
	Entry(*Entry) error
	Event(*Event) error
	Partition(*LedgerPartition) error
	// Token comes with its marks: SpentAt and RevokedAt.
	Token(*TokenRecord) error
	// Count says how many rows of a kind there were, as the old place counts
	// them by itself.
	Count(table string, rows int64) error
}

// LedgerEnds are where the parts of a ledger end. The journal keeps its numbers,
// so that whoever follows it goes on.
type LedgerEnds struct {
	Manifest
	JournalFloor int64 // entries up to it may have been pruned
	Partitions   int64 // that were ever made
}

// A LedgerPartition is one of a ledger that moves.
type LedgerPartition struct {
	ID      int64
	Hour    int64 // in which its tokens expire, since 1970; below 0: never
	Rows    int64
	Head    [32]byte
	Dropped bool
}

// A TableCount says how many rows of a kind there were before and after a move.
type TableCount struct {
	Table  string `json:"table"`
	Source int64  `json:"source"`
	Target int64  `json:"target"`
}
