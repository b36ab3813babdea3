"""The model card that lies beside a model's files: what it is for, from what, how good, and where it ends."""

from __future__ import annotations

from typing import Any, Mapping

from models.spec import ModelSpec

FILE = "README.md"


def model_card(
    name: str, spec: ModelSpec, provenance: Mapping[str, Any], metrics: Mapping[str, Any], classifies: bool = True
) -> str:
    """The card as Markdown.

    Args:
        name: of the model's folder.
        spec: what the model takes and answers.
        provenance: how it came to be; ``about``, ``data``, ``licence``, ``limits`` and ``command`` are given room.
        metrics: sets of windows by name, with ``windows``, ``accuracy`` and ``macro_f1``; others are left to
            ``model.json``.
        classifies: False for encoders alone, which know neither activities nor how far a modality can be trusted.
    """
    told = {
        key: provenance.get(key, "not recorded") for key in ("data", "licence", "limits", "command", "method", "seed")
    }
    if not isinstance(told["data"], str):
        told["data"] = ", ".join(told["data"])
    rows = [["modality", "steps", "shape"]]
    rows += [[m.sensor, f"{m.rate_hz:g} a second", " × ".join(map(str, m.shape))] for m in spec.modalities]
    if classifies:
        rows = [[*row, quality] for row, quality in zip(rows, ["quality", *(f"{q:.2f}" for q in spec.quality)])]
    head, *inputs = [f"| {' | '.join(row)} |" for row in rows]
    table = "\n".join([head, "|" + "---|" * len(rows[0]), *inputs])
    answers = f"\nActivities: {', '.join(spec.classes)}.\n" if classifies else ""
    measured = "\n".join(
        f"| {part} | {scores['windows']} | {scores['accuracy']:.1%} | {scores['macro_f1']:.1%} |"
        for part, scores in metrics.items()
        if isinstance(scores, Mapping) and "accuracy" in scores
    )
    figures = (
        f"\n## Measured\n\n| | windows | accuracy | macro F1 |\n|---|---|---|---|\n{measured}\n" if measured else ""
    )
    return f"""# {name}

{provenance.get("about", "A model of cosmo-runtime.")}

- **Data**: {told["data"]}
- **Licence of the data**: {told["licence"]}
- **Limits**: {told["limits"]}

## {"Inputs and answers" if classifies else "Inputs"}

Windows of {spec.window_s:g} s, one every {spec.hop_s:g} s.

{table}
{answers}{figures}
## How it was made

```sh
{told["command"]}
```

{told["method"]}; seed {told["seed"]}. The weights and this page come from that command alone.
"""
