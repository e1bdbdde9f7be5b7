"""Trains the lab's tokenizers on captions and lyrics: one with T5's special tokens, one with XLM-RoBERTa's."""

from collections.abc import Iterator

from experiments.lab.world.corpus import song, stream
from experiments.lab.world.facts import CAPTION_FACTS
from experiments.lab.world.wording import quality

SONGS = 3_000
VOCABULARY = 512
MAX_TOKENS = 512


def texts() -> Iterator[str]:
    """Yield captions and lyrics of training songs."""
    for index in range(SONGS):
        one = song("train", "vocabulary", index, damaged=0.5)
        yield f"{one.caption(tuple(CAPTION_FACTS))}, {quality(one.damage, stream(*one.key, 'quality'))}"
        if one.facts.vocals:
            yield one.lyrics().replace("\n", " ")


def _train(special: list[str], template: str):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    alphabet = list("abcdefghijklmnopqrstuvwxyz0123456789'.,!?-\u2581")
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>", initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(texts(), trainer)
    used = [token for token in special if token in template.split()]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(token, tokenizer.token_to_id(token)) for token in used]
    )
    return tokenizer


def _tokenizer(template: str, **special: str):
    """Return a trained tokenizer with special tokens by their roles, numbered in this order."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = _train(list(dict.fromkeys(special.values())), template)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special, model_max_length=MAX_TOKENS)


def t5_tokenizer():
    """Return a tokenizer that ends each text with `</s>`, as MusicGen's text encoder expects."""
    return _tokenizer("$A </s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def xlm_roberta_tokenizer():
    """Return a tokenizer that puts a text between `<s>` and `</s>`, as MuQ-MuLan's text tower expects."""
    begin, end = {"bos_token": "<s>", "cls_token": "<s>"}, {"eos_token": "</s>", "sep_token": "</s>"}
    return _tokenizer("<s> $A </s>", **begin, pad_token="<pad>", **end, unk_token="<unk>")
