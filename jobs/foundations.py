"""The foundations of a build: plan, recipe and identities, stored before any shard is made.

Where identities are moved apart by packing, its state is kept now and then, so that an interrupted build goes on from
there. This module does not know what is built on top.
"""

import time
from collections.abc import Callable

from cluster.hands import open_hands
from cluster.run import Crew
from jobs.laws import identity_spec
from jobs.plan import NAME as PLAN_NAME
from jobs.plan import RECIPE_NAME, Plan, claim, held_hash
from samplers.errors import SaturationError
from samplers.identities import Identities, draw_identities
from samplers.packing import PackingState
from samplers.saturation import Tally
from synth.anchors import anchors_written, write_anchors
from synth.commit import committed_shards
from synth.packing_state import forget_packing, load_packing, save_packing
from synth.renderer import renderer_class
from synth.storage import Storage

_SAVE_EVERY_S = 120.0
_SAY_EVERY_S = 30.0


def lay_foundations(plan: Plan, storage: Storage, crew: Crew, say: Callable[[str], None]) -> None:
    """Make storage hold plan, recipe and identities, or find that it does.

    The plan is claimed only once the identities are known to fit, or when packing first has something to keep: a
    recipe that cannot be built leaves nothing behind.
    """
    if anchors_written(storage):
        claim(storage, plan)
        forget_packing(storage)
        return
    settings, spec = plan.recipe.identities, identity_spec(plan.recipe)
    say(f"finding {settings.count} identities with cosines of at most {settings.separation.max_cosine:g}")
    log = _StoredLog(plan, storage, say)
    try:
        with open_hands(crew, settings.count, plan.recipe.backend.device, say) as hands:
            identities = draw_identities(spec, hands, log)
    except KeyboardInterrupt:
        log.keep()
        raise
    except SaturationError:
        _withdraw(plan, storage)
        raise
    say(_summary(identities))
    claim(storage, plan)
    if not anchors_written(storage):  # else another part was faster, and shards may be made from what it found
        write_anchors(storage, identities, renderer_class(plan.recipe.renderer.kind).describe(identities.vectors))
    forget_packing(storage)


def _withdraw(plan: Plan, storage: Storage) -> None:
    """Leave no claim of a plan whose identities cannot be found: the next try is another plan."""
    if held_hash(storage) != plan.hash or anchors_written(storage) or committed_shards(storage):
        return
    forget_packing(storage)
    storage.delete(RECIPE_NAME)
    storage.delete(PLAN_NAME)


def _summary(identities: Identities) -> str:
    """What was found, in a line."""
    proof, course = identities.certificate, identities.course
    if proof.max_cosine is None:
        return "a single identity: nothing to compare it with"
    bounds = f"Welch bound on |cosine| {proof.welch_bound:.4f}, Levenshtein bound {proof.levenshtein_bound:.4f}"
    how = f"of {course.candidates} candidates"
    if course.packing is not None:
        how = f"packed in {course.packing['steps']} steps from {course.packing['start']:.4f} ({bounds})"
    return f"largest cosine {proof.max_cosine:.4f} over {proof.pairs_compared} pairs; {how}"


class _StoredLog:
    """Says how the search goes, now and then, and keeps packing's state in the storage."""

    def __init__(self, plan: Plan, storage: Storage, say: Callable[[str], None]) -> None:
        self._plan, self._storage, self._say = plan, storage, say
        self._saved = self._said = time.monotonic()
        self._state: PackingState | None = None

    def keep(self) -> None:
        """Store packing's state, if there is one."""
        if self._state is not None:
            claim(self._storage, self._plan)
            save_packing(self._storage, self._plan.hash, self._state)
            self._saved = time.monotonic()

    def searched(self, tally: Tally) -> None:
        """So many candidates were looked at, so many kept."""
        wanted = self._plan.recipe.identities.count
        self._say_sometimes(f"{tally.kept} of {wanted} identities found, {tally.candidates} candidates looked at")

    def load(self) -> PackingState | None:
        """The state that an interrupted build kept."""
        state = load_packing(self._storage, self._plan.hash)
        if state is not None:
            self._say(f"going on with packing after step {state.step}")
        return state

    def packed(self, state: PackingState) -> None:
        """Keep the state, if the last was kept some time ago."""
        settings = self._plan.recipe.identities.packing
        assert settings is not None
        self._say_sometimes(f"packing: step {state.step} of {settings.steps}, largest cosine {state.reached:.4f}")
        self._state = state
        if time.monotonic() - self._saved >= _SAVE_EVERY_S:
            self.keep()

    def compared(self, share: float) -> None:
        """This share of all pairs is compared."""
        self._say_sometimes(f"certificate: {share:.0%} of all pairs compared")

    def _say_sometimes(self, message: str) -> None:
        if time.monotonic() - self._said >= _SAY_EVERY_S:
            self._say(message)
            self._said = time.monotonic()
