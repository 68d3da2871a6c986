-- The words of an index are in a table of FTS5's, which is made with it, so nothing changes here.
UPDATE kv_indexes SET ready = ready WHERE FALSE;
