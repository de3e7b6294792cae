"""Loss weights: presets, files, and rescaling to equal shares."""

import json

import pytest

from crn_tf.errors import UserError
from crn_tf.model.loss_weights import LOSS_WEIGHTS, TAP_NAMES, find_loss_weights, write_loss_weights

GOOD = dict(zip(TAP_NAMES, (1, 0.5, 0, 2, 3, 10), strict=True))


def test_presets_are_the_releases_constants():
    assert find_loss_weights("inverse-elements") == find_loss_weights("auto") == (1,) * 6
    assert find_loss_weights("release-256p") == pytest.approx((1, 0.625, 0.4347826, 0.5555556, 0.3571429, 12.5))
    assert LOSS_WEIGHTS["release-512p"] == LOSS_WEIGHTS["release-1024p"]
    assert LOSS_WEIGHTS["release-1024p"] == pytest.approx((1, 0.3846154, 0.2083333, 0.2702703, 0.1785714, 6.6666667))
    assert LOSS_WEIGHTS["release-gta"] == pytest.approx((1, 0.7142857, 0.5555556, 0.7692308, 0.4545455, 16.1290323))


def test_a_file_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "weights.json"
    write_loss_weights(path, (1.0, 0.5, 0.0, 2.0, 3.0, 10.0))
    assert json.loads(path.read_text()) == GOOD
    assert find_loss_weights(str(path)) == (1.0, 0.5, 0.0, 2.0, 3.0, 10.0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot read the loss weights"),
        ("[1, 2, 3, 4, 5, 6]", "has not the six taps' names"),
        (json.dumps({**GOOD, "conv6_1": 1}), "has not the six taps' names"),
        (json.dumps({**GOOD, "conv1_2": -1}), "conv1_2 in .* is -1; expected a number, zero or greater"),
        (json.dumps({**GOOD, "conv1_2": "1"}), "conv1_2 in .* is '1'; expected a number"),
        (json.dumps(dict.fromkeys(TAP_NAMES, 0)), "are zero; expected at least one"),
    ],
)
def test_bad_files_are_one_line_that_names_them(tmp_path, content, words):
    path = tmp_path / "weights.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as error:
        find_loss_weights(str(path))
    assert "weights.json" in str(error.value)


def test_a_misspelt_preset_lists_the_ones_there_are():
    with pytest.raises(UserError, match=r"no loss weights release-256; expected one of inverse-elements, .*, auto, or"):
        find_loss_weights("release-256")
