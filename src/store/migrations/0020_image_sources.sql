-- What an image was made of: the image that it is a copy of, or that its instance was launched of, and that instance.
ALTER TABLE images ADD COLUMN source_image TEXT;
ALTER TABLE images ADD COLUMN source_instance TEXT;

-- The request that made it a copy.
ALTER TABLE images ADD COLUMN client_token TEXT;
ALTER TABLE images ADD COLUMN request_digest TEXT;
CREATE UNIQUE INDEX images_by_token ON images (client_token) WHERE client_token IS NOT NULL;
