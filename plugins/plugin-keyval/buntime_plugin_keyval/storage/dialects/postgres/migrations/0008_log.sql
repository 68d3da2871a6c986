-- Which log of changes this is, and the last change that was trimmed from it: the places that it
-- knows are its rows and that one. At first it is the beginning, before every change.
CREATE TABLE kv_log (
  id bigint PRIMARY KEY CHECK (id = 1),
  epoch text NOT NULL,
  trimmed_seq bigint NOT NULL,
  trimmed_stamp text NOT NULL
);

INSERT INTO kv_log (id, epoch, trimmed_seq, trimmed_stamp)
VALUES (1, substr(replace(gen_random_uuid()::text, '-', ''), 1, 16), 0, '');
