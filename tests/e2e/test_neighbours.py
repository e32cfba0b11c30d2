"""What one client does hinders no other: slow bodies, files that are dear to encode, many voices at once."""

import base64
import io
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import soundfile

from tests.deployments.helpers import make_clip
from tests.e2e.server import Server
from tests.e2e.speech import CLONE, SPEECH, SPOKEN, SYNTHESIZE, long_text
from tests.waiting import TIMEOUT, until

VOICES = 16


def test_a_body_that_does_not_come_is_given_up(server: Server) -> None:
    head = f"POST {SYNTHESIZE} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as slow:
        slow.sendall(head.encode() + b'\r\n{"text": "half of')
        began = time.monotonic()
        assert server.post(SYNTHESIZE, SPOKEN).status_code == 200
        answer = b"".join(iter(lambda: slow.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"error"' in answer
    assert 25 < time.monotonic() - began < 60


def test_a_file_that_is_dear_to_encode_stops_nobody(server: Server) -> None:
    """Opus takes a processor a thirtieth of the time that the speech lasts, which here is minutes."""
    body = {"model": "tts-1", "voice": "alloy", "input": long_text(130), "response_format": "opus", "stream": False}
    waits: list[float] = []
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
        whole = pool.submit(server.post, SPEECH, body)
        while not whole.done():
            began = time.monotonic()
            assert client.get("/livez").status_code == 200
            waits.append(time.monotonic() - began)
            time.sleep(0.05)
    audio, rate = soundfile.read(io.BytesIO(whole.result().content))
    assert len(audio) / rate > 100
    assert max(waits) < 2.0, "as long as everything else waited for the encoder"


def test_speech_goes_on_while_many_voices_are_made(server: Server) -> None:
    alone = server.post(SYNTHESIZE, SPOKEN).content
    clip = base64.b64encode(make_clip(29.0)).decode()
    bodies = [{"voice_name": f"Storm {number}", "reference_audio": clip} for number in range(VOICES)]
    left: list[int] = []  # voices that were still being made when a speech had ended that was asked for after theirs
    with ThreadPoolExecutor(VOICES) as pool:
        storm = [pool.submit(server.post, CLONE, body) for body in bodies]
        until(lambda: any(made.done() for made in storm))
        while not all(made.done() for made in storm):
            assert server.post(SYNTHESIZE, SPOKEN).content == alone
            left.append(sum(not made.done() for made in storm))
    answers = [made.result() for made in storm]
    assert {answer.status_code for answer in answers} <= {201, 429}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
    listed = [voice["id"] for voice in server.get("/api/v1/tts/voices").json()["voices"]]
    made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert made
    assert set(made) <= set(listed)
    assert max(left) >= VOICES // 4, "speech came last in the queue of voices"
