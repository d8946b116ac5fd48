import zlib
from random import Random

from lc2_backup_dagster.demo.seed.liferay_content import article_content, article_entropy
from lc2_backup_dagster.demo.seed.prose import Prose, measure, vocabulary
from lc2_backup_dagster.demo.seed.scale import LiferayScale


def test_text_is_the_same_for_the_same_randomness():
    assert Prose(Random(7)).html(500) == Prose(Random(7)).html(500)
    assert Prose(Random(7)).html(500) != Prose(Random(8)).html(500)


def test_text_has_the_entropy_of_a_language_and_copies_nothing():
    prose = Prose(Random(1))
    entropy = measure(prose.text(5_000) for _ in range(40))
    assert 4.0 < entropy.order0_bits < 4.8
    assert 3.0 < entropy.order1_bits < entropy.order0_bits
    assert 2.2 < entropy.order2_bits < entropy.order1_bits
    assert 1.2 < entropy.word_bits < entropy.order2_bits
    assert entropy.distinct_windows == 1.0


def test_measured_entropy_tells_repetition_and_noise_from_text():
    assert measure(["abcdefgh" * 2_000]).order1_bits < 0.01
    assert measure(["abcdefgh" * 2_000]).distinct_windows == 0.0
    noise = measure(["".join(Random(3).choices("0123456789abcdef", k=200_000))])
    assert 3.99 < noise.order0_bits <= 4.0
    assert noise.order1_bits > 3.99


def test_articles_compress_like_web_content_and_not_better():
    random = Random(5)
    text = "\n".join(article_content(random, Prose(random)) for _ in range(100)).encode()
    assert 2.5 < len(text) / len(zlib.compress(text, 6)) < 6
    assert "order 2" in str(article_entropy(LiferayScale(), articles=20))


def test_vocabulary_begins_with_the_frequent_words():
    words = vocabulary()
    assert words[:3] == ("the", "of", "to")
    assert len(words) == len(set(words)) == 5_000
