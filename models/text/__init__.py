"""A request as ids: the text tokenizer, and the layout of a prompt, made once and checked."""

from models.text.layout import Layout, LayoutBuilder
from models.text.text_tokenizer import TextTokenizer, byte_symbols

__all__ = [
    "Layout",
    "LayoutBuilder",
    "TextTokenizer",
    "byte_symbols",
]
