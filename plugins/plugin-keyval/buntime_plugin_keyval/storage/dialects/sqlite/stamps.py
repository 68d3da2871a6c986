"""How commits get their versionstamps inside of SQLite; see `versionstamps.py` for what they are.

A firm stamp is one that the commit has, or fails. A late one is made greater where others were
faster. In both texts `{stamp}` is the one that was made for the commit.
"""

# The stamp of the newest commit that logged a change, which is this one once it has done so; and
# that of the newest one that need not have logged any.
LOGGED_STAMP = "(SELECT versionstamp FROM kv_changes ORDER BY seq DESC LIMIT 1)"
NOTED_STAMP = "(SELECT newest FROM kv_stamps)"

# NULL, which both refuse, unless the stamp follows the newest one.
FIRM_STAMP = f"iif({LOGGED_STAMP} > {{stamp}} OR {NOTED_STAMP} > {{stamp}}, NULL, {{stamp}})"

_HEX = "[0-9a-f]"
_UUIDV7 = "-".join([_HEX * 8, _HEX * 4, "7" + _HEX * 3, "[89ab]" + _HEX * 3, _HEX * 12])
_FAR_FUTURE = "fffff000"

# The greater one of both. One in the log that is no UUIDv7, or of the far future, can only be of
# another program, and counts for nothing.
NEWEST_STAMP = f"""max({NOTED_STAMP}, coalesce((
  SELECT logged FROM (SELECT {LOGGED_STAMP} AS logged)
  WHERE logged GLOB '{_UUIDV7}' AND logged < '{_FAR_FUTURE}'), ''))"""

# The stamp if it follows the newest one; the newest one if this commit has it already; else the
# next greater number with the random part of the stamp.
LATE_STAMP = f"""(
SELECT CASE
  WHEN newest < {{stamp}} THEN {{stamp}}
  WHEN substr(newest, 20) = substr({{stamp}}, 20) THEN newest
  ELSE (
    SELECT format('%08x-%04x-7%03x-', number >> 28, (number >> 12) & 65535, number & 4095)
    FROM (
      SELECT 1 + json_extract(
        '0x' || substr(newest, 1, 8) || substr(newest, 10, 4) || substr(newest, 16, 3), '$')
        AS number))
    || substr({{stamp}}, 20)
  END
FROM (SELECT {NEWEST_STAMP} AS newest))"""

TOLD = " RETURNING versionstamp"
"""Follows a statement that logs with a late stamp."""
