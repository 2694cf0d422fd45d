"""Time of one DPO step as a competent PyTorch engineer would write it by hand for a CPU.

Chosen and rejected in one right-padded batch without a padding mask (causal attention never looks right); logits only
where a completion token is predicted, in chunks whose backward reuses them; frozen reference under inference_mode;
fused AdamW; an allocator that keeps its pages. --share-prompts packs each pair as prompt + chosen + rejected.
"""
import copy
import ctypes
import time
from pathlib import Path

import common

BETA = 0.1
CHUNK = 256


def keep_pages():
    """Ask glibc to keep freed memory, or each large tensor is mapped, zeroed page by page and unmapped again."""
    libc = ctypes.CDLL(None)
    libc.mallopt(-4, 0)            # M_MMAP_MAX: no private mappings
    libc.mallopt(-1, 2**31 - 1)    # M_TRIM_THRESHOLD: never give the top of the heap back


def log_prob_function(torch):
    class LogProbs(torch.autograd.Function):
        """log softmax(hidden @ weight.T)[row, target[row]], hidden and weight in the GEMM's dtype, result in fp32."""

        @staticmethod
        def forward(ctx, hidden, weight, target):
            logits, sums = [], []
            values = torch.empty(len(hidden), dtype=torch.float32)
            for first in range(0, len(hidden), CHUNK):
                rows = slice(first, first + CHUNK)
                part = hidden[rows] @ weight.T
                total = torch.logsumexp(part.float(), -1)
                values[rows] = part.gather(1, target[rows, None]).squeeze(1).float() - total
                logits.append(part)
                sums.append(total)
            ctx.logits, ctx.sums = logits, sums
            ctx.save_for_backward(hidden, weight, target)
            return values

        @staticmethod
        def backward(ctx, grad):
            hidden, weight, target = ctx.saved_tensors
            d_hidden = torch.empty_like(hidden)
            d_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
            for index, (part, total) in enumerate(zip(ctx.logits, ctx.sums)):
                rows = slice(index * CHUNK, index * CHUNK + CHUNK)
                scale = grad[rows, None]
                d_logits = part.float().sub_(total[:, None]).exp_().mul_(-scale)
                d_logits.scatter_add_(1, target[rows, None], scale)
                d_logits = d_logits.to(part.dtype)
                torch.mm(d_logits, weight, out=d_hidden[rows])
                if d_weight is not None:
                    if d_weight.dtype == d_logits.dtype:
                        d_weight.addmm_(d_logits.T, hidden[rows])
                    else:
                        d_weight += d_logits.T @ hidden[rows]
            ctx.logits = ctx.sums = None
            return d_hidden, None if d_weight is None else d_weight.to(weight.dtype), None

    return LogProbs.apply


def make_batch(torch, ids, share):
    """input ids, positions, additive mask (or None), flat rows that predict completion tokens, their targets, and
    (owner, count) with owner[row] in [0, 2 pairs): chosen sequences first."""
    pairs = len(ids)
    sequences, rows, targets, owners = [], [], [], []
    for side in (0,) if share else (1, 2):
        sequences += [sum(row, []) if share else row[0] + row[side] for row in ids]
    width = max(map(len, sequences))
    inputs = torch.tensor([sequence + [0] * (width - len(sequence)) for sequence in sequences])
    positions = torch.arange(width).repeat(len(sequences), 1)
    mask = None
    if share:
        mask = torch.ones(width, width, dtype=torch.bool).tril().repeat(pairs, 1, 1, 1)
    for index, parts in enumerate(ids):
        prompt = len(parts[0])
        for side in (1, 2):
            start = prompt + (len(parts[1]) if share and side == 2 else 0)
            base = (index if share else index + pairs * (side - 1)) * width
            count = len(parts[side])
            rows += [base + prompt - 1] + [base + start + step for step in range(count - 1)]
            targets += parts[side]
            owners += [index + pairs * (side - 1)] * count
            if share and side == 2:
                mask[index, :, start:, prompt:start] = False
                positions[index, start:start + count] = torch.arange(prompt, prompt + count)
    return inputs, positions, mask, torch.tensor(rows), torch.tensor(targets), torch.tensor(owners)


def main():
    options = common.parser(__doc__.splitlines()[0])
    options.add_argument("--share-prompts", action="store_true",
                         help="compute each prompt once, with a block mask (not what trainers do today)")
    args = options.parse_args()
    common.limit_threads(args.threads)
    keep_pages()

    start = time.perf_counter()
    import torch
    import torch.nn.functional as F
    from transformers import AutoModelForCausalLM, AutoTokenizer
    import_seconds = time.perf_counter() - start
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    low = args.precision == "bf16"
    log_probs = log_prob_function(torch)

    start = time.perf_counter()
    rows, name = common.load_rows(args.workload), Path(args.workload).stem
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    ids = common.token_ids(rows, lambda text: tokenizer(text)["input_ids"], tokenizer.eos_token_id)
    inputs, positions, mask, where, targets, owners = make_batch(torch, ids, args.share_prompts)
    policy = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="sdpa")
    policy.config.use_cache = False
    policy.eval()                  # no dropout, as TRL
    reference = None
    if args.lora:
        from peft import LoraConfig, get_peft_model
        policy = get_peft_model(policy, LoraConfig(r=args.lora, lora_alpha=2 * args.lora,
                                                   target_modules="all-linear", task_type="CAUSAL_LM"))
        base = policy.get_base_model()
    else:
        base = policy
        reference = copy.deepcopy(policy).requires_grad_(False)
    if low:                        # frozen matrices can be stored as autocast would cast them every time
        frozen = base if args.lora else reference
        for module in frozen.model.modules():
            if isinstance(module, torch.nn.Linear) and not module.weight.requires_grad:
                module.to(torch.bfloat16)
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-6, weight_decay=0.0, fused=True)

    def sequence_log_probs(model):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            hidden = model.model(input_ids=inputs, position_ids=positions, attention_mask=mask,
                                 use_cache=False).last_hidden_state
            hidden = hidden.reshape(-1, hidden.shape[-1])[where]
        weight = model.lm_head.weight
        if low:
            hidden, weight = hidden.bfloat16(), weight.bfloat16()
        return torch.zeros(2 * len(ids)).index_add(0, owners, log_probs(hidden, weight, targets))

    def reference_log_probs():
        with torch.inference_mode():
            if reference is not None:
                return sequence_log_probs(reference)
            with policy.disable_adapter():
                return sequence_log_probs(base)

    setup_seconds = time.perf_counter() - start

    def step():
        ratios = sequence_log_probs(base) - reference_log_probs().clone()
        chosen, rejected = ratios.chunk(2)
        loss = -F.logsigmoid(BETA * (chosen - rejected)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)     # TRL clips as well
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.item()

    seconds, losses = [], []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - start)

    common.report(
        bench="tuned", workload=name, tokens=common.token_counts(ids), precision=args.precision,
        dtype="fp32 weights" + (", bf16 GEMM inputs" if low else ""), lora_r=args.lora,
        share_prompts=args.share_prompts,
        threads=torch.get_num_threads(), steps=args.steps, **common.timing(seconds[1:]),
        import_seconds=round(import_seconds, 2), setup_seconds=round(setup_seconds, 2),
        first_step_seconds=round(seconds[0], 2), losses=losses, peak_rss_mb=common.peak_rss_mb(),
        versions=common.versions("torch", "transformers", "peft"))


if __name__ == "__main__":
    main()
