-- Times are milliseconds since 1970, in UTC, but for expiry times, which are
-- whole seconds. A time that is not set is NULL, and so is an empty text.

-- What there is one of: the newest time recorded, the epoch, the head of the
-- chain of events, the newest journal entry that was pruned and the newest
-- partition.
CREATE TABLE meta (
	one           INTEGER PRIMARY KEY CHECK (one = 1),
	newest        INTEGER,
	epoch         INTEGER,
	event_seq     INTEGER NOT NULL DEFAULT 0,
	event_head    BLOB NOT NULL,
	journal_floor INTEGER NOT NULL DEFAULT 0,
	partitions    INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO meta (one, event_head) VALUES (1, zeroblob(32));

CREATE TABLE settings (
	name  TEXT NOT NULL PRIMARY KEY,
	value BLOB
) STRICT, WITHOUT ROWID;

-- n stands for the client in every other table. body is JSON.
CREATE TABLE clients (
	n       INTEGER PRIMARY KEY,
	id      TEXT NOT NULL UNIQUE,
	version INTEGER NOT NULL,
	body    TEXT NOT NULL
) STRICT;

-- Every id that a client has or had, so that none is given out twice.
CREATE TABLE client_ids (
	id     TEXT NOT NULL PRIMARY KEY,
	client INTEGER NOT NULL REFERENCES clients
) STRICT, WITHOUT ROWID;

-- Tokens of the client in the environment that were issued at or before this
-- moment are refused.
CREATE TABLE cutoffs (
	client      INTEGER NOT NULL REFERENCES clients,
	environment TEXT NOT NULL,
	before      INTEGER NOT NULL,
	PRIMARY KEY (client, environment)
) STRICT, WITHOUT ROWID;

-- n stands for the client secret in the ledger.
CREATE TABLE secrets (
	n      INTEGER PRIMARY KEY,
	id     BLOB NOT NULL UNIQUE,
	client INTEGER NOT NULL REFERENCES clients
) STRICT;
CREATE INDEX secrets_client ON secrets (client);

CREATE TABLE secret_uses (
	secret INTEGER PRIMARY KEY REFERENCES secrets,
	count  INTEGER NOT NULL,
	at     INTEGER,
	addr   TEXT
) STRICT;

CREATE TABLE connections (
	id          BLOB NOT NULL PRIMARY KEY,
	client      INTEGER NOT NULL REFERENCES clients,
	environment TEXT NOT NULL,
	user        TEXT,
	user_secret BLOB,
	token       BLOB NOT NULL,
	created     INTEGER NOT NULL,
	delinked    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX connections_client ON connections (client);

CREATE TABLE keys (
	id          TEXT NOT NULL PRIMARY KEY,
	format      TEXT NOT NULL,
	counter     INTEGER NOT NULL,
	environment TEXT NOT NULL,
	algorithm   TEXT NOT NULL,
	public      BLOB,
	sealed      BLOB,
	published   INTEGER,
	signs_from  INTEGER,
	retired     INTEGER,
	gone        INTEGER,
	compromised INTEGER NOT NULL,
	UNIQUE (format, counter)
) STRICT, WITHOUT ROWID;

CREATE TABLE replays (
	caller  TEXT NOT NULL,
	key     TEXT NOT NULL,
	request BLOB NOT NULL,
	answer  BLOB,
	at      INTEGER NOT NULL,
	PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_at ON replays (at);

CREATE TABLE journal (
	seq    INTEGER PRIMARY KEY,
	at     INTEGER NOT NULL,
	kind   TEXT NOT NULL,
	token  BLOB,
	until  INTEGER,
	client TEXT,
	before INTEGER
) STRICT;

CREATE TABLE events (
	seq     INTEGER PRIMARY KEY,
	at      INTEGER NOT NULL,
	kind    TEXT NOT NULL,
	actor   TEXT,
	addr    TEXT,
	request TEXT,
	action  TEXT NOT NULL,
	subject TEXT,
	detail  TEXT,
	hash    BLOB NOT NULL
) STRICT;

-- The catalogue of the ledger. A partition holds the tokens that expire in one
-- hour (bucket, in hours since 1970), or some of them; those that never expire
-- are in partitions without a bucket. Its own tables are in partition.sql. The
-- counts and the head say where its chain of links ends.
CREATE TABLE partitions (
	id          INTEGER PRIMARY KEY,
	bucket      INTEGER,
	opened      INTEGER NOT NULL,
	closed      INTEGER,
	dropped     INTEGER,
	rows        INTEGER NOT NULL DEFAULT 0,
	marks       INTEGER NOT NULL DEFAULT 0,
	groups      INTEGER NOT NULL DEFAULT 0,
	head        BLOB NOT NULL,
	last_expiry INTEGER
) STRICT;
CREATE INDEX partitions_there ON partitions (id) WHERE dropped IS NULL;
