"""hdf5/gpt2-adapter.h5: a libdpo file written with h5py from what docs/hdf5.md says, to hold the reader to the document."""

import json
import pathlib

import h5py
import xxhash
from safetensors.numpy import load_file

FIXTURES = pathlib.Path(__file__).resolve().parents[1]
adapter = FIXTURES / "adapters/gpt2-random"
tensors = load_file(adapter / "adapter_model.safetensors")

path = FIXTURES / "hdf5/gpt2-adapter.h5"
path.parent.mkdir(exist_ok=True)
with h5py.File(path, "w") as file:
    datasets = []
    for name in sorted(tensors):
        data = file.create_dataset(f"adapter/{name}", data=tensors[name].astype("<f4"), track_times=False)
        checksum = xxhash.xxh3_64_hexdigest(data[()].tobytes())
        data.attrs["xxh3"] = checksum.encode()
        datasets.append((f"/adapter/{name}", f"float32 {'x'.join(map(str, data.shape))} {checksum}"))
    attributes = {
        "format": "libdpo",
        "format_version": 1,
        "kind": "adapter",
        "configuration": json.dumps(json.loads((FIXTURES / "models/gpt2/config.json").read_text())),
        "adapter_config": json.dumps(json.loads((adapter / "adapter_config.json").read_text())),
        "provenance": json.dumps({"made by": "h5py"}),
        "contents": "\n".join(name for name, _ in datasets),
    }
    seal = ""
    for name in sorted(attributes):
        value = attributes[name]
        file.attrs[name] = value
        seal += f"/ {name} int {value}\n" if isinstance(value, int) else f"/ {name} text {len(value.encode())} {value}\n"
    seal += "".join(f"{name} {rest}\n" for name, rest in sorted(datasets))
    file.attrs["xxh3"] = xxhash.xxh3_64_hexdigest(seal.encode())
print(path.relative_to(FIXTURES), path.stat().st_size)
