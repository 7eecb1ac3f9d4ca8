-- A time that is not set is NULL, and so is an empty text. Names and users are
-- bytes, because PostgreSQL's text has no NUL and callers' text may.

-- What there is one of. Each act updates the row and holds it until it has
-- committed, so the numbers of events and of journal entries follow the order
-- of commits.
CREATE TABLE meta (
	one           boolean PRIMARY KEY DEFAULT true CHECK (one),
	newest        timestamptz,
	epoch         timestamptz,
	event_seq     bigint NOT NULL DEFAULT 0,
	event_head    bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
	journal_seq   bigint NOT NULL DEFAULT 0,
	journal_floor bigint NOT NULL DEFAULT 0, -- the newest entry that was pruned
	partitions    integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO meta DEFAULT VALUES;

CREATE TABLE settings (
	name  text PRIMARY KEY,
	value bytea NOT NULL
);

-- n stands for the client in every other table. body is JSON, as text: jsonb
-- can't hold every string. state is in it too, and here for the ledger's checks.
CREATE TABLE clients (
	n       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id      text NOT NULL UNIQUE,
	version bigint NOT NULL,
	state   text NOT NULL,
	body    text NOT NULL
);

-- Every id that a client has or had, so that none is given out twice.
CREATE TABLE client_ids (
	id     text PRIMARY KEY,
	client bigint NOT NULL REFERENCES clients
);

-- Tokens of the client in the environment that were issued at or before this
-- moment are refused.
CREATE TABLE cutoffs (
	client      bigint NOT NULL REFERENCES clients,
	environment text NOT NULL,
	before      timestamptz NOT NULL,
	PRIMARY KEY (client, environment)
);

-- Every secret that a client has or had. live says that it is one of the
-- client's and not retired.
CREATE TABLE secrets (
	id          uuid PRIMARY KEY,
	client      bigint NOT NULL REFERENCES clients,
	environment text NOT NULL,
	live        boolean NOT NULL
);
CREATE INDEX secrets_client ON secrets (client);

CREATE TABLE secret_uses (
	secret uuid PRIMARY KEY REFERENCES secrets,
	count  bigint NOT NULL,
	at     timestamptz,
	addr   text
);

CREATE TABLE connections (
	id          uuid PRIMARY KEY,
	client      bigint NOT NULL REFERENCES clients,
	environment text NOT NULL,
	subject     bytea,
	user_secret bytea,
	token       uuid NOT NULL,
	created     timestamptz NOT NULL,
	delinked    timestamptz
);
CREATE INDEX connections_client ON connections (client, id);

CREATE TABLE keys (
	id          text PRIMARY KEY,
	format      text NOT NULL,
	counter     integer NOT NULL,
	environment text NOT NULL,
	algorithm   text NOT NULL,
	public      bytea,
	sealed      bytea,
	published   timestamptz,
	signs_from  timestamptz,
	retired     timestamptz,
	gone        timestamptz,
	compromised boolean NOT NULL,
	UNIQUE (format, counter)
);

CREATE TABLE replays (
	caller  text NOT NULL,
	key     text NOT NULL,
	request bytea NOT NULL,
	answer  bytea,
	at      timestamptz NOT NULL,
	PRIMARY KEY (caller, key)
);
CREATE INDEX replays_at ON replays (at);

CREATE TABLE journal (
	seq    bigint PRIMARY KEY,
	at     timestamptz NOT NULL,
	kind   text NOT NULL,
	token  uuid,
	until  timestamptz, -- NULL where it says nothing, infinity where it is never
	client text,
	before timestamptz
);
CREATE INDEX journal_until ON journal (until);

CREATE TABLE events (
	seq     bigint PRIMARY KEY,
	at      timestamptz NOT NULL,
	kind    text NOT NULL,
	actor   text,
	addr    text,
	request text,
	action  text NOT NULL,
	subject text,
	detail  text,
	hash    bytea NOT NULL
);

-- The catalogue of the ledger. A partition holds the tokens whose expiry is in
-- [low, high): an hour of those with a life of two days or less (span 1), a day
-- of the others (span 24), or those that never expire (span 0). Of one that was
-- dropped, rows and head say where its chains ended.
CREATE TABLE partitions (
	id      integer PRIMARY KEY,
	span    smallint NOT NULL,
	low     timestamptz NOT NULL,
	high    timestamptz NOT NULL,
	dropped timestamptz,
	rows    bigint,
	head    bytea
);
CREATE UNIQUE INDEX partitions_there ON partitions (span, low) WHERE dropped IS NULL;

-- A writer is one series of commits of one process. Its chains are its own, so
-- that no node waits for another's.
CREATE TABLE writers (
	id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	opened timestamptz NOT NULL DEFAULT now()
);

-- Where a writer's chain in a partition ends.
CREATE TABLE chains (
	writer    bigint NOT NULL REFERENCES writers,
	partition integer NOT NULL REFERENCES partitions,
	groups    bigint NOT NULL,
	rows      bigint NOT NULL,
	marks     bigint NOT NULL,
	head      bytea NOT NULL,
	newest    timestamptz NOT NULL,
	PRIMARY KEY (writer, partition)
) WITH (fillfactor = 50);

-- The ledger. span and expires say in which partition a row is; expires is
-- infinity for a token that never does. grp is the commit group, counted within
-- the writer's chain in the partition.
CREATE TABLE tokens (
	id          uuid NOT NULL,
	span        smallint NOT NULL,
	expires     timestamptz NOT NULL,
	client      bigint NOT NULL,
	kind        text NOT NULL,
	environment text NOT NULL,
	dialect     text NOT NULL,
	scopes      text,
	audience    text,
	name        bytea,
	subject     bytea,
	secret      uuid,
	family      uuid,
	parent      uuid,
	digest      bytea,
	issued      timestamptz NOT NULL,
	writer      bigint NOT NULL,
	grp         bigint NOT NULL,
	PRIMARY KEY (id, span, expires)
) PARTITION BY RANGE (span, expires);
CREATE INDEX tokens_client ON tokens (client, id);
CREATE INDEX tokens_family ON tokens (family) WHERE family IS NOT NULL;

-- What happens to a token after it was recorded. The key is what keeps two
-- nodes from spending one token.
CREATE TABLE marks (
	token   uuid NOT NULL,
	revoked boolean NOT NULL, -- else spent
	span    smallint NOT NULL,
	expires timestamptz NOT NULL,
	at      timestamptz NOT NULL,
	writer  bigint NOT NULL,
	grp     bigint NOT NULL,
	PRIMARY KEY (token, revoked, span, expires)
) PARTITION BY RANGE (span, expires);

-- expires is the partition's lower bound.
CREATE TABLE links (
	writer  bigint NOT NULL,
	grp     bigint NOT NULL,
	span    smallint NOT NULL,
	expires timestamptz NOT NULL,
	hash    bytea NOT NULL,
	PRIMARY KEY (writer, grp, span, expires)
) PARTITION BY RANGE (span, expires);
