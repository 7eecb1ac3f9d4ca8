-- What parts of Gatehouse keep beside the ledger. Keys are in the order of
-- their bytes, as in the other store.
CREATE TABLE documents (
	kind    text COLLATE "C" NOT NULL,
	key     text COLLATE "C" NOT NULL,
	owner   text,
	value   bytea,
	version bigint NOT NULL,
	expires timestamptz,
	PRIMARY KEY (kind, key)
);
CREATE INDEX documents_owner ON documents (kind, owner, key) WHERE owner IS NOT NULL;
CREATE INDEX documents_expires ON documents (expires) WHERE expires IS NOT NULL;
