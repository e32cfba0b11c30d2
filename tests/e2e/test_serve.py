"""The whole of it: launcher, Ray Serve, four engines with embedded weights; HTTP, the OpenAI client, handles."""

import base64
import io
import json
import re
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

from tests.deployments.helpers import make_clip, refused_at_once, tree
from tests.e2e.server import Server
from tests.e2e.snippets import run_python, run_shell
from tests.e2e.speech import CLONE, DESIGN, DESIGNED, SPOKEN, SYNTHESIZE, samples_of
from tests.waiting import TIMEOUT

MODELS = ["base-small-bf16", "base-small-fp32", "voice-design-nf4", "voice-design-bf16"]


def test_what_the_launcher_says_to_type_works(server: Server, tmp_path: Path) -> None:
    said = "".join(server.output)
    assert "24 MB" in said
    commands = re.findall(r"^  (curl (?:.*\\\n)*.*)$", said, flags=re.MULTILINE)
    heard = [run_shell(command, server, tmp_path) for command in commands]
    assert [bool(text) for text in heard] == [False, False, True]
    assert [model["id"] for model in json.loads(heard[2])["models"]] == MODELS
    samples_of((tmp_path / "cloned.wav").read_bytes())
    samples_of((tmp_path / "designed.wav").read_bytes())


def test_status_lists_the_four_models_within_their_budgets(server: Server) -> None:
    models = {model["id"]: model for model in server.status()}
    assert list(models) == MODELS
    for model in models.values():
        assert (model["state"], model["weights"]) == ("ready", "embedded")
        assert model["load_seconds"] > 0
        assert 0 < model["resident_bytes"] <= model["budget_bytes"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_model_speaks(server: Server, model: str, stream: bool) -> None:
    path, body = (SYNTHESIZE, SPOKEN) if model.startswith("base") else (DESIGN, DESIGNED)
    answer = server.post(path, {**body, "model": model, "stream": stream, "format": "pcm"})
    assert (answer.status_code, answer.headers["x-model"]) == (200, model)
    whole = server.post(path, {**body, "model": model})
    np.testing.assert_array_equal(np.frombuffer(answer.content, "<i2"), samples_of(whole.content))


def test_speech_alone_and_in_company_is_the_same(server: Server) -> None:
    alone = server.post(SYNTHESIZE, SPOKEN).content
    bodies = [{**SPOKEN, "text": f"Sentence number {index}.", "seed": index} for index in range(5)] + [SPOKEN] * 3
    with ThreadPoolExecutor(len(bodies)) as pool:
        waiting = [pool.submit(server.post, SYNTHESIZE, body) for body in bodies]
        answers = [request.result() for request in waiting]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers[5:]} == {alone}


def test_json_holds_the_audio(server: Server) -> None:
    answer = server.post(SYNTHESIZE, SPOKEN, Accept="application/json").json()
    samples = samples_of(base64.b64decode(answer["audio"]))
    assert answer["duration_s"] == pytest.approx(len(samples) / 24_000, abs=0.001)


def test_a_cloned_voice_lives_until_it_is_deleted(server: Server) -> None:
    form = {"voice_name": "Bertha", "reference_text": "A tone."}
    clip = {"reference_audio": ("clip.flac", make_clip(audio_format="FLAC"))}
    made = httpx.post(server.url + CLONE, data=form, files=clip, timeout=TIMEOUT)
    assert (made.status_code, made.json()["mode"]) == (201, "icl")
    samples_of(server.post(SYNTHESIZE, {**SPOKEN, "voice": "bertha"}).content)
    assert httpx.delete(f"{server.url}/api/v1/tts/voices/bertha").status_code == 200
    assert server.post(SYNTHESIZE, {**SPOKEN, "voice": "bertha"}).status_code == 404


def test_bad_input_is_refused_at_once_and_the_server_goes_on_speaking(server: Server) -> None:
    lying = base64.b64encode(make_clip()[:20_000]).decode()
    server.post(SYNTHESIZE, SPOKEN)
    before = tree(server.voices)
    refusals = [
        (SYNTHESIZE, {**SPOKEN, "text": ""}, 400, "text"),
        (SYNTHESIZE, {**SPOKEN, "text": " \x00\x07"}, 400, "text"),
        (SYNTHESIZE, {**SPOKEN, "text": "a" * 100_000}, 400, "text"),
        (SYNTHESIZE, {**SPOKEN, "language": "klingon"}, 400, "language"),
        (SYNTHESIZE, {**SPOKEN, "voice": "nobody"}, 404, "voice"),
        (SYNTHESIZE, {**SPOKEN, "model": "nothing"}, 404, "model"),
        (SYNTHESIZE, {**SPOKEN, "model": "voice-design-nf4"}, 400, "model"),
        (SYNTHESIZE, {**SPOKEN, "format": "midi"}, 400, "format"),
        (SYNTHESIZE, {**SPOKEN, "colour": "red"}, 400, "colour"),
        (CLONE, {"voice_name": "x", "reference_audio": "%%%"}, 400, "reference_audio"),
        (CLONE, {"voice_name": "x", "reference_audio": lying}, 400, "reference_audio"),
    ]
    with httpx.Client(base_url=server.url) as client:  # making a client takes tens of milliseconds by itself
        for path, body, code, field in refusals:
            answer = refused_at_once(
                lambda path=path, body=body: client.post(path, json=body), lambda: client.get("/livez")
            )
            assert (answer.status_code, answer.json()["error"]["param"]) == (code, field)
    assert tree(server.voices) == before
    samples_of(server.post(SYNTHESIZE, SPOKEN).content)


def test_the_openai_client_speaks_unmodified(server: Server, tmp_path: Path) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused")
    assert [model.id for model in client.models.list()] == MODELS
    spoken = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello.", response_format="wav")
    with wave.open(io.BytesIO(spoken.content)) as file:
        assert file.getframerate() == 24_000
    mp3 = client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Hello.")
    assert mp3.response.headers["content-type"] == "audio/mpeg"
    target = tmp_path / "speech.pcm"
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="narrator_designed", input="Hello.", response_format="pcm", instructions="Calm."
    ) as streamed:
        streamed.stream_to_file(target)
    assert target.stat().st_size >= 3840
    with pytest.raises(openai.BadRequestError) as refusal:
        client.audio.speech.create(model="tts-1", voice="alloy", input=" ")
    assert refusal.value.param == "input"
    with pytest.raises(openai.NotFoundError):
        client.audio.speech.create(model="tts-1", voice="nobody", input="Hello.")


HANDLE_PROGRAM = """
import json
import ray
from ray import serve
from models import SynthesisRequest

ray.init(address="auto", logging_level="ERROR")
handle = serve.get_deployment_handle("base-small-bf16", app_name="tts")
request = SynthesisRequest("Hello from a handle.")
samples = handle.synthesize.remote(request, voice="narrator_cloned").result()
streaming = handle.options(stream=True)
pieces = [len(piece) for piece in streaming.stream.remote(request, voice="narrator_cloned")]
print(json.dumps({"dtype": str(samples.dtype), "samples": len(samples), "pieces": pieces}))
"""


def test_deployment_handles_speak_from_another_process(server: Server, tmp_path: Path) -> None:
    said = json.loads(run_python(HANDLE_PROGRAM, server, tmp_path).strip().rpartition("\n")[2])
    assert said["dtype"] == "float32"
    assert said["samples"] >= 1920
    assert len(said["pieces"]) > 1
    assert max(said["pieces"]) <= 0.5 * 24_000
