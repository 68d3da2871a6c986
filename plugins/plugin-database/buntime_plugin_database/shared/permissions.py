"""Restrictions on SQL from outside on a server, checked by the text of the statement.

There is no authorizer, as the embedded engine has. sqld comes with functions that read and write
files of its machine, and so the databases of other namespaces; some of them in a SELECT.
"""

from __future__ import annotations

from buntime_database import InvalidStatement

from buntime_plugin_database.shared.statements import classify, pieces_of, tokens_of

_FUNCTIONS = frozenset(
    {
        "edit",
        "fts3_tokenizer",
        "load_extension",
        "lsmode",
        "readfile",
        "sha3_query",  # runs a text as SQL
        "sqlite3mc_codec_data",
        "sqlite3mc_config",
        "sqlite3mc_config_table",
        "writefile",
    }
)
_TABLES = frozenset({"fsdir", "sqlite_dbpage"})
_SCHEMA = frozenset({"ALTER", "ANALYZE", "CREATE", "DROP", "REINDEX", "VACUUM"})


_OF_THE_HOST = "buntime_access_"


class NotAuthorized(InvalidStatement):
    """The statement may not do this. The code is that of SQLite's own refusal."""

    code = "SQLITE_AUTH"


def is_of_the_host(name: str | None) -> bool:
    """Whether a table, or an object that belongs to one, is where the host keeps its keys.

    Whoever could write there could grant themselves every right.
    """
    return name is not None and name.lower().startswith(_OF_THE_HOST)


def names_the_host(sql: str) -> bool:
    """Whether a text has such a name anywhere, even in code that will run later."""
    return any(is_of_the_host(_name(piece)) for piece in pieces_of(sql))


def authorize(sql: str, *, readonly: bool, schema: bool) -> None:
    """Raise `NotAuthorized` for what requests must not do, `InvalidStatement` for bad SQL."""
    kind = classify(sql)
    tokens = tokens_of(sql)
    for token, following in zip(tokens, (*tokens[1:], ""), strict=True):
        name = _name(token)
        if name in _TABLES or is_of_the_host(name) or (name in _FUNCTIONS and following == "("):
            raise NotAuthorized(f"not authorized to use {name}")
    if readonly and kind != "read":
        raise NotAuthorized("not authorized: this request may only read")
    if not schema and (tokens[0] in _SCHEMA or (tokens[0] == "PRAGMA" and kind != "read")):
        raise NotAuthorized("not authorized: this request may not change the schema")


def _name(token: str) -> str:
    """The name that a token is or holds; a table's name may be in quotes of any kind."""
    quote = token[:1]
    if quote in ('"', "'", "`"):
        token = token[1:-1].replace(quote * 2, quote)
    elif quote == "[":
        token = token[1:-1]
    return token.lower()
