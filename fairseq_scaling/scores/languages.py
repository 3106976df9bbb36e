"""How a language is cut into words for scoring: sacrebleu's tokenizer for it, and whether it writes spaces."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import SettingError

DEFAULT_TOKENIZER = "13a"
# The tokenizers that sacrebleu itself chooses (``BLEU(trg_lang=...)``).
_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
# Languages written without spaces between words. sacrebleu has no tokenizer for those that are not listed above: they
# are scored by character, as is usual where words cannot be told apart.
UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my", "bo", "dz"})
_THREE_LETTERS = {
    "zho": "zh", "chi": "zh", "cmn": "zh", "yue": "zh", "jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo", "khm": "km",
    "mya": "my", "bur": "my", "bod": "bo", "tib": "bo", "dzo": "dz",
}  # fmt: skip
# Thai, Lao, Tibetan, Burmese, Khmer, Japanese syllables, Chinese characters
_UNSPACED_LETTER = "[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
_WORD = re.compile(rf"{_UNSPACED_LETTER}|(?:(?!{_UNSPACED_LETTER})\w)+")


def language_of(code: str) -> str:
    """Return the language of a code as corpora and models write them: ``zho_Hans``, ``zh_CN``, ``zh-TW`` -> ``zh``."""
    first = re.split(r"[-_.]", code.strip().lower())[0]
    return _THREE_LETTERS.get(first, first)


def is_unspaced(code: str | None) -> bool:
    """Return whether the language writes no spaces between words."""
    return code is not None and language_of(code) in UNSPACED


def tokenizer_for(code: str | None) -> str:
    """Return the name of the tokenizer with which sacrebleu cuts this language into words for BLEU.

    It is sacrebleu's own choice: ``zh`` for Chinese, ``ja-mecab`` for Japanese, ``ko-mecab`` for Korean, else ``13a``;
    ``char`` for the languages without spaces that sacrebleu has no tokenizer for.

    Args:
        code: the target language, in any of the usual spellings; None where it is unknown.
    """
    language = language_of(code) if code else ""
    return _TOKENIZERS.get(language, "char" if language in UNSPACED else DEFAULT_TOKENIZER)


def check_tokenizer(name: str) -> None:
    """Raise SettingError unless sacrebleu has this tokenizer and the packages that it needs are installed.

    A study calls this before it trains anything.
    """
    from sacrebleu.metrics import BLEU

    if name not in BLEU.TOKENIZERS:
        raise SettingError("--bleu-tokenizer", name, "no such tokenizer", f"choose from {', '.join(BLEU.TOKENIZERS)}")
    try:
        BLEU(tokenize=name)
    except (ImportError, RuntimeError, OSError) as error:
        language = {"ja-mecab": "ja", "ko-mecab": "ko"}.get(name)
        if language is None:
            reason = str(error).strip().partition("\n")[0]
            raise SettingError("--bleu-tokenizer", name, f"cannot be used here ({reason})") from None
        raise SettingError(
            "--bleu-tokenizer",
            name,
            f"sacrebleu's tokenizer for the language {language} is not installed",
            f'pip install "sacrebleu[{language}]", or score characters with --bleu-tokenizer char',
        ) from None


def unspaced_share(texts: Iterable[str]) -> float:
    """Return which share of the letters belongs to scripts that are written without spaces, from 0 to 1."""
    letters = unspaced = 0
    for text in texts:
        letters += sum(map(str.isalpha, text))
        unspaced += len(re.findall(_UNSPACED_LETTER, text))
    return min(1.0, unspaced / letters) if letters else 0.0


def split_words(text: str) -> list[str]:
    """Return the lower-case words of a text, and each letter of a script without spaces as a word of its own."""
    return _WORD.findall(text.lower())
