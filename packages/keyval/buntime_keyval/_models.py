"""Types that Pydantic validates, where a store is given one. It is no dependency: an application
with such a type has installed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import msgspec

from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.shapes import MutationType

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_OF_A_MODEL = "__pydantic_validator__"
"""Models have it, and dataclasses of Pydantic."""


def model_of(type: Any) -> Model | None:
    """The validation of a type that is, or holds, a model of Pydantic; None for all others.

    Raises `InvalidInput` for one that Pydantic cannot validate.
    """
    if not _holds_model(type):
        return None
    from pydantic import PydanticUserError, TypeAdapter

    try:
        return Model(type, TypeAdapter(type))
    except PydanticUserError as error:
        raise InvalidInput(f"{type!r} cannot be the type of a store: {error}") from None


def _holds_model(type: Any) -> bool:
    return hasattr(type, _OF_A_MODEL) or any(map(_holds_model, get_args(type)))


class Model:
    """Validation by Pydantic, with its rules and names; errors are those of msgspec."""

    def __init__(self, type: Any, adapter: TypeAdapter[Any]) -> None:
        self._type = type
        self._adapter = adapter

    def plain(self, value: Any) -> Any:
        """A value as data, as the type writes its JSON. Raises `msgspec.ValidationError`."""
        from pydantic import ValidationError
        from pydantic_core import PydanticSerializationError

        try:
            made = self._adapter.validate_python(value)
            return self._adapter.dump_python(made, mode="json", by_alias=True, warnings=False)
        except ValidationError as error:
            raise _told(error) from error
        except PydanticSerializationError as error:
            raise msgspec.ValidationError(str(error)) from error

    def convert(self, value: Any) -> Any:
        """A value of the type, of data. Raises `msgspec.ValidationError`."""
        from pydantic import ValidationError

        try:
            # As JSON, so that strict models accept their own output.
            return self._adapter.validate_json(msgspec.json.encode(value, enc_hook=_number))
        except ValidationError as error:
            raise _told(error) from error

    def check_merged(self, kind: MutationType, operand: Any) -> None:
        """Raise `msgspec.ValidationError` for what no model can have merged into it."""
        fields = getattr(self._type, "model_fields", None)
        if fields is None:
            return
        if kind != "patch":
            raise msgspec.ValidationError(f"{kind} is for numbers and lists, and a model is none")
        if not isinstance(operand, dict):
            self.convert(operand)  # it takes the place of the value
        elif self._type.model_config.get("extra") != "allow":
            known = {field.alias or name for name, field in fields.items()}
            if self._type.model_config.get("populate_by_name"):
                known |= fields.keys()
            for name in operand:
                if name not in known:
                    raise msgspec.ValidationError(
                        f"There is no member `{name}` (known: {', '.join(sorted(known))})"
                    )


def _told(error: ValidationError) -> msgspec.ValidationError:
    """The first thing that is wrong, and where."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = "".join(f"[{it}]" if isinstance(it, int) else f".{it}" for it in first["loc"])
    return msgspec.ValidationError(f"{first['msg']} - at `${place}`")


def _number(value: object) -> Any:
    if isinstance(value, int):  # BigInt, which msgspec does not know
        return int(value)
    raise TypeError(f"objects of type {type(value).__name__} are not supported")
