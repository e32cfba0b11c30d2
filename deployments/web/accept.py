"""What an Accept header says of a media type."""


def quality(accept: str, media_type: str) -> float:
    """How welcome a media type is, 0 to 1: the most specific range that covers it decides. No header welcomes all."""
    kind = media_type.partition("/")[0]
    found = (-1, 0.0)  # how specific the range is, and its weight
    for part in (accept or "*/*").split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name in (ranges := ("*/*", f"{kind}/*", media_type)):
            found = max(found, (ranges.index(name), _weight(parameters)))
    return found[1]


def _weight(parameters: list[str]) -> float:
    """The value of `q`, which is 1 where there is none, or none that is a number from 0 to 1."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if name.strip() == "q" and 0.0 <= weight <= 1.0:
            return weight
    return 1.0
