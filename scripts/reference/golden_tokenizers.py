#!/usr/bin/env python3
"""Tokenizers and their ids by Hugging Face's `tokenizers`, for tests/text.

usage: golden_tokenizers.py OUT    writes into OUT (tests/golden/tokenizers)
           bpe.json        a byte-level BPE tokenizer in Qwen2.5's shape, trained on the text below
           wordpiece.json  a WordPiece tokenizer in BERT's shape, trained on the same
           reference.json  texts, and their ids by these two and by gpt2.json where OUT has one
           parts.json      every normalizer and pre-tokenizer alone, seen byte by byte
       golden_tokenizers.py --folder FOLDER [--texts N] [--seed S]
           rewrites FOLDER/reference.json for every other NAME.json in it, which tests read with
           ASSAY_TOKENIZERS=FOLDER

Needs PyPI's `tokenizers` and a Python whose unicodedata is of Unicode 14 (3.11): texts are of code points that
it assigns. reference.json is {"cases": [{"text": .., NAME: [ids], "NAME_special": [ids], "NAME_text": ..}]}: ids
without special tokens, with them, and the text that the former decode to. Only for regeneration."""
import argparse
import hashlib
import json
import os
import random
import struct
import unicodedata as unicode

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as split
from tokenizers import processors, trainers

assert unicode.unidata_version == "14.0.0", "this Python's unicodedata is of Unicode " + unicode.unidata_version
ASSIGNED = [c for c in range(0x110000) if unicode.category(chr(c)) not in ("Cn", "Cs")]
TESTED = [c for c in ASSIGNED if c < 0xE100 or 0xF8F0 <= c < 0xF0000]  # of private use a few stand for all

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+")

PAPER = """The user paid the electricity bill on Monday and opened the travel application twice. Who will return
next month? Customers who bought coffee, bread and milk in the morning often buy tea in the evening. A payment of
12.50 was made to the grocery store; another of 1,299.00 went to an airline. She searched for "cheap flights to
Lisbon", didn't book, and wasn't sure that they'd refund her. It's the seventh transfer within three days. Search:
running shoes, size 42. Mini-program: metro card, top-up 50. The model reads events in order and says whether the
account will be active. Users don't repay late when they've been reminded; they're careful, I'll say, and we'd
agree. Il a pris un café crème à l'hôtel. Der Käufer überweist fünfzig Euro für Bücher. El niño pagó mañana en
Málaga. Zażółć gęślą jaźń. Пользователь оплатил счёт за интернет. Ο χρήστης πλήρωσε τον λογαριασμό. 用户在微信支付了咖啡
和早餐。昨天他购买了机票，今天退款。ユーザーは電車のカードをチャージした。사용자가 커피를 결제했다. दाल और चावल खरीदा. دفع المستخدم
فاتورة الكهرباء. המשתמש שילם על קפה. 😀 👍🏽 🚄 ☕️ 100% €5 £3 ¥900 a+b=c <html> {"id": 7} x_y-z #tag @name""".split("\n")
CORPUS = PAPER * 4

FIXED = ["", " ", "  ", "a", "Hello, world!", "I'll don't WE'RE they'VE it\u017f 'S", "foo\r\n\r\nbar\rbaz", "\t\ttab\n",
         "a\u0000b", "3.14159 -2,718.28 \u00bd \u0664\u0665 \u2167", "na\u00efve cafe\u0301 \u212b", "\u1100\u1161\u11a8 \ud55c\uad6d\uc5b4",
         "\u05e9\u05dc\u05d5\u05dd \u200f\u0645\u0631\u062d\u0628\u0627", "e\u0323\u0302 \u1e69 \ufb01 \u3392", "x" * 300,
         "ab" * 200, "\u7528\u6237\u652f\u4ed8" * 60, "the user paid " * 40, " \u00a0\u2003\u3000\u0085\u2028\u180e\u200b ",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2615\ufe0f \U0001f44d\U0001f3fd", "<|im_start|>user<|im_end|>\n", "[MASK]s [CLS] [SEP]",
         "<|endoftext|> <|endoftext", "un\u0130\u0131\u1e9e\u00df STRASSE \u03a3\u03c2", "\u0b15\u0b3e\u0b56\u0344", "\U00011938 \U00011935\U00011930",
         "'s't're 's\u00a0't", "...!!!???---___", "a" + "\u0301" * 40 + "b", "price: $12.00/kg (ca. \u20ac11)"]


def pools():
    """Kinds of characters that a random text is made of."""
    def where(holds):
        return [chr(c) for c in TESTED if holds(c)]
    return [where(lambda c: True), where(lambda c: c < 128), where(lambda c: c < 0x250),
            where(lambda c: 0x300 <= c < 0x370) + list("aeiounAEIOU"), where(lambda c: 0x4E00 <= c < 0xA000),
            where(lambda c: 0xAC00 <= c < 0xD7A4 or 0x1100 <= c < 0x1200), where(lambda c: 0x590 <= c < 0x700),
            where(lambda c: 0x900 <= c < 0xE00), where(lambda c: 0x1F300 <= c < 0x1FB00) + ["\u200d", "\ufe0f"],
            where(lambda c: unicode.category(chr(c))[0] == "M"),
            where(lambda c: chr(c).isspace()) + ["\u200b", "\u180e", "\ufeff", "\u200d"], list("0123456789.,- "),
            where(lambda c: unicode.category(chr(c))[0] == "P"), where(lambda c: unicode.category(chr(c))[0] == "C"),
            where(lambda c: unicode.decomposition(chr(c)) != ""), list("'sStTrRvVeEmMlLdD \u017f")]


POOLS = pools()
WORDS = " ".join(PAPER).split()


def random_text(draw, added, most=12):
    text = ""
    for _ in range(draw.randint(1, most)):
        kind = draw.random()
        if kind < 0.12 and added:
            text += draw.choice(["", " "]) + draw.choice(added)
        elif kind < 0.4:
            text += draw.choice(["", " "]) + draw.choice(WORDS)
        else:
            pool = draw.choice(POOLS)
            text += "".join(draw.choice(pool) for _ in range(draw.randint(1, 8)))
    return text


def open_tokenizer(path):
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def write(path, value):
    with open(path, "w", encoding="ascii") as file:
        json.dump(value, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


def write_reference(folder, texts, seed):
    named = {name[:-5]: open_tokenizer(os.path.join(folder, name)) for name in sorted(os.listdir(folder))
             if name.endswith(".json") and name not in ("reference.json", "given.json", "parts.json")}
    added = sorted({t.content for of in named.values() for t in of.get_added_tokens_decoder().values()})
    draw = random.Random(seed)
    cases = []
    for text in FIXED + [random_text(draw, added) for _ in range(texts)]:
        case = {"text": text}
        for name, of in named.items():
            case[name] = of.encode(text, add_special_tokens=False).ids
            special = of.encode(text, add_special_tokens=True).ids
            if special != case[name]:
                case[name + "_special"] = special
            case[name + "_text"] = of.decode(case[name], skip_special_tokens=False)
            if case[name + "_text"] == text:
                case[name + "_text"] = None  # as it was
        cases.append(case)
    with open(os.path.join(folder, "reference.json"), "w", encoding="ascii") as file:
        file.write('{"made_with":"tokenizers %s","seed":%d,"cases":[\n' % (tokenizers.__version__, seed))
        file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
        file.write("\n]}\n")


# ---- two small tokenizers ----

def make_bpe(path):
    of = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    of.normalizer = normalizers.NFC()
    of.pre_tokenizer = split.Sequence([split.Split(Regex(QWEN), "isolated"),
                                       split.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    of.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    of.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    of.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=900, min_frequency=2, show_progress=False,
                                                       initial_alphabet=split.ByteLevel.alphabet()))
    of.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    of.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("<answer>", lstrip=True, normalized=False),
                   AddedToken("caf\u00e9au", normalized=True), AddedToken("userword", single_word=True, rstrip=True)])
    of.save(path, pretty=False)


def make_wordpiece(path):
    of = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    of.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None,
                                               lowercase=True)
    of.pre_tokenizer = split.BertPreTokenizer()
    of.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    of.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=1200, show_progress=False, special_tokens=[
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    cls, sep = of.token_to_id("[CLS]"), of.token_to_id("[SEP]")
    of.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                      special_tokens=[("[CLS]", cls), ("[SEP]", sep)])
    of.add_tokens([AddedToken("QrStore", normalized=True), AddedToken("Zz", single_word=True, normalized=True)])
    of.enable_truncation(128)
    of.save(path, pretty=False)


# ---- every part alone ----
# Pieces are seen byte by byte: a vocabulary of ByteLevel's letters, and the same with a mark for a piece's last.

def visible(normalizer, splitter, added=()):
    letters = sorted(split.ByteLevel.alphabet())
    vocab = {mark: i for i, mark in enumerate(letters + [letter + "</w>" for letter in letters])}
    of = Tokenizer(models.BPE(vocab=vocab, merges=[], end_of_word_suffix="</w>"))
    if normalizer is not None:
        of.normalizer = normalizer
    seen = split.ByteLevel(add_prefix_space=False, use_regex=False)
    of.pre_tokenizer = seen if splitter is None else split.Sequence([splitter, seen])
    of.add_tokens(list(added))
    return of


def parts():
    bert = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    n = normalizers
    found = {form: visible(getattr(n, form)(), None) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    found.update({
        "lowercase": visible(n.Lowercase(), None), "strip_accents": visible(n.StripAccents(), None),
        "nfd_strip": visible(n.Sequence([n.NFD(), n.StripAccents(), n.Lowercase()]), None),
        "clean": visible(n.BertNormalizer(**{**bert, "clean_text": True}), None),
        "chinese": visible(n.BertNormalizer(**{**bert, "handle_chinese_chars": True}), None),
        "accents": visible(n.BertNormalizer(**{**bert, "strip_accents": True}), None),
        "bert_lower": visible(n.BertNormalizer(**{**bert, "lowercase": True}), None),
        "bert": visible(n.BertNormalizer(), split.BertPreTokenizer()),
        "bert_cased": visible(n.BertNormalizer(lowercase=False), split.BertPreTokenizer()),
        "strip": visible(n.Strip(), None), "strip_left": visible(n.Strip(left=True, right=False), None),
        "prepend": visible(n.Prepend("\u2581"), None),
        "replace": visible(n.Sequence([n.Replace(" ", "\u2581"), n.Replace(Regex(r"\p{N}+|''"), "0")]), None),
        "replace_longer": visible(n.Replace(Regex(r"[aeiou]"), "<vowel>"), None),
        "gpt2": visible(None, split.ByteLevel(add_prefix_space=False)),
        "prefix_space": visible(None, split.ByteLevel(add_prefix_space=True)),
        "split_prefix_space": visible(None, split.Sequence([
            split.Digits(), split.ByteLevel(add_prefix_space=True, use_regex=False)])),
        "whitespace": visible(None, split.Whitespace()), "whitespace_split": visible(None, split.WhitespaceSplit()),
        "digits": visible(None, split.Digits(individual_digits=True)), "numbers": visible(None, split.Digits()),
        "smollm": visible(None, split.Sequence([split.Digits(individual_digits=True), split.ByteLevel(False)])),
        "qwen": visible(n.NFC(), split.Split(Regex(QWEN), "isolated")),
    })
    for behavior in ("isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"):
        found["punctuation_" + behavior] = visible(None, split.Punctuation(behavior))
        found["split_" + behavior] = visible(None, split.Split(Regex(r"\s|[.,]"), behavior))
        found["inverse_" + behavior] = visible(None, split.Split(Regex(r"\p{L}+"), behavior, invert=True))
        found["text_" + behavior] = visible(None, split.Split("e", behavior))
    for name, pattern in (("s", r"\s"), ("not_s", r"\S+"), ("w", r"\w+"), ("not_w", r"\W"), ("d", r"\d"), ("not_d", r"\D+"),
                          ("class_s", r"[\sx]+"), ("class_not_s", r"[\S ]"), ("class_w", r"[\w.]+"),
                          ("han", r"\p{Han}+|\p{Hiragana}|\p{Latin}+"), ("upper", r"\p{Lu}\p{Ll}*|\P{L}"),
                          ("not_upper", r"\p{^Lu}+"), ("boundary", r"\b\w\B"), ("line", r"^.|.$"), ("empty", r"x*"),
                          ("code", r"[\u0301\x{1F44D}\x41]|\t"), ("look", r"(?<=[a-z])(?=[A-Z0-9])"),
                          ("possessive", r"[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"), ("brace", r"\{|}|a{2}|(?i:THE)"),
                          ("close", r"[]\-.]"), ("control", r"[\v\f\a\e\r]")):
        found["pattern_" + name] = visible(None, split.Split(Regex(pattern), "isolated"))
    token = AddedToken
    found["added"] = visible(n.Lowercase(), split.Whitespace(), [
        token("Qq", normalized=True), token("QQ", normalized=False), token("left", lstrip=True, normalized=False),
        token("right", rstrip=True, normalized=False), token("both", lstrip=True, rstrip=True, normalized=True),
        token("whole", single_word=True, normalized=False), token("wholes", normalized=False),
        token("qqq", normalized=False), token("  ", normalized=False), token("e\u0301t", normalized=True)])
    return found


def added_texts():
    draw = random.Random(5)
    some = ["Qq", "QQ", "qq", "qqq", "left", "right", "both", "BOTH", "whole", "wholes", "  ", " ", "\u00a0", "x", "\u0301", "e\u0301t", "."]
    return ["".join(draw.choice(some) for _ in range(draw.randint(1, 14))) for _ in range(120)]


def blocks(text_of, of):
    """A digest for every 4096 code points: of the ids of their texts, 64 code points in each."""
    digests = {}
    for block in sorted({c >> 12 for c in TESTED}):
        codes = [c for c in TESTED if c >> 12 == block]
        digest = hashlib.sha256()
        for i in range(0, len(codes), 64):
            text = "".join(text_of(chr(c)) for c in codes[i:i + 64])
            ids = of.encode(text, add_special_tokens=False).ids
            digest.update(struct.pack("<%di" % len(ids), *ids))
        digests["%x" % block] = digest.hexdigest()[:12]
    return digests


def ranges(codes):
    found = []
    for c in codes:
        if found and found[-1] == c - 1:
            found[-1] = c
        else:
            found += [c, c]
    return found


def write_parts(path):
    draw = random.Random(3)
    texts = FIXED[:18] + [random_text(draw, [], 4) for _ in range(16)]
    texts = [text[:60] for text in texts]
    cases = []
    for name, of in parts().items():
        mine = added_texts() if name == "added" else texts
        case = {"name": name, "tokenizer": json.loads(of.to_str()), "texts": mine if name == "added" else None,
                "ids": [of.encode(text, add_special_tokens=False).ids for text in mine],
                "alone": blocks(lambda c: "x" + c + " ", of)}
        if of.normalizer is not None:
            case["beside"] = blocks(lambda c: "e" + c + "\u0323", of)
        del case["tokenizer"]["model"]["vocab"]
        cases.append(case)
    vocab = json.loads(parts()["NFC"].to_str())["model"]["vocab"]
    with open(path, "w", encoding="ascii") as file:
        file.write('{"made_with":"tokenizers %s",\n"codes":%s,\n"vocab":%s,\n"texts":%s,\n"cases":[\n' % (
            tokenizers.__version__, json.dumps(ranges(TESTED), separators=(",", ":")),
            json.dumps(vocab, separators=(",", ":")), json.dumps(texts)))
        file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
        file.write("\n]}\n")


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("out", nargs="?")
    arguments.add_argument("--folder")
    arguments.add_argument("--texts", type=int, default=150)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    if given.folder:
        return write_reference(given.folder, given.texts, given.seed)
    make_bpe(os.path.join(given.out, "bpe.json"))
    make_wordpiece(os.path.join(given.out, "wordpiece.json"))
    write_reference(given.out, given.texts, given.seed)
    write_parts(os.path.join(given.out, "parts.json"))


main()
