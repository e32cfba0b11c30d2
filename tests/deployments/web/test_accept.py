import pytest

from deployments.web.accept import quality

WAV, JSON = "audio/wav", "application/json"


@pytest.mark.parametrize(
    ("accept", "media_type", "expected"),
    [
        ("", WAV, 1.0),
        ("*/*", WAV, 1.0),
        ("audio/*;q=0.5, */*;q=0.1", WAV, 0.5),
        ("audio/*;q=0.5, audio/wav", WAV, 1.0),
        ("audio/wav;q=0, */*", WAV, 0.0),
        ("Application/JSON; Q=0.3", JSON, 0.3),
        ("application/json;charset=utf-8;q=0.3", JSON, 0.3),
        ("application/json;q=much", JSON, 1.0),
        ("application/json;q=nan", JSON, 1.0),
        ("application/jsonlines", JSON, 0.0),
        (";,,", JSON, 0.0),
    ],
)
def test_the_most_specific_range_decides(accept: str, media_type: str, expected: float) -> None:
    assert quality(accept, media_type) == expected
