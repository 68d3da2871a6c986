"""Locks, and their waiters."""

from __future__ import annotations

from typing import NamedTuple


class LockSql(NamedTuple):
    """Operations on locks and their waiters.

    A lock is held until its end; then it is as if it were not there. A place in the line of a lock
    is that of an owner, and counts until its own end. Tokens are the stamp of the commit, which has
    noted it before.
    """

    prolong: str
    """Name, owner, metadata or NULL, now, duration: lets the owner that has the lock keep it, under
    the token that it has."""
    acquire: str
    """The same arguments: gives the lock to the owner, unless it is held or others wait for
    it longer."""
    steal: str
    """The same arguments: gives the lock to the owner with a new token, even if another has it."""
    renew: str
    """Name, owner, token, now, end: prolongs the lock that the owner has under this token."""
    release: str
    """Name, owner, token or NULL, now, stamp or NULL, end or NULL: ends the lock of an owner, only
    under this token, only if it was given by the commit of that stamp or a later one, and only if
    this is its end, where these are there."""
    grant: str
    """JSON array of names, now: gives each of these locks that is free to the first in line."""
    served: str
    """JSON array of names, now: removes from the lines the owners that have the lock."""
    grant_one: str
    """The same as `grant` with the name of one lock."""
    served_one: str
    """The same as `served` with the name of one lock."""
    served_owner: str
    """Name, owner, now: removes the owner from the line, if it has the lock."""
    leave: str
    """Name, owner, process or NULL: gives up a place, only if that process looks after it where
    there is one."""
    lapse: str
    """Name, owner, now: gives up a place whose end has come."""
    enlist: str
    """Name, owner, metadata or NULL, duration, process, now, end: takes the place behind the last
    one, unless the owner has the lock; a place that the owner has stays, with another end."""
    stay: str
    """Process, end, JSON array of pairs of name and owner: lets those of these places last that
    this process looks after."""
    holds: str
    """A condition with name, token, now: the lock is held under this token."""
    held: str
    """JSON array of names, now: name, owner, token, time it was acquired, end and metadata of those
    that are held."""
    listed: str
    """First name, the one behind the last or NULL, now, limit: the same in the order of names."""
    line: str
    """JSON array of names, now: name, how many wait, and the first in line, for locks that are
    waited for."""
    forget: str
    """Time, limit: removes so many locks that have ended before that."""
    forget_places: str
    """Time, limit: the same of places."""
