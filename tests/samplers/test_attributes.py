"""Attributes and the laws that they are drawn from."""

import statistics
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from samplers.attributes import (
    Attribute,
    Choice,
    Constant,
    Distribution,
    Law,
    Normal,
    Sometimes,
    Uniform,
    complete_laws,
    draw_attributes,
    neutral_attributes,
)
from samplers.errors import RecipeError

DECLARED = {
    "yaw": Attribute("Turn of the head.", default=0.0, unit="degrees", low=-90, high=90),
    "age": Attribute("Age.", default=30.0, unit="years", low=0, high=100, distribution=Uniform(low=20, high=60)),
    "hat": Attribute("What is worn.", default="none", choices=("cap", "none", "hood")),
}
COUNT = 4000
INDEX = torch.stack((torch.arange(COUNT), torch.arange(COUNT) % 7, torch.zeros(COUNT, dtype=torch.int64)), -1)
BOUND = st.floats(-90, 90)


def drawn(laws: Mapping[str, Law], seed: int = 1, index: Tensor = INDEX) -> dict[str, Tensor]:
    return draw_attributes(seed, DECLARED, complete_laws(DECLARED, laws), index)


@st.composite
def bounded_laws(draw: st.DrawFn) -> Uniform | Normal | Sometimes:
    low, high = sorted(draw(st.tuples(BOUND, BOUND)))
    low = min(low, high - 1e-3) if high > 0 else low  # apart, and still inside the declared range
    high = max(high, low + 1e-3)
    normal = Normal(mean=draw(st.floats(low, high)), std=draw(st.floats(0.1, 50)), low=low, high=high)
    plain = draw(st.sampled_from([Uniform(low=low, high=high), normal]))
    return draw(st.sampled_from([plain, Sometimes(chance=draw(st.floats(0, 1)), then=plain, otherwise=draw(BOUND))]))


@settings(deadline=None, max_examples=100)
@given(bounded_laws())
def test_values_stay_in_range(law: Law) -> None:
    low, high = law.support()
    values = drawn({"yaw": law}, index=INDEX[:200])["yaw"]
    assert values.dtype == torch.float32
    assert bool(((values >= low - 1e-5) & (values <= high + 1e-5)).all())


def share_below(values: Tensor, bound: float) -> float:
    return float((values <= bound).double().mean())


def test_a_uniform_law_spreads_evenly() -> None:
    values = drawn({"yaw": Uniform(low=-10, high=30)})["yaw"]
    for share in (0.1, 0.5, 0.9):
        assert share_below(values, -10 + 40 * share) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("low", "high"), [(-90, 90), (0, 40), (-5, 10), (60, 90), (-90, -80)])
def test_a_normal_law_is_cut_off_and_not_piled_up(low: float, high: float) -> None:
    """Of the plain normal law only what lies inside is left, in its proportions."""
    plain = statistics.NormalDist(10, 20)
    below, inside = plain.cdf(low), plain.cdf(high) - plain.cdf(low)
    values = drawn({"yaw": Normal(mean=10, std=20, low=low, high=high)})["yaw"]
    for share in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert share_below(values, plain.inv_cdf(below + share * inside)) == pytest.approx(share, abs=0.03)


def test_a_choice_follows_its_weights_and_never_takes_what_weighs_nothing() -> None:
    hats = drawn({"hat": Choice(weights={"hood": 3, "cap": 1, "none": 0})})["hat"]
    shares = torch.bincount(hats, minlength=3).double() / COUNT
    assert hats.dtype == torch.int64
    assert shares.tolist() == pytest.approx([0.25, 0, 0.75], abs=0.03)
    assert shares[1] == 0


def test_sometimes_draws_as_often_as_it_says_and_then_by_its_law() -> None:
    values = drawn({"yaw": Sometimes(chance=0.3, then=Uniform(low=10, high=20), otherwise=-1)})["yaw"]
    fresh = values[values != -1]
    assert len(fresh) / COUNT == pytest.approx(0.3, abs=0.03)
    assert share_below(fresh, 15) == pytest.approx(0.5, abs=0.05)
    assert bool((fresh >= 10).all())


@pytest.mark.parametrize(("chance", "values"), [(0, {-1.0}), (1, {5.0})])
def test_never_and_always_are_chances(chance: float, values: set[float]) -> None:
    law = Sometimes(chance=chance, then=Uniform(low=5, high=5), otherwise=-1)
    assert set(drawn({"yaw": law})["yaw"].tolist()) == values


@pytest.mark.parametrize("changed", list(DECLARED))
def test_changing_one_law_leaves_all_other_attributes_as_they_were(changed: str) -> None:
    laws: dict[str, Law] = {
        "yaw": Normal(std=10, low=-90, high=90),
        "age": Uniform(low=20, high=60),
        "hat": Choice(weights={"cap": 1, "hood": 1}),
    }
    others: dict[str, Law] = {"yaw": Uniform(low=-5, high=5), "age": Constant(value=50), "hat": Constant(value="cap")}
    before, after = drawn(laws), drawn({**laws, changed: others[changed]})
    assert [name for name in DECLARED if not torch.equal(before[name], after[name])] == [changed]


def test_an_attribute_does_not_depend_on_which_others_are_declared() -> None:
    law = {"yaw": Uniform(low=-5, high=5)}
    alone = draw_attributes(1, {"yaw": DECLARED["yaw"]}, law, INDEX)
    assert torch.equal(alone["yaw"], drawn(law)["yaw"])


def test_attributes_are_independent_of_each_other_and_of_batch_seed_and_attempt() -> None:
    laws: dict[str, Law] = {"yaw": Uniform(low=-1, high=1), "age": Uniform(low=0, high=1)}
    values = drawn(laws)
    assert abs(float(torch.corrcoef(torch.stack((values["yaw"], values["age"])))[0, 1])) < 5 * COUNT**-0.5
    assert torch.equal(drawn(laws, index=INDEX[5:9])["yaw"], values["yaw"][5:9])
    for other in (drawn(laws, seed=2), drawn(laws, index=INDEX + torch.tensor([0, 0, 1]))):
        assert not bool((other["yaw"] == values["yaw"]).any())


def test_without_a_recipe_the_renderers_law_holds_else_the_default() -> None:
    laws = complete_laws(DECLARED, {})
    assert laws == {"yaw": Constant(value=0), "age": Uniform(low=20, high=60), "hat": Constant(value="none")}
    neutral = neutral_attributes(DECLARED, 2)
    assert {name: values.tolist() for name, values in neutral.items()} == {
        "yaw": [0, 0],
        "age": [30, 30],
        "hat": [1, 1],
    }


def test_a_renderer_without_attributes_has_none_to_draw() -> None:
    assert draw_attributes(1, {}, complete_laws({}, {}), INDEX) == {}


@pytest.mark.parametrize(
    ("name", "law", "message"),
    [
        ("yam", Constant(value=0), "unknown attribute 'yam'; the renderer has yaw, age, hat"),
        ("yaw", Choice(weights={"left": 1}), "attribute 'yaw' is a number (degrees), not a choice"),
        ("yaw", Constant(value="left"), "attribute 'yaw' is a number (degrees), not a choice"),
        ("hat", Uniform(low=0, high=1), "attribute 'hat' is a choice of cap, none, hood; use kind: choice"),
        ("hat", Choice(weights={"helm": 1}), "attribute 'hat' has no choice 'helm'; it has cap, none, hood"),
        ("hat", Constant(value="helm"), "attribute 'hat' has no choice 'helm'; it has cap, none, hood"),
        ("age", Constant(value=-1), "attribute 'age' lies in [0, 100] years, but the recipe draws from [-1, -1]"),
        (
            "age",
            Sometimes(chance=0.1, then=Normal(std=1, low=5, high=101), otherwise=0),
            "attribute 'age' lies in [0, 100] years, but the recipe draws from [0, 101]",
        ),
    ],
)
def test_a_law_that_does_not_fit_is_refused_in_one_line(name: str, law: Law, message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        complete_laws(DECLARED, {name: law})
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ({"kind": "uniform", "low": 2, "high": 1}, "low 2 is above high 1"),
        ({"kind": "normal", "std": 1, "low": 1, "high": 1}, "low 1 is not below high 1"),
        ({"kind": "normal", "std": 1, "low": 7, "high": 9}, r"mean 0 is more than six std from \[7, 9\]"),
        ({"kind": "normal", "std": 0, "low": 0, "high": 1}, "greater than 0"),
        ({"kind": "choice", "weights": {"cap": 0}}, "all weights are zero"),
        ({"kind": "choice", "weights": {"cap": -1}}, "greater than or equal to 0"),
        (
            {"kind": "sometimes", "chance": 2, "then": {"kind": "uniform", "low": 0, "high": 1}},
            "less than or equal to 1",
        ),
    ],
)
def test_a_law_that_makes_no_sense_cannot_be_written(law: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Distribution).validate_python(law)
