"""The model card: a page beside a model's files with its purpose, data, quality and limits."""

from __future__ import annotations

from typing import Any, Mapping

from cosmo_runtime.models.spec import ModelSpec

FILE = "README.md"
_QUALITY = "Quality is the fixed part of a sensor's weight in the fusion. The rest depends on the window."


def model_card(
    name: str, spec: ModelSpec, provenance: Mapping[str, Any], metrics: Mapping[str, Any], classifies: bool = True
) -> str:
    """The card as Markdown.

    Args:
        name: the name of the model's folder.
        spec: the model's inputs and outputs.
        provenance: how the model was made. The card shows ``about``, ``data``, ``licence``, ``limits``, ``found``
            (sentences) and ``command``.
        metrics: sets of windows by name, with ``windows``, ``accuracy`` and ``macro_f1``. Others are only in
            ``model.json``.
        classifies: False for encoders only, which have neither activities nor a quality for each modality.
    """
    facts = {
        key: provenance.get(key, "not recorded") for key in ("data", "licence", "limits", "command", "method", "seed")
    }
    if not isinstance(facts["data"], str):
        facts["data"] = ", ".join(facts["data"])
    rows = [["sensor", "samples", "shape"]]
    rows += [[m.sensor, f"{m.rate_hz:g} a second", " × ".join(map(str, m.shape))] for m in spec.modalities]
    if classifies:
        rows = [[*row, quality] for row, quality in zip(rows, ["quality", *(f"{q:.2f}" for q in spec.quality)])]
    head, *inputs = [f"| {' | '.join(row)} |" for row in rows]
    table = "\n".join([head, "|" + "---|" * len(rows[0]), *inputs])
    answers = f"\n{_QUALITY}\n\nActivities: {', '.join(spec.classes)}.\n" if classifies else ""
    measured = "\n".join(
        f"| {part} | {scores['windows']} | {scores['accuracy']:.1%} | {scores['macro_f1']:.1%} |"
        for part, scores in metrics.items()
        if isinstance(scores, Mapping) and "accuracy" in scores
    )
    figures = (
        f"\n## Measured\n\n| | windows | accuracy | macro F1 |\n|---|---|---|---|\n{measured}\n" if measured else ""
    )
    figures += "".join(f"\n- {sentence}" for sentence in provenance.get("found", ())) + "\n" * ("found" in provenance)
    return f"""# {name}

{provenance.get("about", "A model of cosmo-runtime.")}

- **Data**: {facts["data"]}
- **Licence of the data**: {facts["licence"]}
- **Limits**: {facts["limits"]}

## {"Inputs and answers" if classifies else "Inputs"}

Windows of {spec.window_s:g} s, one every {spec.hop_s:g} s.

{table}
{answers}{figures}
## How it was made

```sh
{facts["command"]}
```

{facts["method"]}; seed {facts["seed"]}. The weights and this page come from that command alone.
"""
