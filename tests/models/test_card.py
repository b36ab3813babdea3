from __future__ import annotations

from cosmo_runtime.models.bundle import write_bundle
from cosmo_runtime.models.card import model_card
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec

SPEC = ModelSpec(
    modalities=(
        ModalitySpec(sensor="imu", rate_hz=50, shape=(6,)),
        ModalitySpec(sensor="depth", rate_hz=10, shape=(30, 40)),
    ),
    window_s=2,
    hop_s=0.5,
    classes=("sit", "walk"),
    quality=(0.25, 0.75),
)
PROVENANCE = {
    "about": "Tells sitting from walking.",
    "data": "two people",
    "licence": "research",
    "limits": "knows no stairs",
    "command": "python train.py",
    "method": "Cosmo",
    "seed": 3,
}
METRICS = {"test people": {"windows": 40, "accuracy": 0.875, "macro_f1": 0.5}, "seconds": 12.0, "quality": {"imu": {}}}


def test_a_card_says_what_a_reader_must_know():
    lines = model_card("walker", SPEC, PROVENANCE, METRICS).splitlines()
    assert lines[0] == "# walker"
    for line in (
        "Tells sitting from walking.",
        "- **Data**: two people",
        "- **Licence of the data**: research",
        "- **Limits**: knows no stairs",
        "| depth | 10 a second | 30 × 40 | 0.75 |",
        "Activities: sit, walk.",
        "| test people | 40 | 87.5% | 50.0% |",
        "python train.py",
    ):
        assert line in lines


def test_what_was_not_recorded_is_said_to_be_so():
    card = model_card("walker", SPEC, {}, {})
    assert "- **Licence of the data**: not recorded" in card
    assert "## Measured" not in card


def test_encoders_alone_know_no_activities():
    card = model_card("walker", SPEC, PROVENANCE, {}, classifies=False)
    assert "| depth | 10 a second | 30 × 40 |\n" in card
    assert "Activities" not in card and "quality" not in card


def test_a_bundle_holds_its_card(tmp_path):
    bundle = write_bundle(
        tmp_path / "walker", SPEC, onnx=b"\x08\x07", weights=b"numbers", provenance=PROVENANCE, metrics=METRICS
    )
    assert (bundle.path / "README.md").read_text() == model_card("walker", SPEC, PROVENANCE, METRICS)
