from starlette.datastructures import Headers

from deployments.web.layers.repeat import repeat_of


def repeat(**headers: str) -> object:
    return repeat_of(Headers({name.replace("_", "-"): value for name, value in headers.items()}))


def test_who_does_not_say_that_it_comes_again_is_not_waited_for() -> None:
    assert repeat(authorization="Bearer a", x_request_id="1") is None


def test_the_tries_of_a_client_are_alike_and_those_of_others_are_not() -> None:
    first = repeat(authorization="Bearer a", x_stainless_retry_count="0")
    assert first == repeat(authorization="Bearer a", x_stainless_retry_count="1")
    others = [
        repeat(authorization="Bearer b", x_stainless_retry_count="0"),
        repeat(x_stainless_retry_count="0"),
        repeat(authorization="Bearer a", idempotency_key=""),
        repeat(authorization="Bearer a", idempotency_key="one"),
        repeat(authorization="Bearer a", idempotency_key="two"),
        repeat(authorization="Bearer b", idempotency_key="one"),
    ]
    assert len({first, *others}) == 7


def test_no_key_is_kept() -> None:
    assert "secret" not in repr(repeat(authorization="Bearer secret", idempotency_key="secret"))
