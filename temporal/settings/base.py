"""What every group of settings is made of."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST: Final = 10**9
"""Largest size or count; anything above is a typing error."""


class Settings(BaseModel):
    """Frozen values that are checked when they are made; unknown names are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


def _items(value: Any) -> Any:  # noqa: ANN401 - text of a command, a list of YAML, or a tuple
    """Return the items of a text like `64,32`; anything else as it is."""
    if isinstance(value, str):
        return [item.strip() for item in value.strip("()[] ").split(",") if item.strip()]
    return [value] if isinstance(value, int) else value


Share = Annotated[float, Field(ge=0, le=1)]
"""0 to 1."""
Rate = Annotated[float, Field(ge=0, le=0.99)]
"""Of dropout."""
Count = Annotated[int, Field(ge=1, le=MOST)]
CountOrNone = Annotated[int, Field(ge=0, le=MOST)]
"""0 switches it off."""
Factor = Annotated[float, Field(ge=0, le=1e6)]
Power = Annotated[float, Field(ge=0, le=2)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Widths = Annotated[tuple[Count, ...], BeforeValidator(_items)]
