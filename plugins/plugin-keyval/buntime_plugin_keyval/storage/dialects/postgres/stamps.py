"""How commits get their versionstamps inside of PostgreSQL; see `versionstamps.py` for them.

Every statement here runs while its commit has the lock that all commits take first: only a
statement that begins after that sees all earlier commits.
"""

# The stamp of the newest commit that logged a change, which is this one once it has done so; and
# that of the newest one that need not have logged any.
LOGGED_STAMP = "(SELECT versionstamp FROM kv_changes ORDER BY seq DESC LIMIT 1)"
NOTED_STAMP = "(SELECT newest FROM kv_stamps)"

# NULL, which both refuse, unless the stamp follows the newest one.
FIRM_STAMP = f"""(
SELECT CASE WHEN {LOGGED_STAMP} > {{stamp}} OR {NOTED_STAMP} > {{stamp}} THEN NULL
  ELSE {{stamp}} END)"""

_UUIDV7 = "^[0-9a-f]{{8}}-[0-9a-f]{{4}}-7[0-9a-f]{{3}}-[89ab][0-9a-f]{{3}}-[0-9a-f]{{12}}$"
_FAR_FUTURE = "fffff000"

# The greater one of both. One in the log that is no UUIDv7, or of the far future, can only be of
# another program, and counts for nothing.
_NEWEST_STAMP = f"""greatest({NOTED_STAMP}, coalesce((
  SELECT logged FROM (SELECT {LOGGED_STAMP} AS logged) AS last
  WHERE logged ~ '{_UUIDV7}' AND logged < '{_FAR_FUTURE}'), ''))"""
NEWEST_STAMP = _NEWEST_STAMP.format()

# The stamp if it follows the newest one; the newest one if this commit has it already; else the
# next greater number with the random part of the stamp.
LATE_STAMP = f"""(
SELECT CASE
  WHEN newest < {{stamp}} THEN {{stamp}}
  WHEN substr(newest, 20) = substr({{stamp}}, 20) THEN newest
  ELSE concat(
    substr(digits, 1, 8), '-', substr(digits, 9, 4), '-7', substr(digits, 13, 3), '-',
    substr({{stamp}}, 20))
  END
FROM (
  SELECT newest, CASE WHEN newest = '' THEN '' ELSE lpad(to_hex(1 + concat(
    'x', substr(newest, 1, 8), substr(newest, 10, 4), substr(newest, 16, 3))::bit(60)::bigint
  ), 15, '0') END AS digits
  FROM (SELECT {_NEWEST_STAMP} AS newest) AS known) AS following)"""
