using System.CommandLine;
using VllmNative.Simulation;

namespace VllmNative.Cli.Options;

/// <summary>The options that say what a simulated engine does otherwise than the recorded one; names are those of the engine's.</summary>
internal sealed class SimulationOptionSet
{
    private readonly Option<string?> _schedulingPolicy = new("--scheduling-policy") { Description = "Who is served first: fcfs, priority, fair or shortest-predicted.", HelpName = "NAME" };
    private readonly Option<string?> _evictionPolicy = new("--eviction-policy") { Description = "Which cached blocks give way first: lru, lfu or length-aware.", HelpName = "NAME" };
    private readonly Option<string?> _preemptionMode = new("--preemption-mode") { Description = "What becomes of preempted requests' K/V: auto, recompute or swap.", HelpName = "NAME" };
    private readonly Option<int?> _maxNumSeqs = NumberOption.Integer("--max-num-seqs", "Most requests that run at the same time.");
    private readonly Option<int?> _maxNumBatchedTokens = NumberOption.Integer("--max-num-batched-tokens", "Most tokens that a step computes.");
    private readonly Option<int?> _numBlocks = NumberOption.Integer("--num-blocks", "KV blocks, the null block included.");
    private readonly Option<double?> _swapSpace = NumberOption.Gibibytes("--swap-space", "GiB of host memory for the KV blocks of preempted requests.");
    private readonly Option<double?> _kvOffloading = NumberOption.Gibibytes("--kv-offloading-size", "GiB of host memory for the CPU tier of the prefix cache.");
    private readonly Option<double?> _hostBandwidth = NumberOption.Fraction("--host-bandwidth", "GB/s with which blocks are copied between device and host. Default: what was measured, else what the engine assumed.");
    private readonly Option<double?> _target = NumberOption.Fraction("--target-inter-token-latency", "Seconds between two tokens that long prompts should not make longer; 0 = off.");
    private readonly Option<bool> _noPrefixCaching = new("--no-prefix-caching") { Description = "Requests share no KV blocks." };
    private readonly Option<bool> _prefixCaching = new("--enable-prefix-caching") { Description = "Requests share the KV blocks of common beginnings, also where the recorded engine did not." };

    internal void AddTo(Command command)
    {
        foreach (Option option in (Option[])[
            _schedulingPolicy, _evictionPolicy, _preemptionMode, _maxNumSeqs, _maxNumBatchedTokens, _numBlocks, _swapSpace, _kvOffloading, _hostBandwidth, _target, _noPrefixCaching, _prefixCaching])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            if (result.GetValue(_noPrefixCaching) && result.GetValue(_prefixCaching))
            {
                result.AddError("--no-prefix-caching and --enable-prefix-caching exclude each other.");
            }
        });
    }

    internal SimulationOptions Build(ParseResult parsed) => new()
    {
        SchedulingPolicy = parsed.GetValue(_schedulingPolicy),
        EvictionPolicy = parsed.GetValue(_evictionPolicy),
        PreemptionMode = parsed.GetValue(_preemptionMode),
        MaxNumSeqs = parsed.GetValue(_maxNumSeqs),
        MaxNumBatchedTokens = parsed.GetValue(_maxNumBatchedTokens),
        NumBlocks = parsed.GetValue(_numBlocks),
        SwapSpace = parsed.GetValue(_swapSpace),
        KvOffloadSpace = parsed.GetValue(_kvOffloading),
        HostBandwidth = parsed.GetValue(_hostBandwidth),
        TargetInterTokenLatency = parsed.GetValue(_target),
        PrefixCaching = parsed.GetValue(_noPrefixCaching) ? false : parsed.GetValue(_prefixCaching) ? true : null,
    };
}
