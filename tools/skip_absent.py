"""Adds to a bundle the graph that does not run the encoder of an absent sensor, where an older version exported it.

    python tools/skip_absent.py models/bundles/everyday

The bundle's other files stay as they are. The new graph is compared with the old one in every combination of sensors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cosmo_runtime.models.bundle import ONNX, Bundle, BundleError, load_bundle, write_bundle
from cosmo_runtime.models.networks import load_network
from cosmo_runtime.training.export import verify
from cosmo_runtime.training.skipping import sharing_weights, skip_absent


def add_to(bundle: Bundle) -> Bundle:
    """Writes the bundle again, with the graph.

    Raises:
        RuntimeError: the graph gives other answers than the network.
    """
    whole = bundle.onnx.read_bytes()
    skipping = skip_absent(whole, bundle.spec.sensors)
    verify(bundle.spec, load_network(bundle), skipping)
    return write_bundle(
        bundle.path,
        bundle.spec,
        onnx=whole,
        onnx_fp16=bundle.onnx_fp16.read_bytes() if bundle.onnx_fp16 else None,
        onnx_skipping=sharing_weights(skipping, whole, ONNX),
        weights=bundle.weights.read_bytes(),
        memory=bundle.memory.read_bytes() if bundle.memory else None,
        provenance=bundle.provenance,
        metrics=bundle.metrics,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path, help="folders of bundles")
    for folder in parser.parse_args().bundles:
        print(f"{add_to(load_bundle(folder)).onnx_skipping} written")


if __name__ == "__main__":
    try:
        main()
    except (BundleError, RuntimeError) as error:
        raise SystemExit(str(error)) from error
