-- What a user has agreed to is listed for them.
CREATE INDEX connections_user ON connections (subject, id) WHERE subject IS NOT NULL;
