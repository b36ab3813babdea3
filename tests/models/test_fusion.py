from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.models.fusion import ConcatAttn, QualityGuidedAttention, SumAttn


def test_weights_are_the_papers_formula():
    torch.manual_seed(0)
    attention = QualityGuidedAttention(4, (0.2, 0.8), 0.7)
    torch.nn.init.normal_(attention.project.weight)
    torch.nn.init.normal_(attention.project.bias)
    z = torch.randn(3, 2, 4)
    weights = attention(z, torch.ones(3, 2)).detach().numpy()

    w, b = attention.project.weight.detach().numpy(), attention.project.bias.detach().numpy()
    for window, beta in zip(z.numpy(), weights):
        scores = np.array([np.tanh(w @ z_j + b) @ z_j for z_j in window])
        softmax = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(beta, 0.3 * softmax + 0.7 * np.array([0.2, 0.8]), rtol=1e-5)


def test_absent_modalities_leave_the_others_their_proportions():
    attention = QualityGuidedAttention(4, (0.2, 0.3, 0.5), 1.0)
    weights = attention(torch.randn(1, 3, 4), torch.tensor([[1.0, 0.0, 1.0]]))
    torch.testing.assert_close(weights, torch.tensor([[2 / 7, 0.0, 5 / 7]]))


def test_a_loud_absent_modality_does_not_starve_the_others():
    attention = QualityGuidedAttention(4, (0.5, 0.5), 0.0)
    with torch.no_grad():
        attention.project.weight.copy_(torch.eye(4))
    z = torch.tensor([[[0.1] * 4, [500.0] * 4]])
    torch.testing.assert_close(attention(z, torch.tensor([[1.0, 0.0]])), torch.tensor([[1.0, 0.0]]))


def test_fusions():
    z = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    weights = torch.tensor([[0.5, 2.0]])
    assert SumAttn(2, 2)(z, weights).tolist() == [[6.5, 9.0]]
    assert ConcatAttn(2, 2)(z, weights).tolist() == [[0.5, 1.0, 6.0, 8.0]]
