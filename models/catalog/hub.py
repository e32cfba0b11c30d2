"""Published checkpoints from the Hugging Face hub, into its ordinary cache: with a progress bar, and continued where an
earlier attempt broke off."""

from pathlib import Path

from models.errors import WeightsUnavailableError

_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "vocab.json",
    "merges.txt",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    "speech_tokenizer/config.json",
    "speech_tokenizer/configuration.json",
    "speech_tokenizer/preprocessor_config.json",
    "speech_tokenizer/model.safetensors",
)
_WAYS_OUT = (
    "Ways out: `embedded` weights need no download; a folder that holds the published directories; a mirror named in "
    "HF_ENDPOINT; a proxy named in HTTPS_PROXY."
)


def cached_file(name: str, file: str) -> Path | None:
    """A file of a checkpoint in the cache; None where it was not downloaded. Asks nobody."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = name.partition("@")
    found = try_to_load_from_cache(repository, file, revision=revision or None)
    return Path(found) if isinstance(found, str) else None


def download(name: str) -> Path:
    """The directory of a checkpoint such as "Qwen/Qwen3-TTS-12Hz-0.6B-Base" or "...@revision".

    What the cache has already is not fetched again. Raises WeightsUnavailableError when it cannot be had.
    """
    # Imported here: it costs half a second, which a start from a folder need not pay.
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType] - its stubs are partial
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(_FILES)))
    except RepositoryNotFoundError:
        message = f"hub:{name}: the hub has no such repository, or it is not public. {_WAYS_OUT}"
    except RevisionNotFoundError:
        message = f"hub:{name}: the repository has no such revision. {_WAYS_OUT}"
    except (OSError, ValueError) as error:  # no network, a broken transfer, a full disk, an impossible name
        message = f"hub:{name}: the download failed: {error}. {_WAYS_OUT}"
    raise WeightsUnavailableError(message)
