"""Converts the published weights of LIMU-BERT-X, a pickle, for the comparison: `python tools/limu_bert_x.py FILE`.

FILE is weights/limu_bert_x.pt of https://github.com/WANDS-HKUST/LIMU-BERT_Experience (MIT licence, Copyright (c) 2025
WANDS HKUST). The script writes only numbers (safetensors), to the place where the comparison looks for them. It reads
no other file: the digest must be that of the published one.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import Optional, Sequence

import torch
from safetensors.torch import save

from cosmo_runtime.models.files import sha256_of, write_whole
from cosmo_runtime.training.baselines.limu_bert_x import WEIGHTS, converted

SHA256 = "65697e7017020f36429a221382253f1fc370fdfd493cfb71667f95846c18516c"
NOTICE = {"source": "LIMU-BERT-X, MobiCom 2025", "licence": "MIT, Copyright (c) 2025 WANDS HKUST"}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0] + ".")
    parser.add_argument("published", type=Path, metavar="limu_bert_x.pt")
    parser.add_argument("--out", type=Path, default=WEIGHTS, metavar="FILE", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if "weights_only" not in inspect.signature(torch.load).parameters:
        print("this torch cannot read a pickle safely; convert the file with torch 1.13 or later", file=sys.stderr)
        return 1
    try:
        if sha256_of(options.published) != SHA256:
            print(f"{options.published} is not the published file; download it again", file=sys.stderr)
            return 1
        tensors = converted(torch.load(options.published, map_location="cpu", weights_only=True))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.out, save(tensors, NOTICE))
    except OSError as error:
        print(f"{error.filename}: {error.strerror}; give another file", file=sys.stderr)
        return 1
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
