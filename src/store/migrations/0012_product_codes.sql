-- What an image is sold as: codes of the Marketplace.
CREATE TABLE image_product_codes (
    image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    code  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    PRIMARY KEY (image, code)
) STRICT, WITHOUT ROWID;
