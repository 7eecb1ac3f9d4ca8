-- What parts of Gatehouse keep beside the ledger.
CREATE TABLE documents (
	kind    TEXT NOT NULL,
	key     TEXT NOT NULL,
	owner   TEXT,
	value   BLOB,
	version INTEGER NOT NULL,
	expires INTEGER,
	PRIMARY KEY (kind, key)
) STRICT;
CREATE INDEX documents_owner ON documents (kind, owner, key) WHERE owner IS NOT NULL;
CREATE INDEX documents_expires ON documents (expires) WHERE expires IS NOT NULL;
