"""The named errors of Hypersynth, one small tree, kept in the lowest room so that every room may raise them.

    HypersynthError             a message for a person, in one line, saying what to change
      RecipeError               a recipe, an override or a plan that cannot be read or does not make sense
        SaturationError         more identities asked for than the separation allows
      PlanMismatchError         the output already belongs to another plan
      StorageError              a folder or bucket refused, or a disk is full
      DatasetError              something stored is missing, damaged or unfinished
      RenderError               a renderer or an encoder broke its contract (NaN, wrong shape)
      BuildError                the build could not be done, or not wholly
      StoppedError              told to end from outside, by SIGTERM; what was done stays
      MissingPackageError       an optional package is needed; the message holds the install line

A user's mistake is one of these and is shown without a traceback; anything else that escapes is a bug. This module does
not know who catches them: that is the command line (`jobs/cli.py`), and for shards the shard boundary.
"""


class HypersynthError(Exception):
    """Root of the tree: the message is one line for a person."""


class RecipeError(HypersynthError):
    """A recipe, an override or a plan cannot be read or does not make sense."""


class SaturationError(RecipeError):
    """More identities were asked for than fit under the separation limit."""


class PlanMismatchError(HypersynthError):
    """The output folder or bucket already holds another plan."""


class StorageError(HypersynthError):
    """Reading or writing failed: unwritable, full, absent."""


class DatasetError(HypersynthError):
    """Something stored is missing, damaged or unfinished."""


class RenderError(HypersynthError):
    """A renderer or an encoder broke its contract."""


class BuildError(HypersynthError):
    """The build ended with shards that could not be made."""


class StoppedError(HypersynthError):
    """This process was told to end; what was done stays."""


class MissingPackageError(HypersynthError):
    """An optional package is needed; the message holds the install line."""
