-- A delivery counts once it is known that somebody was given the message. `counted` says that of
-- the current lease; `unsure` is how many leases ended without anybody saying anything, as those
-- do whose server was killed.
ALTER TABLE kv_queue ADD COLUMN counted bigint NOT NULL DEFAULT 0;

ALTER TABLE kv_queue ADD COLUMN unsure bigint NOT NULL DEFAULT 0;
