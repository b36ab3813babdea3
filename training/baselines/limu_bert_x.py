"""LIMU-BERT-X (Xu et al., MobiCom 2025): LIMU-BERT with weights from 1.4 million hours of couriers' phones.

As published: the network and its weights, with sequences of 20 steps, one second. The classifier is that of
``limu_bert``, once on the frozen network and once trained together with it.

What had to change: a window is cut into seconds, which are embedded one by one, and the classifier reads all of them.
The weights come from phones that people carry; they have seen neither a wrist nor a thigh.

The weights are under the MIT licence, so a comparison may use them; the project does not ship them. They are published
as a pickle, which ``tools/limu_bert_x.py`` converts once. This module reads no pickle.
"""

from __future__ import annotations

from typing import Mapping

import torch
from torch import Tensor

from cosmo_runtime.models.tensors import TensorsError, read_tensors
from cosmo_runtime.places import cache_folder
from cosmo_runtime.training.baselines.learning import learn_labels
from cosmo_runtime.training.baselines.limu_bert import EmbeddingReader, LimuBert, WindowEmbedder
from cosmo_runtime.training.datasets.store import DataSetError
from cosmo_runtime.training.methods import Fit, Lesson, Predict

LONGEST = 20
WEIGHTS = cache_folder() / "limu-bert-x.safetensors"
_MODULES = {
    "transformer.embed.lin": "embed",
    "transformer.embed.norm": "norm_embedded",
    "transformer.attn.proj_q": "query",
    "transformer.attn.proj_k": "key",
    "transformer.attn.proj_v": "value",
    "transformer.proj": "project",
    "transformer.norm1": "norm_attended",
    "transformer.pwff.fc1": "feed.0",
    "transformer.pwff.fc2": "feed.2",
    "transformer.norm2": "norm_fed",
    "linear": "say.0",
    "norm": "say.2",
    "decoder": "say.3",
}
_PARAMETERS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def limu_bert_x(*, frozen: bool) -> Fit:
    """A ``Fit`` that learns from the labelled windows only, with the published network frozen or trained.

    It raises ``DataSetError`` if the converted weights are missing.
    """

    def fit(lesson: Lesson) -> Predict:
        torch.manual_seed(lesson.seed)
        embedder = WindowEmbedder(lesson.spec, LONGEST)
        _load(embedder.bert)
        network = EmbeddingReader(embedder.requires_grad_(not frozen), lesson.spec)
        return learn_labels(network, lesson, "LIMU-BERT-X")

    return fit


def converted(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors under the names of ``LimuBert``. One layer is never used and is left out.

    Raises:
        KeyError: a tensor is missing.
    """
    tensors = {"place": published["transformer.embed.pos_embed.weight"]}
    for theirs, ours in _MODULES.items():
        for name in ("weight", "bias") if f"{theirs}.weight" in published else ("gamma", "beta"):
            tensors[f"{ours}.{_PARAMETERS[name]}"] = published[f"{theirs}.{name}"]
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _load(bert: LimuBert) -> None:
    try:
        bert.load_state_dict(read_tensors(WEIGHTS.read_bytes()))
    except OSError as error:
        raise DataSetError(
            f"{WEIGHTS} cannot be read ({error.strerror}). Convert the published weights of LIMU-BERT-X: "
            "python tools/limu_bert_x.py limu_bert_x.pt"
        ) from error
    except (TensorsError, RuntimeError) as error:
        raise DataSetError(f"{WEIGHTS} does not hold LIMU-BERT-X. Convert the published weights again.") from error
