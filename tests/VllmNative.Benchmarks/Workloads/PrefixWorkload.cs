using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Benchmarks.Workloads;

/// <summary>Long prompts that the prefix cache holds, and requests for the same ones.</summary>
internal sealed class PrefixWorkload
{
    internal const int PromptTokens = 8192;

    private const int BlockSize = 16;
    private const int Prompts = 16;
    private const int BlocksOfPrompt = PromptTokens / BlockSize;

    private readonly PrefixCache _prefixes;
    private readonly BlockPool _pool;
    private readonly Request[] _waiting;
    private readonly Request[] _unforeseen;
    private readonly int[] _nodes;
    private int _next;

    internal PrefixWorkload()
    {
        _pool = new BlockPool(2 + (Prompts * (BlocksOfPrompt + 1)));
        _prefixes = new PrefixCache(_pool, 0, BlockSize);
        _nodes = new int[_pool.Total];
        var cache = new KvCacheManager(_pool, BlockSize, _prefixes);
        var plan = new StepPlan(1, PromptTokens);
        for (int i = 0; i < Prompts; i++)
        {
            Request owner = RequestOf(i);
            cache.Enter(owner);
            plan.Clear();
            _ = cache.TryGrow(owner, owner.Length, plan);
            owner.Scheduled = owner.Length;
            cache.Register(owner);
        }

        _waiting = [.. Enumerable.Range(0, Prompts).Select(RequestOf)];
        _unforeseen = [.. Enumerable.Range(0, Prompts).Select(RequestOf)];
        foreach (Request request in _waiting.Concat(_unforeseen))
        {
            cache.Enter(request);
            _prefixes.Prepare(request);
        }

        foreach (Request request in _unforeseen)
        {
            request.Foreseen = null;
        }
    }

    /// <summary>Looks the next prompt up on the engine thread, as it does where the caller's found nothing.</summary>
    internal void LookUp() => Match(_unforeseen);

    /// <summary>Takes over what the caller's thread found of the next prompt, as the engine's does.</summary>
    internal void Confirm() => Match(_waiting);

    /// <summary>Hashes the next prompt and looks it up, as the caller's thread does.</summary>
    internal void Prepare()
    {
        _next = (_next + 1) % Prompts;
        _prefixes.Prepare(_waiting[_next]);
    }

    /// <summary>Takes a free block and gives it back.</summary>
    internal void TakeAndRelease()
    {
        _ = _pool.TryTake(out int block, out _);
        _pool.Release(block);
    }

    private void Match(Request[] requests)
    {
        _next = (_next + 1) % Prompts;
        int found = _prefixes.Match(requests[_next], _nodes);
        if (found != BlocksOfPrompt)
        {
            throw new InvalidOperationException($"{found} of {BlocksOfPrompt} blocks were found");
        }
    }

    // One token more than is looked up: its logits are wanted.
    private static Request RequestOf(int prompt)
    {
        var random = new Random(prompt);
        int[] ids = [.. Enumerable.Range(0, PromptTokens + 1).Select(_ => random.Next(100_000))];
        return new Request(prompt, ids, SamplingParams.Greedy, 8, [], BlockSize, 0);
    }
}
