"""Tests for third parties: give a tokenizer, a codec of answers or a head, inherit its tests.

    from sciar.testing import TokenizerTests

    class TestMyTokenizer(TokenizerTests):
        def make_tokenizer(self):
            return MyTokenizer()

        def make_structures(self):
            return [...]

        def make_inexpressible(self):
            return ...

pytest collects the inherited methods; nothing else is needed.
"""

from sciar.testing.answers import AnswerTests
from sciar.testing.heads import HeadTests
from sciar.testing.tokenizers import TokenizerTests

__all__ = ["AnswerTests", "HeadTests", "TokenizerTests"]
