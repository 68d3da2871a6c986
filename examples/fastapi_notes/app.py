"""Notes over HTTP, kept in a store: an application of FastAPI, with a typed store of the client.

The variable `KEYVAL_URL` is the base of the store's API; by default that of `buntime serve`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from buntime_keyval import AsyncKv, AsyncStore
from fastapi import Depends, FastAPI, HTTPException, Request

DEFAULT_URL = "http://127.0.0.1:8000/keyval/api"


class Note(msgspec.Struct):
    """What is kept of a note."""

    text: str
    done: bool = False


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the life of the application: it keeps its connections."""
    async with AsyncKv(os.environ.get("KEYVAL_URL", DEFAULT_URL)) as kv:
        app.state.notes = kv.store(["notes"], Note)
        yield


app = FastAPI(title="Notes", lifespan=lifespan)


def notes_of(request: Request) -> AsyncStore[Note]:
    """The store of notes, for endpoints."""
    notes: AsyncStore[Note] = request.app.state.notes
    return notes


Notes = Annotated[AsyncStore[Note], Depends(notes_of)]


@app.put("/notes/{name}", status_code=204)
async def put_note(name: str, text: str, notes: Notes) -> None:
    """Write a note, or another text into one that is there."""
    await notes.set(name, Note(text))


@app.get("/notes/{name}")
async def get_note(name: str, notes: Notes) -> dict[str, object]:
    """Read a note."""
    note = await notes.get(name)
    if note.value is None:
        raise HTTPException(404, f"there is no note {name}")
    return {"name": name, "text": note.value.text, "done": note.value.done}


@app.get("/notes")
async def list_notes(notes: Notes) -> list[str]:
    """The names of all notes."""
    return [str(entry.key[-1]) async for entry in notes.list()]
