"""What is kept of an output, and what the log gets of it."""

from lc2_backup_dagster.engines.exports.redaction import redacted_lines
from lc2_backup_dagster.engines.hooks.output import BURST_LINES, HEAD_BYTES, LINES_PER_SECOND, HookOutput
from lc2_backup_dagster.engines.hooks.redaction import HIDDEN, Redaction

RULES = Redaction(frozenset({"tok-4711"}), redacted_lines)
KEY = b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n"


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def an_output(redaction=RULES):
    said: list[str] = []
    seconds = Seconds()
    return HookOutput(redaction, say=said.append, clock=seconds), said, seconds


def test_lines_are_told_as_they_are_complete():
    output, said, _ = an_output()
    output.write(b"one\ntw")
    assert said == ["one"]
    output.write(b"o\r\n\nthree")
    assert said == ["one", "two"]
    assert output.end().text == "one\ntwo\n\nthree"
    assert said == ["one", "two", "three"]


def test_lines_that_come_too_fast_are_counted_and_later_ones_told_again():
    output, said, seconds = an_output()
    for number in range(1000):
        output.write(f"line {number}\n".encode())
    assert said == [f"line {number}" for number in range(BURST_LINES)]
    seconds.now += 3 / LINES_PER_SECOND
    output.write(b"a\nb\nc\nd\n")
    assert said[BURST_LINES:] == [f"… {1000 - BURST_LINES} lines came too fast to be shown …", "a", "b", "c"]
    output.end()
    assert said[-1] == "… 1 lines came too fast to be shown …"


def test_a_line_without_end_is_cut():
    output, said, _ = an_output()
    for _ in range(100):
        output.write(b"x" * 10_000)
    done = output.end()
    assert len(said) == 1 and len(said[0]) < 600
    assert done.dropped_bytes > 800_000


def test_head_and_tail_are_cut_at_lines_and_say_what_is_missing():
    output, _, _ = an_output()
    for number in range(100_000):
        output.write(f"line {number}\n".encode())
    done = output.end()
    head, between, tail = done.text.partition(f"\n… {done.dropped_bytes} bytes are not kept …\n")
    assert between
    assert head.startswith("line 0\nline 1\n") and head.splitlines()[-1].startswith("line ")
    assert tail.endswith("line 99998\nline 99999\n") and tail.startswith("line ")
    assert done.written_bytes == len(head) + 1 + len(tail) + done.dropped_bytes


def test_a_private_key_is_hidden_in_log_and_error():
    output, said, _ = an_output()
    for byte in b"before\n" + KEY + b"after\n":
        output.write(bytes([byte]))
    done = output.end()
    assert said == ["before", "after"]
    assert "MIIEv" not in done.text and "Bgkqh" not in done.text and HIDDEN in done.text


def test_the_rest_of_a_key_whose_beginning_is_not_kept_is_hidden():
    output, _, _ = an_output()
    output.write(b"x\n" * HEAD_BYTES)
    output.write(b"y\n" * 1000 + KEY[:40])
    output.write(KEY[40:] + b"z\n" * ((64 * 1024 - 60) // 2))
    text = output.end().text
    assert "END PRIVATE KEY" in text or HIDDEN in text
    assert "BgkqhkiG" not in text
    assert "MIIEv" not in text


def test_secrets_of_known_values_are_hidden_across_the_cut_between_head_and_tail():
    output, said, _ = an_output()
    output.write(b"x" * (HEAD_BYTES - 4) + b"tok-")
    output.write(b"4711" + b"y" * 10 * HEAD_BYTES)
    text = output.end().text
    assert "tok-" not in text and "4711" not in text
    assert not any("tok-" in line for line in said)


def test_an_output_that_is_no_text_is_shown_all_the_same():
    output, _, _ = an_output()
    output.write(b"a\xff\xfeb\n")
    assert output.end().text == "a\ufffd\ufffdb\n"


def test_the_last_lines_stand_in_one_line():
    output, _, _ = an_output()
    output.write(b"".join(b"line %d\n\n" % number for number in range(30)))
    assert output.end().last_lines(2) == "line 28 | line 29"
