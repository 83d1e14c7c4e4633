"""The laws that identity vectors are drawn from: implementations of `samplers.prior.Prior`, one in each module."""

from samplers.prior import Candidates, Group, Prior, check_dimension
from samplers.priors.given import Given
from samplers.priors.groups import Groups
from samplers.priors.pca_gaussian import LOADING_BITS, MAX_TERMS, NORMAL_BITS, PcaGaussian
from samplers.priors.uniform import UniformPrior
from samplers.priors.vmf import VonMisesFisher, cosine_fall

__all__ = [
    "LOADING_BITS",
    "MAX_TERMS",
    "NORMAL_BITS",
    "Candidates",
    "Given",
    "Group",
    "Groups",
    "PcaGaussian",
    "Prior",
    "UniformPrior",
    "VonMisesFisher",
    "check_dimension",
    "cosine_fall",
]
