-- The private key that signs identity documents, as PKCS #8; made when first needed.
CREATE TABLE identity_key (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    pkcs8 BLOB NOT NULL
) STRICT;
