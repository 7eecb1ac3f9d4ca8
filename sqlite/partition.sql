-- The tables of partition %[1]d. Shapes are the values that many tokens share;
-- they are kept here so that they leave with the tokens.
CREATE TABLE shapes_%[1]d (
	n           INTEGER PRIMARY KEY,
	kind        TEXT NOT NULL,
	environment TEXT NOT NULL,
	dialect     TEXT NOT NULL,
	scopes      TEXT,
	audience    TEXT
) STRICT;

-- grp is the commit group, counted within the partition.
CREATE TABLE tokens_%[1]d (
	id      BLOB NOT NULL PRIMARY KEY,
	client  INTEGER NOT NULL,
	shape   INTEGER NOT NULL,
	name    TEXT,
	user    TEXT,
	secret  INTEGER,
	family  BLOB,
	parent  BLOB,
	digest  BLOB,
	issued  INTEGER NOT NULL,
	expires INTEGER,
	grp     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_%[1]d_client ON tokens_%[1]d (client);
CREATE INDEX tokens_%[1]d_family ON tokens_%[1]d (family) WHERE family IS NOT NULL;

CREATE TABLE marks_%[1]d (
	token   BLOB NOT NULL,
	revoked INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	grp     INTEGER NOT NULL,
	PRIMARY KEY (token, revoked)
) STRICT, WITHOUT ROWID;

CREATE TABLE links_%[1]d (
	grp  INTEGER PRIMARY KEY,
	hash BLOB NOT NULL
) STRICT;
