#!/usr/bin/env python3
"""Measures what others reach on this GPU, for the same shapes and under the same names as `vllm-native bench`.

    peers.py --out peers.json [--configs tests/assets/configs] [--seconds 150]

Each part runs in a process of its own and hands its figures over one by one, so that a part that fails or does not end in
time loses only what it had not measured yet. Parts: kernels (a copy, a large product, SDPA with cuDNN and with
FlashAttention-2 on contiguous K and V), gemms (cuBLAS, the products of a decode step in a CUDA graph, one set of weights a
layer), generate (Hugging Face transformers, random weights of the same config, static cache).
Needs torch; generate needs transformers. The report's format is that of src/VllmNative.Bench/Results/BenchReport.cs.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

PARTS = {"kernels": 60, "gemms": 45, "generate": 120}  # seconds at most
ROTATE_BYTES = 256 << 20  # beyond the second-level cache
REPLAYS = 11

DECODE = [(32, 8, 128, 2048), (32, 8, 32, 2048), (32, 8, 32, 8192), (32, 8, 1, 2048), (32, 32, 32, 2048)]
PREFILL = [(32, 8, 2048), (32, 8, 8192)]
HEAD_DIM = 128
# name, layers, matrices [outputs, inputs] of a layer, head
MODELS = [
    ("Llama-3.1-8B", 32, [(6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336)], (128256, 4096)),
    ("Qwen3-0.6B", 28, [(4096, 1024), (1024, 2048), (6144, 1024), (1024, 3072)], (151936, 1024)),
]
GEMM_ROWS = [1, 32, 128]
GENERATE = {"config": "llama-3.1-8b", "batches": [1, 32], "context": 512, "tokens": 48}

COPY = "copy on the device"
PRODUCT = "bf16 GEMM 8192 x 8192 x 8192"


def decode_name(heads, kv_heads, batch, context):
    return f"decode attention {heads}/{kv_heads} heads, batch {batch}, context {context}"


def prefill_name(heads, kv_heads, tokens):
    return f"prefill attention {heads}/{kv_heads} heads, {tokens} tokens"


def step_name(model, rows):
    return f"GEMMs of a decode step, {model}, batch {rows}"


def generate_name(batch):
    return f"TPOT, {GENERATE['config']}, batch {batch}, context {GENERATE['context']}"


def names():
    """Everything that a complete run has figures for."""
    return (
        [COPY, PRODUCT]
        + [decode_name(*shape) for shape in DECODE]
        + [prefill_name(*shape) for shape in PREFILL]
        + [step_name(model[0], rows) for model in MODELS for rows in GEMM_ROWS]
        + [generate_name(batch) for batch in GENERATE["batches"]]
    )


def rounded(value):
    return float(f"{value:.5g}")


class Lines:
    """Hands figures over as they come: a JSON object a line."""

    def __init__(self, path):
        self.path = path

    def write(self, value):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")

    def entry(self, name, peer, samples, unit, better, microseconds=None):
        ordered = sorted(samples)
        entry = {
            "name": name,
            "value": rounded(statistics.median(ordered)),
            "unit": unit,
            "better": better,
            "low": rounded(ordered[0]),
            "high": rounded(ordered[-1]),
            "samples": len(ordered),
            "peer": peer,
            "headline": True,
        }
        if microseconds is not None:
            entry["time_us"] = rounded(statistics.median(microseconds))
        self.write({"entry": entry})
        print(f"{name}: {peer} {entry['value']} {unit}", flush=True)

    def rate(self, name, peer, microseconds, work, unit):
        """work: bytes for GB/s, operations for TFLOP/s."""
        scale = {"GB/s": 1e3, "TFLOP/s": 1e6}[unit]
        self.entry(name, peer, [work / us / scale for us in microseconds], unit, "higher", microseconds)


def guarded(title, action):
    """One failure does not lose the others."""
    try:
        action()
    except Exception as error:  # whatever a peer raises
        print(f"{title}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", file=sys.stderr, flush=True)


def replayed(torch, launch, launches):
    """Microseconds of one launch, a sample for each replay of a graph of so many; launch(i) is the i-th."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for i in range(2):
            launch(i)
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(launches):
            launch(i)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    samples = []
    for i in range(REPLAYS + 2):
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        samples.append(1e3 * begin.elapsed_time(end) / launches)
    return samples[2:]


def launches_for(expected_us):
    return max(2, min(64, int(10000 / expected_us)))


def random_bf16(torch, *shape):
    return torch.empty(shape, dtype=torch.bfloat16, device="cuda").uniform_(-1, 1)


def kernels(lines, _configs):
    import torch

    torch.manual_seed(1)

    def copy():
        size = 1 << 30
        source = random_bf16(torch, size // 2)
        target = torch.empty_like(source)
        lines.rate(COPY, "torch", replayed(torch, lambda _: target.copy_(source), 4), 2 * size, "GB/s")

    def product():
        size = 8192
        a, b = random_bf16(torch, size, size), random_bf16(torch, size, size)
        out = torch.empty_like(a)
        lines.rate(PRODUCT, "torch", replayed(torch, lambda _: torch.mm(a, b.t(), out=out), 4), 2 * size**3, "TFLOP/s")

    guarded(COPY, copy)
    guarded(PRODUCT, product)
    torch.cuda.empty_cache()
    for shape in DECODE:
        decode(torch, lines, *shape)
    for shape in PREFILL:
        prefill(torch, lines, *shape)


def backends():
    from torch.nn.attention import SDPBackend

    return [("cuDNN", SDPBackend.CUDNN_ATTENTION), ("FlashAttention-2", SDPBackend.FLASH_ATTENTION)]


def attend(torch, backend, q, k, v, causal):
    from torch.nn.attention import sdpa_kernel

    with sdpa_kernel(backend):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])


def decode(torch, lines, heads, kv_heads, batch, context):
    name = decode_name(heads, kv_heads, batch, context)
    kv_bytes = 2 * 2 * batch * context * kv_heads * HEAD_DIM
    copies = max(2, min(32, ROTATE_BYTES // kv_bytes))
    q = random_bf16(torch, batch, heads, 1, HEAD_DIM)
    cache = [[random_bf16(torch, batch, kv_heads, context, HEAD_DIM) for _ in range(2)] for _ in range(copies)]
    for peer, backend in backends():
        guarded(
            f"{name}, {peer}",
            lambda: lines.rate(
                name,
                peer,
                replayed(torch, lambda i: attend(torch, backend, q, *cache[i % copies], False), launches_for(kv_bytes / 3e6 + 5)),
                kv_bytes,
                "GB/s",
            ),
        )
    del cache
    torch.cuda.empty_cache()


def prefill(torch, lines, heads, kv_heads, tokens):
    name = prefill_name(heads, kv_heads, tokens)
    operations = 4.0 * heads * HEAD_DIM * tokens * (tokens + 1) / 2
    copies = 8
    sets = [
        [random_bf16(torch, 1, count, tokens, HEAD_DIM) for count in (heads, kv_heads, kv_heads)] for _ in range(copies)
    ]
    for peer, backend in backends():
        guarded(
            f"{name}, {peer}",
            lambda: lines.rate(
                name,
                peer,
                replayed(torch, lambda i: attend(torch, backend, *sets[i % copies], True), launches_for(operations / 3e8 + 5)),
                operations,
                "TFLOP/s",
            ),
        )
    del sets
    torch.cuda.empty_cache()


def gemms(lines, _configs):
    import torch

    torch.manual_seed(1)
    for model, layers, matrices, head in MODELS:
        guarded(model, lambda: decode_step(torch, lines, model, layers, matrices, head))
        torch.cuda.empty_cache()


def decode_step(torch, lines, model, layers, matrices, head):
    """The layers' products and the head's one after another; the head's logits are bf16 here, which saves cuBLAS a little."""
    shapes = matrices * layers + [head]
    weights = [random_bf16(torch, *shape) for shape in shapes]
    for rows in GEMM_ROWS:
        inputs = {columns: random_bf16(torch, rows, columns) for _, columns in shapes}
        outputs = {count: torch.empty(rows, count, dtype=torch.bfloat16, device="cuda") for count, _ in shapes}

        def step(_):
            for weight in weights:
                torch.mm(inputs[weight.shape[1]], weight.t(), out=outputs[weight.shape[0]])

        samples = replayed(torch, step, 1)
        lines.entry(step_name(model, rows), "cuBLAS", [us / 1e3 for us in samples], "ms", "lower")


class Arrivals:
    """A streamer for generate(): the prompt comes first, then each step's tokens, copied to the host."""

    def __init__(self):
        self.times = []

    def put(self, _):
        self.times.append(time.perf_counter())

    def end(self):
        pass

    def milliseconds_per_token(self):
        first = self.times[1]
        return 1e3 * (self.times[-1] - first) / (len(self.times) - 2)


def generate(lines, configs):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(configs, GENERATE["config"] + ".json"), encoding="utf-8") as file:
            text = file.read()
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            file.write(text)
        config = AutoConfig.from_pretrained(folder)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config).eval()
    # The certain ones first: compiling may take longer than there is time.
    for compiled in (False, True):
        for batch in GENERATE["batches"]:
            guarded(f"generate, batch {batch}", lambda: generate_batch(torch, lines, model, config, batch, compiled))


def generate_batch(torch, lines, model, config, batch, compiled):
    tokens = GENERATE["tokens"]

    def run():
        arrivals = Arrivals()
        ids = torch.randint(10, config.vocab_size - 10, (batch, GENERATE["context"]), device="cuda")
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                cache_implementation="static",
                disable_compile=not compiled,
                pad_token_id=0,
                streamer=arrivals,
            )
        if out.shape[1] != GENERATE["context"] + tokens or len(arrivals.times) != tokens + 1:
            raise RuntimeError(f"{out.shape[1]} tokens and {len(arrivals.times)} steps came back, expected {tokens} of each")
        return arrivals.milliseconds_per_token()

    for _ in range(2 if compiled else 1):
        run()
    peer = "transformers generate, static cache" + (", compiled" if compiled else "")
    lines.entry(generate_name(batch), peer, [run() for _ in range(3)], "ms", "lower")


def meta(lines):
    """What was measured, in the words of the report's head."""
    import torch

    versions = [f"torch {torch.__version__}", f"cuDNN {torch.backends.cudnn.version()}"]
    try:
        import transformers

        versions.append(f"transformers {transformers.__version__}")
    except ImportError:
        pass
    lines.write({"device": torch.cuda.get_device_name(0), "commit": ", ".join(versions)})


def driver():
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def assemble(path, command):
    """The report of the lines that came."""
    head, entries = {}, []
    with open(path, encoding="utf-8") as file:
        for line in file:
            value = json.loads(line)
            if "entry" in value:
                entries.append(value["entry"])
            else:
                head = value
    report = {
        "schema": "vllm-native-bench/1",
        "kind": "peers",
        "device": head["device"],
        "commit": head["commit"],
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "command": command,
        "entries": entries,
    }
    version = driver()
    if version:
        report["driver"] = version
    return report


def run_parts(arguments):
    """Each part as a child with what is left of the time; the report is written anew after each."""
    deadline = time.monotonic() + arguments.seconds
    command = "tests/gpu/peers.py " + " ".join(sys.argv[1:])
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lines")
        for part, most in PARTS.items():
            left = min(most, deadline - time.monotonic())
            if left < 10:
                print(f"{part}: left out, the time is over", file=sys.stderr)
                failed += 1
                continue
            try:
                child = [sys.executable, os.path.abspath(__file__), "--part", part, "--lines", path, "--configs", arguments.configs]
                subprocess.run(child, timeout=left, check=True)
            except subprocess.SubprocessError as error:
                print(f"{part}: {error}", file=sys.stderr)
                failed += 1
            if os.path.exists(path):
                with open(arguments.out, "w", encoding="utf-8") as file:
                    json.dump(assemble(path, command), file, indent=2)
                    file.write("\n")
    return 1 if failed == len(PARTS) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--out", help="the report")
    parser.add_argument("--configs", default=os.path.join(here, "..", "assets", "configs"))
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--names", action="store_true", help="print the names of all figures and measure nothing")
    parser.add_argument("--part", choices=PARTS, help="one part, in this process")
    parser.add_argument("--lines", help="where a part hands its figures over; with --out alone: makes the report of such a file")
    arguments = parser.parse_args()
    if arguments.names:
        print("\n".join(names()))
        return 0
    if arguments.part:
        lines = Lines(arguments.lines)
        meta(lines)
        {"kernels": kernels, "gemms": gemms, "generate": generate}[arguments.part](lines, arguments.configs)
        return 0
    if not arguments.out:
        parser.error("--out is needed")
    if arguments.lines:
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump(assemble(arguments.lines, "tests/gpu/peers.py"), file, indent=2)
        return 0
    return run_parts(arguments)


if __name__ == "__main__":
    sys.exit(main())
