"""Renderers work with thousands of tiny operations: a second thread would only wait for the first."""

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
