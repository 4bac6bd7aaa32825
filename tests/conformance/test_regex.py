"""Regular expressions: what each pattern fits, and replaces, under real TensorFlow and here."""

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("ops")]

_WORDS = r"""
a+ (a|b)* [a-c]+x? \d+ \s \w+ \bfoo\b ^a a$ (?i)ab (?i:ab)c (?m)^a$ (?s). . a{2,3} a{,2} a{2 x*
(a)(b)? (?P<n>a)b \Qa.b\E [[:alpha:]]+ [^[:digit:]] [\d\-]+ []a]+ [a\]]+ \pL+ \p{Lu} \PN [^\n]+
a|b| a*? a+?b (?:a|ab)(?:c|bcd) (?U)a+ é [à-ü] \x41 \x{e9} \101 \A \z \t [\x00-\x1f] (?i)É
(?i)straße [a&&b] a{0} $a (a{2}){3} ^* a?b?? (?-i)a (?i-s:a)B [^a] (?i)k \v [\v] \S+ \W \D
(?i)[a-z]+ a.*b.*c (|a)+ (a*)+ (a*)* (?:) x{0,0} \- \_ [é] (?s)a.b (?im)^B .* [\w.]+ a||b (a|)b
(a)(?i)b|c (?i)[^k] (?:(a)|b)* (a|b)*?b (a??)+ (?=a) (?!a) (?<=a) a** a*+ (a a) [a \ \1 (?#c)a \Z
a{1001} *a [b-a] (?z)a \k \8 \h ( \é [\b] (?P<>a)
"""
PATTERNS = _WORDS.split()
TEXTS = [
    *("", "a", "aa", "ab", "aab", "abcd", "foo bar", "Foo", "a\nb", "b\na", "AB", "aBc", "abC"),
    *("12 3", "é", "É", "über", "a.b", "a-b]", "x", "xxx", "\t", "\x01", "naïve café", "\u212a"),
    *("ſ", "a1b2", "K", "aaaa", "bbb", "a\x0bb", " a ", "_a-", "straSSe", "straße", "A", "B"),
]


def _outcome(tf, pattern):
    found = []
    with tf.Graph().as_default(), tf.Session() as session:
        texts = tf.constant(TEXTS)
        made = [tf.strings.regex_full_match(texts, pattern)] + [
            tf.strings.regex_replace(texts, pattern, rewrite, everywhere)
            for rewrite in (r"<\0>", r"\1") for everywhere in (True, False)
        ]  # fmt: skip
        for tensor in made:
            try:
                found.append(np.asarray(session.run(tensor)).tolist())
            except tf.errors.InvalidArgumentError as error:
                lines = str(error).split("\n")
                found.append(next(line for line in lines if line.startswith("Invalid pattern")))
    return found


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern(pattern, tf):
    assert _outcome(tfsession, pattern) == _outcome(tf, pattern)
