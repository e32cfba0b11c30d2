"""What a training of the voice works on: corpus, codes, text vocabulary and the architecture that follows from them."""

from dataclasses import dataclass
from pathlib import Path

from models import Kind
from models.architecture import Architecture, read_architecture
from models.catalog import SyntheticShape
from models.synthetic import Vocabulary, write_configuration
from models.text import TextTokenizer
from training.codec_shape import CODES
from training.corpus import Corpus
from training.examples import ExampleMaker, Mixture
from training.quantizer import CODEBOOK
from training.shape import voice_shape
from training.vocabulary import sound_vocabulary
from training.work import Work


@dataclass(frozen=True, slots=True)
class Material:
    """Opened once."""

    corpus: Corpus
    vocabulary: Vocabulary
    shape: SyntheticShape
    architecture: Architecture
    examples: ExampleMaker


def open_material(work: Work, mixture: Mixture | None = None) -> Material:
    """The corpus of a work folder with its codes; the configuration files land beside them."""
    corpus = Corpus(work)
    vocabulary = sound_vocabulary()
    shape = voice_shape(vocabulary, CODES, CODEBOOK)
    directory = configured(work, "base", shape, vocabulary)
    architecture = read_architecture(directory)
    examples = ExampleMaker(corpus, architecture, TextTokenizer.load(directory), mixture or Mixture())
    return Material(corpus, vocabulary, shape, architecture, examples)


def configured(work: Work, kind: Kind, shape: SyntheticShape, vocabulary: Vocabulary) -> Path:
    """The folder of a kind with every file but the weights."""
    directory = work.directory / "configuration" / kind
    write_configuration(directory, shape, kind, vocabulary)
    return directory
