"""What a training of the voice works on: corpus, codes, text vocabulary and the architecture that follows from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.architecture import Architecture, Kind, read_architecture
from models.synthetic.shapes import SyntheticShape
from models.synthetic.vocabulary import Vocabulary
from models.synthetic.writing import write_configuration
from models.text_tokenizer import TextTokenizer
from training.corpus import Corpus
from training.examples import ExampleMaker, Mixture
from training.quantizer import CODEBOOK, GROUPS
from training.shape import voice_shape
from training.vocabulary import learn_vocabulary
from training.work import Work

_DROPPED = 0.1  # of the text's merges, where that does no harm


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
    vocabulary = learn_vocabulary(one.text for one in corpus.split("train"))
    shape = voice_shape(vocabulary, GROUPS, CODEBOOK)
    directory = configured(work, "base", shape, vocabulary)
    plain, dropping = TextTokenizer.load(directory), TextTokenizer.load(directory)
    dropping.drop_merges(_DROPPED)
    architecture = read_architecture(directory)
    codes = np.load(work.codes, mmap_mode="r")
    return Material(
        corpus, vocabulary, shape, architecture, ExampleMaker(corpus, codes, architecture, plain, dropping, mixture or Mixture())
    )


def configured(work: Work, kind: Kind, shape: SyntheticShape, vocabulary: Vocabulary) -> Path:
    """The folder of a kind with every file but the weights."""
    directory = work.directory / "configuration" / kind
    write_configuration(directory, shape, kind, vocabulary)
    return directory
