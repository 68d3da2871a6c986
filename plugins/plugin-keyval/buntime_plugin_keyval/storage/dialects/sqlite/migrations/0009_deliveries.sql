-- A delivery counts once it is known that somebody was given the message. `counted` says that of
-- the current lease; `unsure` is how many leases ended without anybody saying anything, as those
-- do whose server was killed. Leases from before this were counted when they were given.
ALTER TABLE kv_queue ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;

ALTER TABLE kv_queue ADD COLUMN unsure INTEGER NOT NULL DEFAULT 0;

UPDATE kv_queue SET counted = 1 WHERE lease IS NOT NULL;
