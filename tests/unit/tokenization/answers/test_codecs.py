"""Every type of answer against examples written by hand, and random walks of its grammar."""

from __future__ import annotations

import pytest

from sciar.errors import RecordError, UsageError
from sciar.records import Protein
from sciar.testing import AnswerTests
from sciar.tokenization.answers.candidate_sites import CandidateSites
from sciar.tokenization.answers.contacts import Contacts
from sciar.tokenization.answers.digits import Digits
from sciar.tokenization.answers.label_position import ClassAndPosition, LabelPosition
from sciar.tokenization.answers.multi import MultiLabel
from sciar.tokenization.answers.number import Number
from sciar.tokenization.answers.ontology import Ontology
from sciar.tokenization.answers.per_residue import PerResidue
from sciar.tokenization.answers.pointing import Copying, Pointing
from sciar.tokenization.answers.single import SingleClass
from sciar.tokenization.answers.site_labels import SiteLabels
from sciar.tokenization.answers.sites import Sites
from sciar.tokenization.answers.structure_string import StructureString
from sciar.tokenization.answers.terms import Terms
from sciar.tokenization.answers.tree import Tree

MSTAY = Protein("MSTAY")
LONG = Protein("MSTAYKR" * 146)  # 1022 residues, the longest that the index tokens reach
ONE = Protein("M")
PAIR = Protein("MKV", "AG")


def words(text: str, prefix: str) -> tuple[str, ...]:
    return tuple(prefix + part for part in text.split())


class TestSingle(AnswerTests):
    def make_codec(self):
        return SingleClass(["connect", "disconnect"], "ppi")

    def make_examples(self):
        return [
            (PAIR, "connect", ("cls:ppi:connect",)),
            (ONE, "disconnect", ("cls:ppi:disconnect",)),
        ]


class TestMulti(AnswerTests):
    def make_codec(self):
        return MultiLabel(["Cytoplasm", "Nucleus", "Plastid"], "loc")

    def make_examples(self):
        return [
            (ONE, ("Cytoplasm", "Nucleus"), words("Cytoplasm Nucleus", "cls:loc:")),
            (ONE, (), ()),
        ]


class TestMultiExplicit(TestMulti):
    def make_codec(self):
        return MultiLabel(["Cytoplasm", "Nucleus", "Plastid"], "loc", "explicit")

    def make_examples(self):
        return [(ONE, ("Plastid",), ("cls:loc:Plastid",)), (ONE, (), ("<none>",))]


class TestMultiNever(TestMulti):
    def make_codec(self):
        return MultiLabel("AB", "x", "never")

    def make_examples(self):
        return [(ONE, ("A", "B"), ("cls:x:A", "cls:x:B"))]


class TestTree(AnswerTests):
    def make_codec(self):
        return Tree(["3.4.21.4", "3.4.21.-", "1.1.1.10", "1.1.1.9", "2.7.7.n1", "3.4.2.4"])

    def make_examples(self):
        trypsin = ("ec1:3", "ec2:4", "ec3:21", "ec4:4", "ec1:3", "ec2:4", "ec3:21", "ec4:-")
        return [
            (ONE, ("3.4.21.4", "3.4.21.-"), trypsin),
            (ONE, ("1.1.1.9", "1.1.1.10"), words("1:1 2:1 3:1 4:9 1:1 2:1 3:1 4:10", "ec")),
            (ONE, ("2.7.7.n1",), words("1:2 2:7 3:7 4:n1", "ec")),
        ]


class TestTreeFew(TestTree):
    def make_codec(self):
        return Tree(["1.1.1.1", "1.1.1.2", "1.1.1.3"], "explicit", max_numbers=2)

    def make_examples(self):
        return [(ONE, (), ("<none>",)), (ONE, ("1.1.1.3",), words("1:1 2:1 3:1 4:3", "ec"))]


SMALL = Ontology({"root": [], "a": ["root"], "b": ["root"], "ab": ["a", "b"], "rare": ["ab"]})


class TestTerms(AnswerTests):
    one_way_to_write = False  # the closed set follows from its specific terms

    def make_codec(self):
        return Terms(["ab", "b", "root", "a"], SMALL, "go_mf")

    def make_examples(self):
        return [
            (ONE, ("b", "root"), ("go_mf:b", "go_mf:root")),
            (ONE, ("ab", "b", "root", "a"), words("ab b root a", "go_mf:")),
            (ONE, (), ()),
        ]


class TestTermsSpecific(TestTerms):
    def make_codec(self):
        return Terms(["ab", "b", "root", "a"], SMALL, "go_mf", "specific", "explicit")

    def make_examples(self):
        return [(ONE, ("ab", "b", "root", "a"), ("go_mf:ab",)), (ONE, (), ("<none>",))]


class TestDigits(AnswerTests):
    def make_codec(self):
        return Digits(0, 9998, 4)  # z = (y + 1) / 10000

    def make_examples(self):
        return [
            (ONE, 0.0, words("0 . 0 0 0 1", "dig:")),
            (ONE, 5213.0, words("0 . 5 2 1 4", "dig:")),
            (ONE, 9998.0, words("0 . 9 9 9 9", "dig:")),
        ]

    def test_decode_inverts_encode(self) -> None:
        codec = self.make_codec()
        for protein, value, tokens in self.make_examples():
            assert abs(codec.decode(tokens, protein) - value) < 1e-6


class TestPlainDigits(AnswerTests):
    def make_codec(self):
        return Digits(-12.5, 104.26, 2, scaled=False)

    def make_examples(self):
        return [
            (ONE, 0.57, words("+ 0 0 0 . 5 7", "dig:")),
            (ONE, -12.5, words("- 0 1 2 . 5 0", "dig:")),
            (ONE, 0.0, words("+ 0 0 0 . 0 0", "dig:")),
            (ONE, 104.26, words("+ 1 0 4 . 2 6", "dig:")),
        ]


class TestNegativeDigits(AnswerTests):
    def make_codec(self):
        return Digits(-3.2, -1.1, 1, scaled=False)

    def make_examples(self):
        return [(ONE, -1.1, words("- 1 . 1", "dig:")), (ONE, -3.2, words("- 3 . 2", "dig:"))]


class TestNumber(AnswerTests):
    def make_codec(self):
        return Number(50.0, 4.0)

    def make_examples(self):
        return [(ONE, 58.0, ("<number>",)), (LONG, 49.0, ("<number>",))]


class TestClassAndPosition(AnswerTests):
    def make_codec(self):
        return ClassAndPosition(["other", "sp", "mt"], ["other"], "signal")

    def make_examples(self):
        return [
            (MSTAY, LabelPosition("sp", 2), ("cls:signal:sp", "idx:3")),
            (MSTAY, LabelPosition("other", None), ("cls:signal:other", "idx:0")),
            (ONE, LabelPosition("mt", 0), ("cls:signal:mt", "idx:1")),
            (LONG, LabelPosition("mt", 1021), ("cls:signal:mt", "idx:1022")),
        ]


class TestPerResidue(AnswerTests):
    walks = 10

    def make_codec(self):
        return PerResidue("HEC", "ss")

    def make_examples(self):
        return [
            (MSTAY, "CHHEC", words("C H H E C", "cls:ss:")),
            (ONE, "E", ("cls:ss:E",)),
            (LONG, "HC" * 511, words("H C " * 511, "cls:ss:")),
        ]


class TestPerResidueWords(AnswerTests):
    def make_codec(self):
        return PerResidue(["coil", "helix"], "ss")

    def make_examples(self):
        return [(Protein("MK"), ("coil", "helix"), ("cls:ss:coil", "cls:ss:helix"))]


class Test3Di(AnswerTests):
    def make_codec(self):
        return StructureString()

    def make_examples(self):
        return [(Protein("MKV"), "DPV", ("3di:D", "3di:P", "3di:V"))]


class TestCodes(AnswerTests):
    def make_codec(self):
        return StructureString("vq", 4096)

    def make_examples(self):
        return [(PAIR, (0, 4095, 7), ("vq:0", "vq:4095", "vq:7"))]


class TestSites(AnswerTests):
    walks = 15

    def make_codec(self):
        return Sites()

    def make_examples(self):
        return [
            (MSTAY, (1, 3), ("idx:2", "idx:4")),
            (ONE, (), ()),
            (LONG, (0, 1021), ("idx:1", "idx:1022")),
        ]


class TestSitesOfLetters(AnswerTests):
    def make_codec(self):
        return Sites("sty", empty="explicit")

    def make_examples(self):
        return [
            (MSTAY, (1, 4), ("idx:2", "idx:5")),
            (MSTAY, (), ("<none>",)),
            (ONE, (), ("<none>",)),
        ]


class TestPartnerSites(AnswerTests):
    def make_codec(self):
        return Sites(chain=1)

    def make_examples(self):
        return [(PAIR, (0, 1), ("idx:1", "idx:2"))]


class TestCandidates(AnswerTests):
    def make_codec(self):
        return CandidateSites("STY")

    def make_examples(self):
        return [(MSTAY, (2,), ("idx:3",)), (MSTAY, (), ()), (ONE, (), ())]

    def test_the_prompt_lists_the_candidates(self) -> None:
        codec = self.make_codec()
        assert codec.prompt(MSTAY) == ("idx:2", "idx:3", "idx:5", "<sep>")
        assert codec.prompt(ONE) == ("<sep>",)


class TestContacts(AnswerTests):
    def make_codec(self):
        return Contacts(max_pairs=5)

    def make_examples(self):
        return [
            (PAIR, ((0, 1), (2, 0)), ("idx:1", "idx:2", "idx:3", "idx:1")),
            (PAIR, ((2, 0), (2, 1)), ("idx:3", "idx:1", "idx:3", "idx:2")),
            (PAIR, (), ()),
            (Protein("A", "G"), ((0, 0),), ("idx:1", "idx:1")),
        ]

    def test_the_prompt_gives_the_lengths(self) -> None:
        assert self.make_codec().prompt(PAIR) == ("idx:3", "idx:2", "<sep>")


class TestContactsWithin(AnswerTests):
    def make_codec(self):
        return Contacts(chains=1, separation=3)

    def make_examples(self):
        return [
            (MSTAY, ((0, 3), (1, 4)), ("idx:1", "idx:4", "idx:2", "idx:5")),
            (Protein("MKV"), (), ()),  # too short for any contact
        ]

    def test_the_prompt_gives_the_length(self) -> None:
        assert self.make_codec().prompt(MSTAY) == ("idx:5", "<sep>")


class TestPointing(AnswerTests):
    def make_codec(self):
        return Pointing(motif="S")

    def make_examples(self):
        return [(Protein("MSKSR"), (1, 3), ("idx:2", "idx:4"))]

    def test_labels_follow_from_the_sequence(self) -> None:
        assert self.make_codec().derive(Protein("MSKSR")) == (1, 3)
        assert self.make_codec().derive(Protein("MK")) is None
        assert Pointing(motif="AA").derive(Protein("AAACAA")) == (0, 1, 4)
        assert Pointing("runs").derive(Protein("AAACGG")) == (0, 4)
        assert Pointing("runs").derive(Protein("ACA")) is None


class TestCopying(AnswerTests):
    def make_codec(self):
        return Copying()

    def make_examples(self):
        classes = ("hydrophobic", "positive", "aromatic", "negative", "polar", "special")
        return [(Protein("MKWDSX"), classes, tuple(f"cls:residue:{name}" for name in classes))]

    def test_labels_follow_from_the_sequence(self) -> None:
        ((protein, value, _),) = self.make_examples()
        assert self.make_codec().derive(protein) == value


class TestSiteLabels(AnswerTests):
    codec = SiteLabels("sty")
    subject = Protein("MSGTAY")

    def make_codec(self):
        return SiteLabels("STY")

    def make_examples(self):
        return [(self.subject, "010001", words("0 1 0 0 0 1", "cls:site:"))]

    def test_positions_and_text_are_the_same(self) -> None:
        tokens = self.codec.encode([1, 5], self.subject)
        assert tokens == self.codec.encode("010001", self.subject)
        assert self.codec.decode(tokens, self.subject) == "010001"
        assert self.codec.forced(self.subject).tolist() == [0, -1, 0, -1, 0, -1]
        assert SiteLabels().forced(self.subject) is None
        assert SiteLabels().decode(SiteLabels().encode([0], self.subject), self.subject) == "100000"

    @pytest.mark.parametrize("value", [[0], "100000", "01000", "01000x", [6], [1, 1], 3])
    def test_what_is_no_label_is_refused(self, value: object) -> None:
        with pytest.raises(RecordError):
            self.codec.encode(value, self.subject)

    def test_residues_are_letters(self) -> None:
        with pytest.raises(UsageError, match="letters"):
            SiteLabels("S,T")
