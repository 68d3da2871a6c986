"""One mapper for every error."""

from __future__ import annotations

import json

import pytest
from buntime_host import errors
from buntime_host.errors import BuntimeError, HttpError
from buntime_host.http.problem import problem_of, problem_response
from buntime_host.http.statuses import STATUS_LINES
from starlette.exceptions import HTTPException


def subclasses(cls: type[BuntimeError]) -> list[type[BuntimeError]]:
    """The host's own; plugins have more of their own, as far as they are imported."""
    found = [sub for direct in cls.__subclasses__() for sub in subclasses(direct)]
    return [cls, *(sub for sub in found if sub.__module__.startswith("buntime_host"))]


def test_the_tree_in_the_docstring_is_complete() -> None:
    for cls in subclasses(BuntimeError):
        assert f" {cls.__name__} " in (errors.__doc__ or "").replace("\n", " "), cls


@pytest.mark.parametrize("cls", subclasses(HttpError))
def test_every_http_error_has_a_status_and_a_code_of_its_own(cls: type[HttpError]) -> None:
    response = problem_response(cls())
    assert response.status_code == cls.status
    body = json.loads(bytes(response.body))
    assert body == {
        "error": cls.default_message,
        "code": cls.code,
        "success": False,
        "message": cls.default_message,
    }
    assert response.headers["content-type"] == "application/json"


def test_own_message_code_and_headers() -> None:
    error = errors.Forbidden("Not here", code="NO", headers={"X-A": "b"})
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.message) == (403, "NO", "Not here")
    assert problem_response(error).headers["x-a"] == "b"


def test_starlette_exceptions() -> None:
    assert problem_of(HTTPException(404)).code == "NOT_FOUND"
    assert problem_of(HTTPException(405)).code == "METHOD_NOT_ALLOWED"
    assert problem_of(HTTPException(599, "odd")).code == "HTTP_599"


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        (413, "CONTENT_TOO_LARGE", b"HTTP/1.1 413 Content Too Large\r\n"),
        (414, "URI_TOO_LONG", b"HTTP/1.1 414 URI Too Long\r\n"),
        (416, "RANGE_NOT_SATISFIABLE", b"HTTP/1.1 416 Range Not Satisfiable\r\n"),
        (418, "IM_A_TEAPOT", b"HTTP/1.1 418 I'm a Teapot\r\n"),
        (422, "UNPROCESSABLE_CONTENT", b"HTTP/1.1 422 Unprocessable Content\r\n"),
        (499, "HTTP_499", b"HTTP/1.1 499 \r\n"),
    ],
)
def test_statuses_have_the_same_names_on_every_python(status: int, code: str, line: bytes) -> None:
    assert problem_of(HTTPException(status)).code == code
    assert STATUS_LINES[status] == line


def test_unknown_exceptions_tell_nothing() -> None:
    problem = problem_of(KeyError("secret"))
    assert (problem.status, problem.message) == (500, "Internal server error")
