"""`tf.contrib.training.HParams`: values keep the types of the first ones."""

import json

import pytest

import tfsession as tf

HParams = tf.contrib.training.HParams


def model():
    return HParams(n_vocab=0, rate=0.5, units=[3, 4], name="x", deep=True, nothing=None)


def test_values_are_attributes():
    hparams = model()
    assert (hparams.n_vocab, hparams.units, "rate" in hparams) == (0, [3, 4], True)
    hparams.override_from_dict({"n_vocab": 50257, "units": [5]})
    assert hparams.n_vocab == 50257
    assert hparams.values()["units"] == [5]
    hparams.rate = 0.25
    assert hparams.get("rate") == 0.25
    hparams.add_hparam("more", 1)
    hparams.del_hparam("name")
    assert list(hparams.values()) == ["n_vocab", "rate", "units", "deep", "nothing", "more"]
    assert str(HParams(a=1, b=[2])) == "a=1,b=[2]"
    assert repr(HParams(a=1)) == "HParams(a=1)"


PARSED = [
    ("", {}),
    ("n_vocab=3", {"n_vocab": 3}),
    ("rate=1", {"rate": 1.0}),
    ("rate=1e-3,units=[7, 8,9],name=a b", {"rate": 1e-3, "units": [7, 8, 9], "name": "a b"}),
    ("deep=False", {"deep": False}),
    ("deep=0", {"deep": False}),
    ("name=", {"name": ""}),
    ("nothing=x", {"nothing": "x"}),
]


@pytest.mark.parametrize(("text", "changed"), PARSED)
def test_parse(text, changed):
    hparams = model()
    assert hparams.parse(text) is hparams
    assert hparams.values() == {**model().values(), **changed}
    for name in changed.keys() - {"nothing"}:
        assert type(getattr(hparams, name)) is type(getattr(model(), name))


REFUSED = [
    ("n_vocab", "Malformed hyperparameter value: n_vocab"),
    ("n_vocab=1,,", "Malformed hyperparameter value: ,"),
    ("zz=1", "Unknown hyperparameter type for zz"),
    ("n_vocab=x", "Could not parse hparam 'n_vocab' of type 'int' with value 'x' in n_vocab=x"),
    ("n_vocab=1.5", "Could not parse hparam 'n_vocab'"),
    ("deep=maybe", "Could not parse hparam 'deep' of type 'bool'"),
    ("rate=1,rate=2", "Multiple assignments to variable 'rate'"),
    ("units=1", "Must pass a list for multi-valued parameter: units."),
    ("n_vocab=7,rate=[1,2]", "Must not pass a list for single-valued parameter: rate"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_what_cannot_be_parsed_changes_nothing(text, reason):
    hparams = model()
    with pytest.raises(ValueError, match=reason.replace("[", r"\[")):
        hparams.parse(text)
    assert hparams.values() == model().values()


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_vocab", 1.5), ("n_vocab", True), ("rate", "1"), ("name", 3), ("deep", 1)],
)
def test_types_stay(name, value):
    with pytest.raises(ValueError, match=f"Could not cast hparam '{name}' of type"):
        model().set_hparam(name, value)


def test_names():
    for name in ("values", "parse", "get"):
        with pytest.raises(ValueError, match=f"Hyperparameter name is reserved: {name}"):
            HParams(**{name: 1})
    with pytest.raises(ValueError, match="cannot be empty: units"):
        HParams(units=[])
    with pytest.raises(KeyError):
        model().set_hparam("zz", 1)


def test_get():
    assert model().get("zz", 3) == 3
    assert model().get("units", [1]) == [3, 4]
    for name, default in (("units", 1), ("rate", "x")):
        with pytest.raises(ValueError, match=f"Hparam '{name}' of type .* is incompatible with"):
            model().get(name, default)


def test_json():
    hparams = HParams(a=1, b=[2.5], c=len)
    assert json.loads(hparams.to_json()) == {"a": 1, "b": [2.5]}
    assert model().parse_json('{"n_vocab": 7}').n_vocab == 7


def test_indices():
    found = tf.contrib.training.parse_values("at[3]=1,at[5]=2,x=[1]", {"at": int, "x": str})
    assert found == {"at": {3: 1, 5: 2}, "x": ["1"]}
    assert tf.contrib.training.parse_values("zz=1", {}, ignore_unknown=True) == {}
    for text in ("at[3]=1,at[3]=2", "at=1,at[3]=2", "at[3]=1,at=1"):
        with pytest.raises(ValueError, match="Multiple assignments"):
            tf.contrib.training.parse_values(text, {"at": int})
