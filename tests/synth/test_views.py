"""Views: everything about a picture follows from its row and its person alone."""

from dataclasses import replace

import torch

from samplers.attributes import complete_laws
from samplers.priors import Given
from samplers.variations import GaussianMixture, NoVariation, Variation
from synth.anchors import Anchors
from synth.renderers.barcode import BarcodeRenderer
from synth.views import Variety, attempt_index, draw_views
from tests.synth.making import PEOPLE, VARIATION, VIEWS, people

DECLARED = BarcodeRenderer.attributes
ROWS = torch.cartesian_prod(torch.arange(PEOPLE), torch.arange(VIEWS))


def variety(vector: Variation, views: int = VIEWS) -> Variety:
    return Variety(1, views, vector, DECLARED, complete_laws(DECLARED, {}))


def scaled_anchors() -> Anchors:
    """People of whom each has a longer feature than the one before."""
    drawn = people()
    lengths = torch.linspace(1, 100, PEOPLE)
    return Anchors.of(people(prior=Given(drawn.vectors * lengths[:, None])))


def test_views_have_their_persons_anchor_norm_and_key() -> None:
    anchors = scaled_anchors()
    views = draw_views(variety(NoVariation()), anchors, attempt_index(ROWS, 0))
    assert torch.equal(views.identity, ROWS[:, 0])
    assert torch.equal(views.anchor, anchors.vectors[ROWS[:, 0]])
    assert torch.equal(views.vector, views.anchor)
    assert torch.allclose(views.norm, torch.linspace(1, 100, PEOPLE)[ROWS[:, 0]], rtol=1e-6)
    assert len({tuple(key) for key in views.person.tolist()}) == PEOPLE
    assert len({tuple(key) for key in views.key.tolist()}) == len(ROWS)


def test_no_view_depends_on_the_others_of_its_batch() -> None:
    anchors, index = scaled_anchors(), attempt_index(ROWS, 1)
    for vector in (VARIATION, GaussianMixture()):
        together = draw_views(variety(vector), anchors, index)
        backwards = draw_views(variety(vector), anchors, index.flip(0))
        alone = draw_views(variety(vector), anchors, index[[17]])
        for name in ("vector", "norm", "key", "person"):
            assert torch.equal(getattr(backwards, name).flip(0), getattr(together, name))
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[17])


def test_noise_moves_those_with_short_features_more() -> None:
    anchors = scaled_anchors()
    views = draw_views(variety(GaussianMixture()), anchors, attempt_index(ROWS, 0))
    cosines = (views.vector * views.anchor).sum(1).view(PEOPLE, VIEWS).mean(1)
    assert float(cosines[0]) < 0.5
    assert float(cosines[-1]) > 0.99
    level = replace(anchors, norm=torch.full((PEOPLE,), 100.0))
    again = draw_views(variety(GaussianMixture()), level, attempt_index(ROWS, 0))
    assert float((again.vector * again.anchor).sum(1).min()) > 0.99


def test_shares_of_a_mixture_are_of_the_views_that_are_planned() -> None:
    """Of two views one is far from its anchor, of six three, whichever are asked for together."""
    mixture = GaussianMixture(sigmas=(1e-3, 50.0), shares=(0.5, 0.5))
    anchors = scaled_anchors()
    for views in (2, 6):
        index = attempt_index(ROWS[ROWS[:, 1] < views], 0)
        drawn = draw_views(variety(mixture, views), anchors, index)
        near = (drawn.vector * drawn.anchor).sum(1) > 0.999
        assert near.view(PEOPLE, views).sum(1).tolist() == [views // 2] * PEOPLE
