"""Text of other people's: kept where it is good, treated alike everywhere, and counted where it is changed."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import sacrebleu
from click.testing import CliRunner

from fairseq_scaling.data.corpus import Corpus
from preprocess.__main__ import main as cli
from preprocess.clean import clean
from preprocess.cleaning.filters import reject_line, reject_pair
from preprocess.cleaning.lengths import count_words
from preprocess.cleaning.normalise import normalise
from preprocess.cleaning.profile import LanguageProfile
from preprocess.encode import encode
from preprocess.fetch import fetch
from preprocess.remarks import remarks
from preprocess.settings import CleanSettings, Limits, SentencePieceSettings
from preprocess.sources import Request, open_source
from preprocess.train_sentencepiece import train_sentencepiece
from tests.preprocess.samples import sentence

WriteRaw = Callable[..., Path]

# One sentence of news and its translations, and a short string of a menu.
ENGLISH = "The government announced on Tuesday that it will build three new hospitals in the north of the country."
TRANSLATIONS = {
    "zh": "政府星期二宣布将在该国北部新建三所医院。",
    "ja": "政府は火曜日、国の北部に三つの新しい病院を建設すると発表した。",
    "ko": "정부는 화요일에 나라의 북부에 새 병원 세 곳을 짓겠다고 발표했다.",
    "th": "รัฐบาลประกาศเมื่อวันอังคารว่าจะสร้างโรงพยาบาลใหม่สามแห่งทางตอนเหนือของประเทศ",
    "lo": "ລັດຖະບານປະກາດໃນວັນອັງຄານວ່າຈະສ້າງໂຮງໝໍໃໝ່ສາມແຫ່ງຢູ່ພາກເໜືອຂອງປະເທດ",
    "km": "រដ្ឋាភិបាលបានប្រកាសកាលពីថ្ងៃអង្គារថានឹងសាងសង់មន្ទីរពេទ្យថ្មីចំនួនបីនៅភាគខាងជើងនៃប្រទេស",
    "my": "အစိုးရက နိုင်ငံမြောက်ပိုင်းတွင် ဆေးရုံသစ်သုံးရုံ ဆောက်လုပ်မည်ဟု အင်္ဂါနေ့တွင် ကြေညာခဲ့သည်။",
    "bo": "གཞུང་གིས་རྒྱལ་ཁབ་ཀྱི་བྱང་ཕྱོགས་སུ་སྨན་ཁང་གསར་པ་གསུམ་རྒྱག་རྒྱུ་ཡིན་པ་གཟའ་མིག་དམར་ལ་གསལ་བསྒྲགས་བྱས།",
    "ar": "أعلنت الحكومة يوم الثلاثاء أنها ستبني ثلاثة مستشفيات جديدة في شمال البلاد.",
    "he": "הממשלה הודיעה ביום שלישי כי תבנה שלושה בתי חולים חדשים בצפון המדינה.",
    "hi": "सरकार ने मंगलवार को घोषणा की कि वह देश के उत्तर में तीन नए अस्पताल बनाएगी।",
}


@pytest.mark.parametrize("language", sorted(TRANSLATIONS))
def test_a_good_pair_stays_whatever_the_script(language: str) -> None:
    assert reject_pair((ENGLISH, TRANSLATIONS[language]), Limits()) is None
    assert reject_pair((TRANSLATIONS[language], ENGLISH), Limits()) is None
    assert reject_line((TRANSLATIONS[language],), Limits()) is None
    # A translation of a third of the text is no translation, in any script.
    cut = TRANSLATIONS[language][: len(TRANSLATIONS[language]) // 5]
    assert reject_pair((ENGLISH, cut), Limits()) == "ratio"


@pytest.mark.parametrize("language", sorted(TRANSLATIONS))
def test_words_are_counted_alike_in_every_script(language: str) -> None:
    """The English sentence has 18 words; no translation counts for less than half or more than twice of that."""
    assert count_words(ENGLISH) == 18
    assert 9 <= count_words(TRANSLATIONS[language]) <= 36
    assert count_words(3 * TRANSLATIONS[language]) >= 27
    limits = Limits(mono_max_words=15)
    assert reject_line((3 * TRANSLATIONS[language],), limits) == "length"


def test_a_name_in_another_alphabet_makes_no_line_foreign() -> None:
    chinese = [TRANSLATIONS["zh"], "医院的电脑使用新系统。", "政府购买了新的电脑。"] * 9
    hebrew = ["הממשלה קנתה מחשבים חדשים", "בית החולים נבנה בצפון", "המדינה הודיעה על מערכת"] * 9
    english = ["the new Windows system runs on Windows computers", "a hospital in the north", ENGLISH] * 9
    profile = LanguageProfile({"zh": chinese, "he": hebrew, "en": english})
    assert not profile.is_other("医院的电脑使用 Windows 系统。", "zh")
    assert not profile.is_other("משרדים שונים רכשו Windows", "he")
    assert profile.is_other("the hospital runs the new system", "zh")
    assert profile.is_other("the hospital runs the new system", "he")
    assert not profile.is_other("ראו https://example.org/the/new/system/in/the/north", "he")


LINES = [
    "It cost ~50 euros.",
    "Rock&roll and R&D, AT&T.",
    "Set max_len to 10 in _config_.",
    "We know that a <b and c> d holds.",
    "The iPhone sold well in the U.S.A.",
    "100 % of 50%, or %s and {name}?",
    "See https://example.org/a_b?c=d&e=f or mail me@example.org",
    "Call main() --verbose, C:\\new\\table, 0xff",
    "😀👩‍👩‍👧🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "12 345 – 678",
    "Ｆｕｌｌ　ｗｉｄｔｈ，ｔｏｏ！",
    "« Il a dit : “oui” … »",
    "&amp; and &lt;b&gt; written out",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "می‌خواهم و کتاب‌ها",
    "soft\u00adhyphen, zero\u200bwidth, no\u00a0break",
    *TRANSLATIONS.values(),
]


@pytest.mark.parametrize("choice", ["none", "nfc"])
@pytest.mark.parametrize("line", LINES)
def test_text_that_is_from_no_catalogue_is_kept(line: str, choice: str) -> None:
    assert normalise(line, "en", choice) == (line, [])
    assert reject_line((line,), Limits()) is None


def test_what_changes_text_is_named() -> None:
    decomposed = unicodedata.normalize("NFD", "déjà vu")
    assert normalise(decomposed, "fr", "nfc") == ("déjà vu", ["Unicode form"])
    assert normalise(decomposed, "fr", "none") == (decomposed, [])
    assert normalise("a\tb\u2028c  d\x85e ", "fr", "none") == ("a b c d e", ["spaces"])
    assert normalise("« oui » …", "fr", "moses") == ('" oui " ...', ["punctuation"])
    changes = ["markup", "escapes", "accelerators", "spaces"]
    assert normalise("<b>_File</b>\\n", "en", "nfc", catalogue=True) == ("File", changes)
    assert normalise("_File", "en", "nfc", catalogue=True, accelerators=False) == ("_File", [])


def test_changes_are_counted_and_rules_for_catalogues_can_be_switched_on_and_off(
    write_raw: WriteRaw, tmp_path: Path
) -> None:
    text = [*(f"{sentence(7 * number)[0]} Rock&roll {number}" for number in range(40)), "<b>Bold</b> is this_text"]
    settings = {"mono_valid": 5, "language_check": False}
    results = {}
    for rules in ("auto", "always", "never"):
        for catalogue in (False, True):
            raw = write_raw({"en": text}, {}, name=f"{rules}{catalogue}", catalogue=catalogue)
            out = tmp_path / f"clean {rules}{catalogue}"
            chosen = CleanSettings(normalise="nfc", catalogue_rules=rules, **settings)  # type: ignore[arg-type]
            manifest = clean(raw, out, chosen)
            results[rules, catalogue] = manifest["text"]["changed"]["mono en"], manifest["filters"]["mono en"]["train"]
    assert results["auto", False] == results["never", False] == results["never", True] == ({}, 36)
    changed = {"accelerators": 41, "markup": 1, "spaces": 1}
    assert results["auto", True] == results["always", False] == results["always", True] == (changed, 36)


def test_one_folder_may_hold_text_of_a_catalogue_and_other_text(write_raw: WriteRaw, tmp_path: Path) -> None:
    text = [f"_Open {sentence(7 * number)[0]}" for number in range(60)]
    raw = write_raw({"en": text}, {})
    manifest = json.loads((raw / "raw.json").read_text())
    manifest["parts"]["en"] = [[25, True], [35, False]]
    (raw / "raw.json").write_text(json.dumps(manifest))
    described = clean(raw, tmp_path / "clean", CleanSettings(mono_valid=5, language_check=False))
    assert described["text"]["normalise"] == "nfc"  # moses is for catalogues alone
    assert described["text"]["changed"]["mono en"] == {"accelerators": 25}


TYPOGRAPHIC = [(f"“{one[:-1]}” – it’s so…", f"« {other[:-1]} » – c’est ça…") for one, other in map(sentence, range(80))]


def corpus_of(raw: Path, folder: Path, normalise: str = "auto", characters: float = 1.0) -> Corpus:
    clean(raw, folder / "clean", CleanSettings(valid=5, test=5, mono_valid=5, normalise=normalise))
    settings = SentencePieceSettings(vocab_size=55, threads=1, character_coverage=characters)
    train_sentencepiece(folder / "clean", folder / "sentencepiece.model", settings)
    return encode(folder / "clean", folder / "sentencepiece.model", folder / "corpus")


@pytest.mark.parametrize("choice", ["auto", "none", "nfc", "moses"])
def test_model_input_is_treated_alike_everywhere_and_the_reference_stays(
    choice: str, write_raw: WriteRaw, tmp_path: Path
) -> None:
    mono = [side for side, _ in map(sentence, range(300, 360))] + [left for left, _ in TYPOGRAPHIC[:20]]
    given = {("en-fr", "test"): TYPOGRAPHIC[60:], ("en-fr", "valid"): TYPOGRAPHIC[40:60]}
    corpus = corpus_of(write_raw({"en": mono}, {"en-fr": TYPOGRAPHIC[:40]}, given), tmp_path, choice)
    assert corpus.manifest["text"]["normalise"] == {"auto": "nfc"}.get(choice, choice)
    for split in ("valid", "test"):
        for side, language in enumerate(("en", "fr")):
            size = corpus.manifest["pairs"]["en-fr"][split]
            assert size["unknown_tokens"][language] == 0
            other = "fr" if language == "en" else "en"
            raw = corpus.reference(other, language, split).read_text(encoding="utf-8").split("\n")[:-1]
            assert raw == [pair[side] for pair in given["en-fr", split]]
    reference = [right for _, right in TYPOGRAPHIC[60:]]
    read = (tmp_path / "clean/pairs.en-fr.test.fr.txt").read_text(encoding="utf-8").split("\n")[:-1]
    best = sacrebleu.corpus_bleu(read, [reference]).score
    changed = [remark for remark in remarks(corpus.manifest) if "--normalise" in remark]
    if choice == "moses":  # what a perfect model could score, and a note that says so
        assert best < 80
        assert any("en-fr test, fr: --normalise moses changes 20 of 20 lines" in remark for remark in changed)
    else:
        assert best == pytest.approx(100)
        assert not changed


def test_many_unknown_tokens_and_characters_that_training_never_saw_are_said(
    write_raw: WriteRaw, tmp_path: Path
) -> None:
    pairs = [sentence(number) for number in range(60)]
    given = [(f"☃ {left} ☃☃", f"{right} ☂") for left, right in map(sentence, range(60, 70))]
    raw = write_raw({"en": [left for left, _ in pairs]}, {"en-fr": pairs}, {("en-fr", "test"): given})
    corpus = corpus_of(raw, tmp_path)
    test = corpus.manifest["pairs"]["en-fr"]["test"]
    # Every snowman is <unk>; two that follow each other are one piece.
    assert test["unknown_tokens"] == {"en": 20, "fr": 10}
    assert corpus.manifest["vocabulary"]["unknown_tokens"] == 30
    unseen = corpus.manifest["text"]["unseen_characters"]["en-fr"]["test"]
    assert unseen["en"]["count"] == 30
    assert unseen["en"]["most_frequent"] == {"☃": 30}
    assert unseen["fr"]["characters"] == sum(len(right.replace(" ", "")) for _, right in given)
    notes = remarks(corpus.manifest)
    share = 20 / test["tokens"]["en"]
    assert any(f"{share:.1%} of the tokens of en-fr test, en are unknown" in note for note in notes)
    assert any("en-fr test, fr: 10 of " in note and note.endswith("in no training text: ☂") for note in notes)


def test_a_pair_may_have_several_test_sets_with_names(tmp_path: Path) -> None:
    pairs = [sentence(7 * number) for number in range(200)]
    for name, chosen in (("train", pairs[60:]), ("nt14", pairs[:20]), ("nt15", pairs[20:45]), ("nt16", pairs[45:60])):
        for side, language in enumerate(("en", "fr")):
            (tmp_path / f"{name}.{language}").write_text("".join(pair[side] + "\n" for pair in chosen))

    def files(name: str) -> str:
        return f"{tmp_path}/{name}.en,{tmp_path}/{name}.fr"

    command = ["fetch", "--source", "files", "--languages", "en", "--mono", f"en={tmp_path}/train.en", "--pairs"]
    command += ["en-fr", "--pair", f"en-fr={files('train')}", "--test", f"en-fr:newstest2014={files('nt14')}"]
    command += ["--test", f"en-fr={files('nt15')}", "--test", f"en-fr={files('nt16')}", "--out", f"{tmp_path}/raw"]
    assert CliRunner().invoke(cli, command).exit_code == 0
    corpus = corpus_of(tmp_path / "raw", tmp_path)
    assert corpus.manifest["test_sets"]["en-fr"] == {"test": "newstest2014", "test1": "nt15", "test2": "nt16"}
    assert [len(corpus.pair("fr", "en", split)[0]) for split in ("test", "test1", "test2")] == [20, 25, 15]
    assert corpus.reference("en", "fr", "test1").read_bytes() == (tmp_path / "nt15.fr").read_bytes()
    held_out = {pair[0] for pair in pairs[:60]}
    assert not held_out & set((corpus.path / "pairs/en-fr/train.en.txt").read_text().split("\n"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--test", "en-fr:a b=FILES"], "en-fr:a b: is no name of a test set"),
        (["--test", "en-fr=FILES", "--test", "en-fr=FILES"], "two test sets of en-fr have one name"),
        (["--valid", "en-fr=FILES", "--valid", "en-fr=FILES"], "a pair has one valid set"),
        (["--test", "en-de:x=FILES"], "--valid or --test = en-de: is not among --pairs en-fr"),
    ],
)
def test_test_sets_that_cannot_be_told_apart_are_refused(given: list[str], message: str, tmp_path: Path) -> None:
    for side, language in enumerate(("en", "fr")):
        (tmp_path / f"a.{language}").write_text("".join(sentence(number)[side] + "\n" for number in range(9)))
    files = f"{tmp_path}/a.en,{tmp_path}/a.fr"
    command = ["fetch", "--source", "files", "--pairs", "en-fr", "--pair", f"en-fr={files}", "--out", f"{tmp_path}/raw"]
    result = CliRunner().invoke(cli, [*command, *(value.replace("FILES", files) for value in given)])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "raw").exists()


def test_the_expected_text_is_told_from_another(write_raw: WriteRaw, tmp_path: Path) -> None:
    raw = write_raw({"en": [sentence(7 * number)[0] for number in range(60)]}, {})
    settings = CleanSettings(mono_valid=5, language_check=False)
    fingerprint = clean(raw, tmp_path / "first", settings)["text"]["fingerprint"]
    for expected, same in (("", None), (fingerprint, True), (fingerprint[:12], True), ("0" * 64, False)):
        clean(raw, tmp_path / "clean", settings, overwrite=True, expected_text=expected)
        train_sentencepiece(tmp_path / "clean", tmp_path / "m", SentencePieceSettings(40, threads=1), overwrite=True)
        corpus = encode(tmp_path / "clean", tmp_path / "m", tmp_path / "corpus", overwrite=True)
        assert any("not the expected" in note for note in remarks(corpus.manifest)) is (same is False)


def test_generated_text_goes_through_all_steps(tmp_path: Path) -> None:
    options = {"generated_sentences": 300, "generated_pairs": 300, "generated_words": 200, "generated_seed": 1}
    request = Request(["ga", "gc"], ["ga-gb"], options=options)
    fetch(lambda: [open_source("generated", request)], ["ga", "gc"], ["ga-gb"], tmp_path / "raw")
    settings = CleanSettings(valid=20, test=20, mono_valid=20, language_check=False)
    manifest = clean(tmp_path / "raw", tmp_path / "clean", settings)
    assert manifest["pairs"]["ga-gb"]["train"] > 200
    assert manifest["text"]["changed"] == {"pairs ga-gb": {}, "mono ga": {}, "mono gc": {}}
